"""How tables fit the terminal: one rule for every command.

A table is made with `new_table` and printed on `distlaw.apps.output.console()`:

    table = new_table(
        "Teachers",
        "teacher",                            # the first column names the row: it is always shown
        Column("student loss", ALWAYS),       # an answer: always shown
        "student tokens",                     # a plain name is a column of middle importance
        Column("status", words=True),         # its cells are sentences, which may be broken at spaces
        Column("FLOPs", DETAIL),              # the first to be left out
    )

What does not fit the width is treated in this order. Headers are wrapped at words. Columns are left out, those of the
highest number first and among equals the rightmost, and one line below the table names them. Only then are the columns
that always stay narrowed, their cells broken at words where there are any. No cell is ever cut, and no line ends in
spaces.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

ALWAYS, USUAL, DETAIL = 0, 1, 2
_GAP = 2  # spaces between columns: rich's own and one of padding
_WORDS = 20  # a column of sentences is given at least as much before others are left out


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its header.
        priority: ALWAYS (0) is never left out; of the others those with the highest number go first.
        words: Its cells are sentences: they start at the left and may be broken at spaces.
    """

    name: str
    priority: int = USUAL
    words: bool = False


class FittedTable(Table):
    """A table of rich that leaves out what does not fit; cells are text as it is, never markup."""

    def __init__(self, title: str, columns: Sequence[Column], caption: str | None) -> None:
        super().__init__(title=Text(title), caption=None if caption is None else Text(caption))
        self._described = tuple(columns)
        for column in columns:
            self.add_column(Text(column.name), justify="left" if column.words else "right", overflow="fold")

    def add_row(self, *cells: object, style: str | None = None, end_section: bool = False) -> None:  # type: ignore[override]
        """Add a row of texts."""
        texts = [cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells]
        super().add_row(*texts, style=style, end_section=end_section)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, what fits of the table, what was left out, caption."""
        width = options.max_width
        cells = [[_text(column.header), *map(_text, column.cells)] for column in self.columns]
        shapes = [
            _Shape(column, texts, flexible=i == 0 or column.words, width=width)
            for i, (column, texts) in enumerate(zip(self._described, cells, strict=True))
        ]
        kept = _kept(shapes, width)
        widths = _widths([shapes[i] for i in kept], width)
        inner = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        inner.show_header = any(shapes[i].header.plain for i in kept)
        for i, wide in zip(kept, widths, strict=True):
            justify = "left" if i == 0 else self.columns[i].justify
            inner.add_column(shapes[i].header, justify=justify, width=wide, overflow="fold")
        for number, row in enumerate(self.rows):
            inner.add_row(*(cells[i][number + 1] for i in kept), style=row.style, end_section=row.end_section)
        left_out = [column.name for i, column in enumerate(self._described) if i not in kept]
        yield from _lines(console, options, self.title)
        if self.title and inner.show_header:
            yield Segment.line()
        yield from _lines(console, options, inner)
        if self.caption or left_out:
            yield Segment.line()
        yield from _lines(console, options, self.caption)
        if left_out:
            note = f"Left out at {width} columns: {', '.join(left_out)}. A wider terminal or --json shows them."
            yield from _lines(console, options, Text(note))


class Prose:
    """Sentences for a group beside tables, each from a line of its own, broken at words."""

    def __init__(self, *sentences: str, style: str = "") -> None:
        self._text = Text("\n".join(sentences), style=style)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, none of which ends in spaces."""
        yield from _lines(console, options, self._text)


def new_table(title: str, *columns: str | Column, caption: str | None = None) -> FittedTable:
    """An empty table in this package's style, which fits the width that it is printed at.

    Args:
        title: One line above it.
        columns: Headers, or columns with their priority (see the module's own text). The first names the row.
        caption: Notes below it.
    """
    described = [column if isinstance(column, Column) else Column(column) for column in columns]
    described[0] = Column(described[0].name, ALWAYS, described[0].words)
    return FittedTable(title, described, caption)


class _Shape:
    """What a column needs: at least, to have its cells on one line each, and with its header on so many lines."""

    def __init__(self, column: Column, texts: Sequence[Text], *, flexible: bool, width: int) -> None:
        self.header, self.priority, self.flexible = texts[0], column.priority, flexible
        self.natural = max((_longest(text) for text in texts[1:]), default=0)
        word = max(map(cell_len, self.header.plain.split()), default=0)
        enough = min(self.natural, _WORDS if column.words else max(width // 2, 1)) if flexible else self.natural
        self.least = max(word, enough, 1)

    def with_header_on(self, lines: int) -> int:
        """The least width at which the header takes at most so many lines."""
        words = [cell_len(word) for word in self.header.plain.split()]
        wide = self.least
        while _lines_of(words, wide) > lines:
            wide += 1
        return wide


def _kept(shapes: Sequence[_Shape], width: int) -> list[int]:
    """The columns that are shown, from left to right."""
    kept = list(range(len(shapes)))
    while sum(shapes[i].least + _GAP for i in kept) - _GAP > width:
        optional = [i for i in kept if shapes[i].priority > ALWAYS]
        if not optional:
            break
        kept.remove(max(optional, key=lambda i: (shapes[i].priority, i)))
    return kept


def _widths(shapes: Sequence[_Shape], width: int) -> list[int]:
    """The width of each column: headers on as few lines as fit, the rest to the cells that are broken most."""
    room = width - _GAP * (len(shapes) - 1)
    widths = [shape.least for shape in shapes]
    while sum(widths) > room and max(widths) > 1:  # nothing more can be left out
        widths[widths.index(max(widths))] -= 1
    for lines in range(max(len(shape.header.plain.split()) for shape in shapes), 0, -1):
        wider = [max(shape.with_header_on(lines), wide) for shape, wide in zip(shapes, widths, strict=True)]
        if sum(wider) > room:
            break
        widths = wider
    for _ in range(room - sum(widths)):
        broken = [
            (shape.natural / wide, -i)
            for i, (shape, wide) in enumerate(zip(shapes, widths, strict=True))
            if shape.flexible and shape.natural > wide
        ]
        if not broken:
            break
        widths[-max(broken)[1]] += 1
    return widths


def _lines_of(words: Sequence[int], width: int) -> int:
    """How many lines words of these lengths take."""
    lines, used = 1, 0
    for word in words:
        if used and used + 1 + word > width:
            lines, used = lines + 1, 0
        used += word + (1 if used else 0)
    return lines


def _lines(console: Console, options: ConsoleOptions, what: object) -> Iterable[Segment]:
    """What is printed, without the spaces that rich ends lines with."""
    if not what:
        return
    options = options.update(no_wrap=False, overflow="fold", height=None)
    for line in console.render_lines(what, options, pad=False):  # type: ignore[arg-type]
        kept = list(line)
        while kept and not kept[-1].text.strip():
            kept.pop()
        if kept:
            kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
        yield from kept
        yield Segment.line()


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _longest(text: Text) -> int:
    return max(map(cell_len, text.plain.splitlines()), default=0)
