"""Refit every resample from the optimum: how far the coefficients would move with other runs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.objective import Objective
from distlaw.runs import Runs

Array = NDArray[np.float64]

_TOLERANCE = 3e-5  # relative: tighter doubles the time and moves interval ends by less than a tenth of their width
_BATCH = 512  # resamples between two reports of progress


def resample_weights(runs: Runs, clusters: str, count: int, rng: np.random.Generator) -> Array:
    """Bootstrap counts (count, n): how often each run, or its whole cluster, was drawn.

    Raises:
        ValueError: `clusters` is unknown, or the runs have fewer than three clusters.
    """
    n = len(runs)
    if clusters == "runs":
        return rng.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)
    labels = {
        "teacher": runs.teacher_of_each,
        "student": runs.student_of_each,
        "seed": lambda: np.unique(runs.seed, return_inverse=True)[1],
        "group": lambda: np.unique([str(g) for g in runs.group], return_inverse=True)[1],
    }.get(clusters)
    if labels is None:
        raise ValueError(f"clusters '{clusters}' is unknown; choose runs, teacher, student, seed or group")
    _, member = np.unique(np.asarray(labels()), return_inverse=True)
    k = int(member.max()) + 1
    if k < 3:
        raise ValueError(f"resampling by {clusters} needs at least 3 of them, the runs have {k}")
    return rng.multinomial(k, np.full(k, 1 / k), size=count).astype(np.float64)[:, member]


def bootstrap(
    objective: Objective,
    phi: Array,
    counts: Array,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Array, float]:
    """Refit every resample.

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
        found = objective.solve(start, weights, tolerance=_TOLERANCE, damping=0.01)
        parts.append(objective.chart.theta(found.theta))
        converged.append(found.converged)
        if progress is not None:
            progress(min(i + _BATCH, total), total)
    return np.concatenate(parts), float(np.concatenate(converged).mean())
