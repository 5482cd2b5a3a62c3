"""What targets were captured for, and how those of a block become bytes and targets again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from distlaw.train.blocks import token_dtype
from distlaw.train.targets import IMPOSSIBLE, DenseTargets, Offer, PointTargets, TailTargets, Targets

CacheKind = Literal["dense", "dense-16", "top-k", "sampled"]
Unsigned = NDArray[np.unsignedinteger]

_STEPS = 2**11  # of a 16-bit log-probability, per nat
_LAST = 2**16 - 1
_PIECE = 2**16  # numbers put together at once, in the cache


@dataclass(frozen=True, kw_only=True)
class CacheKey:
    """What targets belong to: two caches are the same if and only if this is.

    Attributes:
        tokenizer: Hash of the tokenizer.
        data: Hash of the tokens.
        split: Which part of the data.
        teacher: Hash of the teacher.
        context: Positions of a block.
        vocabulary: V of the student.
        kind: "dense", every log-probability in float32; "dense-16", in 16 bits; "top-k", the likeliest tokens and the
            mass of the rest; "sampled", unbiased draws.
        temperature: tau.
        top_k: Tokens kept, for "top-k".
        samples: Draws a position, for "sampled".
        seed: Of the draws, for "sampled".
    """

    tokenizer: str
    data: str
    split: str
    teacher: str
    context: int
    vocabulary: int
    kind: CacheKind = "dense"
    temperature: float = 1.0
    top_k: int | None = None
    samples: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(CacheKind):
            raise ValueError(f"kind '{self.kind}' is unknown; choose {', '.join(get_args(CacheKind))}")
        if self.context < 1 or self.vocabulary < 1:
            raise ValueError(f"context and vocabulary must be 1 or more, got {self.context} and {self.vocabulary}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if (self.seed is None) == (self.kind == "sampled"):
            raise ValueError(f"seed is {self.seed} for targets of kind '{self.kind}'; 'sampled' needs one, others none")
        offer = self.offer  # checks top_k and samples
        if (offer.top_k or 0) > self.vocabulary:
            raise ValueError(f"top_k is {self.top_k}, more than the vocabulary of {self.vocabulary}")
        if (offer.samples or 0) > _LAST:
            raise ValueError(f"samples must be {_LAST} or fewer, got {self.samples}")

    @property
    def offer(self) -> Offer:
        """What is asked of the teacher."""
        targets = "dense" if self.kind == "dense-16" else self.kind
        return Offer(targets=targets, top_k=self.top_k, samples=self.samples)

    def serves(self, offer: Offer) -> bool:
        """Whether such an offer can be made from the cache: dense ones serve all but samples, others their own."""
        if self.offer.targets == "dense":
            return offer.targets != "sampled"
        return (offer.targets, offer.top_k, offer.samples) == (self.kind, self.top_k, self.samples)


def raw_bytes(key: CacheKey) -> int:
    """Size of a block's targets before compression, at most."""
    token = token_dtype(key.vocabulary).itemsize
    a_position = {
        "dense": 4 * key.vocabulary,
        "dense-16": 2 * key.vocabulary,
        "top-k": (token + 2) * (key.top_k or 0) + 2,
        "sampled": (token + 2) * (key.samples or 0) + 4,
    }
    return key.context * a_position[key.kind]


def encode(key: CacheKey, parts: Sequence[Targets]) -> bytes:
    """The targets of a block, given in parts."""
    pieces = zip(*(_arrays(key, part) for part in parts), strict=True)
    return b"".join(_bytes_by_weight(np.concatenate(piece)) for piece in pieces)


def decode(key: CacheKey, blocks: Iterable[bytes], count: int) -> Tensor | TailTargets | PointTargets:
    """The targets of `count` blocks, their positions one after the other.

    Returns:
        log p_T of shape (positions, V) of a dense cache; other targets as they were captured.
    """
    records = (_Record(np.frombuffer(block, np.uint8)) for block in blocks)
    if key.kind == "sampled":
        return _samples(key, list(records))
    if key.kind == "top-k":
        return _top(key, list(records))
    log_probs = np.empty((count, key.context * key.vocabulary), np.float32)
    for record, row in zip(records, log_probs, strict=True):
        if key.kind == "dense":
            record.take_into(row.view(np.uint32))
        else:
            np.divide(record.take(row.size, np.uint16), -_STEPS, out=row, dtype=np.float32)
    tensor = torch.from_numpy(log_probs).view(-1, key.vocabulary)
    return tensor if key.kind == "dense" else torch.log_softmax(tensor, -1)


def _arrays(key: CacheKey, targets: Targets) -> list[Unsigned]:
    """What is stored of some positions, each array flat, in the order in which they are taken out again."""
    token = token_dtype(key.vocabulary)
    if isinstance(targets, DenseTargets):
        log_probs = targets.log_probs.float().cpu().numpy()
        return [log_probs.view(np.uint32).ravel() if key.kind == "dense" else _codes(log_probs)]
    if isinstance(targets, TailTargets):
        return [
            targets.ids.cpu().numpy().astype(token).ravel(),
            _codes(targets.log_probs.cpu().numpy()),
            _codes(targets.log_tail.cpu().numpy()),
        ]
    assert key.samples is not None
    counts = (targets.weights * key.samples).round().cpu().numpy().astype(np.uint16)
    present = counts > 0
    return [
        present.sum(-1).astype(np.uint16),
        _codes(-targets.entropy.cpu().numpy()),
        targets.ids.cpu().numpy().astype(token)[present],
        counts[present],
    ]


def _top(key: CacheKey, records: list["_Record"]) -> TailTargets:
    """Kept tokens and tail, which rounding to 16 bits must not keep from summing to 1."""
    assert key.top_k is not None
    shape = (len(records) * key.context, key.top_k)
    token, size = token_dtype(key.vocabulary), key.context * key.top_k
    ids = np.concatenate([record.take(size, token) for record in records]).reshape(shape)
    codes = np.concatenate([record.take(size, np.uint16) for record in records]).reshape(shape)
    tail = np.concatenate([record.take(key.context, np.uint16) for record in records])
    impossible = codes == _LAST
    kept = np.where(impossible, np.float32(IMPOSSIBLE), _log_probs(codes))
    outcomes = torch.from_numpy(np.concatenate([kept, _log_probs(tail)[:, None]], -1)).log_softmax(-1)
    return TailTargets(
        torch.from_numpy(np.where(impossible, ids[:, :1], ids).astype(np.int64)),
        outcomes[:, :-1].masked_fill(torch.from_numpy(impossible), IMPOSSIBLE),
        outcomes[:, -1],
    )


def _samples(key: CacheKey, records: list["_Record"]) -> PointTargets:
    """Draws of each position, which differ in number."""
    assert key.samples is not None
    token = token_dtype(key.vocabulary)
    lengths = np.concatenate([record.take(key.context, np.uint16) for record in records])
    entropy = -_log_probs(np.concatenate([record.take(key.context, np.uint16) for record in records]))
    drawn = lengths.reshape(len(records), -1).sum(-1, dtype=np.int64).tolist()
    present = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(present.shape, np.int64)
    counts = np.zeros(present.shape, np.float32)
    ids[present] = np.concatenate([record.take(n, token) for record, n in zip(records, drawn, strict=True)])
    counts[present] = np.concatenate([record.take(n, np.uint16) for record, n in zip(records, drawn, strict=True)])
    return PointTargets(
        torch.from_numpy(ids),
        torch.from_numpy(counts) / key.samples,
        torch.from_numpy(entropy),
        torch.zeros(len(entropy)),
    )


def _codes(log_probs: NDArray[np.float32]) -> Unsigned:
    """Log-probabilities in 16 bits; the last code is all that is -32 or less."""
    return np.minimum(np.rint(-log_probs.ravel() * _STEPS), _LAST).astype(np.uint16)


def _log_probs(codes: Unsigned) -> NDArray[np.float32]:
    return codes.astype(np.float32) / np.float32(-_STEPS)


def _bytes_by_weight(values: Unsigned) -> bytes:
    """All high bytes, then all lower ones: zstd finds the pattern of exponents that mantissas would hide."""
    shifts = range(8 * (values.itemsize - 1), -1, -8)
    return b"".join((values >> values.dtype.type(shift)).astype(np.uint8).tobytes() for shift in shifts)


class _Record:
    """A decompressed block, taken apart from the front."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = data

    def take(self, count: int, dtype: DTypeLike) -> Unsigned:
        values = np.empty(count, dtype)
        self.take_into(values)
        return values

    def take_into(self, values: Unsigned) -> None:
        size = values.nbytes
        planes, self._data = self._data[:size].reshape(values.itemsize, -1), self._data[size:]
        for start in range(0, len(values), _PIECE):
            piece = slice(start, start + _PIECE)
            some = values[piece]
            some[:] = planes[0, piece]
            for plane in planes[1:]:
                some <<= 8
                some |= plane[piece]
