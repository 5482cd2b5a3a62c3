"""A study's evidence as a folder: a page with its figures, and the numbers behind it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from distlaw.report.evidence_figures import evidence_charts
from distlaw.report.evidence_tables import evidence_markdown
from distlaw.report.figures import save_figure
from distlaw.report.matplotlib_charts import draw
from distlaw.runs import one_line, written_whole

if TYPE_CHECKING:
    from distlaw.evidence import Evidence
    from distlaw.sweep.adaptive import Choices


def write_evidence(evidence: "Evidence", folder: Path, *, title: str, choices: "Choices | None" = None) -> None:
    """Write report.md, its figures and evidence.json.

    Args:
        evidence: What a study says.
        folder: Where to; made if need be.
        title: Of the page.
        choices: How runs were chosen, in an adaptive study.

    Raises:
        ValueError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out '{one_line(folder)}' cannot be made ({error.strerror})") from None
    text = [evidence_markdown(evidence, title=title, choices=choices)]
    for name, chart in evidence_charts(evidence).items():
        save_figure(draw(chart), folder / f"{name}.png")
        text.append(f"![{name}]({name}.png)\n")
    with written_whole(folder / "report.md", "report") as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")
    with written_whole(folder / "evidence.json", "evidence") as temporary:
        temporary.write_text(json.dumps(evidence.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
