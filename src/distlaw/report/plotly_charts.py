"""Charts on a page: a plotly figure from `distlaw.charts`, as the plain dictionary that plotly.js draws.

The dictionary is made by hand: plotly's own Python classes would check every property of it, which costs time at every
moved slider and says nothing that plotly.js does not. So a figure needs no import, and the library is installed for
its plotly.min.js alone.
"""

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.report.palette import (
    GREY,
    INK,
    PALE_INK,
    colour_of,
    field_colours,
    legend_rank,
    levels_of,
    markers,
)

Figure = dict[str, Any]

CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg"},
}
"""What plotly.js is told besides a figure."""

_DASHES = {
    "line": "solid",
    "dashed": "dash",
    "dotted": "dot",
    "dashdot": "dashdot",
    "longdashdot": "longdashdot",
    "line-points": "solid",
}
_MARKERS = {
    "circle": "circle",
    "square": "square",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "triangle-down": "triangle-down",
    "plus": "cross",
    "star": "star",
    "cross": "x",
}
_POINTS = ("points", "hollow", "line-points")
_ALONE, _TOGETHER, _LEGEND = 420, 270, 90  # pixels: height of a panel, and of what stands above them all
_DECADES = 30.0  # highest over lowest of a log axis that is labelled at powers of ten alone
_GAP = 0.085  # between panels, as a share of the width
_GROUND = {False: "#ffffff", True: "#14171c"}


def plotly_figure(chart: Chart, *, dark: bool = False, columns: int | None = None) -> Figure:
    """The figure of a chart: `{"data": traces, "layout": layout}`, ready for JSON.

    Its title is not in it: the page says it, where it can wrap and be read out. Hovering shows a point's values under
    the names, with units, of their axes.

    Args:
        chart: What to draw.
        dark: For a dark page; the ground itself is transparent.
        columns: Panels in a row, as 1 on a narrow screen; those of the chart by default.
    """
    wide = min(columns or chart.columns, len(chart.panels))
    rows = -(-len(chart.panels) // wide)
    ink = PALE_INK if dark else INK
    height = (_ALONE if len(chart.panels) == 1 else _TOGETHER) * rows + _LEGEND
    bars = _ColourBars(chart)
    data: list[Figure] = []
    layout: Figure = {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": _LEGEND - 20, "b": 50},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": ink, "size": 12},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": _GROUND[dark], "font": {"color": ink}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        "shapes": [],
        "annotations": [],
        **bars.axes(ink),
    }
    marks = markers(chart)
    named: set[str] = set()
    for i, panel in enumerate(chart.panels):
        at = str(i + 1) if i else ""
        x, y = _domains(i, wide, rows, height)
        alone = (
            (i + wide >= len(chart.panels) or len({p.x.label for p in chart.panels}) > 1),
            (i % wide == 0 or len({p.y.label for p in chart.panels}) > 1),
        )
        layout[f"xaxis{at}"] = _axis(panel, "x", x, f"y{at}", labelled=alone[0], dark=dark)
        layout[f"yaxis{at}"] = _axis(panel, "y", y, f"x{at}", labelled=alone[1], dark=dark)
        if panel.title:
            title = {"text": f"<b>{_text(panel.title)}</b>", "x": x[0], "y": y[1], "xref": "paper", "yref": "paper"}
            place = {"xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": {"size": 12}}
            layout["annotations"].append(title | place)
        for trace in _panel(panel, at, marks, bars, dark=dark):
            named = _once(trace, named)
            data.append(trace | {"xaxis": f"x{at}", "yaxis": f"y{at}"})
        for guide in panel.guides:
            if (shape := _shape(guide, panel, at)) is not None:
                named = _once(shape, named)
                layout["shapes"].append(shape)
    layout["showlegend"] = bool(named)
    return {"data": data, "layout": layout}


def _once(thing: Figure, named: set[str]) -> set[str]:
    """One entry in the legend for each name."""
    name = thing.get("name", "")
    thing["showlegend"] = bool(name) and name not in named and thing.get("showlegend", True)
    return named | {name} if thing["showlegend"] else named


def _domains(i: int, columns: int, rows: int, height: float) -> tuple[list[float], list[float]]:
    """Where a panel lies, in shares of the plot."""
    gap = 75 / height if rows > 1 else 0.0
    wide, high = (1 - _GAP * (columns - 1)) / columns, (1 - gap * (rows - 1)) / rows
    left, low = (i % columns) * (wide + _GAP), (rows - 1 - i // columns) * (high + gap)
    return [round(left, 4), round(left + wide, 4)], [round(low, 4), round(low + high, 4)]


def _axis(panel: Panel, which: str, domain: list[float], anchor: str, *, labelled: bool, dark: bool) -> Figure:
    axis: Axis = getattr(panel, which)
    found: Figure = {
        "domain": domain,
        "anchor": anchor,
        "automargin": True,
        "gridcolor": "#3a3f47" if dark else "#e4e4e4",
        "linecolor": GREY,
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "exponentformat": "power",
    }
    if labelled:
        found["title"] = {"text": _text(axis.label), "standoff": 8}
    if axis.scale == "log":
        low, high = _extent(panel, which)
        found["type"] = "log"
        if 0 < low < high:
            found["dtick"] = 1 if high / low > _DECADES else "D2"  # powers of ten alone, or 2 and 5 too
    if axis.limits is not None:
        ends = np.log10(axis.limits) if axis.scale == "log" else axis.limits
        found["range"] = [float(end) for end in ends]
    return found


def _panel(
    panel: Panel, at: str, marks: dict[float | int | None, str], bars: "_ColourBars", *, dark: bool
) -> Iterator[Figure]:
    if panel.field is not None:
        yield bars.contours(panel, panel.field)
    for one in panel.series:
        colour = colour_of(one.colour, dark=dark)
        if one.kind == "area":
            yield _area(one, panel, at, colour)
            continue
        if one.low is not None and one.high is not None and one.kind not in _POINTS:
            yield _band(one, one.low, one.high, colour)
        if panel.field is not None and one.kind not in ("points", "hollow"):
            # A line over contours needs an edge to be seen on every colour.
            edge = {"mode": "lines", "line": {"color": INK if dark else "#ffffff", "width": 4}, "hoverinfo": "skip"}
            yield _points(one) | edge | {"showlegend": False}
        yield _scatter(one, panel, marks, colour, dark=dark)


def _points(one: Series) -> Figure:
    return {
        "type": "scatter",
        "name": _text(one.name),
        "legendrank": legend_rank(one),
        "x": _numbers(one.x),
        "y": _numbers(one.y),
    }


def _scatter(one: Series, panel: Panel, marks: dict[float | int | None, str], colour: str, *, dark: bool) -> Figure:
    trace = _points(one) | {"legendgroup": _text(one.name), "hovertemplate": _hover(one.name, panel)}
    lined, marked = one.kind in _DASHES, one.kind in _POINTS
    trace["mode"] = "+".join([*(["lines"] if lined else []), *(["markers"] if marked else [])])
    if lined:
        trace["line"] = {"color": colour, "dash": _DASHES[one.kind], "width": 2}
    if marked:
        hollow = one.kind == "hollow"
        trace["marker"] = {
            "color": _GROUND[dark] if hollow else colour,
            "symbol": _MARKERS[marks[one.colour]],
            "size": 8,
            "line": {"color": colour, "width": 1.5},
        }
    if one.low is not None and one.high is not None:
        trace["customdata"] = [list(ends) for ends in zip(_numbers(one.low), _numbers(one.high), strict=True)]
        trace["hovertemplate"] = _hover(one.name, panel, interval=True)
        if marked:
            above, below = np.maximum(one.high - one.y, 0), np.maximum(one.y - one.low, 0)
            ends = {"array": _numbers(above), "arrayminus": _numbers(below)}
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "color": colour,
                "thickness": 1.2,
                "width": 0,
            } | ends
    return trace


def _area(one: Series, panel: Panel, at: str, colour: str) -> Figure:
    known = np.isfinite(one.y)
    return _points(one) | {
        "x": _numbers(one.x[known]),
        "y": _numbers(one.y[known]),
        "mode": "lines",
        "stackgroup": f"panel{at}",
        "line": {"color": colour, "width": 0.5},
        "fillcolor": colour,
        "legendgroup": _text(one.name),
        "hovertemplate": _hover(one.name, panel),
    }


def _band(one: Series, low: NDArray[np.float64], high: NDArray[np.float64], colour: str) -> Figure:
    """The interval along a line: a closed shape for each stretch where both ends are known."""
    known = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & np.isfinite(one.x))
    x: list[float | None] = []
    y: list[float | None] = []
    for stretch in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        x += [*_numbers(one.x[stretch]), *_numbers(one.x[stretch][::-1]), None]
        y += [*_numbers(low[stretch]), *_numbers(high[stretch][::-1]), None]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return {
        "type": "scatter",
        "x": x[:-1],
        "y": y[:-1],
        "mode": "none",
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.2)",
        "hoverinfo": "skip",
        "legendgroup": _text(one.name),
        "showlegend": False,
    }


def _shape(guide: Guide, panel: Panel, at: str) -> Figure | None:
    """A guide; None for a diagonal that the data is nowhere near."""
    shape: Figure = {
        "name": _text(guide.name),
        "legendrank": legend_rank(guide),
        "layer": "below" if panel.field is None else "above",
        "line": {"color": GREY, "width": 1.2},
        "xref": f"x{at}",
        "yref": f"y{at}",
    }
    if guide.axis == "diagonal":
        x, y = (_extent(panel, which) for which in ("x", "y"))
        low, high = max(x[0], y[0]), min(x[1], y[1])
        dotted = {"type": "line", "line": {"color": GREY, "width": 1.2, "dash": "dot"}}
        return shape | dotted | {"x0": low, "x1": high, "y0": low, "y1": high} if low < high else None
    other = "y" if guide.axis == "x" else "x"
    ends = {f"{guide.axis}0": guide.at, f"{guide.axis}1": guide.at if guide.to is None else guide.to}
    shape |= {"type": "line" if guide.to is None else "rect", f"{other}0": 0, f"{other}1": 1, **ends}
    shape[f"{other}ref"] += " domain"
    if guide.to is not None:
        shape |= {"fillcolor": "rgba(128,128,128,0.22)", "line": {"width": 0}}
    return shape


def _extent(panel: Panel, which: str) -> tuple[float, float]:
    """Where the data of a panel lies."""
    limits = (panel.x if which == "x" else panel.y).limits
    if limits is not None:
        return limits
    drawn = [*panel.series, *([panel.field] if panel.field is not None else [])]
    values = np.concatenate([np.empty(0), *(getattr(one, which) for one in drawn)])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


class _ColourBars:
    """One colour scale and bar for each quantity that a chart's fields show."""

    def __init__(self, chart: Chart) -> None:
        self.fields: dict[str, list[Field]] = {}
        for panel in chart.panels:
            if panel.field is not None:
                self.fields.setdefault(panel.field.name, []).append(panel.field)
        self.levels = {name: levels_of(fields) for name, fields in self.fields.items()}
        self.place = {name: f"coloraxis{i + 1 if i else ''}" for i, name in enumerate(self.fields)}

    def axes(self, ink: str) -> Figure:
        found = {}
        for i, (name, fields) in enumerate(self.fields.items()):
            levels = self.levels[name]
            step = (levels[-1] - levels[0]) / (levels.size - 1)
            # plotly.js spreads the scale from half a step below the first contour to half a step above the last.
            middles = levels[0] + step * (np.arange(levels.size + 1) - 0.5)
            colours = field_colours(fields[0], levels, middles)
            found[self.place[name]] = {
                "colorscale": [[j / levels.size, colour] for j, colour in enumerate(colours)],
                "cmin": float(levels[0]),
                "cmax": float(levels[-1]),
                "colorbar": {
                    "title": {"text": _text(name), "side": "right"},
                    "thickness": 12,
                    "x": 1.02 + 0.1 * i,
                    "outlinewidth": 0,
                    "tickfont": {"color": ink},
                },
            }
        return found

    def contours(self, panel: Panel, field: Field) -> Figure:
        levels = self.levels[field.name]
        step = float(np.diff(levels).mean()) if levels.size > 1 else 1.0
        hover = f"{_text(panel.x.label)}: %{{x:.4~g}}<br>{_text(panel.y.label)}: %{{y:.4~g}}<br>"
        return {
            "type": "contour",
            "name": "",
            "x": _numbers(field.x),
            "y": _numbers(field.y),
            "z": [_numbers(row) for row in field.z],
            "coloraxis": self.place[field.name],
            "contours": {"start": float(levels[0]), "end": float(levels[-1]), "size": step},
            "line": {"width": 0.5, "color": "#ffffff"},
            "hovertemplate": f"{hover}{_text(field.name)}: %{{z:.4~g}}<extra></extra>",
        }


def _hover(name: str, panel: Panel, *, interval: bool = False) -> str:
    ends = " (%{customdata[0]:.4~g} to %{customdata[1]:.4~g})" if interval else ""
    head = f"<b>{_text(name)}</b><br>" if name else ""
    x, y = _text(panel.x.label), _text(panel.y.label)
    return f"{head}{x}: %{{x:.4~g}}<br>{y}: %{{y:.4~g}}{ends}<extra></extra>"


def _text(text: str) -> str:
    """Text as it is: plotly.js takes tags in it, and in braces what is to be put in."""
    return html.escape(text, quote=False).replace("%{", "%&#123;")


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """For JSON: six digits, which nobody can see beyond; None where there is no number."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]
