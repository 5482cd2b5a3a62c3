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

_CHUNK = 128  # problems iterated together: Jacobians of a few MB stay in cache


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
    parts = []
    for i in range(0, theta.shape[0], _CHUNK):
        rows = slice(i, i + _CHUNK)
        own = weights[rows] if weights.ndim == 2 else np.broadcast_to(weights, (theta[rows].shape[0], weights.size))
        parts.append(_minimise_chunk(residuals, theta[rows], own, delta, low, high, below, damping, tolerance, steps))
    return Solution(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _minimise_chunk(
    residuals: Residuals,
    theta: Array,
    weights: Array,
    delta: Array,
    low: Array,
    high: Array,
    below: float,
    start_damping: float,
    tolerance: float,
    steps: int,
) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.int_]]:
    count = theta.shape[0]
    theta = np.clip(theta, low, high)
    r, J = residuals(theta)
    objective = _loss(r, _sided(weights, r, below), delta)
    damping = np.full(count, start_damping)
    quiet = np.zeros(count, dtype=int)
    iterations = np.zeros(count, dtype=int)
    converged = np.zeros(count, dtype=bool)
    active = np.flatnonzero(np.isfinite(objective))
    for _ in range(steps):
        if active.size == 0:
            break
        sided = _sided(weights[active], r[active], below)
        step = _step(r[active], J[active], sided, delta, damping[active], theta[active], low, high)
        trial = np.clip(theta[active] + step, low, high)
        new_r, new_J = residuals(trial)
        new = _loss(new_r, _sided(weights[active], new_r, below), delta)
        decrease = objective[active] - new
        better = decrease >= 0  # False for a trial that is not finite
        moved = active[better]
        theta[moved], objective[moved] = trial[better], new[better]
        r[moved], J[moved] = new_r[better], new_J[better]
        damping[active] = np.clip(np.where(better, damping[active] * 0.3, damping[active] * 3.0), 1e-9, None)
        small = better & (decrease <= tolerance * np.abs(objective[active]))
        quiet[active] = np.where(small, quiet[active] + 1, np.where(better, 0, quiet[active]))
        iterations[active] += 1
        # A step too short to change the objective in any digit: the optimum, as far as the arithmetic can tell.
        stuck = damping[active] > 1e12
        done = (quiet[active] >= 2) | stuck
        converged[active[done]] = True
        active = active[~done]
    return theta, np.where(np.isnan(objective), np.inf, objective), converged, iterations


def _sided(weights: Array, r: Array, below: float) -> Array:
    return weights if below == 1.0 else weights * np.where(r < 0, below, 1.0)


def _loss(r: Array, weights: Array, delta: Array) -> Array:
    size = np.abs(r)
    divisor = np.where(np.isinf(delta), 1.0, delta)
    inside = size <= delta
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
