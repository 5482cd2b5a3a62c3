"""How far a plan's choices would move: the same problem solved again under every resample of the law's fit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.laws import StudentLaw, laws_in, map_coefficients
from distlaw.plan.comparison import beats
from distlaw.plan.optimum import distilled_optimum, supervised_optimum
from distlaw.plan.options import SUPERVISED
from distlaw.plan.problem import Problem
from distlaw.plan.worth import worth_of

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class OptionUncertainty:
    """Spread of one option over the resamples.

    Attributes:
        scenario: Which.
        student_loss: Interval of L_S at the optimum.
        teacher_params: Interval of the best N_T; None for supervised training.
        student_tokens: Interval of the best D_S.
        token_worth: Interval of kappa, what a distilled token is worth there in supervised ones; None for supervised
            training, inf at an end where no amount of supervised tokens does.
        probability: Share of the resamples in which it beats supervised training; None for supervised training.
    """

    scenario: str
    student_loss: Interval
    teacher_params: Interval | None
    student_tokens: Interval
    token_worth: Interval | None
    probability: float | None


def plan_uncertainty(draws: StudentLaw, problem: Problem, *, level: float = 0.9) -> dict[str, OptionUncertainty]:
    """Solve the problem under each law and summarise, by scenario.

    Resamples in which an option is not feasible count as not winning and are left out of its intervals.

    Args:
        draws: Resamples of one fit as one law, its coefficients of shape (resamples,).
        problem: The question.
        level: Coverage of the intervals.

    Raises:
        ValueError: None of them can do the problem.
    """
    (count,) = laws_in(draws)
    laws = map_coefficients(draws, lambda values: values[:, None])
    asked: dict[str, Any] = {
        name: value
        for name in ("compute", "student_tokens", "target_loss")
        if (value := getattr(problem, name)) is not None
    }
    asked |= {"bounds": problem.bounds, "costs": problem.costs}
    N_S, scenarios = np.full((count, 1), problem.student_params), problem.scenarios
    baseline = supervised_optimum(laws.supervised, N_S, **asked)
    distilled = distilled_optimum(
        laws,
        N_S,
        teacher_logits=[scenario.teacher_logits for scenario in scenarios],
        teacher_pretraining=[scenario.teacher_pretraining for scenario in scenarios],
        **asked,
    )
    if not (baseline.feasible.any() or distilled.feasible.any()):
        raise ValueError("no resample of the law can do this problem")

    def interval(values: NDArray[np.float64]) -> Interval:
        values = values[np.isfinite(values)]
        if not values.size:
            return float("nan"), float("nan")
        low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
        return float(low), float(high)

    found = {
        SUPERVISED: OptionUncertainty(
            scenario=SUPERVISED,
            student_loss=interval(baseline.student_loss),
            teacher_params=None,
            student_tokens=interval(baseline.student_tokens),
            token_worth=None,
            probability=None,
        )
    }
    wins = beats(problem, distilled, baseline)
    worth = worth_of(laws, N_S, distilled.student_tokens, distilled.student_loss)
    for i, scenario in enumerate(scenarios):
        one = distilled[:, i]
        found[scenario.name] = OptionUncertainty(
            scenario=scenario.name,
            student_loss=interval(one.student_loss),
            teacher_params=interval(one.teacher_params),
            student_tokens=interval(one.student_tokens),
            token_worth=_ends(worth[one.feasible, i], level),
            probability=float(wins[:, i].mean()),
        )
    return found


def _ends(values: NDArray[np.float64], level: float) -> Interval:
    """Interval of values that may be inf: taken from those there are, not interpolated."""
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], method="nearest")
    return float(low), float(high)
