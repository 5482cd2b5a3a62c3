"""What the laws accept: positive inputs, finite coefficients."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def log_of(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """Natural logarithm of a quantity that must be positive (inf is allowed and means the limit).

    Raises:
        ValueError: Some entry is zero, negative or NaN.
    """
    array = np.asarray(value, dtype=np.float64)
    if not (array > 0).all():
        bad = array[~(array > 0)].flat[0]
        raise ValueError(f"{name} must be positive, got {bad:g}")
    return np.log(array)


Coefficient = float | NDArray[np.float64]
"""A coefficient: a number, or an array of numbers (many laws in one, such as the resamples of a fit) that broadcasts
against what the law is asked about."""


def require_coefficients(law: Any, *, positive: tuple[str, ...], not_negative: tuple[str, ...] = ()) -> None:  # noqa: ANN401
    """Check a law's coefficients when it is made.

    Raises:
        ValueError: Names the coefficient, its value and what it must be.
    """
    for names, lowest_allowed, must_be in (
        (positive, False, "positive"),
        (not_negative, True, "zero or more"),
    ):
        for name in names:
            value = getattr(law, name)
            array = np.asarray(value)
            if not (np.isfinite(array) & ((array > 0) | (lowest_allowed & (array == 0)))).all():
                raise ValueError(f"{type(law).__name__}.{name} must be finite and {must_be}, got {value}")
