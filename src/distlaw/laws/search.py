"""Global minima and roots of many smooth low-dimensional problems at once, without derivatives.

Everything here works on a batch: one call solves thousands of independent problems in numpy, so that a map over
(student size, compute) costs little more than one optimum. Derivative-free on purpose: any law can be planned with,
not only those whose gradients somebody wrote down.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def minimise_nested(
    inner: Callable[[Array, Array], Array],
    outer: Callable[[Array, Array], Array],
    *,
    outer_points: int = 96,
    inner_points: int = 48,
    candidates: int = 3,
    levels: int = 9,
) -> tuple[Array, Array, Array]:
    """Minimise `outer(x, min_y inner(x, y))` over the unit square, for a batch of problems.

    A full grid finds the basins, so that several local minima in x do no harm; each of the best `candidates` basins is
    then refined on a window of 9 x 5 points that follows its best point and shrinks threefold `levels` times. The inner
    problem should have one minimum in y (it may lie on the border); the outer one may have several minima in x if they
    are wider than a grid step.

    All arrays are four-dimensional, (problem, candidate, x, y): `inner` gets x of shape (p, c, n, 1) and y of shape
    (p, c, 1, m) and returns (P, C, n, m); `outer` gets x and the inner minimum, both (·, ·, n, 1). `inf` marks a point
    that is not feasible.

    Args:
        inner: What y minimises, at each x.
        outer: What x minimises, given the inner minimum.
        outer_points: Grid points in x.
        inner_points: Grid points in y; 1 means that there is no y.
        candidates: Local minima in x that are refined.
        levels: Times that the window shrinks.

    Returns:
        x, y and the minimum, each of shape (P,). Where no point is feasible the minimum is inf.
    """
    x_grid = np.linspace(0.0, 1.0, outer_points).reshape(1, 1, -1, 1)
    y_grid = np.linspace(0.0, 1.0, inner_points).reshape(1, 1, 1, -1)
    inner_values = inner(x_grid, y_grid)
    y_index = np.argmin(inner_values, axis=3, keepdims=True)
    values = outer(x_grid, np.take_along_axis(inner_values, y_index, axis=3))[:, 0, :, 0]
    x_index = _best_local_minima(values, candidates)

    x = x_index / (outer_points - 1.0)
    y = np.take_along_axis(y_index[:, 0, :, 0], x_index, axis=1) / max(inner_points - 1.0, 1.0)
    best = np.take_along_axis(values, x_index, axis=1)
    x_offsets = np.linspace(-1.0, 1.0, 9)
    x_half, y_half = 1.0 / (outer_points - 1.0), 2.0 / max(inner_points - 1.0, 1.0)
    y_offsets = np.linspace(-1.0, 1.0, 5) if inner_points > 1 else np.zeros(1)
    for _ in range(levels):
        xs = np.clip(x[:, :, None, None] + x_half * x_offsets[:, None], 0.0, 1.0)
        ys = np.clip(y[:, :, None, None] + y_half * y_offsets, 0.0, 1.0)
        values, y_at_x = _minimum_over_y(inner, xs, ys)
        values = outer(xs, values)[..., 0]
        x_index = np.argmin(values, axis=2, keepdims=True)
        new = np.take_along_axis(values, x_index, axis=2)[..., 0]
        better = new < best
        x = np.where(better, np.take_along_axis(xs[..., 0], x_index, axis=2)[..., 0], x)
        y = np.where(better, np.take_along_axis(y_at_x[..., 0], x_index, axis=2)[..., 0], y)
        best = np.where(better, new, best)
        x_half, y_half = x_half / 3, y_half / 3

    winner = np.argmin(best, axis=1, keepdims=True)
    x, y, best = (np.take_along_axis(a, winner, axis=1)[:, 0] for a in (x, y, best))
    return x, y, best


def minimise(f: Callable[[Array], Array], *, points: int = 256, levels: int = 14) -> tuple[Array, Array]:
    """Minimise `f(x)` over x in [0, 1] for a batch of problems; f maps (·, ·, n, 1) to (P, C, n, 1).

    Returns:
        x and the minimum, each of shape (P,).
    """
    x, _, value = minimise_nested(
        lambda x, _y: f(x), lambda _x, inner: inner, outer_points=points, inner_points=1, levels=levels
    )
    return x, value


def bisect_decreasing(f: Callable[[Array], Array], lower: Array, upper: Array, *, steps: int = 60) -> Array:
    """Smallest x in [lower, upper] with `f(x) <= 0` for a decreasing f, elementwise.

    Args:
        f: Decreasing function, elementwise over arrays of the shape of `lower` and `upper`.
        lower: Lower ends.
        upper: Upper ends.
        steps: Halvings of the interval.

    Returns:
        The root; `lower` where f is not positive there; inf where f is still positive at `upper`.
    """
    low, high = lower, upper
    unreachable = f(upper) > 0
    reached = f(lower) <= 0
    for _ in range(steps):
        middle = 0.5 * (low + high)
        above = f(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(unreachable, np.inf, np.where(reached, lower, high))


def _minimum_over_y(inner: Callable[[Array, Array], Array], xs: Array, ys: Array) -> tuple[Array, Array]:
    """Minimum of `inner` over y and where it lies, at each x: (P, C, n, 1) both.

    Besides the points of the window it tries the vertex of the parabola through the lowest three. Without it the grid's
    error in y would drown the differences in x that the outer search goes by.
    """
    values = inner(xs, ys)
    index = np.argmin(values, axis=3, keepdims=True)
    lowest = np.take_along_axis(values, index, axis=3)
    ys = np.broadcast_to(ys, values.shape)
    at = np.take_along_axis(ys, index, axis=3)
    if values.shape[3] < 3:
        return lowest, at
    middle = np.clip(index, 1, values.shape[3] - 2)
    (y0, f0), (y1, f1), (y2, f2) = (
        (np.take_along_axis(ys, middle + s, axis=3), np.take_along_axis(values, middle + s, axis=3)) for s in (-1, 0, 1)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # flat or infeasible neighbours have no vertex
        left, right = (y1 - y0) * (f1 - f2), (y1 - y2) * (f1 - f0)
        vertex = y1 - 0.5 * ((y1 - y0) * left - (y1 - y2) * right) / (left - right)
    vertex = np.where(np.isfinite(vertex), np.clip(vertex, y0, y2), y1)
    at_vertex = inner(xs, vertex)
    better = at_vertex < lowest
    return np.where(better, at_vertex, lowest), np.where(better, vertex, at)


def _best_local_minima(values: Array, count: int) -> NDArray[np.intp]:
    """Indices (P, count) of the lowest local minima along axis 1, the global one first."""
    padded = np.pad(values, ((0, 0), (1, 1)), constant_values=np.inf)
    is_minimum = (values <= padded[:, :-2]) & (values <= padded[:, 2:])
    ranked = np.where(is_minimum, values, np.inf)
    return np.argsort(ranked, axis=1, kind="stable")[:, :count]
