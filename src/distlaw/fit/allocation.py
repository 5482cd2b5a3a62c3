"""Power laws of the best size and tokens in compute, through the minima of IsoFLOP profiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.fit.isoflop import OK, Interval, Profile, refusals
from distlaw.fit.tails import chi2_tail

Array = NDArray[np.float64]

_SCATTERED = 0.05  # p-value below which minima scatter about the power law more than their intervals allow


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """``N* = exp(intercepts[0]) C^a`` and ``D* = exp(intercepts[1]) C^b``, C in FLOPs.

    Attributes:
        a: Exponent of the best size.
        b: Exponent of the best number of tokens.
        intercepts: log N* and log D* at C = 1.
        a_interval: For a, from the resampled minima; None with fewer than three profiles.
        b_interval: For b, likewise.
        scatter: Standard deviation of log N* about the power law beyond what the minima's intervals allow; 0 where they
            do.
        draws: Intercept and exponent of N* and of D* under each resample, shape (resamples, 2, 2); empty with fewer
            than three profiles.
    """

    a: float
    b: float
    intercepts: tuple[float, float]
    a_interval: Interval | None
    b_interval: Interval | None
    scatter: float
    draws: Array = field(repr=False, compare=False)

    def at(self, compute: ArrayLike) -> tuple[Array, Array]:
        """Best size N* and tokens D* for a compute C > 0 in FLOPs."""
        log_c = np.log(np.asarray(compute, dtype=np.float64))
        return np.exp(self.intercepts[0] + self.a * log_c), np.exp(self.intercepts[1] + self.b * log_c)

    def resampled(self, compute: ArrayLike) -> tuple[Array, Array]:
        """N* and D* under each resample for computes C > 0 of shape (k,): each of shape (resamples, k)."""
        log_c = np.log(np.asarray(compute, dtype=np.float64))
        log_n, log_d = (self.draws[:, i, :1] + self.draws[:, i, 1:] * log_c for i in (0, 1))
        return np.exp(log_n), np.exp(log_d)


def fit_allocation(profiles: Sequence[Profile], *, level: float = 0.9, seed: int = 0) -> Allocation:
    """Power laws of the best size and tokens in compute, through the minima of the `ok` profiles.

    Each minimum counts by its interval. Where they scatter about the power law more than their intervals allow (chi^2,
    p < 0.05), as when runs of some profiles were tuned better, the scatter beyond that (DerSimonian & Laird 1986) is
    part of every minimum's uncertainty, and is itself known from so many profiles only.

    Args:
        profiles: From `fit_profiles`; those that were refused are passed over.
        level: Coverage of the intervals.
        seed: Of the scatter's draws.

    Raises:
        ValueError: Fewer than two profiles are `ok`; says what each of the others lacks.
    """
    good = [p for p in profiles if p.status == OK]
    if len(good) < 2:
        missing = "; ".join(refusals(profiles) or ["add runs at another compute, at least 4 sizes each"])
        raise ValueError(f"2 profiles with a minimum are needed, {len(good)} of {len(profiles)} have one; {missing}")
    design = np.stack([np.ones(len(good)), np.log([p.compute for p in good])], axis=1)
    best = np.log([(p.best_params, p.best_tokens) for p in good])
    variance = np.square([p.error for p in good])
    scatter = _scatter(best[:, 0], design, variance)
    solve = _weighted(design, 1 / (variance + scatter**2))
    (log_params, log_tokens), (a, b) = (solve @ best).tolist()
    a_interval, b_interval, lines = None, None, np.empty((0, 2, 2))
    if len(good) >= 3:
        count = min(len(p.draws) for p in good)
        draws = np.stack([p.draws[:count] for p in good], axis=1)  # (resamples, profiles, 2)
        if scatter:
            rng, degrees = np.random.default_rng(seed), len(good) - 2
            moved = rng.normal(size=(count, len(good))) * np.sqrt(degrees / rng.chisquare(degrees, size=(count, 1)))
            draws = draws + scatter * moved[:, :, None] * [1.0, -1.0]  # along the profile: what N gains D loses
        lines = np.einsum("kp,rpq->rqk", solve, draws)
        tails = [50 * (1 - level), 50 * (1 + level)]
        (a_low, b_low), (a_high, b_high) = np.percentile(lines[:, :, 1], tails, axis=0).tolist()
        a_interval, b_interval = (a_low, a_high), (b_low, b_high)
    return Allocation(
        a=a,
        b=b,
        intercepts=(log_params, log_tokens),
        a_interval=a_interval,
        b_interval=b_interval,
        scatter=scatter,
        draws=lines,
    )


def _weighted(design: Array, weight: Array) -> Array:
    """The matrix that takes values to the coefficients of their weighted least squares, shape (2, profiles)."""
    root = np.sqrt(weight / weight.max())
    return np.linalg.pinv(design * root[:, None]) * root


def _scatter(values: Array, design: Array, variance: Array) -> float:
    """Standard deviation of values about a line beyond their own variance; 0 unless chi^2 is significant."""
    degrees = values.size - 2
    weight = 1 / variance
    solve = _weighted(design, weight)
    residuals = values - design @ (solve @ values)
    chi2 = float(weight @ residuals**2)
    if degrees < 1 or chi2_tail(chi2, degrees) > _SCATTERED:
        return 0.0
    expected = float(weight.sum() - np.trace(solve @ (design * weight[:, None])))
    return float(np.sqrt(max(chi2 - degrees, 0.0) / expected))
