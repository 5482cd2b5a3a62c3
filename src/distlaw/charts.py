"""Charts as data: what is drawn, with names and units, and nothing about how.

`report` draws a chart for paper (matplotlib) and for a page (plotly), and writes its numbers as a table, so that
a figure, its interactive twin and its data never differ.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distlaw.spreadsheet import inert

Array = NDArray[np.float64]
Kind = Literal["line", "dashed", "dotted", "dashdot", "longdashdot", "points", "hollow", "line-points", "area"]
Scale = Literal["linear", "log"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Points of one name.

    Attributes:
        name: What the legend says; empty: it is not in the legend.
        x: Abscissae.
        y: Ordinates, of the same length; NaN leaves a gap.
        low: Lower ends of intervals, or None.
        high: Upper ends of intervals, or None. A band along a line, bars at points.
        kind: `area` is stacked on the areas before it; `hollow` are points that are not filled.
        colour: A whole number chooses from the palette of things that have no order; a number in [0, 1] lies on the
            scale of things that have one, such as sizes; None is black.
    """

    name: str
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    kind: Kind = "line"
    colour: int | float | None = None

    def __post_init__(self) -> None:
        for field in ("x", "y", "low", "high"):
            if (value := getattr(self, field)) is not None:
                object.__setattr__(self, field, np.asarray(value, dtype=np.float64).reshape(-1))
        lengths = {np.size(v) for v in (self.x, self.y, self.low, self.high) if v is not None}
        if len(lengths) > 1 or (self.low is None) != (self.high is None):
            raise ValueError(f"series '{self.name}': x, y, low and high must have one length, and low comes with high")


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A quantity over a plane, drawn as contours.

    Attributes:
        name: What it is, with its unit.
        x: Shape (n,).
        y: Shape (m,).
        z: Shape (m, n); NaN where it is not defined.
        levels: Contours, rising; empty: chosen by who draws.
        centre: Where colours turn, as 0 for a difference; None: they run one way.
    """

    name: str
    x: Array
    y: Array
    z: Array
    levels: tuple[float, ...] = ()
    centre: float | None = None

    def __post_init__(self) -> None:
        for field in ("x", "y", "z"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.float64))
        if np.shape(self.z) != (np.size(self.y), np.size(self.x)):
            raise ValueError(f"field '{self.name}': z has shape {np.shape(self.z)}, not (len(y), len(x))")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        label: Quantity and unit.
        scale: linear or log.
        limits: Ends, or None for those of the data.
    """

    label: str
    scale: Scale = "linear"
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A line or a span behind the data.

    Attributes:
        axis: The axis that `at` lies on: "x" draws a vertical line, "y" a horizontal one, "diagonal" the line y = x.
        at: Position; with `to`, where a shaded span begins.
        to: Where the span ends; None: a line.
        name: What the legend says; empty: nothing.
    """

    axis: Literal["x", "y", "diagonal"]
    at: float = 0.0
    to: float | None = None
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        x: Horizontal axis.
        y: Vertical axis.
        series: In order, the last on top.
        title: Above the panel.
        field: Contours below the series.
        guides: Behind all.
    """

    x: Axis
    y: Axis
    series: tuple[Series, ...] = ()
    title: str = ""
    field: Field | None = None
    guides: tuple[Guide, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure.

    Attributes:
        name: Of its files: lower-case words with hyphens.
        title: What it shows, in a line.
        panels: Row by row. A series of one name has one entry in the legend, whatever the panels it is in.
        columns: Panels in a row.
        command: The command that makes it; empty: unknown.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    columns: int = 3
    command: str = ""

    def __post_init__(self) -> None:
        if not self.panels or self.columns < 1:
            raise ValueError(f"chart '{self.name}' must have panels, and columns of 1 or more, got {self.columns}")

    def rows(self) -> Iterator[dict[str, str | float]]:
        """Every point as a row of a table: panel, series, x, y, low, high; of a field, its z as well."""
        for panel in self.panels:
            for one in panel.series:
                ends = [np.full(one.y.shape, np.nan) if e is None else e for e in (one.low, one.high)]
                for numbers in np.stack([one.x, one.y, *ends], axis=1).tolist():
                    yield {"panel": panel.title, "series": one.name, **dict(zip(_COLUMNS, numbers, strict=True))}
            if (field := panel.field) is not None:
                for (i, j), z in np.ndenumerate(field.z):
                    x, y = float(field.x[j]), float(field.y[i])
                    yield {"panel": panel.title, "series": field.name, "x": x, "y": y, "z": float(z)}

    def csv(self) -> str:
        """The same as CSV: a header, numbers to eight digits, an empty cell where there is none, no text a formula."""
        rows = list(self.rows())
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: inert(cell_text(value, 8)) for name, value in row.items()} for row in rows)
        return text.getvalue()


def cell_text(value: str | float, digits: int) -> str:
    """A cell of a chart's data: nothing where there is no number."""
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.{digits}g}"


def shades(count: int) -> list[float]:
    """Colours of as many things that have an order, from the first to the last.

    >>> shades(3)
    [0.0, 0.5, 1.0]
    """
    return np.linspace(0.0, 1.0, count).tolist() if count > 1 else [0.0] * count


_COLUMNS = ("x", "y", "low", "high")
