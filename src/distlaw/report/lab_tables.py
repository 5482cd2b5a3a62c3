"""What labs found, in sentences and markdown tables."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from distlaw.labs.files import Outcome
from distlaw.labs.findings import Effect, Finding, Table
from distlaw.labs.registry import NAMES
from distlaw.runs import counted


def verdict_lines(outcome: Outcome) -> Iterator[str]:
    """Each claim with its verdict and what was measured, a line each."""
    for finding in outcome.findings.findings:
        yield f"{outcome.lab}: {finding.verdict}: {finding.claim}; {finding.measured}: {effect_text(finding.effect)}"


def effect_text(effect: Effect) -> str:
    """A number with its unit and 90 % interval."""
    unit = f" {effect.unit}" if effect.unit else ""
    ends = f"{number_text(effect.interval[0])} to {number_text(effect.interval[1])}"
    known = all(math.isfinite(end) for end in effect.interval)
    return f"{number_text(effect.value)}{unit}" + (f" ({ends})" if known else " (one seed: no interval)")


def number_text(value: Any) -> str:  # noqa: ANN401
    """A cell: numbers to four digits, nothing for what there is none of."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value == int(value) if math.isfinite(value) else False):
        return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.3g}"
    return f"{value:.4g}"


def lab_markdown(outcome: Outcome, figures: Sequence[str]) -> str:
    """A lab as a page: command, verdicts, tables and figures.

    Args:
        outcome: What it found.
        figures: Names of its pictures, beside the page.
    """
    found = outcome.findings
    lines = [f"# {outcome.lab}", "", f"*{outcome.about[:1].upper()}{outcome.about[1:]}* ({outcome.source})", ""]
    lines += ["```", outcome.command, "```", "", _how(outcome), ""]
    lines += _verdicts(found.findings)
    for title, name in zip((chart.title for chart in found.charts), figures, strict=True):
        lines += [f"![{title}]({name})", "", f"*{title}*", ""]
    for table in found.tables:
        lines += [*_table(table), ""]
    lines += [f"- {note}" for note in found.notes]
    return "\n".join(lines).rstrip() + "\n"


def labs_markdown(outcomes: Sequence[Outcome]) -> str:
    """One page for all labs: the verdict on every claim."""
    lines = [
        "# Labs",
        "",
        "Every further claim of arXiv 2502.08606 as an experiment; a claim that does not hold here is",
    ]
    lines += ["reported as such. Effects are means over seeds with 90 % intervals.", ""]
    lines += ["| lab | claim | verdict | effect | what is measured |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        for number, finding in enumerate(outcome.findings.findings):
            name = f"[{outcome.lab}]({outcome.lab}/README.md)" if number == 0 else ""
            cells = [name, finding.claim, f"**{finding.verdict}**", effect_text(finding.effect), finding.measured]
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    missing = [name for name in NAMES if name not in {outcome.lab for outcome in outcomes}]
    lines += ["", f"Not run yet: {', '.join(missing)}."] if missing else []
    total = sum(outcome.core_seconds for outcome in outcomes)
    presets = sorted({outcome.preset for outcome in outcomes})
    lines += ["", f"`distlaw lab all --preset {presets[0]}`" if len(presets) == 1 else "", ""]
    lines += [f"{sum(o.runs for o in outcomes)} runs were read, some by several labs; {total / 60:.0f} core-minutes."]
    return "\n".join(lines) + "\n"


def _how(outcome: Outcome) -> str:
    runs = f"{counted(outcome.runs, 'run')}, " if outcome.runs else ""
    return (
        f"Preset {outcome.preset}, seed {outcome.seed}: {runs}{outcome.core_seconds / 60:.1f} core-minutes"
        f" ({outcome.machine}). Intervals are 90 %, over seeds."
    )


def _verdicts(findings: Sequence[Finding]) -> list[str]:
    lines = ["| claim | verdict | effect | what is measured |", "|---|---|---|---|"]
    for one in findings:
        cells = (one.claim, f"**{one.verdict}**", effect_text(one.effect), one.measured)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return [*lines, ""]


def _table(table: Table) -> list[str]:
    numeric = [all(not isinstance(row[i], str) for row in table.rows) for i in range(len(table.columns))]
    lines = [f"*{table.title}*", "", "| " + " | ".join(_cell(name) for name in table.columns) + " |"]
    lines.append("|" + "|".join("---:" if right else "---" for right in numeric) + "|")
    return lines + ["| " + " | ".join(_cell(number_text(value)) for value in row) + " |" for row in table.rows]


def _cell(text: str) -> str:
    """A text that may not end its cell."""
    return text.replace("|", "\\|").replace("\n", " ")
