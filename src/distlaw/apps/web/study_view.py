"""What the Study tab shows: where a study stands, its runs, and what a lab found."""

import re

from dash import dcc, html

from distlaw.apps.web.controls import Chart as Drawn
from distlaw.apps.web.elements import Content, aria, card, fact, facts, table
from distlaw.apps.web.figure import drawn, height
from distlaw.apps.web.studies import Run
from distlaw.apps.web.study_question import MOST_ROWS
from distlaw.charts import Chart
from distlaw.labs.files import Outcome
from distlaw.report.lab_tables import effect_text
from distlaw.runs import counted, format_quantity
from distlaw.sweep.status import Status

_MOST_CHARTS = 12  # of a lab


def status_shown(found: Status, key: str) -> list[Content]:
    """Where a study stands."""
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
        html.P(found.about, className="lead"),
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


def report_shown(text: str) -> html.Section:
    """The report of a study, its headings below those of the page."""
    below = re.sub(r"^#", "##", text, flags=re.MULTILINE)
    said = dcc.Markdown(below, className="report scroll")  # which shows HTML as text
    return card("What the runs say", html.Details([html.Summary("Question by question, from its report"), said]))


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
