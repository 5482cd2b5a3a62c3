"""What a token costs by size, read off the computes of the supervised runs themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.evidence.answer import CannotSay
from distlaw.runs import Runs

Array = NDArray[np.float64]

_BEYOND = 1.5  # a size may lie outside the measured ones by this factor


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Forward FLOPs per token, F(N) = C / 3 D of supervised runs, a power law between sizes.

    Attributes:
        params: Sizes, ascending, shape (k,).
        flops: F at them.
    """

    params: Array
    flops: Array

    def forward_flops(self, N: ArrayLike) -> Array:
        """F(N); beyond the sizes it goes on as between the last two."""
        x, grid, y = np.log(np.asarray(N, dtype=np.float64)), np.log(self.params), np.log(self.flops)
        right = np.clip(np.searchsorted(grid, x), 1, grid.size - 1)
        slope = (y[right] - y[right - 1]) / (grid[right] - grid[right - 1])
        return np.exp(y[right] + slope * (x - grid[right]))

    def covers(self, N: ArrayLike) -> NDArray[np.bool_]:
        """Which sizes lie among the measured ones, or nearly."""
        N = np.asarray(N, dtype=np.float64)
        low, high = self.params[0] / _BEYOND, self.params[-1] * _BEYOND
        return (low <= N) & (high >= N)  # False for NaN


def read_prices(runs: Runs) -> Prices | CannotSay:
    """Prices of the sizes whose supervised runs have a compute."""
    alone = runs.select(~runs.distilled & ~np.isnan(runs.compute))
    sizes = np.unique(alone.student_params)
    if sizes.size < 2:
        return CannotSay(because="fewer than two sizes have a supervised run with its compute")
    per_token = alone.compute / (3 * alone.student_tokens)
    flops = np.array([np.median(per_token[alone.student_params == size]) for size in sizes])
    return Prices(params=sizes, flops=flops)
