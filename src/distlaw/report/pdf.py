"""A report as PDF: words and tables on text pages, then every chart on a page of its own size."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from distlaw.report.matplotlib_charts import draw
from distlaw.report.page import Page, Section, Table
from distlaw.runs import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE = (11.69, 8.27)  # inches: A4, lying, since tables are wide
_MARGIN = 0.7
_BODY, _SMALL, _LEAST = 9.5, 8.0, 4.5  # points
_HEADS = (16.0, 12.5)
_MONO, _PROSE = 0.602, 0.5  # width of a letter over its size, of the fixed and the common face
_POINTS = 72.0


class _Line(NamedTuple):
    """A line of a text page."""

    text: str
    size: float = _BODY
    mono: bool = False
    bold: bool = False


def write_pdf(page: Page, path: Path) -> None:
    """Write a report as PDF, under a temporary name that is then renamed; the same report gives the same bytes.

    Raises:
        ValueError: The file cannot be written.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    with written_whole(path, "report") as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in letters that the font lacks
        with PdfPages(temporary, metadata={"Title": page.title, "CreationDate": None}) as pdf:
            for figure in _pages(page):
                pdf.savefig(figure)


def _pages(page: Page) -> Iterator["Figure"]:
    lines = [*_prose(page.title, _HEADS[0], bold=True), _Line("")]
    for text in page.lead:
        lines += [*_prose(text, _BODY + 1), _Line("")]
    if page.command:
        lines += [*_prose(f"Made by: {page.command}", _SMALL, mono=True), _Line("")]
    for section in page.sections:
        lines += [_Line(""), *_section(section)]
        if section.charts:
            yield from _text_pages(lines)
            lines = []
            yield from (draw(chart) for chart in section.charts)
    yield from _text_pages(lines)


def _section(section: Section) -> Iterator[_Line]:
    yield from _prose(section.title, _HEADS[1], bold=True)
    for text in section.text:
        yield from (*_prose(text), _Line("", 4))
    for point in section.points:
        yield from (*_prose(f"• {point}"), _Line("", 3))
    for table in section.tables:
        yield _Line("")
        yield from _table(table)
    for chart in section.charts:
        made = f" Made by: {chart.command}" if chart.command else ""
        yield from (_Line(""), *_prose(f"Next page: {chart.title}.{made}", _SMALL))


def _table(table: Table) -> Iterator[_Line]:
    """Rows of a table in the fixed face, small enough for its widest row; what is wider still is cut at a bar."""
    yield from _prose(table.title, _BODY, bold=True)
    cells = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    total = sum(widths) + 2 * (len(widths) - 1)
    size = min(_SMALL, max(_width() / (_MONO * max(total, 1)), _LEAST))
    for number, row in enumerate(cells):
        texts = [
            text.ljust(width) if i in table.words else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        text = "  ".join(texts).rstrip()
        for part in wrap(text, _letters(size, mono=True), drop_whitespace=False, subsequent_indent="    ") or [""]:
            yield _Line(part, size, mono=True, bold=number == 0 or number - 1 in table.strong)
    for note in table.notes:
        yield from _prose(note, _SMALL)


def _prose(text: str, size: float = _BODY, *, mono: bool = False, bold: bool = False) -> Iterator[_Line]:
    for part in wrap(text, _letters(size, mono=mono)):
        yield _Line(part, size, mono, bold)


def _width() -> float:
    """Points between the margins."""
    return (_PAGE[0] - 2 * _MARGIN) * _POINTS


def _letters(size: float, *, mono: bool) -> int:
    return int(_width() / (size * (_MONO if mono else _PROSE)))


def _text_pages(lines: list[_Line]) -> Iterator["Figure"]:
    """Lines on as many pages as they need; none for none."""
    from matplotlib.figure import Figure

    figure: Figure | None = None
    y = 0.0
    for line in lines:
        step = 1.45 * line.size
        if figure is None or y + step > (_PAGE[1] - 2 * _MARGIN) * _POINTS:
            if figure is not None:
                yield figure
            if not line.text:
                figure = None  # no page begins with a gap
                continue
            figure, y = Figure(figsize=_PAGE), 0.0
        if line.text:
            figure.text(
                _MARGIN / _PAGE[0],
                1 - (_MARGIN + y / _POINTS) / _PAGE[1],
                line.text,
                fontsize=line.size,
                family="monospace" if line.mono else "sans-serif",
                weight="bold" if line.bold else "normal",
                va="top",
                parse_math=False,
            )
        y += step
    if figure is not None:
        yield figure
