"""Fit a law to runs: problem, solver and solution apart, and a failure that says so."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.bootstrap import interval, leave_out_weights, refit, resample_weights
from distlaw.fit.chart import make_chart, straightened
from distlaw.fit.forms import FORMS, UNDER, Form, Law, joint_form
from distlaw.fit.identify import Profile, identify
from distlaw.fit.informative import Caution, require_informative
from distlaw.fit.objective import Objective, best_teacher, consistency_sizes
from distlaw.laws import SupervisedLaw
from distlaw.runs import Accuracy, Runs, accuracy

Array = NDArray[np.float64]

CONVERGED, AT_BOUND, NOT_CONVERGED = "converged", "at bound", "not converged"
INTERVALS = ("percentile", "bca")
_SAME_OPTIMUM = 1e-4  # relative objective; below it two starts have found the same
_SAME_VALLEY = 0.05  # relative objective; a start that is further above the best will not come down to it


@dataclass(frozen=True, kw_only=True)
class FitSpec:
    """How to fit.

    Attributes:
        form: Key of `FORMS`.
        joint: Whether a distillation form is fitted together with the supervised law under it, to runs of both kinds;
            that law's coefficients are then named `supervised E` and so on.
        loss: `huber` (on log losses), `lad` (least absolute), `log-squared`, or `squared` (on losses themselves).
        delta: Where the Huber loss turns linear, in log loss; the field uses 1e-4 and 1e-3.
        fixed: Coefficients held at a value, as `{"gamma": 1.0}`.
        tied: Coefficient to the one that it equals, as `{"beta": "alpha"}`.
        below: Factor on the weight of a run that ended worse than the law says; below 1 where runs may be under-tuned.
        consistency: Strength of the penalty on infinite-data inconsistency (appendix E.6); 0 is none.
        starts: Starts, from a scrambled grid (a Latin hypercube) over ranges that cover the paper's grid.
        resamples: Bootstrap resamples; 0 gives no intervals.
        clusters: What is resampled: `runs`, or all runs of a `teacher`, `student`, `seed` or `group` together.
        intervals: `percentile`, or `bca` (bias-corrected and accelerated) at the price of one refit a run or cluster.
        level: Coverage of intervals.
        seed: Of starts and resamples.
    """

    form: str = "distillation"
    joint: bool = False
    loss: str = "huber"
    delta: float = 1e-3
    fixed: Mapping[str, float] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    below: float = 1.0
    consistency: float = 0.0
    starts: int = 128
    resamples: int = 4096
    clusters: str = "runs"
    intervals: str = "percentile"
    level: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form '{self.form}' is unknown; choose one of {', '.join(FORMS)}")
        if not (np.isfinite(self.delta) and self.delta > 0):
            raise ValueError(f"delta must be positive, got {self.delta}")
        if not (np.isfinite(self.below) and self.below > 0):
            raise ValueError(f"below must be positive, got {self.below}")
        if not (np.isfinite(self.consistency) and self.consistency >= 0):
            raise ValueError(f"consistency must be 0 or more, got {self.consistency}")
        if self.form == "supervised" and (self.consistency or self.joint):
            word = "consistency holds" if self.consistency else "a joint fit ties"
            raise ValueError(f"{word} a distillation law to a supervised one; the supervised form has none")
        if self.starts < 1:
            raise ValueError(f"starts must be 1 or more, got {self.starts}")
        if self.resamples < 0 or self.resamples == 1:
            raise ValueError(f"resamples must be 0 (none) or at least 2, got {self.resamples}")
        if self.intervals not in INTERVALS:
            raise ValueError(f"intervals '{self.intervals}' are unknown; choose {' or '.join(INTERVALS)}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")


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
        residuals: Log predicted over measured loss of each run.
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
        return _form(self.spec)

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
            *arguments: N and D, and for a distillation form L_T, each of shape (k,).
            noise: Whether the interval is for a new run (with the residual scatter of one run) or for the law.

        Returns:
            Prediction, lower and upper end at the spec's level, each of shape (k,).
        """
        arguments = tuple(np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in arguments)
        middle = np.asarray(evaluate(self.law, arguments))
        if not len(self.draws):
            return middle, np.full(middle.shape, np.nan), np.full(middle.shape, np.nan)
        many = evaluate(self._law(self.draws, trailing=1), arguments)
        if noise:
            rng = np.random.default_rng(self.spec.seed)
            # Residuals of a fit are smaller than the errors of new runs by the freedom that the fit used.
            used = max(self.residuals.size - self.theta.size, 1)
            scatter = self.residuals * np.sqrt(self.residuals.size / used)
            many = many * np.exp(-rng.choice(scatter, size=many.shape))
        left_out = None if self.jackknife is None else evaluate(self._law(self.jackknife, trailing=1), arguments)
        return middle, *interval(middle, many, left_out, self.spec.level)

    def _law(self, theta: Array, trailing: int = 0) -> Law:
        return self.form.law(theta, None if self.spec.joint else self.supervised, trailing=trailing)


def _form(spec: FitSpec) -> Form:
    return joint_form(FORMS[spec.form]) if spec.joint else FORMS[spec.form]


def evaluate(law: Law, arguments: tuple[Array, ...]) -> Array:
    """Loss of a law of either kind."""
    return law.loss(*arguments) if isinstance(law, SupervisedLaw) else law.student_loss(*arguments)


def fit_law(
    runs: Runs,
    spec: FitSpec,
    *,
    supervised: SupervisedLaw | None = None,
    open_ends: bool = True,
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
        progress: Called with resamples done and their total.

    Raises:
        ValueError: The runs cannot determine the form, or the spec does not fit it; says what is missing.
    """
    form = _form(spec)
    if (form.kind == "distillation" and not spec.joint) != (supervised is not None):
        needs = "needs a supervised law to rest on" if supervised is None else "takes no supervised law"
        raise ValueError(f"form '{form.name}'{' fitted jointly' if spec.joint else ''} {needs}")
    runs = runs.select(np.argsort(~runs.distilled, kind="stable"))  # distilled runs first, as the objective has them
    if not spec.joint:
        runs = runs.select(runs.distilled == (form.kind == "distillation"))
    warnings = require_informative(runs, form, make_chart(form, spec.fixed, spec.tied).names, supervised)
    objective = _objective(form, spec, runs, supervised)
    chart = objective.chart
    rng = np.random.default_rng(spec.seed)
    starts, found = _search(runs, spec, supervised, rng)
    # What ended near the best walks on, as a valley may be long; the rest is in another basin.
    near = starts[found <= found.min() * (1 + _SAME_VALLEY)]
    walked = objective.solve(near, objective.weights, tolerance=1e-10, damping=0.1, steps=1000)
    best = int(np.argmin(walked.objective))
    # Along a valley without end every step still gains a little: what no longer gains 1e-9 has arrived.
    last = walked.theta[best : best + 1]
    final = objective.solve(last, objective.weights, tolerance=1e-9, damping=0.1, steps=5000)
    phi, value = final.theta[0], float(final.objective[0])
    reached = float(np.sum(walked.objective <= value * (1 + _SAME_OPTIMUM)) / spec.starts)
    at_bound = tuple(
        name
        for name, x, low, high in zip(chart.names, phi, chart.low, chart.high, strict=True)
        if x <= low or x >= high
    )
    ok = bool(final.converged[0]) and np.isfinite(value)
    theta = chart.theta(phi[None])[0]
    law = form.law(theta, supervised) if ok else None
    residuals = objective(phi[None])[0][0][: len(runs)] if ok else np.full(len(runs), np.nan)
    if spec.loss == "squared" and ok:
        residuals = np.log1p(residuals / runs.student_loss)
    draws, share, jackknife = np.empty((0, theta.size)), float("nan"), None
    if ok and spec.resamples:
        draws, share = refit(
            objective, phi, resample_weights(runs, spec.clusters, spec.resamples, rng), progress=progress
        )
        if spec.intervals == "bca":
            jackknife, _ = refit(objective, phi, leave_out_weights(runs, spec.clusters))
    left_open = identify(objective, phi, value) if ok and open_ends else None
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
        train=accuracy(np.exp(residuals) * runs.student_loss, runs.student_loss),
        consistency_error=inconsistency,
        not_identified=left_open.not_identified if left_open else {},
        profiles=left_open.profiles if left_open else {},
        open_ranges=left_open.ranges if left_open else {},
        fitted_range=_ranges(runs),
        fingerprint=fingerprint(runs),
        warnings=tuple(warnings),
    )


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


def _search(
    runs: Runs, spec: FitSpec, supervised: SupervisedLaw | None, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Where the starts end, free coordinates (starts, q), and the objective there.

    What is hard to reach is approached in stages, each from the ends of the last: a distillation law under a held
    supervised law and without a penalty, then with the penalty, then both laws free.
    """
    stages, theta_under = [], np.empty(0)
    distilled, held = runs, supervised
    if spec.joint:
        distilled = runs.select(runs.distilled)
        under = {name.removeprefix(UNDER): value for name, value in spec.fixed.items() if name.startswith(UNDER)}
        alone = replace(spec, form="supervised", joint=False, consistency=0.0, fixed=under, tied={}, resamples=0)
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
        both = _objective(_form(spec), spec, runs, None)
        theta = stages[-1].chart.theta(found.theta)
        theta = np.concatenate([theta, np.tile(theta_under, (theta.shape[0], 1))], axis=1)
        found = both.solve(both.chart.from_theta(theta), both.weights, tolerance=1e-9, damping=0.1)
    return found.theta, found.objective


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
