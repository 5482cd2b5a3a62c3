"""Distillation as extra tokens: a teacher is worth kappa times the data, down to the teacher's own loss."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.domain import Coefficient, log_of, require_coefficients
from distlaw.laws.supervised import SupervisedLaw

Array = NDArray[np.float64]

_MOST_WORTH = 50.0  # bounds log kappa(q), which a fitted parabola would carry anywhere
_FLOOR = 1e-12  # nats; a teacher at or below E has nothing left to hold the student back


@dataclass(frozen=True, kw_only=True)
class EffectiveTokensLaw:
    """``L_S - E = ((L_T - E)^m + (L(N_S, kappa D_S) - E)^m)^(1/m)``, in nats per token; a form of our own.

    L is the supervised law, so sizes and tokens need no exponents of their own, and infinite-data consistency
    (eq. 35-37) holds exactly as L_T -> E. An endless student becomes its teacher, and a random teacher makes a random
    student, as under eq. 8. With `slope` or `curvature` the worth of a token depends on how far the teacher is ahead,
    ``log kappa(q) = log kappa + slope q + curvature q^2`` with ``q = max(0, log((L~_S - E) / (L_T - E)))``, and a
    negative curvature gives a best teacher: the capacity gap. The parabola holds for teachers like those of the
    fitted runs only: far beyond them it makes a student of a very strong teacher worse than a random one.

    Attributes:
        supervised: The supervised law of the same data.
        kappa: What a distilled token is worth in supervised tokens (at q = 0).
        m: How sharply the teacher's own loss cuts in.
        slope: Change of log kappa with q.
        curvature: Change of log kappa with q^2.
    """

    supervised: SupervisedLaw
    kappa: Coefficient
    m: Coefficient
    slope: Coefficient = 0.0
    curvature: Coefficient = 0.0

    def __post_init__(self) -> None:
        require_coefficients(self, positive=("kappa", "m"))
        if not (np.isfinite(self.slope).all() and np.isfinite(self.curvature).all()):
            raise ValueError(f"slope and curvature must be finite, got {self.slope} and {self.curvature}")

    def student_loss(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> Array:
        """Cross-entropy L_S of a distilled student.

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.
            L_T: Teacher cross-entropy in nats per token, > 0, on the same data with the same tokenizer.

        Returns:
            Nats per token, broadcast over the arguments.
        """
        own, teacher, _ = self._log_excesses(N_S, D_S, L_T)
        return self.supervised.E + np.exp(np.logaddexp(self.m * own, self.m * teacher) / self.m)

    def coefficient_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> tuple[Array, dict[str, Array]]:
        """L_S and its derivative with respect to each coefficient, for fitting; the supervised law is held.

        Args:
            N_S: Student parameters, > 0 and finite.
            D_S: Distillation tokens, > 0 and finite.
            L_T: Teacher cross-entropy, nats per token, > 0 and finite.

        Returns:
            L_S and, by name, dL_S/d(coefficient), each broadcast over the arguments and the coefficients.
        """
        own, teacher, q = self._log_excesses(N_S, D_S, L_T)
        both = np.logaddexp(self.m * own, self.m * teacher)
        excess = np.exp(both / self.m)
        share = np.exp(self.m * own - both)
        _, per_token = self.supervised.log_gradient(N_S, np.asarray(D_S) * self.worth(q))
        held = np.abs(self._log_worth(q)) > _MOST_WORTH  # there kappa no longer moves with its coefficients
        by_kappa = np.where(held, 0.0, excess * share * per_token * np.exp(-own))  # dL_S / dlog kappa
        by_m = excess * ((share * own + (1 - share) * teacher) - both / self.m) / self.m
        return self.supervised.E + excess, {
            "kappa": by_kappa / self.kappa,
            "m": by_m,
            "slope": by_kappa * q,
            "curvature": by_kappa * q**2,
        }

    def worth(self, q: ArrayLike) -> Array:
        """kappa(q): what a distilled token is worth in supervised tokens.

        Args:
            q: log((L~_S - E) / (L_T - E)) or 0, how far the teacher is ahead of what the student would reach alone.
        """
        q = np.asarray(q, dtype=np.float64)
        return np.exp(np.clip(self._log_worth(q), -_MOST_WORTH, _MOST_WORTH))

    def _log_worth(self, q: Array) -> Array:
        return np.log(self.kappa) + self.slope * q + self.curvature * q**2

    def _log_excesses(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> tuple[Array, Array, Array]:
        """log(L(N_S, kappa D_S) - E), log(L_T - E), and q."""
        for value, name in ((N_S, "student size N_S"), (D_S, "student tokens D_S"), (L_T, "teacher loss L_T")):
            log_of(value, name)
        E = self.supervised.E
        teacher = np.log(np.maximum(np.asarray(L_T, dtype=np.float64) - E, _FLOOR))
        alone = np.log(np.maximum(self.supervised.loss(N_S, D_S) - E, _FLOOR))
        q = np.maximum(alone - teacher, 0.0)  # a teacher behind the student holds it back by its own loss alone
        own = self.supervised.loss(N_S, np.asarray(D_S, dtype=np.float64) * self.worth(q)) - E
        return np.log(np.maximum(own, _FLOOR)), teacher, q
