"""Fits side by side: losses, exponents, IsoFLOP profiles against the law, functional forms; same runs, same folds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from distlaw.fit.allocation import Allocation, fit_allocation
from distlaw.fit.described import description
from distlaw.fit.fit import fit_law
from distlaw.fit.form_scores import (
    HELD,
    LEVEL,
    NO_INTERVAL,
    Array,
    Comparison,
    Interval,
    Labels,
    Progress,
    Ticker,
    cross,
    free_coefficients,
    interval_of,
    leave_one_teacher_out,
    resampled_means,
    scores_of,
)
from distlaw.fit.forms import FORMS
from distlaw.fit.holdout import Fold, leave_one_out, rolling_folds
from distlaw.fit.isoflop import Profile, compute_of_each, fit_profiles, refusals
from distlaw.fit.objective import LOSSES
from distlaw.fit.result import NOT_CONVERGED, FitResult
from distlaw.fit.spec import FitSpec
from distlaw.fit.trials import exponents
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs

FOLDS = ("rolling", "teacher", "student")
CHINCHILLA_COMPUTE = 5.76e23
"""FLOPs of Chinchilla and Gopher (arXiv 2203.15556), at which fits of that law are compared."""

_ALL_FORMS = (
    *(form.name for form in FORMS.values() if form.kind == "distillation"),
    *(form + HELD for form in ("distillation", "exponential")),  # it holds exactly in the others
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One fit of the law among others that differ in the loss or in what is tied.

    Attributes:
        name: What is different, as `huber 1e-4` or `alpha = beta`.
        status: Status of the fit.
        coefficients: Of the fit on all runs, by name; empty where it did not converge.
        free: Number of free coefficients.
        objective: What was minimised; comparable between variants of one loss only.
        train_error: Mean absolute relative error over all runs.
        held_out_error: The same over the runs kept out of the rolling folds; NaN where there are no folds.
        held_out_interval: 90 % interval of that, by resampling folds.
        answers: What it says to the report's questions, shape (questions,).
        answer_intervals: Intervals of the answers under resampled runs, shape (questions, 2).
    """

    name: str
    status: str
    coefficients: Mapping[str, float]
    free: int
    objective: float
    train_error: float
    held_out_error: float
    held_out_interval: Interval
    answers: Array
    answer_intervals: Array


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a method splits compute: ``N* ~ C^a, D* ~ C^b``.

    Attributes:
        name: The method.
        a: Exponent of the best size.
        b: Exponent of the best number of tokens.
        a_interval: For a; NaN where there is none.
        b_interval: For b.
        params: N* at the report's computes, shape (computes,).
        params_intervals: Intervals of N*, shape (computes, 2).
        tokens_per_param: D* / N* there.
        tokens_per_param_intervals: Their intervals.
    """

    name: str
    a: float
    b: float
    a_interval: Interval
    b_interval: Interval
    params: Array
    params_intervals: Array
    tokens_per_param: Array
    tokens_per_param_intervals: Array


@dataclass(frozen=True, kw_only=True)
class Isoflop:
    """IsoFLOP profiles beside the parametric fit.

    Attributes:
        compute_from: Where the compute of a run comes from.
        profiles: All profiles; each that was refused says why.
        allocation: Power laws through their vertices; None with fewer than two.
        reason: Why there is no allocation; empty where there is one.
        splits: The profiles' (where there are enough) and the law's.
    """

    compute_from: str
    profiles: tuple[Profile, ...]
    allocation: Allocation | None
    reason: str
    splits: tuple[Split, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Fits of one law to one table, side by side.

    Attributes:
        kind: `supervised` or `distillation`.
        runs: Number of runs.
        computes: FLOPs at which a supervised law is asked for tokens per parameter; empty for a distillation law.
        points: (N_S, D_S, L_T) at which a distillation law is asked for the student's loss; empty for a supervised law.
        losses: The law under each loss.
        exponents: The law with free and with tied or fixed exponents.
        isoflop: Profiles against the law; None for a distillation law.
        forms: Functional forms, best first, for each kind of folds; empty for a supervised law.
        warnings: What a user should know.
    """

    kind: str
    runs: int
    computes: tuple[float, ...]
    points: tuple[tuple[float, float, float], ...]
    losses: tuple[Variant, ...]
    exponents: tuple[Variant, ...]
    isoflop: Isoflop | None
    forms: Mapping[str, tuple[Comparison, ...]]
    warnings: tuple[str, ...]


def compare(
    runs: Runs,
    spec: FitSpec,
    *,
    supervised: SupervisedLaw | None = None,
    folds: tuple[str, ...] = FOLDS,
    computes: tuple[float, ...] = (),
    points: tuple[tuple[float, float, float], ...] = (),
    tolerance: float = 0.1,
    progress: Progress | None = None,
) -> Report:
    """Fit one law in every way that is in use, and every form of it, and lay the answers side by side.

    The law is that of the spec, which holds for whatever a section does not vary: the section of losses varies loss and
    delta, that of exponents ties alpha and beta and fixes gamma at 1, that of forms varies the form.

    Args:
        runs: Runs; those of the other kind are left out.
        spec: How to fit; its resamples give the intervals of answers and the coverage of every fold.
        supervised: The supervised law that a distillation form rests on; None for the supervised form.
        folds: Which of `FOLDS` forms are compared over.
        computes: FLOPs to ask a supervised law about; ten times the largest of the runs and Chinchilla's by default.
        points: (N_S, D_S, L_T) to ask a distillation law about; by default the dearest student's size and tokens, both
            times the root of ten, with the best teacher of the runs.
        tolerance: Of IsoFLOP profiles, see `fit_profiles`.
        progress: Called with fits done and their total.

    Raises:
        ValueError: A fold kind is unknown, or the runs cannot determine the law; says what is missing.
    """
    kind = FORMS[spec.form].kind
    if unknown := [name for name in folds if name not in FOLDS]:
        raise ValueError(f"folds '{unknown[0]}' are unknown; choose among {', '.join(FOLDS)}")
    if spec.joint:
        raise ValueError("a joint fit is not compared: rest the forms on one supervised law")
    own = runs.distilled == (kind == "distillation")
    rows, runs, spec = 1 + np.flatnonzero(own), runs.select(own), replace(spec, level=LEVEL)
    reference = fit_law(runs, spec, supervised=supervised)  # refuses runs that determine nothing
    rolling, variants = rolling_folds(runs), (_losses(spec), exponents(spec))
    labels = {name: _folds(runs, name) for name in folds} if kind == "distillation" else {}
    total = sum(map(len, variants)) * (len(rolling) + 1) + sum(len(_ALL_FORMS) * (len(f) + 1) for f in labels.values())
    tick = Ticker(progress, total)
    described = () if reference.status == NOT_CONVERGED else description(reference, rows)
    warnings = [str(caution) for caution in (*described, *reference.warnings)]

    dearest = int(np.argmax(runs.student_params * runs.student_tokens))
    size, tokens = float(runs.student_params[dearest]), float(runs.student_tokens[dearest])
    if kind == "supervised":
        computes, points = computes or (60 * size * tokens, CHINCHILLA_COMPUTE), ()
    else:
        root = 10**0.5
        computes, points = (), points or ((size * root, tokens * root, float(runs.teacher_loss.min())),)
    isoflop = _isoflop(runs, reference, computes, tolerance) if kind == "supervised" else None
    if isoflop is not None:
        warnings += refusals(isoflop.profiles)
    sections = []
    for specs in variants:
        scored, dropped = cross(runs, specs, rolling, supervised, tick)
        fits = {name: tick.after(fit_law(runs, each, supervised=supervised)) for name, each in specs.items()}
        sections.append(tuple(_variant(name, fits[name], scored[name], computes, points) for name in specs))
        warnings += dropped
    forms = {}
    for name, found in labels.items():
        assert supervised is not None
        rows, dropped = scores_of(runs, _ALL_FORMS, found, supervised, spec, tick)
        forms[name] = tuple(rows)
        warnings += dropped
    return Report(
        kind=kind,
        runs=len(runs),
        computes=computes,
        points=points,
        losses=sections[0],
        exponents=sections[1],
        isoflop=isoflop,
        forms=forms,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _losses(spec: FitSpec) -> dict[str, FitSpec]:
    huber = {
        name: replace(spec, loss="huber", delta=delta) for name, delta in (("huber 1e-3", 1e-3), ("huber 1e-4", 1e-4))
    }
    return huber | {loss: replace(spec, loss=loss) for loss in LOSSES if loss != "huber"}


def _folds(runs: Runs, name: str) -> Labels:
    if name == "rolling":
        return rolling_folds(runs)
    return leave_one_teacher_out(runs) if name == "teacher" else leave_one_out(runs, "student_params")


def _variant(
    name: str,
    fit: FitResult,
    folds: list[Fold],
    computes: tuple[float, ...],
    points: tuple[tuple[float, float, float], ...],
) -> Variant:
    ok = fit.status != NOT_CONVERGED
    count = len(computes) + len(points)
    answers, ends = np.full(count, np.nan), np.full((count, 2), np.nan)
    if ok and points:
        answers, low, high = fit.predict(*np.array(points).T)
        ends = np.stack([low, high], axis=1)
    elif ok:
        N, D = _best_split(fit, computes)
        answers, ends = (D / N)[0], _ends((D / N)[1:])
    return Variant(
        name=name,
        status=fit.status,
        coefficients=fit.coefficients if ok else {},
        free=free_coefficients(fit),
        objective=fit.objective,
        train_error=fit.train.mean_abs_rel_error,
        held_out_error=float(np.concatenate([fold.errors for fold in folds]).mean()) if folds else float("nan"),
        held_out_interval=interval_of(resampled_means(folds, fit.spec.seed)) if folds else NO_INTERVAL,
        answers=answers,
        answer_intervals=ends,
    )


def _split(
    name: str, exponents: tuple[float, ...], best: tuple[Array, Array], exponent_draws: Array, N: Array, D: Array
) -> Split:
    a, b = (float(exponent) for exponent in exponents)
    a_interval, b_interval = (interval_of(draws) for draws in exponent_draws.T)
    return Split(
        name=name,
        a=a,
        b=b,
        a_interval=a_interval,
        b_interval=b_interval,
        params=best[0],
        params_intervals=_ends(N),
        tokens_per_param=best[1] / best[0],
        tokens_per_param_intervals=_ends(D / N),
    )


def _best_split(fit: FitResult, computes: tuple[float, ...]) -> tuple[Array, Array]:
    """N* and D* at each compute, shape (1 + resamples, computes): of the fit, then of each resample."""
    return _laws(fit, 1).compute_optimal(np.array(computes))


def _laws(fit: FitResult, trailing: int) -> SupervisedLaw:
    law = fit.form.law(np.concatenate([fit.theta[None], fit.draws]), trailing=trailing)
    assert isinstance(law, SupervisedLaw)
    return law


def _ends(draws: Array) -> Array:
    """Interval of each column of draws, shape (columns, 2); NaN without draws."""
    return np.array([interval_of(column) for column in draws.T])


def _isoflop(runs: Runs, law: FitResult, computes: tuple[float, ...], tolerance: float) -> Isoflop:
    """Profiles and their allocation beside that of the law."""
    cost, compute_from = compute_of_each(runs)
    profiles = fit_profiles(
        runs.student_params,
        runs.student_tokens,
        runs.student_loss,
        cost,
        weights=runs.weight,
        tolerance=tolerance,
        seed=law.spec.seed,
    )
    allocation, reason, splits = None, "", []
    try:
        allocation = fit_allocation(profiles)
    except ValueError as error:
        reason = str(error)
    else:
        draws = allocation.draws[:, :, 1], *allocation.resampled(computes)
        splits.append(_split("IsoFLOP profiles", (allocation.a, allocation.b), allocation.at(computes), *draws))
    if law.status != NOT_CONVERGED:
        exponents = np.stack(_laws(law, 0).compute_optimal_exponents, axis=1)
        N, D = _best_split(law, computes)
        splits.append(_split("the law", tuple(exponents[0]), (N[0], D[0]), exponents[1:], N[1:], D[1:]))
    return Isoflop(
        compute_from=compute_from,
        profiles=tuple(profiles),
        allocation=allocation,
        reason=reason,
        splits=tuple(splits),
    )
