"""What the Plan tab shows of an answer: words, tables, and what one takes along."""

from collections.abc import Mapping
from dataclasses import replace
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
from distlaw.apps.web.plan_answer import Answer, content, crossover, curves, rows
from distlaw.plan import SUPERVISED, Option, OptionUncertainty, RankedTeacher, TeacherRange, Verdict
from distlaw.plan.ranking_words import best_teacher_of
from distlaw.plan.verdict import nats
from distlaw.report.plan_tables import gain_cell, interval_cell, lead_cell, share_cell
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
    option, baseline = one.option, one.plan[SUPERVISED]
    word, _, words = one.headline.partition(": ")
    found = []
    if baseline.feasible:
        tokens = format_quantity(baseline.student_tokens)
        found.append(fact("From scratch", f"{nats(baseline.student_loss, one.resolution)} nats", f"on {tokens} tokens"))
    best = best_teacher_of(one.own)
    if best is not None:
        found += _own_facts(one, best)
    elif option.feasible:
        tokens = format_quantity(option.student_tokens)
        found.append(fact("Distilled", f"{nats(option.student_loss, one.resolution)} nats", f"on {tokens} tokens"))
        if one.teachers is not None:
            found.append(_assumed_teacher(one.teachers))
        bill = one.bill(option)
        hours = f"{amount(bill.gpu_hours)} {one.question.accelerator}-hours"
        found.append(fact("Cost", f"${amount(bill.dollars)}", f"{hours}, {amount(bill.energy_kwh)} kWh"))
    parts: list[Content] = [html.H1(word), html.P(words[:1].upper() + words[1:], className="lead"), facts(*found)]
    if one.own_problem is not None:
        parts.append(message(f"Without your own teachers: {one.own_problem}", kind="warning"))
    if one.warnings:
        beyond = any(text.endswith("an extrapolation") for text in one.warnings)
        number = f"{len(one.warnings)} {'things' if len(one.warnings) > 1 else 'thing'} to know"
        title = f"This goes beyond the fitted runs; {number}" if beyond else number
        parts.append(details(title, message(*one.warnings, kind="warning")))
    return parts


def _assumed_teacher(found: TeacherRange) -> Content:
    """What the answer assumes about the teacher: any of a range."""
    small, large = found.smallest, found.largest
    sizes = f"{format_quantity(small.params)} to {format_quantity(large.params)}"
    tokens = f"{format_quantity(small.tokens)} to {format_quantity(large.tokens)}"
    low, high = found.loss
    return fact("Teacher assumed", sizes, f"parameters, on {tokens} tokens; {low:.2f} to {high:.2f} nats: equally good")


def _own_facts(one: Answer, best: RankedTeacher) -> list[Content]:
    """The best of the user's own teachers, and its student."""
    tokens = format_quantity(best.student_tokens)
    loss = f"{nats(best.student_loss, best.resolution)} nats"
    bill = one.machine.bill(best.total_flops)
    hours = f"{amount(bill.gpu_hours)} {one.question.accelerator}-hours"
    about = f"{format_quantity(best.teacher_params or 0)} parameters, {best.teacher_loss:.3f} ±"
    return [
        fact("Distilled", loss, f"on {tokens} tokens"),
        fact("Best of your teachers", best.name, f"{about} {best.teacher_loss_error:.3f} nats, {best.loss_from}"),
        fact("Cost", f"${amount(bill.dollars)}", f"{hours}, {amount(bill.energy_kwh)} kWh"),
    ]


def options_table(
    one: Answer,
    intervals: Mapping[str, OptionUncertainty] | None = None,
    verdict: Verdict | None = None,
) -> Content:
    """The options of the plan, the user's own marked; who is ahead stands there once it has been judged."""
    serving = one.plan.problem.costs.serving_tokens > 0
    columns = ["Option", "Student loss, nats"]
    has_intervals = bool(intervals) and one.plan.problem.target_loss is None  # every row has the target
    columns += ["90 % interval"] if has_intervals else []
    columns += ["Against scratch", "Distilling ahead in"] if verdict else []
    columns += ["Student tokens", "Teacher, for one", "Teacher tokens", "Teacher loss", "Compute goes to"]
    # Where every option spends the budget, a column that repeats it says nothing.
    budget = one.plan.problem.compute
    spends = [option.flops.total for option in one.plan.options if option.feasible]
    differ = budget is None or min(spends) < 0.999 * budget
    columns += ["FLOPs"] * differ + ["GPU-hours", "$"]
    lines, marked = [], -1
    for i, option in enumerate(one.plan.options):
        if option.scenario == one.scenario:
            marked = i
        if not option.feasible:
            lines.append([option.scenario, "not feasible", *[""] * (len(columns) - 2)])
            continue
        bill = one.bill(option)
        row = intervals.get(option.scenario) if intervals else None
        lines.append(
            [
                option.scenario,
                nats(option.student_loss, one.resolution),
                *((interval_cell(row and row.student_loss, one.resolution),) if has_intervals else ()),
                *(_judged(one, option, verdict) if verdict else ()),
                format_quantity(option.student_tokens) + _star(option, "student_tokens"),
                _size(option, "teacher_params"),
                _size(option, "teacher_tokens"),
                "" if option.teacher_loss is None else nats(option.teacher_loss, one.resolution),
                _shares(option, serving),
                *([f"{option.flops.total:.3g}"] if differ else ()),
                amount(bill.gpu_hours),
                amount(bill.dollars),
            ]
        )
    title = "Five ways to make the student, each at its best"
    shown: list[Content] = [table(title, columns, lines, marked=marked, under=_UNDER)]
    if any(option.at_bounds for option in one.plan.options):
        shown.append(html.P("* on a bound of the search", className="help"))
    return shown


_UNDER = {
    "90 % interval": "Student loss, nats",
    "Distilling ahead in": "Against scratch",
    "Teacher tokens": "Teacher, for one",
    "Teacher loss": "Teacher, for one",
    "$": "GPU-hours",
}
_UNDER_OWN = {
    "90 % interval": "Student loss, nats",
    "Distilling ahead in": "Gain",
    "Teacher loss": "Parameters",
    "Loss is": "Parameters",
}
"""Columns that stand under another, which says what they are of."""


def _judged(one: Answer, option: Option, verdict: Verdict) -> tuple[str, str]:
    """Who is ahead, and in which share of the resamples."""
    if option.scenario == SUPERVISED:
        return "", ""
    comparison = verdict[option.scenario]
    return lead_cell(one.plan, comparison), share_cell(comparison.probability, comparison.decision)


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
    if one.own_problem is not None:
        return message(one.own_problem)
    if not one.own:
        return None
    columns = [
        "Teacher",
        "Student loss, nats",
        "90 % interval",
        "Gain",
        "Distilling ahead in",
        "Student tokens",
        "Parameters",
        "Teacher loss",
        "Loss is",
        "FLOPs",
    ]
    lines = [
        [
            row.name,
            nats(row.student_loss, row.resolution),
            interval_cell(row.student_loss_interval, row.resolution),
            gain_cell(row),
            share_cell(row.probability, row.decision),
            format_quantity(row.student_tokens),
            "" if row.teacher_params is None else format_quantity(row.teacher_params),
            "" if row.teacher_loss is None else f"{row.teacher_loss:.3f} ± {row.teacher_loss_error:.3f}",
            row.loss_from or "",
            f"{row.total_flops:.3g}",
        ]
        for row in one.own
    ]
    return [html.H3("Your own teachers"), table("Own teachers, best first", columns, lines, marked=0, under=_UNDER_OWN)]


def export_shown(one: Answer) -> list[Content]:
    """Files and texts that give the same plan elsewhere."""
    law = one.law.command
    # Own teachers that are left out of the answer are left out here too.
    question = one.question if one.own_problem is None else replace(one.question, teacher=())
    return [
        html.H3("The same on the command line"),
        code("plan-command", question.command(law), "Command line"),
        details("The same in Python", code("plan-python", question.python(law), "Python")),
    ]
