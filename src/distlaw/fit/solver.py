"""Robust nonlinear least squares for many problems at once: all starts, or all resamples, in one call.

Minimises ``sum_i w_i Huber(r_i(theta), delta) / delta`` by damped Newton steps in plain numpy. Far from the optimum the
step majorises the Huber loss by a quadratic (iteratively reweighted least squares, which always descends); near it the
damping fades and the step is Newton's, with the true second derivative of the loss. The problems share the data and
differ in their start and weights, so a resample is a row of weights, not a copy of the runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Residuals = Callable[[Array], tuple[Array, Array]]

_CHUNK = 48  # problems under way together: their Jacobians, about a MB, stay in cache


@dataclass(frozen=True)
class Solution:
    """Where each problem ended.

    Attributes:
        theta: Coordinates, shape (S, p).
        objective: sum_i w_i Huber(r_i) / delta there, shape (S,).
        converged: Whether the last steps changed the objective by less than the tolerance, shape (S,).
        iterations: Steps taken, shape (S,).
    """

    theta: Array
    objective: Array
    converged: NDArray[np.bool_]
    iterations: NDArray[np.int_]


def minimise_huber(
    residuals: Residuals,
    theta: Array,
    *,
    weights: Array,
    delta: Array,
    low: Array,
    high: Array,
    below: float = 1.0,
    damping: float = 1.0,
    tolerance: float = 1e-10,
    steps: int = 200,
) -> Solution:
    """Minimise a robust sum of residuals from every row of `theta`.

    Args:
        residuals: Maps coordinates of shape (S, p) to residuals (S, n) and their Jacobian (S, n, p).
        theta: Starts, shape (S, p); moved into the bounds.
        weights: Shape (n,), or (S, n) for a problem of its own in each row.
        delta: Where each residual's loss turns from quadratic to linear, shape (n,); inf is a square, `r^2 / 2`.
        low: Lower bounds, shape (p,).
        high: Upper bounds, shape (p,).
        below: Factor on the weight of a negative residual: an asymmetric penalty.
        damping: Where the damping starts; less for starts near the optimum.
        tolerance: Relative decrease of the objective below which two steps in a row end the search.
        steps: Most steps; a problem that needs more is not converged.

    Returns:
        One solution a start.
    """
    count = theta.shape[0]
    own = np.broadcast_to(weights, (count, weights.shape[-1]))
    result = Solution(
        theta=np.clip(theta, low, high),
        objective=np.full(count, np.inf),
        converged=np.zeros(count, dtype=bool),
        iterations=np.zeros(count, dtype=int),
    )
    waiting, active = 0, _Active.none(theta.shape[1], weights.shape[-1])
    while waiting < count or active.index.size:
        # Problems end at different times; a bench of waiting ones keeps the batch, and the arithmetic, full.
        if waiting < count and active.index.size <= _CHUNK * 3 // 4:
            index = np.arange(waiting, min(waiting + _CHUNK - active.index.size, count))
            waiting = int(index[-1]) + 1
            r, J = residuals(result.theta[index])
            value = _loss(r, _sided(own[index], r, below), delta)
            result.objective[index] = np.where(np.isnan(value), np.inf, value)
            started = _Active(index, r, J, np.full(index.size, damping), np.zeros(index.size, dtype=int))
            active = active.joined(started.kept(np.isfinite(value)))
            continue
        done = _advance(residuals, active, result, own, delta, low, high, below, tolerance)
        result.converged[active.index[done]] = True
        active = active.kept(~done & (result.iterations[active.index] < steps))
    return result


@dataclass
class _Active:
    """Problems under way: their positions, residuals, Jacobians, damping, and quiet steps in a row."""

    index: NDArray[np.intp]
    r: Array
    J: Array
    damping: Array
    quiet: NDArray[np.int_]

    @classmethod
    def none(cls, p: int, n: int) -> "_Active":
        return cls(
            np.empty(0, dtype=np.intp), np.empty((0, n)), np.empty((0, n, p)), np.empty(0), np.empty(0, dtype=int)
        )

    def kept(self, mask: NDArray[np.bool_]) -> "_Active":
        return self if mask.all() else _Active(*(column[mask] for column in vars(self).values()))

    def joined(self, other: "_Active") -> "_Active":
        if not self.index.size:
            return other
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Active(*(np.concatenate(pair) for pair in pairs))


def _advance(
    residuals: Residuals,
    active: _Active,
    result: Solution,
    weights: Array,
    delta: Array,
    low: Array,
    high: Array,
    below: float,
    tolerance: float,
) -> NDArray[np.bool_]:
    """One step of every active problem; gives those that have come to rest."""
    index, own = active.index, weights[active.index]
    theta, objective = result.theta[index], result.objective[index]
    sided = _sided(own, active.r, below)
    trial = np.clip(theta + _step(active.r, active.J, sided, delta, active.damping, theta, low, high), low, high)
    r, J = residuals(trial)
    value = _loss(r, _sided(own, r, below), delta)
    decrease = objective - value
    better = decrease >= 0  # False for a trial that is not finite
    moved = index[better]
    result.theta[moved], result.objective[moved] = trial[better], value[better]
    if better.all():
        active.r, active.J = r, J
    else:
        active.r[better], active.J[better] = r[better], J[better]
    active.damping = np.clip(np.where(better, active.damping * 0.3, active.damping * 3.0), 1e-9, None)
    small = better & (decrease <= tolerance * np.abs(objective))
    active.quiet = np.where(small, active.quiet + 1, np.where(better, 0, active.quiet))
    result.iterations[index] += 1
    # A step too short to change the objective in any digit: the optimum, as far as the arithmetic can tell.
    return (active.quiet >= 2) | (active.damping > 1e12)


def _sided(weights: Array, r: Array, below: float) -> Array:
    return weights if below == 1.0 else weights * np.where(r < 0, below, 1.0)


def _loss(r: Array, weights: Array, delta: Array) -> Array:
    size = np.abs(r)
    divisor = np.where(np.isinf(delta), 1.0, delta)
    inside = size <= delta
    with np.errstate(over="ignore"):  # inf is the worst objective there is
        return np.sum(weights * np.where(inside, 0.5 * size * size / divisor, size - 0.5 * divisor), axis=1)


def _step(
    r: Array, J: Array, weights: Array, delta: Array, damping: Array, theta: Array, low: Array, high: Array
) -> Array:
    """Newton step of the Huber loss, damped by its quadratic majoriser."""
    divisor = np.where(np.isinf(delta), 1.0, delta)
    inside = np.abs(r) <= delta
    slope = np.where(inside, r / divisor, np.sign(r))
    majoriser = np.where(inside, 1.0 / divisor, 1.0 / np.maximum(np.abs(r), 1e-300))
    curvature = np.where(inside, 1.0 / divisor, 0.0) + damping[:, None] * majoriser
    transposed = J.transpose(0, 2, 1)
    gradient = (transposed @ (weights * slope)[:, :, None])[:, :, 0]
    hessian = (transposed * (weights * curvature)[:, None, :]) @ J
    # A coordinate on its bound that would leave the box stays there.
    held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    gradient = np.where(held, 0.0, gradient)
    hessian = np.where(held[:, :, None] | held[:, None, :], 0.0, hessian)
    diagonal = np.einsum("spp->sp", hessian)
    scale = np.maximum(diagonal.max(axis=1, keepdims=True), 1e-300)
    # Scaled to a unit diagonal, so that coordinates of any size are solved alike; the ridge settles what is left open.
    root = np.sqrt(np.where(held | (diagonal < 1e-14 * scale), scale, diagonal))
    scaled = hessian / (root[:, :, None] * root[:, None, :])
    ridge = 1e-12 + 1e-3 * np.minimum(damping, 1e6)
    scaled = scaled + (ridge[:, None] + held)[:, :, None] * np.eye(theta.shape[1])
    return -np.linalg.solve(scaled, (gradient / root)[:, :, None])[:, :, 0] / root
