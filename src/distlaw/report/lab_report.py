"""The report of labs: the verdict on every claim first, then each lab with its tables and charts."""

from collections.abc import Sequence
from dataclasses import replace

from distlaw.labs.files import Outcome
from distlaw.labs.findings import Finding
from distlaw.labs.findings import Table as LabTable
from distlaw.report.lab_tables import effect_text, number_text
from distlaw.report.page import Page, Section, Table
from distlaw.runs import counted


def labs_page(outcomes: Sequence[Outcome], *, command: str = "") -> Page:
    """The report of labs that were run.

    Args:
        outcomes: What they found.
        command: What writes the report.
    """
    claims = [(outcome.lab, finding) for outcome in outcomes for finding in outcome.findings.findings]
    counts = [
        f"{sum(finding.verdict == verdict for _, finding in claims)} {words}"
        for verdict, words in (("holds", "hold"), ("does not hold", "do not hold"), ("undecided", "are undecided"))
    ]
    minutes = sum(outcome.core_seconds for outcome in outcomes) / 60
    lead = (
        f"Of {counted(len(claims), 'claim')}, {', '.join(counts[:-1])} and {counts[-1]} at this scale. A claim that"
        " does not hold here is reported as such. Effects are means over seeds with 90 % intervals;"
        f" {minutes:.0f} core-minutes."
    )
    return Page(
        title="Labs",
        lead=(lead,),
        sections=(
            Section(title="Verdicts", tables=(_verdicts("Every claim", claims),)),
            *map(_section, outcomes),
        ),
        command=command,
    )


def _section(outcome: Outcome) -> Section:
    """A lab: its verdicts, tables and charts."""
    found = outcome.findings
    return Section(
        title=outcome.lab,
        text=(f"{outcome.about[:1].upper()}{outcome.about[1:]} ({outcome.source}).",),
        points=found.notes,
        tables=(_verdicts("Verdicts", [("", one) for one in found.findings]), *map(_table, found.tables)),
        charts=tuple(replace(chart, command=chart.command or outcome.command) for chart in found.charts),
    )


def _verdicts(title: str, claims: Sequence[tuple[str, Finding]]) -> Table:
    """Claims with their verdicts; the labs' names where there are several."""
    named = any(lab for lab, _ in claims)
    columns = (*(("lab",) if named else ()), "claim", "verdict", "effect", "what is measured")
    rows = tuple(
        (*((lab,) if named else ()), one.claim, one.verdict, effect_text(one.effect), one.measured)
        for lab, one in claims
    )
    return Table(title=title, columns=columns, rows=rows, words=frozenset(range(len(columns))))


def _table(table: LabTable) -> Table:
    return Table(
        title=table.title,
        columns=table.columns,
        rows=tuple(tuple(number_text(value) for value in row) for row in table.rows),
        words=frozenset(i for i in range(len(table.columns)) if any(isinstance(row[i], str) for row in table.rows)),
    )
