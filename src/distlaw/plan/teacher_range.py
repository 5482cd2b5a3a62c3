"""All teachers that are as good as the best one: the student's loss hardly depends on which of them it has."""

from dataclasses import dataclass

import numpy as np

from distlaw.costs import student_cost
from distlaw.laws import StudentLaw
from distlaw.plan.options import SUPERVISED, Option
from distlaw.plan.problem import Problem

LOSS_TOLERANCE = 0.001
"""Nats by which a student of an equally good teacher may be worse: less than two seeds of one run differ by."""

LARGEST_TEACHER = 2e12
"""Parameters; teachers beyond it are not listed, as none is known, unless the best one is larger."""

_POINTS = 80  # sizes, and tokens of each, that are looked at


@dataclass(frozen=True, kw_only=True)
class TeacherPoint:
    """One teacher.

    Attributes:
        params: N_T.
        tokens: D_T.
        loss: L_T, nats per token.
        training_flops: What its own training takes, 3 F(N_T) D_T.
    """

    params: float
    tokens: float
    loss: float
    training_flops: float


@dataclass(frozen=True, kw_only=True)
class TeacherRange:
    """Teachers whose students end within `LOSS_TOLERANCE` of the best, on the same budget.

    Attributes:
        loss: Lowest and highest L_T among them, nats per token.
        smallest: The one with the fewest parameters.
        largest: The one with the most.
        cheapest: The one whose own training takes the fewest FLOPs.
    """

    loss: tuple[float, float]
    smallest: TeacherPoint
    largest: TeacherPoint
    cheapest: TeacherPoint


def equally_good_teachers(law: StudentLaw, problem: Problem, option: Option) -> TeacherRange | None:
    """The range of teachers that give an option of a plan the same loss, to `LOSS_TOLERANCE`.

    Every teacher on a grid of sizes and tokens within the bounds gets the student tokens that the budget leaves with
    it. For a target loss the student takes the tokens of the option.

    Args:
        law: The law of the plan.
        problem: Its question.
        option: One of its options.

    Returns:
        None for supervised training and for what is not feasible.
    """
    if option.scenario == SUPERVISED or not option.feasible:
        return None
    assert option.teacher_params is not None
    assert option.teacher_tokens is not None
    scenario = next(one for one in problem.scenarios if one.name == option.scenario)
    bounds, costs, N_S = problem.bounds, problem.costs, problem.student_params
    # Around the best teacher the grid is finer than over all of the bounds, which span up to eleven decades.
    low, high = bounds.teacher_params
    high = max(min(high, LARGEST_TEACHER), option.teacher_params)
    params = _grid((low, high), option.teacher_params)[:, None]
    tokens = _grid(bounds.teacher_tokens, option.teacher_tokens)[None, :]
    F_S, F_T = float(costs.student_flops(N_S)), costs.forward_flops(params)
    most = bounds.student_tokens[1]
    if problem.compute is not None:
        left = problem.compute - F_S * costs.serving_tokens - 3 * scenario.teacher_pretraining * F_T * tokens
        D_S = np.minimum(left / (3 * F_S + scenario.teacher_logits * F_T), most)
    else:
        D_S = np.broadcast_to(option.student_tokens, (params.size, tokens.size))
    affordable = bounds.student_tokens[0] <= D_S
    if problem.target_loss is not None:  # as dear as the option itself, at the most
        total = student_cost(
            F_S=F_S,
            D_S=D_S,
            F_T=F_T,
            D_T=tokens,
            teacher_logits=scenario.teacher_logits,
            teacher_pretraining=scenario.teacher_pretraining,
            serving_tokens=costs.serving_tokens,
        ).total
        affordable &= total <= option.flops.total * 1.01
    L_T = np.broadcast_to(law.supervised.loss(params, tokens), D_S.shape)
    loss = np.where(affordable, law.student_loss(N_S, np.where(affordable, D_S, 1.0), L_T), np.inf)
    good = loss <= option.student_loss + LOSS_TOLERANCE
    i, j = np.nonzero(good)
    flops = 3 * F_T[i, 0] * tokens[0, j]
    training = 3 * float(costs.forward_flops(option.teacher_params)) * option.teacher_tokens
    own = TeacherPoint(
        params=option.teacher_params,
        tokens=option.teacher_tokens,
        loss=float(law.supervised.loss(option.teacher_params, option.teacher_tokens)),
        training_flops=training,
    )
    found = [own] + [
        TeacherPoint(
            params=float(params[a, 0]), tokens=float(tokens[0, b]), loss=float(L_T[a, b]), training_flops=float(cost)
        )
        for a, b, cost in zip(i, j, flops, strict=True)
    ]
    # Of several with one size, the cheapest stands for it.
    return TeacherRange(
        loss=(min(one.loss for one in found), max(one.loss for one in found)),
        smallest=min(found, key=lambda one: (one.params, one.training_flops)),
        largest=min(found, key=lambda one: (-one.params, one.training_flops)),
        cheapest=min(found, key=lambda one: one.training_flops),
    )


def _grid(limits: tuple[float, float], centre: float) -> np.ndarray:
    low, high = limits
    near = centre * np.geomspace(0.05, 20, _POINTS)
    far = np.geomspace(low, high, _POINTS)
    points = np.concatenate([near, far, [centre]])
    return np.unique(points[(points >= low) & (points <= high)])
