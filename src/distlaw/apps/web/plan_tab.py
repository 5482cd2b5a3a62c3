"""The Plan tab: distill or train from scratch."""

from collections.abc import Mapping
from typing import Any

from dash import Input, Output, State, dcc, html, no_update, set_props

from distlaw.apps.web.callbacks import Callbacks, pressed
from distlaw.apps.web.controls import Check, Copy, Drop, Quantity, Rows, Select, Text, options_of
from distlaw.apps.web.elements import (
    Content,
    aria,
    button,
    buttons,
    card,
    charts_card,
    details,
    message,
    sentence,
)
from distlaw.apps.web.figure import placed, places
from distlaw.apps.web.laws import MOST_BYTES, decoded, law_of_text
from distlaw.apps.web.plan_answer import (
    Answer,
    answer,
    budget_in,
    crossover,
    curves,
    reasons,
    spread,
    verdict,
)
from distlaw.apps.web.plan_question import LABELS, TEACHER_CELLS, UNITS, PlanQuestion
from distlaw.apps.web.plan_view import answer_shown, export_shown, options_table, saved, teachers_table
from distlaw.apps.web.query import MOST_ROWS
from distlaw.apps.web.shelf import file_name
from distlaw.apps.web.site import Site
from distlaw.costs import ACCELERATORS
from distlaw.plan import SITUATIONS

_HELP = {
    "student": "Without embeddings, such as 300M or 1B.",
    "law": "Which scaling law to believe; losses are those of its data and tokenizer.",
    "students": "Each pays its part of the teacher's training.",
    "cached": "From 0 to 1; cached targets cost no teacher pass.",
    "serving": "Serving is paid from the same budget; 0 counts training alone.",
    "unique_tokens": "Caps the tokens of student and teacher; empty: enough.",
    "largest_teacher": "Empty: any.",
    "price": "Empty: a rough market price.",
}
_RANGES = {
    "flops": (1e15, 1e27),
    "gpu-hours": (1e-3, 1e9),
    "dollars": (1e-3, 1e9),
    "tokens": (1e6, 1e15),
    "loss": (1.5, 6.0),
}
_SITUATIONS = {
    "best-case": "Teacher and logits free",
    "teacher-inference": "Teacher there, logits paid",
    "teacher-pretraining": "Teacher trained, logits free",
    "teacher-pretraining-and-inference": "Teacher trained, logits paid",
}
_CHARTS = {
    "loss": "Loss against compute",
    "gain": "What distilling gains at equal compute",
    "crossover": "Where the lead changes",
    "spending": "Where the compute goes",
    "sizes": "The best tokens and teacher",
}
_CURVES = tuple(name for name in _CHARTS if name != "crossover")  # which takes longer and is drawn apart
_FILES = ("json", "options-csv", *(f"{name}-csv" for name in _CHARTS))
_LATER = html.P("Worked out when it is looked at.", className="help")

# What is on the tab


def layout(question: PlanQuestion, site: Site) -> list[Content]:
    """The tab, its inputs as the question has them."""
    results = [
        html.Section(id="plan-answer", className="card answer", **aria(live="polite", atomic="true")),
        _rest(),
        dcc.Download(id="plan-file"),
        *(dcc.Store(id=f"plan-{name}") for name in ("spread", "rested", "seen")),
    ]
    return [_form(question, site), html.Div(results, className="results")]


def _form(question: PlanQuestion, site: Site) -> html.Form:
    """The student, what may be spent on it, and what is shared."""

    def at(name: str) -> dict[str, Any]:
        return {"id": f"plan-{name}", "label": LABELS[name], "value": getattr(question, name)}

    def text(name: str) -> Text:
        return Text(**at(name), help=_HELP.get(name, ""))

    low, high = _RANGES[question.unit]
    situations = {name: words[3].upper() + words[4:] for name, words in SITUATIONS.items()}
    return html.Form(
        [
            html.H2("Your question"),
            Quantity(**at("student"), low=1e5, high=1e12, help=_HELP["student"]),
            Quantity(**at("budget"), low=low, high=high),
            Select(**at("unit"), options=UNITS),
            Select(**at("situation"), options=_SITUATIONS, about=situations),
            Select(**at("law"), options=site.laws.options(site.own_laws()), help=_HELP["law"]),
            details(
                "Sharing and serving",
                text("students"),
                Check(**at("shared")),
                *map(text, ("cached", "serving")),
                open=(question.students, question.shared, question.cached, question.serving) != ("1", "", "0", "0"),
            ),
            details(
                "Limits",
                *map(text, ("unique_tokens", "largest_teacher")),
                open=bool(question.unique_tokens or question.largest_teacher),
            ),
            details(
                "Own teachers",
                Rows(**at("teacher"), columns=TEACHER_CELLS, thing="teacher", most=MOST_ROWS),
                html.P("Give each a loss on the law's data, or the tokens to estimate it from.", className="help"),
                open=bool(question.teacher),
            ),
            details(
                "Hardware and model family",
                Select(**at("accelerator"), options={name: name for name in ACCELERATORS}),
                *map(text, ("utilisation", "price", "context", "vocabulary")),
            ),
            details("Own law file", _law_drop(), html.Div(id="plan-upload-said")),
        ],
        className="card form",
        **aria(label="Inputs of the plan"),
    )


def _law_drop() -> Drop:
    """Where a law file is brought along."""
    return Drop(
        id="plan-upload",
        label="Law file that distlaw fit wrote",
        accept=".json",
        most_bytes=MOST_BYTES,
        help="Stays in this browser's session.",
    )


def _rest() -> html.Div:
    """All below the answer, hidden where there is none."""
    take = buttons(Copy("plan-link", "Copy link"), button("plan-json", "JSON"), button("plan-options-csv", "CSV"))
    return html.Div(
        [
            card("All five ways", html.Div(id="plan-table"), html.Div(id="plan-teachers")),
            charts_card("plan", _CHARTS, first_wide=True),
            card(
                "Why, and what would turn it round",
                html.Div(id="plan-confidence"),
                html.Div(id="plan-reasons"),
                id="plan-reasons-part",
            ),
            card("Take it along", take, html.Div(id="plan-save-said"), html.Div(id="plan-export")),
        ],
        id="plan-rest",
        className="results",
    )


# What it reacts to

_TAB = Callbacks()
register = _TAB.register


def _answer(site: Site, asked: Mapping[str, Any] | None) -> Answer | None:
    """The answer to what was asked last; None where it had none."""
    if not asked or not asked.get("ok"):
        return None
    question, _ = PlanQuestion.from_query(asked["query"])
    try:
        return answer(question, site.law(question.law))
    except ValueError:  # the session has ended since, and its law with it
        return None


@_TAB.on(
    Output("plan-answer", "children"),
    Output("plan-table", "children"),
    Output("plan-teachers", "children"),
    Output("plan-export", "children"),
    Output("plan-reasons", "children"),
    Output("plan-query", "data"),
    *(Input(f"plan-{name}", "value") for name in PlanQuestion.names()),
)
def say(site: Site, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """An input changes: the answer in words and numbers, and its address."""
    question = PlanQuestion.of(list(values))
    try:
        one = answer(question, site.law(question.law))
        return (
            answer_shown(one),
            options_table(one),
            teachers_table(one),
            export_shown(one),
            _LATER,
            {"query": question.to_query(), "ok": True},
        )
    except ValueError as error:
        asked = {"query": question.to_query(), "ok": False}
        return [html.H1("No answer"), message(str(error))], None, None, None, None, asked


# Apart from the answer, which would wait for all that is in this part to be loaded.
_TAB.in_browser("unanswered", Output("plan-rest", "hidden"), Input("plan-query", "data"))
# The address once it has rested for a moment, and then once the reasons are in view.
_TAB.in_browser("rested", Output("plan-rested", "data"), Input("plan-query", "data"))
_TAB.in_browser("seen", Output("plan-seen", "data"), Input("plan-rested", "data"))


@_TAB.on(*places("plan", _CURVES), Input("plan-query", "data"), Input("plan-spread", "data"), Input("theme", "data"))
def draw(site: Site, asked: Any, told: Any, theme: str) -> list[Any]:  # noqa: ANN401
    """There is an answer, and later its intervals: its charts over compute."""
    if (one := _answer(site, asked)) is None:
        return placed({}, _CURVES, theme)
    intervals = spread(one.question, one.law) if told == asked["query"] else None
    return placed(curves(one, intervals), _CURVES, theme)


@_TAB.on(*places("plan", ["crossover"]), Input("plan-query", "data"), Input("theme", "data"))
def cross(site: Site, asked: Any, theme: str) -> Any:  # noqa: ANN401
    """There is an answer: where supervised training overtakes."""
    one = _answer(site, asked)
    return placed({} if one is None else {"crossover": crossover(one)}, ["crossover"], theme)


@_TAB.on(
    Output("plan-reasons", "children", allow_duplicate=True),
    Input("plan-seen", "data"),
    prevent_initial_call="initial_duplicate",
)
def explain(site: Site, asked: Any) -> Any:  # noqa: ANN401
    """The reasons are looked at: work them out."""
    if (one := _answer(site, asked)) is None:
        return no_update
    return html.Ul([html.Li(sentence(text)) for text in reasons(one.question, one.law)])


@_TAB.on(
    Output("plan-table", "children", allow_duplicate=True),
    Output("plan-confidence", "children"),
    Input("plan-rested", "data"),
    prevent_initial_call="initial_duplicate",
)
def doubt(site: Site, asked: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """The answer has rested: its intervals, from the resamples of its law."""
    one = _answer(site, asked)
    if one is None:
        return no_update, None
    try:
        intervals, judged = spread(one.question, one.law), verdict(one.question, one.law)
    except ValueError as error:
        return no_update, message(str(error), kind="warning")
    # Set by the way and not as an output, for which the charts would wait.
    set_props("plan-spread", {"data": asked["query"]})
    return options_table(one, intervals, judged), None


@_TAB.on(
    Output("plan-budget", "value"),
    Output("plan-budget", "low"),
    Output("plan-budget", "high"),
    Input("plan-unit", "value"),
    State("plan-query", "data"),
    prevent_initial_call=True,
)
def convert(site: Site, unit: str, asked: Any) -> tuple[Any, float, float]:  # noqa: ANN401
    """The budget shall be in another unit: the same budget in that."""
    one = _answer(site, asked)
    if one is None or one.question.unit == unit:
        return no_update, *_RANGES[unit]
    return budget_in(one, unit), *_RANGES[unit]


@_TAB.on(
    Output("plan-law", "options"),
    Output("plan-law", "value"),
    Output("plan-upload-said", "children"),
    Input("plan-upload", "value"),
    prevent_initial_call=True,
)
def bring(site: Site, file: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    """A law file is dropped: keep it and choose it."""
    try:
        name = file_name(file["name"])
        law = law_of_text(decoded(file["content"], MOST_BYTES).decode("utf-8", "replace"), name)
        _ = law.student_law
        site.session_or_new().keep_law(law)
    except (ValueError, KeyError, TypeError) as error:
        return no_update, no_update, message(str(error) if isinstance(error, ValueError) else "no file came")
    return options_of(site.laws.options(site.own_laws())), law.key, message(f"{name} is chosen", kind="note")


@_TAB.on(
    Output("plan-file", "data"),
    Output("plan-save-said", "children"),
    *(Input(f"plan-{name}", "n_clicks") for name in _FILES),
    State("plan-query", "data"),
    prevent_initial_call=True,
)
def save(site: Site, *values: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """A button saves a file."""
    one, name = _answer(site, values[-1]), pressed("plan")
    if one is None or name is None:
        return no_update, None
    try:
        return saved(name, one), None
    except ValueError as error:  # in what only a file needs, as own teachers
        return no_update, message(str(error))
