"""The Fit tab: drop a table of runs, say what its columns mean, fit a law."""

from pathlib import Path
from typing import Any

from dash import Input, Output, State, ctx, dcc, html, no_update

from distlaw.apps.output import json_text
from distlaw.apps.web import fit_work
from distlaw.apps.web.callbacks import Callbacks, pressed
from distlaw.apps.web.controls import Check, Copy, Drop, Select, Text
from distlaw.apps.web.elements import (
    Content,
    aria,
    button,
    buttons,
    card,
    chart_file,
    charts_card,
    details,
    message,
)
from distlaw.apps.web.figure import placed, places
from distlaw.apps.web.fit_question import (
    CHOSEN,
    CLUSTERS,
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
from distlaw.fit import FORMS
from distlaw.runs import RUN_COLUMNS

FIT: dict[str, Any] = {"seconds": 600.0, "memory": 6 << 30}
_EVERY = 500  # ms between looks at a fit

_KINDS = {CHOSEN: "what the table has", "distillation": "distilled students", "supervised": "models trained alone"}
_FORMS = {CHOSEN: "the one that the runs determine"} | {name: name for name in FORMS}
_RESTS = {
    CHOSEN: "the table's own, where it has one",
    JOINT: "fitted together with it",
    FIRST: "fitted to the same table first",
} | {name: f"as in {name}" for name in RESTS_ON if name not in (JOINT, FIRST)}
_CHARTS = {
    "extrapolation": "Student loss by its teacher",
    "errors": "Predictions against what was measured",
    "profiles": "What the runs do not determine",
}
_SETTINGS = tuple(name for name in FitQuestion.names() if name != "table" and not name.startswith("column_"))
_COLUMNS = tuple(column.name for column in RUN_COLUMNS)
_FILES = ("law", "json", *(f"{name}-csv" for name in _CHARTS))

# What is on the tab


def layout(question: FitQuestion, site: Site) -> list[Content]:
    """The tab, its inputs as the question has them."""
    del site
    return [_form(question), html.Div([_table(), _results(), *_unseen(question)], className="results")]


def _form(question: FitQuestion) -> html.Form:
    """How to fit."""

    def at(name: str) -> dict[str, Any]:
        return {"id": f"fit-{name}", "label": LABELS[name], "value": getattr(question, name)}

    def select(name: str, words: tuple[str, ...]) -> Select:
        return Select(**at(name), options={word: word for word in words})

    return html.Form(
        [
            html.H2("How to fit"),
            Select(**at("kind"), options=_KINDS),
            Select(**at("form"), options=_FORMS),
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
                Text(**at("units"), placeholder="tokens=B, loss=bits"),
            ),
        ],
        className="card form",
        **aria(label="How to fit"),
    )


def _table() -> html.Section:
    """The table of runs, what is in it, and the fit under way."""
    drop = Drop(
        id="fit-upload",
        label="Table of runs: CSV, JSONL or Parquet",
        accept=",".join(SUFFIXES),
        most_bytes=MOST_BYTES,
        help=f"Up to {MOST_BYTES / 1e6:.0f} MB and {MOST_ROWS:,} rows. It is kept for this browser alone.",
    )
    begin = button("fit-begin", "Fit", quiet=False, disabled=True)
    return html.Section(
        [
            html.H1("Fit a law to your runs"),
            drop,
            html.Div(id="fit-said", **aria(live="polite")),
            html.Div(id="fit-columns"),
            html.Div(id="fit-checked", **aria(live="polite")),
            buttons(begin, button("fit-cancel", "Cancel", disabled=True)),
            html.Div(id="fit-progress", **aria(live="polite")),
        ],
        className="card answer",
    )


def _results() -> html.Div:
    """The fit that was made."""
    take = buttons(
        button("fit-law", "Law file", quiet=False), button("fit-json", "JSON"), Copy("fit-link", "Copy link")
    )
    return html.Div(
        [
            card("The fit", html.Div(id="fit-result", **aria(live="polite"))),
            charts_card("fit", _CHARTS, first_wide=True),
            card("Take it along", take, html.Div(id="fit-onward")),
        ],
        id="fit-results",
        className="results",
        hidden=True,
    )


def _unseen(question: FitQuestion) -> list[Content]:
    """What the tab remembers, its clock, and the file that is saved."""
    return [
        dcc.Store(id="fit-table", data=question.table),
        dcc.Store(id="fit-columns-said", data=question.columns),
        dcc.Store(id="fit-state"),
        dcc.Interval(id="fit-clock", interval=_EVERY, disabled=True),
        dcc.Download(id="fit-file"),
    ]


# What it reacts to

_TAB = Callbacks()
register = _TAB.register


def _table_of(site: Site, question: FitQuestion) -> tuple[Session, Upload]:
    """The session and the table of a question.

    Raises:
        ValueError: The session has none, or another; says what to do.
    """
    session = site.session()
    table = None if session is None else session.tables.get(question.table)
    if session is None or table is None:
        raise ValueError(
            "this link's table was dropped in another session, or too long ago; drop it again"
            if question.table
            else "drop a table first"
        )
    return session, table


def _fit_of(site: Site, asked: Any) -> tuple[FitQuestion, Job | None]:  # noqa: ANN401
    """The question that stands in the address, and its fit; None where none has begun."""
    question, _ = FitQuestion.from_query((asked or {}).get("query", ""))
    session = site.session()
    return question, None if session is None else session.fits.get(question)


def _result_of(site: Site, asked: Any) -> tuple[FitQuestion, Fitted | None]:  # noqa: ANN401
    """The same with what the fit gave; None until it is done."""
    question, job = _fit_of(site, asked)
    return question, job.result if job is not None and job.standing == "done" else None


@_TAB.on(
    Output("fit-table", "data"),
    Output("fit-columns-said", "data"),
    Output("fit-said", "children"),
    Input("fit-upload", "value"),
    prevent_initial_call=True,
)
def receive(site: Site, file: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    """A table is dropped: keep it."""
    try:
        session = site.session_or_new()  # first, as there may be no place for one
        upload = received(site, file)
    except ValueError as error:
        return "", {}, message(str(error))
    session.keep_table(upload)
    return upload.key, {}, None


@_TAB.on(Output("fit-columns", "children"), Input("fit-table", "data"), State("fit-columns-said", "data"))
def ask_columns(site: Site, key: str, said: dict[str, str]) -> Content:
    """There is a table: ask what its columns mean."""
    try:
        _, upload = _table_of(site, FitQuestion(table=key or ""))
    except ValueError as error:
        return message(str(error)) if key else None
    return columns_shown(upload, said or {})


@_TAB.on(
    Output("fit-columns-said", "data", allow_duplicate=True),
    *(Input(f"fit-column-{name}", "value") for name in _COLUMNS),
    prevent_initial_call=True,
)
def hear_columns(_site: Site, *values: str) -> dict[str, str]:
    """A column is chosen: remember which."""
    return {name: value for name, value in zip(_COLUMNS, values, strict=True) if value}


@_TAB.on(
    Output("fit-query", "data"),
    Output("fit-checked", "children"),
    Output("fit-begin", "disabled"),
    *(Input(f"fit-{name}", "value") for name in _SETTINGS),
    Input("fit-table", "data"),
    Input("fit-columns-said", "data"),
)
def check(site: Site, *values: Any) -> tuple[Any, Any, bool]:  # noqa: ANN401
    """Anything changes: say what runs there are, and whether they can be fitted so."""
    *settings, key, said = values
    given = {name: str(value or "") for name, value in zip(_SETTINGS, settings, strict=True)}
    question = FitQuestion(table=key or "", **given, **{f"column_{name}": text for name, text in (said or {}).items()})
    asked = {"query": question.to_query(), "ok": False}
    try:
        _ = question.spec, fit_work.units_said(question.units)
        if not key:
            return asked, None, True
        _, upload = _table_of(site, question)
        runs = checked(site, upload, question)
    except ValueError as error:
        return asked, problems_shown(str(error)), True
    return asked | {"ok": True}, checked_shown(runs), False


@_TAB.on(
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
def follow(site: Site, begun: Any, cancelled: Any, _tick: Any, asked: Any, before: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Fit and Cancel are pressed, and time passes: begin, end, and say how far it is."""
    question, job = _fit_of(site, asked)
    try:
        if ctx.triggered_id == "fit-begin" and begun and asked["ok"]:
            session, upload = _table_of(site, question)
            work = (fit_work.fit, upload.path, upload.name, upload.columns, question)
            job = site.workers.begin(*work, **FIT, client=site.client)
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


@_TAB.on(
    Output("fit-results", "hidden"),
    Output("fit-result", "children"),
    Output("fit-onward", "children"),
    Input("fit-state", "data"),
    State("fit-query", "data"),
)
def show(site: Site, _state: Any, asked: Any) -> tuple[bool, Any, Any]:  # noqa: ANN401
    """A fit is done: keep its law for the other tabs, and show it."""
    question, found = _result_of(site, asked)
    if found is None:
        return True, None, None
    try:
        session, upload = _table_of(site, question)
        if found.law is not None:
            session.keep_law(law_of_text(found.law, f"{Path(upload.name).stem}.json"))
    except ValueError as error:
        return False, [message(str(error), kind="warning"), *fit_shown(found)], None
    return False, fit_shown(found), onward_shown(found, question, upload)


@_TAB.on(
    *places("fit", tuple(_CHARTS)),
    *(Output(f"fit-{name}-figure", "hidden") for name in _CHARTS),
    Input("fit-state", "data"),
    Input("theme", "data"),
    State("fit-query", "data"),
)
def draw(site: Site, _state: Any, theme: str, asked: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """A fit is done: draw what charts it has."""
    _, found = _result_of(site, asked)
    charts = {} if found is None else found.charts
    return *placed(charts, tuple(_CHARTS), theme), *(name not in charts for name in _CHARTS)


@_TAB.on(
    Output("fit-file", "data"),
    *(Input(f"fit-{name}", "n_clicks") for name in _FILES),
    State("fit-query", "data"),
    prevent_initial_call=True,
)
def save(site: Site, *values: Any) -> Any:  # noqa: ANN401
    """A button saves a file."""
    _, found = _result_of(site, values[-1])
    name = pressed("fit")
    if found is None or name is None:
        return no_update
    if name == "law":
        return no_update if found.law is None else {"filename": "law.json", "content": found.law}
    if name == "json":
        return {"filename": "fit.json", "content": json_text(found.content)}
    chart = found.charts.get(name.removesuffix("-csv"))
    return no_update if chart is None else chart_file(chart)
