"""Labs as folders: a page with figures and their data, and one page over all labs."""

from collections.abc import Sequence
from pathlib import Path

from distlaw.labs.files import Outcome
from distlaw.report.figures import save_figure
from distlaw.report.lab_tables import lab_markdown, labs_markdown
from distlaw.report.matplotlib_charts import draw
from distlaw.runs import written_whole

PAGE = "README.md"


def write_lab(outcome: Outcome, folder: Path) -> None:
    """Write README.md, and a picture and a table of the data of each chart.

    Raises:
        ValueError: The folder cannot be written to.
    """
    figures = []
    for chart in outcome.findings.charts:
        figures.append(f"{chart.name}.png")
        save_figure(draw(chart), folder / figures[-1])
        _write(chart.csv(), folder / f"{chart.name}.csv")
    _write(lab_markdown(outcome, figures), folder / PAGE)


def write_labs(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write the page over all labs."""
    _write(labs_markdown(outcomes), folder / PAGE)


def _write(text: str, path: Path) -> None:
    with written_whole(path, "page") as temporary:
        temporary.write_text(text, encoding="utf-8")
