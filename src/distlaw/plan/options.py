"""One problem, all ways to make the student: supervised and the four scenarios of table 2."""

from dataclasses import dataclass

import numpy as np

from distlaw.laws import StudentLaw
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.problem import Problem

SUPERVISED = "supervised"


@dataclass(frozen=True, kw_only=True)
class FlopsParts:
    """FLOPs of one option by what they are spent on; fields as in `distlaw.costs.Flops`."""

    student_training: float
    teacher_logits: float
    teacher_training: float
    student_serving: float
    total: float


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to make the student, at its best.

    Attributes:
        scenario: `supervised` or a key of `distlaw.costs.SCENARIOS`.
        feasible: Whether the budget allows it within the bounds (or the target can be reached). Where it does not, the
            numbers below are NaN.
        student_loss: L_S, nats per token.
        student_tokens: D_S.
        teacher_params: N_T; None without a teacher.
        teacher_tokens: D_T; None without a teacher.
        teacher_loss: L_T, nats per token; None without a teacher.
        flops: What it costs.
        at_bounds: Choices that lie on a bound of the search, as `teacher_tokens (most)`.
    """

    scenario: str
    feasible: bool
    student_loss: float
    student_tokens: float
    teacher_params: float | None
    teacher_tokens: float | None
    teacher_loss: float | None
    flops: FlopsParts
    at_bounds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Answer to a problem.

    Attributes:
        problem: The question.
        options: Supervised first, then the scenarios in the order of table 2.
    """

    problem: Problem
    options: tuple[Option, ...]

    def __getitem__(self, scenario: str) -> Option:
        return next(option for option in self.options if option.scenario == scenario)

    @property
    def best(self) -> Option:
        """The option with the lowest loss, or, for a target loss, with the least compute; the simpler one on a tie."""
        feasible = [option for option in self.options if option.feasible]
        if self.problem.target_loss is not None:
            return min(feasible, key=lambda option: option.flops.total)
        return min(feasible, key=lambda option: option.student_loss)


def solve(law: StudentLaw, problem: Problem) -> Plan:
    """Find the best supervised training and the best distillation in each scenario.

    Args:
        law: Distillation law.
        problem: The question.

    Returns:
        A plan with five options.

    Raises:
        ValueError: Nothing is feasible: the budget is too small, or the target out of reach; says what would do.

    >>> from distlaw.laws import published
    >>> plan = solve(published("busbridge2025").law, Problem(student_params=1e9, compute=1e22))
    >>> {option.scenario: round(option.student_loss, 3) for option in plan.options}["teacher-inference"]
    2.14
    """
    scenarios = problem.scenarios
    compute = np.inf if problem.compute is None else problem.compute
    student_tokens = np.inf if problem.student_tokens is None else problem.student_tokens
    baseline = supervised_optimum(
        law.supervised,
        problem.student_params,
        compute=compute,
        student_tokens=student_tokens,
        target_loss=problem.target_loss,
        bounds=problem.bounds,
        costs=problem.costs,
    )
    distilled = distilled_optimum(
        law,
        problem.student_params,
        teacher_logits=np.array([scenario.teacher_logits for scenario in scenarios]),
        teacher_pretraining=np.array([scenario.teacher_pretraining for scenario in scenarios]),
        compute=compute,
        student_tokens=student_tokens,
        target_loss=problem.target_loss,
        bounds=problem.bounds,
        costs=problem.costs,
    )
    options = (
        _option(SUPERVISED, baseline, (), problem),
        *(_option(scenario.name, distilled, (i,), problem) for i, scenario in enumerate(scenarios)),
    )
    if not any(option.feasible for option in options):
        raise ValueError(_why_infeasible(law, problem))
    return Plan(problem=problem, options=options)


def _option(scenario: str, optimum: Optimum, index: tuple[int, ...], problem: Problem) -> Option:
    def number(values: np.ndarray | float) -> float:
        return float(np.asarray(values)[index])

    def teacher(values: np.ndarray | float) -> float | None:
        return None if scenario == SUPERVISED else number(values)

    parts = {
        name: number(np.broadcast_to(part, np.shape(optimum.feasible))) for name, part in vars(optimum.flops).items()
    }
    chosen = {
        "student_tokens": number(optimum.student_tokens),
        "teacher_params": number(optimum.teacher_params),
        "teacher_tokens": number(optimum.teacher_tokens),
    }
    at_bounds = []
    for name, value in chosen.items():
        low, high = getattr(problem.bounds, name)
        if np.isclose(value, high, rtol=1e-6, atol=0):
            at_bounds.append(f"{name} (most)")
        elif np.isclose(value, low, rtol=1e-6, atol=0):
            at_bounds.append(f"{name} (least)")
    return Option(
        scenario=scenario,
        feasible=bool(np.asarray(optimum.feasible)[index]),
        student_loss=number(optimum.student_loss),
        student_tokens=chosen["student_tokens"],
        teacher_params=teacher(optimum.teacher_params),
        teacher_tokens=teacher(optimum.teacher_tokens),
        teacher_loss=teacher(optimum.teacher_loss),
        flops=FlopsParts(**parts, total=sum(parts.values())),
        at_bounds=tuple(at_bounds),
    )


def _why_infeasible(law: StudentLaw, problem: Problem) -> str:
    fewest, most = problem.bounds.student_tokens
    if problem.target_loss is None:
        F_S = float(problem.costs.student_flops(problem.student_params))
        needed = F_S * (3 * fewest + problem.costs.serving_tokens)
        serving = problem.costs.serving_tokens
        served = f" and {serving:g} served tokens" if serving else ""
        return (
            f"compute {problem.compute:g} FLOPs is too small for any plan: {fewest:g} tokens (the least allowed)"
            f"{served} of a student of {problem.student_params:g} parameters take {needed:.3g} FLOPs"
        )
    everything = solve(law, Problem(student_params=problem.student_params, student_tokens=most, bounds=problem.bounds))
    return (
        f"target_loss {problem.target_loss:g} nats is out of reach for {problem.student_params:g} parameters:"
        f" with {most:g} tokens and any teacher allowed the lowest is {everything.best.student_loss:.4g};"
        " ask for a higher loss or a larger student"
    )
