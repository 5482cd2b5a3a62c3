"""What the planner asks of a law. Anything with these methods can be planned with."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
