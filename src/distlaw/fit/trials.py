"""Forms tried on runs kept out: which of them, and how many coefficients, a table of runs determines.

A fit to its own runs always gains by more coefficients; a prediction beyond them often loses. So the cheaper runs are
fitted and the dearer ones predicted, over folds that leave ever more of the dear runs out. The form with the fewest
coefficients is taken, and a further one only where it predicts clearly better: paired over the folds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.described import percent
from distlaw.fit.fit import fit_law, thinned
from distlaw.fit.forms import FORMS
from distlaw.fit.holdout import forward_folds
from distlaw.fit.result import AT_BOUND, NOT_CONVERGED, FitResult, evaluate
from distlaw.fit.spec import FitSpec
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs, counted

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

FORMS_TRIED = ("effective-tokens", "effective-tokens-best-teacher", "distillation")
"""Forms of a distillation law that are tried, by their number of coefficients. peaked-tokens is not: on the published
students it leads over such folds, and on stronger runs that were kept apart it is biased."""
FEWEST_FOLDS = 3
"""With fewer folds that two forms can be fitted on, no form is called better."""
_LEVEL = 0.9
_GAIN = 0.1  # share of the error; a smaller gain is not worth a coefficient
_INCONSISTENT = 0.02  # relative; the law of an endless student would be that far from the supervised one
_EXACT = 1e-5  # of relative error; a smaller gain is rounding
_STARTS = 16
_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One form over the folds.

    Attributes:
        form: Key of `FORMS`.
        fixed: Coefficients held at a value.
        tied: Coefficient to the one that it equals.
        free: Number of free coefficients, those of a supervised law under it left out.
        errors: Mean relative error of the runs kept out of each fold, weighted by how far (in log compute) they lie
            beyond those fitted; NaN where it could not be fitted. Shape (folds,).
        far: Number of runs that were left out of the folds because they are far from the richest form.
        ruled_out: Why it is not taken however well it predicts; empty where nothing rules it out.
        taken: Whether it is the one taken.
    """

    form: str
    fixed: Mapping[str, float]
    tied: Mapping[str, str]
    free: int
    errors: Array
    far: int = 0
    ruled_out: str = ""
    taken: bool = False

    @property
    def error(self) -> float:
        """Mean over the folds that it was fitted on; NaN without any."""
        known = self.errors[np.isfinite(self.errors)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def name(self) -> str:
        """What it is called: `alpha = beta, gamma = 1`, or the form."""
        held = [f"{b} = {a}" for a, b in self.tied.items()] + [f"{a} = {b:g}" for a, b in self.fixed.items()]
        words = ", ".join(held)
        if self.form == "supervised":
            return words or "all coefficients free"
        return self.form + (f" ({words})" if words else "")


def exponents(spec: FitSpec) -> dict[str, FitSpec]:
    """Free exponents first, then tied and fixed ones; what the spec itself holds, or the form lacks, is not varied.

    Args:
        spec: How to fit.
    """
    free = set(FORMS[spec.form].coefficients) - {*spec.fixed, *spec.tied, *spec.tied.values()}
    tied, fixed = {**spec.tied, "beta": "alpha"}, {**spec.fixed, "gamma": 1.0}
    found = {"free": spec}
    if {"alpha", "beta"} <= free:
        found["alpha = beta"] = replace(spec, tied=tied)
    if "gamma" in free:
        found["gamma = 1"] = replace(spec, fixed=fixed)
    if {"alpha", "beta", "gamma"} <= free:
        found["alpha = beta, gamma = 1"] = replace(spec, tied=tied, fixed=fixed)
    return found


def try_supervised(runs: Runs, spec: FitSpec, progress: Progress | None = None) -> list[Tried]:
    """Supervised laws with free, tied and fixed exponents, the fewest coefficients first, one of them taken.

    Args:
        runs: Runs; those with a teacher are left out.
        spec: How to fit; of the supervised form.
        progress: Called with fits done and their total.
    """
    runs = thinned(runs.select(~runs.distilled))
    specs = sorted(exponents(spec).values(), key=free_in)
    return _taken(_try(runs, specs, progress, None))


def try_distillation(
    runs: Runs, spec: FitSpec, forms: tuple[str, ...], under: SupervisedLaw | FitSpec, progress: Progress | None = None
) -> list[Tried]:
    """Forms of a distillation law, the fewest coefficients first, one of them taken.

    Args:
        runs: Runs of both kinds.
        spec: How to fit; its form is replaced.
        forms: Keys of `FORMS`.
        under: The law that they rest on, or how it is fitted to the supervised runs of each fold; where these are too
            few, it is fitted to all of them.
        progress: Called with fits done and their total.
    """
    if isinstance(under, FitSpec):
        runs = thinned(runs)
        alone, runs = runs.select(~runs.distilled), runs.select(runs.distilled)
        whole = _law(alone, under)
        if whole is None:
            count = counted(len(alone), "supervised run")
            raise ValueError(f"{count} of the table do not determine the law under the forms: rest them on another law")
        cost = alone.student_params * alone.student_tokens

        def law_below(compute: float) -> SupervisedLaw:
            return _law(alone.select(cost <= compute), under) or whole
    else:
        runs = thinned(runs.select(runs.distilled))

        def law_below(compute: float) -> SupervisedLaw:
            del compute
            return under

    specs = [replace(spec, form=name, joint=False) for name in forms]
    return _taken(_try(runs, specs, progress, law_below))


def free_in(spec: FitSpec) -> int:
    """Number of coefficients that are neither fixed nor tied; of a joint fit, those of both laws."""
    both = FORMS["supervised"].names if spec.joint else ()
    return len(FORMS[spec.form].names) + len(both) - len(spec.fixed) - len(spec.tied)


def _richest(runs: Runs, specs: list[FitSpec], under: SupervisedLaw | None) -> FitResult | None:
    """The fit to all runs of the richest law that has enough of them; None where there is none."""
    for spec in reversed(specs):
        quick = replace(spec, starts=_STARTS, resamples=0)
        try:
            return fit_law(runs, quick, supervised=under, open_ends=False, far=True)
        except ValueError:
            continue
    return None


def _ruled_out(fit: FitResult) -> str:
    """Why a distillation law that predicts well is not taken all the same: the runs do not determine it."""
    if fit.form.kind == "supervised":
        return ""
    if fit.status == AT_BOUND:
        return f"on a bound of the search ({', '.join(fit.at_bound)})"
    if fit.consistency_error > _INCONSISTENT:
        return f"violates infinite-data consistency by {percent(fit.consistency_error)}"
    return ""


def _law(runs: Runs, spec: FitSpec) -> SupervisedLaw | None:
    """A supervised law; None where the runs do not determine it."""
    try:
        fit = fit_law(runs, replace(spec, starts=_STARTS, resamples=0), open_ends=False)
    except ValueError:
        return None
    return fit.law if fit.status != NOT_CONVERGED and isinstance(fit.law, SupervisedLaw) else None


def _try(
    runs: Runs,
    specs: list[FitSpec],
    progress: Progress | None,
    law_below: Callable[[float], SupervisedLaw] | None,
) -> list[Tried]:
    richest = _richest(runs, specs, None if law_below is None else law_below(np.inf))
    far = np.empty(0, dtype=np.intp) if richest is None else richest.far.rows  # these are no reason for a form
    ruled_out = {} if richest is None else {richest.spec.form: _ruled_out(richest)}
    runs = runs.select(np.setdiff1d(np.arange(len(runs)), far))
    folds = forward_folds(runs)
    errors = np.full((len(specs), len(folds)), np.nan)
    for j, (edge, label) in enumerate(folds):
        under = None if law_below is None else law_below(edge)
        for i, spec in enumerate(specs):
            errors[i, j] = _error(runs, edge, label, spec, under)
            if progress is not None:
                progress(j * len(specs) + i + 1, len(specs) * len(folds))
    return [
        Tried(
            form=spec.form,
            fixed=spec.fixed,
            tied=spec.tied,
            free=free_in(spec),
            errors=row,
            far=far.size,
            ruled_out=ruled_out.get(spec.form, ""),
        )
        for spec, row in zip(specs, errors, strict=True)
    ]


def _error(runs: Runs, edge: float, label: NDArray[np.int_], spec: FitSpec, under: SupervisedLaw | None) -> float:
    """Error on the runs beyond an edge, weighted by how far they lie beyond it; NaN where there is no fit."""
    try:
        fit = fit_law(
            runs.select(label == 0),
            replace(spec, starts=_STARTS, resamples=0),
            supervised=under,
            open_ends=False,
        )
    except ValueError:
        return float("nan")
    if fit.status == NOT_CONVERGED:
        return float("nan")
    out = runs.select(label == 1)
    arguments = (out.student_params, out.student_tokens, out.teacher_loss)[: 2 + (under is not None)]
    error = np.minimum(np.abs(evaluate(fit.law, arguments) / out.student_loss - 1), 1.0)
    return float(np.average(error, weights=np.log(out.student_params * out.student_tokens / edge)))


def _taken(tried: list[Tried]) -> list[Tried]:
    """The same with one of them taken: a form replaces one with fewer coefficients where it is clearly better."""
    best = next((i for i, one in enumerate(tried) if np.isfinite(one.errors).any()), 0)
    for i in range(best + 1, len(tried)):
        both = np.isfinite(tried[best].errors) & np.isfinite(tried[i].errors)
        before, after = tried[best].errors[both], tried[i].errors[both]
        if before.size < FEWEST_FOLDS or tried[i].ruled_out:
            continue
        gain = before - after
        if gain.mean() > max(_GAIN * before.mean(), _EXACT) and _clearly_positive(gain):
            best = i
    return [replace(one, taken=i == best) for i, one in enumerate(tried)]


def _clearly_positive(values: Array) -> bool:
    """Whether the mean of resampled values is positive in 95 of 100 cases."""
    k = values.size
    drawn = np.random.default_rng(0).multinomial(k, np.full(k, 1 / k), size=_DRAWS) @ values
    return bool(np.percentile(drawn, 50 * (1 - _LEVEL)) > 0)
