"""By how many nats distilling is ahead of supervised training on equal terms, whatever the problem asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import Scenario
from distlaw.laws import StudentLaw, map_coefficients
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.problem import Problem

Array = NDArray[np.float64]

_ENDLESS = 1e40  # FLOPs


@dataclass(frozen=True, kw_only=True)
class EqualTerms:
    """Supervised training and distillation in each scenario, each at its best for the same budget.

    For a budget that is the problem's own. For a target loss, which both reach, it is the compute of the cheaper one:
    what the dearer one misses the target by there is how far it is behind. One that does not reach the target within
    the bounds is behind by what it misses it by with compute for nothing.

    Attributes:
        student_params: N_S.
        supervised: Shape (scenarios,).
        distilled: Shape (scenarios,).
        lead: Nats by which distilling is ahead, shape (scenarios,); inf (-inf) where only distilling (only supervised
            training) is feasible, NaN where neither is.
    """

    student_params: float
    supervised: Optimum
    distilled: Optimum
    lead: Array

    def losses_under(self, draws: StudentLaw) -> tuple[Array, Array]:
        """What the two end at under resamples of the law, all choices of tokens and teacher kept.

        Args:
            draws: Resamples as one law, its coefficients of shape (n,).

        Returns:
            Supervised and distilled loss, nats per token, each of shape (n, scenarios); NaN where not feasible.
        """
        law = map_coefficients(draws, lambda values: values[:, None])
        N_S, alone, taught = self.student_params, self.supervised, self.distilled
        both = alone.feasible & taught.feasible

        def there(values: Array) -> Array:
            return np.where(both, values, 1.0)

        L_T = law.supervised.loss(there(taught.teacher_params), there(taught.teacher_tokens))
        distilled = law.student_loss(N_S, there(taught.student_tokens), L_T)
        supervised = np.broadcast_to(law.supervised.loss(N_S, there(alone.student_tokens)), distilled.shape)
        return np.where(both, supervised, np.nan), np.where(both, distilled, np.nan)


def on_equal_terms(law: StudentLaw, problem: Problem, scenarios: Sequence[Scenario] | None = None) -> EqualTerms:
    """Solve a problem for supervised training and each scenario, on the same budget.

    Args:
        law: The law.
        problem: The question.
        scenarios: Those of the problem to solve it for; all by default.
    """
    asked = problem.scenarios if scenarios is None else scenarios
    supervised, distilled = _optima(law, problem, asked, {})
    some = supervised.feasible | distilled.feasible
    better = distilled.feasible  # where one of the two can do nothing at all, which is behind by any measure
    if problem.target_loss is not None:
        alone, taught = supervised.flops.total, distilled.flops.total
        reach = supervised.feasible & distilled.feasible
        better = distilled.feasible & ~(supervised.feasible & (alone <= taught))
        cheaper = np.fmin(alone, taught)
        # With one alone that reaches the target, the other may spend what it likes.
        for_alone = np.where(reach, cheaper, np.where(supervised.feasible, alone, _ENDLESS))
        for_taught = np.where(reach, cheaper, np.where(distilled.feasible, taught, _ENDLESS))
        supervised, _ = _optima(law, problem, asked, {"compute": for_alone})
        _, distilled = _optima(law, problem, asked, {"compute": for_taught})
    lead = supervised.student_loss - distilled.student_loss
    known = supervised.feasible & distilled.feasible
    one_only = np.where(better, np.inf, -np.inf)
    return EqualTerms(
        student_params=problem.student_params,
        supervised=supervised,
        distilled=distilled,
        lead=np.where(some, np.where(known, lead, one_only), np.nan),
    )


def _optima(
    law: StudentLaw, problem: Problem, scenarios: Sequence[Scenario], budget: dict[str, Any]
) -> tuple[Optimum, Optimum]:
    """Both optima, of shape (scenarios,); `budget` stands in for the goal of the problem."""
    goal = budget or {
        name: value
        for name in ("compute", "student_tokens", "target_loss")
        if (value := getattr(problem, name)) is not None
    }
    size = np.full(len(scenarios), problem.student_params)
    supervised = supervised_optimum(law.supervised, size, **goal, bounds=problem.bounds, costs=problem.costs)
    return supervised, distilled_optimum(
        law,
        size,
        teacher_logits=[scenario.teacher_logits for scenario in scenarios],
        teacher_pretraining=[scenario.teacher_pretraining for scenario in scenarios],
        **goal,
        bounds=problem.bounds,
        costs=problem.costs,
    )
