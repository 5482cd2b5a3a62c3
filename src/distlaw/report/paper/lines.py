"""Curves of a law with the runs on them, and which runs belong on one curve."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.charts import Kind, Series, shades
from distlaw.report.paper.scope import Scope
from distlaw.runs import Runs

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
T = TypeVar("T")

MOST = 6  # panels of a figure, and curves of a panel
_SAME = 0.1  # in the logarithm: computes, or tokens per parameter, of one level


class Curve(NamedTuple):
    """A curve of the law and its runs.

    Attributes:
        name: For the legend.
        value: What orders it among the others.
        loss: The law along the panel's abscissa; NaN where it is not defined.
        inside: Where the law was fitted.
        runs: Runs that belong to it; None without a table.
        x: Their abscissae.
    """

    name: str
    value: float
    loss: Array
    inside: Mask
    runs: Runs | None = None
    x: Array | None = None


def drawn(panels: Sequence[Sequence[Curve]], x: Array, scope: Scope) -> list[tuple[Series, ...]]:
    """Series of each panel, colours in the order of the curves' values over all panels.

    The law is solid where it was fitted and dashed beyond, runs are filled there and hollow beyond.

    Args:
        panels: Curves of each panel.
        x: Their common abscissa.
        scope: Where the law was fitted.
    """
    values = sorted({curve.value for curves in panels for curve in curves})
    colours = dict(zip(values, shades(len(values)), strict=True))
    return [tuple(one for curve in curves for one in _series(curve, x, scope, colours)) for curves in panels]


def _series(curve: Curve, x: Array, scope: Scope, colours: dict[float, float]) -> list[Series]:
    colour, found = colours[curve.value], []
    # The dashed part begins at the last point of the solid one, so that no gap is left.
    beyond = ~curve.inside
    beyond[1:] |= ~curve.inside[:-1]
    beyond[:-1] |= ~curve.inside[1:]
    stretches: tuple[tuple[Kind, Mask], ...] = (("line", curve.inside), ("dashed", beyond))
    for kind, shown in stretches:
        if shown.any():
            loss = np.where(shown, curve.loss, np.nan)
            found.append(Series(name=curve.name, x=x, y=loss, kind=kind, colour=colour))
    if curve.runs is not None and curve.x is not None:
        inside = fitted(curve.runs, scope)
        shapes: tuple[tuple[Kind, Mask], ...] = (("points", inside), ("hollow", ~inside))
        for kind, shown in shapes:
            if shown.any():
                points = curve.x[shown], curve.runs.student_loss[shown]
                found.append(Series(name=curve.name, x=points[0], y=points[1], kind=kind, colour=colour))
    return found


def fitted(runs: Runs, scope: Scope) -> Mask:
    """Which runs lie where the law was fitted."""
    sizes = scope.fitted(student_params=runs.student_params, student_tokens=runs.student_tokens)
    return sizes & (~runs.distilled | scope.fitted(teacher_loss=runs.teacher_loss))


def where_defined(function: Callable[..., Array], *arguments: ArrayLike) -> Array:
    """A law where all its arguments are numbers, NaN elsewhere."""
    together = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in arguments))
    known = np.logical_and.reduce([np.isfinite(a) for a in together])
    found = np.full(known.shape, np.nan)
    found[known] = function(*(a[known] for a in together))
    return found


def near(values: Array, level: float) -> Mask:
    """Which values are of this level, to a tenth."""
    return np.abs(np.log(values / level)) <= _SAME


def near_any(values: Array, found: Sequence[float]) -> Mask:
    """Which values are of one of these levels."""
    return np.logical_or.reduce([near(values, level) for level in found])


def levels(values: Array) -> list[float]:
    """Levels that values take, to a tenth, ascending: the geometric mean of each group."""
    logs = np.sort(np.log(values))
    groups = np.split(logs, np.flatnonzero(np.diff(logs) > _SAME) + 1)
    return [float(np.exp(group.mean())) for group in groups]


def profiles(values: Array, sizes: Array) -> list[float]:
    """Levels of compute that three sizes or more share: IsoFLOP profiles."""
    found = levels(values)
    return spread([level for level in found if np.unique(sizes[near(values, level)]).size >= 3])


def commonest(values: Array) -> float:
    """The level that most values are of."""
    return max(levels(values), key=lambda level: np.count_nonzero(near(values, level)))


def spread(values: Sequence[T], most: int = MOST) -> list[T]:
    """At most so many, spread over all."""
    if not values:
        return []
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int))
    return [values[i] for i in chosen]


def students_of(runs: Runs) -> list[tuple[float, float]]:
    """N_S and D_S of each student, ascending."""
    pairs = np.unique(np.stack([runs.student_params, runs.student_tokens], axis=1), axis=0)
    return [(float(N), float(D)) for N, D in pairs]


def taught(runs: Runs | None, figure: int) -> Runs | None:
    """The runs with a teacher; None without a table.

    Raises:
        ValueError: The table has none.
    """
    if runs is None:
        return None
    if not runs.distilled.any():
        raise ValueError(f"figure {figure} shows distilled runs: no run of the table has a teacher_loss")
    return runs.select(runs.distilled)


def with_sized_teachers(runs: Runs, figure: int) -> Runs:
    """The runs whose teacher's size and tokens are known.

    Raises:
        ValueError: There are none.
    """
    known = np.isfinite(runs.teacher_params) & np.isfinite(runs.teacher_tokens)
    if not known.any():
        raise ValueError(
            f"figure {figure} lays runs out by their teachers: the table has no teacher_params and teacher_tokens"
        )
    return runs.select(known)
