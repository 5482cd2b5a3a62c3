"""Tables of studies for the terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from distlaw.costs import Bill
from distlaw.report.layout import ALWAYS, DETAIL, Column, Prose, new_table
from distlaw.report.tables import size_text
from distlaw.runs import counted, format_duration, one_line

if TYPE_CHECKING:
    from distlaw.sweep.adaptive import Choices
    from distlaw.sweep.drive import Outcome
    from distlaw.sweep.outlook import Outlook
    from distlaw.sweep.status import Status

_MOST_FAILURES = 8


def outlook_table(outlook: "Outlook", *, study: str, bill: Bill | None = None) -> Group:
    """A study's runs by protocol, and what they take."""
    if bill is None:
        takes = (
            f"about {format_duration(3600 * outlook.hours)} with {counted(outlook.workers, 'worker')},"
            f" {format_duration(3600 * outlook.core_hours)} of CPU time."
        )
        how = (
            "Times are of threads of an ordinary CPU, each with a core of its own, after the data is prepared; an idle"
            " fast core takes half, and `study run` learns from the runs that are done."
        )
    else:
        takes = (
            f"about {format_duration(3600 * bill.gpu_hours)} of one accelerator, {bill.energy_kwh:,.0f} kWh,"
            f" ${bill.dollars:,.0f}."
        )
        how = ""
    left_out = f"; {outlook.left_out} more are beyond the budget" if outlook.left_out else ""
    runs, teachers = counted(outlook.runs, "different run"), counted(outlook.teachers, "teacher")
    passes = counted(outlook.jobs, "pass", "passes")
    caption = (
        f"{runs}{left_out}: {teachers}, {outlook.distilled} distilled,"
        f" {outlook.runs - outlook.teachers - outlook.distilled} supervised; {passes}.\n"
        f"{outlook.flops:.3g} FLOPs, {outlook.flops_shared:.3g} with passes of a teacher shared.\n{how}"
    ).rstrip()
    table = new_table(
        "Runs by protocol",
        "protocol",
        Column("runs", ALWAYS),
        "of them teachers",
        Column("asked for before", DETAIL),
        "N",
        "D",
        Column("FLOPs", ALWAYS),
        caption=caption,
    )
    for share in outlook.protocols:
        table.add_row(
            Text(share.protocol),
            str(share.runs),
            str(share.teachers),
            str(share.shared),
            _range(share.least_params, share.most_params),
            _range(share.least_tokens, share.most_tokens),
            f"{share.flops:.3g}",
        )
    return Group(Prose(f"Study {one_line(study)}: {runs} take {takes}", ""), table)


def time_left(seconds: float) -> str:
    """How long a study will take from now."""
    return f"{'' if seconds < 10 else 'about '}{format_duration(seconds)} left"


def status_table(status: "Status", *, study: str) -> Group:
    """Where a study stands, and the jobs under way."""
    left = "" if status.seconds_left is None or status.done == status.runs else f"; {time_left(status.seconds_left)}"
    share = status.flops_done / status.flops if status.flops else 1.0
    head = f"{status.done} of {counted(status.runs, 'run')} done, {share:.0%} of the FLOPs;"
    head += f" {counted(len(status.active), 'job')} under way,"
    head += f" {status.waiting} waiting, {len(status.failed)} failed{left}"
    table = new_table(f"Study {one_line(study)}", "job", Column("where", DETAIL), Column("step", ALWAYS), "tokens/s")
    for job in status.active:
        step = f"{job.step}/{job.steps}" if job.steps else "starting"
        table.add_row(Text(job.what), job.owner, step, f"{job.tokens_per_second:,.0f}" if job.steps else "-")
    lines = [head]
    if status.stopping:
        lines.append("asked to stop")
    lines += [f"failed: {what}: {error}" for what, error in status.failed[:_MOST_FAILURES]]
    if (more := len(status.failed) - _MOST_FAILURES) > 0:
        lines.append(f"and {more} more failed")
    return Group(Prose(*lines, ""), table) if status.active else Group(Prose(*lines))


def outcome_lines(outcome: "Outcome", *, study: str) -> Iterator[str]:
    """How running a study ended."""
    if outcome.ended == "stopped":
        yield f"stopped: {outcome.done} of {counted(outcome.runs, 'run')} done; `distlaw study resume {study}` goes on"
    else:
        yield f"{outcome.done} of {counted(outcome.runs, 'run')} done"
    for job, error in outcome.failed.items():
        yield f"failed: job {job}: {error}"
    if outcome.blocked:
        yield f"{counted(outcome.blocked, 'run waits', 'runs wait')} for a teacher that failed"


def choices_table(choices: "Choices") -> Table:
    """What was known when each batch was chosen."""
    saved = 1 - choices.flops / choices.all_flops
    why = {"known": "the target is known well enough", "budget": "the budget is spent"}.get(
        choices.reason, "nothing is left to run"
    )
    caption = f"Ended since {why}: {choices.flops:.3g} FLOPs, {saved:.0%} less than the full grid"
    table = new_table(
        "Choosing runs",
        "batch",
        "runs done",
        "FLOPs",
        Column("target, nats", ALWAYS),
        Column("deviation", ALWAYS),
        Column("chosen", DETAIL),
        caption=caption,
    )
    for number, step in enumerate(choices.rounds, start=1):
        table.add_row(
            str(number),
            str(step.done),
            f"{step.flops:.3g}",
            "-" if step.prediction is None else f"{step.prediction:.4f}",
            "-" if step.deviation is None else f"{step.deviation:.4f}",
            str(step.chosen),
        )
    return table


def _range(low: float, high: float) -> str:
    return size_text(low) if low == high else f"{size_text(low)} to {size_text(high)}"
