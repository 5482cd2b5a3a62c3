"""What a student reaches alone, read off its own supervised runs, with what seeds leave open."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.evidence.cells import Cells
from distlaw.evidence.noise import SeedNoise
from distlaw.fit import FitResult
from distlaw.laws import SupervisedLaw

Array = NDArray[np.float64]

MEASURED, EXTENDED, LAW = "measured", "extended", "law"
"""Between supervised runs of that very size; beyond them, by the slope of the law; no run of that size at all."""

_FURTHEST = 64.0  # tokens are looked for up to this multiple of the largest number, and down to its inverse
_STEPS_PER_E = 40  # of the grid on which a curve is inverted: linear between, good to 1e-4 of the loss above E
_FLOOR = 1e-9  # nats above E


@dataclass(frozen=True, kw_only=True)
class Alone:
    """Supervised loss of each student size over tokens: the global law, corrected to that size's own runs.

    ``log(L(D) - E) = log(L_law(N, D) - E) + c(log D)``, with c linear between the measured cells and constant beyond:
    exact at the runs, and bent between them as the law is. Row 0 of every result is the estimate; the others are draws,
    each under another resample of the law and another draw of the noise of every supervised cell.

    Attributes:
        laws: The global law and its resamples, coefficients of shape (1 + draws, 1).
        tokens: By student size, log tokens of its supervised cells, ascending, shape (cells,).
        corrections: By student size, c there, shape (1 + draws, cells).
    """

    laws: SupervisedLaw
    tokens: Mapping[float, Array]
    corrections: Mapping[float, Array]

    @property
    def E(self) -> Array:
        """Irreducible loss, shape (1 + draws, 1)."""
        return np.asarray(self.laws.E)

    def loss(self, N: ArrayLike, D: ArrayLike) -> Array:
        """Loss of students of sizes N on tokens D, both of shape (k,): shape (1 + draws, k)."""
        N, D = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (N, D))
        log_excess = np.log(np.maximum(self.laws.loss(N, D) - self.E, _FLOOR))
        for i, (size, tokens) in enumerate(zip(N, D, strict=True)):
            log_excess[:, i] += self._corrections(float(size), np.log([tokens]))[:, 0]
        return self.E + np.exp(log_excess)

    def tokens_to_reach(self, loss: Array, N: ArrayLike) -> Array:
        """Supervised tokens with which students of sizes N (k,) reach losses (1 + draws, k); inf where none do."""
        found = np.full(loss.shape, np.inf)
        for i, size in enumerate(np.atleast_1d(np.asarray(N, dtype=np.float64))):
            every = np.concatenate(list(self.tokens.values()))
            low, high = every.min() - np.log(_FURTHEST), every.max() + np.log(_FURTHEST)
            grid = np.linspace(low, high, int((high - low) * _STEPS_PER_E) + 1)
            curve = np.log(np.maximum(self.laws.loss(size, np.exp(grid)) - self.E, _FLOOR))
            curve = np.minimum.accumulate(curve + self._corrections(float(size), grid), axis=1)
            wanted = np.log(np.maximum(loss[:, i] - self.E[:, 0], _FLOOR))
            for r in np.flatnonzero(curve[:, -1] <= wanted):
                found[r, i] = np.exp(np.interp(-wanted[r], -curve[r], grid))
        return found

    def method(self, N: float, D: float) -> str:
        """How the loss of a student of size N on D tokens is known: `measured`, `extended` or `law`."""
        if N not in self.tokens:
            return LAW
        own, slack = self.tokens[N], 1e-6
        return MEASURED if own[0] - slack <= np.log(D) <= own[-1] + slack else EXTENDED

    def _corrections(self, size: float, log_tokens: Array) -> Array:
        if size not in self.tokens:
            return np.zeros((self.E.shape[0], log_tokens.size))
        own, at = self.tokens[size], self.corrections[size]
        if own.size == 1:
            return np.broadcast_to(at, (at.shape[0], log_tokens.size))
        right = np.clip(np.searchsorted(own, log_tokens), 1, own.size - 1)
        share = np.clip((log_tokens - own[right - 1]) / (own[right] - own[right - 1]), 0.0, 1.0)
        return at[:, right - 1] * (1 - share) + at[:, right] * share


def learn_alone(cells: Cells, fit: FitResult, noise: SeedNoise, *, draws: int, seed: int) -> Alone:
    """Curves of every student size in the supervised cells.

    Args:
        cells: Cells; the distilled ones are left out.
        fit: The supervised law, fitted to them, with at least two resamples.
        noise: Of one run.
        draws: Draws of noise and law.
        seed: Of the noise.
    """
    cells = cells.select(~cells.distilled)
    rng = np.random.default_rng([seed, 1])
    resampled = fit.draws[np.arange(draws) % len(fit.draws)]
    laws = fit.form.law(np.concatenate([fit.theta[None], resampled]), trailing=1)
    assert isinstance(laws, SupervisedLaw)
    E = np.asarray(laws.E)
    std = noise.relative(cells.student_tokens) / np.sqrt(cells.runs)
    scatter = np.concatenate([np.zeros((1, len(cells))), rng.normal(size=(draws, len(cells))) * std])
    excess = np.log(np.maximum(cells.loss * np.exp(scatter) - E, _FLOOR))
    off = excess - np.log(np.maximum(laws.loss(cells.student_params, cells.student_tokens) - E, _FLOOR))
    tokens, corrections = {}, {}
    for size in np.unique(cells.student_params):
        own = np.flatnonzero(cells.student_params == size)
        own = own[np.argsort(cells.student_tokens[own])]
        tokens[float(size)], corrections[float(size)] = np.log(cells.student_tokens[own]), off[:, own]
    return Alone(laws=laws, tokens=tokens, corrections=corrections)


def noisy_losses(cells: Cells, noise: SeedNoise, *, draws: int, seed: int) -> Array:
    """Losses of cells as measured (row 0) and with the noise of their seeds drawn anew, shape (1 + draws, cells)."""
    rng = np.random.default_rng([seed, 2])
    std = noise.relative(cells.student_tokens) / np.sqrt(cells.runs)
    return cells.loss * np.exp(np.concatenate([np.zeros((1, len(cells))), rng.normal(size=(draws, len(cells))) * std]))
