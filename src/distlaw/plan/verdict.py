"""A plan in words: what to do, by how much it wins, what that is worth, and what would turn it round."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.laws import StudentLaw
from distlaw.plan.crossover import ALWAYS_AHEAD, CROSSES, Crossover, compute_crossovers
from distlaw.plan.optimum import Optimum, distilled_optimum
from distlaw.plan.options import SUPERVISED, Option, Plan
from distlaw.plan.problem import Problem
from distlaw.plan.worth import token_worth
from distlaw.runs import format_quantity

SITUATIONS = {
    "best-case": "if a teacher of your choice is free, logits included",
    "teacher-inference": "if the teacher exists and you pay for its logits",
    "teacher-pretraining": "if you train the teacher and its logits cost nothing (stored or shared)",
    "teacher-pretraining-and-inference": "if you train the teacher and pay for its logits",
}
"""When each scenario of table 2 is the user's own."""

NEGLIGIBLE_NATS = 0.001  # below what two seeds of one run differ by (0.1 % of a loss of about 2)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One distillation scenario against supervised training.

    Attributes:
        scenario: Which.
        gain: Nats by which distilling is below supervised training (for a target loss: NaN, both reach it).
        supervised_compute_ratio: Compute that supervised training of the same student needs for the same loss, over
            what the option costs. inf: no amount of data gets it there.
        crossover_compute: FLOPs from which supervised training is at least as good; None where it never or always is.
        crossover_status: What the search for the crossover found.
        students_to_flip: Students that must share the teacher's pretraining for distilling to win, if it loses with one
            and pretraining is charged; None where no number does.
        token_worth: kappa, the supervised tokens that one distilled token replaces; see `distlaw.plan.worth`.
        token_cost: What a distilled token costs, in supervised tokens.
        most_teacher_params: Largest teacher whose logits are worth their cost at this kappa; None where they are free
            or the teacher's training is charged too.
    """

    scenario: str
    gain: float
    supervised_compute_ratio: float
    crossover_compute: float | None
    crossover_status: str
    students_to_flip: float | None
    token_worth: float
    token_cost: float
    most_teacher_params: float | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a plan comes to.

    Attributes:
        best: Scenario of the best option.
        sentences: The verdict in words, one sentence for each situation, and one that explains them.
        comparisons: The numbers behind them.
    """

    best: str
    sentences: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


def judge(law: StudentLaw, plan: Plan, *, crossovers: Mapping[str, Crossover] | None = None) -> Verdict:
    """Compare every scenario of a plan with supervised training and say it in words.

    Args:
        law: The law that the plan was made with.
        plan: The plan.
        crossovers: What `compute_crossovers` finds for its student, scenarios, bounds and costs, where that is at hand:
            it takes most of the time, and no budget changes it.
    """
    problem = plan.problem
    if crossovers is None:
        crossovers = crossovers_of(law, problem)
    baseline = plan[SUPERVISED]
    comparisons, sentences = [], []
    for scenario in problem.scenarios:
        option, crossover = plan[scenario.name], crossovers[scenario.name]
        gain = float("nan") if problem.target_loss is not None else baseline.student_loss - option.student_loss
        worth = token_worth(law, problem, option) if option.feasible else None
        comparison = Comparison(
            scenario=scenario.name,
            gain=gain,
            supervised_compute_ratio=_supervised_compute_ratio(law, plan, option),
            crossover_compute=float(crossover.at[0]) if crossover.status[0] == CROSSES else None,
            crossover_status=crossover.status[0],
            students_to_flip=_students_to_flip(law, plan, option) if scenario.teacher_pretraining else None,
            token_worth=worth.worth if worth else float("nan"),
            token_cost=worth.cost if worth else float("nan"),
            most_teacher_params=worth.most_teacher_params if worth else None,
        )
        comparisons.append(comparison)
        sentences.append(_sentence(plan, option, comparison))
    sentences += _explanation(comparisons)
    return Verdict(best=plan.best.scenario, sentences=tuple(sentences), comparisons=tuple(comparisons))


def crossovers_of(law: StudentLaw, problem: Problem) -> dict[str, Crossover]:
    """Crossovers of a problem's student by scenario."""
    return compute_crossovers(
        law, problem.student_params, problem.scenarios, bounds=problem.bounds, costs=problem.costs
    )


def distilling_wins(plan: Plan, option: Option) -> bool:
    """Whether an option of a plan beats supervised training."""
    return bool(beats(plan.problem, option, plan[SUPERVISED]))


def beats(problem: Problem, distilled: Option | Optimum, supervised: Option | Optimum) -> NDArray[np.bool_]:
    """Whether distilling wins by what the problem asks for: loss, or compute for a target; one option or a batch.

    What is not feasible does not win, and loses to anything that is.
    """
    if problem.target_loss is not None:
        better = np.less(distilled.flops.total, supervised.flops.total)
    else:
        better = np.less(distilled.student_loss, supervised.student_loss)
    return distilled.feasible & (np.logical_not(supervised.feasible) | better)


def _supervised_compute_ratio(law: StudentLaw, plan: Plan, option: Option) -> float:
    if not option.feasible:
        return float("nan")
    problem = plan.problem
    loss = option.student_loss if problem.target_loss is None else problem.target_loss
    tokens = float(law.supervised.tokens_to_reach(loss, problem.student_params))
    F_S = float(problem.costs.student_flops(problem.student_params))
    return (3 * F_S * tokens + F_S * problem.costs.serving_tokens) / option.flops.total


def _students_to_flip(law: StudentLaw, plan: Plan, option: Option) -> float | None:
    """Smallest whole K >= K of the problem, up to 10000, with which distilling wins at this budget."""
    problem = plan.problem
    compute = problem.compute
    if compute is None or distilling_wins(plan, option) or not plan[SUPERVISED].feasible:
        return None
    scenario = next(s for s in problem.scenarios if s.name == option.scenario)

    def wins(students: np.ndarray) -> np.ndarray:
        share = problem.students / students
        best = distilled_optimum(
            law,
            problem.student_params,
            teacher_logits=scenario.teacher_logits * (share if problem.shared_logits else 1.0),
            teacher_pretraining=scenario.teacher_pretraining * share,
            compute=compute,
            bounds=problem.bounds,
            costs=problem.costs,
        )
        return best.student_loss < plan[SUPERVISED].student_loss  # False where not feasible (NaN)

    low, high = problem.students, 1e4
    if not wins(np.array([high]))[0]:
        return None
    while high - low > 1:  # two rounds on a grid of 64 find any whole number up to 10000
        grid = np.unique(np.round(np.geomspace(low, high, 64)))
        enough = wins(grid)
        first = int(np.argmax(enough))
        low, high = (grid[first - 1], grid[first]) if first else (grid[0], grid[0])
    return float(high)


def _sentence(plan: Plan, option: Option, comparison: Comparison) -> str:
    situation = SITUATIONS[option.scenario]
    if not option.feasible:
        return f"{situation}: train supervised; distilling is not feasible within the budget and bounds."
    if not plan[SUPERVISED].feasible:
        return f"{situation}: distill; supervised training does not get there within the bounds."
    wins = distilling_wins(plan, option)
    target = plan.problem.target_loss is not None
    ratio = comparison.supervised_compute_ratio
    if target:
        total, baseline = option.flops.total, plan[SUPERVISED].flops.total
        text = f"distill: it takes {_times(baseline / total)} less compute" if wins else "train supervised"
        if not wins:
            text += f": distilling takes {_times(total / baseline)} the compute"
    elif abs(comparison.gain) < NEGLIGIBLE_NATS:
        text = f"it makes no difference ({option.student_loss:.4f} nats against {plan[SUPERVISED].student_loss:.4f})"
    elif wins:
        worth = (
            f"supervised training would need {_times(ratio)} this compute"
            if np.isfinite(ratio)
            else "supervised training of this size gets there on no amount of data"
        )
        text = f"distill: {comparison.gain:.4f} nats better ({worth})"
    else:
        text = f"train supervised: distilling ends {-comparison.gain:.4f} nats worse"
        if np.isfinite(ratio):
            text += f" (supervised training reaches that with {ratio:.0%} of the compute)"
    return f"{situation}: {text}; {_what_flips(plan, wins, comparison)}."


def _explanation(comparisons: list[Comparison]) -> list[str]:
    """Why, in kappa and costs; empty where nothing is feasible."""
    feasible = [c for c in comparisons if np.isfinite(c.token_cost)]
    if not feasible:
        return []
    pairs = [
        f"{c.scenario} {f'{c.token_worth:.2f}' if np.isfinite(c.token_worth) else 'no amount'} / {c.token_cost:.2f}"
        for c in feasible
    ]
    text = "worth / cost of a distilled token, in supervised tokens (distilling pays where worth > cost): "
    text += ", ".join(pairs)
    for c in feasible:
        if c.most_teacher_params is not None and np.isfinite(c.most_teacher_params):
            most = f"of up to {format_quantity(c.most_teacher_params)}" if c.most_teacher_params else "of no size"
            text += f"; at that worth logits pay for themselves from teachers {most} parameters"
    return [text + "."]


def _what_flips(plan: Plan, wins: bool, comparison: Comparison) -> str:
    budget, crossing = plan.problem.compute, comparison.crossover_compute
    if comparison.students_to_flip is not None:
        return f"distilling wins once {comparison.students_to_flip:.0f} students share the teacher"
    if crossing is not None and budget is not None:
        if budget < crossing and wins:
            return f"supervised training overtakes at {crossing:.2e} FLOPs"
        if budget >= crossing:
            return f"distilling was ahead below {crossing:.2e} FLOPs"
    if crossing is not None:
        return f"at equal compute supervised training overtakes at {crossing:.2e} FLOPs"
    if comparison.crossover_status == ALWAYS_AHEAD:
        return "no budget up to 1e30 FLOPs turns this round"
    return "no smaller or larger budget turns this round"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}x"
