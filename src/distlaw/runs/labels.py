"""Rows that are alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def same_labels(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Labels from 0 of rows, alike where all columns of numbers are alike; an unknown number (NaN) is like another.

    >>> same_labels(np.array([3.0, np.nan, 3.0, np.nan]), np.array([1.0, 2.0, 1.0, 3.0])).tolist()
    [2, 0, 2, 1]

    Args:
        columns: Of one length; no number is negative.
    """
    keys = [np.where(np.isnan(column), -1.0, column) for column in columns]
    order = np.lexsort(keys[::-1])
    new = np.zeros(order.size, dtype=bool)
    for key in keys:
        ordered = key[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    labels = np.empty(order.size, dtype=np.intp)
    labels[order] = np.cumsum(new)
    return labels
