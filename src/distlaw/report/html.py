"""A report as one HTML file that needs nothing else: styles, scripts and data are in it, and it asks for nothing.

Every text is escaped. A content security policy lets the scripts written here run and no other, and no request be
made, so that even a text that slipped through could do nothing.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from distlaw.charts import Chart, cell_text
from distlaw.report.page import Page, Section, Table
from distlaw.report.plotly_charts import CONFIG, plotly_figure
from distlaw.runs import written_whole

_MOST_ROWS = 200  # of a chart's data on the page; its file holds all
_COLUMNS = ("panel", "series", "x", "y", "low", "high", "z")


def require_plotly() -> Path:
    """The plotly.min.js of the installed plotly, found without importing it.

    Raises:
        ValueError: It is not installed; says how to install it.
    """
    found = find_spec("plotly")
    script = None if found is None or not found.origin else Path(found.origin).parent / "package_data/plotly.min.js"
    if script is None or not script.is_file():
        raise ValueError("pages with charts need plotly: pip install 'distlaw[web]', or write a .pdf")
    return script


def write_html(page: Page, path: Path) -> None:
    """Write a report as one file, under a temporary name that is then renamed.

    Raises:
        ValueError: The file cannot be written, or plotly is not installed.
    """
    text = html_text(page)
    with written_whole(path, "report") as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # a file's name may be no text


def html_text(page: Page) -> str:
    """The text of the file.

    Raises:
        ValueError: There are charts, and plotly is not installed.
    """
    has_charts = any(section.charts for section in page.sections)
    scripts = []
    if has_charts:
        scripts = [require_plotly().read_text(encoding="utf-8"), _asset("charts.js"), _asset("report.js")]
    policy = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",  # plotly sets styles of elements
        "img-src data: blob:",  # and saves pictures by way of them
        "script-src " + (" ".join(map(_hash, scripts)) or "'none'"),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    numbers = count(1)
    body = "\n".join(
        line for i, section in enumerate(page.sections, start=1) for line in _section(section, f"section-{i}", numbers)
    )
    contents = "\n".join(
        f'<li><a href="#section-{i}">{escape(section.title)}</a></li>'
        for i, section in enumerate(page.sections, start=1)
    )
    made = f"<p>Made by <code>{escape(page.command)}</code></p>" if page.command else ""
    lead = "\n".join(f'<p class="lead">{escape(text)}</p>' for text in page.lead)
    contents = f'<nav aria-label="Contents"><ol>\n{contents}\n</ol></nav>' if len(page.sections) > 1 else ""
    programs = "\n".join(f"<script>{script}</script>" for script in scripts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape("; ".join(policy))}">
<title>{escape(page.title)}</title>
<style>
{_asset("report.css")}</style>
</head>
<body>
<a class="skip" href="#main">To the contents</a>
<header>
<h1>{escape(page.title)}</h1>
{lead}
{made}
{contents}
</header>
<main id="main">
{body}
</main>
{programs}
</body>
</html>
"""


def _section(section: Section, name: str, numbers: Iterator[int]) -> Iterator[str]:
    yield f'<section aria-labelledby="{name}">'
    yield f'<h2 id="{name}">{escape(section.title)}</h2>'
    yield from (f"<p>{escape(text)}</p>" for text in section.text)
    if section.points:
        yield "<ul>" + "".join(f"<li>{escape(point)}</li>" for point in section.points) + "</ul>"
    for table in section.tables:
        yield _table(table)
        yield from (f'<p class="notes">{escape(note)}</p>' for note in table.notes)
    for chart in section.charts:
        yield from _figure(chart, f"chart-{next(numbers)}")
    yield "</section>"


def _table(table: Table) -> str:
    """A table that scrolls by itself on a narrow screen, by keyboard too."""

    def cell(tag: str, i: int, text: str, scope: str = "") -> str:
        side = ' class="word"' if i in table.words else ""
        return f"<{tag}{scope}{side}>{escape(text)}</{tag}>"

    head = "".join(cell("th", i, name, ' scope="col"') for i, name in enumerate(table.columns))
    lines = []
    for number, row in enumerate(table.rows):
        first, *rest = row
        cells = cell("th", 0, first, ' scope="row"') + "".join(cell("td", i, text) for i, text in enumerate(rest, 1))
        lines.append(('<tr class="strong">' if number in table.strong else "<tr>") + cells + "</tr>")
    rows = "\n".join(lines)
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.title or "table")}">'
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>"
    )


def _figure(chart: Chart, name: str) -> Iterator[str]:
    data = quote(chart.csv(), safe=",:;/()*-._~=&?@+$!", errors="replace")
    made = f"Made by <code>{escape(chart.command)}</code>. " if chart.command else ""
    yield "<figure>"
    tall = plotly_figure(chart)["layout"]["height"]  # kept free, so that nothing moves when the chart is drawn
    yield (
        f'<div class="chart" id="{name}" style="min-height: {tall}px" role="group"'
        f' aria-label="{escape(_described(chart))}"></div>'
    )
    yield f'<script type="application/json" id="{name}-figure">{_json(chart)}</script>'
    yield (
        f"<figcaption><strong>{escape(chart.title)}</strong>{made}"
        f'<a download="{escape(chart.name)}.csv" href="data:text/csv;charset=utf-8,{data}">Data as CSV</a></figcaption>'
    )
    yield f"<details><summary>Data as a table</summary>{_table(_data_table(chart))}</details>"
    yield "</figure>"


def _described(chart: Chart) -> str:
    """The chart in words, for who does not see it."""
    parts = [f"Chart: {chart.title}"]
    for panel in chart.panels:
        names = dict.fromkeys(one.name for one in panel.series if one.name)
        shown = [*([panel.field.name] if panel.field else []), *names]
        parts.append(f"{panel.title or panel.y.label} over {panel.x.label}: {', '.join(shown)}")
    return ". ".join(parts) + ". The data is in the table below."


def _data_table(chart: Chart) -> Table:
    rows = list(islice(chart.rows(), _MOST_ROWS + 1))
    columns = [name for name in _COLUMNS if any(cell_text(row.get(name, ""), 6) for row in rows)]
    more = "" if len(rows) <= _MOST_ROWS else f": the first {_MOST_ROWS} rows, all are in the CSV file"
    return Table(
        title=f"{chart.title}{more}",
        columns=tuple(columns),
        rows=tuple(tuple(cell_text(row.get(name, ""), 6) for name in columns) for row in rows[:_MOST_ROWS]),
        words=frozenset(i for i, name in enumerate(columns) if name in ("panel", "series")),
    )


def _json(chart: Chart) -> str:
    """The chart's figure, and what is different on a dark page and on a narrow one, as JSON that ends no script."""
    figure = plotly_figure(chart)
    looks = {
        "figure": figure,
        "dark": _difference(figure, plotly_figure(chart, dark=True)),
        "narrow": _difference(figure, plotly_figure(chart, columns=1)),
        "config": CONFIG,
    }
    return json.dumps(looks, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _difference(one: Any, other: Any) -> Any:  # noqa: ANN401
    """What of `other` is to be laid over `one`; a list by position where it is as long, None where nothing is."""
    if isinstance(one, dict) and isinstance(other, dict):
        parts = {key: _difference(one.get(key), value) for key, value in other.items()}
        return {key: part for key, part in parts.items() if part is not None} or None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [_difference(a, b) for a, b in zip(one, other, strict=True)]
        return None if all(part is None for part in parts) else parts
    return None if one == other else other


def _asset(name: str) -> str:
    return (files("distlaw.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
