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
            if not (np.isfinite(value) and (value > 0 or (lowest_allowed and value == 0))):
                raise ValueError(f"{type(law).__name__}.{name} must be finite and {must_be}, got {value}")
