"""Every distilled run predicted by a law that has not seen its teacher."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence.answer import CannotSay
from distlaw.fit import NOT_CONVERGED, FitSpec, fit_law, leave_one_teacher_out
from distlaw.fit.form_scores import HELD
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs, counted, predict_runs

Array = NDArray[np.float64]

_FEWEST_TEACHERS = 4


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Predictions of distilled runs by laws fitted without their teacher.

    Attributes:
        form: Key of `distlaw.fit.FORMS`, with ` + consistency` where it was held to that.
        predicted: Nats per token, shape (runs,).
        fold: Which law predicted each run, from 0: its teacher, or its group of teachers near in loss.
    """

    form: str
    predicted: Array
    fold: NDArray[np.intp]


def with_form(spec: FitSpec, form: str, *, resamples: int = 0) -> FitSpec:
    """The spec for a form, which ` + consistency` may follow."""
    return replace(spec, form=form.removesuffix(HELD), consistency=float(form.endswith(HELD)), resamples=resamples)


def predict_left_out(runs: Runs, supervised: SupervisedLaw, *, form: str, spec: FitSpec) -> LeftOut | CannotSay:
    """Predict every run of a table by the law of the other teachers.

    Args:
        runs: Distilled runs.
        supervised: The supervised law of them all; its runs may include teachers.
        form: Key of `distlaw.fit.FORMS`.
        spec: How to fit.
    """
    folds = leave_one_teacher_out(runs)
    if len(folds) < _FEWEST_TEACHERS:
        return CannotSay(because=f"{counted(len(folds), 'teacher')}, {_FEWEST_TEACHERS} are needed to leave one out")
    predicted, fold = np.full(len(runs), np.nan), np.zeros(len(runs), dtype=np.intp)
    for i, (name, label) in enumerate(folds):
        out = np.asarray(label) == 1
        try:
            fit = fit_law(runs.select(~out), with_form(spec, form), supervised=supervised, open_ends=False)
        except ValueError as error:
            return CannotSay(because=f"without the {name} the law is not determined ({error})")
        if fit.status == NOT_CONVERGED:
            return CannotSay(because=f"the fit without the {name} did not converge")
        predicted[out], fold[out] = predict_runs(fit.law, runs.select(out)), i
    return LeftOut(form=form, predicted=predicted, fold=fold)


def mean_by(values: Array, label: NDArray[np.intp]) -> Array:
    """Mean of the values of each label from 0."""
    return np.bincount(label, values) / np.bincount(label)


def resampled_mean(values: Array, cluster: NDArray[np.intp], *, draws: int, seed: Sequence[int]) -> Array:
    """Mean over all values when whole clusters are drawn with replacement, shape (draws,)."""
    _, cluster = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(cluster, values), np.bincount(cluster)
    k = sums.size
    drawn = np.random.default_rng(list(seed)).multinomial(k, np.full(k, 1 / k), size=draws)
    return (drawn @ sums) / (drawn @ counts)
