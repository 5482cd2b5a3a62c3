"""Laws fitted on the weaker runs, asked for runs of several times the compute of any that they saw."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence.answer import LEVEL, CannotSay
from distlaw.evidence.cells import gather
from distlaw.evidence.left_out import with_form
from distlaw.evidence.noise import SeedNoise
from distlaw.fit import NOT_CONVERGED, FitResult, FitSpec, fit_law, score
from distlaw.fit.form_scores import HELD
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs, counted, predict_runs

Array = NDArray[np.float64]

_RESAMPLES = 2000
JOINT = " + joint"
"""After the name of a form that is fitted together with the supervised law under it, to runs of both kinds, so that its
intervals hold what is open about that law; otherwise that law is taken as exact, as in the paper."""
EXTRAPOLATED = (
    "supervised",
    "distillation",
    f"distillation{HELD}",
    f"distillation{JOINT}",
    "effective-tokens",
    f"effective-tokens{JOINT}",
    "peaked-tokens",
    f"peaked-tokens{JOINT}",
)
"""Eq. 1; eq. 8 free, held to infinite-data consistency, and joint; the forms of extra tokens."""


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """One law beyond the runs that it was fitted to.

    Attributes:
        form: Key of `distlaw.fit.FORMS`, with ` + consistency` where it was held to that, or ` + joint`, see `JOINT`.
        fitted_compute: FLOPs of the dearest fitted run, of either kind.
        times: Every run kept out has at least this multiple of it.
        fitted_runs: Runs of the law's kind that it was fitted to.
        held_out_runs: Runs kept out.
        held_out_cells: Their cells.
        largest_times: Compute of the dearest run kept out over that of the dearest fitted one.
        mean_error: Mean absolute relative error of the cells kept out, each averaged over its seeds.
        interval: 90 % interval of it, by resampling cells.
        max_error: Largest of them.
        bias: Mean signed relative error of the cells; negative: the law is too hopeful.
        run_mean_error: Mean absolute relative error of the runs kept out.
        run_max_error: Largest of them.
        noise_error: What `mean_error` would be if seed noise were all that is wrong; NaN where the noise is not known.
        coverage: Share of the runs kept out inside their 90 % interval for a new run.
        status: Status of the fit.
        measured: Loss of each cell: those kept out, then those fitted.
        predicted: What the law says of them.
        held_out: Which cells were kept out.
    """

    form: str
    fitted_compute: float
    times: float
    fitted_runs: int
    held_out_runs: int
    held_out_cells: int
    largest_times: float
    mean_error: float
    interval: tuple[float, float]
    max_error: float
    bias: float
    run_mean_error: float
    run_max_error: float
    noise_error: float
    coverage: float
    status: str
    measured: Array
    predicted: Array
    held_out: NDArray[np.bool_]


def extrapolate(
    runs: Runs,
    *,
    noise: SeedNoise | None,
    spec: FitSpec,
    forms: Sequence[str] = EXTRAPOLATED,
    times: float = 4.0,
    fitted_compute: float | None = None,
    fewest_cells: int = 5,
) -> dict[str, Extrapolation | CannotSay]:
    """Fit each form on the runs up to a compute and score it on those of at least `times` as much.

    No run above the threshold is seen, of either kind: a distillation law rests on a supervised law of the same weaker
    part. Runs between the two are left aside. The losses of teachers are given, whatever those cost.

    Args:
        runs: Runs of both kinds, with their compute.
        noise: Seed noise; None where it is not known.
        spec: How to fit; form and consistency are replaced, and its resamples give the coverage.
        forms: Keys of `distlaw.fit.FORMS`, ` + consistency` after those to be held to that, or ` + joint`.
        times: Least multiple of the dearest fitted run's compute, above 1.
        fitted_compute: FLOPs up to which runs are fitted; by default, for each kind, the most that leaves
            `fewest_cells` cells to be predicted.
        fewest_cells: Cells that must be kept out.

    Raises:
        ValueError: `times` is not above 1, or a form is unknown.
    """
    if not (np.isfinite(times) and times > 1):
        raise ValueError(f"times must be above 1, got {times}")
    found: dict[str, Extrapolation | CannotSay] = {}
    cells, member = gather(runs)
    # One compute a cell: its runs may have shared their teacher's passes with different students.
    runs = replace(runs, compute=cells.compute[member])
    runs = runs.select(~np.isnan(runs.compute))
    alone: dict[float, FitResult | CannotSay] = {}
    for form in forms:
        own = runs.distilled == (form != "supervised")
        limit = _threshold(runs, own, times, fewest_cells) if fitted_compute is None else fitted_compute
        if isinstance(limit, CannotSay):
            found[form] = limit
            continue
        if limit not in alone:
            alone[limit] = _fit(runs.select(runs.compute <= limit), replace(spec, form="supervised"), None)
        found[form] = _one(runs, own, form, limit, alone[limit], noise, spec, times, fewest_cells)
    return found


def _threshold(runs: Runs, own: NDArray[np.bool_], times: float, fewest: int) -> float | CannotSay:
    """The most compute of a fitted run that leaves enough cells of a kind at `times` as much or more."""
    cells, _ = gather(runs.select(own))
    if len(cells) < fewest:
        there = counted(len(cells), "cell")
        return CannotSay(because=f"{there} of this kind with a known compute, {fewest} are needed")
    highest = np.sort(cells.compute)[-fewest] / times
    below = runs.compute[runs.compute <= highest * (1 + 1e-9)]
    if not below.size:
        return CannotSay(because=f"no {fewest} cells have {times:g} times the compute of the cheapest run")
    return float(below.max())


def _fit(runs: Runs, spec: FitSpec, supervised: SupervisedLaw | None) -> FitResult | CannotSay:
    try:
        fit = fit_law(runs, spec, supervised=supervised, open_ends=False)
    except ValueError as error:
        return CannotSay(because=f"the weaker part does not determine the law ({error})")
    if fit.status == NOT_CONVERGED:
        return CannotSay(because="the fit on the weaker part did not converge")
    return fit


def _one(
    runs: Runs,
    own: NDArray[np.bool_],
    form: str,
    limit: float,
    alone: FitResult | CannotSay,
    noise: SeedNoise | None,
    spec: FitSpec,
    times: float,
    fewest: int,
) -> Extrapolation | CannotSay:
    if isinstance(alone, CannotSay):
        return alone
    seen = runs.compute <= limit
    most = float(runs.compute[seen].max())
    # 1 part in 1e9: computes that were meant to be the multiple itself
    kept_out = runs.select(own & (runs.compute >= times * most * (1 - 1e-9)))
    fitted = runs.select(own & seen)
    fit = alone
    if form != "supervised":
        assert isinstance(alone.law, SupervisedLaw)
        joint = form.endswith(JOINT)
        wanted = replace(with_form(spec, form.removesuffix(JOINT), resamples=spec.resamples), joint=joint)
        fit = _fit(runs.select(seen) if joint else fitted, wanted, None if joint else alone.law)
        if isinstance(fit, CannotSay):
            return fit
    cells, member = gather(kept_out)
    if len(cells) < fewest:
        there = counted(len(cells), "cell has", "cells have")
        because = f"{there} {times:g} times the compute of the dearest fitted run; {fewest} are needed"
        return CannotSay(because=because)
    old, old_member = gather(fitted)
    run_predicted = predict_runs(fit.law, kept_out)
    predicted = _by_cell(run_predicted, member)
    error = predicted / cells.loss - 1
    run_error = np.abs(run_predicted / kept_out.student_loss - 1)
    rng = np.random.default_rng([spec.seed, 3])
    draws = np.abs(error)[rng.integers(error.size, size=(_RESAMPLES, error.size))].mean(axis=1)
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    by_noise = np.full(error.size, np.nan) if noise is None else noise.relative(cells.student_tokens)
    scored = score(fit, kept_out)
    return Extrapolation(
        form=form,
        fitted_compute=most,
        times=times,
        fitted_runs=len(fitted),
        held_out_runs=len(kept_out),
        held_out_cells=len(cells),
        largest_times=float(kept_out.compute.max() / most),
        mean_error=float(np.abs(error).mean()),
        interval=(float(low), float(high)),
        max_error=float(np.abs(error).max()),
        bias=float(error.mean()),
        run_mean_error=float(run_error.mean()),
        run_max_error=float(run_error.max()),
        noise_error=float((by_noise * np.sqrt(2 / np.pi / cells.runs)).mean()),
        coverage=scored.coverage,
        status=fit.status,
        measured=np.concatenate([cells.loss, old.loss]),
        predicted=np.concatenate([predicted, _by_cell(predict_runs(fit.law, fitted), old_member)]),
        held_out=np.arange(len(cells) + len(old)) < len(cells),
    )


def _by_cell(predicted: Array, member: NDArray[np.intp]) -> Array:
    """One prediction a cell: runs of a cell differ in nothing that a law knows, but for rounding."""
    return np.exp(np.bincount(member, np.log(predicted)) / np.bincount(member))
