"""A chart in the page's own frame: as high as it needs, with little around it, its zoom kept when it is redrawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import Output

from distlaw.charts import Chart
from distlaw.report.plotly_charts import plotly_figure

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif'

NOTHING: dict[str, Any] = {"data": [], "layout": {}}
"""No figure."""


def drawn(chart: Chart, look: str | None) -> dict[str, Any]:
    """A chart for a page that looks `light` or `dark`, and may be `narrow` as well."""
    words = (look or "").split()
    figure = plotly_figure(chart, dark="dark" in words, columns=1 if "narrow" in words else None)
    layout = figure["layout"]
    del layout["height"]
    layout |= {"uirevision": chart.name}  # its margins are those of charts.js, which knows how wide it is
    layout["font"] |= {"family": _FONT}
    if any(panel.field is not None for panel in chart.panels):
        for shape in layout["shapes"]:  # over the colours, which would hide them
            shape["layer"] = "above"
    return figure


def height(chart: Chart | None, look: str | None) -> int:
    """Pixels of a chart's place."""
    if chart is None or len(chart.panels) == 1:
        return 380
    columns = 1 if "narrow" in (look or "") else min(chart.columns, len(chart.panels))
    return 110 + 260 * -(-len(chart.panels) // columns)


def places(tab: str, names: Sequence[str]) -> list[Output]:
    """Where a tab's charts go: their figures, then their titles, then how high they are."""
    ends = (("", "figure"), ("-title", "children"), ("", "height"))
    return [Output(f"{tab}-{name}{end}", what) for end, what in ends for name in names]


def placed(charts: Mapping[str, Chart], names: Sequence[str], look: str | None) -> list[Any]:
    """Charts for `places`; one that is not there leaves its place empty."""
    figures = [drawn(charts[name], look) if name in charts else NOTHING for name in names]
    titles = [charts[name].title if name in charts else "" for name in names]
    return [*figures, *titles, *(height(charts.get(name), look) for name in names)]
