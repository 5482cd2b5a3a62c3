"""What the Plan tab shows of an answer: words, tables, and what one takes along."""

from collections.abc import Mapping
from typing import Any

from dash import html

from distlaw.apps.output import json_text
from distlaw.apps.web.elements import (
    Content,
    amount,
    chart_file,
    code,
    csv_text,
    details,
    fact,
    facts,
    message,
    table,
)
from distlaw.apps.web.plan_answer import Answer, content, crossover, curves, headline, rows, teachers
from distlaw.plan import SUPERVISED, Option, OptionUncertainty
from distlaw.runs import format_quantity


def saved(button: str, one: Answer) -> dict[str, str]:
    """What a button saves: name and content of a file."""
    if button == "json":
        return {"filename": "plan.json", "content": json_text(content(one))}
    if button == "options-csv":
        return {"filename": "plan.csv", "content": csv_text(rows(one))}
    name = button.removesuffix("-csv")
    return chart_file(crossover(one) if name == "crossover" else curves(one)[name])


def answer_shown(one: Answer) -> list[Content]:
    """The answer in words, and the numbers that matter."""
    word, words = headline(one)
    option, baseline = one.own, one.plan[SUPERVISED]
    found = []
    if baseline.feasible:
        tokens = format_quantity(baseline.student_tokens)
        found.append(fact("From scratch", f"{baseline.student_loss:.4f} nats", f"on {tokens} tokens"))
    if option.feasible:
        tokens = format_quantity(option.student_tokens)
        found.append(fact("Distilled", f"{option.student_loss:.4f} nats", f"on {tokens} tokens"))
        tokens = f"{format_quantity(option.teacher_tokens or 0)} tokens"
        if "teacher_tokens (most)" in option.at_bounds:
            tokens = "its training costs nothing here"
        teacher = f"parameters, {option.teacher_loss:.3f} nats; {tokens}"
        found.append(fact("Best teacher", format_quantity(option.teacher_params or 0), teacher))
        bill = one.bill(option)
        hours = f"{amount(bill.gpu_hours)} {one.question.accelerator}-hours"
        found.append(fact("Cost", f"${amount(bill.dollars)}", f"{hours}, {amount(bill.energy_kwh)} kWh"))
    parts: list[Content] = [html.H1(word), html.P(words, className="lead"), facts(*found)]
    if one.warnings:
        beyond = any(text.endswith("an extrapolation") for text in one.warnings)
        number = f"{len(one.warnings)} {'things' if len(one.warnings) > 1 else 'thing'} to know"
        title = f"This goes beyond the fitted runs; {number}" if beyond else number
        parts.append(details(title, message(*one.warnings, kind="warning")))
    return parts


def options_table(one: Answer, intervals: Mapping[str, OptionUncertainty] | None = None) -> Content:
    """The options of the plan, the user's own marked."""
    baseline = one.plan[SUPERVISED]
    serving = one.plan.problem.costs.serving_tokens > 0
    columns = ["Option", "Student loss, nats"]
    columns += ["90 % interval", "Beats scratch"] if intervals else []
    columns += ["Against scratch", "Student tokens", "Teacher", "Teacher tokens", "Teacher loss", "Compute goes to"]
    # Where every option spends the budget, a column that repeats it says nothing.
    budget = one.plan.problem.compute
    spends = [option.flops.total for option in one.plan.options if option.feasible]
    differ = budget is None or min(spends) < 0.999 * budget
    columns += ["FLOPs"] * differ + ["GPU-hours", "$"]
    lines, marked = [], -1
    for i, option in enumerate(one.plan.options):
        if option.scenario == one.question.situation:
            marked = i
        if not option.feasible:
            lines.append([option.scenario, "not feasible", *[""] * (len(columns) - 2)])
            continue
        bill = one.bill(option)
        gap = option.student_loss - baseline.student_loss
        lines.append(
            [
                option.scenario,
                f"{option.student_loss:.4f}",
                *(_interval(intervals.get(option.scenario)) if intervals else ()),
                "" if option.scenario == SUPERVISED or not baseline.feasible else f"{gap:+.4f}",
                format_quantity(option.student_tokens) + _star(option, "student_tokens"),
                _size(option, "teacher_params"),
                _size(option, "teacher_tokens"),
                "" if option.teacher_loss is None else f"{option.teacher_loss:.4f}",
                _shares(option, serving),
                *([f"{option.flops.total:.3g}"] if differ else ()),
                amount(bill.gpu_hours),
                amount(bill.dollars),
            ]
        )
    shown: list[Content] = [table("Five ways to make the student, each at its best", columns, lines, marked=marked)]
    if any(option.at_bounds for option in one.plan.options):
        shown.append(html.P("* on a bound of the search", className="help"))
    return shown


def _interval(one: OptionUncertainty | None) -> tuple[str, str]:
    if one is None:
        return "", ""
    low, high = one.student_loss
    return f"{low:.4f} to {high:.4f}", "" if one.probability is None else f"{one.probability:.0%}"


def _star(option: Option, name: str) -> str:
    return "*" if any(bound.startswith(name) for bound in option.at_bounds) else ""


def _size(option: Option, name: str) -> str:
    value = getattr(option, name)
    return "" if value is None else format_quantity(value) + _star(option, name)


_PARTS = (("student_training", "student"), ("teacher_logits", "logits"), ("teacher_training", "teacher"))


def _shares(option: Option, serving: bool) -> dict[str, Any]:
    """Shares of the compute, as a bar and in words."""
    parts = [*_PARTS, *((("student_serving", "serving"),) if serving else ())]
    shares = {name: getattr(option.flops, part) / option.flops.total for part, name in parts}
    spent = {name: share for name, share in shares.items() if share > 0}
    return {"bar": spent, "words": ", ".join(f"{name} {share:.0%}" for name, share in spent.items())}


def teachers_table(one: Answer) -> Content:
    """The user's own teachers, ranked."""
    try:
        ranked = teachers(one)
    except ValueError as error:
        return message(str(error))
    if not ranked:
        return None
    columns = [
        "Teacher",
        "Student loss, nats",
        "Gain",
        "Student tokens",
        "Parameters",
        "Teacher loss",
        "Loss is",
        "FLOPs",
    ]
    lines = [
        [
            row.name,
            f"{row.student_loss:.4f}",
            f"{row.gain:+.4f}",
            format_quantity(row.student_tokens),
            "" if row.teacher_params is None else format_quantity(row.teacher_params),
            "" if row.teacher_loss is None else f"{row.teacher_loss:.4f}",
            row.loss_from or "",
            f"{row.total_flops:.3g}",
        ]
        for row in ranked
    ]
    return [html.H3("Your own teachers"), table("Own teachers, best first", columns, lines, marked=0)]


def export_shown(one: Answer) -> list[Content]:
    """Files and texts that give the same plan elsewhere."""
    law = one.law.command
    return [
        html.H3("The same on the command line"),
        code("plan-command", one.question.command(law), "Command line"),
        details("The same in Python", code("plan-python", one.question.python(law), "Python")),
    ]
