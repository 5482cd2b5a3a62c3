"""Arrays behind the paper's maps and curves, from any law: one function for each kind of figure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.costs import SCENARIOS, CostModel, Scenario
from distlaw.laws import StudentLaw
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.problem import Bounds, Problem

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BudgetGrid:
    """Optima over student size and compute: losses (figure 8), optimal teachers and allocations.

    Attributes:
        student_params: N_S, shape (n,).
        compute: C in FLOPs, shape (c,).
        supervised: Baseline; arrays of shape (n, c).
        distilled: For each scenario of table 2, arrays of shape (n, c): loss, D_S, N_T, D_T, L_T and FLOPs by part.
    """

    student_params: Array
    compute: Array
    supervised: Optimum
    distilled: dict[str, Optimum]

    def lead(self, scenario: str) -> Array:
        """Nats by which distillation is below supervised training at equal compute, shape (n, c)."""
        return self.supervised.student_loss - self.distilled[scenario].student_loss


def budget_grid(
    law: StudentLaw,
    N_S: ArrayLike,
    compute: ArrayLike,
    *,
    scenarios: Sequence[Scenario] = tuple(SCENARIOS.values()),
    bounds: Bounds | None = None,
    costs: CostModel | None = None,
) -> BudgetGrid:
    """Optima of supervised training and of every scenario over a grid of student sizes and budgets.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,).
        compute: Budgets in FLOPs, shape (c,).
        scenarios: What distillation is charged with; table 2 by default.
        bounds: Bounds of the search.
        costs: What a token costs.
    """
    sizes, budgets = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (N_S, compute))
    logits, pretraining = (
        np.array([getattr(scenario, share) for scenario in scenarios])[:, None, None]
        for share in ("teacher_logits", "teacher_pretraining")
    )
    # One batch of all scenarios: for one student it takes half the time of one batch each.
    distilled = distilled_optimum(
        law,
        sizes[:, None],
        teacher_logits=logits,
        teacher_pretraining=pretraining,
        compute=budgets,
        bounds=bounds,
        costs=costs,
    )
    return BudgetGrid(
        student_params=sizes,
        compute=budgets,
        supervised=supervised_optimum(law.supervised, sizes[:, None], compute=budgets, bounds=bounds, costs=costs),
        distilled={scenario.name: distilled[i] for i, scenario in enumerate(scenarios)},
    )


def budgets_of(law: StudentLaw, problem: Problem, compute: ArrayLike) -> BudgetGrid:
    """A problem's student over other budgets, all else as in the problem.

    Args:
        law: Distillation law.
        problem: Its student, sharing, bounds and costs are used.
        compute: Budgets in FLOPs, shape (c,).
    """
    return budget_grid(
        law,
        problem.student_params,
        compute,
        scenarios=problem.scenarios,
        bounds=problem.bounds,
        costs=problem.costs,
    )


@dataclass(frozen=True, kw_only=True)
class TokenGrid:
    """Best-teacher distillation against supervised training at equal tokens.

    Attributes:
        student_params: N_S, shape (n,).
        student_tokens: D_S, shape (d,).
        supervised_loss: L(N_S, D_S), shape (n, d).
        distilled_loss: min over teachers of L_S, shape (n, d).
        teacher_loss: The best L_T, shape (n, d).
    """

    student_params: Array
    student_tokens: Array
    supervised_loss: Array
    distilled_loss: Array
    teacher_loss: Array


def token_grid(
    law: StudentLaw, N_S: ArrayLike, student_tokens: ArrayLike, *, bounds: Bounds | None = None
) -> TokenGrid:
    """Distillation from the best teacher over a grid of student sizes and tokens, compute being free.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,).
        student_tokens: Tokens, shape (d,).
        bounds: Bounds of the teacher.
    """
    sizes, tokens = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (N_S, student_tokens))
    best = distilled_optimum(
        law,
        sizes[:, None],
        teacher_logits=0.0,
        teacher_pretraining=0.0,
        student_tokens=tokens[None, :],
        bounds=bounds,
    )
    return TokenGrid(
        student_params=sizes,
        student_tokens=tokens,
        supervised_loss=law.supervised.loss(sizes[:, None], tokens[None, :]),
        distilled_loss=best.student_loss,
        teacher_loss=best.teacher_loss,
    )


@dataclass(frozen=True, kw_only=True)
class TeacherGrid:
    """Student loss over teacher loss and student size at fixed tokens (figure 7).

    Attributes:
        student_params: N_S, shape (n,).
        teacher_loss: L_T, shape (t,).
        student_loss: L_S, shape (n, t).
        supervised_loss: L(N_S, D_S), shape (n,).
        best_teacher_loss: The L_T with the lowest L_S, shape (n,).
    """

    student_params: Array
    teacher_loss: Array
    student_loss: Array
    supervised_loss: Array
    best_teacher_loss: Array


def teacher_grid(
    law: StudentLaw,
    N_S: ArrayLike,
    teacher_loss: ArrayLike,
    student_tokens: ArrayLike,
    *,
    bounds: Bounds | None = None,
) -> TeacherGrid:
    """Student loss for every pair of student size and teacher loss.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,).
        teacher_loss: Teacher losses in nats per token, shape (t,).
        student_tokens: D_S for every size, a number or shape (n,) (for a fixed ratio of tokens to parameters).
        bounds: Bounds of the teacher, for the best one.
    """
    sizes, losses = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (N_S, teacher_loss))
    tokens = np.broadcast_to(np.asarray(student_tokens, dtype=np.float64), sizes.shape)
    best = distilled_optimum(
        law, sizes, teacher_logits=0.0, teacher_pretraining=0.0, student_tokens=tokens, bounds=bounds
    )
    return TeacherGrid(
        student_params=sizes,
        teacher_loss=losses,
        student_loss=law.student_loss(sizes[:, None], tokens[:, None], losses[None, :]),
        supervised_loss=law.supervised.loss(sizes, tokens),
        best_teacher_loss=best.teacher_loss,
    )
