"""Seed noise: how far losses of runs scatter that differ in their seed alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.evidence.answer import LEVEL, CannotSay
from distlaw.evidence.cells import Cells
from distlaw.evidence.chance import deviation_interval, t_quantile

Array = NDArray[np.float64]

_ENOUGH_FREEDOM, _ENOUGH_LEVELS = 10, 3  # for a slope in tokens


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A pooled relative standard deviation.

    Attributes:
        relative_std: Standard deviation of log loss over seeds.
        interval: 90 % interval by chi-square, as for normal errors.
        freedom: Degrees of freedom.
        cells: Cells with two seeds or more.
    """

    relative_std: float
    interval: tuple[float, float]
    freedom: int
    cells: int


@dataclass(frozen=True, kw_only=True)
class SeedNoise:
    """Seed noise of a study.

    Attributes:
        pooled: Over all cells.
        kinds: Over `supervised` and over `distilled` cells; a kind without a second seed is absent.
        exponent: Of the noise in tokens, ``std ~ D^exponent``, by maximum likelihood; or why there is none.
        exponent_interval: 90 % interval of it; NaN where there is none.
        reference_tokens: Tokens at which a power law in tokens crosses `reference_std`.
        reference_std: Relative standard deviation there.
        source: What it was read off: `seeds`, or `residuals` of a law where no cell has a second seed.
    """

    pooled: Spread
    kinds: Mapping[str, Spread]
    exponent: float | CannotSay
    exponent_interval: tuple[float, float]
    reference_tokens: float
    reference_std: float
    source: str = "seeds"

    @property
    def varies(self) -> bool:
        """Whether the noise changes with tokens by more than chance."""
        low, high = self.exponent_interval
        return low > 0 or high < 0

    def relative(self, tokens: ArrayLike) -> Array:
        """Relative standard deviation of one run; the pooled one unless it changes with tokens by more than chance."""
        tokens = np.asarray(tokens, dtype=np.float64)
        if not self.varies or isinstance(self.exponent, CannotSay):
            return np.full(tokens.shape, self.pooled.relative_std)
        return self.reference_std * (tokens / self.reference_tokens) ** self.exponent


def seed_noise(cells: Cells) -> SeedNoise | CannotSay:
    """Relative standard deviation of losses over seeds, pooled over cells.

    A cell of n runs gives n - 1 degrees of freedom. The noise is that of a student's own seed (weights and order of
    data): all runs share their validation text, and those of a cell their teacher.

    Args:
        cells: Of both kinds.
    """
    several = cells.select(cells.runs > 1)
    if not len(several) or several.squares.sum() == 0:
        return CannotSay(because="no student was trained with a second seed")
    kinds = {"supervised": ~several.distilled, "distilled": several.distilled}
    exponent, interval, middle, std = _slope(several)
    return SeedNoise(
        pooled=_pool(several),
        kinds={name: _pool(several.select(mask)) for name, mask in kinds.items() if several.squares[mask].sum() > 0},
        exponent=exponent,
        exponent_interval=interval,
        reference_tokens=middle,
        reference_std=std,
    )


def scatter_as_noise(residuals: Array, coefficients: int) -> SeedNoise:
    """The scatter of runs about a law in the place of seed noise, which it can only exceed.

    Args:
        residuals: Of log losses.
        coefficients: Free coefficients of the law.
    """
    freedom = max(residuals.size - coefficients, 1)
    std = float(np.sqrt((residuals**2).sum() / freedom))
    return SeedNoise(
        pooled=Spread(
            relative_std=std,
            interval=deviation_interval(std, freedom, LEVEL),
            freedom=freedom,
            cells=residuals.size,
        ),
        kinds={},
        exponent=CannotSay(because="no student was trained with a second seed"),
        exponent_interval=(float("nan"), float("nan")),
        reference_tokens=float("nan"),
        reference_std=std,
        source="residuals",
    )


def _pool(cells: Cells) -> Spread:
    freedom = int((cells.runs - 1).sum())
    std = float(np.sqrt(cells.squares.sum() / freedom))
    return Spread(relative_std=std, interval=deviation_interval(std, freedom, LEVEL), freedom=freedom, cells=len(cells))


def _slope(cells: Cells) -> tuple[float | CannotSay, tuple[float, float], float, float]:
    """Exponent of the noise in tokens, its interval, the middle of the tokens and the noise there.

    ``log variance = a + b log D`` by Fisher scoring on chi-square likelihoods, whose information is half the degrees of
    freedom.
    """
    freedom = cells.runs - 1
    total, levels = int(freedom.sum()), np.unique(cells.student_tokens).size
    x = np.log(cells.student_tokens)
    middle = float(np.average(x, weights=freedom))
    start = np.log(cells.squares.sum() / total)
    nothing = (float("nan"), float("nan"))
    if total < _ENOUGH_FREEDOM or levels < _ENOUGH_LEVELS:
        because = f"{total} degrees of freedom over {levels} numbers of tokens are too few for a slope"
        return CannotSay(because=because), nothing, float(np.exp(middle)), float(np.exp(start / 2))
    design = np.stack([np.ones_like(x), x - middle], axis=1)
    information = 0.5 * (design * freedom[:, None]).T @ design
    b = np.array([start, 0.0])
    for _ in range(200):
        ratio = cells.squares / freedom * np.exp(-design @ b)
        step = np.linalg.solve(information, 0.5 * design.T @ (freedom * (ratio - 1)))
        b = b + np.clip(step, -1.0, 1.0)
    half = t_quantile(LEVEL, total - 2) * float(np.sqrt(np.linalg.inv(information)[1, 1]))
    interval = (float(b[1] - half) / 2, float(b[1] + half) / 2)
    return float(b[1]) / 2, interval, float(np.exp(middle)), float(np.exp(b[0] / 2))
