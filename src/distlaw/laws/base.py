"""What the planner asks of a law. Anything with these methods can be planned with."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.search import minimise

Array = NDArray[np.float64]


class TeacherLaw(Protocol):
    """A law of models trained on data alone: it prices teachers and is the baseline of every student.

    `loss` falls in both arguments; the inverses are inf where the loss is out of reach.
    """

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Cross-entropy in nats per token of N parameters trained on D tokens."""
        ...

    def tokens_to_reach(self, L: ArrayLike, N: ArrayLike) -> Array:
        """Tokens with which N parameters reach the loss L."""
        ...

    def params_to_reach(self, L: ArrayLike, D: ArrayLike) -> Array:
        """Parameters that reach the loss L on D tokens."""
        ...


class StudentLaw(Protocol):
    """A law of distilled students. `student_loss` never rises with D_S; in L_T it may do anything smooth."""

    @property
    def supervised(self) -> TeacherLaw:
        """The supervised law of the same data."""
        ...

    def student_loss(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> Array:
        """Cross-entropy in nats per token of N_S parameters distilled on D_S tokens from a teacher of loss L_T."""
        ...


def optimal_teacher_loss(law: StudentLaw, N_S: ArrayLike, D_S: ArrayLike, *, lowest: float) -> Array:
    """L_T that gives a student the lowest loss under any law: the global minimum over L_T in (lowest, 100].

    Args:
        law: Distillation law.
        N_S: Student parameters, > 0.
        D_S: Distillation tokens, > 0; inf where the law takes it.
        lowest: Least L_T looked at, nats per token: the irreducible loss of the data.

    Returns:
        Nats per token, broadcast over N_S and D_S.
    """
    N_S, D_S = np.broadcast_arrays(np.asarray(N_S, dtype=np.float64), np.asarray(D_S, dtype=np.float64))
    n, d = N_S.reshape(-1, 1, 1, 1), D_S.reshape(-1, 1, 1, 1)
    low, high = np.log(max(lowest, 0.1)), np.log(100.0)

    def teacher_loss(x: Array) -> Array:
        return np.exp(low + (high - low) * x)

    x, _ = minimise(lambda x: law.student_loss(n, d, teacher_loss(x)))
    return teacher_loss(x).reshape(N_S.shape)[()]
