"""The task of the pointer mapping: what is asked, what is answered, and how often (appendix C.2 of arXiv 2502.08606).

An input is a context of n numbers in {0, 1, 2}, followed by a one-hot of length n that points at one of them. If that
number is 0, the answer is the position pointed at; otherwise it is the position of the other element that is equal to
it.

How contexts are drawn is left open in the text. Its three examples, of n = 8, show that exactly one other element is
equal to a nonzero one pointed at, while the other values may occur any number of times. So here the position pointed at
is uniform, and its value is uniform in {0, 1, 2}. If it is 1 or 2, the position of its one equal is uniform among the
others, and the rest are uniform over the two other values. If it is 0, the rest are uniform over all three. The answer
is then well defined, and each position is the answer as often as any other.

At n = 8 there are 24,664 inputs: few enough for a table.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POSITIONS = 8
_ZEROS = POSITIONS * 3 ** (POSITIONS - 1)
"""Inputs that point at a 0; they come first in the table."""


def answer(context: Sequence[int], hot: int) -> int:
    """What the mapping gives.

    Args:
        context: Numbers in {0, 1, 2}.
        hot: Position pointed at.

    Raises:
        ValueError: The number there is not 0 and has not exactly one equal.

    >>> answer([1, 1, 2, 0, 1, 2, 0, 0], hot=5)
    2
    """
    equals = [i for i, number in enumerate(context) if number == context[hot] and i != hot]
    if context[hot] == 0:
        return hot
    if len(equals) != 1:
        raise ValueError(f"context {list(context)} has {len(equals)} other elements equal to that at {hot}, not one")
    return equals[0]


@lru_cache(maxsize=1)
def inputs_and_answers() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Every input, shape (rows, 2 n), and its answer; those that point at a 0 first."""
    contexts = np.indices((3,) * POSITIONS).reshape(POSITIONS, -1).T
    hot, which = (part.reshape(-1) for part in np.indices((POSITIONS, len(contexts))))
    context = contexts[which]
    pointed = np.eye(POSITIONS, dtype=np.int64)[hot]
    value = context[np.arange(len(context)), hot]
    others = (context == value[:, None]) & (pointed == 0)
    answers = np.where(value == 0, hot, others.argmax(axis=1))
    kept = np.concatenate([np.flatnonzero(value == 0), np.flatnonzero((value > 0) & (others.sum(axis=1) == 1))])
    return np.concatenate([context, pointed], axis=1)[kept].astype(np.float32), answers[kept]


def chances() -> Array:
    """How often each input is drawn: a third of all point at a 0, the others at a number with one equal."""
    pairs = len(inputs_and_answers()[1]) - _ZEROS
    return np.concatenate([np.full(_ZEROS, 1 / 3 / _ZEROS), np.full(pairs, 2 / 3 / pairs)])


def draw(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Rows of the table by their chances."""
    rows = len(inputs_and_answers()[1])
    u = rng.random(size)
    drawn = np.where(u < 1 / 3, 3 * u * _ZEROS, _ZEROS + (3 * u - 1) / 2 * (rows - _ZEROS))
    return np.minimum(drawn.astype(np.int64), rows - 1)
