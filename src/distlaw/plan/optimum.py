"""Global optima of eq. 10 for any law, many problems at once.

The search uses two facts. The student sees the teacher through L_T alone, so the teachers are scanned by their loss;
and for a given L_T the best teacher is the one that leaves most tokens for the student, which is a problem with one
minimum over the split of L_T into N_T and D_T and knows nothing of the student's law. What remains is a scan over one
smooth variable, which finds every basin, and a local refinement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.costs import CostModel, Flops, student_cost
from distlaw.laws import StudentLaw, TeacherLaw, laws_in, map_coefficients
from distlaw.laws.search import bisect_decreasing, minimise, minimise_nested
from distlaw.plan.problem import Bounds

Array = NDArray[np.float64]

_CHUNK = 256  # problems solved together: the widest array stays below 10 MB
_UNREACHABLE = 1e3  # above any log FLOPs; adding the missed loss leads the search back to where the target is reached


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """Solutions of a batch of problems; every array has the batch's shape.

    Attributes:
        feasible: Whether the budget allows any plan within the bounds (or any budget reaches the target). The other
            arrays hold NaN where it does not.
        student_loss: L_S, nats per token.
        student_tokens: D_S.
        teacher_loss: L_T, nats per token; NaN for supervised training.
        teacher_params: N_T; NaN for supervised training.
        teacher_tokens: D_T; NaN for supervised training.
        flops: What it costs, by part.
    """

    feasible: NDArray[np.bool_]
    student_loss: Array
    student_tokens: Array
    teacher_loss: Array
    teacher_params: Array
    teacher_tokens: Array
    flops: Flops

    def __getitem__(self, index: Any) -> "Optimum":  # noqa: ANN401
        """Part of the batch."""
        shape = np.shape(self.feasible)
        flops = {name: np.broadcast_to(part, shape)[index] for name, part in vars(self.flops).items()}
        arrays = {name: value[index] for name, value in vars(self).items() if name != "flops"}
        return Optimum(flops=Flops(**flops), **arrays)


def supervised_optimum(
    law: TeacherLaw,
    N_S: ArrayLike,
    *,
    compute: ArrayLike = np.inf,
    student_tokens: ArrayLike = np.inf,
    target_loss: ArrayLike | None = None,
    bounds: Bounds | None = None,
    costs: CostModel | None = None,
) -> Optimum:
    """Best supervised training of a student of this size: the baseline.

    Args:
        law: Supervised law; many in one (arrays for coefficients) broadcast against the batch.
        N_S: Student parameters.
        compute: Budget in FLOPs.
        student_tokens: Cap on tokens, besides that of `bounds`.
        target_loss: Loss to reach with the least compute, instead of a budget.
        bounds: Bounds of the search.
        costs: What a token costs.
    """
    bounds, costs = bounds or Bounds(), costs or CostModel()
    N_S, compute, cap = _broadcast(N_S, compute, student_tokens, shape=laws_in(law))
    cap = np.minimum(cap, bounds.student_tokens[1])
    F_S = costs.student_flops(N_S)
    if target_loss is None:
        D_S = np.minimum((compute - F_S * costs.serving_tokens) / (3 * F_S), cap)
        feasible = bounds.student_tokens[0] <= D_S
    else:
        D_S = np.maximum(law.tokens_to_reach(target_loss, N_S), bounds.student_tokens[0])
        feasible = cap >= D_S
    D_S = np.where(feasible, D_S, 1.0)
    nothing = np.full(N_S.shape, np.nan)
    return _optimum(
        feasible,
        student_loss=law.loss(N_S, D_S),
        student_tokens=D_S,
        teacher_loss=nothing,
        teacher_params=nothing,
        teacher_tokens=nothing,
        flops=student_cost(F_S=F_S, D_S=D_S, F_T=np.zeros(N_S.shape), serving_tokens=costs.serving_tokens),
    )


def distilled_optimum(
    law: StudentLaw,
    N_S: ArrayLike,
    *,
    teacher_logits: ArrayLike,
    teacher_pretraining: ArrayLike,
    compute: ArrayLike = np.inf,
    student_tokens: ArrayLike = np.inf,
    target_loss: ArrayLike | None = None,
    bounds: Bounds | None = None,
    costs: CostModel | None = None,
) -> Optimum:
    """Best distillation of a student of this size (eq. 10): over D_S, N_T and D_T, the global optimum.

    With a budget, the loss is minimised subject to a cost of at most `compute`; if the student's tokens are capped,
    part of the budget may remain. With a `target_loss`, the cost is minimised. Of the teachers with the best L_T the
    cheapest is given: cheapest by what the scenario charges, and where it charges nothing, by pretraining.

    Args:
        law: Distillation law; any object with `student_loss` and `supervised`. Many in one (arrays for coefficients)
            broadcast against the batch.
        N_S: Student parameters.
        teacher_logits: delta_lgt.
        teacher_pretraining: delta_pre.
        compute: Budget in FLOPs.
        student_tokens: Cap on D_S, besides that of `bounds`.
        target_loss: Loss to reach with the least compute, instead of a budget.
        bounds: Bounds of the search.
        costs: What a token costs.

    Returns:
        The optimum of each problem; arguments broadcast against each other.

    >>> from distlaw.laws import published
    >>> best = distilled_optimum(published("busbridge2025").law, 1e9, teacher_logits=1, teacher_pretraining=0,
    ...                          compute=1e21)
    >>> f"{float(best.student_loss):.3f} nats after {float(best.student_tokens):.2e} tokens"
    '2.210 nats after 9.25e+10 tokens'
    """
    bounds, costs = bounds or Bounds(), costs or CostModel()
    target = np.nan if target_loss is None else target_loss
    problems = _broadcast(N_S, teacher_logits, teacher_pretraining, compute, student_tokens, target, shape=laws_in(law))
    shape = problems[0].shape
    solve = _solve_budget if target_loss is None else _solve_target

    def part(i: int) -> tuple[NDArray, ...]:
        def rows(values: Array) -> Array:
            return np.broadcast_to(values, shape).reshape(-1)[i : i + _CHUNK].reshape(-1, 1, 1, 1)

        here = map_coefficients(law, rows)
        return solve(here, _Teachers(here.supervised, bounds, costs), _Rows(*map(rows, problems)))

    parts = [part(i) for i in range(0, max(1, problems[0].size), _CHUNK)]
    feasible, D_S, N_T, D_T = (np.concatenate(column).reshape(shape) for column in zip(*parts, strict=True))
    L_T = law.supervised.loss(N_T, D_T)
    return _optimum(
        feasible.astype(bool),
        student_loss=law.student_loss(problems[0], D_S, L_T),
        student_tokens=D_S,
        teacher_loss=L_T,
        teacher_params=N_T,
        teacher_tokens=D_T,
        flops=student_cost(
            F_S=costs.student_flops(problems[0]),
            D_S=D_S,
            F_T=costs.forward_flops(N_T),
            D_T=D_T,
            teacher_logits=problems[1],
            teacher_pretraining=problems[2],
            serving_tokens=costs.serving_tokens,
        ),
    )


@dataclass(frozen=True)
class _Rows:
    """A chunk of problems, each array of shape (P, 1, 1, 1)."""

    N_S: Array
    teacher_logits: Array
    teacher_pretraining: Array
    compute: Array
    student_tokens: Array
    target_loss: Array


class _Teachers:
    """All teachers within the bounds, as the unit square that is searched.

    x runs from the weakest to the strongest L_T; y from the smallest to the largest model that reaches L_T within the
    bounds.
    """

    def __init__(self, law: TeacherLaw, bounds: Bounds, costs: CostModel) -> None:
        self.law, self.bounds, self.costs = law, bounds, costs

    def loss(self, x: Array) -> Array:
        """L_T at x: along the diagonal from the least to the most parameters and tokens."""
        (N_low, N_high), (D_low, D_high) = self.bounds.teacher_params, self.bounds.teacher_tokens
        return self.law.loss(_between(N_low, N_high, x), _between(D_low, D_high, x))

    def split(self, L_T: Array, y: Array) -> tuple[Array, Array, Array]:
        """(N_T, D_T, F_T) of the teacher at y among those with this loss."""
        (N_low, N_high), (D_low, D_high) = self.bounds.teacher_params, self.bounds.teacher_tokens
        smallest = np.clip(self.law.params_to_reach(L_T, D_high), N_low, N_high)
        largest = np.clip(self.law.params_to_reach(L_T, D_low), smallest, N_high)
        N_T = _between(smallest, largest, y)
        D_T = np.clip(self.law.tokens_to_reach(L_T, N_T), D_low, D_high)
        return N_T, D_T, self.costs.forward_flops(N_T)

    def cheapest(self, rows: _Rows, L_T: Array, D_S: Array) -> tuple[Array, Array, Array]:
        """(N_T, D_T, F_T) of the cheapest teacher of this loss for a student that takes D_S tokens."""
        nothing_charged = (rows.teacher_logits == 0) & (rows.teacher_pretraining == 0)
        pretraining = np.where(nothing_charged, 1.0, rows.teacher_pretraining)

        def log_cost(y: Array) -> Array:
            _, D_T, F_T = self.split(L_T, y)
            return np.log(F_T) + np.log(rows.teacher_logits * D_S + 3 * pretraining * D_T)

        y, _ = minimise(log_cost, points=48, levels=10)
        return self.split(L_T, y.reshape(-1, 1, 1, 1))

    def affordable_tokens(self, rows: _Rows, D_T: Array, F_T: Array) -> Array:
        """Student tokens that the budget leaves (eq. 9 solved for D_S); negative where the teacher costs too much."""
        F_S = self.costs.student_flops(rows.N_S)
        left = rows.compute - F_S * self.costs.serving_tokens - 3 * rows.teacher_pretraining * F_T * D_T
        return left / (3 * F_S + rows.teacher_logits * F_T)

    def taken_tokens(self, rows: _Rows, affordable: Array) -> Array:
        """Student tokens within their bounds."""
        fewest, most = self.bounds.student_tokens
        return np.clip(affordable, fewest, np.minimum(rows.student_tokens, most))


def _flat(rows: _Rows, feasible: NDArray[np.bool_], *values: Array) -> tuple[NDArray, ...]:
    """Feasibility and values of each problem, each of shape (P,)."""
    return feasible, *(np.broadcast_to(value, rows.N_S.shape).reshape(-1) for value in values)


def _solve_budget(law: StudentLaw, teachers: _Teachers, rows: _Rows) -> tuple[NDArray, ...]:
    """Lowest student loss for a budget: (feasible, D_S, N_T, D_T), each of shape (P,)."""
    fewest = teachers.bounds.student_tokens[0]

    # The cap on D_S comes in the outer problem only: the best split of L_T is the cheapest one even where several
    # would leave all the tokens that may be taken.
    def minus_tokens(x: Array, y: Array) -> Array:
        _, D_T, F_T = teachers.split(teachers.loss(x), y)
        return -teachers.affordable_tokens(rows, D_T, F_T)

    def student_loss(x: Array, minus_tokens: Array) -> Array:
        loss = law.student_loss(rows.N_S, teachers.taken_tokens(rows, -minus_tokens), teachers.loss(x))
        return np.where(-minus_tokens >= fewest, loss, np.inf)

    x, y, value = minimise_nested(minus_tokens, student_loss)
    feasible = np.isfinite(value)
    L_T = teachers.loss(x.reshape(-1, 1, 1, 1))
    _, D_T, F_T = teachers.split(L_T, y.reshape(-1, 1, 1, 1))
    D_S = teachers.taken_tokens(rows, teachers.affordable_tokens(rows, D_T, F_T))
    # The same L_T for less: where all splits leave the same tokens the one above is arbitrary.
    N_T, D_T, F_T = teachers.cheapest(rows, L_T, D_S)
    D_S = teachers.taken_tokens(rows, teachers.affordable_tokens(rows, D_T, F_T))
    return _flat(rows, feasible, D_S, N_T, D_T)


def _solve_target(law: StudentLaw, teachers: _Teachers, rows: _Rows) -> tuple[NDArray, ...]:
    """Least compute for a loss: (feasible, D_S, N_T, D_T), each of shape (P,)."""
    fewest = teachers.bounds.student_tokens[0]
    most = np.minimum(rows.student_tokens, teachers.bounds.student_tokens[1])
    F_S = teachers.costs.student_flops(rows.N_S)

    def tokens_needed(L_T: Array) -> Array:
        low, high = np.broadcast_arrays(np.log(fewest), np.log(most), L_T)[:2]
        return np.exp(
            bisect_decreasing(lambda u: law.student_loss(rows.N_S, np.exp(u), L_T) - rows.target_loss, low, high)
        )

    def log_cost(x: Array, y: Array) -> Array:
        L_T = teachers.loss(x)
        _, D_T, F_T = teachers.split(L_T, y)
        D_S = tokens_needed(L_T)
        reached = np.isfinite(D_S)
        D_S = np.where(reached, D_S, most)
        missed = law.student_loss(rows.N_S, most, L_T) - rows.target_loss
        cost = 3 * F_S * D_S + F_T * (rows.teacher_logits * D_S + 3 * rows.teacher_pretraining * D_T)
        return np.where(reached, np.log(cost), _UNREACHABLE + missed)

    x, _, value = minimise_nested(log_cost, lambda _x, inner: inner)
    feasible = value < _UNREACHABLE
    L_T = teachers.loss(x.reshape(-1, 1, 1, 1))
    D_S = tokens_needed(L_T)
    D_S = np.where(np.isfinite(D_S), D_S, most)
    N_T, D_T, _ = teachers.cheapest(rows, L_T, D_S)
    return _flat(rows, feasible, D_S, N_T, D_T)


def _between(low: ArrayLike, high: ArrayLike, fraction: Array) -> Array:
    """Geometric interpolation, exact at both ends."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    return np.clip(low * np.exp(np.log(high / low) * fraction), low, high)


def _broadcast(*values: ArrayLike, shape: tuple[int, ...]) -> list[Array]:
    """The values in their common shape, `shape` taken in."""
    return [np.asarray(a, dtype=np.float64) for a in np.broadcast_arrays(*values, np.empty(shape))[:-1]]


def _optimum(feasible: NDArray[np.bool_], *, flops: Flops, **values: Array) -> Optimum:
    """Blank out what is not feasible."""

    def blank(value: Array) -> Array:
        return np.where(feasible, value, np.nan)[()]

    parts: dict[str, Array] = {name: blank(part) for name, part in vars(flops).items()}
    return Optimum(feasible=feasible, flops=Flops(**parts), **{name: blank(value) for name, value in values.items()})
