"""Building blocks of the page: cards, tables, messages, charts with their exports."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dash import html

from distlaw.apps.web.controls import Chart as Drawn
from distlaw.apps.web.controls import Copy, Table
from distlaw.apps.web.figure import height
from distlaw.charts import Chart
from distlaw.report.lab_tables import number_text
from distlaw.spreadsheet import inert

Content = Any
"""What Dash can show: a component, a text, or a list of them."""


def aria(**said: str) -> dict[str, Any]:
    """What a screen reader is told of an element, as `label` or `live`."""
    return {f"aria-{name}": text for name, text in said.items()}


def card(title: str, *children: Content, id: str | None = None, wide: bool = False) -> html.Section:
    """A part of a tab under a heading."""
    heading = html.H2(title)
    given: dict[str, Any] = {} if id is None else {"id": id}
    return html.Section([heading, *children], className="card wide" if wide else "card", **given)


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Content]],
    *,
    marked: int = -1,
    tall: bool = False,
    under: Mapping[str, str] | None = None,
) -> Table:
    """A table; numbers are written to four digits.

    Args:
        caption: What it shows.
        columns: Names, with units.
        rows: Cells: texts, numbers, or what `Table` takes.
        marked: Row that is set off.
        tall: Whether it may be long and scrolls downwards too.
        under: Columns that stand under another, by name.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    return Table(caption, columns, cells, marked=marked, tall=tall, under=under)


def _cell(value: Content) -> Content:
    return value if isinstance(value, str | dict) else number_text(value)


def sentence(text: str) -> str:
    """Text with a capital, unless it begins with a name, as that of a file."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].replace("-", "").isalpha() else text


def message(*texts: str, kind: str = "error") -> html.Div:
    """Sentences for the user: an error, a warning, or a note."""
    role = "alert" if kind == "error" else "note"
    shown = [html.P(sentence(text)) for text in texts]
    return html.Div(shown, className=f"message {kind}", role=role) if shown else html.Div(hidden=True)


def fact(name: str, value: str, note: str = "") -> html.Div:
    """A number that matters, with its name and what one should know about it."""
    return html.Div([html.Dt(name), html.Dd([html.Strong(value), html.Span(note)])], className="fact")


def facts(*found: html.Div) -> html.Dl:
    """Several of them."""
    return html.Dl(list(found), className="facts")


def amount(value: float) -> str:
    """Hours, dollars and the like: whole where they are many."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def details(summary: str, *children: Content, open: bool = False) -> html.Details:
    """A part that is folded."""
    return html.Details([html.Summary(summary), *children], open=open)


def code(id: str, text: str, label: str) -> html.Div:
    """Text to copy."""
    return html.Div([html.Pre(html.Code(text), tabIndex="0", **aria(label=label)), Copy(id, "Copy", text)])


def buttons(*found: Content) -> html.Div:
    """Buttons side by side."""
    return html.Div(list(found), className="buttons")


def button(id: str, label: str, *, quiet: bool = True, disabled: bool = False) -> html.Button:
    """A button; one that is not quiet is what the part is there for."""
    return html.Button(label, id=id, type="button", className="quiet" if quiet else "", disabled=disabled)


def charts_card(tab: str, labels: Mapping[str, str], *, first_wide: bool = False) -> html.Section:
    """Places for a tab's charts, in two columns; `labels` are what they are of, by name."""
    slots = [chart_slot(f"{tab}-{name}", label) for name, label in labels.items()]
    return html.Section(slots, className="card charts first" if first_wide else "card charts", **aria(label="Charts"))


def chart_slot(id: str, label: str) -> html.Figure:
    """A place for a chart, with buttons for its picture and its numbers."""
    return html.Figure(
        [
            Drawn(label, id=id, height=height(None, None)),
            html.Figcaption(
                [
                    html.Span(label, id=f"{id}-title"),
                    html.Button("PNG", id=f"{id}-png", className="quiet", **aria(label=f"{label}: save as picture")),
                    html.Button("CSV", id=f"{id}-csv", className="quiet", **aria(label=f"{label}: save numbers")),
                ]
            ),
        ],
        className="chart",
        id=f"{id}-figure",
    )


def chart_file(chart: Chart) -> dict[str, str]:
    """A chart's numbers to save: name and content of a file."""
    return {"filename": f"{chart.name}.csv", "content": chart.csv()}


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with the columns of all of them; a text that a spreadsheet would take for a formula is quoted."""
    found = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in found for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: inert(v) if isinstance(v, str) else v for k, v in row.items()} for row in found)
    return text.getvalue()
