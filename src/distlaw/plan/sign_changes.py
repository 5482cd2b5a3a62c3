"""All sign changes of smooth functions of one variable, many functions at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Span = tuple[float, float]
Function = Callable[[Rows, Array], Array]
"""Maps rows of shape (m,) and their x of shape (m, k) to values of shape (m, k); NaN where there is none."""

_POINTS = 64  # of the first scan
_ZOOMS = 4  # rounds of looking closer at an extremum that does not quite reach the level
_PRECISION = 1e-6  # of a change, in steps of the first scan


@dataclass(frozen=True, kw_only=True)
class SignChanges:
    """Sign changes of one function.

    Attributes:
        low: Least x at which the function has a value.
        starts_above: Whether it is above the level there.
        at: Where it changes sign, in order, shape (k,).
        rises: Whether it is above the level after each, shape (k,).
    """

    low: float
    starts_above: bool
    at: Array
    rises: NDArray[np.bool_]

    @property
    def negated(self) -> "SignChanges":
        """The changes of the function below its level."""
        return replace(self, starts_above=not self.starts_above, rises=~self.rises)


def sign_changes(
    function: Function, count: int, limits: tuple[float, float], levels: Sequence[float]
) -> list[list[SignChanges]]:
    """Every x at which each function passes each level, on a scan and between its points.

    The scan has 64 points. Between them a function may touch a level and come back: every extremum on the wrong side is
    looked at more closely, until it passes the level or is known not to.

    Args:
        function: The functions.
        count: How many there are.
        limits: Range of x.
        levels: Values that count as zero.

    Returns:
        For each level, for each function, its changes.
    """
    every = np.arange(count)
    x = np.broadcast_to(np.linspace(*limits, _POINTS), (count, _POINTS))
    values = np.asarray(function(every, x), dtype=np.float64)
    rows = [_Row(i, level, x[i], values[i]) for level in levels for i in range(count)]
    _look_closer(function, rows)
    changes = _roots(function, rows)
    found = [row.changes(at, limits[1]) for row, at in zip(rows, changes, strict=True)]
    return [found[i * count : (i + 1) * count] for i in range(len(levels))]


def spans_above(changes: SignChanges, end: float) -> tuple[Span, ...]:
    """Spans of exp(x) in which the function is above its level, up to `end`."""
    ends = [*np.exp(changes.at).tolist(), end]
    starts = [float(np.exp(changes.low)), *np.exp(changes.at).tolist()]
    above = [changes.starts_above, *changes.rises.tolist()]
    return tuple((low, high) for low, high, yes in zip(starts, ends, above, strict=True) if yes)


class _Row:
    """Points of one function, in order, over one level."""

    def __init__(self, index: int, level: float, x: Array, values: Array) -> None:
        there = np.isfinite(values)
        self.index, self.level = index, level
        self.x, self.values = x[there], values[there] - level

    def add(self, x: float, value: float) -> None:
        i = int(np.searchsorted(self.x, x))
        self.x, self.values = np.insert(self.x, i, x), np.insert(self.values, i, value)

    def brackets(self) -> list[int]:
        """Positions after which the sign changes."""
        above = self.values > 0
        return np.flatnonzero(above[1:] != above[:-1]).tolist()

    def suspects(self) -> list[tuple[float, float, float]]:
        """(low, high, sign) around each extremum that turns back before zero; sign is that of the side it is on.

        A parabola through three points overshoots the middle one by an eighth of their second difference at most; what
        is eight times further from zero than that is no suspect.
        """
        found, last = [], len(self.x) - 1
        if last < 2:
            return found
        for i, value in enumerate(self.values):
            low, high = max(i - 1, 0), min(i + 1, last)
            sign = 1.0 if value > 0 else -1.0
            near = self.values[low : high + 1] * sign
            bend = np.abs(np.diff(self.values[min(max(i - 1, 0), last - 2) :][:3], 2))[0]
            if value * sign <= near.min() and (near > 0).all() and value * sign <= bend:
                found.append((float(self.x[low]), float(self.x[high]), sign))
        return found

    def changes(self, at: Array, end: float) -> SignChanges:
        """What was found, with a root in each bracket."""
        above = self.values > 0
        return SignChanges(
            low=float(self.x[0]) if self.x.size else end,
            starts_above=bool(self.x.size and above[0]),
            at=at,
            rises=above[1:][above[1:] != above[:-1]],
        )


def _look_closer(function: Function, rows: list[_Row]) -> None:
    """Add the points at which an extremum between the points of the scan passes the level."""
    suspects = [(row, *suspect) for row in rows for suspect in row.suspects()]
    for _ in range(_ZOOMS):
        if not suspects:
            return
        low, high, sign, level = (
            np.array(column) for column in zip(*((s[1], s[2], s[3], s[0].level) for s in suspects), strict=True)
        )
        points = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 9)
        values = np.asarray(function(np.array([row.index for row, *_ in suspects]), points), dtype=np.float64)
        values = np.where(np.isfinite(values), (values - level[:, None]) * sign[:, None], np.inf)
        left = []
        for k, (row, *_) in enumerate(suspects):
            j = int(np.argmin(values[k]))
            if values[k, j] <= 0:
                row.add(float(points[k, j]), float(values[k, j] * sign[k]))
            else:
                left.append((row, float(points[k, max(j - 1, 0)]), float(points[k, min(j + 1, 8)]), float(sign[k])))
        suspects = left


def _roots(function: Function, rows: list[_Row]) -> list[Array]:
    """For each row where the function passes its level, inside each bracket."""
    brackets = [(row, j) for row in rows for j in row.brackets()]
    if not brackets:
        return [np.empty(0) for _ in rows]
    index = np.array([row.index for row, _ in brackets])
    level = np.array([row.level for row, _ in brackets])[:, None]
    ends = np.array([row.x[j : j + 2] for row, j in brackets])
    values = np.array([row.values[j : j + 2] for row, j in brackets])
    orientation = np.where(values[:, :1] > 0, 1.0, -1.0)
    values = values * orientation
    goal = _PRECISION * (ends[:, 1] - ends[:, 0]).max()
    while (ends[:, 1] - ends[:, 0]).max() > goal:
        points = _within(ends, values)
        inner = (np.asarray(function(index, points[:, 1:-1]), dtype=np.float64) - level) * orientation
        values = np.concatenate([values[:, :1], inner, values[:, 1:]], axis=1)
        above = values > 0
        above[:, 0], above[:, -1] = True, False
        pair = (above.shape[1] - 1 - np.argmax(above[:, ::-1], axis=1))[:, None] + np.arange(2)
        ends, values = (np.take_along_axis(a, pair, axis=1) for a in (points, values))
    roots = iter(ends[:, 1].tolist())
    return [np.array([next(roots) for _ in row.brackets()], dtype=np.float64) for row in rows]


def _within(ends: Array, values: Array) -> Array:
    """Points in brackets of shape (n, 2), ends among them, in order, shape (n, 14).

    Eighths, and close around where the secant meets zero: three rounds are enough where the function is smooth, seven
    where it is not.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # brackets of no width
        root = values[:, :1] / (values[:, :1] - values[:, 1:])
    near = np.nan_to_num(root, nan=0.5) + np.array([-1e-2, -1e-4, 0, 1e-4, 1e-2])
    eighths = np.broadcast_to(np.linspace(0, 1, 9), (len(ends), 9))
    shares = np.sort(np.clip(np.concatenate([near, eighths], axis=1), 0, 1), axis=1)
    return ends[:, :1] + np.diff(ends, axis=1) * shares
