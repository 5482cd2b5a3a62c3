"""The exponential limit of eq. 8: what remains of its transition when every teacher is well before it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.domain import Coefficient, log_of, require_coefficients
from distlaw.laws.supervised import SupervisedLaw

Array = NDArray[np.float64]

_LARGEST = 700.0  # exponents stay below it: e^700 is still a number, and an excess of exp(-e^700) is none


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
        terms = self._terms(N_S, D_S, L_T)
        return np.asarray(L_T, dtype=np.float64) + terms.excess

    def coefficient_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> tuple[Array, dict[str, Array]]:
        """L_S and its derivative with respect to each coefficient, for fitting; the supervised law is held.

        Args:
            N_S: Student parameters, > 0 and finite.
            D_S: Distillation tokens, > 0 and finite.
            L_T: Teacher cross-entropy, nats per token, > 0 and finite.

        Returns:
            L_S and, by name, dL_S/d(coefficient), each broadcast over the arguments and the coefficients.
        """
        terms = self._terms(N_S, D_S, L_T)
        excess = terms.excess
        by_size = self.gamma * excess * np.exp(terms.size - terms.both)
        by_data = self.gamma * excess * np.exp(terms.data - terms.both)
        depth = np.exp(np.minimum(self.s * terms.ratio, _LARGEST))
        return np.asarray(L_T, dtype=np.float64) + excess, {
            "A": by_size / self.A,
            "B": by_data / self.B,
            "alpha": -np.log(N_S) * by_size,
            "beta": -np.log(D_S) * by_data,
            "gamma": terms.both * excess,
            "c0": -np.log(L_T) * excess,
            "k": -depth * excess,
            "s": -terms.ratio * (terms.turn * excess),
        }

    def supervised_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> dict[str, Array]:
        """Derivative of L_S with respect to each coefficient of the supervised law, which acts through L~_S alone."""
        terms = self._terms(N_S, D_S, L_T)
        value, reference = self.supervised.coefficient_gradient(N_S, D_S)
        by_reference = self.s * terms.turn * terms.excess / value
        return {name: by_reference * slope for name, slope in reference.items()}

    def _terms(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> "_Terms":
        log_N, log_D = log_of(N_S, "student size N_S"), log_of(D_S, "student tokens D_S")
        log_L = log_of(L_T, "teacher loss L_T")
        size, data = np.log(self.A) - self.alpha * log_N, np.log(self.B) - self.beta * log_D
        both = np.logaddexp(size, data)
        ratio = log_L - np.log(self.supervised.loss(N_S, D_S))
        with np.errstate(divide="ignore"):  # k = 0 is no transition at all
            turn = np.exp(np.minimum(np.log(self.k) + self.s * ratio, _LARGEST))
        excess = np.exp(-self.c0 * log_L - turn + self.gamma * both)
        return _Terms(size=size, data=data, both=both, ratio=ratio, turn=turn, excess=excess)


class _Terms(NamedTuple):
    """Pieces of the formula.

    Attributes:
        size: log(A / N_S^alpha).
        data: log(B / D_S^beta).
        both: log of the sum of the two terms.
        ratio: log(L_T / L~_S).
        turn: k (L_T / L~_S)^s.
        excess: L_S - L_T.
    """

    size: Array
    data: Array
    both: Array
    ratio: Array
    turn: Array
    excess: Array
