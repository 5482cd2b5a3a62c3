"""The distillation scaling law: loss of a student trained on a teacher's distribution."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.base import optimal_teacher_loss
from distlaw.laws.domain import Coefficient, log_of, require_coefficients
from distlaw.laws.search import bisect_decreasing
from distlaw.laws.supervised import SupervisedLaw

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DistillationLaw:
    """Student cross-entropy against data (eq. 8), in nats per token.

    ``L_S = L_T + L_T^-c0 (1 + (L_T / (L~_S d1))^(1/f1))^(-c1 f1) (A / N_S^alpha + B / D_S^beta)^gamma``

    with `L~_S = L(N_S, D_S)` from the supervised law, which this law therefore holds. The coefficients A, B, alpha,
    beta, gamma are the primed ones of the paper. The teacher enters through its loss L_T alone. The law has the limits
    that it must: L_S -> L_T as N_S and D_S grow without bound, L_S -> L_T for a random teacher (L_T -> inf), and a
    minimum in L_T between (the capacity gap), around L_T = d1 L~_S. Everything is computed in log space, because
    1/f1 is about 11.

    Attributes:
        supervised: The supervised law of the same data, for L~_S.
        A: Size coefficient A'.
        B: Data coefficient B'.
        alpha: Size exponent alpha'.
        beta: Data exponent beta'.
        gamma: Outer exponent gamma'.
        c0: How fast the excess falls with a weaker teacher, before the transition.
        c1: How fast it falls after the transition.
        f1: Width of the transition.
        d1: Ratio L_T / L~_S at the transition.
    """

    supervised: SupervisedLaw
    A: Coefficient
    B: Coefficient
    alpha: Coefficient
    beta: Coefficient
    gamma: Coefficient
    c0: Coefficient
    c1: Coefficient
    f1: Coefficient
    d1: Coefficient

    def __post_init__(self) -> None:
        require_coefficients(
            self,
            positive=("A", "B", "alpha", "beta", "gamma", "f1", "d1"),
            not_negative=("c0", "c1"),
        )

    def student_loss(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> Array:
        """Cross-entropy L_S of a distilled student (eq. 8).

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.
            L_T: Teacher cross-entropy in nats per token, > 0, on the same data with the same tokenizer.

        Returns:
            Nats per token, broadcast over the arguments.

        Raises:
            ValueError: An argument is not positive.

        >>> from distlaw.laws import published
        >>> law = published("busbridge2025").law
        >>> round(float(law.student_loss(1e9, 200e9, 2.1)), 4)
        2.1916
        """
        return np.asarray(L_T, dtype=np.float64) + self._terms(N_S, D_S, L_T).excess

    def log_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> tuple[Array, Array, Array]:
        """Derivatives of L_S with respect to log N_S, log D_S and log L_T.

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.
            L_T: Teacher cross-entropy, nats per token, > 0.

        Returns:
            (dL_S/dlog N_S, dL_S/dlog D_S, dL_S/dlog L_T) in nats per token. The third changes sign at the optimal
            teacher.
        """
        terms = self._terms(N_S, D_S, L_T)
        reference_N, reference_D = self.supervised.log_gradient(N_S, D_S)
        slope = self.c1 * terms.after  # -dlog(excess) / dlog(L_T / L~_S) of the transition
        size, data = np.exp(terms.size - terms.both), np.exp(terms.data - terms.both)
        d_size = terms.excess * (slope * reference_N / terms.reference - self.gamma * self.alpha * size)
        d_data = terms.excess * (slope * reference_D / terms.reference - self.gamma * self.beta * data)
        d_teacher = np.asarray(L_T, dtype=np.float64) - terms.excess * (self.c0 + slope)
        return d_size, d_data, d_teacher

    def coefficient_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> tuple[Array, dict[str, Array]]:
        """L_S and its derivative with respect to each coefficient of eq. 8, for fitting; the supervised law is held.

        Args:
            N_S: Student parameters, > 0 and finite.
            D_S: Distillation tokens, > 0 and finite.
            L_T: Teacher cross-entropy, nats per token, > 0 and finite.

        Returns:
            L_S and, by name, dL_S/d(coefficient), each broadcast over the arguments and the coefficients.
        """
        terms = self._terms(N_S, D_S, L_T)
        by_size = self.gamma * terms.excess * np.exp(terms.size - terms.both)
        by_data = self.gamma * terms.excess * np.exp(terms.data - terms.both)
        by_turn = self.c1 * terms.after * terms.excess
        by_depth = terms.softplus * terms.excess
        return np.asarray(L_T, dtype=np.float64) + terms.excess, {
            "A": by_size / self.A,
            "B": by_data / self.B,
            "alpha": -np.log(N_S) * by_size,
            "beta": -np.log(D_S) * by_data,
            "gamma": terms.both * terms.excess,
            "c0": -np.log(L_T) * terms.excess,
            "c1": -self.f1 * by_depth,
            "f1": terms.u * by_turn - self.c1 * by_depth,
            "d1": by_turn / self.d1,
        }

    def supervised_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> dict[str, Array]:
        """Derivative of L_S with respect to each coefficient of the supervised law, which acts through L~_S alone."""
        terms = self._terms(N_S, D_S, L_T)
        by_reference = self.c1 * terms.after * terms.excess / terms.reference
        _, reference = self.supervised.coefficient_gradient(N_S, D_S)
        return {name: by_reference * slope for name, slope in reference.items()}

    def optimal_teacher_loss(self, N_S: ArrayLike, D_S: ArrayLike) -> Array:
        """L_T that gives this student the lowest loss (global minimum over L_T in (E, 100]).

        Eq. 8 can have two minima in L_T, so the whole range is searched. D_S = inf gives the teacher of the
        infinite-data limit (eq. 35-37).

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.

        Returns:
            Nats per token, broadcast over N_S and D_S.
        """
        return optimal_teacher_loss(self, N_S, D_S, lowest=float(np.min(self.supervised.E)))

    def tokens_to_reach(self, L_S: ArrayLike, N_S: ArrayLike, L_T: ArrayLike) -> Array:
        """Distillation tokens with which this student reaches L_S under this teacher; inf where it never does.

        Args:
            L_S: Target cross-entropy, nats per token.
            N_S: Student parameters, > 0.
            L_T: Teacher cross-entropy, nats per token, > 0.
        """
        L_S, N_S, L_T = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (L_S, N_S, L_T)))
        low, high = np.zeros(L_S.shape), np.full(L_S.shape, np.log(1e30))
        log_tokens = bisect_decreasing(lambda log_d: self.student_loss(N_S, np.exp(log_d), L_T) - L_S, low, high)
        return np.exp(log_tokens)[()]

    def _terms(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> "_Terms":
        log_teacher = log_of(L_T, "teacher loss L_T")
        size, data = self._log_size_term(N_S), self._log_data_term(D_S)
        both = np.logaddexp(size, data)
        reference = self.supervised.loss(N_S, D_S)
        u = (log_teacher - np.log(reference) - np.log(self.d1)) / self.f1
        softplus = np.logaddexp(0.0, u)
        log_excess = -self.c0 * log_teacher - self.c1 * self.f1 * softplus + self.gamma * both
        return _Terms(
            size=size, data=data, both=both, reference=reference, u=u, softplus=softplus, excess=np.exp(log_excess)
        )

    def _log_size_term(self, N_S: ArrayLike) -> Array:
        return np.log(self.A) - self.alpha * log_of(N_S, "student size N_S")

    def _log_data_term(self, D_S: ArrayLike) -> Array:
        return np.log(self.B) - self.beta * log_of(D_S, "student tokens D_S")


class _Terms(NamedTuple):
    """Pieces of eq. 8.

    Attributes:
        size: log(A / N_S^alpha).
        data: log(B / D_S^beta).
        both: log of the sum of the two terms.
        reference: L~_S.
        u: log of (L_T / (L~_S d1))^(1/f1).
        softplus: log(1 + exp(u)).
        excess: L_S - L_T.
    """

    size: Array
    data: Array
    both: Array
    reference: Array
    u: Array
    softplus: Array
    excess: Array

    @property
    def after(self) -> Array:
        """How far past the transition the teacher is, 0 to 1."""
        return np.exp(self.u - self.softplus)
