"""Whether a teacher's size and tokens matter to a student besides the teacher's loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence.answer import LEVEL, CannotSay, Verdict
from distlaw.evidence.chance import t_quantile
from distlaw.evidence.left_out import mean_by, resampled_mean, with_form
from distlaw.evidence.noise import SeedNoise
from distlaw.fit import NOT_CONVERGED, FitSpec, fit_law, leave_one_teacher_out
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs, counted, predict_runs

Array = NDArray[np.float64]

TERMS = ("teacher_params", "teacher_tokens")
_FEWEST_TEACHERS = 6
_LEAST_SPREAD = float(np.log(1.25))  # of the term between teachers of equal loss, standard deviation of the logarithm
_RESAMPLES = 2000
_WIDEST = 3.0  # standard errors by noise alone: how far the first look at an exponent goes


@dataclass(frozen=True, kw_only=True)
class ExtraTerm:
    """A factor ``(x / x0)^b`` on the student's loss, x being the teacher's size or tokens.

    Attributes:
        term: `teacher_params` or `teacher_tokens`.
        form: The form that it was added to.
        teachers: Number of teachers.
        spread: Standard deviation of log x between teachers of equal loss: what tells the term from that of the loss.
        exponent: b, fitted together with the law.
        interval: 90 % interval of it, by leaving out one teacher at a time (jackknife).
        residual_slope: Slope of the held-out residuals in log x at equal teacher loss, one point a teacher.
        residual_interval: 90 % interval of that.
        error_without: Mean absolute relative error of runs whose teacher was left out, by the law.
        error_with: The same with the term, fitted without that teacher as well.
        gain: Their difference; positive: the term helps.
        gain_interval: 90 % interval of it, by resampling teachers.
        noise: Seed noise of one run, a relative standard deviation.
        verdict: Whether the loss says it all: `does not hold` where the term lowers the held-out error, b is not 0 and
            the held-out residuals slope the same way, all three beyond their intervals (each alone is claimed too
            often with few teachers); `holds` where they do not, and b's interval times the spread stays below the seed
            noise of one run; otherwise `undecided`.
    """

    term: str
    form: str
    teachers: int
    spread: float
    exponent: float
    interval: tuple[float, float]
    residual_slope: float
    residual_interval: tuple[float, float]
    error_without: float
    error_with: float
    gain: float
    gain_interval: tuple[float, float]
    noise: float
    verdict: Verdict


def through_loss(
    runs: Runs, supervised: SupervisedLaw, *, term: str, noise: SeedNoise, form: str, spec: FitSpec
) -> ExtraTerm | CannotSay:
    """Fit a law with and without a term in the teacher's size or tokens, on all teachers but one each time.

    Args:
        runs: Distilled runs.
        supervised: The supervised law that the form rests on.
        term: One of `TERMS`.
        noise: Seed noise.
        form: Key of `distlaw.fit.FORMS`.
        spec: How to fit.

    Raises:
        ValueError: The term is unknown.
    """
    if term not in TERMS:
        raise ValueError(f"term '{term}' is unknown; choose {' or '.join(TERMS)}")
    x = np.log(getattr(runs, term))
    runs, x = runs.select(np.isfinite(x)), x[np.isfinite(x)]
    teacher = runs.teacher_of_each()
    count = int(teacher.max(initial=-1)) + 1
    if count < _FEWEST_TEACHERS:
        there = counted(count, "teacher has", "teachers have")
        return CannotSay(because=f"{there} a known {term}, {_FEWEST_TEACHERS} are needed")
    log_loss, at = mean_by(np.log(runs.teacher_loss), teacher), mean_by(x, teacher)
    base = np.stack([np.ones(count), log_loss - log_loss.mean(), (log_loss - log_loss.mean()) ** 2], axis=1)
    own = at - base @ np.linalg.lstsq(base, at, rcond=None)[0]
    spread = float(np.sqrt((own**2).sum() / (count - 3)))
    if spread < _LEAST_SPREAD:
        because = (
            f"teachers of equal loss differ in {term} by {np.expm1(spread):.0%} only: its effect is that of the loss"
        )
        return CannotSay(because=because)
    x = x - at.mean()
    std = noise.pooled.relative_std
    reach = _WIDEST * std / spread
    try:
        b, _ = _fit_with(runs, x, supervised, form, spec, reach)
        folds = leave_one_teacher_out(runs, most=count)
        plain, extended, left = np.empty(len(runs)), np.empty(len(runs)), []
        for _, label in folds:
            seen, out = np.asarray(label) == 0, np.asarray(label) == 1
            fold_b, laws = _fit_with(runs.select(seen), x[seen], supervised, form, spec, reach)
            left.append(fold_b)
            plain[out], extended[out] = (predict_runs(law, runs.select(out)) for law in laws)
            extended[out] *= np.exp(fold_b * x[out])
    except ValueError as error:
        return CannotSay(because=f"the law is not determined without one of the teachers ({error})")
    half = t_quantile(LEVEL, count - 1) * jackknife_error(left)
    residual = mean_by(np.log(runs.student_loss / plain), teacher)
    slope, slope_half = _partial_slope(residual, own, base)
    errors = [np.abs(predicted / runs.student_loss - 1) for predicted in (plain, extended)]
    gains = resampled_mean(errors[0] - errors[1], teacher, draws=_RESAMPLES, seed=(spec.seed, 4))
    low, high = np.percentile(gains, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    if low > 0 and abs(b) > half and slope * np.sign(b) > slope_half:
        verdict: Verdict = "does not hold"
    else:
        verdict = "holds" if (abs(b) + half) * spread < std else "undecided"
    return ExtraTerm(
        term=term,
        form=form,
        teachers=count,
        spread=spread,
        exponent=b,
        interval=(b - half, b + half),
        residual_slope=slope,
        residual_interval=(slope - slope_half, slope + slope_half),
        error_without=float(errors[0].mean()),
        error_with=float(errors[1].mean()),
        gain=float((errors[0] - errors[1]).mean()),
        gain_interval=(float(low), float(high)),
        noise=std,
        verdict=verdict,
    )


def jackknife_error(left: Sequence[float]) -> float:
    """Standard error of an estimate from its values with one of the teachers left out each."""
    return float(np.sqrt((len(left) - 1) * np.var(left)))


def _fit_with(runs: Runs, x: Array, supervised: SupervisedLaw, form: str, spec: FitSpec, reach: float):  # noqa: ANN202
    """Exponent with the lowest objective, and the laws without and with it.

    The objective is close to a parabola in b: its vertex is looked for twice, the second time from nearer by.
    """
    fits = {}

    def objective(b: float) -> float:
        if b not in fits:
            scaled = _replace_loss(runs, runs.student_loss * np.exp(-b * x))
            fits[b] = fit_law(scaled, with_form(spec, form), supervised=supervised, open_ends=False)
            if fits[b].status == NOT_CONVERGED:
                raise ValueError("the fit did not converge")
        return fits[b].objective

    centre, step = 0.0, reach
    for _ in range(3):
        left, middle, right = (objective(b) for b in (centre - step, centre, centre + step))
        bend = left - 2 * middle + right
        shift = 0.5 * (left - right) / bend if bend > 0 else np.sign(left - right)
        centre, step = centre + step * float(np.clip(shift, -2.0, 2.0)), step / 3
    objective(centre)
    b = min(fits, key=lambda b: fits[b].objective)
    return float(b), (fits[0.0].law, fits[b].law)


def _replace_loss(runs: Runs, loss: Array) -> Runs:
    return Runs(**{**vars(runs), "student_loss": loss})


def _partial_slope(residual: Array, own: Array, base: Array) -> tuple[float, float]:
    """Slope of the teachers' residuals in what of the term their loss does not explain, and half its interval."""
    free = residual.size - base.shape[1] - 1
    rest = residual - base @ np.linalg.lstsq(base, residual, rcond=None)[0]
    slope = float(own @ rest / (own @ own))
    if free < 1:
        return slope, float("inf")
    error = float(np.sqrt(((rest - slope * own) ** 2).sum() / free / (own @ own)))
    return slope, t_quantile(LEVEL, free) * error
