"""Which run to do next: the candidate that says most, per FLOP, about a prediction or a verdict.

A fit's log loss at x is close to linear in its free coordinates, with derivatives J(x). Runs done leave the coordinates
with the covariance ``C = (P + sum_i w_i J_i J_i^T / s^2)^-1``, s being the scatter of one run; a run at x then takes
``(t^T C J(x))^2 / (s^2 + J(x)^T C J(x))`` off the variance of a target with derivatives t. P is a weak prior that keeps
finite what the runs leave open: each coordinate is known to the width of the range that its starts are drawn from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import erfc
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import CostModel, student_cost
from distlaw.fit.chart import Chart, make_chart
from distlaw.fit.fit import fingerprint, positions_fitted
from distlaw.fit.objective import Objective
from distlaw.fit.result import NOT_CONVERGED, FitResult
from distlaw.runs import RUN_COLUMNS, Caution, Column, Runs, one_line, read_table
from distlaw.runs.units import like_runs

Array = NDArray[np.float64]

TARGETS = ("prediction", "verdict")
_PLACE = ("student_params", "student_tokens", "teacher_loss")
_USUAL_SCATTER, _USUAL_RUNS = 0.003, 3  # of one run in log loss, and how many runs that guess is worth
_LAD = np.sqrt(np.pi / 2)  # what least absolute deviations lose against squares on normal errors
_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 999) for i in range(999)])


@dataclass(frozen=True, kw_only=True)
class Points:
    """Runs that are not done: where a law is asked, or could be measured.

    Attributes:
        student_params: N_S, shape (k,).
        student_tokens: D_S.
        teacher_loss: L_T; NaN for a supervised run.

    Raises:
        ValueError: A value is no size or loss; names its row.
    """

    student_params: Array
    student_tokens: Array
    teacher_loss: Array

    def __post_init__(self) -> None:
        checked = self.as_runs()
        for name in _PLACE:
            object.__setattr__(self, name, getattr(checked, name))

    def __len__(self) -> int:
        return self.student_params.size

    def as_runs(self) -> Runs:
        """The same as runs that all ended at 1 nat."""
        place = {name: getattr(self, name) for name in _PLACE}
        return Runs(student_loss=np.ones(np.size(self.student_params)), **place)


@dataclass(frozen=True, kw_only=True)
class Candidates(Points):
    """Runs that could be done next, each once: one that may be repeated stands in several rows.

    Attributes:
        flops: What each would cost, shape (k,).
        warnings: What its reader should know about the costs.
    """

    flops: Array
    warnings: tuple[Caution, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        flops = np.asarray(self.flops, dtype=np.float64)
        if flops.shape != (len(self),):
            raise ValueError(f"flops has the shape {flops.shape}, student_params has {len(self)} candidates")
        for i in np.flatnonzero(~(np.isfinite(flops) & (flops > 0))):
            raise ValueError(f"row {i + 1}: flops must be finite and above 0, got {flops[i]:g}")
        object.__setattr__(self, "flops", flops)

    def select(self, positions: NDArray[np.intp]) -> "Candidates":
        """The candidates at these positions."""
        columns = {name: getattr(self, name)[positions] for name in (*_PLACE, "flops")}
        return replace(self, **columns)


def read_candidates(
    path: Path,
    costs: CostModel | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, float] | None = None,
) -> Candidates:
    """Read a table of candidates: the columns of a table of runs, without losses of students.

    A row costs what its `compute` says or, where that is empty, ``3 F(N_S) D_S`` and, under a teacher whose
    `teacher_params` are given, ``F(N_T) D_S`` for its logits (eq. 9). A teacher that does not exist yet goes into
    `compute`.

    Args:
        path: CSV, Parquet or JSONL.
        costs: FLOPs per token by size; those of the paper's family by default.
        columns: What columns may be called besides, by their names, as in the table of runs.
        units: What columns of the table of runs were multiplied with (`Runs.units`); so are those here, unless they
            would be beyond all models.

    Raises:
        ValueError: See `read_table`; or a row has a student's loss.
    """
    known = {column.name: column for column in RUN_COLUMNS}
    done = known["student_loss"]
    names = (*_PLACE, "teacher_params", "compute")
    also = {name: (name_here,) for name, name_here in (columns or {}).items()}
    wanted = [replace(known[name], unless="", aliases=(*known[name].aliases, *also.get(name, ()))) for name in names]
    table = read_table(path, [*wanted, Column(name=done.name, aliases=done.aliases)])
    for i in np.flatnonzero(~np.isnan(table.numbers(done.name))):
        raise ValueError(f"{one_line(path)}: row {i + 1} has a student_loss: it is done, and no candidate")
    N, D, L_T, N_T, compute = (like_runs(name, table.numbers(name), units or {}) for name in names)
    forward = (costs or CostModel()).forward_flops
    priced = ~np.isnan(N_T) & ~np.isnan(L_T)
    F_T = np.where(priced, forward(np.where(priced, N_T, 1e9)), 0.0)
    counted = student_cost(F_S=forward(N), D_S=D, F_T=F_T, teacher_logits=1.0).total
    warnings = ()
    if (unpriced := np.flatnonzero(np.isnan(compute) & ~np.isnan(L_T) & ~priced)).size:
        text = (
            f"{unpriced.size} candidates, row {unpriced[0] + 1} the first, have neither compute nor teacher_params:"
            " their cost leaves the teacher's logits out"
        )
        warnings = (Caution("logits-not-counted", text),)
    flops = np.where(np.isnan(compute), counted, compute)
    return Candidates(student_params=N, student_tokens=D, teacher_loss=L_T, flops=flops, warnings=warnings)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """What is not known about a target.

    Attributes:
        deviation: Standard deviation of log L_S, for a verdict of log L_S - log L~_S, root mean square over the points:
            0.01 is 1 % of the loss.
        wrong_verdict: Probability that the sign of L_S - L~_S will be read wrongly, mean over the points; NaN for a
            prediction.
    """

    deviation: float
    wrong_verdict: float


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One run to do, after those suggested before it.

    Attributes:
        position: Of the candidate, from 0.
        flops: What it costs.
        total_flops: What it and those before it cost.
        before: What is not known before it.
        after: What is expected to be left after it.
        cheapest: What would be left if `total_flops` went to the cheapest candidates instead.
    """

    position: int
    flops: float
    total_flops: float
    before: Doubt
    after: Doubt
    cheapest: Doubt


def suggest(
    fit: FitResult,
    runs: Runs,
    candidates: Candidates,
    points: Points,
    *,
    target: str = "prediction",
    batch: int = 1,
    budget: float = np.inf,
) -> list[Suggestion]:
    """Choose the next runs one by one, each by what it tells per FLOP, given those chosen before it.

    For a prediction what counts is the variance of log L_S, summed over the points. For a verdict it is the variance of
    log L_S - log L~_S as a share of what it is now, weighted by the probability that the sign is wrong now, so that
    what is decided counts for nothing. (The expected fall of that probability cannot rank single runs: it is next to
    nothing for every run that cannot turn the verdict alone.) A supervised law that is not fitted jointly is taken as
    exact, and a consistency penalty is left out of account.

    Args:
        fit: A fit that converged.
        runs: What it was fitted to; runs that its form has no use for are left out.
        candidates: What could be run.
        points: Where the prediction or verdict is asked for.
        target: `prediction` or `verdict`.
        batch: Most runs to choose.
        budget: Most FLOPs that they may cost together.

    Returns:
        Suggestions in their order, at most `batch`; fewer where the budget or the candidates end.

    Raises:
        ValueError: The fit did not converge or is of other runs, a point or candidate does not suit its form, or the
            budget pays for no candidate.
    """
    if fit.status == NOT_CONVERGED:
        raise ValueError("the fit did not converge: it cannot say what to run next")
    if target not in TARGETS:
        raise ValueError(f"target '{target}' is unknown; choose {' or '.join(TARGETS)}")
    if batch < 1:
        raise ValueError(f"batch must be 1 or more, got {batch}")
    if (least := float(candidates.flops.min())) > budget:
        raise ValueError(f"no candidate is affordable: the cheapest costs {least:.3g} FLOPs, the budget is {budget:g}")
    _require_kind(fit, points, "point")
    _require_kind(fit, candidates, "candidate")
    done = _done(fit, runs)
    noise = scatter(fit.residuals, len(_chart(fit).names)) * (_LAD if fit.spec.loss in ("huber", "lad") else 1.0)
    C = covariance(sensitivity(fit, done)[1], done.weight, noise)
    _, J = sensitivity(fit, candidates.as_runs())
    margin, T = sensitivity(fit, points.as_runs())
    weights = np.ones(len(points))
    now = _deviations(T, C)
    if target == "verdict":
        alone, T_alone = _alone(fit, points)
        margin, T = margin - alone, T - T_alone
        now = _deviations(T, C)
        weights = np.maximum(wrong_verdict(margin, now, now), 1e-300) / now**2

    def doubt(C: Array) -> Doubt:
        then = _deviations(T, C)
        wrong = float(wrong_verdict(margin, now, then).mean()) if target == "verdict" else float("nan")
        return Doubt(deviation=float(np.sqrt(np.mean(then**2))), wrong_verdict=wrong)

    cheapest = np.argsort(candidates.flops, kind="stable")
    paid = np.cumsum(candidates.flops[cheapest])
    found, after, spent = [], C, 0.0
    for i in choose(C, J, candidates.flops, T, weights, noise, batch=batch, budget=budget):
        spent += float(candidates.flops[i])
        before, after, instead = after, learn(after, J[i], noise), C
        for j in cheapest[paid <= spent * (1 + 1e-12)]:
            instead = learn(instead, J[j], noise)
        found.append(
            Suggestion(
                position=i,
                flops=float(candidates.flops[i]),
                total_flops=spent,
                before=doubt(before),
                after=doubt(after),
                cheapest=doubt(instead),
            )
        )
    return found


def choose(
    C: Array, J: Array, flops: Array, T: Array, weights: Array, noise: float, *, batch: int, budget: float = np.inf
) -> list[int]:
    """Greedy choice by ``sum_j weights_j (T_j^T C J_i)^2 / (noise^2 + J_i^T C J_i) / flops_i``, C updated after each.

    Args:
        C: Covariance of the coordinates, shape (q, q).
        J: Derivatives of the candidates' log losses, shape (k, q).
        flops: Their costs, shape (k,).
        T: Derivatives of the targets, shape (m, q).
        weights: Of the targets, shape (m,).
        noise: Scatter of one run.
        batch: Most candidates to choose.
        budget: Most FLOPs.

    Returns:
        Positions of the chosen, in order.
    """
    chosen: list[int] = []
    left = np.ones(flops.size, dtype=bool)
    while len(chosen) < batch and (left := left & (flops <= budget)).any():
        JC = J @ C
        gain = (JC @ T.T) ** 2 @ weights / (noise**2 + (JC * J).sum(axis=1))
        i = int(np.argmax(np.where(left, gain / flops, -1.0)))
        chosen.append(i)
        left[i] = False
        budget -= float(flops[i])
        C = learn(C, J[i], noise)
    return chosen


def covariance(J: Array, weights: Array, noise: float) -> Array:
    """Covariance (q, q) of coordinates in units of their prior's width, after runs with derivatives J (n, q)."""
    precision: Array = np.eye(J.shape[1]) + (J.T * (weights / noise**2)) @ J
    return np.asarray(np.linalg.inv(precision), dtype=np.float64)


def learn(C: Array, x: Array, noise: float) -> Array:
    """The covariance after one more run with derivatives x (q,)."""
    Cx = C @ x
    return C - np.outer(Cx, Cx) / (noise**2 + x @ Cx)


def scatter(residuals: Array, free: int) -> float:
    """Standard deviation of one run's log loss, from the residuals of a fit with `free` coordinates.

    The median of their sizes counts, without the `free` smallest: a robust fit passes through as many runs. Few runs
    say little about it, so 0.3 %, which is usual, counts as three further runs.
    """
    left = np.sort(np.abs(residuals))[free:]
    measured = (np.median(left) / 0.6745) ** 2 * left.size if left.size else 0.0
    return float(np.sqrt((measured + _USUAL_RUNS * _USUAL_SCATTER**2) / (left.size + _USUAL_RUNS)))


def sensitivity(fit: FitResult, runs: Runs) -> tuple[Array, Array]:
    """A fit's residuals (n,), and derivatives (n, q) of its log losses by coordinates in units of the prior's width.

    Raises:
        ValueError: The law has no finite loss at a run; names it.
    """
    order = np.argsort(~runs.distilled, kind="stable")  # as the objective has them
    chart, supervised = _chart(fit), None if fit.spec.joint else fit.supervised
    objective = Objective(fit.form, chart, runs.select(order), supervised, loss="log-squared", delta=1.0)
    # Not from_theta, which keeps to the bounds: a fit in straightened coordinates may lie beyond those of log A.
    r, J = objective((fit.theta - chart.offset)[None] @ np.linalg.pinv(chart.M).T)
    r, J = r[0], J[0] * (chart.start[1] - chart.start[0])
    for i in order[~(np.isfinite(r) & np.isfinite(J).all(axis=1))]:
        at = ", ".join(f"{name} {getattr(runs, name)[i]:g}" for name in _PLACE)
        raise ValueError(f"the law has no finite loss at {at}")
    back = np.argsort(order)
    return r[back], J[back]


def wrong_verdict(margin: Array, before: Array, after: Array) -> Array:
    """Probability that a sign will be read wrongly once further runs have brought a deviation down.

    The truth is normal about `margin` with deviation `before`. The runs will put the estimate at m', normal about
    `margin` with variance before^2 - after^2, and its sign is then wrong with probability Phi(-|m'| / after); this is
    the mean of that.

    Args:
        margin: log L_S - log L~_S as estimated now, shape (k,).
        before: Its standard deviation now.
        after: Its standard deviation then, above 0 and not above `before`.
    """
    moved = np.sqrt(np.maximum(before**2 - after**2, 0.0))
    distance = np.abs(margin[:, None] + moved[:, None] * _QUANTILES) / after[:, None]
    return 0.5 * np.vectorize(erfc)(distance / np.sqrt(2.0)).mean(axis=1)


def space_filling(candidates: Candidates, count: int, *, done: Runs, budget: float = np.inf) -> list[int]:
    """Runs to do while there is no fit yet: each is the affordable candidate farthest from what is done or chosen.

    Distance is in log student_params, log student_tokens and log teacher_loss, each over its range.

    Args:
        candidates: What could be run.
        count: Most runs to choose.
        done: What was run already.
        budget: Most FLOPs that they may cost together.

    Returns:
        Positions of the chosen, in order; of those equally far the cheapest first.
    """
    place = [np.log(np.stack([getattr(x, name) for name in _PLACE], axis=1)) for x in (candidates, done)]
    X, near = (np.nan_to_num(x) for x in place)  # no teacher: as one of 1 nat
    both = np.concatenate([X, near])
    span = both.max(axis=0, initial=-np.inf) - both.min(axis=0, initial=np.inf)
    X, near = (x / np.where(span > 0, span, 1.0) for x in (X, near))
    distance = np.min(np.linalg.norm(X[:, None] - near, axis=2), axis=1, initial=np.inf)
    chosen: list[int] = []
    left = np.ones(len(candidates), dtype=bool)
    while len(chosen) < count and (left := left & (candidates.flops <= budget)).any():
        farthest = left & (distance >= distance[left].max())
        i = int(np.argmin(np.where(farthest, candidates.flops, np.inf)))
        chosen.append(i)
        left[i] = False
        budget -= float(candidates.flops[i])
        distance = np.minimum(distance, np.linalg.norm(X - X[i], axis=1))
    return chosen


def _chart(fit: FitResult) -> Chart:
    known, spec = set(fit.form.coefficients), fit.spec
    fixed = {name: value for name, value in spec.fixed.items() if name in known}
    return make_chart(fit.form, fixed, {a: b for a, b in spec.tied.items() if {a, b} <= known})


def _deviations(T: Array, C: Array) -> Array:
    # What a target does not move is certain; the floor lets it be divided by.
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", T, C, T), 1e-24))


def _done(fit: FitResult, runs: Runs) -> Runs:
    """The runs that a fit used."""
    used = runs.select(positions_fitted(runs, fit.spec))
    if fingerprint(used) != fit.fingerprint:
        raise ValueError("the runs are not those of the fit: give the table that it was fitted to")
    return used


def _require_kind(fit: FitResult, points: Points, what: str) -> None:
    if fit.spec.joint:
        return
    distilled = points.as_runs().distilled
    wanted = fit.form.kind == "distillation"
    for i in np.flatnonzero(distilled != wanted):
        has = "has a teacher_loss" if distilled[i] else "has no teacher_loss"
        kind = "distilled" if wanted else "supervised"
        raise ValueError(f"{what} {i + 1} {has}: form '{fit.form.name}' learns from {kind} runs alone")


def _alone(fit: FitResult, points: Points) -> tuple[Array, Array]:
    """Log of the supervised loss at points, and its derivatives: 0 where the supervised law is held."""
    if fit.form.kind == "supervised" or not points.as_runs().distilled.all():
        raise ValueError("a verdict weighs distilling against none: it needs a distillation form and a teacher_loss")
    if fit.spec.joint:
        return sensitivity(fit, replace(points, teacher_loss=np.full(len(points), np.nan)).as_runs())
    assert fit.supervised is not None
    loss = np.log(fit.supervised.loss(points.student_params, points.student_tokens))
    return loss, np.zeros((len(points), len(_chart(fit).names)))
