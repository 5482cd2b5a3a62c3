"""What is minimised: residuals of a form on runs, their weights, and the penalty on infinite-data inconsistency."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.chart import Chart
from distlaw.fit.forms import UNDER, Form, Law
from distlaw.fit.solver import Solution, minimise_huber
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs

Array = NDArray[np.float64]

LOSSES = ("huber", "lad", "log-squared", "squared")
_SIZES = 13
_ENDLESS = 1e30  # tokens; finite, so that derivatives stay numbers
_TEACHERS = 64


class Objective:
    """Residuals and Jacobian of a form on runs, for the batched solver.

    The first n residuals belong to the runs: log predicted over measured loss, or their difference for the `squared`
    loss. With a consistency penalty thirteen more follow, log of min over L_T of L_S(N, inf, L_T) over L(N, inf).

    A joint form takes distilled runs followed by supervised ones; any other takes runs of its kind.
    """

    def __init__(
        self,
        form: Form,
        chart: Chart,
        runs: Runs,
        supervised: SupervisedLaw | None,
        *,
        loss: str,
        delta: float,
        below: float = 1.0,
        consistency: float = 0.0,
    ) -> None:
        if loss not in LOSSES:
            raise ValueError(f"loss '{loss}' is unknown; choose one of {', '.join(LOSSES)}")
        self.form, self.chart, self.supervised, self.loss = form, chart, supervised, loss
        distilled = int(runs.distilled.sum())
        first, rest = runs.select(slice(0, distilled)), runs.select(slice(distilled, None))
        self.distilled = (first.student_params, first.student_tokens, first.teacher_loss)
        self.alone = (rest.student_params, rest.student_tokens)
        self.joint = form.kind == "distillation" and supervised is None
        self.measured = runs.student_loss
        self.below, self.consistency = below, consistency
        turn = {"huber": delta, "lad": 1e-6}.get(loss, np.inf)
        self.sizes = consistency_sizes(first.student_params) if consistency else np.empty(0)
        extra = self.sizes.size
        self.delta = np.concatenate([np.full(self.measured.size, turn), np.full(extra, np.inf)])
        self.weights = self.with_penalty(runs.weight)

    def with_penalty(self, weights: Array) -> Array:
        """Weights (..., n) of the runs, followed by those of the penalty's rows."""
        if not self.consistency:
            return weights
        # At strength 1 a violation of 1 % at every size costs as much as 0.3 % of error on every run (60 x 0.01^2 / 2).
        rows = np.full((*weights.shape[:-1], _SIZES), 60 * self.consistency * self.measured.size / _SIZES)
        return np.concatenate([weights, rows], axis=-1)

    def __call__(self, phi: Array) -> tuple[Array, Array]:
        """Residuals (S, n) and Jacobian (S, n, q) at free coordinates (S, q)."""
        theta = self.chart.theta(phi)
        law = self.form.law(theta, self.supervised, trailing=1)
        if self.joint:
            parts = [self._predict(law, theta, self.distilled), self._predict_alone(law, theta)]
            predicted, J = (np.concatenate(column, axis=1) for column in zip(*parts, strict=True))
        else:
            predicted, J = self._predict(law, theta, self.distilled if self.supervised else self.alone)
        if self.loss == "squared":
            r = predicted - self.measured
        else:
            r = np.log(predicted) - np.log(self.measured)
            J = J / predicted[:, :, None]
        if self.consistency:
            extra_r, extra_J = self._inconsistency(law, theta)
            r, J = np.concatenate([r, extra_r], axis=1), np.concatenate([J, extra_J], axis=1)
        return r, self.chart.pull_back(J, phi)

    def solve(
        self,
        phi: Array,
        weights: Array,
        *,
        tolerance: float,
        damping: float = 1.0,
        steps: int = 200,
        low: Array | None = None,
        high: Array | None = None,
    ) -> Solution:
        """Minimise from each row of phi; least absolute deviations by way of ever sharper Huber losses.

        Args:
            phi: Starts, shape (S, q).
            weights: Shape (n,) or (S, n), penalty rows included.
            tolerance: See `minimise_huber`.
            damping: See `minimise_huber`.
            steps: See `minimise_huber`.
            low: Lower bounds, shape (q,); those of the chart by default.
            high: Upper bounds.
        """
        found = None
        for turn in (1e-3, 1e-4, 1e-5, None) if self.loss == "lad" else (None,):
            found = minimise_huber(
                self,
                phi if found is None else found.theta,
                weights=weights,
                delta=self.delta if turn is None else np.where(np.isinf(self.delta), np.inf, turn),
                low=self.chart.low if low is None else low,
                high=self.chart.high if high is None else high,
                below=self.below,
                tolerance=tolerance,
                damping=damping,
                steps=steps,
            )
        assert found is not None
        return found

    def _predict(self, law: Law, theta: Array, arguments: tuple[Array, ...]) -> tuple[Array, Array]:
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            predicted, gradient = law.coefficient_gradient(*arguments)
            if self.joint:
                assert not isinstance(law, SupervisedLaw)
                gradient = gradient | _prefixed(law.supervised_gradient(*arguments))
            return predicted, self._by_coordinate(theta, predicted.shape, gradient)

    def _predict_alone(self, law: Law, theta: Array) -> tuple[Array, Array]:
        """The supervised runs of a joint fit: only the coefficients of the supervised law move them."""
        assert not isinstance(law, SupervisedLaw)
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            predicted, gradient = law.supervised.coefficient_gradient(*self.alone)
            nothing = dict.fromkeys((n for n in self.form.coefficients if UNDER not in n), np.zeros(1))
            return predicted, self._by_coordinate(theta, predicted.shape, nothing | _prefixed(gradient))

    def _by_coordinate(self, theta: Array, shape: tuple[int, ...], gradient: Mapping[str, Array]) -> Array:
        values = {name: np.asarray(value)[..., None] for name, value in self.form.values(theta).items()}
        by_coordinate = self.form.chain(gradient, values)
        # Laid out coordinate by coordinate: each is written, and later weighed, in one stretch of memory.
        J = np.empty((shape[0], len(self.form.names), shape[1]))
        for i, name in enumerate(self.form.names):
            J[:, i] = by_coordinate[name]
        return J.transpose(0, 2, 1)

    def _inconsistency(self, law: Law, theta: Array) -> tuple[Array, Array]:
        """Log violation at each size, and its Jacobian: by the envelope theorem the partial one at the best teacher."""
        assert not isinstance(law, SupervisedLaw)
        sizes, endless = self.sizes, np.full(self.sizes.size, _ENDLESS)
        best = best_teacher(self.form.law(theta, self.supervised, trailing=2), sizes)
        predicted, J = self._predict(law, theta, (sizes, endless, best))
        J = J / predicted[:, :, None]
        limit = law.supervised.infinite_data_loss(sizes)
        if self.joint:
            limit, gradient = law.supervised.coefficient_gradient(sizes, endless)
            nothing = dict.fromkeys((n for n in self.form.coefficients if UNDER not in n), np.zeros(1))
            J = J - self._by_coordinate(theta, limit.shape, nothing | _prefixed(gradient)) / limit[:, :, None]
        return np.log(predicted) - np.log(limit), J


def _prefixed(gradient: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{UNDER}{name}": derivative for name, derivative in gradient.items()}


def consistency_sizes(student_params: Array) -> Array:
    """Student sizes at which infinite-data consistency is asked for (appendix E.6).

    From the decade of the smallest student fitted to two decades above that of the largest: 1e8 to 1e11 for students
    like the paper's.
    """
    low, high = (10.0 ** np.floor(np.log10(end)) for end in (student_params.min(), student_params.max()))
    return np.geomspace(low, 100 * high, _SIZES)


def best_teacher(law: Law, sizes: Array) -> Array:
    """L_T with the lowest L_S(N, inf, L_T) for laws of coefficient shape (S, 1, 1): shape (S, sizes)."""
    assert not isinstance(law, SupervisedLaw)
    lowest = np.asarray(law.supervised.E) * (1 + 1e-6)
    step = np.log(np.maximum(6.0, 2 * lowest) / lowest) / (_TEACHERS - 1)
    grid = lowest * np.exp(step * np.arange(_TEACHERS))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        loss = law.student_loss(sizes[:, None], _ENDLESS, grid)
    grid, step = np.broadcast_to(grid, loss.shape), np.broadcast_to(step, loss[..., :1].shape)[..., 0]
    index = np.clip(np.argmin(loss, axis=2), 1, _TEACHERS - 2)[..., None]
    f0, f1, f2 = (np.take_along_axis(loss, index + s, axis=2)[..., 0] for s in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = 0.5 * (f0 - f2) / (f0 - 2 * f1 + f2)
    shift = np.where(np.isfinite(shift), np.clip(shift, -1.0, 1.0), 0.0)
    return np.take_along_axis(grid, index, axis=2)[..., 0] * np.exp(shift * step)
