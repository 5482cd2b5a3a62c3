"""What each way of making a student pays for (eq. 9, table 2)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.costs.architecture import PAPER_FAMILY

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Which share of the teacher's work a student is charged with.

    Both shares are real numbers in [0, 1]: a teacher trained for K students charges each with 1/K of its pretraining.

    Attributes:
        name: Key in `SCENARIOS`.
        teacher_logits: delta_lgt, the share of teacher forward passes over the student's tokens.
        teacher_pretraining: delta_pre, the share of the teacher's own training.
    """

    name: str
    teacher_logits: float
    teacher_pretraining: float

    def __post_init__(self) -> None:
        for field in ("teacher_logits", "teacher_pretraining"):
            value = getattr(self, field)
            if not 0 <= value <= 1:
                raise ValueError(f"{field} must be between 0 and 1, got {value}")

    def shared(self, *, students: float = 1.0, cached_fraction: float = 0.0, shared_logits: bool = False) -> "Scenario":
        """The same scenario when work is shared or reused.

        Args:
            students: K, how many students the teacher is trained for; each pays 1/K of its pretraining.
            cached_fraction: Share of the student's targets that are read from a cache and cost no teacher pass.
            shared_logits: Whether the K students also learn from one teacher pass side by side (on the same tokens).

        Raises:
            ValueError: `students` is below 1 or `cached_fraction` outside [0, 1].
        """
        if not (np.isfinite(students) and students >= 1):
            raise ValueError(f"students must be 1 or more, got {students}")
        if not 0 <= cached_fraction <= 1:
            raise ValueError(f"cached_fraction must be between 0 and 1, got {cached_fraction}")
        logits = self.teacher_logits * (1 - cached_fraction) / (students if shared_logits else 1)
        return replace(self, teacher_logits=logits, teacher_pretraining=self.teacher_pretraining / students)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="best-case", teacher_logits=0.0, teacher_pretraining=0.0),
        Scenario(name="teacher-inference", teacher_logits=1.0, teacher_pretraining=0.0),
        Scenario(name="teacher-pretraining", teacher_logits=0.0, teacher_pretraining=1.0),
        Scenario(name="teacher-pretraining-and-inference", teacher_logits=1.0, teacher_pretraining=1.0),
    )
}
"""The four scenarios of table 2, in its order."""


@dataclass(frozen=True, kw_only=True)
class Flops:
    """FLOPs of a student, by what they are spent on.

    Attributes:
        student_training: 3 F(N_S) D_S.
        teacher_logits: delta_lgt F(N_T) D_S.
        teacher_training: delta_pre 3 F(N_T) D_T.
        student_serving: F(N_S) times the tokens served in the student's life.
    """

    student_training: Array
    teacher_logits: Array
    teacher_training: Array
    student_serving: Array

    @property
    def total(self) -> Array:
        """Sum of the parts: eq. 9, plus serving."""
        return self.student_training + self.teacher_logits + self.teacher_training + self.student_serving


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """What a token costs: forward FLOPs by size, and what a student is charged with besides training.

    Attributes:
        forward_flops: F(N), forward FLOPs per token of a model with N non-embedding parameters.
        student_forward_flops: F of the student where its exact shape is known; None takes `forward_flops`.
        serving_tokens: Tokens that the student will serve in its life, each a forward pass that the budget must pay
            for too (after Sardana et al. 2023, arXiv 2401.00448). 0 counts training alone, as the paper does.
    """

    forward_flops: Callable[[ArrayLike], Array] = PAPER_FAMILY.forward_flops
    student_forward_flops: float | None = None
    serving_tokens: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.serving_tokens) and self.serving_tokens >= 0):
            raise ValueError(f"serving_tokens must be finite and 0 or more, got {self.serving_tokens}")
        given = self.student_forward_flops
        if given is not None and not (np.isfinite(given) and given > 0):
            raise ValueError(f"student_forward_flops must be positive, got {given}")

    def student_flops(self, N_S: ArrayLike) -> Array:
        """F(N_S), forward FLOPs per token of the student."""
        if self.student_forward_flops is not None:
            return np.full(np.shape(N_S), self.student_forward_flops)
        return self.forward_flops(N_S)


def student_cost(
    *,
    F_S: ArrayLike,
    D_S: ArrayLike,
    F_T: ArrayLike = 0.0,
    D_T: ArrayLike = 0.0,
    teacher_logits: ArrayLike = 0.0,
    teacher_pretraining: ArrayLike = 0.0,
    serving_tokens: ArrayLike = 0.0,
) -> Flops:
    """FLOPs of making a student (eq. 9): `3 F_S D_S + F_T (delta_lgt D_S + delta_pre 3 D_T)`, plus serving.

    A training token costs a forward and a backward pass, 3 F. Without a teacher this is supervised training.

    Args:
        F_S: Forward FLOPs per token of the student.
        D_S: Student tokens.
        F_T: Forward FLOPs per token of the teacher.
        D_T: Teacher tokens.
        teacher_logits: delta_lgt in [0, 1].
        teacher_pretraining: delta_pre in [0, 1].
        serving_tokens: Tokens that the student serves in its life.

    >>> float(student_cost(F_S=2e9, D_S=1e9, F_T=8e9, D_T=1e9, teacher_logits=1.0).total)
    1.4e+19
    """
    F_S, D_S, F_T, D_T = (np.asarray(a, dtype=np.float64) for a in (F_S, D_S, F_T, D_T))
    return Flops(
        student_training=3 * F_S * D_S,
        teacher_logits=np.asarray(teacher_logits) * F_T * D_S,
        teacher_training=np.asarray(teacher_pretraining) * 3 * F_T * D_T,
        student_serving=F_S * np.asarray(serving_tokens, dtype=np.float64),
    )
