"""How sure a plan is: the same problem under every resample of the law's fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distlaw.laws import StudentLaw
from distlaw.plan.options import SUPERVISED, Plan, solve
from distlaw.plan.problem import Problem
from distlaw.plan.verdict import distilling_wins
from distlaw.plan.worth import token_worth

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


def plan_uncertainty(
    draws: Sequence[StudentLaw], problem: Problem, *, level: float = 0.9
) -> dict[str, OptionUncertainty]:
    """Solve the problem under each law and summarise, by scenario.

    Resamples in which nothing is feasible count as not winning and are left out of the intervals.

    Args:
        draws: Resamples of one fit.
        problem: The question.
        level: Coverage of the intervals.

    Raises:
        ValueError: No draws, or none of them can do the problem.
    """
    plans: list[Plan] = []
    laws: list[StudentLaw] = []
    for law in draws:
        try:
            plans.append(solve(law, problem))
            laws.append(law)
        except ValueError:  # out of reach under this resample
            continue
    if not plans:
        raise ValueError("no resample of the law can do this problem")

    def interval(values: list[float]) -> Interval:
        finite = [v for v in values if np.isfinite(v)]
        if not finite:
            return float("nan"), float("nan")
        tail = 50 * (1 - level)
        return float(np.percentile(finite, tail)), float(np.percentile(finite, 100 - tail))

    found = {}
    for i, option in enumerate(plans[0].options):
        options = [plan.options[i] for plan in plans]
        supervised = option.scenario == SUPERVISED
        worth = [
            token_worth(law, problem, o).worth
            for law, o in zip(laws, options, strict=True)
            if o.feasible and not supervised
        ]
        wins = [distilling_wins(plan, plan.options[i]) for plan in plans]
        found[option.scenario] = OptionUncertainty(
            scenario=option.scenario,
            student_loss=interval([o.student_loss for o in options]),
            teacher_params=None if supervised else interval([o.teacher_params or float("nan") for o in options]),
            student_tokens=interval([o.student_tokens for o in options]),
            token_worth=None if supervised else _ends(worth, level),
            probability=None if supervised else sum(wins) / len(draws),
        )
    return found


def _ends(values: list[float], level: float) -> Interval:
    """Interval of values that may be inf: taken from those there are, not interpolated."""
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], method="nearest")
    return float(low), float(high)


def confidence_sentences(spread: Mapping[str, OptionUncertainty]) -> list[str]:
    """How sure the verdict is, in words; empty without resamples."""
    rows = [row for row in spread.values() if row.probability is not None]
    if not rows:
        return []
    parts = [f"{row.scenario} {row.probability:.0%}" for row in rows]
    worth = [
        f"{row.scenario} {_worth(row.token_worth[0])} to {_worth(row.token_worth[1])}"
        for row in rows
        if row.token_worth
    ]
    return [
        f"distilling beats supervised training in this share of the resamples of the fit: {', '.join(parts)}.",
        f"90 % interval of what a distilled token is worth, in supervised tokens: {', '.join(worth)}.",
    ]


def _worth(kappa: float) -> str:
    return f"{kappa:.2f}" if np.isfinite(kappa) else "no amount"
