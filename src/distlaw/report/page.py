"""What a report says, whatever it is written as: sections of words, tables and charts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distlaw.charts import Chart

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: What it shows.
        columns: Heads, with units.
        rows: Cells as text, as many as columns.
        strong: Positions of the rows that stand out.
        notes: Under it, a line each.
        words: Positions of the columns of words, which are set on the left; the first is one.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    words: frozenset[int] = frozenset({0})

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"table '{self.title}': a row has {len(wrong[0])} cells for {len(self.columns)} columns")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report.

    Attributes:
        title: Its heading.
        text: Paragraphs.
        points: Sentences of a list, after the paragraphs.
        tables: Before the charts.
        charts: Each is shown with its data and the command that makes it.
    """

    title: str
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        title: Its heading.
        lead: What it comes to, in a few sentences, before all else.
        sections: In the order in which they are read.
        command: The command that writes it.
    """

    title: str
    lead: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    command: str = ""


def table_of(table: "RichTable") -> Table:
    """A table of the terminal as one of a report: the same cells, its caption as notes."""
    columns = list(table.columns)
    cells = [[str(cell) for cell in column.cells] for column in columns]
    return Table(
        title=str(table.title or ""),
        columns=tuple(str(column.header) for column in columns),
        rows=tuple(zip(*cells, strict=True)),
        strong=frozenset(i for i, row in enumerate(table.rows) if row.style),
        notes=tuple(str(table.caption).splitlines()) if table.caption else (),
        words=frozenset(i for i, column in enumerate(columns) if column.justify == "left"),
    )
