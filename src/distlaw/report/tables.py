"""Tables for the terminal (rich)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from distlaw.laws import PublishedLaw
from distlaw.report.layout import ALWAYS, DETAIL, Column, new_table
from distlaw.runs import Accuracy, GroupAccuracy, counted, format_quantity

MOST_GROUPS = 100
"""Most groups of runs that a table shows."""

if TYPE_CHECKING:
    from distlaw.train.coordinate_check import CoordinateCheck


def loss_text(value: float | None) -> str:
    """Nats to four digits, or a dash."""
    return "-" if value is None or value != value else f"{value:.4f}"


def size_text(value: float | None) -> str:
    """A size as people write it, or a dash."""
    return "-" if value is None else format_quantity(value)


def _percent(value: float) -> str:
    return f"{100 * value:+.2f} %"


def records_table(records: Sequence[Mapping[str, Any]], *, run: str) -> Table:
    """What finished runs recorded."""
    table = new_table(
        f"Run {run}",
        "student",
        "parameters",
        "tokens",
        Column("epochs", DETAIL),
        Column("loss", ALWAYS),
        "teacher loss",
        "KL from teacher",
        Column("FLOPs", DETAIL),
        Column("CPU s", DETAIL),
        caption="losses in nats per token on held-out tokens, against the data; CPU time of the whole run",
    )
    for record in records:
        kl = record["evaluation"]["kl"]
        table.add_row(
            Text(record["name"]),
            size_text(record["student_params"]),
            size_text(record["student_tokens"]),
            f"{record['epochs']:.2f}",
            loss_text(record["student_loss"]),
            loss_text(record["teacher_loss"]),
            "-" if kl is None else f"{kl:.4f}",
            f"{record['compute']:.3g}",
            f"{record['cpu_seconds']:.1f}",
        )
    return table


def evaluation_table(result: Mapping[str, Any]) -> Table:
    """One model measured, as `distlaw evaluate` gives it."""
    table = new_table(
        f"{result['run']}, {format_quantity(result['params'])} parameters, on {result['tokens']:,} held-out tokens",
        "",
        Column("", ALWAYS),
        caption="nats per token" + ("" if result["teacher"] is None else f"; teacher {result['teacher']}"),
    )
    names = {
        "cross_entropy": "cross-entropy against the data",
        "accuracy": "accuracy of the likeliest token",
        "teacher_cross_entropy": "teacher's cross-entropy against the data",
        "cross_entropy_teacher": "cross-entropy against the teacher",
        "teacher_entropy": "entropy of the teacher",
        "kl": "KL(teacher || student)",
        "agreement": "likeliest token as the teacher's",
        "ece": "calibration error against the data",
        "ece_teacher": "calibration error against the teacher's likeliest token",
        "ece_dist": "calibration error against the teacher's confidence (eq. 39)",
    }
    shares = ("accuracy", "agreement", "ece", "ece_teacher", "ece_dist")
    for name, words in names.items():
        if (value := result.get(name)) is not None:
            table.add_row(words, f"{value:.2%}" if name in shares else f"{value:.4f}")
    return table


def flops_table(result: Mapping[str, Any]) -> Table:
    """Counts of one model, as `distlaw flops` gives them."""
    table = new_table("Parameters and FLOPs", "", Column("", ALWAYS))
    table.add_row("parameters without embeddings", f"{result['n_params']:,}")
    table.add_row("embedding parameters", f"{result['n_embedding']:,}")
    table.add_row("all parameters", f"{result['n_total']:,}")
    table.add_row("layers x width (feed-forward)", f"{result['n_layers']} x {result['d_model']} ({result['d_ff']})")
    table.add_row("heads (key-value) x size", f"{result['n_heads']} ({result['n_kv_heads']}) x {result['d_head']}")
    table.add_row("vocabulary, context", f"{result['n_vocab']}, {result['n_ctx']}")
    if result.get("n_local_layers"):
        table.add_row("local layers, window", f"{result['n_local_layers']} of {result['n_layers']}, {result['window']}")
    table.add_row("forward FLOPs per token, exact", f"{result['forward_flops_exact']:.5g}")
    closed, error = result["forward_flops_closed_form"], result["closed_form_error"]
    table.add_row("forward FLOPs per token, eq. 69", f"{closed:.5g} ({_percent(error)})")
    table.add_row("error of 2N", _percent(result["two_n_error"]))
    table.add_row("training FLOPs per token", f"{result['training_flops_per_token']:.5g}")
    if result["training_flops"] is not None:
        table.add_row(
            f"training on {format_quantity(result['tokens'])} tokens", f"{result['training_flops']:.4g} FLOPs"
        )
    if (bill := result["bill"]) is not None:
        table.add_row("GPU-hours", f"{bill.gpu_hours:,.1f}")
        table.add_row("energy", f"{bill.energy_kwh:,.1f} kWh")
        table.add_row("money", f"${bill.dollars:,.0f}")
    return table


def laws_table(laws: Sequence[PublishedLaw], *, default: str) -> Table:
    """All published sets."""
    columns = Column("kind", ALWAYS, words=True), Column("source", words=True), Column("data", words=True)
    table = new_table("Published laws (distlaw laws NAME shows one)", "name", *columns)
    for law in laws:
        table.add_row(law.name + (" (default)" if law.name == default else ""), law.kind, law.source, law.data)
    return table


def law_table(law: PublishedLaw) -> Table:
    """Coefficients of one set, and what stands behind them."""
    level = "" if law.interval_level is None else f"{law.interval_level:.0%} interval"
    notes = [
        f"source: {law.source}",
        f"data: {law.data}",
        f"N counts {law.size_convention}",
        f"runs: {law.runs}",
        *(f"{name}: {low:.4g} to {high:.4g}" for name, (low, high) in law.fitted_range.items()),
        *(
            [f"resolution: {law.resolution:.3g} nats; smaller differences are too close to call"]
            if law.resolution
            else ()
        ),
        *([f"fits the same runs about as well: {', '.join(law.alternatives)}"] if law.alternatives else ()),
        *(f"caution: {caution}" for caution in law.cautions),
    ]
    table = new_table(
        f"{law.name} ({law.kind})", "coefficient", Column("value", ALWAYS), level, caption="\n".join(notes)
    )
    for name, value in law.coefficients.items():
        interval = law.intervals.get(name)
        table.add_row(name, f"{value:g}", "" if interval is None else f"{interval[0]:g} to {interval[1]:g}")
    return table


def accuracy_table(overall: Accuracy, groups: Sequence[GroupAccuracy], *, law: str) -> Table:
    """Errors of a law on runs, by student size and tokens, and in all; of many groups those with the largest errors."""
    shown, left_out = groups, ""
    if len(groups) > MOST_GROUPS:
        worst = sorted(groups, key=lambda group: -group.accuracy.mean_abs_rel_error)[:MOST_GROUPS]
        shown = sorted(worst, key=lambda group: (group.student_params, group.student_tokens))
        left_out = f"; the {MOST_GROUPS} of {len(groups):,} sizes and tokens with the largest mean errors"
    table = new_table(
        f"{law} against {counted(overall.runs, 'run')}",
        "student",
        Column("tokens", ALWAYS),
        "runs",
        Column("mean |error|", ALWAYS),
        "max |error|",
        "bias",
        caption="error = predicted / measured - 1; a negative bias is too hopeful" + left_out,
    )

    def errors(a: Accuracy) -> tuple[str, ...]:
        return (
            str(a.runs),
            f"{100 * a.mean_abs_rel_error:.2f} %",
            f"{100 * a.max_abs_rel_error:.2f} %",
            _percent(a.bias),
        )

    for group in shown:
        table.add_row(
            format_quantity(group.student_params),
            format_quantity(group.student_tokens),
            *errors(group.accuracy),
        )
    table.add_section()
    table.add_row("all", "", *errors(overall), style="bold")
    return table


def suggest_table(content: Mapping[str, Any]) -> Table:
    """What to run next, as `distlaw suggest` gives it."""
    verdict = content["target"] == "verdict"
    of = "log(loss / loss without a teacher)" if verdict else "log loss"
    at = "; ".join(_student(point) for point in content["at"])
    runs = counted(content["runs"], "run")
    table = new_table(
        f"Next runs for the {content['target']} at {at} ({content['form']} fitted to {runs})",
        "candidate",
        "student",
        "tokens",
        "teacher loss",
        "FLOPs",
        Column("FLOPs in all", DETAIL),
        Column("deviation", ALWAYS),
        *((Column("wrong verdict", ALWAYS),) if verdict else ()),
        Column("cheapest first", DETAIL),
        caption=f"deviation: expected standard deviation of {of} at the target, in %, after a run and those above it;"
        " cheapest first: the same FLOPs spent on the cheapest candidates instead",
    )

    def doubt(row: Mapping[str, Any]) -> tuple[str, ...]:
        return (f"{row['deviation']:.3%}", *((f"{row['wrong_verdict']:.1%}",) if verdict else ()))

    table.add_row("now", "", "", "", "", "", *doubt(content["before"]), "")
    for row in content["suggestions"]:
        table.add_row(
            f"row {row['row']}",
            size_text(row["student_params"]),
            size_text(row["student_tokens"]),
            loss_text(row["teacher_loss"]),
            f"{row['flops']:.3g}",
            f"{row['total_flops']:.3g}",
            *doubt(row["after"]),
            " / ".join(doubt(row["cheapest_first"])),
        )
    return table


def _student(point: Mapping[str, float]) -> str:
    teacher = "" if point["teacher_loss"] != point["teacher_loss"] else f" under {point['teacher_loss']:.4g} nats"
    return f"{size_text(point['student_params'])} on {size_text(point['student_tokens'])} tokens{teacher}"


def coordinate_check_table(check: "CoordinateCheck") -> Table:
    """Slopes over width, as `distlaw mup-check` gives them."""
    steps = len(next(iter(check.slopes.values())))
    table = new_table(
        f"Coordinate check of {check.parametrisation}: {'passed' if check.passed else 'failed'}",
        "slope over width",
        *(Column(f"step {step}", ALWAYS if step in (0, steps - 1) else DETAIL) for step in range(steps)),
        caption=f"within {check.limit:g} of 0 passes; logits may shrink",
    )
    for name, slopes in check.slopes.items():
        table.add_row(name, *(f"{slope:+.2f}" for slope in slopes))
    table.add_row("margin", "", f"{check.margin_slope:+.2f}", *[""] * (steps - 2))
    return table
