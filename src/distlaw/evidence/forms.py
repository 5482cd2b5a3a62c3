"""Which form of the distillation law predicts best out of sample, on these runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence.answer import LEVEL, CannotSay
from distlaw.evidence.left_out import resampled_mean
from distlaw.fit import Comparison, FitSpec, compare_forms, leave_one_teacher_out, rolling_folds
from distlaw.fit.form_scores import HELD
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs

Array = NDArray[np.float64]

COMPARED = (
    f"distillation{HELD}",
    "distillation",
    "exponential",
    "effective-tokens",
    "effective-tokens-best-teacher",
    "peaked-tokens",
)
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class FormScore:
    """One form over one kind of folds.

    Attributes:
        form: Key of `distlaw.fit.FORMS`, with ` + consistency` where it was held to that.
        coefficients: Number of free coefficients.
        mean_error: Mean absolute relative error of the runs kept out.
        max_error: Largest.
        gain: Mean error of the form measured against less that of this form; positive: this form is better.
        gain_interval: 90 % interval of that, paired, by resampling what is independent: teachers where they were left
            out, students (size and tokens) where tiers of compute were.
        verdict: `better`, `worse` or `no difference` than the form measured against, by that interval; `no verdict`
            where there is one fold, or one cluster to resample.
        status: Status of the fit on all runs, and in how many folds it failed.
    """

    form: str
    coefficients: int
    mean_error: float
    max_error: float
    gain: float
    gain_interval: tuple[float, float]
    verdict: str
    status: str


@dataclass(frozen=True, kw_only=True)
class FormScores:
    """Forms by held-out error, best first.

    Attributes:
        folds: `rolling` (the next tier of student compute) or `teacher` (all runs of one teacher).
        count: Number of folds.
        runs: Runs kept out, all folds together.
        against: What gains are measured against: eq. 8 held to infinite-data consistency, or the first after it whose
            fit converged in every fold.
        scores: The forms.
    """

    folds: str
    count: int
    runs: int
    against: str
    scores: tuple[FormScore, ...]

    @property
    def best(self) -> str:
        """Form with the least held-out error."""
        return self.scores[0].form


def score_forms(
    runs: Runs, supervised: SupervisedLaw, *, spec: FitSpec, forms: Sequence[str] = COMPARED
) -> Mapping[str, FormScores | CannotSay]:
    """Forms over rolling folds and over teachers left out.

    All forms rest on one supervised law of all supervised runs; `extrapolation` asks the stricter question, where that
    is kept from the stronger runs too.

    Args:
        runs: Distilled runs.
        supervised: The supervised law.
        spec: How to fit.
        forms: Keys of `distlaw.fit.FORMS`; the others are measured against the first that has a fit in every fold.
    """
    labels = {"rolling": rolling_folds(runs), "teacher": leave_one_teacher_out(runs)}
    clusters = {"rolling": runs.student_of_each(), "teacher": runs.teacher_of_each()}
    found: dict[str, FormScores | CannotSay] = {}
    for name, folds in labels.items():
        try:
            rows = compare_forms(runs, tuple(forms), folds, supervised=supervised, spec=spec, resamples=0)
        except ValueError as error:
            found[name] = CannotSay(because=str(error))
            continue
        kept = {fold.name for fold in rows[0].folds}
        cluster = np.concatenate([clusters[name][np.asarray(label) == 1] for fold, label in folds if fold in kept])
        errors = {row.form: np.concatenate([fold.errors for fold in row.folds]) for row in rows}
        against = next((form for form in forms if np.isfinite(errors[form]).all()), forms[0])
        found[name] = FormScores(
            folds=name,
            count=len(kept),
            runs=cluster.size,
            against=against,
            scores=tuple(_score(row, errors, cluster, against, spec.seed, len(kept)) for row in rows),
        )
    return found


def _verdict(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else "no difference"


def _score(
    row: Comparison, errors: Mapping[str, Array], cluster: NDArray[np.intp], reference: str, seed: int, folds: int
) -> FormScore:
    gain = errors[reference] - errors[row.form]
    low, high = (float("nan"), float("nan"))
    judged = folds > 1 and np.unique(cluster).size > 1
    if judged and np.isfinite(gain).all():
        draws = resampled_mean(gain, cluster, draws=_RESAMPLES, seed=(seed, 6))
        low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return FormScore(
        form=row.form,
        coefficients=row.coefficients,
        mean_error=row.mean_error,
        max_error=row.max_error,
        gain=float(gain.mean()),
        gain_interval=(float(low), float(high)),
        verdict=_verdict(low, high) if judged else "no verdict",
        status=row.status,
    )
