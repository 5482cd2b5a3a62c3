"""Many laws in one: a law whose coefficients are arrays, such as the resamples of a fit."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

L = TypeVar("L")


def map_coefficients(law: L, change: Callable[[NDArray[np.float64]], Any]) -> L:
    """The law with each array among its coefficients changed, and those of the supervised law under it; numbers stay.

    >>> from distlaw.laws import SupervisedLaw
    >>> many = SupervisedLaw(E=np.array([1.8, 1.9]), A=482.0, B=2085.0, alpha=0.35, beta=0.37)
    >>> map_coefficients(many, lambda values: values[0]).E
    np.float64(1.8)
    """
    if not is_dataclass(law) or isinstance(law, type):  # a law of somebody's own, of numbers
        return law
    changed = {}
    for name, value in _parts(law):
        if is_dataclass(value):
            changed[name] = map_coefficients(value, change)
        elif isinstance(value, np.ndarray) and value.ndim:
            changed[name] = change(value)
    return replace(law, **changed)


def laws_in(law: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Shape of the laws in one: that of its coefficients together; () for a law of numbers."""
    if not is_dataclass(law):
        return ()
    shapes = [laws_in(value) if is_dataclass(value) else np.shape(value) for _, value in _parts(law)]
    return np.broadcast_shapes(*shapes)


def _parts(law: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    return ((field.name, getattr(law, field.name)) for field in fields(law))
