"""Refit every resample from the optimum: how far coefficients and predictions would move with other runs."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.objective import Objective
from distlaw.runs import Runs

Array = NDArray[np.float64]

CLUSTERS = ("runs", "teacher", "student", "seed", "group")
_TOLERANCE = 3e-6  # relative: at 3e-5 resamples stop early in open directions, and intervals far out are too narrow
_BATCH = 512  # resamples between two reports of progress
_JACKKNIFE = 400  # most refits for the acceleration of BCa intervals; more clusters are left out in groups


def cluster_of_each(runs: Runs, clusters: str) -> NDArray[np.intp]:
    """A label of what each run is drawn together with, from 0; where it is a teacher, a supervised run is on its own.

    Raises:
        ValueError: `clusters` is unknown, or the runs have fewer than three clusters.
    """
    if clusters not in CLUSTERS:
        raise ValueError(f"clusters '{clusters}' is unknown; choose {', '.join(CLUSTERS[:-1])} or {CLUSTERS[-1]}")
    if clusters == "runs":
        return np.arange(len(runs))
    if clusters == "seed":
        labels = np.unique(runs.seed, return_inverse=True)[1]
    elif clusters == "group":
        labels = np.unique([str(g) for g in runs.group], return_inverse=True)[1]
    else:
        labels = runs.teacher_of_each() if clusters == "teacher" else runs.student_of_each()
    labels = np.where(labels < 0, len(runs) + np.arange(len(runs)), labels)
    _, member = np.unique(labels, return_inverse=True)
    if (found := int(member.max()) + 1) < 3:
        raise ValueError(f"resampling by {clusters} needs at least 3 of them, the runs have {found}")
    return member


def usual_resamples(runs: int) -> int:
    """Resamples where none are asked for: 4096, and fewer for many runs, down to 512.

    With 512 the end of a 90 % interval is uncertain by about a tenth of its distance from the middle.
    """
    return int(np.clip(1_500_000 // max(runs, 1), 512, 4096))


def resample_weights(runs: Runs, clusters: str, count: int, rng: np.random.Generator) -> Array:
    """Bootstrap counts (count, n): how often each run, or its whole cluster, was drawn.

    Raises:
        ValueError: See `cluster_of_each`.
    """
    member = cluster_of_each(runs, clusters)
    k = int(member.max()) + 1
    return rng.multinomial(k, np.full(k, 1 / k), size=count).astype(np.float64)[:, member]


def leave_out_weights(runs: Runs, clusters: str) -> Array:
    """Jackknife counts: each row leaves one cluster out, or a group of clusters where there are more than 400."""
    member = cluster_of_each(runs, clusters)
    k = int(member.max()) + 1
    member = member % min(k, _JACKKNIFE)
    return (member != np.arange(int(member.max()) + 1)[:, None]).astype(np.float64)


def refit(
    objective: Objective,
    phi: Array,
    counts: Array,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Array, float]:
    """Refit under every row of counts.

    Args:
        objective: The fitted objective.
        phi: Its optimum, free coordinates of shape (q,).
        counts: How often each run was drawn, shape (resamples, n).
        progress: Called with resamples done and their total.

    Returns:
        Coordinates of each refit, shape (resamples, p), and the share that converged.
    """
    total, n = counts.shape
    parts, converged = [], []
    for i in range(0, total, _BATCH):
        weights = objective.with_penalty(counts[i : i + _BATCH] * objective.weights[:n])
        start = np.tile(phi, (weights.shape[0], 1))
        found = objective.solve(start, weights, tolerance=_TOLERANCE, damping=1e-3, steps=300)
        parts.append(objective.chart.theta(found.theta))
        converged.append(found.converged)
        if progress is not None:
            progress(min(i + _BATCH, total), total)
    return np.concatenate(parts), float(np.concatenate(converged).mean())


def interval(point: Array, draws: Array, jackknife: Array | None, level: float) -> tuple[Array, Array]:
    """Interval of each of k numbers from its values under the resamples.

    Without a jackknife the percentile interval. With one, BCa (Efron 1987, JASA 82, 171): percentiles moved for the
    median bias of the resamples and for how the spread changes with the value, which is read off the jackknife.

    Args:
        point: Values at the optimum, shape (k,).
        draws: Values under the resamples, shape (resamples, k).
        jackknife: Values with each cluster left out, shape (clusters, k); None for a percentile interval.
        level: Coverage.

    Returns:
        Lower and upper ends, each of shape (k,).
    """
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    if jackknife is None:
        low, high = np.percentile(draws, 100 * tails, axis=0)
        return low, high
    normal = NormalDist()
    count = draws.shape[0]
    below = (np.sum(draws < point, axis=0) + 0.5 * np.sum(draws == point, axis=0)) / count
    bias = np.array([normal.inv_cdf(p) for p in np.clip(below, 0.5 / count, 1 - 0.5 / count)])
    off = jackknife.mean(axis=0) - jackknife
    spread = np.sum(off**2, axis=0) ** 1.5
    acceleration = np.sum(off**3, axis=0) / (6 * np.where(spread > 0, spread, 1.0))
    ends = []
    for tail in tails:
        z = bias + normal.inv_cdf(tail)
        z = bias + z / np.maximum(1 - acceleration * z, 1e-3)
        at = np.array([normal.cdf(v) for v in z])
        ends.append(np.array([np.percentile(draws[:, i], 100 * at[i]) for i in range(point.size)]))
    return ends[0], ends[1]
