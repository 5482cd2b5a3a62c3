"""Tables of the planner for the terminal: a plan, teachers, crossings, one prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from distlaw.costs import Bill
from distlaw.plan import (
    SUPERVISED,
    Lead,
    Option,
    OptionUncertainty,
    Plan,
    RankedTeacher,
    Verdict,
)
from distlaw.plan.comparison import TOO_CLOSE, Comparison
from distlaw.plan.confidence import percent
from distlaw.plan.verdict import nats
from distlaw.report.layout import ALWAYS, DETAIL, Column, new_table
from distlaw.report.tables import size_text
from distlaw.runs import format_quantity

TOO_CLOSE_CELL = "too close"


def loss_cell(value: float | None, resolution: float) -> str:
    """A loss with the digits that its law can tell something about, or a dash."""
    return "-" if value is None or value != value else nats(value, resolution)


def interval_cell(ends: tuple[float, float] | None, resolution: float) -> str:
    """An interval, or nothing."""
    if ends is None or ends[0] != ends[0]:
        return ""
    return f"{nats(ends[0], resolution)} to {nats(ends[1], resolution)}"


def lead_cell(plan: Plan, one: Comparison) -> str:
    """What distilling changes: the loss, or for a target the compute; nothing that the law cannot tell."""
    if one.decision == TOO_CLOSE:
        return TOO_CLOSE_CELL
    option, baseline = plan[one.scenario], plan[SUPERVISED]
    if not (option.feasible and baseline.feasible):
        return "-"
    if plan.problem.target_loss is not None:
        return f"{option.flops.total / baseline.flops.total:.3g}x FLOPs"
    return nats(-one.lead, one.resolution, sign=True)


def share_cell(probability: float | None, decision: str | None) -> str:
    """Share of the resamples in which distilling is ahead, or nothing."""
    return "" if probability is None else percent(probability, certain=decision != TOO_CLOSE)


def plan_table(
    plan: Plan,
    verdict: Verdict,
    *,
    law: str,
    bills: Sequence[Bill | None],
    spread: Mapping[str, OptionUncertainty] | None = None,
    scenario: str | None = None,
) -> Table:
    """The options of a plan, the user's own and the one with the lowest loss marked.

    Args:
        plan: The plan.
        verdict: What it comes to.
        law: Its law.
        bills: Of its options: hours, energy and money.
        spread: Intervals of its options by scenario.
        scenario: The user's own situation.
    """
    problem, resolution = plan.problem, verdict.comparisons[0].resolution
    intervals = bool(spread) and problem.target_loss is None  # every row has the target
    has_bills = any(bill is not None for bill in bills)
    totals = [option.flops.total for option in plan.options if option.feasible]
    # Where every option spends the budget, a column that repeats it says nothing.
    has_totals = problem.compute is None or min(totals) < 0.999 * problem.compute
    parts = ["student_training", "teacher_logits", "teacher_training"]
    if problem.costs.serving_tokens:
        parts.append("student_serving")
    table = new_table(
        f"A student of {format_quantity(problem.student_params)} parameters {_goal(plan)} (law {law})",
        "option",
        Column("student loss", ALWAYS),
        *((Column("90% interval", DETAIL),) if intervals else ()),
        *((Column("wins", ALWAYS),) if spread else ()),
        Column("against scratch", ALWAYS),
        "student tokens",
        "teacher",
        "teacher tokens",
        Column("teacher loss", DETAIL),
        Column(f"student / logits / teacher{' / serving' if len(parts) == 4 else ''} FLOPs", DETAIL + 1),
        *(("FLOPs",) if has_totals else ()),
        *(("GPU-hours", Column("MWh", DETAIL + 1), Column("$", ALWAYS)) if has_bills else ()),
        caption=_caption(plan, resolution),
    )
    for option, bill in zip(plan.options, bills, strict=True):
        name = option.scenario + (" (yours)" if option.scenario == scenario else "")
        if not option.feasible:
            table.add_row(name, "not feasible")
            continue
        comparison = None if option.scenario == SUPERVISED else verdict[option.scenario]
        flops = option.flops
        table.add_row(
            name,
            loss_cell(option.student_loss, resolution),
            *((interval_cell(spread[option.scenario].student_loss, resolution),) if spread and intervals else ()),
            *(
                ("" if comparison is None else share_cell(spread[option.scenario].probability, comparison.decision),)
                if spread
                else ()
            ),
            "" if comparison is None else lead_cell(plan, comparison),
            _starred(option, "student_tokens"),
            _starred(option, "teacher_params"),
            _starred(option, "teacher_tokens"),
            loss_cell(option.teacher_loss, resolution),
            " / ".join(f"{getattr(flops, part) / flops.total:.0%}" for part in parts),
            *((f"{flops.total:.3g}",) if has_totals else ()),
            *(
                (f"{bill.gpu_hours:,.0f}", f"{bill.energy_kwh / 1000:,.1f}", f"{bill.dollars:,.0f}")
                if bill is not None
                else ()
            ),
            style="bold" if option.scenario == (scenario or verdict.best) else None,
        )
    return table


def _goal(plan: Plan) -> str:
    problem = plan.problem
    if problem.compute is not None:
        return f"with {problem.compute:.3g} FLOPs"
    if problem.student_tokens is not None:
        return f"with {format_quantity(problem.student_tokens)} tokens"
    return f"to {problem.target_loss:.4g} nats"


def _caption(plan: Plan, resolution: float) -> str:
    notes = [
        f"losses in nats per token; too close: a lead that the law cannot tell (below {resolution:.2g} nats, or its"
    ]
    notes[0] += " alternatives disagree)"
    if any(option.at_bounds for option in plan.options):
        notes.append("* on a bound of the search")
    notes.append("teacher: one of many that are as good")
    return "; ".join(notes)


def _starred(option: Option, name: str) -> str:
    bounded = any(bound.startswith(name) for bound in option.at_bounds)
    return size_text(getattr(option, name)) + ("*" if bounded else "")


def teachers_table(ranked: Sequence[RankedTeacher], *, law: str, scenario: str) -> Table:
    """Teachers, best first."""
    intervals = any(row.student_loss_interval is not None for row in ranked)
    table = new_table(
        f"Teachers for this student, best first (law {law}, {scenario})",
        "teacher",
        Column("student loss", ALWAYS),
        *((Column("90% interval", DETAIL), "wins") if intervals else ()),
        Column("gain", ALWAYS),
        "student tokens",
        "teacher params",
        "teacher loss",
        Column("teacher loss is", DETAIL, words=True),
        Column("FLOPs", DETAIL),
        Column("with endless tokens", DETAIL + 1),
        caption="losses in nats per token; gain over supervised training with the same budget;"
        f" too close: a lead that the law cannot tell (below {ranked[0].resolution:.3g} nats, or its alternatives"
        " disagree)",
    )
    for row in ranked:
        table.add_row(
            Text(row.name),  # as it is: a name is no markup
            loss_cell(row.student_loss, row.resolution),
            *(
                (
                    interval_cell(row.student_loss_interval, row.resolution),
                    "" if row.other_tokenizer else share_cell(row.probability, row.decision),
                )
                if intervals
                else ()
            ),
            gain_cell(row),
            size_text(row.student_tokens),
            size_text(row.teacher_params),
            "-" if row.teacher_loss is None else f"{row.teacher_loss:.3f} ± {row.teacher_loss_error:.3f}",
            row.loss_from or "-",
            f"{row.total_flops:.3g}",
            loss_cell(row.limit, row.resolution),
        )
    return table


def gain_cell(row: RankedTeacher) -> str:
    """The gain with one teacher, if the law can tell it."""
    if row.other_tokenizer:
        return "other tokenizer"
    if row.decision == TOO_CLOSE:
        return TOO_CLOSE_CELL
    return "" if row.decision is None else nats(row.gain, row.resolution, sign=True)


def crossover_table(students: Sequence[Mapping[str, Any]], *, law: str, target_loss: float | None) -> Table:
    """Where distillation is ahead, by student size and scenario; `lead` of each row is the whole range in words."""
    table = new_table(
        f"Where distilling is ahead of training from scratch (law {law})",
        "student",
        Column("compared at", ALWAYS),
        Column("distilling is", ALWAYS, words=True),
        Column("clearly", words=True),
        Column("beyond the fitted tokens", DETAIL, words=True),
        *(() if target_loss is None else (f"data ratio to {target_loss:g}", "compute ratio")),
        caption="in FLOPs for equal compute, in tokens for equal tokens; clearly: by more than the law's resolution,"
        " under every law that fits as well" + ("" if target_loss is None else "; ratios: distilled over supervised"),
    )
    for student in students:
        size, tokens = format_quantity(student["student_params"]), student["equal_tokens"]
        lead: Lead = tokens["lead"]
        table.add_row(size, "equal tokens", lead.ahead_words(""), lead.clear_words(""), "")
        for name, row in student["scenarios"].items():
            lead = row["lead"]
            ratios = () if target_loss is None else (f"{row['data_ratio']:.3g}", f"{row['compute_ratio']:.3g}")
            table.add_row(size, name, lead.ahead_words(""), lead.clear_words(""), row["outside"], *ratios)
        table.add_section()
    return table


def prediction_table(result: Mapping[str, Any]) -> Table:
    """One prediction, as `distlaw predict` gives it."""
    resolution = max(result["resolution"], 1e-3)
    table = new_table(
        f"{format_quantity(result['student_params'])} parameters on {format_quantity(result['student_tokens'])} tokens"
        f" (law {result['law']})",
        "loss, nats per token",
        Column("", ALWAYS),
        Column("90% interval", ALWAYS),
        caption=result["teacher_loss_from"] and f"teacher loss {result['teacher_loss_from']}",
    )
    supervised = loss_cell(result["supervised_loss"], resolution)
    alone = interval_cell(result["supervised_loss_interval_90"], resolution)
    if result["teacher_loss"] is not None:
        table.add_row(
            "student, distilled",
            loss_cell(result["student_loss"], resolution),
            interval_cell(result["student_loss_interval_90"], resolution),
        )
    table.add_row("student, supervised", supervised, alone)
    if result["teacher_loss"] is not None:
        close = result["decision"] == TOO_CLOSE
        gain = TOO_CLOSE_CELL if close else nats(result["gain"], resolution, sign=True)
        table.add_row("gain of distilling", gain, interval_cell(result["gain_interval_90"], resolution))
        error = result["teacher_loss_error"]
        table.add_row("teacher", loss_cell(result["teacher_loss"], 0.01), f"± {error:.3f}")
    if result["optimal_teacher_loss"] is not None:
        table.add_row("best teacher for this student", loss_cell(result["optimal_teacher_loss"], 0.1), "")
    return table
