"""The order in which blocks are read: a pure function of (seed, epoch, step, rank), so that resuming is arithmetic.

An epoch is a permutation of all blocks, computed point by point: an eight-round Feistel network over the smallest
square power of two that holds them, walked on from values beyond the last block. A shuffled array of indices would be
shorter to write, but at 1e9 blocks it takes 8 GB and a minute in every rank and at every resume, and numpy does not
promise the same shuffle in its next version; this takes no memory at any size and is written out below.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Order:
    """Which block is read when; every block once an epoch, each epoch in an order of its own.

    Attributes:
        blocks: Number of blocks there are.
        seed: 0 or more; another seed, another order.
    """

    blocks: int
    seed: int

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"blocks={self.blocks}: an order needs at least one block")
        if not 0 <= self.seed <= _MASK:
            raise ValueError(f"seed={self.seed} must lie between 0 and 2^64 - 1")

    def indices(self, step: int, batch: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        """Blocks that a rank reads at a step.

        The blocks of the whole step do not depend on the number of ranks: rank r takes the r-th of `world` equal parts.
        A step may end one epoch and begin the next.

        Args:
            step: Step, from 0.
            batch: Blocks that all ranks together read at a step.
            rank: This rank.
            world: Number of ranks.

        Returns:
            `batch / world` indices of blocks.

        Raises:
            ValueError: `batch` is not a multiple of `world`, or a number is out of its range.
        """
        if step < 0 or batch < 1 or not 0 <= rank < world:
            raise ValueError(
                f"step={step}, batch={batch}, rank={rank}, world={world}: step must be 0 or more,"
                " batch and world at least 1, rank between 0 and world - 1"
            )
        if batch % world:
            raise ValueError(f"batch={batch} blocks cannot be shared by world={world} ranks: it must be a multiple")
        part = batch // world
        first = step * batch + rank * part
        return self.at(np.arange(first, first + part))

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Blocks at positions of the endless sequence of epochs; position p is in epoch p // blocks."""
        half = np.uint64(max(1, ((self.blocks - 1).bit_length() + 1) // 2))
        epoch, value = np.divmod(np.asarray(positions).astype(np.uint64), np.uint64(self.blocks))
        key = mixed(mixed(np.full(1, self.seed, np.uint64)) ^ epoch)
        value = _permuted(value, key, half)
        while (beyond := value >= self.blocks).any():  # a permutation of the square: the walk comes back
            value[beyond] = _permuted(value[beyond], key[beyond], half)
        return value.astype(np.int64)


def mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words, one to one: SplitMix64 (Steele, Lea & Flood 2014)."""
    x = x + np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _permuted(value: NDArray[np.uint64], key: NDArray[np.uint64], half: np.uint64) -> NDArray[np.uint64]:
    """One pass of the Feistel network over numbers of 2 * half bits, each under its own key."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for number in range(_ROUNDS):
        round_key = key + np.uint64(number * _GOLDEN & _MASK)
        left, right = right, left ^ (mixed(right ^ round_key) & mask)
    return (left << half) | right
