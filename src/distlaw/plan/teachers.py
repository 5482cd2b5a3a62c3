"""Which of the teachers at hand, if any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distlaw.costs import Scenario, student_cost
from distlaw.laws import StudentLaw
from distlaw.plan.options import SUPERVISED
from distlaw.plan.problem import Problem, require_quantity


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A teacher that exists.

    Attributes:
        name: How the user calls it.
        params: N_T, non-embedding parameters.
        loss: L_T in nats per token on the law's data with the law's tokenizer; None estimates it from `tokens`.
        tokens: D_T it was trained on.
        forward_flops: Forward FLOPs per token; None takes the planner's F(N_T).
        loss_from: How L_T was come by, for the report.
    """

    name: str
    params: float
    loss: float | None = None
    tokens: float | None = None
    forward_flops: float | None = None
    loss_from: str = "measured"

    def __post_init__(self) -> None:
        require_quantity(self.params, f"teacher '{self.name}': params")
        for field in ("loss", "tokens", "forward_flops"):
            value = getattr(self, field)
            if value is not None:
                require_quantity(value, f"teacher '{self.name}': {field}")
        if self.loss is None and self.tokens is None:
            raise ValueError(f"teacher '{self.name}': give its loss, or its tokens to estimate the loss from")


def loss_from_bits_per_byte(bits_per_byte: float, bytes_per_token: float) -> float:
    """Cross-entropy in nats per token from bits per byte: `bpb x bytes per token x ln 2`.

    Bits per byte is the same for any tokenizer, so a teacher with another tokenizer can be placed on a law's scale.
    This assumes that the teacher would predict the law's text as well through the law's tokenizer as through its own,
    and `bytes_per_token` must be that of the *law's* tokenizer on the *law's* data, where bits per byte was measured.

    Args:
        bits_per_byte: The teacher's bits per byte on the law's data.
        bytes_per_token: Mean bytes per token of the law's tokenizer on that data.

    >>> round(loss_from_bits_per_byte(0.75, 4.2), 3)
    2.183
    """
    require_quantity(bits_per_byte, "bits_per_byte")
    require_quantity(bytes_per_token, "bytes_per_token")
    return float(bits_per_byte * bytes_per_token * np.log(2.0))


@dataclass(frozen=True, kw_only=True)
class RankedTeacher:
    """What a student becomes with one teacher, or with none.

    Attributes:
        name: The teacher's name; `none: train supervised` for the baseline.
        student_loss: L_S, nats per token.
        student_tokens: D_S.
        teacher_params: N_T; None for the baseline.
        teacher_loss: L_T; None for the baseline.
        loss_from: How L_T was come by; None for the baseline.
        total_flops: FLOPs of the student, with the teacher's logits where the scenario charges for them.
        gain: Nats by which it is below supervised training.
        limit: L_S with this teacher after the most tokens that the bounds allow: patience does not help below it.
    """

    name: str
    student_loss: float
    student_tokens: float
    teacher_params: float | None
    teacher_loss: float | None
    loss_from: str | None
    total_flops: float
    gain: float
    limit: float


NO_TEACHER = f"none: train {SUPERVISED}"


def rank_teachers(
    law: StudentLaw, problem: Problem, teachers: Sequence[Teacher], scenario: Scenario
) -> list[RankedTeacher]:
    """Rank existing teachers for a student, and training without one among them, best first.

    Args:
        law: Distillation law.
        problem: Student and budget, in compute or in student tokens.
        teachers: Teachers at hand; one that the budget cannot run for the fewest tokens is left out.
        scenario: `teacher-inference` charges for logits, `best-case` does not; the teachers exist, so pretraining is
            not charged.

    Raises:
        ValueError: No teachers, a target loss instead of a budget, a scenario that pays for pretraining, or a budget
            too small.
    """
    if not teachers:
        raise ValueError("no teachers given: the table needs at least one row")
    if problem.target_loss is not None:
        raise ValueError("teachers are ranked for a budget in compute or in student tokens, not for a target loss")
    if scenario.teacher_pretraining:
        raise ValueError(
            f"scenario '{scenario.name}' pays for teacher pretraining, but these teachers exist already;"
            " use best-case or teacher-inference"
        )
    N_S, costs, (fewest, most) = problem.student_params, problem.costs, problem.bounds.student_tokens
    F_S = float(costs.student_flops(N_S))

    def row(teacher: Teacher | None) -> RankedTeacher | None:
        F_T = 0.0
        if teacher is not None:
            F_T = float(costs.forward_flops(teacher.params)) if teacher.forward_flops is None else teacher.forward_flops
        per_token = 3 * F_S + scenario.teacher_logits * F_T
        if problem.compute is not None:
            D_S = min((problem.compute - F_S * costs.serving_tokens) / per_token, most)
        else:
            assert problem.student_tokens is not None
            D_S = min(problem.student_tokens, most)
        if fewest > D_S:
            return None
        total = student_cost(
            F_S=F_S,
            D_S=D_S,
            F_T=F_T,
            teacher_logits=scenario.teacher_logits,
            serving_tokens=costs.serving_tokens,
        ).total
        baseline = float(law.supervised.loss(N_S, D_S))
        if teacher is None:
            return RankedTeacher(
                name=NO_TEACHER,
                student_loss=baseline,
                student_tokens=D_S,
                teacher_params=None,
                teacher_loss=None,
                loss_from=None,
                total_flops=float(total),
                gain=0.0,
                limit=float(law.supervised.loss(N_S, most)),
            )
        L_T, loss_from = teacher.loss, teacher.loss_from
        if L_T is None:
            assert teacher.tokens is not None
            L_T, loss_from = (
                float(law.supervised.loss(teacher.params, teacher.tokens)),
                "estimated from size and tokens",
            )
        return RankedTeacher(
            name=teacher.name,
            student_loss=float(law.student_loss(N_S, D_S, L_T)),
            student_tokens=D_S,
            teacher_params=teacher.params,
            teacher_loss=L_T,
            loss_from=loss_from,
            total_flops=float(total),
            gain=float("nan"),
            limit=float(law.student_loss(N_S, most, L_T)),
        )

    none = row(None)
    if none is None:
        raise ValueError(
            f"the budget is too small: it leaves fewer than {fewest:g} student tokens (the least allowed) even without"
            " a teacher"
        )
    rows = [none] + [ranked for teacher in teachers if (ranked := row(teacher)) is not None]
    rows = [_with_gain(r, none.student_loss) for r in rows]
    return sorted(rows, key=lambda r: r.student_loss)


def _with_gain(row: RankedTeacher, baseline: float) -> RankedTeacher:
    return RankedTeacher(**{**vars(row), "gain": baseline - row.student_loss})
