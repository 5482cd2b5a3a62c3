"""Fit a law to runs: problem, solver and solution apart, and a failure that says so."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.bootstrap import leave_out_weights, refit, resample_weights
from distlaw.fit.chart import Chart, make_chart, straightened
from distlaw.fit.far import find_far, log_residuals, no_far
from distlaw.fit.forms import FORMS, Form, Law
from distlaw.fit.identify import identify
from distlaw.fit.informative import require_informative
from distlaw.fit.objective import Objective, best_teacher, consistency_sizes
from distlaw.fit.result import AT_BOUND, CONVERGED, NOT_CONVERGED, FitResult
from distlaw.fit.spec import FitSpec, form_of, under_spec
from distlaw.laws import SupervisedLaw
from distlaw.runs import Caution, Runs, accuracy

Array = NDArray[np.float64]

_SAME_OPTIMUM = 1e-4  # relative objective; below it two starts have found the same
_SAME_VALLEY = 0.05  # relative objective; a start that is further above the best will not come down to it


def fit_law(
    runs: Runs,
    spec: FitSpec,
    *,
    supervised: SupervisedLaw | None = None,
    open_ends: bool = True,
    far: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Fit one form to runs.

    Minimises ``sum_i w_i Huber(log L_pred - log L_meas, delta) / delta`` (appendix F) from many starts at once with an
    analytic Jacobian, then refits every bootstrap resample from the optimum. As in the paper, the supervised law is
    fitted first and held while the distillation law is fitted; a joint fit goes on from there with both laws free.

    Args:
        runs: Supervised runs for the supervised form, distilled runs for the others; the rest is left out. A joint fit
            uses both.
        spec: How to fit.
        supervised: The supervised law that a distillation form rests on; None for the supervised form and a joint fit.
        open_ends: Whether to look for coordinates that the runs do not determine, which takes most of the time of a fit
            without resamples; a fold of a hold-out is asked for predictions alone.
        far: Whether to look for runs far from the law; as `open_ends` where that is not said.
        progress: Called with resamples done and their total.

    Raises:
        ValueError: The runs cannot determine the form, or the spec does not fit it; says what is missing.
    """
    form = form_of(spec)
    if (form.kind == "distillation" and not spec.joint) != (supervised is not None):
        needs = "needs a supervised law to rest on" if supervised is None else "takes no supervised law"
        raise ValueError(f"form '{form.name}'{' fitted jointly' if spec.joint else ''} {needs}")
    positions = positions_fitted(runs, spec)
    runs = runs.select(positions)
    warnings = require_informative(runs, form, make_chart(form, spec.fixed, spec.tied).names, supervised)
    objective = _objective(form, spec, runs, supervised)
    chart = objective.chart
    rng = np.random.default_rng(spec.seed)
    near, share_of_each = _near(runs, spec, supervised, objective, rng)
    walked = objective.solve(near, objective.weights, tolerance=1e-10, damping=0.1, steps=1000)
    best = int(np.argmin(walked.objective))
    # Along a valley without end every step still gains a little: what no longer gains 1e-9 has arrived.
    last = walked.theta[best : best + 1]
    final = objective.solve(last, objective.weights, tolerance=1e-9, damping=0.1, steps=5000)
    phi, value = final.theta[0], float(final.objective[0])
    reached = float(share_of_each[walked.objective <= value * (1 + _SAME_OPTIMUM)].sum())
    at_bound = tuple(
        name
        for name, x, low, high in zip(chart.names, phi, chart.low, chart.high, strict=True)
        if x <= low or x >= high
    )
    ok = bool(final.converged[0]) and np.isfinite(value)
    theta = chart.theta(phi[None])[0]
    law = form.law(theta, supervised) if ok else None
    residuals = log_residuals(objective, phi) if ok else np.full(len(runs), np.nan)
    draws, share, jackknife = np.empty((0, theta.size)), float("nan"), None
    if ok and spec.resamples:
        draws, share = refit(
            objective, phi, resample_weights(runs, spec.clusters, spec.resamples, rng), progress=progress
        )
        if spec.intervals == "bca":
            jackknife, _ = refit(objective, phi, leave_out_weights(runs, spec.clusters))
    left_open = identify(objective, phi, value) if ok and open_ends else None
    look_far = open_ends if far is None else far
    if share < 0.95:
        text = f"{1 - share:.0%} of the resamples did not converge: intervals may be too narrow"
        warnings.append(Caution("resamples", text))
    rests_on = law.supervised if law is not None and not isinstance(law, SupervisedLaw) else supervised
    inconsistency = float("nan")
    if law is not None and rests_on is not None:
        students = runs.student_params[runs.distilled]
        inconsistency = consistency_error(law, rests_on, consistency_sizes(students))
    return FitResult(
        spec=spec,
        status=NOT_CONVERGED if not ok else AT_BOUND if at_bound else CONVERGED,
        theta=theta,
        supervised=rests_on,
        objective=value,
        starts_reached=reached,
        at_bound=at_bound,
        draws=draws,
        draws_converged=share,
        jackknife=jackknife,
        residuals=residuals,
        positions=positions,
        far=find_far(objective, phi, positions) if ok and look_far else no_far(residuals, runs.student_loss),
        train=accuracy(np.exp(residuals) * runs.student_loss, runs.student_loss),
        consistency_error=inconsistency,
        not_identified=left_open.not_identified if left_open else {},
        profiles=left_open.profiles if left_open else {},
        open_ranges=left_open.ranges if left_open else {},
        fitted_range=_ranges(runs),
        fingerprint=fingerprint(runs),
        warnings=tuple(warnings),
    )


def positions_fitted(runs: Runs, spec: FitSpec) -> NDArray[np.intp]:
    """Positions of the runs that a fit uses: distilled ones first, as the objective has them."""
    order = np.argsort(~runs.distilled, kind="stable")
    if spec.joint:
        return order
    return order[runs.distilled[order] == (FORMS[spec.form].kind == "distillation")]


def _objective(form: Form, spec: FitSpec, runs: Runs, supervised: SupervisedLaw | None) -> Objective:
    known = set(form.coefficients)
    fixed = {name: value for name, value in spec.fixed.items() if name in known}
    tied = {name: other for name, other in spec.tied.items() if name in known and other in known}
    return Objective(
        form,
        straightened(make_chart(form, fixed, tied), runs),
        runs,
        supervised,
        loss=spec.loss,
        delta=spec.delta,
        below=spec.below,
        consistency=spec.consistency,
    )


def _near(
    runs: Runs, spec: FitSpec, supervised: SupervisedLaw | None, objective: Objective, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Where the starts end that end near the best, and the share of all starts that each stands for.

    These walk on, as a valley may be long; the rest is in another basin. Many runs are thinned out for the search; what
    ended at the same place on the fewer runs then walks on once.
    """
    sample = thinned(runs)
    chart, starts, found = _search(sample, spec, supervised, rng)
    near = np.flatnonzero(found <= found.min() * (1 + _SAME_VALLEY))
    if sample is runs:
        return starts[near], np.full(near.size, 1 / spec.starts)
    _, first, counts = np.unique(np.round(np.log(found[near]), 6), return_index=True, return_counts=True)
    return objective.chart.from_theta(chart.theta(starts[near[first]])), counts / spec.starts


def thinned(runs: Runs, most: int = 512) -> Runs:
    """At most so many of the runs of each kind, evenly over their compute; the same runs where they are not more."""
    chosen = []
    for kind in (True, False):
        own = np.flatnonzero(runs.distilled == kind)
        own = own[np.argsort((runs.student_params * runs.student_tokens)[own], kind="stable")]
        chosen.append(own[np.linspace(0, own.size - 1, min(most, own.size)).round().astype(np.intp)])
    kept = np.sort(np.concatenate(chosen))
    return runs if kept.size == len(runs) else runs.select(kept)


def _search(
    runs: Runs, spec: FitSpec, supervised: SupervisedLaw | None, rng: np.random.Generator
) -> tuple[Chart, Array, Array]:
    """A chart, where the starts end in it, free coordinates (starts, q), and the objective there.

    What is hard to reach is approached in stages, each from the ends of the last: a distillation law under a held
    supervised law and without a penalty, then with the penalty, then both laws free.
    """
    stages, theta_under = [], np.empty(0)
    distilled, held = runs, supervised
    if spec.joint:
        distilled = runs.select(runs.distilled)
        alone = replace(under_spec(spec), resamples=0)
        first = fit_law(runs, alone)
        held, theta_under = first.law, first.theta
        assert isinstance(held, SupervisedLaw)
    if spec.consistency:
        stages.append(_objective(FORMS[spec.form], replace(spec, consistency=0.0), distilled, held))
    stages.append(_objective(FORMS[spec.form], spec, distilled, held))
    phi = stages[0].chart.from_linear(latin_hypercube(rng, spec.starts, stages[0].chart.start))
    found = stages[0].solve(phi, stages[0].weights, tolerance=1e-9)
    for stage in stages[1:]:
        found = stage.solve(found.theta, stage.weights, tolerance=1e-9, damping=0.1)
    if spec.joint:
        both = _objective(form_of(spec), spec, runs, None)
        theta = stages[-1].chart.theta(found.theta)
        theta = np.concatenate([theta, np.tile(theta_under, (theta.shape[0], 1))], axis=1)
        found = both.solve(both.chart.from_theta(theta), both.weights, tolerance=1e-9, damping=0.1)
        return both.chart, found.theta, found.objective
    return stages[-1].chart, found.theta, found.objective


def latin_hypercube(rng: np.random.Generator, count: int, limits: Array) -> Array:
    """A scrambled grid: along each axis every one of `count` slices of the range (2, q) holds one point."""
    q = limits.shape[1]
    slices = np.argsort(rng.random((q, count)), axis=1).T
    return limits[0] + (limits[1] - limits[0]) * (slices + rng.random((count, q))) / count


def consistency_error(law: Law, supervised: SupervisedLaw, sizes: Array) -> float:
    """Largest relative violation of infinite-data consistency at these N (appendix E.6, eq. 35-37)."""
    assert not isinstance(law, SupervisedLaw)
    wide = replace(law, **{n: np.reshape(v, (1, 1, 1)) for n, v in vars(law).items() if n != "supervised"})
    teacher = best_teacher(wide, sizes)[0]
    distilled = law.student_loss(sizes, 1e30, teacher)
    return float(np.abs(distilled / supervised.infinite_data_loss(sizes) - 1).max())


def fingerprint(runs: Runs) -> str:
    """Hash of the runs that a fit saw."""
    columns = (runs.student_params, runs.student_tokens, runs.teacher_loss, runs.student_loss)
    return hashlib.sha256(b"".join(np.ascontiguousarray(c, dtype="<f8").tobytes() for c in columns)).hexdigest()[:16]


def _ranges(runs: Runs) -> dict[str, tuple[float, float]]:
    columns = {
        "student_params": runs.student_params,
        "student_tokens": runs.student_tokens,
        "teacher_loss": runs.teacher_loss,
        "teacher_params": runs.teacher_params,
        "teacher_tokens": runs.teacher_tokens,
    }
    present = {n: v[np.isfinite(v)] for n, v in columns.items() if v is not None and np.isfinite(v).any()}
    return {name: (float(values.min()), float(values.max())) for name, values in present.items()}
