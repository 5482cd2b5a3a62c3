"""Fit a law to runs: problem, solver and solution apart, and a failure that says so."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.bootstrap import bootstrap, resample_weights
from distlaw.fit.forms import FORMS, Form, Law
from distlaw.fit.identify import not_identified
from distlaw.fit.objective import CONSISTENCY_SIZES, Objective, best_teacher, make_chart
from distlaw.laws import SupervisedLaw
from distlaw.runs import Accuracy, Runs, accuracy

Array = NDArray[np.float64]

CONVERGED, AT_BOUND, NOT_CONVERGED = "converged", "at bound", "not converged"
_SAME_OPTIMUM = 1e-4  # relative objective; below it two starts have found the same


@dataclass(frozen=True, kw_only=True)
class FitSpec:
    """How to fit.

    Attributes:
        form: Key of `FORMS`.
        loss: `huber` (on log losses), `lad` (least absolute), `log-squared`, or `squared` (on losses themselves).
        delta: Where the Huber loss turns linear, in log loss; the field uses 1e-4 and 1e-3.
        fixed: Coefficients held at a value, as `{"gamma": 1.0}`.
        tied: Coefficient to the one that it equals, as `{"beta": "alpha"}`.
        below: Factor on the weight of a run that ended worse than the law says; below 1 where runs may be under-tuned.
        consistency: Strength of the penalty on infinite-data inconsistency (appendix E.6); 0 is none.
        starts: Starts, from a scrambled grid (a Latin hypercube) over ranges that cover the paper's grid.
        resamples: Bootstrap resamples; 0 gives no intervals.
        clusters: What is resampled: `runs`, or all runs of a `teacher`, `student`, `seed` or `group` together.
        level: Coverage of intervals.
        seed: Of starts and resamples.
    """

    form: str = "distillation"
    loss: str = "huber"
    delta: float = 1e-3
    fixed: Mapping[str, float] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    below: float = 1.0
    consistency: float = 0.0
    starts: int = 128
    resamples: int = 4096
    clusters: str = "runs"
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
        if self.consistency and self.form == "supervised":
            raise ValueError("consistency holds a distillation law to a supervised one; the supervised form has none")
        if self.starts < 1:
            raise ValueError(f"starts must be 1 or more, got {self.starts}")
        if self.resamples < 0 or self.resamples == 1:
            raise ValueError(f"resamples must be 0 (none) or at least 2, got {self.resamples}")
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
        residuals: Log predicted over measured loss of each run.
        train: Errors on the fitted runs.
        consistency_error: Largest relative violation of infinite-data consistency; NaN for the supervised form.
        not_identified: Coefficients that the runs do not determine, with the reason.
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
    residuals: Array
    train: Accuracy
    consistency_error: float
    not_identified: Mapping[str, str]
    fitted_range: Mapping[str, tuple[float, float]]
    fingerprint: str
    warnings: tuple[str, ...] = ()

    @property
    def form(self) -> Form:
        """The fitted form."""
        return FORMS[self.spec.form]

    @property
    def law(self) -> Law:
        """The fitted law."""
        return self.form.law(self.theta, self.supervised)

    @property
    def coefficients(self) -> dict[str, float]:
        """The law's coefficients by name."""
        return {name: float(value) for name, value in self.form.values(self.theta).items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Percentile intervals of the coefficients at the spec's level; empty without resamples."""
        if not len(self.draws):
            return {}
        tail = 50 * (1 - self.spec.level)
        return {
            name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
            for name, values in self.form.values(self.draws).items()
        }

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
        many = evaluate(self.form.law(self.draws, self.supervised, trailing=1), arguments)
        if noise:
            rng = np.random.default_rng(self.spec.seed)
            # Residuals of a fit are smaller than the errors of new runs by the freedom that the fit used.
            used = max(self.residuals.size - self.theta.size, 1)
            scatter = self.residuals * np.sqrt(self.residuals.size / used)
            many = many * np.exp(-rng.choice(scatter, size=many.shape))
        tail = 50 * (1 - self.spec.level)
        return middle, np.percentile(many, tail, axis=0), np.percentile(many, 100 - tail, axis=0)


def evaluate(law: Law, arguments: tuple[Array, ...]) -> Array:
    """Loss of a law of either kind."""
    return law.loss(*arguments) if isinstance(law, SupervisedLaw) else law.student_loss(*arguments)


def fit_law(
    runs: Runs,
    spec: FitSpec,
    *,
    supervised: SupervisedLaw | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Fit one form to runs.

    Minimises ``sum_i w_i Huber(log L_pred - log L_meas, delta) / delta`` (appendix F) from many starts at once with an
    analytic Jacobian, then refits every bootstrap resample from the optimum. The supervised law is fitted first and
    held while the distillation law is fitted, as in the paper.

    Args:
        runs: Supervised runs for the supervised form, distilled runs for the others; the rest is left out.
        spec: How to fit.
        supervised: The supervised law that a distillation form rests on.
        progress: Called with resamples done and their total.

    Raises:
        ValueError: The runs cannot determine the form, or the spec does not fit it; says what is missing.
    """
    form = FORMS[spec.form]
    if (form.kind == "distillation") != (supervised is not None):
        raise ValueError(
            f"form '{form.name}' {'needs' if form.kind == 'distillation' else 'takes no'} supervised law to rest on"
        )
    runs = runs.select(runs.distilled == (form.kind == "distillation"))
    chart = make_chart(form, spec.fixed, spec.tied)
    warnings = _require_informative(runs, form, len(chart.names))
    objective = Objective(
        form, chart, runs, supervised, loss=spec.loss, delta=spec.delta, below=spec.below, consistency=spec.consistency
    )
    rng = np.random.default_rng(spec.seed)
    found = objective.solve(latin_hypercube(rng, spec.starts, chart.start), objective.weights, tolerance=1e-9)
    best = int(np.argmin(found.objective))
    # The best start walks on to the optimum in every digit; the others only had to show which basin they are in.
    final = objective.solve(found.theta[best : best + 1], objective.weights, tolerance=1e-10, damping=0.1, steps=5000)
    phi, value = final.theta[0], float(final.objective[0])
    reached = float(np.mean(found.objective <= value * (1 + _SAME_OPTIMUM)))
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
    draws, share = np.empty((0, theta.size)), float("nan")
    if ok and spec.resamples:
        counts = resample_weights(runs, spec.clusters, spec.resamples, rng)
        draws, share = bootstrap(objective, phi, counts, progress=progress)
    open_ends = not_identified(objective, phi, value) if ok else {}
    if share < 0.95:
        warnings.append(f"{1 - share:.0%} of the resamples did not converge: intervals may be too narrow")
    return FitResult(
        spec=spec,
        status=NOT_CONVERGED if not ok else AT_BOUND if at_bound else CONVERGED,
        theta=theta,
        supervised=supervised,
        objective=value,
        starts_reached=reached,
        at_bound=at_bound,
        draws=draws,
        draws_converged=share,
        residuals=residuals,
        train=accuracy(np.exp(residuals) * runs.student_loss, runs.student_loss),
        consistency_error=consistency_error(law, supervised) if law is not None and supervised else float("nan"),
        not_identified=open_ends,
        fitted_range=_ranges(runs),
        fingerprint=fingerprint(runs),
        warnings=tuple(warnings),
    )


def latin_hypercube(rng: np.random.Generator, count: int, limits: Array) -> Array:
    """A scrambled grid: along each axis every one of `count` slices of the range (2, q) holds one point."""
    q = limits.shape[1]
    slices = np.argsort(rng.random((q, count)), axis=1).T
    return limits[0] + (limits[1] - limits[0]) * (slices + rng.random((count, q))) / count


def consistency_error(law: Law, supervised: SupervisedLaw) -> float:
    """Largest relative violation of infinite-data consistency for N in [1e8, 1e11] (appendix E.6, eq. 35-37)."""
    assert not isinstance(law, SupervisedLaw)
    teacher = _best_teacher_of(law, supervised)
    distilled = law.student_loss(CONSISTENCY_SIZES, 1e30, teacher)
    return float(np.abs(distilled / supervised.infinite_data_loss(CONSISTENCY_SIZES) - 1).max())


def _best_teacher_of(law: Law, supervised: SupervisedLaw) -> Array:
    wide = replace(law, **{n: np.reshape(v, (1, 1, 1)) for n, v in vars(law).items() if n != "supervised"})
    return best_teacher(wide, CONSISTENCY_SIZES, supervised)[0]


def fingerprint(runs: Runs) -> str:
    """Hash of the runs that a fit saw."""
    columns = (runs.student_params, runs.student_tokens, runs.teacher_loss, runs.student_loss)
    return hashlib.sha256(b"".join(np.ascontiguousarray(c, dtype="<f8").tobytes() for c in columns)).hexdigest()[:16]


def _require_informative(runs: Runs, form: Form, free: int) -> list[str]:
    kind = "distilled" if form.kind == "distillation" else "supervised"
    if len(runs) < free + 3:
        raise ValueError(
            f"{len(runs)} {kind} runs are too few for {free} free coefficients: at least {free + 3} are needed"
        )
    columns = {"student_params": runs.student_params, "student_tokens": runs.student_tokens}
    if form.kind == "distillation":
        columns["teacher_loss"] = runs.teacher_loss
    for name, values in columns.items():
        if np.ptp(np.log(values)) < 1e-6:
            what = "one teacher loss only" if name == "teacher_loss" else f"{name} is the same in all runs"
            raise ValueError(f"{what} ({values[0]:g}): the runs say nothing about its effect")
    ratio = np.log(runs.student_tokens / runs.student_params)
    if np.ptp(ratio) < 0.05 and form.kind == "supervised":
        raise ValueError(
            f"all runs have {np.exp(ratio.mean()):.3g} tokens per parameter: size and data cannot be told apart on one"
            " ray; add runs at another ratio"
        )
    warnings = list(runs.warnings())
    if form.kind == "distillation":
        worst = float(runs.teacher_loss.max())
        if worst > np.log(300_000):
            warnings.append(f"a teacher has {worst:.3g} nats, worse than a uniform guess over any vocabulary in use")
        if np.unique(np.round(runs.teacher_loss, 6)).size < 4:
            warnings.append("fewer than four teacher losses: the form of their effect is taken on trust")
    return warnings


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
