"""Distillation as extra tokens: a teacher is worth kappa times the data, down to the teacher's own loss."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.domain import Coefficient, log_of, require_coefficients
from distlaw.laws.supervised import SupervisedLaw

Array = NDArray[np.float64]

_MOST_WORTH = 50.0  # bounds log kappa, which a fitted parabola would carry anywhere
_FLOOR = 1e-12  # nats; a teacher at or below E has nothing left to hold the student back


@dataclass(frozen=True, kw_only=True)
class TokenWorthLaw:
    """``L_S - E = ((L_T - E)^m + (L(N_S, kappa D_S) - E)^m)^(1/m)``, in nats per token; a family of our own.

    L is the supervised law, so sizes and tokens need no exponents of their own, and infinite-data consistency
    (eq. 35-37) holds exactly as L_T -> E. An endless student becomes its teacher, and a random teacher makes a random
    student, as under eq. 8. Members differ in what kappa depends on: the teacher's lead
    ``q = max(0, log((L~_S - E) / (L_T - E)))`` over what the student would reach alone, and that loss itself.

    Attributes:
        supervised: The supervised law of the same data.
        m: How sharply the teacher's own loss cuts in.
    """

    supervised: SupervisedLaw
    m: Coefficient

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
        return self.supervised.E + np.exp(terms.both / self.m)

    def token_worth(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> Array:
        """kappa: what a distilled token is worth in supervised tokens, short of the teacher's own loss.

        Args:
            N_S: Student parameters, > 0.
            D_S: Distillation tokens, > 0.
            L_T: Teacher cross-entropy in nats per token, > 0.
        """
        return np.exp(self._terms(N_S, D_S, L_T).worth.log_kappa)

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
        excess = np.exp(terms.both / self.m)
        share = np.exp(self.m * terms.own - terms.both)
        by_kappa = excess * share * self._kappa_slope(N_S, D_S, terms)  # dL_S / dlog kappa
        by_m = excess * ((share * terms.own + (1 - share) * terms.teacher) - terms.both / self.m) / self.m
        by_coefficient = {name: by_kappa * slope for name, slope in terms.worth.by_coefficient.items()}
        return self.supervised.E + excess, {"m": by_m, **by_coefficient}

    def supervised_gradient(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> dict[str, Array]:
        """Derivative of L_S with respect to each coefficient of the supervised law, for fitting both laws at once."""
        terms = self._terms(N_S, D_S, L_T)
        law = self.supervised
        excess = np.exp(terms.both / self.m)
        share = np.exp(self.m * terms.own - terms.both)
        by_kappa = self._kappa_slope(N_S, D_S, terms)
        _, alone = law.coefficient_gradient(N_S, D_S)
        _, more = law.coefficient_gradient(N_S, np.asarray(D_S, dtype=np.float64) * np.exp(terms.worth.log_kappa))
        ahead, worth = terms.lead > 0, terms.worth
        found = {}
        for name in alone:
            # E moves both excesses' zero: L - E does not depend on it, L_T - E falls with it.
            by_alone = 0.0 if name == "E" else alone[name] * np.exp(-terms.alone)
            by_teacher = -np.exp(-terms.teacher) if name == "E" else 0.0
            by_own = 0.0 if name == "E" else more[name] * np.exp(-terms.own)
            by_log_kappa = worth.by_lead * np.where(ahead, by_alone - by_teacher, 0.0) + worth.by_alone * by_alone
            by_own = by_own + by_kappa * by_log_kappa
            found[name] = excess * (share * by_own + (1 - share) * by_teacher) + (name == "E")
        return found

    def _log_worth(self, lead: Array, alone: Array) -> "_Worth":
        """The worth of a token at a lead q and at log(L~_S - E), with its derivatives."""
        raise NotImplementedError

    def _kappa_slope(self, N_S: ArrayLike, D_S: ArrayLike, terms: "_Terms") -> Array:
        """Slope of log(L(N_S, kappa D_S) - E) in log kappa; 0 where kappa is held at its bound."""
        kappa = np.exp(terms.worth.log_kappa)
        _, per_token = self.supervised.log_gradient(N_S, np.asarray(D_S, dtype=np.float64) * kappa)
        return np.where(np.abs(terms.worth.log_kappa) >= _MOST_WORTH, 0.0, per_token * np.exp(-terms.own))

    def _terms(self, N_S: ArrayLike, D_S: ArrayLike, L_T: ArrayLike) -> "_Terms":
        for value, name in ((N_S, "student size N_S"), (D_S, "student tokens D_S"), (L_T, "teacher loss L_T")):
            log_of(value, name)
        E = self.supervised.E
        teacher = np.log(np.maximum(np.asarray(L_T, dtype=np.float64) - E, _FLOOR))
        alone = np.log(np.maximum(self.supervised.loss(N_S, D_S) - E, _FLOOR))
        lead = np.maximum(alone - teacher, 0.0)  # a teacher behind the student holds it back by its own loss alone
        worth = self._log_worth(lead, alone)
        worth = worth._replace(log_kappa=np.clip(worth.log_kappa, -_MOST_WORTH, _MOST_WORTH))
        own = self.supervised.loss(N_S, np.asarray(D_S, dtype=np.float64) * np.exp(worth.log_kappa)) - E
        own = np.log(np.maximum(own, _FLOOR))
        both = np.logaddexp(self.m * own, self.m * teacher)
        return _Terms(own=own, teacher=teacher, alone=alone, lead=lead, worth=worth, both=both)


@dataclass(frozen=True, kw_only=True)
class EffectiveTokensLaw(TokenWorthLaw):
    """Constant kappa, or ``log kappa(q) = log kappa + slope q + curvature q^2``.

    A negative curvature gives a best teacher: the capacity gap. The parabola holds for teachers like those of the
    fitted runs only: far beyond them it makes a student of a very strong teacher worse than a random one, which
    `PeakedTokensLaw` does not.

    Attributes:
        kappa: What a distilled token is worth in supervised tokens (at q = 0).
        slope: Change of log kappa with q.
        curvature: Change of log kappa with q^2.
    """

    kappa: Coefficient
    slope: Coefficient = 0.0
    curvature: Coefficient = 0.0

    def __post_init__(self) -> None:
        require_coefficients(self, positive=("kappa", "m"))
        if not (np.isfinite(self.slope).all() and np.isfinite(self.curvature).all()):
            raise ValueError(f"slope and curvature must be finite, got {self.slope} and {self.curvature}")

    def _log_worth(self, lead: Array, alone: Array) -> "_Worth":
        return _Worth(
            log_kappa=np.log(self.kappa) + self.slope * lead + self.curvature * lead**2,
            by_lead=self.slope + 2 * self.curvature * lead,
            by_alone=np.zeros_like(alone),
            by_coefficient={"kappa": 1 / np.asarray(self.kappa), "slope": lead, "curvature": lead**2},
        )


@dataclass(frozen=True, kw_only=True)
class PeakedTokensLaw(TokenWorthLaw):
    """``log kappa(q) = log(kappa (L~_S - E)^growth) (q / lead) exp(1 - q / lead)``: a best teacher, no cliff beyond it.

    A teacher that is no better than the student alone makes its tokens worth one supervised token, as one endlessly
    better does; the best teacher, at q = lead, makes them worth ``kappa (L~_S - E)^growth``: more for a weak student
    than for a strong one. Loss falls with tokens, but for a bump below 1 % where a strong student passes a weak
    teacher.

    Attributes:
        kappa: Worth of a token under the best teacher, for a student that would end 1 nat above E alone.
        growth: Exponent of that worth in L~_S - E.
        lead: q of the best teacher.
    """

    kappa: Coefficient
    growth: Coefficient
    lead: Coefficient

    def __post_init__(self) -> None:
        require_coefficients(self, positive=("kappa", "m", "lead"))
        if not np.isfinite(self.growth).all():
            raise ValueError(f"growth must be finite, got {self.growth}")

    def _log_worth(self, lead: Array, alone: Array) -> "_Worth":
        x = lead / self.lead
        peak = x * np.exp(1 - x)
        slope = (1 - x) * np.exp(1 - x)  # dpeak / dx
        height = np.log(self.kappa) + self.growth * alone
        return _Worth(
            log_kappa=height * peak,
            by_lead=height * slope / self.lead,
            by_alone=self.growth * peak,
            by_coefficient={
                "kappa": peak / self.kappa,
                "growth": alone * peak,
                "lead": -height * slope * x / self.lead,
            },
        )


class _Worth(NamedTuple):
    """log kappa with its derivatives by q, by log(L~_S - E), and by each coefficient."""

    log_kappa: Array
    by_lead: Array
    by_alone: Array
    by_coefficient: dict[str, Array]


class _Terms(NamedTuple):
    """Pieces of the formula.

    Attributes:
        own: log(L(N_S, kappa D_S) - E).
        teacher: log(L_T - E).
        alone: log(L~_S - E).
        lead: q.
        worth: log kappa and its derivatives.
        both: log of the sum of the two m-th powers.
    """

    own: Array
    teacher: Array
    alone: Array
    lead: Array
    worth: _Worth
    both: Array
