"""Which coefficients the runs do not determine."""

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.objective import Objective
from distlaw.fit.solver import minimise_huber

Array = NDArray[np.float64]


def not_identified(objective: Objective, phi: Array, value: float) -> dict[str, str]:
    """Coordinates that can move far, the others following, at no cost that the scatter of the runs would notice.

    Each free coordinate is pushed to both ends of a wide range and the rest is refitted (a profile of the objective).
    The runs notice a push, in nine samples of ten, when it costs 1.35 units of sum(psi^2) / sum(psi'), as for a
    likelihood ratio; for absolute residuals of scatter sigma that unit is 1.25 sigma, for squares it is sigma^2.
    """
    chart, n = objective.chart, objective.measured.size
    r = objective(phi[None])[0][0][:n]
    noise = float(np.median(np.abs(r))) / 0.6745
    threshold = 1.35 * max(noise, 1e-12) * (1.25 if objective.loss in ("huber", "lad") else noise)
    pushes = []
    for i, name in enumerate(chart.names):
        far = 1.5 if name.startswith("log ") else 0.5 * max(abs(phi[i]), 0.1)
        far = 3.0 if name in ("log A", "log B") else far
        pushes += [(i, max(phi[i] - far, chart.low[i])), (i, min(phi[i] + far, chart.high[i]))]
    start = np.tile(phi, (len(pushes), 1))
    low, high = np.tile(chart.low, (len(pushes), 1)), np.tile(chart.high, (len(pushes), 1))
    costs = np.empty(len(pushes))
    for k, (i, to) in enumerate(pushes):
        start[k, i] = low[k, i] = high[k, i] = to
        held = minimise_huber(
            objective,
            start[k : k + 1],
            weights=objective.weights,
            delta=objective.delta,
            low=low[k],
            high=high[k],
            below=objective.below,
            tolerance=1e-6,
            damping=0.1,
        )
        costs[k] = held.objective[0] - value
    found = {}
    for i, name in enumerate(chart.names):
        down, up = costs[2 * i], costs[2 * i + 1]
        if min(down, up) < threshold:
            side = "either way" if max(down, up) < threshold else ("downwards" if down < up else "upwards")
            cost = min(down, up)
            found[name] = f"can move far {side} at a cost of {cost:.2g} in the objective (noticed: {threshold:.2g})"
    return found
