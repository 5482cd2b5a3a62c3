"""What a distilled token is worth and what it costs, in supervised tokens: the reason for a verdict in two numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws import StudentLaw
from distlaw.plan.options import Option
from distlaw.plan.problem import Problem

_SIZES = np.geomspace(1e3, 1e17, 1401)  # where the largest teacher that pays is looked for


@dataclass(frozen=True, kw_only=True)
class TokenWorth:
    """Worth and cost of one distilled token; distilling pays where it is worth more than it costs.

    Attributes:
        worth: kappa, the tokens of supervised training that one distilled token replaces: with kappa D_S tokens the
            student reaches the same loss alone. inf where no amount does. It depends on the student, the teacher and
            D_S under every law but a constant kappa.
        cost: FLOPs of the option, serving aside, over those of supervised training on D_S tokens.
        most_teacher_params: Size of the largest teacher whose logits are worth their cost at this kappa,
            ``F(N_T) = 3 (kappa - 1) F(N_S)`` over the share of the logits that is charged; None where logits are free
            or the teacher's training is paid for as well, inf where kappa is, 0 where kappa is below 1.
    """

    worth: float
    cost: float
    most_teacher_params: float | None


def token_worth(law: StudentLaw, problem: Problem, option: Option) -> TokenWorth:
    """Worth and cost of a distilled token in one option of a plan.

    Args:
        law: The law of the plan.
        problem: Its question.
        option: A feasible option that distills.
    """
    N_S, D_S, costs = problem.student_params, option.student_tokens, problem.costs
    worth = float(worth_of(law, N_S, D_S, option.student_loss))
    F_S = float(costs.student_flops(N_S))
    flops = option.flops
    cost = (flops.total - flops.student_serving) / (3 * F_S * D_S)
    most = None
    if flops.teacher_logits > 0 and flops.teacher_training == 0:
        charged = flops.teacher_logits / (float(costs.forward_flops(option.teacher_params or 1.0)) * D_S)
        most = _largest(3 * (worth - 1) * F_S / charged, problem)
    return TokenWorth(worth=worth, cost=cost, most_teacher_params=most)


def worth_of(law: StudentLaw, N_S: ArrayLike, D_S: ArrayLike, L_S: ArrayLike) -> NDArray[np.float64]:
    """kappa, the tokens of supervised training to L_S over the D_S tokens of distilling; inf where none are enough."""
    return law.supervised.tokens_to_reach(L_S, N_S) / np.asarray(D_S, dtype=np.float64)


def _largest(forward_flops: float, problem: Problem) -> float:
    if forward_flops <= 0 or not np.isfinite(forward_flops):
        return max(forward_flops, 0.0)
    flops = np.log(problem.costs.forward_flops(_SIZES))
    return float(np.exp(np.interp(np.log(forward_flops), flops, np.log(_SIZES))))
