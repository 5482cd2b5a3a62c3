"""Tails of chi^2 and of Student's t, for which numpy has no function."""

from statistics import NormalDist

import numpy as np


def chi2_tail(value: float, degrees: float) -> float:
    """P(chi^2 > value), by the cube root of Wilson and Hilferty 1931: to about 0.005."""
    if value <= 0:
        return 1.0
    spread = 2 / (9 * degrees)
    return 1 - NormalDist().cdf(((value / degrees) ** (1 / 3) - 1 + spread) / np.sqrt(spread))


def t_quantile(level: float, degrees: float) -> float:
    """The t within which Student's t with these degrees of freedom (1 or more) lies with probability `level`.

    >>> round(t_quantile(0.9, 1), 3), round(t_quantile(0.9, 5), 3), round(t_quantile(0.9, 1e6), 3)
    (6.314, 2.015, 1.645)
    """
    t = np.sinh(np.linspace(0, 15, 4001))
    density = (1 + t**2 / degrees) ** (-(degrees + 1) / 2)
    below = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(t)))
    return float(np.interp(level * below[-1], below, t))
