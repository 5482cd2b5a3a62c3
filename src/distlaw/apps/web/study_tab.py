"""The Study tab: how far a study is, its runs, and what labs found."""

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from distlaw.apps.web.controls import Select, Text
from distlaw.apps.web.elements import Content, aria, card, chart_slot, csv_text, message
from distlaw.apps.web.figure import placed, places
from distlaw.apps.web.site import Site
from distlaw.apps.web.studies import Run, Studies
from distlaw.apps.web.study_question import (
    KINDS,
    LABELS,
    SORTS,
    StudyQuestion,
    chosen,
    curve_chart,
    loss_chart,
    place_of,
    rows,
)
from distlaw.apps.web.study_view import lab_head, lab_shown, runs_shown, status_shown

_EVERY = 3000  # ms between looks at a study
_CHARTS = {"losses": "Final losses", "curves": "Training losses"}


def layout(question: StudyQuestion, site: Site) -> list[Content]:
    """The tab, its inputs as the question has them."""

    def at(name: str) -> dict[str, Any]:
        return {"id": f"study-{name}", "label": LABELS[name], "value": getattr(question, name)}

    places = site.studies.places()
    if not site.studies.roots:
        text = "No folder of studies was named when this server was started: distlaw serve --studies DIR"
        return [html.Section([html.H1("Studies"), message(text, kind="note")], className="card wide")]
    first = places[0].key if places else ""
    options = {place.key: place.key + (" (lab)" if place.lab else "") for place in places}
    form = html.Form(
        [
            html.H2("Look at"),
            Select("study-study", LABELS["study"], question.study or first, options),
            html.Div(
                [
                    Select(**at("kind"), options=KINDS),
                    *(Text(**at(name)) for name in ("least_params", "most_params", "least_tokens", "most_tokens")),
                    Select(**at("sort"), options=SORTS),
                ],
                id="study-filters",
                className="fields",
            ),
        ],
        className="card form",
        **aria(label="Which runs"),
    )
    results = html.Div(
        [
            html.Section(id="study-answer", className="card answer", **aria(live="polite")),
            html.Div(
                [
                    html.Section(
                        [chart_slot(f"study-{name}", label) for name, label in _CHARTS.items()],
                        className="card charts even",
                        **aria(label="Charts"),
                    ),
                    card(
                        "Runs",
                        html.Div(
                            html.Button("CSV", id="study-table-csv", type="button", className="quiet"),
                            className="buttons",
                        ),
                        html.Div(id="study-table"),
                    ),
                ],
                id="study-runs",
                className="results",
                hidden=True,
            ),
            html.Div(id="study-lab", className="results"),
            dcc.Store(id="study-seen"),
            dcc.Interval(id="study-clock", interval=_EVERY),
            dcc.Download(id="study-file"),
        ],
        className="results",
    )
    return [form, results]


_FILES = ("table-csv", *(f"{name}-csv" for name in _CHARTS))


def register(app: Dash, site: Site) -> None:
    """The tab's callbacks."""
    studies = site.studies

    def question_of(asked: Any) -> StudyQuestion:  # noqa: ANN401
        return StudyQuestion.from_query((asked or {}).get("query", ""))[0]

    def runs_of(asked: Any) -> list[Run]:  # noqa: ANN401
        question = question_of(asked)
        place = place_of(question, studies) if asked and asked["ok"] else None
        return [] if place is None else chosen(question, studies.runs(place))

    @app.callback(Output("study-query", "data"), *(Input(f"study-{name}", "value") for name in StudyQuestion.names()))
    def ask(*values: Any) -> dict[str, Any]:  # noqa: ANN401
        question = StudyQuestion.of(list(values))
        try:
            chosen(question, [])
            place_of(question, studies)
        except ValueError as error:
            return {"query": question.to_query(), "ok": False, "why": str(error)}
        return {"query": question.to_query(), "ok": True}

    @app.callback(
        Output("study-answer", "children"),
        Output("study-seen", "data"),
        Output("study-runs", "hidden"),
        Output("study-filters", "hidden"),
        Input("study-query", "data"),
        Input("study-clock", "n_intervals"),
        State("study-seen", "data"),
    )
    def look(asked: Any, _tick: Any, before: Any) -> tuple[Any, Any, bool, bool]:  # noqa: ANN401
        if not asked or not asked["ok"]:
            return [html.H1("Nothing to show"), message((asked or {}).get("why", ""))], None, True, False
        question = question_of(asked)
        try:
            place = place_of(question, studies)
            if place is None:
                text = "The folders named at start hold no study, no report and no lab's findings yet."
                return [html.H1("Nothing yet"), message(text, kind="note")], None, True, True
            if place.lab:
                seen = f"{place.key} lab"
                outcome = None if before == seen else studies.lab(place)
                return no_update if outcome is None else lab_head(outcome), seen, True, True
            if place.live:
                standing = studies.status(place)
                return status_shown(standing, place.key), f"{asked['query']} {standing.done}", False, False
            number = len(studies.runs(place))
            words = f"A finished study of {number} runs, from its table."
            return [html.H1(place.key), html.P(words, className="lead")], f"{asked['query']} {number}", False, False
        except ValueError as error:
            return [html.H1("Nothing to show"), message(str(error))], None, True, False

    @app.callback(Output("study-table", "children"), Input("study-seen", "data"), State("study-query", "data"))
    def list_runs(_seen: Any, asked: Any) -> Any:  # noqa: ANN401
        try:
            return runs_shown(runs_of(asked))
        except ValueError as error:
            return message(str(error))

    @app.callback(
        *places("study", tuple(_CHARTS)),
        Input("study-seen", "data"),
        Input("theme", "data"),
        State("study-query", "data"),
    )
    def draw(_seen: Any, theme: str, asked: Any) -> list[Any]:  # noqa: ANN401
        try:
            charts = _charts(studies, question_of(asked), runs_of(asked))
        except ValueError:
            charts = {}
        return placed(charts, tuple(_CHARTS), theme)

    @app.callback(
        Output("study-lab", "children"),
        Input("study-seen", "data"),
        Input("theme", "data"),
        State("study-query", "data"),
    )
    def show_lab(seen: Any, theme: str, asked: Any) -> Any:  # noqa: ANN401
        if not seen or not str(seen).endswith(" lab"):
            return None
        try:
            place = place_of(question_of(asked), studies)
            return None if place is None else lab_shown(studies.lab(place), theme)
        except ValueError as error:
            return message(str(error))

    @app.callback(
        Output("study-file", "data"),
        *(Input(f"study-{name}", "n_clicks") for name in _FILES),
        State("study-query", "data"),
        prevent_initial_call=True,
    )
    def save(*values: Any) -> Any:  # noqa: ANN401
        if not ctx.triggered or not ctx.triggered[0]["value"]:
            return no_update
        name = str(ctx.triggered_id).removeprefix("study-").removesuffix("-csv")
        runs = runs_of(values[-1])
        if name == "table":
            return {"filename": "runs.csv", "content": csv_text(rows(runs))}
        chart = _charts(studies, question_of(values[-1]), runs).get(name)
        return no_update if chart is None else {"filename": f"{chart.name}.csv", "content": chart.csv()}


def _charts(studies: Studies, question: StudyQuestion, runs: list[Run]) -> dict[str, Any]:
    place = place_of(question, studies)
    if not runs or place is None:
        return {}
    return {"losses": loss_chart(runs), "curves": curve_chart(studies, place, runs)}
