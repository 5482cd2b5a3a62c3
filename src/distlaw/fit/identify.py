"""Which coefficients the runs do not determine, and what they could be instead."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.objective import Objective

Array = NDArray[np.float64]

_POINTS = 8  # of a profile, on each side of the optimum
_OPEN = 1.5  # a coefficient whose values along a profile differ by this factor has no value worth printing


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The objective along one coordinate, the others refitted.

    Attributes:
        values: Of the coordinate, ascending.
        costs: Objective there above the optimum's.
        theta: All coordinates there, shape (points, p).
    """

    values: Array
    costs: Array
    theta: Array


@dataclass(frozen=True, kw_only=True)
class Identified:
    """What the runs leave open.

    Attributes:
        not_identified: Open coordinates, each with the reason.
        profiles: Their profiles.
        ranges: Coefficients that an open coordinate moves, with the lowest and highest value along its profile that
            the runs would not notice: their point estimates mean nothing.
    """

    not_identified: Mapping[str, str]
    profiles: Mapping[str, Profile]
    ranges: Mapping[str, tuple[float, float]]


def identify(objective: Objective, phi: Array, value: float) -> Identified:
    """Coordinates that can move far, the others following, at no cost that the scatter of the runs would notice.

    Each free coordinate is pushed to both ends of a wide range and the rest is refitted. The runs notice a push, in
    nine samples of ten, when it costs 1.35 units of sum(psi^2) / sum(psi'), as for a likelihood ratio; for absolute
    residuals of scatter sigma that unit is 1.25 sigma, for squares it is sigma^2.

    Args:
        objective: The fitted objective.
        phi: Its optimum, free coordinates of shape (q,).
        value: Objective there.
    """
    chart, n = objective.chart, objective.measured.size
    r = objective(phi[None])[0][0][:n]
    noise = float(np.median(np.abs(r))) / 0.6745
    threshold = 1.35 * max(noise, 1e-12) * (1.25 if objective.loss in ("huber", "lad") else noise)
    reasons, profiles, ranges = {}, {}, {}
    for i, name in enumerate(chart.names):
        far = 1.5 if name.startswith("log ") else 0.5 * max(abs(phi[i]), 0.1)
        far = 3.0 if name.endswith((" A", " B")) else 1.0 if name.endswith(" term") else far
        ends = [max(phi[i] - far, chart.low[i]), min(phi[i] + far, chart.high[i])]
        down, up = (_held(objective, phi, i, to)[1] - value for to in ends)
        cost = max(min(down, up), 0.0)
        if cost >= threshold:
            continue
        side = "either way" if max(down, up) < threshold else ("downwards" if down < up else "upwards")
        reasons[name] = (
            f"can move far {side} while the objective rises by {cost:.2g};"
            f" rises below {threshold:.2g} are within the scatter of the runs"
        )
        profiles[name] = profile = _profile(objective, phi, value, i, ends)
        for coefficient, along in objective.form.values(profile.theta[profile.costs < threshold]).items():
            low, high = float(along.min()), float(along.max())
            if low > 0 and high > _OPEN * low:
                before = ranges.get(coefficient, (low, high))
                ranges[coefficient] = (min(low, before[0]), max(high, before[1]))
    return Identified(not_identified=reasons, profiles=profiles, ranges=ranges)


def _profile(objective: Objective, phi: Array, value: float, i: int, ends: list[float]) -> Profile:
    """Walk from the optimum to each end, every point starting from its neighbour."""
    rows = [(phi[i], 0.0, phi)]
    for end in ends:
        at = phi
        for to in np.linspace(phi[i], end, _POINTS + 1)[1:]:
            at, reached = _held(objective, at, i, to)
            rows.append((to, max(reached - value, 0.0), at))
    rows.sort(key=lambda row: row[0])
    values, costs, points = zip(*rows, strict=True)
    return Profile(values=np.array(values), costs=np.array(costs), theta=objective.chart.theta(np.array(points)))


def _held(objective: Objective, phi: Array, i: int, to: float) -> tuple[Array, float]:
    """The optimum with free coordinate i held at a value, and the objective there."""
    start, low, high = phi.copy(), objective.chart.low.copy(), objective.chart.high.copy()
    start[i] = low[i] = high[i] = to
    found = objective.solve(start[None], objective.weights, tolerance=1e-6, damping=0.1, low=low, high=high)
    return found.theta[0], float(found.objective[0])
