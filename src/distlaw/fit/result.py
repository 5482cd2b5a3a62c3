"""What a fit found: the law, its resamples, its errors on its own runs, and predictions with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.bootstrap import interval
from distlaw.fit.far import FarRuns
from distlaw.fit.forms import Form, Law
from distlaw.fit.identify import Profile
from distlaw.fit.spec import FitSpec, form_of
from distlaw.laws import SupervisedLaw
from distlaw.runs import Accuracy, Caution

Array = NDArray[np.float64]

CONVERGED, AT_BOUND, NOT_CONVERGED = "converged", "at bound", "not converged"


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a fit found. Only a result whose status is not `not converged` has a law worth anything.

    Attributes:
        spec: How it was fitted.
        status: `converged`, `at bound` (some coordinate lies on the border of the search) or `not converged`.
        theta: Coordinates of the form, shape (p,).
        supervised: The supervised law that a distillation form rests on; None for the supervised form.
        objective: sum of the loss over runs over delta, penalty included.
        starts_reached: Share of starts that ended within 1e-4 of the best objective.
        at_bound: Coordinates on a bound.
        draws: Coordinates of each resample's fit, shape (resamples, p).
        draws_converged: Share of resamples that converged.
        jackknife: Coordinates with each run or cluster left out, for BCa intervals; None for percentile ones.
        residuals: Log predicted over measured loss of each run that was used, distilled runs first.
        positions: Of these runs, among those that were given, from 0.
        far: Runs far from the fit; none where that was not asked for.
        train: Errors on the fitted runs.
        consistency_error: Largest relative violation of infinite-data consistency; NaN for the supervised form.
        not_identified: Coordinates that the runs do not determine, with the reason.
        profiles: The objective along each of them.
        open_ranges: Coefficients that they move, and how far: a point estimate of these means nothing.
        fitted_range: Lowest and highest value of each quantity among the runs.
        fingerprint: Hash of the runs.
        warnings: What a user should know.
    """

    spec: FitSpec
    status: str
    theta: Array
    supervised: SupervisedLaw | None
    objective: float
    starts_reached: float
    at_bound: tuple[str, ...]
    draws: Array
    draws_converged: float
    jackknife: Array | None
    residuals: Array
    positions: NDArray[np.intp]
    far: FarRuns
    train: Accuracy
    consistency_error: float
    not_identified: Mapping[str, str]
    profiles: Mapping[str, Profile]
    open_ranges: Mapping[str, tuple[float, float]]
    fitted_range: Mapping[str, tuple[float, float]]
    fingerprint: str
    warnings: tuple[Caution, ...] = ()

    @property
    def form(self) -> Form:
        """The fitted form."""
        return form_of(self.spec)

    @property
    def law(self) -> Law:
        """The fitted law."""
        return self._law(self.theta)

    @property
    def coefficients(self) -> dict[str, float]:
        """The law's coefficients by name."""
        return {name: float(value) for name, value in self.form.values(self.theta).items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Intervals of the coefficients at the spec's level; empty without resamples."""
        if not len(self.draws):
            return {}
        point, draws = self.form.values(self.theta), self.form.values(self.draws)
        jackknife = None if self.jackknife is None else self.form.values(self.jackknife)
        found = {}
        for name, values in draws.items():
            left_out = None if jackknife is None else jackknife[name][:, None]
            low, high = interval(np.atleast_1d(point[name]), values[:, None], left_out, self.spec.level)
            found[name] = (float(low[0]), float(high[0]))
        return found

    def predict(self, *arguments: Array, noise: bool = False) -> tuple[Array, Array, Array]:
        """Predicted losses with intervals from the resamples.

        Args:
            *arguments: N and D and, of a distilled student, L_T, each of shape (k,); without L_T the supervised law
                under a distillation form is asked.
            noise: Whether the interval is for a new run (with the residual scatter of one run) or for the law.

        Returns:
            Prediction, lower and upper end at the spec's level, each of shape (k,).
        """
        arguments = tuple(np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in arguments)
        middle = np.asarray(evaluate(self.law, arguments))
        if not len(self.draws):
            return middle, np.full(middle.shape, np.nan), np.full(middle.shape, np.nan)
        many = evaluate(self._law(self.draws, trailing=1), arguments)
        many = np.broadcast_to(many, (len(self.draws), middle.size))  # a law that is held is the same in all resamples
        if noise:
            rng = np.random.default_rng(self.spec.seed)
            # Residuals of a fit are smaller than the errors of new runs by the freedom that the fit used.
            used = max(self.residuals.size - self.theta.size, 1)
            scatter = self.residuals * np.sqrt(self.residuals.size / used)
            many = many * np.exp(-rng.choice(scatter, size=many.shape))
        left_out = None
        if self.jackknife is not None:
            left_out = evaluate(self._law(self.jackknife, trailing=1), arguments)
            left_out = np.broadcast_to(left_out, (len(self.jackknife), middle.size))
        return middle, *interval(middle, many, left_out, self.spec.level)

    def _law(self, theta: Array, trailing: int = 0) -> Law:
        return self.form.law(theta, None if self.spec.joint else self.supervised, trailing=trailing)


def evaluate(law: Law, arguments: tuple[Array, ...]) -> Array:
    """Loss of a law of either kind: of N, D and L_T, or without L_T of a model trained alone."""
    if isinstance(law, SupervisedLaw):
        return law.loss(*arguments)
    return law.student_loss(*arguments) if len(arguments) == 3 else law.supervised.loss(*arguments)
