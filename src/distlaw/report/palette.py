"""Colours and markers of every chart, on paper and on a page, light and dark.

What has no order takes the hues of Okabe and Ito's palette, which colour-blind readers can tell apart. What has one, as
sizes, runs along viridis, which keeps the order for them and in grey. Both are as dark or as pale as a contrast of 3 to
1 with the ground asks for. Markers and dashes differ too, so that no colour is needed.
"""

from collections.abc import Iterable

import numpy as np

from distlaw.charts import Chart, Field, Guide, Kind, Series
from distlaw.plan import SUPERVISED

NAMED = ("#0072B2", "#B87700", "#009E73", "#C23B00", "#CC79A7", "#3D94CC", "#8C7A00")
NAMED_ON_DARK = ("#4DA3E0", "#E69F00", "#2BC493", "#F0793A", "#D99CC0", "#9AD0F5", "#F0E442")
VIRIDIS = (
    "#440154",
    "#482475",
    "#414487",
    "#355f8d",
    "#2a788e",
    "#21918c",
    "#22a884",
    "#44bf70",
    "#7ad151",
    "#bddf26",
    "#fde725",
)
DIVERGING = (
    "#67001f",
    "#b1182b",
    "#d6604d",
    "#f4a582",
    "#fddbc7",
    "#f7f7f7",
    "#d1e5f0",
    "#93c5de",
    "#4393c3",
    "#2166ac",
    "#053061",
)
GREY = "#808080"  # guides; on white and on black
INK, PALE_INK = "#000000", "#e8e8e8"
OPTION_STYLE: dict[str, tuple[Kind, int | None]] = {
    SUPERVISED: ("line", None),
    "best-case": ("dotted", 2),
    "teacher-inference": ("dashed", 0),
    "teacher-pretraining": ("dashdot", 1),
    "teacher-pretraining-and-inference": ("longdashdot", 3),
}
"""Dash and colour of every way to make a student."""
MARKERS = ("circle", "square", "triangle", "diamond", "triangle-down", "plus", "star", "cross")

# Ends of viridis that lines can be seen in: its end is too pale on white, its beginning too dark on black.
_ON_LIGHT, _ON_DARK = (0.0, 0.58), (0.4, 1.0)
_POINTS = ("points", "hollow", "line-points")
_MOST_LEVELS = 12


def colour_of(value: float | None, *, dark: bool = False) -> str:
    """The colour of a series as `#rrggbb`.

    Args:
        value: As in `distlaw.charts.Series`.
        dark: On a dark ground.
    """
    if value is None:
        return PALE_INK if dark else INK
    if isinstance(value, int):
        return (NAMED_ON_DARK if dark else NAMED)[value % len(NAMED)]
    low, high = _ON_DARK if dark else _ON_LIGHT
    return _along(VIRIDIS, low + (high - low) * value)


def markers(chart: Chart) -> dict[float | int | None, str]:
    """A marker for each colour of a chart's points, in the order in which colours appear."""
    seen = dict.fromkeys(one.colour for panel in chart.panels for one in panel.series if one.kind in _POINTS)
    return {key: MARKERS[i % len(MARKERS)] for i, key in enumerate(seen)}


def legend_rank(thing: Series | Guide) -> int:
    """Where a thing stands in a legend: what has no order as it comes, what has one in its order, guides at the end."""
    if isinstance(thing, Guide):
        return 3000
    return 1001 + round(1000 * thing.colour) if isinstance(thing.colour, float) else 1000


def levels_of(fields: Iterable[Field]) -> np.ndarray:
    """Contours that fields of one quantity share: their own, or round numbers over all of them; two at least."""
    together = list(fields)
    if together[0].levels:
        return np.array(together[0].levels)
    values = np.concatenate([field.z[np.isfinite(field.z)] for field in together])
    if not values.size:
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    step = 10 ** np.floor(np.log10(max(high - low, 1e-9) / _MOST_LEVELS))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (step * m) <= _MOST_LEVELS)
    return step * np.arange(np.floor(low / step), np.ceil(high / step) + 1)


def field_colours(field: Field, levels: np.ndarray, values: np.ndarray) -> list[str]:
    """Colours of values of a field: dark to pale, or red below the centre and blue above it.

    Args:
        field: What is shown.
        levels: Its contours; the scale reaches from the first to the last.
        values: Nats, or whatever it is in.
    """
    if field.centre is None:
        return [_along(VIRIDIS, x) for x in (values - levels[0]) / (levels[-1] - levels[0])]
    furthest = np.abs(levels - field.centre).max()
    return [_along(DIVERGING, 0.5 + 0.5 * x) for x in (values - field.centre) / furthest]


def _along(scale: tuple[str, ...], place: float) -> str:
    """A colour between those of a scale; its ends beyond them."""
    at = min(max(place, 0.0), 1.0) * (len(scale) - 1)
    first = min(int(at), len(scale) - 2)
    pair = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in scale[first : first + 2]]
    mixed = [a + (b - a) * (at - first) for a, b in zip(*pair, strict=True)]
    return "#" + "".join(f"{round(value):02x}" for value in mixed)
