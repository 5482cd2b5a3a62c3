"""Charts on paper: a matplotlib figure from `distlaw.charts`."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.report.palette import GREY, colour_of, field_colours, legend_rank, levels_of, markers

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure

_DASHES: dict[str, Any] = {
    "line": "solid",
    "dashed": (0, (4, 2)),
    "dotted": (0, (1, 1.5)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
    "longdashdot": (0, (7, 1.5, 1, 1.5, 1, 1.5)),
    "line-points": "solid",
}
_MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "triangle-down": "v",
    "plus": "P",
    "star": "*",
    "cross": "X",
}
_ALONE, _TOGETHER = (7.0, 4.5), (3.4, 2.8)  # inches, of a panel
_LETTER, _TITLE_LETTER = 0.075, 0.09  # inches of a letter
_SAMPLE = 0.6  # inches of a line in the legend and of the gaps around it
_NARROW, _NARROW_PLAIN = 30.0, 200.0  # highest over lowest of a log axis that is labelled between powers of ten


def draw(chart: Chart) -> "Figure":
    """Draw a chart: its panels row by row, title and legend above them, one colour bar for each quantity in fields.

    Labels that all panels share stand once. Texts are taken as they are: a `$` is no formula.
    """
    # Figure without pyplot: no global state, no display, safe in threads.
    from matplotlib.figure import Figure

    count = len(chart.panels)
    columns = min(chart.columns, count)
    rows = -(-count // columns)
    height = _ALONE[1] if count == 1 else _TOGETHER[1]
    width = _ALONE[0] if columns == 1 else _TOGETHER[0]
    entries = _Legend(chart)
    wide = width * columns
    figure = Figure(figsize=(wide, height * rows + 0.25 + entries.height(wide)), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.remove()
    marks = markers(chart)
    contours: dict[str, list[tuple[Axes, QuadContourSet]]] = {}
    for axes, panel in zip(grid, chart.panels, strict=False):
        if panel.field is not None:
            fields = [p.field for p in chart.panels if p.field is not None and p.field.name == panel.field.name]
            contours.setdefault(panel.field.name, []).append((axes, _contours(axes, panel.field, fields)))
        _panel(axes, panel, marks)
        for guide in panel.guides:
            _guide(axes, guide)
    for name, drawn in contours.items():
        bar = figure.colorbar(drawn[-1][1], ax=[axes for axes, _ in drawn], pad=0.02, aspect=30)
        bar.set_label(name, fontsize=9, parse_math=False)
        bar.ax.tick_params(labelsize=8)
    _labels(figure, grid[:count], chart)
    entries.put(figure, wide, marks)
    return figure


def _panel(axes: "Axes", panel: Panel, marks: dict[float | int | None, str]) -> None:
    below: np.ndarray | None = None
    for order, one in enumerate(panel.series, start=3):
        colour = colour_of(one.colour)
        if one.kind == "area":
            below = np.zeros(one.y.shape) if below is None else below
            axes.fill_between(one.x, below, below + one.y, facecolor=colour, edgecolor="white", linewidth=0.8)
            below = below + one.y
            continue
        _interval(axes, one, colour, order)
        style = _style(one, marks)
        if panel.field is not None and "linestyle" in style:
            # A line over contours needs an edge to be seen on every colour.
            axes.plot(one.x, one.y, color="white", linewidth=3.2, zorder=order)
        axes.plot(one.x, one.y, zorder=order + 0.5, **style)
    for which, axis in (("x", panel.x), ("y", panel.y)):
        _scale(axes, which, axis)
    if panel.title:
        axes.set_title(panel.title, loc="left", fontsize=10, parse_math=False)
    if panel.field is None:
        tidy(axes)


def tidy(axes: "Axes") -> None:
    """Axes in this package's style."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _style(one: Series, marks: dict[float | int | None, str]) -> dict[str, Any]:
    """Options of `Axes.plot` for a series that is no area."""
    colour = colour_of(one.colour)
    style: dict[str, Any] = {"color": colour, "linestyle": "none"}
    if one.kind in _DASHES:
        style |= {"linestyle": _DASHES[one.kind], "linewidth": 1.5}
    if one.kind in ("points", "hollow", "line-points"):
        face = "white" if one.kind == "hollow" else colour
        style |= {"marker": _MARKERS[marks[one.colour]], "markersize": 5, "markerfacecolor": face}
    return style


def _interval(axes: "Axes", one: Series, colour: str, order: int) -> None:
    """A band along a line, bars at points; nothing where an end is not known."""
    if one.low is None or one.high is None:
        return
    known = np.isfinite(one.low) & np.isfinite(one.high)
    if one.kind in ("points", "hollow", "line-points"):
        ends = one.x[known], one.low[known], one.high[known]
        axes.vlines(*ends, color=colour, linewidth=1.2, alpha=0.7, zorder=order)
    else:
        axes.fill_between(one.x, one.low, one.high, where=known, color=colour, alpha=0.18, linewidth=0, zorder=1)


def _guide(axes: "Axes", guide: Guide) -> None:
    line = {"color": GREY, "linewidth": 0.9, "zorder": 1.5}
    if guide.axis == "diagonal":
        ends = axes.get_xlim(), axes.get_ylim()
        axes.plot(ends[0], ends[0], linestyle="dotted", **line)
        axes.set(xlim=ends[0], ylim=ends[1])  # the line widens no axis
    elif guide.to is None:
        (axes.axvline if guide.axis == "x" else axes.axhline)(guide.at, **line)
    else:
        span = axes.axvspan if guide.axis == "x" else axes.axhspan
        span(guide.at, guide.to, color=GREY, alpha=0.22, linewidth=0, zorder=0.5)


def _contours(axes: "Axes", field: Field, together: Sequence[Field]) -> "QuadContourSet":
    from matplotlib.patheffects import Normal, Stroke

    levels = levels_of(together)
    z = np.ma.masked_invalid(field.z)
    bands = axes.contourf(
        field.x,
        field.y,
        z,
        levels=levels,
        colors=field_colours(field, levels, (levels[1:] + levels[:-1]) / 2),
        extend="neither",
        zorder=0,
    )
    lines = axes.contour(field.x, field.y, z, levels=levels, colors="white", linewidths=0.5, zorder=0.2)
    for text in axes.clabel(lines, fontsize=7, colors="black"):  # numbers, for who sees no colours
        text.set_path_effects([Stroke(linewidth=2, foreground="white"), Normal()])
    return bands


def _scale(axes: "Axes", which: str, axis: Axis) -> None:
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter, StrMethodFormatter

    own = axes.xaxis if which == "x" else axes.yaxis
    if axis.scale == "log":
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    if axis.limits is not None:
        (axes.set_xlim if which == "x" else axes.set_ylim)(*axis.limits)
    own.set_tick_params(labelsize=8)
    if axis.scale == "log":
        low, high = own.get_view_interval()
        plain = low > 1e-3 and high < 1e4
        if high / low < (_NARROW_PLAIN if plain else _NARROW):
            own.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if high / low < 4 else (1, 2, 5)))
            if plain:
                own.set_major_formatter(StrMethodFormatter("{x:g}"))
            else:
                own.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(9, 9)))
        own.set_minor_formatter(NullFormatter())


def _labels(figure: "Figure", grid: "Sequence[Axes]", chart: Chart) -> None:
    """Axis labels: once where all panels share one."""
    for which in ("x", "y"):
        labels = [getattr(panel, which).label for panel in chart.panels]
        if len(labels) > 1 and len(set(labels)) == 1:
            (figure.supxlabel if which == "x" else figure.supylabel)(labels[0], fontsize=10, parse_math=False)
            continue
        for axes, label in zip(grid, labels, strict=True):
            (axes.set_xlabel if which == "x" else axes.set_ylabel)(label, fontsize=9, parse_math=False)


class _Legend:
    """A chart's title and, under it, the names of its series and guides, each once, with what stands for them."""

    def __init__(self, chart: Chart) -> None:
        self.title = chart.title
        found: dict[str, list[Series | Guide]] = {}
        for panel in chart.panels:
            for thing in (*panel.series, *panel.guides):
                if thing.name:
                    found.setdefault(thing.name, []).append(thing)
        self.names = dict(sorted(found.items(), key=lambda item: legend_rank(item[1][0])))

    def height(self, wide: float) -> float:
        """Inches, in a figure so wide."""
        rows = -(-len(self.names) // self._columns(wide)) if self.names else 0
        return 0.2 * (rows + len(self._lines(wide)))

    def put(self, figure: "Figure", wide: float, marks: dict[float | int | None, str]) -> None:
        title = "\n".join(self._lines(wide))
        if not self.names:
            figure.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
            return
        legend = figure.legend(
            handles=[self._handle(things, marks) for things in self.names.values()],
            labels=[f" {name}" if name.startswith("_") else name for name in self.names],  # "_" would hide it
            loc="outside upper left",
            ncols=self._columns(wide),
            frameon=False,
            fontsize=8.5,
            handlelength=2.6,
            borderpad=0.2,
            title=title,
            title_fontsize=11,
            alignment="left",
        )
        for text in (legend.get_title(), *legend.get_texts()):
            text.set_parse_math(False)

    def _columns(self, wide: float) -> int:
        longest = max(len(name) for name in self.names)
        return max(1, min(len(self.names), int(wide / (_SAMPLE + _LETTER * longest))))

    def _lines(self, wide: float) -> list[str]:
        return wrap(self.title, int(wide / _TITLE_LETTER))

    def _handle(self, things: list[Series | Guide], marks: dict[float | int | None, str]) -> "Artist":
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        first = things[0]
        if isinstance(first, Guide):
            if first.to is not None:
                return Patch(facecolor=GREY, alpha=0.22)
            return Line2D([], [], color=GREY, linestyle="dotted" if first.axis == "diagonal" else "solid")
        if first.kind == "area":
            return Patch(facecolor=colour_of(first.colour), edgecolor="white")
        return Line2D([], [], **self._together(things, marks))

    def _together(self, things: list[Series | Guide], marks: dict[float | int | None, str]) -> dict[str, Any]:
        """A line and points of one name are shown as one."""
        style: dict[str, Any] = {}
        for kinds in (tuple(_DASHES), ("points", "line-points", "hollow")):
            for one in _series(things):
                if one.kind in kinds:
                    own = _style(one, marks)
                    style = {**own, **style} if style.get("linestyle", "none") != "none" else own
                    break
        return style


def _series(things: Sequence[Series | Guide]) -> Iterator[Series]:
    return (thing for thing in things if isinstance(thing, Series) and thing.kind != "area")
