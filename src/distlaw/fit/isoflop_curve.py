"""The curve of loss over size at one compute, and its fit to several profiles that share one shape.

Along `6 N D = C` eq. 1 is a shifted, scaled copy of one curve: with t = log N - log N*,

    L = L* + k phi(t),   phi(t) = (u(t)^gamma - 1) / (alpha beta gamma),
    u(t) = (beta exp(-alpha t) + alpha exp(beta t)) / (alpha + beta),

whatever A, B and C are. phi has its minimum 0 at t = 0 with second derivative 1, so N* is the best size, L* the loss
there and k the curvature; alpha, beta and gamma say how the curve departs from the parabola t^2 / 2. A parabola's
vertex is biased by that departure, the more the wider or the less centred the profile (arXiv 2603.22339). Here each
profile has its own N*, L* and k, the shape is one for all, and where the runs do not say what it is, a wide prior about
published exponents does; the uncertainty that this leaves is part of every interval.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.tails import chi2_tail, t_quantile

Array = NDArray[np.float64]

# Of log(alpha, beta, gamma). Alike in alpha and beta, so that it favours no side; two spreads reach 0.15 to 0.89 and
# 0.31 to 1.6, which holds all published laws.
PRIOR = np.log([0.36, 0.36, 0.7])
PRIOR_SPREAD = np.array([0.45, 0.45, 0.4])
FINEST_NOISE = 1e-5  # relative: losses are hardly printed to more digits, nor trained to them

_FURTHEST = 5 * PRIOR_SPREAD
_STEP = 1e-5  # of the central differences in the shape
_DIFFER = 0.01  # a p-value below which profiles have a noise of their own
_FEWEST_FOR_TREND = 6  # sizes
_LINEARISED = 1.08  # factor on errors for what the linearised covariance leaves out, by simulation
_FEWEST_SPARE = 4  # runs beyond three a profile
_OWN_WEIGHT = 3.0  # degrees of freedom that the common noise counts for beside a profile's own


def curve(t: Array, shape: Array) -> tuple[Array, Array]:
    """phi(t) and its derivative.

    Args:
        t: log N - log N*.
        shape: log(alpha, beta, gamma).
    """
    alpha, beta, gamma = np.exp(shape)
    left, right = np.exp(-alpha * t), np.exp(beta * t)
    u = (beta * left + alpha * right) / (alpha + beta)
    power = u**gamma
    return (power - 1) / (gamma * alpha * beta), power / u * (right - left) / (alpha + beta)


@dataclass(frozen=True, kw_only=True)
class ProfileRuns:
    """Runs of several profiles, shape (n,) each.

    Attributes:
        x: log N.
        loss: Nats per token.
        weight: Weight of each run, about 1: its squared relative residual counts so many times.
        profile: Index of its profile, 0 to profiles - 1, each with at least four runs.
    """

    x: Array
    loss: Array
    weight: Array
    profile: NDArray[np.intp]

    @property
    def profiles(self) -> int:
        """How many profiles there are."""
        return int(self.profile.max()) + 1

    def sums(self, values: Array) -> Array:
        """Sum over the runs of each profile, shape (profiles, ...)."""
        total = np.zeros((self.profiles, *values.shape[1:]))
        np.add.at(total, self.profile, values)
        return total


@dataclass(frozen=True, kw_only=True)
class CurveFit:
    """Curves of several profiles.

    Attributes:
        shape: log(alpha, beta, gamma).
        best: log N*, L* and k of each profile, shape (profiles, 3).
        residuals: Fitted minus measured loss, relative, in units of the ratio of its profile's noise to the common one.
        noise: Relative standard deviation of each profile's residuals, shape (profiles,).
        degrees: Degrees of freedom of the noise.
        shape_covariance: Of `shape`, shape (3, 3).
        follows: How `best` follows the shape, shape (profiles, 3, 3): d best / d shape.
        own_covariance: Of `best` at a known shape, shape (profiles, 3, 3).
        trend: p-value of a cubic and quartic trend in the residuals of each profile; 1 with fewer than six sizes.
    """

    shape: Array
    best: Array
    residuals: Array
    noise: Array
    degrees: float
    shape_covariance: Array
    follows: Array
    own_covariance: Array
    trend: Array

    def reach(self, level: float) -> Array:
        """Half the width of the interval of each entry of `best`, shape (profiles, 3).

        The runs' noise is known from so many degrees of freedom, hence Student's t; of the shape's share only what the
        runs decide depends on it, the rest is the prior's.
        """
        shared = np.einsum("pij,jk,pik->pi", self.follows, self.shape_covariance, self.follows)
        own = np.diagonal(self.own_covariance, axis1=1, axis2=2)
        t, z = t_quantile(level, self.degrees), NormalDist().inv_cdf(0.5 + level / 2)
        return _LINEARISED * np.sqrt(t**2 * own + (z**2 + (t**2 - z**2) * self.decided) * shared)

    @property
    def decided(self) -> float:
        """Share of the shape's coefficients that the runs decide, and not the prior: 0 to 1."""
        return 1 - float(np.mean(np.diag(self.shape_covariance) / PRIOR_SPREAD**2))

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Draw log N* of every profile as `reach` has it, shape (count, profiles)."""
        root = np.linalg.cholesky(self.shape_covariance + 1e-18 * np.eye(3))
        shared = np.einsum("pj,rj->rp", self.follows[:, 0], rng.normal(size=(count, 3)) @ root.T)
        own = rng.normal(size=(count, len(self.best))) * np.sqrt(self.own_covariance[:, 0, 0])
        scale = np.sqrt(self.degrees / rng.chisquare(self.degrees, size=(count, 1)))
        return self.best[:, 0] + _LINEARISED * (own * scale + shared * (1 + (scale - 1) * self.decided))


def fit_curves(runs: ProfileRuns, start: Array) -> CurveFit:
    """Least squares in relative residuals, with the prior on the shape in units of the noise.

    With fewer than four runs to spare the shape is the prior's, since a shape could make up for any noise.

    The noise is one for all profiles, unless Bartlett's test says that they differ; then each profile has its own,
    drawn towards what is usual among them.

    Args:
        runs: The runs.
        start: log N*, L* and k to begin with, shape (profiles, 3).
    """
    counts = np.bincount(runs.profile)
    ratio = np.ones(runs.profiles)  # of a profile's noise to the common one
    fit = _converged(runs, PRIOR, start, ratio)
    if _differ(runs, fit):
        squares = runs.sums((fit.residuals / fit.noise[0]) ** 2)
        each = np.maximum(counts - 3.0, 1.0)
        usual = np.exp(
            np.mean(np.log(np.maximum(squares, 1e-12) / each) + 1 / each)
        )  # log of chi^2 is biased by -1 / each
        ratio = np.sqrt((squares + _OWN_WEIGHT * usual) / (each + _OWN_WEIGHT))
        fit = _converged(runs, fit.shape, fit.best, ratio)
        fit = replace(fit, degrees=min(fit.degrees, float(counts.mean()) - 3 + _OWN_WEIGHT))
    return replace(fit, trend=_trend(runs, fit, ratio))


def _converged(runs: ProfileRuns, shape: Array, best: Array, ratio: Array) -> CurveFit:
    """Solve and estimate the noise in turns, since the prior's weight is the noise's."""
    residuals, by_shape, by_best = _linearised(runs, shape, best, ratio)
    degrees = runs.x.size - 3.0 * runs.profiles
    free = degrees >= _FEWEST_SPARE
    noise, before = _noise(residuals, degrees), np.inf
    for _ in range(8):
        if abs(noise / before - 1) < 0.01:
            break
        shape, best = _solve(runs, shape, best, ratio, noise, free=free)
        residuals, by_shape, by_best = _linearised(runs, shape, best, ratio)
        if free:
            shape_covariance, _, _ = _inverse(runs, by_shape, by_best, noise)
            known = 3 - float(np.trace(shape_covariance / PRIOR_SPREAD**2))  # what runs determine of the shape
            degrees = max(runs.x.size - 3 * runs.profiles - known, 1.0)
        before, noise = noise, _noise(residuals, degrees)
    shape_covariance, follows, own = _inverse(runs, by_shape, by_best, noise)
    if not free:
        shape_covariance = np.diag(PRIOR_SPREAD**2)
    return CurveFit(
        shape=shape,
        best=best,
        residuals=residuals,
        noise=noise * ratio,
        degrees=degrees,
        shape_covariance=shape_covariance,
        follows=follows,
        own_covariance=own,
        trend=np.ones(runs.profiles),
    )


def _noise(residuals: Array, degrees: float) -> float:
    return float(np.sqrt(max(residuals @ residuals / max(degrees, 1.0), FINEST_NOISE**2)))


def _linearised(runs: ProfileRuns, shape: Array, best: Array, ratio: Array) -> tuple[Array, Array, Array]:
    """Residuals and their derivatives by the shape, (n, 3), and by each run's own log N*, L* and k, (n, 3)."""
    vertex, least, bend = best[runs.profile].T
    t = runs.x - vertex
    phi, slope = curve(t, shape)
    root = np.sqrt(runs.weight) / (runs.loss * ratio[runs.profile])
    by_shape = np.empty((t.size, 3))
    for i, step in enumerate(_STEP * np.eye(3)):
        by_shape[:, i] = bend * (curve(t, shape + step)[0] - curve(t, shape - step)[0]) / (2 * _STEP)
    by_best = np.stack([-bend * slope, np.ones(t.size), phi], axis=1)
    return root * (least + bend * phi - runs.loss), root[:, None] * by_shape, root[:, None] * by_best


def _inverse(runs: ProfileRuns, by_shape: Array, by_best: Array, noise: float) -> tuple[Array, Array, Array]:
    """Covariance of the shape, d best / d shape, and covariance of `best` at a known shape."""
    blocks = runs.sums(by_best[:, :, None] * by_best[:, None, :])
    cross = runs.sums(by_best[:, :, None] * by_shape[:, None, :])
    inverse = _inverse_blocks(blocks)
    follows = -inverse @ cross
    normal = by_shape.T @ by_shape + np.einsum("pij,pik->jk", cross, follows)
    shape_covariance = np.linalg.inv(normal / noise**2 + np.diag(PRIOR_SPREAD**-2.0))
    return shape_covariance, follows, inverse * noise**2


def _inverse_blocks(blocks: Array) -> Array:
    """Inverse of symmetric 3 x 3 blocks of any scale."""
    scale = 1 / np.sqrt(np.maximum(np.diagonal(blocks, axis1=1, axis2=2), 1e-300))
    scaled = blocks * scale[:, :, None] * scale[:, None, :] + 1e-12 * np.eye(3)
    return np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None, :]


def _solve(
    runs: ProfileRuns, shape: Array, best: Array, ratio: Array, noise: float, *, free: bool
) -> tuple[Array, Array]:
    """Levenberg-Marquardt; the shape, where it is free, is eliminated last, so that time is linear in the profiles."""
    lowest = np.full(runs.profiles, np.inf)
    highest = np.full(runs.profiles, -np.inf)
    np.minimum.at(lowest, runs.profile, runs.x)
    np.maximum.at(highest, runs.profile, runs.x)
    reach = (highest - lowest) / 2

    def cost(shape: Array, best: Array) -> tuple[float, Array, Array, Array]:
        residuals, by_shape, by_best = _linearised(runs, shape, best, ratio)
        prior = noise * (shape - PRIOR) / PRIOR_SPREAD
        return float(residuals @ residuals + prior @ prior), residuals, by_shape, by_best

    damping = 1e-3
    value, residuals, by_shape, by_best = cost(shape, best)
    for _ in range(100):
        blocks = runs.sums(by_best[:, :, None] * by_best[:, None, :])
        cross = runs.sums(by_best[:, :, None] * by_shape[:, None, :])
        slope_best = runs.sums(by_best * residuals[:, None])
        slope_shape = by_shape.T @ residuals + noise**2 * (shape - PRIOR) / PRIOR_SPREAD**2
        normal = by_shape.T @ by_shape + np.diag(noise**2 / PRIOR_SPREAD**2)
        while True:
            inverse = _inverse_blocks(blocks + damping * blocks * np.eye(3))
            follows = -inverse @ cross
            left = normal + damping * normal * np.eye(3) + np.einsum("pij,pik->jk", cross, follows)
            right = slope_shape + np.einsum("pij,pi->j", follows, slope_best)
            move = -np.linalg.solve(left, right)
            move *= free and min(1.0, 1.0 / max(float(np.abs(move).max()), 1e-300))
            tried_shape = np.clip(shape + move, PRIOR - _FURTHEST, PRIOR + _FURTHEST)
            tried = best + follows @ (tried_shape - shape) - np.einsum("pij,pj->pi", inverse, slope_best)
            tried[:, 0] = np.clip(tried[:, 0], lowest - reach, highest + reach)
            found = cost(tried_shape, tried)
            if found[0] <= value:
                break
            damping *= 4
            if damping > 1e8:
                return shape, best
        small = value - found[0] <= 1e-10 * value
        shape, best, (value, residuals, by_shape, by_best) = tried_shape, tried, found
        damping = max(damping / 5, 1e-10)
        if small:
            break
    return shape, best


def _differ(runs: ProfileRuns, fit: CurveFit) -> bool:
    """Whether the noise of the profiles differs, by Bartlett's test with the normal approximation of chi^2."""
    if runs.profiles < 2:
        return False
    each = np.maximum(np.bincount(runs.profile) - 3.0, 1.0)
    each *= fit.degrees / each.sum()
    variance = np.maximum(runs.sums(fit.residuals**2) / each, FINEST_NOISE**2)
    pooled = float(each @ variance) / fit.degrees
    correction = 1 + (np.sum(1 / each) - 1 / fit.degrees) / (3 * (runs.profiles - 1))
    statistic = float(fit.degrees * np.log(pooled) - each @ np.log(variance)) / correction
    return chi2_tail(statistic, runs.profiles - 1) < _DIFFER


def _trend(runs: ProfileRuns, fit: CurveFit, ratio: Array) -> Array:
    """Score test of t^3 and t^4 in the residuals of each profile."""
    differ = bool(np.ptp(ratio))
    found, noise = np.ones(runs.profiles), fit.noise[0] / ratio[0]
    parts = _linearised(runs, fit.shape, fit.best, ratio)
    residuals, by_shape, by_best = (part / noise for part in parts)
    for c in range(runs.profiles):
        rows = runs.profile == c
        t = runs.x[rows] - fit.best[c, 0]
        if np.unique(t).size < _FEWEST_FOR_TREND:
            continue
        t /= np.abs(t).max()
        columns = np.stack([t**3, t**4], axis=1) * by_best[rows, 1:2]  # the run's own weight
        total = by_shape[rows] + by_best[rows] @ fit.follows[c]
        explained = by_best[rows].T @ columns
        variance = columns.T @ columns - explained.T @ fit.own_covariance[c] @ explained
        explained = total.T @ columns
        variance -= explained.T @ fit.shape_covariance @ explained
        score = columns.T @ residuals[rows]
        squares, degrees = float(score @ np.linalg.pinv(variance, rcond=1e-6, hermitian=True) @ score), fit.degrees
        if differ:  # a trend is in the profile's own noise, so it is judged by what is left of that
            rest, degrees = float(residuals[rows] @ residuals[rows]) - squares, t.size - 5.0
            squares /= max(rest / degrees, 1e-12)
        found[c] = (1 + max(squares, 0.0) / degrees) ** (-degrees / 2)  # the tail of F(2, degrees) at squares / 2
    return found
