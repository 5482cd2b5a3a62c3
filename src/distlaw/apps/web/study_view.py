"""What the Study tab shows: where a study stands, its runs, and what a lab found."""

import re

from dash import dcc, html

from distlaw.apps.web.controls import Chart as Drawn
from distlaw.apps.web.elements import Content, aria, card, details, fact, facts, sentence, table
from distlaw.apps.web.figure import drawn, height
from distlaw.apps.web.studies import Run
from distlaw.apps.web.study_question import MOST_ROWS
from distlaw.charts import Chart
from distlaw.labs.files import Outcome
from distlaw.report.lab_tables import effect_text
from distlaw.runs import counted, format_quantity
from distlaw.sweep.status import Status

_MOST_CHARTS = 12  # of a lab
_FIRST = "When does distilling beat"  # of a report's questions


def status_shown(found: Status, key: str, best: str = "") -> list[Content]:
    """Where a study stands.

    Args:
        found: Its status.
        key: What it is called.
        best: Its best run so far, a sentence.
    """
    share = found.flops_done / found.flops if found.flops else 1.0
    left = found.seconds_left
    time = "nobody is at work" if left is None else "" if not left else f"about {_hours(left)} left"
    if found.stopping:
        time = "asked to stop"
    shown = [
        fact("Runs done", f"{found.done:,} of {found.runs:,}", f"{share:.0%} of the FLOPs"),
        fact("Under way", counted(len(found.active), "job"), time),
        fact("Waiting", counted(found.waiting, "job")),
        fact("Failed", counted(len(found.failed), "job")),
    ]
    parts: list[Content] = [
        html.H1(key),
        html.P(f"{best} {sentence(found.about)}".strip(), className="lead"),
        html.Progress(value=str(found.done), max=str(max(found.runs, 1)), **aria(label="Runs done")),
        facts(*shown),
    ]
    if found.active:
        lines = [
            [
                job.what,
                job.owner,
                f"{job.step:,} of {job.steps:,}" if job.steps else "starting",
                f"{job.tokens_per_second:,.0f}" if job.steps else "",
            ]
            for job in found.active
        ]
        parts.append(table("Jobs under way", ["Job", "Where", "Step", "Tokens/s"], lines))
    if found.failed:
        parts.append(table("Jobs given up", ["Job", "Last error"], [list(pair) for pair in found.failed[:20]]))
    return parts


def runs_shown(runs: list[Run]) -> list[Content]:
    """Runs as a table."""
    if not runs:
        return [html.P("No run passes these filters.", className="help")]
    columns = [
        "Run",
        "Parameters",
        "Tokens",
        "Loss, nats",
        "Teacher",
        "Teacher tokens",
        "Teacher loss",
        "FLOPs",
        "Seed",
    ]
    lines = [
        [
            run.id,
            format_quantity(run.student_params),
            format_quantity(run.student_tokens),
            f"{run.student_loss:.4f}",
            *(
                (_known(run.teacher_params), _known(run.teacher_tokens), f"{run.teacher_loss:.4f}")
                if run.distilled
                else ("alone", "", "")
            ),
            "" if run.compute != run.compute else f"{run.compute:.3g}",
            "" if run.seed != run.seed else f"{run.seed:.0f}",
        ]
        for run in runs[:MOST_ROWS]
    ]
    caption = counted(len(runs), "run") + (f"; the first {MOST_ROWS} are shown" if len(runs) > MOST_ROWS else "")
    return [table(caption, columns, lines, tall=True)]


def finished_shown(key: str, runs: list[Run]) -> list[Content]:
    """A study of which the table is left: how good its students became."""
    return [
        html.H1(key),
        html.P(f"{best_sentence(runs)} A finished study of {counted(len(runs), 'run')}.", className="lead"),
    ]


def best_sentence(runs: list[Run]) -> str:
    """The run with the lowest loss, in words; nothing where there are no runs."""
    known = [run for run in runs if run.student_loss == run.student_loss]
    if not known:
        return ""
    best = min(known, key=lambda run: run.student_loss)
    teacher = f"distilled from a teacher of {best.teacher_loss:.4f}" if best.distilled else "trained alone"
    size, tokens = format_quantity(best.student_params), format_quantity(best.student_tokens)
    return f"Best: {best.student_loss:.4f} nats, by {size} parameters on {tokens} tokens, {teacher}."


def findings_of(text: str) -> list[tuple[str, str]]:
    """The questions of a report and their answers: its second headings, and the words below each.

    A report goes from how the runs were looked at to what they say; here what they say comes first, and before all
    whether distilling pays.
    """
    found: list[tuple[str, str]] = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        question, _, rest = part.partition("\n")
        said = next((one for one in re.split(r"\n\s*\n", rest.strip()) if one[:1].isalnum()), "")
        if said:
            found.insert(0, (question.strip(), " ".join(said.split())))
    return sorted(found, key=lambda pair: not pair[0].startswith(_FIRST))


def report_shown(text: str) -> html.Section:
    """The report of a study: what it found at once, the whole below, its headings below those of the page."""
    below = re.sub(r"^#", "##", text, flags=re.MULTILINE)
    said = dcc.Markdown(below, className="report scroll")  # which shows HTML as text
    found = [part for question, answer in findings_of(text) for part in (html.Dt(question), html.Dd(answer))]
    return card(
        "What the runs say",
        *([html.Dl(found, className="findings")] if found else []),
        details("The whole report, with its tables", said, open=not found),
    )


def lab_head(outcome: Outcome) -> list[Content]:
    """A lab and its verdicts."""
    lines = [
        [
            {"words": finding.claim, "kind": "words"},
            {"words": finding.verdict, "kind": f"verdict {finding.verdict.replace(' ', '-')}"},
            effect_text(finding.effect),
            {"words": finding.measured, "kind": "words"},
        ]
        for finding in outcome.findings.findings
    ]
    spent = f"{outcome.runs:,} runs, {outcome.core_seconds / 60:.1f} core-minutes"
    how = f"Preset {outcome.preset}, seed {outcome.seed}, {spent}"
    return [
        html.H1(outcome.lab),
        html.P(f"{outcome.about[:1].upper()}{outcome.about[1:]} ({outcome.source}).", className="lead"),
        table("Verdicts", ["Claim", "Verdict", "Effect (90 % interval)", "What is measured"], lines),
        html.P(f"{how} ({outcome.machine}). The command that makes it:", className="help"),
        html.Pre(html.Code(outcome.command)),
    ]


def lab_shown(outcome: Outcome, theme: str) -> list[Content]:
    """Charts, tables and notes of a lab."""
    found = outcome.findings
    parts: list[Content] = []
    if found.charts:
        slots = [_lab_chart(chart, theme) for chart in found.charts[:_MOST_CHARTS]]
        parts.append(html.Section(slots, className="card", **aria(label="Charts")))
    tables = [table(one.title, one.columns, one.rows[:MOST_ROWS]) for one in found.tables]
    notes = html.Ul([html.Li(note) for note in found.notes])
    parts.append(card("Numbers", *tables, notes))
    return parts


def _lab_chart(chart: Chart, look: str) -> html.Figure:
    picture = Drawn(chart.title, figure=drawn(chart, look), height=height(chart, look))
    return html.Figure([html.Figcaption(html.Span(chart.title)), picture], className="chart")


def _known(value: float) -> str:
    return "" if value != value else format_quantity(value)


def _hours(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
