"""Runs far from a fit: which rows the law misses by much more than the others, and what the law would be without them.

A run that pulls the law towards itself hides how far it is from the rest. So what is far is left out, the others are
fitted again, and all runs are judged by that fit, until the same runs stay far.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.objective import Objective

Array = NDArray[np.float64]

DESCRIBES = 0.02
"""A form whose fit misses its runs by a larger mean error does not describe the table."""
_SCATTERS = 5.0  # robust standard deviations of the other runs; of normal errors 6 runs in ten million are so far
_LEAST = 0.005  # of log loss: nearer than this no run is far, however exact the others are
_MOST = 0.1  # share of the runs; where more are far it is the form that is wrong
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class FarRuns:
    """Runs far from a fit, the farthest first.

    Attributes:
        rows: Their positions among the runs that the fit was given, from 0.
        measured: Their losses.
        predicted: What the law of the other runs gives them.
        scatter: Standard deviation of the log residuals of the others, estimated from their median.
        mean_error: Mean absolute relative error of the law of the other runs on those.
        spread: What one loss for all runs, their median, would miss them by on average.
        without: Coefficients of the law fitted without them, by name; empty where no run is far.
    """

    rows: NDArray[np.intp]
    measured: Array
    predicted: Array
    scatter: float
    mean_error: float
    spread: float
    without: Mapping[str, float]

    def __len__(self) -> int:
        return self.rows.size

    @property
    def off(self) -> Array:
        """Measured loss over the predicted one, less 1: 0.35 is 35 % above what the other runs say."""
        return self.measured / self.predicted - 1


def find_far(objective: Objective, phi: Array, positions: NDArray[np.intp]) -> FarRuns:
    """Runs that a law fitted to the others misses by more than five times their scatter and by more than 0.5 %.

    At most a tenth of the runs (but one at least) can be far from a form that describes the rest. Where more are, none
    is left out, and those far from the fit to all runs are given.

    Args:
        objective: The fitted objective.
        phi: Its optimum, free coordinates of shape (q,).
        positions: Of the objective's runs, among those that the user gave, shape (n,).
    """
    n, q = objective.measured.size, phi.size
    most = min(max(1, int(_MOST * n)), n - q - 2)
    at, residuals, out = phi, log_residuals(objective, phi), np.zeros(n, dtype=bool)
    first = _far(residuals, out, q)
    # To begin with, as many as may be far are left out, since those that pull hardest may not be the farthest.
    far = np.zeros(n, dtype=bool)
    far[np.argsort(-np.abs(residuals), kind="stable")[:most]] = True
    for _ in range(_ROUNDS):
        out = far
        weights = objective.with_penalty(np.where(out, 0.0, objective.weights[:n]))
        at = objective.solve(phi[None], weights, tolerance=1e-9, damping=0.1, steps=500).theta[0]
        residuals = log_residuals(objective, at)
        far = _far(residuals, out, q)
        if far.sum() > most or (far == out).all():
            break
    if far.sum() > most:
        at, residuals, out = phi, log_residuals(objective, phi), first
    chosen = np.flatnonzero(out)
    chosen = chosen[np.argsort(-np.abs(residuals[chosen]), kind="stable")]
    measured = objective.measured[chosen]
    values = objective.form.values(objective.chart.theta(at[None])[0])
    return FarRuns(
        rows=positions[chosen],
        measured=measured,
        predicted=measured * np.exp(residuals[chosen]),
        scatter=_scatter(residuals[~out], q),
        mean_error=float(np.abs(np.expm1(residuals[~out])).mean()),
        spread=_spread(objective.measured),
        without={name: float(value) for name, value in values.items()} if chosen.size and at is not phi else {},
    )


def no_far(residuals: Array, measured: Array) -> FarRuns:
    """None is looked for: residuals are log predicted over the measured losses."""
    none = np.empty(0)
    error = float(np.abs(np.expm1(residuals)).mean())
    return FarRuns(
        rows=none.astype(np.intp),
        measured=none,
        predicted=none,
        scatter=float("nan"),
        mean_error=error,
        spread=_spread(measured),
        without={},
    )


def _spread(losses: Array) -> float:
    return float(np.abs(np.median(losses) / losses - 1).mean())


def _far(residuals: Array, out: NDArray[np.bool_], q: int) -> NDArray[np.bool_]:
    free = max(np.sum(~out) - q, 1)
    # The scatter of a few runs is itself uncertain.
    return np.abs(residuals) > max(_SCATTERS * (1 + _SCATTERS / free) * _scatter(residuals[~out], q), _LEAST)


def _scatter(residuals: Array, q: int) -> float:
    """Robust standard deviation of one run; a robust fit passes through about as many runs as it has coordinates."""
    ordered = np.sort(np.abs(residuals))
    return float(np.median(ordered[min(q, ordered.size - 1) :]) / 0.6745)


def log_residuals(objective: Objective, phi: Array) -> Array:
    """Log predicted over measured loss of each run at free coordinates (q,), whatever loss is minimised."""
    n = objective.measured.size
    r = objective(phi[None])[0][0][:n]
    return np.log1p(r / objective.measured) if objective.loss == "squared" else r
