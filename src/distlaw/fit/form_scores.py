"""Functional forms side by side: the same runs, the same folds, errors on what was kept out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.fit import fit_law
from distlaw.fit.forms import FORMS, Law
from distlaw.fit.holdout import Fold, cross_validate
from distlaw.fit.result import NOT_CONVERGED, FitResult
from distlaw.fit.spec import FitSpec
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs

Array = NDArray[np.float64]
Interval = tuple[float, float]
Labels = list[tuple[str, NDArray]]
Progress = Callable[[int, int], None]

LEVEL = 0.9
"""Coverage of every interval of a comparison."""
NO_INTERVAL = (float("nan"), float("nan"))
HELD = " + consistency"
"""After the name of a form that is held to infinite-data consistency (appendix E.6)."""

_FOLD_RESAMPLES = 2000
_GAP = 1e-4  # nats; a shallower dip in L_T is rounding, not a best teacher
_WEAKEST = 1e6  # nats, for a teacher as good as random


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Which limits a distillation law must have it has, checked in numbers at the students and teachers of its runs.

    Attributes:
        endless_student: L_S -> L_T as N_S and D_S grow without bound.
        random_teacher: L_S -> L_T as L_T grows without bound.
        capacity_gap: L_S has a minimum in L_T above E for every student.
    """

    endless_student: bool = False
    random_teacher: bool = False
    capacity_gap: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One form over the folds.

    Attributes:
        form: Key of `FORMS`, with ` + consistency` where it was held to that.
        coefficients: Number of free coefficients, those of the supervised law left out.
        mean_error: Mean absolute relative error over all runs kept out; NaN where a fold's fit did not converge.
        interval: 90 % interval of that mean, by resampling folds; NaN with one fold.
        behind: 90 % interval of how far that mean is above the best form's, over the same folds; NaN with one fold, and
            None for the best.
        max_error: Largest error.
        coverage: Share of the runs kept out that lie inside their prediction interval; NaN without resamples.
        folds: The folds one by one.
        consistency_error: Largest violation of infinite-data consistency of the fit on all runs.
        limits: Limits of that fit.
        status: Status of that fit, and of how many folds the fit did not converge.
    """

    form: str
    coefficients: int
    mean_error: float
    interval: Interval
    behind: Interval | None
    max_error: float
    coverage: float
    folds: tuple[Fold, ...]
    consistency_error: float
    limits: Limits
    status: str

    @property
    def worst_fold(self) -> Fold:
        """The fold with the largest mean error."""
        return max(self.folds, key=lambda fold: np.nan_to_num(fold.errors.mean(), nan=np.inf))


def compare_forms(
    runs: Runs,
    forms: tuple[str, ...],
    folds: Labels,
    *,
    supervised: SupervisedLaw,
    spec: FitSpec | None = None,
    resamples: int = 200,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Functional forms on the same runs and the same folds, best first by held-out error.

    Args:
        runs: Distilled runs.
        forms: Keys of `FORMS`; one followed by ` + consistency` is held to infinite-data consistency.
        folds: As from `rolling_folds`, `leave_one_out` or `leave_one_teacher_out`.
        supervised: The supervised law under all of them.
        spec: How to fit; its form, consistency and resamples are replaced.
        resamples: Of the fit of each fold, for the coverage of its prediction intervals; 0 gives none.
        progress: Called with fits done and their total.

    Raises:
        ValueError: A form is unknown, or there is no fold that all forms can be fitted on.
    """
    spec = replace(spec or FitSpec(), resamples=resamples)
    rows, dropped = scores_of(runs, forms, folds, supervised, spec, Ticker(progress, len(forms) * (len(folds) + 1)))
    if not rows:
        raise ValueError(f"no fold is left to compare forms on; {'; '.join(dropped) or 'none was given'}")
    return rows


def leave_one_teacher_out(runs: Runs, most: int = 12) -> Labels:
    """Folds that leave out all runs of one teacher, in at most `most` groups of teachers near in loss.

    A teacher is told by its label (`Runs.teacher_of_each`), so one that was measured twice is left out whole.
    """
    label = runs.teacher_of_each()
    loss = {int(i): float(runs.teacher_loss[label == i].mean()) for i in np.unique(label[label >= 0])}
    ordered = sorted(loss, key=lambda i: loss[i])
    folds = []
    for group in np.array_split(ordered, min(most, len(ordered))):
        first, last = loss[int(group[0])], loss[int(group[-1])]
        name = f"teacher of {first:.4g} nats" if group.size == 1 else f"teachers of {first:.4g} to {last:.4g} nats"
        folds.append((name, np.isin(label, group).astype(int)))
    return folds


def check_limits(law: Law, runs: Runs) -> Limits:
    """The limits of a distillation law at the students and teachers of runs."""
    assert not isinstance(law, SupervisedLaw)
    _, first = np.unique(runs.student_of_each(), return_index=True)
    N, D = runs.student_params[first, None], runs.student_tokens[first, None]
    endless = law.student_loss(np.inf, np.inf, runs.teacher_loss)
    random = law.student_loss(N, D, _WEAKEST)
    floor = float(np.asarray(law.supervised.E)) or 1e-6
    along = law.student_loss(N, D, np.geomspace(floor * (1 + 1e-6), 100.0, 400))
    return Limits(
        endless_student=bool((np.abs(endless / runs.teacher_loss - 1) < 1e-6).all()),
        random_teacher=bool((np.abs(random - _WEAKEST) < 1e-3).all()),
        capacity_gap=bool((along[:, 0] - along.min(axis=1) > _GAP).all()),
    )


class Ticker:
    """Counts fits for a progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, fits: int) -> None:
        """So many fits more are done."""
        self.done += fits
        if self.progress is not None:
            self.progress(self.done, self.total)

    def after(self, fit: FitResult) -> FitResult:
        """A fit that was done, counted."""
        self(1)
        return fit


def scores_of(
    runs: Runs, forms: tuple[str, ...], folds: Labels, supervised: SupervisedLaw, spec: FitSpec, tick: Ticker
) -> tuple[list[Comparison], list[str]]:
    """Rows of a comparison, best first, and the folds that were left out; no rows where no fold is left."""
    specs = {name: _spec_of(name, spec) for name in forms}
    scored, dropped = cross(runs, specs, folds, supervised, tick)
    if not any(scored.values()):
        return [], dropped
    means = {name: resampled_means(scored[name], spec.seed) for name in forms}
    overall = {name: float(np.concatenate([fold.errors for fold in scored[name]]).mean()) for name in forms}
    ordered = sorted(forms, key=lambda name: np.nan_to_num(overall[name], nan=np.inf))
    rows = []
    for name in ordered:
        whole = tick.after(fit_law(runs, replace(specs[name], resamples=0), supervised=supervised))
        no_law = whole.status == NOT_CONVERGED
        done = tuple(scored[name])
        failed = sum(fold.status == NOT_CONVERGED for fold in done)
        sizes = [fold.errors.size for fold in done]
        rows.append(
            Comparison(
                form=name,
                coefficients=free_coefficients(whole),
                mean_error=overall[name],
                interval=interval_of(means[name]),
                behind=None if name == ordered[0] else interval_of(means[name] - means[ordered[0]]),
                max_error=float(np.concatenate([fold.errors for fold in done]).max()),
                coverage=float(np.average([fold.coverage for fold in done], weights=sizes)),
                folds=done,
                consistency_error=whole.consistency_error,
                limits=Limits() if no_law else check_limits(whole.law, runs),
                status=whole.status + (f", no fit in {failed} of {len(done)} folds" if failed else ""),
            )
        )
    return rows, dropped


def cross(
    runs: Runs, specs: Mapping[str, FitSpec], folds: Labels, supervised: SupervisedLaw | None, tick: Ticker
) -> tuple[dict[str, list[Fold]], list[str]]:
    """Every spec on every fold; a fold that one of them cannot be fitted on is left out for all of them, and named."""
    kept: dict[str, list[Fold]] = {name: [] for name in specs}
    dropped = []
    for fold in folds:
        try:
            found = [cross_validate(runs, spec, [fold], supervised=supervised)[0] for spec in specs.values()]
        except ValueError as error:
            dropped.append(f"fold '{fold[0]}' is left out: {error}")
        else:
            for name, one in zip(specs, found, strict=True):
                kept[name].append(one)
        tick(len(specs))
    return kept, dropped


def resampled_means(folds: list[Fold], seed: int) -> Array:
    """Mean error over the runs of resampled folds; the same folds are drawn for every form that has as many.

    One fold tells nothing of how another would come out: no means are given.
    """
    if len(folds) < 2:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(folds), np.full(len(folds), 1 / len(folds)), size=_FOLD_RESAMPLES)
    sums, counts = np.array([[fold.errors.sum(), fold.errors.size] for fold in folds]).T
    return (draws @ sums) / (draws @ counts)


def interval_of(values: Array) -> Interval:
    """Percentile interval of draws; NaN without any."""
    if not values.size:
        return NO_INTERVAL
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def free_coefficients(fit: FitResult) -> int:
    """Number of coefficients that were neither fixed nor tied."""
    return fit.theta.size - len(fit.spec.fixed) - len(fit.spec.tied)


def _spec_of(form: str, spec: FitSpec) -> FitSpec:
    """The spec for another form: what is fixed or tied stays so where the form has it."""
    name = form.removesuffix(HELD)
    known = set(FORMS[name].coefficients) if name in FORMS else set()
    fixed = {key: value for key, value in spec.fixed.items() if key in known}
    tied = {key: other for key, other in spec.tied.items() if {key, other} <= known}
    return replace(spec, form=name, consistency=float(form.endswith(HELD)), fixed=fixed, tied=tied)
