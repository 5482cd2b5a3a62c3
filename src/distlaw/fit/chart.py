"""The free coordinates of a fit: what the solver moves where coefficients are fixed or tied; valleys made straight."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.forms import UNDER, Form
from distlaw.runs import Runs

Array = NDArray[np.float64]

_BENT = ("log A", "log B", "alpha", "beta", "gamma")
_STRAIGHT = ("size term", "data term", "gamma alpha", "gamma beta", "log gamma")
_STRAIGHT_BOUNDS = ((-20.0, 20.0), (-20.0, 20.0), (1e-6, 6.0), (1e-6, 6.0), (np.log(0.05), np.log(6.0)))
_LARGEST = 600.0  # of log A and log B: e^600 is still a number


@dataclass(frozen=True)
class Chart:
    """Free coordinates phi of a fit. Without `bends`, theta = offset + M phi.

    Runs that leave gamma open leave A, B, alpha and beta open with it, along a curve: the two terms of
    ``(A / N^alpha + B / D^beta)^gamma`` keep their heights and slopes while gamma says how sharply one gives way to
    the other. Where none of the five is fixed or tied, the solver therefore moves in heights
    ``gamma log(A / N0^alpha)`` and ``gamma log(B / D0^beta)`` at the runs' own middle N0, D0, in slopes gamma alpha
    and gamma beta, and in log gamma: the same valley, straight.

    Attributes:
        offset: Shape (p,).
        M: Shape (p, q).
        names: Names of the q free coordinates.
        low: Lower bounds of phi, shape (q,).
        high: Upper bounds of phi.
        start: Range of theta's own free coordinates that starts are drawn from, shape (2, q); see `from_linear`.
        bends: Positions in phi of the five of each law that is straightened.
        centre: log N0 and log D0.
    """

    offset: Array
    M: Array
    names: tuple[str, ...]
    low: Array
    high: Array
    start: Array
    bends: tuple[tuple[int, ...], ...] = ()
    centre: tuple[float, float] = (0.0, 0.0)

    def theta(self, phi: Array) -> Array:
        """Coordinates of the form, shape (S, p), from free coordinates (S, q)."""
        linear = np.array(phi, dtype=np.float64)
        n, d = self.centre
        for bend in self.bends:
            size, data, by_n, by_d, log_gamma = (phi[:, i] for i in bend)
            gamma = np.exp(log_gamma)
            heights = [np.clip(x / gamma, -_LARGEST, _LARGEST) for x in (size + by_n * n, data + by_d * d)]
            linear[:, bend] = np.stack([*heights, by_n / gamma, by_d / gamma, gamma], axis=1)
        return self.offset + linear @ self.M.T

    def from_linear(self, linear: Array) -> Array:
        """Free coordinates (S, q) from the form's own coordinates that are free, in their order."""
        phi = np.array(linear, dtype=np.float64)
        n, d = self.centre
        for bend in self.bends:
            log_A, log_B, alpha, beta, gamma = (linear[:, i] for i in bend)
            parts = gamma * (log_A - alpha * n), gamma * (log_B - beta * d), gamma * alpha, gamma * beta, np.log(gamma)
            phi[:, bend] = np.stack(parts, axis=1)
        return np.clip(phi, self.low, self.high)

    def from_theta(self, theta: Array) -> Array:
        """Free coordinates (S, q) of coordinates (S, p) that keep what is fixed and tied."""
        return self.from_linear((theta - self.offset) @ np.linalg.pinv(self.M).T)

    def pull_back(self, J: Array, phi: Array) -> Array:
        """Derivatives by phi, shape (S, n, q), from derivatives by theta, shape (S, n, p)."""
        if not self.bends:
            return (self.M.T @ J.transpose(0, 2, 1)).transpose(0, 2, 1)
        q, (n, d) = phi.shape[1], self.centre
        bent = np.tile(np.eye(q), (phi.shape[0], 1, 1))  # derivative of the form's own coordinates by phi
        for a, b, by_n, by_d, g in self.bends:
            gamma = np.exp(phi[:, g])
            for term, slope, at in ((a, by_n, n), (b, by_d, d)):
                bent[:, term, term] = bent[:, slope, slope] = 1 / gamma
                bent[:, term, slope] = at / gamma
                bent[:, term, g] = -(phi[:, term] + phi[:, slope] * at) / gamma
                bent[:, slope, g] = -phi[:, slope] / gamma
            bent[:, g, g] = gamma
        return ((self.M @ bent).transpose(0, 2, 1) @ J.transpose(0, 2, 1)).transpose(0, 2, 1)


def straightened(chart: Chart, runs: Runs) -> Chart:
    """The same chart, with the valley of each law whose five coefficients are all free made straight."""
    names, low, high, bends = list(chart.names), chart.low.copy(), chart.high.copy(), []
    for bent, straight in ((_BENT, _STRAIGHT), (_under(_BENT), _under(_STRAIGHT))):
        # A coordinate that another one is tied to moves two: its own axis must stay.
        alone = [names.index(n) for n in bent if n in names and chart.M[:, names.index(n)].sum() == 1]
        if len(alone) < len(bent):
            continue
        bends.append(tuple(alone))
        for i, name, (least, most) in zip(alone, straight, _STRAIGHT_BOUNDS, strict=True):
            names[i], low[i], high[i] = name, least, most
    centre = float(np.log(runs.student_params).mean()), float(np.log(runs.student_tokens).mean())
    return Chart(
        offset=chart.offset,
        M=chart.M,
        names=tuple(names),
        low=low,
        high=high,
        start=chart.start,
        bends=tuple(bends),
        centre=centre,
    )


def _under(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"log {UNDER}{n[4:]}" if n.startswith("log ") else f"{UNDER}{n}" for n in names)


def make_chart(form: Form, fixed: Mapping[str, float], tied: Mapping[str, str]) -> Chart:
    """Free coordinates of a form.

    Args:
        form: The form.
        fixed: Coefficients held at a value.
        tied: Coefficient to the one that it equals, as `{"beta": "alpha"}`.

    Raises:
        ValueError: A name is not a coefficient of the form, or cannot be fixed or tied in these coordinates.
    """
    axis = {at: name for name in form.coefficients if (at := _coordinate_of(form, name)) is not None}
    position = {name: i for i, name in enumerate(form.names)}
    offset = np.zeros(len(form.names))
    owner = {name: name for name in form.names}
    for name, value in fixed.items():
        coordinate = _require_axis(form, axis, name, "fixed")
        if not np.isfinite(value):
            raise ValueError(f"{name} cannot be fixed at {value}")
        offset[position[coordinate]] = _coordinate_value(coordinate, name, value)
        owner[coordinate] = ""
    for name, other in tied.items():
        left, right = (_require_axis(form, axis, n, "tied") for n in (name, other))
        if owner[left] != left or owner[right] != right or left == right:
            raise ValueError(f"{name} cannot be tied to {other}: one of them is fixed or tied already")
        owner[left] = right
    free = [name for name in form.names if owner[name] == name]
    M = np.array([[float(owner[name] == column) for column in free] for name in form.names])
    chosen = [form.coordinates[position[name]] for name in free]
    return Chart(
        offset=offset,
        M=M,
        names=tuple(free),
        low=np.array([c.bounds[0] for c in chosen]),
        high=np.array([c.bounds[1] for c in chosen]),
        start=np.array([c.start for c in chosen]).T.reshape(2, len(free)),
    )


def _coordinate_of(form: Form, coefficient: str) -> str | None:
    for candidate in (coefficient, f"log {coefficient}"):
        if candidate in form.names:
            return candidate
    return "log s" if coefficient == "f1" else None


def _coordinate_value(coordinate: str, coefficient: str, value: float) -> float:
    if coordinate == coefficient:
        return value
    if value <= 0:
        raise ValueError(f"{coefficient} must be positive, got {value:g}")
    return float(-np.log(value) if coefficient == "f1" else np.log(value))


def _require_axis(form: Form, axis: Mapping[str, str], name: str, what: str) -> str:
    for coordinate, coefficient in axis.items():
        if coefficient == name:
            return coordinate
    raise ValueError(f"{name} cannot be {what} in form '{form.name}'; choose among {', '.join(axis.values())}")
