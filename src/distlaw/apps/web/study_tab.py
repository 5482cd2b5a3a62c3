"""The Study tab: how far a study is, its runs, and what labs found."""

from typing import Any

from dash import Input, Output, State, dcc, html, no_update

from distlaw.apps.web.callbacks import Callbacks, pressed
from distlaw.apps.web.controls import Select, Text
from distlaw.apps.web.elements import (
    Content,
    aria,
    button,
    buttons,
    card,
    chart_file,
    charts_card,
    csv_text,
    message,
)
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
from distlaw.apps.web.study_view import (
    best_sentence,
    finished_shown,
    lab_head,
    lab_shown,
    report_shown,
    runs_shown,
    status_shown,
)
from distlaw.charts import Chart

_EVERY = 3000  # ms between looks at a study
_CHARTS = {"losses": "Final losses", "curves": "Training losses"}
_FILES = ("table-csv", *(f"{name}-csv" for name in _CHARTS))

# What is on the tab


def layout(question: StudyQuestion, site: Site) -> list[Content]:
    """The tab, its inputs as the question has them."""
    if not site.studies.roots:
        text = "No folder of studies was named when this server was started: distlaw serve --studies DIR"
        return [html.Section([html.H1("Studies"), message(text, kind="note")], className="card wide")]
    results = [
        html.Section(id="study-answer", className="card answer", **aria(live="polite")),
        _runs(),
        html.Div(id="study-lab", className="results"),
        dcc.Store(id="study-seen"),
        dcc.Interval(id="study-clock", interval=_EVERY),
        dcc.Download(id="study-file"),
    ]
    return [_form(question, site.studies), html.Div(results, className="results")]


def _form(question: StudyQuestion, studies: Studies) -> html.Form:
    """Which study, and which of its runs."""

    def at(name: str) -> dict[str, Any]:
        return {"id": f"study-{name}", "label": LABELS[name], "value": getattr(question, name)}

    options = {place.key: place.key + (" (lab)" if place.lab else "") for place in studies.places()}
    filters = [
        Select(**at("kind"), options=KINDS),
        *(Text(**at(name)) for name in ("least_params", "most_params", "least_tokens", "most_tokens")),
        Select(**at("sort"), options=SORTS),
    ]
    return html.Form(
        [
            html.H2("Look at"),
            Select("study-study", LABELS["study"], question.study or next(iter(options), ""), options),
            html.Div(filters, id="study-filters", className="fields"),
        ],
        className="card form",
        **aria(label="Which runs"),
    )


def _runs() -> html.Div:
    """The runs of a study, which a lab has not."""
    return html.Div(
        [
            html.Div(id="study-report"),
            charts_card("study", _CHARTS),
            card("Runs", buttons(button("study-table-csv", "CSV")), html.Div(id="study-table")),
        ],
        id="study-runs",
        className="results",
        hidden=True,
    )


# What it reacts to

_TAB = Callbacks()
register = _TAB.register


def _question(asked: Any) -> StudyQuestion:  # noqa: ANN401
    """The question that stands in the address."""
    return StudyQuestion.from_query((asked or {}).get("query", ""))[0]


def _chosen(site: Site, asked: Any) -> list[Run]:  # noqa: ANN401
    """The runs that are asked about."""
    question = _question(asked)
    place = place_of(question, site.studies) if asked and asked["ok"] else None
    return [] if place is None else chosen(question, site.studies.runs(place))


@_TAB.on(Output("study-query", "data"), *(Input(f"study-{name}", "value") for name in StudyQuestion.names()))
def ask(site: Site, *values: Any) -> dict[str, Any]:  # noqa: ANN401
    """An input changes: the address, and whether there is such a thing."""
    question = StudyQuestion.of(list(values))
    try:
        chosen(question, [])
        place_of(question, site.studies)
    except ValueError as error:
        return {"query": question.to_query(), "ok": False, "why": str(error)}
    return {"query": question.to_query(), "ok": True}


@_TAB.on(
    Output("study-answer", "children"),
    Output("study-seen", "data"),
    Output("study-runs", "hidden"),
    Output("study-filters", "hidden"),
    Input("study-query", "data"),
    Input("study-clock", "n_intervals"),
    State("study-seen", "data"),
)
def look(site: Site, asked: Any, _tick: Any, before: Any) -> tuple[Any, Any, bool, bool]:  # noqa: ANN401
    """Something else is asked about, and time passes: say how far it is."""
    studies = site.studies
    if not asked or not asked["ok"]:
        return [html.H1("Nothing to show"), message((asked or {}).get("why", ""))], None, True, False
    question = _question(asked)
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
            shown, number = status_shown(standing, place.key, best_sentence(studies.runs(place))), standing.done
        else:
            runs = studies.runs(place)
            shown, number = finished_shown(place.key, runs), len(runs)
        seen = f"{asked['query']} {number}"
        # Where nothing is new, what is below stays as it is: a part that was opened would else be shut.
        return shown, no_update if seen == before else seen, False, False
    except ValueError as error:
        return [html.H1("Nothing to show"), message(str(error))], None, True, False


@_TAB.on(Output("study-table", "children"), Input("study-seen", "data"), State("study-query", "data"))
def list_runs(site: Site, _seen: Any, asked: Any) -> Any:  # noqa: ANN401
    """There are other runs: list them."""
    try:
        return runs_shown(_chosen(site, asked))
    except ValueError as error:
        return message(str(error))


@_TAB.on(Output("study-report", "children"), Input("study-seen", "data"), State("study-query", "data"))
def say(site: Site, _seen: Any, asked: Any) -> Any:  # noqa: ANN401
    """It is another study: what its report says."""
    try:
        place = place_of(_question(asked), site.studies) if asked and asked["ok"] else None
        text = None if place is None else site.studies.report(place)
    except ValueError:  # which stands where the runs would
        return None
    return None if text is None else report_shown(text)


@_TAB.on(
    *places("study", tuple(_CHARTS)),
    Input("study-seen", "data"),
    Input("theme", "data"),
    State("study-query", "data"),
)
def draw(site: Site, _seen: Any, theme: str, asked: Any) -> list[Any]:  # noqa: ANN401
    """There are other runs: draw them."""
    try:
        charts = _charts(site.studies, _question(asked), _chosen(site, asked))
    except ValueError:
        charts = {}
    return placed(charts, tuple(_CHARTS), theme)


@_TAB.on(
    Output("study-lab", "children"),
    Input("study-seen", "data"),
    Input("theme", "data"),
    State("study-query", "data"),
)
def show_lab(site: Site, seen: Any, theme: str, asked: Any) -> Any:  # noqa: ANN401
    """It is a lab: what that found."""
    if not seen or not str(seen).endswith(" lab"):
        return None
    try:
        place = place_of(_question(asked), site.studies)
        return None if place is None else lab_shown(site.studies.lab(place), theme)
    except ValueError as error:
        return message(str(error))


@_TAB.on(
    Output("study-file", "data"),
    *(Input(f"study-{name}", "n_clicks") for name in _FILES),
    State("study-query", "data"),
    prevent_initial_call=True,
)
def save(site: Site, *values: Any) -> Any:  # noqa: ANN401
    """A button saves a file."""
    if (name := pressed("study")) is None:
        return no_update
    try:
        runs = _chosen(site, values[-1])
        if name == "table-csv":
            return {"filename": "runs.csv", "content": csv_text(rows(runs))}
        chart = _charts(site.studies, _question(values[-1]), runs).get(name.removesuffix("-csv"))
    except ValueError:  # which stands where the runs would
        return no_update
    return no_update if chart is None else chart_file(chart)


def _charts(studies: Studies, question: StudyQuestion, runs: list[Run]) -> dict[str, Chart]:
    place = place_of(question, studies)
    if not runs or place is None:
        return {}
    curves = curve_chart(studies, place, runs)
    return {"losses": loss_chart(runs)} | ({} if curves is None else {"curves": curves})
