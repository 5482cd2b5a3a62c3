"""The exponential limit of eq. 8: what remains of its transition when every teacher is well before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.domain import Coefficient, log_of, require_coefficients
from distlaw.laws.supervised import SupervisedLaw

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ExponentialLaw:
    """``L_S = L_T + L_T^-c0 exp(-k (L_T / L~_S)^s) (A / N_S^alpha + B / D_S^beta)^gamma``, in nats per token.

    Eq. 8 tends to it as d1 grows with ``k = c1 f1 d1^(-1/f1)`` and ``s = 1/f1`` held: three coefficients of eq. 8
    become two, which is all that runs with L_T well below d1 L~_S determine.

    Attributes:
        supervised: The supervised law of the same data, for L~_S.
        A: Size coefficient A'.
        B: Data coefficient B'.
        alpha: Size exponent alpha'.
        beta: Data exponent beta'.
        gamma: Outer exponent gamma'.
        c0: How fast the excess falls with a weaker teacher, before the transition.
        k: Depth of the transition.
        s: Sharpness of the transition.
    """

    supervised: SupervisedLaw
    A: Coefficient
    B: Coefficient
    alpha: Coefficient
    beta: Coefficient
    gamma: Coefficient
    c0: Coefficient
    k: Coefficient
    s: Coefficient

    def __post_init__(self) -> None:
        require_coefficients(self, positive=("A", "B", "alpha", "beta", "gamma", "s"), not_negative=("c0", "k"))

    def student_loss(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> Array:
        """Cross-entropy L_S of a distilled student.

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.
            L_T: Teacher cross-entropy in nats per token, > 0, on the same data with the same tokenizer.

        Returns:
            Nats per token, broadcast over the arguments.
        """
        return self.coefficient_gradient(N_S, D_S, L_T)[0]

    def coefficient_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> tuple[Array, dict[str, Array]]:
        """L_S and its derivative with respect to each coefficient, for fitting; the supervised law is held.

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.
            L_T: Teacher cross-entropy, nats per token, > 0.

        Returns:
            L_S and, by name, dL_S/d(coefficient), each broadcast over the arguments and the coefficients.
        """
        log_N, log_D = log_of(N_S, "student size N_S"), log_of(D_S, "student tokens D_S")
        log_L = log_of(L_T, "teacher loss L_T")
        size, data = np.log(self.A) - self.alpha * log_N, np.log(self.B) - self.beta * log_D
        both = np.logaddexp(size, data)
        ratio = log_L - np.log(self.supervised.loss(N_S, D_S))
        depth = np.exp(np.minimum(self.s * ratio, 700.0))  # an exponent beyond is no excess at all
        excess = np.exp(-self.c0 * log_L - self.k * depth + self.gamma * both)
        by_size = self.gamma * excess * np.exp(size - both)
        by_data = self.gamma * excess * np.exp(data - both)
        return np.asarray(L_T, dtype=np.float64) + excess, {
            "A": by_size / self.A,
            "B": by_data / self.B,
            "alpha": -log_N * by_size,
            "beta": -log_D * by_data,
            "gamma": both * excess,
            "c0": -log_L * excess,
            "k": -depth * excess,
            "s": -self.k * ratio * depth * excess,
        }
