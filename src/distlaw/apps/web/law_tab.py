"""The Law tab: what a law says around one student, and how far it was fitted."""

from typing import Any

from dash import Input, Output, State, dcc, html, no_update

from distlaw.apps.output import json_text
from distlaw.apps.web.callbacks import Callbacks, pressed
from distlaw.apps.web.controls import Copy, Quantity, Select, Text
from distlaw.apps.web.elements import (
    Content,
    aria,
    button,
    buttons,
    card,
    chart_file,
    charts_card,
    details,
    fact,
    facts,
    message,
    table,
)
from distlaw.apps.web.figure import placed, places
from distlaw.apps.web.law_question import LABELS, LawQuestion, LawView, charts, coefficients, content, view
from distlaw.apps.web.site import Site
from distlaw.runs import format_quantity

_CHARTS = {
    "map": "Loss by teacher and student",
    "teachers": "By the teacher",
    "tokens": "By the student's tokens",
    "sizes": "By the student's size",
}
_FILES = ("json", *(f"{name}-csv" for name in _CHARTS))

# What is on the tab


def layout(question: LawQuestion, site: Site) -> list[Content]:
    """The tab, its inputs as the question has them."""
    take = buttons(Copy("law-link", "Copy link"), button("law-json", "JSON"))
    results = [
        html.Section(id="law-answer", className="card answer", **aria(live="polite", atomic="true")),
        charts_card("law", _CHARTS),
        card("The law", html.Div(id="law-about")),
        card("Take it along", take),
        dcc.Download(id="law-file"),
    ]
    return [_form(question, site), html.Div(results, className="results")]


def _form(question: LawQuestion, site: Site) -> html.Form:
    """Which law, and the student to look around."""

    def at(name: str) -> dict[str, Any]:
        return {"id": f"law-{name}", "label": LABELS[name], "value": getattr(question, name)}

    middle = "Empty: the middle of the law's range."
    return html.Form(
        [
            html.H2("Look at"),
            Select(**at("law"), options=site.laws.options(site.own_laws(), distilled=False)),
            Quantity(**at("student"), low=1e3, high=1e12, help=middle, optional=True),
            Quantity(**at("tokens"), low=1e5, high=1e14, help=middle, optional=True),
            Text(**at("teacher"), help="Empty: the best teacher for this student."),
        ],
        className="card form",
        **aria(label="Inputs of the law"),
    )


# What it reacts to

_TAB = Callbacks()
register = _TAB.register


def _view(site: Site, asked: Any) -> LawView | None:  # noqa: ANN401
    """What was asked last; None where it had no answer."""
    if not asked or not asked.get("ok"):
        return None
    question, _ = LawQuestion.from_query(asked["query"])
    try:
        return view(question, site.law(question.law))
    except ValueError:  # the session has ended since, and its law with it
        return None


@_TAB.on(
    Output("law-answer", "children"),
    Output("law-about", "children"),
    Output("law-query", "data"),
    *(Input(f"law-{name}", "value") for name in LawQuestion.names()),
)
def say(site: Site, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """An input changes: the answer in words, and its address."""
    question = LawQuestion.of(list(values))
    try:
        shown = view(question, site.law(question.law))
    except ValueError as error:
        asked = {"query": question.to_query(), "ok": False}
        return [html.H1("No answer"), message(str(error))], None, asked
    return answer_shown(shown), about_shown(shown), {"query": question.to_query(), "ok": True}


@_TAB.on(*places("law", tuple(_CHARTS)), Input("law-query", "data"), Input("theme", "data"))
def draw(site: Site, asked: Any, theme: str) -> list[Any]:  # noqa: ANN401
    """There is an answer: its charts."""
    shown = _view(site, asked)
    return placed({} if shown is None else charts(shown), tuple(_CHARTS), theme)


@_TAB.on(
    Output("law-file", "data"),
    *(Input(f"law-{name}", "n_clicks") for name in _FILES),
    State("law-query", "data"),
    prevent_initial_call=True,
)
def save(site: Site, *values: Any) -> Any:  # noqa: ANN401
    """A button saves a file."""
    shown, name = _view(site, values[-1]), pressed("law")
    if shown is None or name is None:
        return no_update
    if name == "json":
        return {"filename": "law-view.json", "content": json_text(content(shown))}
    chart = charts(shown).get(name.removesuffix("-csv"))
    return no_update if chart is None else chart_file(chart)


# What it shows of a law


def answer_shown(shown: LawView) -> list[Content]:
    """The law at the student that is asked about."""
    size, tokens = format_quantity(shown.N_S), format_quantity(shown.D_S)
    found = [fact("From scratch", f"{shown.alone[0]:.4f} nats", _interval(shown.alone))]
    if shown.distills:
        found.insert(0, fact("Distilled", f"{shown.loss[0]:.4f} nats", _interval(shown.loss)))
        found.append(fact("Best teacher" if shown.best else "Teacher", f"{shown.L_T:.4f} nats", "its loss"))
        gain = shown.alone[0] - shown.loss[0]
        words = f"{abs(gain):.4f} nats {'below' if gain > 0 else 'above'} the same student trained from scratch"
        teacher = "its best teacher" if shown.best else f"a teacher of {shown.L_T:.4g} nats"
        sentence = f"A student of {size} parameters distilled on {tokens} tokens from {teacher} ends {words}."
    else:
        sentence = (
            f"A model of {size} parameters trained on {tokens} tokens. This law is of models trained from scratch."
        )
    parts: list[Content] = [html.H1(shown.found.name), html.P(sentence, className="lead"), facts(*found)]
    if shown.warnings:
        parts.append(message(*shown.warnings, kind="warning"))
    return parts


def about_shown(shown: LawView) -> list[Content]:
    """Where a law is from and what it was fitted on."""
    law = shown.found
    level = "Interval" if law.interval_level is None else f"{law.interval_level:.0%} interval"
    ranges = [
        [name.replace("_", " "), *(f"{end:.4g}" if name == "teacher_loss" else format_quantity(end) for end in ends)]
        for name, ends in law.fitted_range.items()
    ]
    known = [
        ("Source", law.source),
        ("Data", law.data),
        ("Parameters count", law.size_convention),
        ("Runs", law.runs),
        ("Resamples", "yes, for intervals" if shown.law.has_draws else "none: no intervals of predictions"),
    ]
    listed = html.Dl([part for name, text in known for part in (html.Dt(name), html.Dd(text))], className="listed")
    return [
        listed,
        html.Div(
            [
                table("Fitted on", ["Quantity", "Lowest", "Highest"], ranges),
                details("Coefficients", table("Coefficients", ["Name", "Value", level], coefficients(law)), open=True),
            ],
            className="beside",
        ),
    ]


def _interval(loss: tuple[float, float, float]) -> str:
    return "per token" if loss[1] != loss[1] else f"90 %: {loss[1]:.4f} to {loss[2]:.4f}"
