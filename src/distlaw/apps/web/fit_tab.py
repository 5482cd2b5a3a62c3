"""The Fit tab: drop a table of runs, say what its columns mean, fit a law."""

import json
from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from distlaw.apps.web import fit_work
from distlaw.apps.web.controls import Check, Copy, Drop, Select, Text
from distlaw.apps.web.elements import Content, aria, card, chart_slot, details, message
from distlaw.apps.web.figure import placed, places
from distlaw.apps.web.fit_question import (
    CLUSTERS,
    DISTILLED_FORMS,
    FIRST,
    JOINT,
    LABELS,
    LOSSES,
    RESTS_ON,
    FitQuestion,
)
from distlaw.apps.web.fit_view import (
    checked_shown,
    columns_shown,
    fit_shown,
    onward_shown,
    problems_shown,
    progress_shown,
)
from distlaw.apps.web.fit_work import MOST_ROWS, SUFFIXES, Fitted
from distlaw.apps.web.laws import law_of_text
from distlaw.apps.web.shelf import Session, Upload
from distlaw.apps.web.site import Site
from distlaw.apps.web.uploads import MOST_BYTES, checked, received
from distlaw.apps.web.workers import Job
from distlaw.runs import RUN_COLUMNS

FIT = {"seconds": 600.0, "memory": 6 << 30}
_EVERY = 500  # ms between looks at a fit

_RESTS = {JOINT: "fitted together with it", FIRST: "fitted to the same table first"} | {
    name: f"as in {name}" for name in RESTS_ON if name not in (JOINT, FIRST)
}
_CHARTS = {
    "extrapolation": "Student loss by its teacher",
    "errors": "Predictions against what was measured",
    "profiles": "What the runs do not determine",
}


def layout(question: FitQuestion, site: Site) -> list[Content]:
    """The tab, its inputs as the question has them."""

    def at(name: str) -> dict[str, Any]:
        return {"id": f"fit-{name}", "label": LABELS[name], "value": getattr(question, name)}

    def select(name: str, words: tuple[str, ...]) -> Select:
        return Select(**at(name), options={word: word for word in words})

    del site
    form = html.Form(
        [
            html.H2("How to fit"),
            Select(**at("kind"), options={"distillation": "distilled students", "supervised": "models trained alone"}),
            select("form", DISTILLED_FORMS),
            Select(**at("rests"), options=_RESTS),
            Text(**at("holdout"), placeholder="student_loss <= 2.3", help="The largest runs, to test extrapolation."),
            Text(**at("resamples"), help="0 to 4096; 0 gives no intervals."),
            details(
                "More",
                select("loss", LOSSES),
                Text(**at("delta")),
                Check(**at("consistency")),
                select("clusters", CLUSTERS),
                Text(**at("seed")),
            ),
        ],
        className="card form",
        **aria(label="How to fit"),
    )
    drop = Drop(
        id="fit-upload",
        label="Table of runs: CSV, JSONL or Parquet",
        accept=",".join(SUFFIXES),
        most_bytes=MOST_BYTES,
        help=f"Up to {MOST_BYTES / 1e6:.0f} MB and {MOST_ROWS:,} rows. It is kept for this browser alone.",
    )
    results = html.Div(
        [
            html.Section(
                [
                    html.H1("Fit a law to your runs"),
                    drop,
                    html.Div(id="fit-said", **aria(live="polite")),
                    html.Div(id="fit-columns"),
                    html.Div(id="fit-checked", **aria(live="polite")),
                    html.Div(
                        [
                            html.Button("Fit", id="fit-begin", type="button", disabled=True),
                            html.Button("Cancel", id="fit-cancel", type="button", className="quiet", disabled=True),
                        ],
                        className="buttons",
                    ),
                    html.Div(id="fit-progress", **aria(live="polite")),
                ],
                className="card answer",
            ),
            html.Div(
                [
                    card("The fit", html.Div(id="fit-result", **aria(live="polite"))),
                    html.Section(
                        [chart_slot(f"fit-{name}", label) for name, label in _CHARTS.items()],
                        className="card charts first",
                        **aria(label="Charts"),
                    ),
                    card(
                        "Take it along",
                        html.Div(
                            [
                                html.Button("Law file", id="fit-law", type="button"),
                                html.Button("JSON", id="fit-json", type="button", className="quiet"),
                                Copy("fit-link", "Copy link"),
                            ],
                            className="buttons",
                        ),
                        html.Div(id="fit-onward"),
                    ),
                ],
                id="fit-results",
                className="results",
                hidden=True,
            ),
            dcc.Store(id="fit-table", data=question.table),
            dcc.Store(id="fit-columns-said", data=question.columns),
            dcc.Store(id="fit-state"),
            dcc.Interval(id="fit-clock", interval=_EVERY, disabled=True),
            dcc.Download(id="fit-file"),
        ],
        className="results",
    )
    return [form, results]


_SETTINGS = tuple(name for name in FitQuestion.names() if name != "table" and not name.startswith("column_"))
_COLUMNS = tuple(column.name for column in RUN_COLUMNS)
_FILES = ("law", "json", *(f"{name}-csv" for name in _CHARTS))


def register(app: Dash, site: Site) -> None:
    """The tab's callbacks."""

    def table_of(question: FitQuestion) -> tuple[Session, Upload]:
        session = site.session()
        table = None if session is None else session.tables.get(question.table)
        if session is None or table is None:
            raise ValueError(
                "this link's table was dropped in another session, or too long ago; drop it again"
                if question.table
                else "drop a table first"
            )
        return session, table

    def fit_of(asked: Any) -> tuple[FitQuestion, Job | None]:  # noqa: ANN401
        question, _ = FitQuestion.from_query((asked or {}).get("query", ""))
        session = site.session()
        return question, None if session is None else session.fits.get(question)

    def result_of(asked: Any) -> tuple[FitQuestion, Fitted | None]:  # noqa: ANN401
        question, job = fit_of(asked)
        return question, job.result if job is not None and job.standing == "done" else None

    @app.callback(
        Output("fit-table", "data"),
        Output("fit-columns-said", "data"),
        Output("fit-said", "children"),
        Input("fit-upload", "value"),
        prevent_initial_call=True,
    )
    def receive(file: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
        try:
            upload = received(site, file)
        except ValueError as error:
            return "", {}, message(str(error))
        site.session_or_new().keep_table(upload)
        return upload.key, {}, None

    @app.callback(Output("fit-columns", "children"), Input("fit-table", "data"), State("fit-columns-said", "data"))
    def ask_columns(key: str, said: dict[str, str]) -> Content:
        try:
            _, upload = table_of(FitQuestion(table=key or ""))
        except ValueError as error:
            return message(str(error)) if key else None
        return columns_shown(upload, said or {})

    @app.callback(
        Output("fit-columns-said", "data", allow_duplicate=True),
        *(Input(f"fit-column-{name}", "value") for name in _COLUMNS),
        prevent_initial_call=True,
    )
    def hear_columns(*values: str) -> dict[str, str]:
        return {name: value for name, value in zip(_COLUMNS, values, strict=True) if value}

    @app.callback(
        Output("fit-query", "data"),
        Output("fit-checked", "children"),
        Output("fit-begin", "disabled"),
        *(Input(f"fit-{name}", "value") for name in _SETTINGS),
        Input("fit-table", "data"),
        Input("fit-columns-said", "data"),
    )
    def check(*values: Any) -> tuple[Any, Any, bool]:  # noqa: ANN401
        *settings, key, said = values
        given = {name: str(value or "") for name, value in zip(_SETTINGS, settings, strict=True)}
        question = FitQuestion(
            table=key or "", **given, **{f"column_{name}": text for name, text in (said or {}).items()}
        )
        asked = {"query": question.to_query(), "ok": False}
        if not key:
            return asked, None, True
        try:
            _, upload = table_of(question)
            _ = question.spec
            runs = checked(site, upload, question)
        except ValueError as error:
            return asked, problems_shown(str(error)), True
        return asked | {"ok": True}, checked_shown(runs), False

    @app.callback(
        Output("fit-state", "data"),
        Output("fit-clock", "disabled"),
        Output("fit-progress", "children"),
        Output("fit-cancel", "disabled"),
        Input("fit-begin", "n_clicks"),
        Input("fit-cancel", "n_clicks"),
        Input("fit-clock", "n_intervals"),
        Input("fit-query", "data"),
        State("fit-state", "data"),
    )
    def follow(begun: Any, cancelled: Any, _tick: Any, asked: Any, before: Any) -> tuple[Any, ...]:  # noqa: ANN401
        question, job = fit_of(asked)
        try:
            if ctx.triggered_id == "fit-begin" and begun and asked["ok"]:
                session, upload = table_of(question)
                work = (fit_work.fit, upload.path, upload.name, upload.columns, question)
                job = site.workers.begin(*work, **FIT)
                session.keep_fit(question, job)
            if ctx.triggered_id == "fit-cancel" and cancelled and job is not None:
                job.cancel()
                job.ended.wait(2)
        except ValueError as error:
            return no_update, True, message(str(error)), True
        if job is None:
            return None, True, None, True
        going = job.standing in ("waiting", "running")
        state = f"{asked['query']} {job.standing} {id(job)}"
        return state if state != before else no_update, not going, progress_shown(job), not going

    @app.callback(
        Output("fit-results", "hidden"),
        Output("fit-result", "children"),
        Output("fit-onward", "children"),
        Input("fit-state", "data"),
        State("fit-query", "data"),
    )
    def show(_state: Any, asked: Any) -> tuple[bool, Any, Any]:  # noqa: ANN401
        question, found = result_of(asked)
        if found is None:
            return True, None, None
        session, upload = table_of(question)
        if found.law is not None:
            session.keep_law(law_of_text(found.law, f"{Path(upload.name).stem}.json"))
        return False, fit_shown(found), onward_shown(found, question, upload)

    @app.callback(
        *places("fit", tuple(_CHARTS)),
        *(Output(f"fit-{name}-figure", "hidden") for name in _CHARTS),
        Input("fit-state", "data"),
        Input("theme", "data"),
        State("fit-query", "data"),
    )
    def draw(_state: Any, theme: str, asked: Any) -> tuple[Any, ...]:  # noqa: ANN401
        _, found = result_of(asked)
        charts = {} if found is None else found.charts
        return *placed(charts, tuple(_CHARTS), theme), *(name not in charts for name in _CHARTS)

    @app.callback(
        Output("fit-file", "data"),
        *(Input(f"fit-{name}", "n_clicks") for name in _FILES),
        State("fit-query", "data"),
        prevent_initial_call=True,
    )
    def save(*values: Any) -> Any:  # noqa: ANN401
        _, found = result_of(values[-1])
        if found is None or not ctx.triggered or not ctx.triggered[0]["value"]:
            return no_update
        name = str(ctx.triggered_id).removeprefix("fit-")
        if name == "law":
            return no_update if found.law is None else {"filename": "law.json", "content": found.law}
        if name == "json":
            return {"filename": "fit.json", "content": json.dumps(found.content, indent=2, ensure_ascii=False)}
        chart = found.charts.get(name.removesuffix("-csv"))
        return no_update if chart is None else {"filename": f"{chart.name}.csv", "content": chart.csv()}
