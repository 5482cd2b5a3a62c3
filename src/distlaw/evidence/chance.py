"""Quantiles of Fisher's F, and with it of chi-square and Student's t, without SciPy."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LOG_F = np.linspace(-60.0, 60.0, 120_001)  # where even one degree of freedom has left less than 1e-13 of its weight


@lru_cache(maxsize=32)
def _tail(top: float, bottom: float) -> Array:
    """Chance of a larger log F on the grid, by the trapezoid rule, which is exact to rounding on such a bell."""
    if np.isinf(bottom):
        log_density = top / 2 * (_LOG_F - np.exp(np.minimum(_LOG_F, 30.0)))
    else:
        log_density = top / 2 * _LOG_F - (top + bottom) / 2 * np.logaddexp(0.0, np.log(top / bottom) + _LOG_F)
    density = np.exp(log_density - log_density.max())
    above = np.append(np.cumsum(((density[1:] + density[:-1]) / 2)[::-1])[::-1], 0.0)
    return above / above[0]


def f_tail(value: float, top: float, bottom: float) -> float:
    """Chance that F with these degrees of freedom is above `value`.

    Args:
        value: 0 or more.
        top: Degrees of freedom of the numerator.
        bottom: Of the denominator; inf makes it chi-square over `top`.

    >>> round(f_tail(4.0, 3, 20), 4)
    0.0221
    """
    if value <= 0:
        return 1.0
    return float(np.interp(np.log(value), _LOG_F, _tail(top, bottom)))


def f_quantile(chance: float, top: float, bottom: float) -> float:
    """Value that F with these degrees of freedom stays below with this chance.

    >>> round(f_quantile(0.95, 5, 10), 3)
    3.326
    """
    tail = _tail(top, bottom)
    return float(np.exp(np.interp(-(1 - chance), -tail, _LOG_F)))


def t_quantile(level: float, freedom: float) -> float:
    """Half-width of a two-sided interval of coverage `level`, in standard errors.

    >>> round(t_quantile(0.9, 5), 3)
    2.015
    """
    return float(np.sqrt(f_quantile(level, 1, freedom)))


def deviation_interval(deviation: float, freedom: float, level: float) -> tuple[float, float]:
    """Interval of a standard deviation that was estimated with `freedom` degrees of freedom, for normal errors.

    >>> [round(end, 3) for end in deviation_interval(1.0, 10, 0.9)]
    [0.739, 1.593]
    """
    ends = (f_quantile(0.5 + level / 2, freedom, np.inf), f_quantile(0.5 - level / 2, freedom, np.inf))
    return deviation / float(np.sqrt(ends[0])), deviation / float(np.sqrt(ends[1]))
