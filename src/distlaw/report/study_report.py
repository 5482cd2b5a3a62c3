"""The report of a study: every question with its answer, tables and charts."""

from dataclasses import replace
from typing import TYPE_CHECKING

from distlaw.report.evidence_figures import evidence_charts
from distlaw.report.evidence_tables import evidence_answers, evidence_head
from distlaw.report.page import Page, Section, Table

if TYPE_CHECKING:
    from distlaw.evidence import Evidence
    from distlaw.sweep.adaptive import Choices

_CHARTS = {  # by the beginning of the question that they belong to
    "Do laws of the weaker runs": "predictions",
    "Does a stronger teacher": "teachers",
    "What is a distilled token worth": "token-worth",
    "When does distilling beat": "compute",
}


def study_page(evidence: "Evidence", *, title: str, command: str = "", choices: "Choices | None" = None) -> Page:
    """The report of a study.

    Args:
        evidence: What it says.
        title: What it is called.
        command: What writes the report, and so each of its charts.
        choices: How runs were chosen, in an adaptive study.
    """
    charts = {name: replace(chart, command=command) for name, chart in evidence_charts(evidence).items()}
    sections = []
    for answer in evidence_answers(evidence, choices):
        name = next((name for start, name in _CHARTS.items() if answer.question.startswith(start)), "")
        tables = [Table(title=s.title, columns=s.columns, rows=tuple(s.rows)) for s in answer.sheets]
        sections.append(
            Section(
                title=answer.question,
                text=(" ".join(answer.sentences),),
                tables=tuple(tables),
                charts=(charts[name],) if name in charts else (),
            )
        )
    return Page(title=title, lead=(evidence_head(evidence),), sections=tuple(sections), command=command)
