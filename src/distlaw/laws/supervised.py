"""The supervised scaling law: loss of a model trained on data alone."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.laws.domain import Coefficient, log_of, require_coefficients

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SupervisedLaw:
    """`L(N, D) = E + (A / N^alpha + B / D^beta)^gamma` (eq. 1), in nats per token.

    `gamma = 1` is the form of Hoffmann et al. (2022). N counts parameters without embeddings unless the coefficients'
    source says otherwise; D counts training tokens. Methods broadcast over arrays, work in log space, and accept
    `inf` for a limit.

    Attributes:
        E: Irreducible loss, nats per token.
        A: Size coefficient.
        B: Data coefficient.
        alpha: Size exponent.
        beta: Data exponent.
        gamma: Outer exponent.

    >>> law = SupervisedLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
    >>> round(float(law.loss(70e9, 1.4e12)), 3)
    1.974
    """

    E: Coefficient
    A: Coefficient
    B: Coefficient
    alpha: Coefficient
    beta: Coefficient
    gamma: Coefficient = 1.0

    def __post_init__(self) -> None:
        require_coefficients(self, positive=("A", "B", "alpha", "beta", "gamma"), not_negative=("E",))

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Cross-entropy L(N, D) of eq. 1.

        Args:
            N: Parameters, > 0.
            D: Training tokens, > 0.

        Returns:
            Nats per token, broadcast over N and D.

        Raises:
            ValueError: N or D is not positive.
        """
        return self.E + self._terms(N, D)[3]

    def log_gradient(self, N: ArrayLike, D: ArrayLike) -> tuple[Array, Array]:
        """Derivatives of L with respect to log N and log D: what a 1 % larger model, or 1 % more tokens, is worth.

        Args:
            N: Parameters, > 0.
            D: Training tokens, > 0.

        Returns:
            (dL/dlog N, dL/dlog D) in nats per token, both negative.
        """
        size, data, both, reducible = self._terms(N, D)
        scale = self.gamma * reducible
        return -self.alpha * np.exp(size - both) * scale, -self.beta * np.exp(data - both) * scale

    def coefficient_gradient(self, N: ArrayLike, D: ArrayLike) -> tuple[Array, dict[str, Array]]:
        """L(N, D) and its derivative with respect to each coefficient, for fitting.

        Args:
            N: Parameters, > 0 and finite.
            D: Training tokens, > 0 and finite.

        Returns:
            L and, by name, dL/d(coefficient), each broadcast over N, D and the coefficients.
        """
        size, data, both, reducible = self._terms(N, D)
        by_size = self.gamma * reducible * np.exp(size - both)
        by_data = self.gamma * reducible * np.exp(data - both)
        return self.E + reducible, {
            "E": np.ones_like(reducible),
            "A": by_size / self.A,
            "B": by_data / self.B,
            "alpha": -np.log(N) * by_size,
            "beta": -np.log(D) * by_data,
            "gamma": both * reducible,
        }

    def infinite_data_loss(self, N: ArrayLike) -> Array:
        """`L(N, inf) = E + (A / N^alpha)^gamma`: the best that this size can do."""
        return self.loss(N, np.inf)

    def infinite_size_loss(self, D: ArrayLike) -> Array:
        """`L(inf, D) = E + (B / D^beta)^gamma`: the best that this many tokens can do."""
        return self.loss(np.inf, D)

    def tokens_to_reach(self, L: ArrayLike, N: ArrayLike) -> Array:
        """Tokens D with L(N, D) = L; inf where a model of size N cannot reach L on any data.

        Args:
            L: Target cross-entropy, nats per token.
            N: Parameters, > 0.

        >>> law = SupervisedLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
        >>> float(law.tokens_to_reach(1.8, 70e9))
        inf
        """
        return self._inverse(L, self._log_size_term(N), np.log(self.B), self.beta)

    def params_to_reach(self, L: ArrayLike, D: ArrayLike) -> Array:
        """Parameters N with L(N, D) = L; inf where no model reaches L on D tokens.

        Args:
            L: Target cross-entropy, nats per token.
            D: Training tokens, > 0.
        """
        return self._inverse(L, self._log_data_term(D), np.log(self.A), self.alpha)

    def scaled(self, factor: Coefficient) -> "SupervisedLaw":
        """The law whose every loss is `factor` times this one's: the same exponents, E, A and B changed.

        >>> law = SupervisedLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
        >>> round(float(law.scaled(1.01).loss(70e9, 1.4e12) / law.loss(70e9, 1.4e12)), 6)
        1.01
        """
        inner = factor ** (1 / self.gamma)
        return replace(self, E=self.E * factor, A=self.A * inner, B=self.B * inner)

    @property
    def compute_optimal_exponents(self) -> tuple[Coefficient, Coefficient]:
        """(a, b) with N* ~ C^a and D* ~ C^b: a = beta / (alpha + beta), b = alpha / (alpha + beta). gamma drops out."""
        total = self.alpha + self.beta
        return self.beta / total, self.alpha / total

    def compute_optimal(self, C: ArrayLike) -> tuple[Array, Array]:
        """Size and tokens that minimise L under `C = 6 N D` (the rule of thumb for FLOPs; eq. 9 is exact).

        Args:
            C: Training FLOPs, > 0.

        Returns:
            (N*, D*).
        """
        a, _ = self.compute_optimal_exponents
        log_nd = log_of(C, "compute C") - np.log(6.0)
        log_ratio = np.log(self.alpha * self.A) - np.log(self.beta * self.B)
        log_n = a * log_nd + log_ratio / (self.alpha + self.beta)
        return np.exp(log_n), np.exp(log_nd - log_n)

    def _terms(self, N: ArrayLike, D: ArrayLike) -> tuple[Array, Array, Array, Array]:
        """log(A / N^alpha), log(B / D^beta), log of their sum, and L - E."""
        size, data = self._log_size_term(N), self._log_data_term(D)
        both = np.logaddexp(size, data)
        return size, data, both, np.exp(self.gamma * both)

    def _log_size_term(self, N: ArrayLike) -> Array:
        return np.log(self.A) - self.alpha * log_of(N, "size N")

    def _log_data_term(self, D: ArrayLike) -> Array:
        return np.log(self.B) - self.beta * log_of(D, "tokens D")

    def _inverse(self, L: ArrayLike, log_known: Array, log_coefficient: Coefficient, exponent: Coefficient) -> Array:
        """Solve (L - E)^(1/gamma) = exp(log_known) + coefficient / x^exponent for x."""
        excess = np.asarray(L, dtype=np.float64) - self.E
        # Where the target is out of reach, log gets a placeholder and the result is inf.
        log_needed = np.log(np.where(excess > 0, excess, 1.0)) / self.gamma
        gap = log_known - log_needed
        reachable = (excess > 0) & (gap < 0)
        log_term = log_needed + np.log1p(-np.exp(np.where(reachable, gap, -1.0)))
        with np.errstate(over="ignore"):  # more than 1e308 tokens are as good as never
            return np.where(reachable, np.exp((log_coefficient - log_term) / exponent), np.inf)[()]
