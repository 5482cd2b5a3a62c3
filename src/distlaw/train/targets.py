"""What a teacher offers a student at each position: its whole distribution, its top tokens, samples, or its best guess.

Positions are rows: a batch of blocks is flattened to n positions, block after block. Distributions are those of
softmax(z_T / tau), the teacher's side of eq. 7 of arXiv 2502.08606; V is the student's vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distlaw.train.head import Head

Rows = slice | Tensor
Kind = Literal["dense", "top-k", "top-p", "sampled", "top-1"]
Tail = Literal["bucket", "renormalise"]

# Log-probability of what cannot happen. exp makes it exactly 0 as it does -inf, and 0 times it is 0 and not NaN.
IMPOSSIBLE = -1e4


@dataclass(frozen=True, eq=False)
class DenseTargets:
    """The teacher's whole distribution.

    Attributes:
        log_probs: log p_T, shape (n, V).
        probs: p_T, shape (n, V).
        entropy: Entropy of p_T in nats, shape (n,).
    """

    log_probs: Tensor
    probs: Tensor
    entropy: Tensor

    @classmethod
    def of(cls, log_probs: Tensor) -> "DenseTargets":
        """From log p_T of shape (n, V)."""
        probs = torch.softmax(log_probs, -1)
        return cls(log_probs, probs, -(probs * log_probs).sum(-1))

    def at(self, rows: Rows) -> "DenseTargets":
        """The targets of these positions."""
        return DenseTargets(self.log_probs[rows], self.probs[rows], self.entropy[rows])


@dataclass(frozen=True, eq=False)
class TailTargets:
    """Probabilities of some tokens, and of all others together: a distribution over K + 1 outcomes.

    Attributes:
        ids: The tokens, most likely first, shape (n, K). Where a row has fewer, it repeats its first.
        log_probs: Their log p_T, shape (n, K); `IMPOSSIBLE` where `ids` repeats.
        log_tail: log of the mass of all other tokens, shape (n,).
    """

    ids: Tensor
    log_probs: Tensor
    log_tail: Tensor

    def at(self, rows: Rows) -> "TailTargets":
        """The targets of these positions."""
        return TailTargets(self.ids[rows], self.log_probs[rows], self.log_tail[rows])

    def renormalised(self) -> "PointTargets":
        """The tail's mass given to the kept tokens in proportion. A student's mass elsewhere still costs it.

        The student is left over its whole vocabulary: with both sides renormalised nothing would pull it out of the
        tail.
        """
        log_weights = torch.log_softmax(self.log_probs, -1)
        weights = torch.softmax(log_weights, -1)
        return PointTargets(self.ids, weights, -(weights * log_weights).sum(-1), self.log_tail.exp())


@dataclass(frozen=True, eq=False)
class PointTargets:
    """Weights on a few tokens, to be fitted by cross-entropy.

    Attributes:
        ids: The tokens, shape (n, K).
        weights: Weights, shape (n, K), summing to 1; 0 fills up short rows.
        entropy: What turns their cross-entropy into a KL, in nats, shape (n,): the entropy of the weights, but for
            samples that of the teacher, for which the KL is unbiased as the cross-entropy is.
        lost_mass: p_T of the tokens left out, shape (n,). 0 for samples, which leave none out in expectation.
    """

    ids: Tensor
    weights: Tensor
    entropy: Tensor
    lost_mass: Tensor

    def at(self, rows: Rows) -> "PointTargets":
        """The targets of these positions."""
        return PointTargets(self.ids[rows], self.weights[rows], self.entropy[rows], self.lost_mass[rows])


Targets = DenseTargets | TailTargets | PointTargets


class TeacherTargets(Protocol):
    """Anything that gives targets for chosen positions: the three above, `OnlineTeacher` or `KnownTeacher`."""

    def at(self, rows: Rows) -> Targets:
        """The targets of these positions of the batch."""
        ...


def log_mass(probs: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Mass outside some tokens, summed rather than subtracted from 1, so that a tiny one keeps its digits.

    Args:
        probs: Probabilities, shape (n, V).
        excluded: Tokens that do not count, shape (n, K).

    Returns:
        `probs` with zeros at `excluded`, and the log of what is left in each row, shape (n,).
    """
    rest = probs.scatter(1, excluded, 0.0)
    return rest, rest.sum(-1).clamp_min(torch.finfo(probs.dtype).tiny).log()


def top_k(log_probs: Tensor, k: int) -> TailTargets:
    """The k most likely tokens and the mass of the rest, from log p_T of shape (n, V)."""
    kept, ids = log_probs.topk(min(k, log_probs.shape[1]))
    return _with_tail(log_probs, ids, kept, kept > IMPOSSIBLE)


def top_p(log_probs: Tensor, p: float) -> TailTargets:
    """The fewest most likely tokens whose mass reaches p and the mass of the rest, from log p_T of shape (n, V)."""
    k = 64  # a full sort of a large vocabulary takes far longer than a second try
    while True:
        kept, ids = log_probs.topk(min(k, log_probs.shape[1]))
        probs = kept.exp()
        needed = (probs.cumsum(-1) - probs < p) & (kept > IMPOSSIBLE)
        if k >= log_probs.shape[1] or not bool(needed[:, -1].any()):
            break
        k *= 4
    width = int(needed.sum(-1).max()) if len(needed) else 0
    return _with_tail(log_probs, ids[:, :width], kept[:, :width], needed[:, :width])


def _with_tail(log_probs: Tensor, ids: Tensor, kept: Tensor, needed: Tensor) -> TailTargets:
    ids = torch.where(needed, ids, ids[:, :1])
    return TailTargets(ids, kept.masked_fill(~needed, IMPOSSIBLE), log_mass(torch.softmax(log_probs, -1), ids)[1])


def top_1(log_probs: Tensor) -> PointTargets:
    """The most likely token alone, from log p_T of shape (n, V)."""
    best, ids = log_probs.max(-1, keepdim=True)
    return PointTargets(ids, torch.ones_like(best), torch.zeros_like(best[:, 0]), -torch.expm1(best[:, 0]))


def drawn(log_probs: Tensor, samples: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Draw tokens from the teacher so that E[count / samples] = p_T exactly.

    The draws of a position are the points (j + u) / samples, j = 0, 1, .., of its cumulative distribution: unbiased
    like the independent draws of arXiv 2503.16870, and each count is within 1 of samples * p_T, so the gradient's
    variance is smaller.

    Args:
        log_probs: log p_T, shape (n, V).
        samples: Draws per position.
        uniforms: u in [0, 1), one per position, shape (n,).

    Returns:
        Tokens drawn in increasing order and how often, each of shape (n, K); a count of 0 fills up short rows.
    """
    cumulative = torch.softmax(log_probs, -1).cumsum(-1, dtype=torch.float64)
    comb = (torch.arange(samples, dtype=torch.float64, device=log_probs.device) + uniforms[:, None]) / samples
    total = cumulative[:, -1:]
    points = torch.minimum(comb * total, torch.nextafter(total, torch.zeros_like(total)))  # rounding may reach the end
    ids = torch.searchsorted(cumulative, points, right=True)
    slot = torch.zeros_like(ids)
    slot[:, 1:] = (ids[:, 1:] != ids[:, :-1]).cumsum(-1)
    width = int(slot.max()) + 1 if len(slot) else 0
    empty = ids.new_zeros(len(ids), width)
    return empty.scatter(1, slot, ids), empty.scatter_add(1, slot, torch.ones_like(ids))


def sampled(log_probs: Tensor, samples: int, uniforms: Tensor) -> PointTargets:
    """Weights count / samples on drawn tokens: an unbiased stand-in for p_T; arguments as those of `drawn`."""
    ids, counts = drawn(log_probs, samples, uniforms)
    entropy = -(torch.softmax(log_probs, -1) * log_probs).sum(-1)
    return PointTargets(ids, counts.to(log_probs.dtype) / samples, entropy, torch.zeros_like(entropy))


def uniforms(seed: int, blocks: Sequence[int] | np.ndarray, context: int) -> Tensor:
    """One number in [0, 1) per position, a function of (seed, block, position) and of nothing else.

    Returns:
        Shape (blocks * context,), float64.
    """
    # The raw stream, and not Generator.random, because numpy promises that it stays as it is.
    keys = [np.array([seed, block], dtype=np.uint64) for block in blocks]
    streams = [np.random.Philox(key=key).random_raw(context) for key in keys]
    return torch.from_numpy((np.array(streams, dtype=np.uint64).reshape(-1) >> np.uint64(11)) * 2.0**-53)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What of its distribution a teacher offers.

    Attributes:
        targets: "dense", all of it; "top-k" or "top-p", the likeliest tokens; "sampled", unbiased samples; "top-1",
            the likeliest token as if it were the truth.
        top_k: Tokens kept, for "top-k".
        top_p: Mass kept, in (0, 1), for "top-p".
        samples: Draws a position, for "sampled".
        tail: What becomes of the mass that "top-k" and "top-p" leave out: "bucket", one outcome more, or
            "renormalise", given to the kept tokens, which is biased (arXiv 2503.16870).
    """

    targets: Kind = "dense"
    top_k: int | None = None
    top_p: float | None = None
    samples: int | None = None
    tail: Tail = "bucket"

    def __post_init__(self) -> None:
        for name, choices in (("targets", get_args(Kind)), ("tail", get_args(Tail))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} '{getattr(self, name)}' is unknown; choose {', '.join(choices)}")
        for name, kind in (("top_k", "top-k"), ("top_p", "top-p"), ("samples", "sampled")):
            value = getattr(self, name)
            if value is None and self.targets == kind:
                raise ValueError(f"{name} is missing, targets '{kind}' need it")
            if value is not None and self.targets != kind:
                raise ValueError(f"{name} is {value}, but it is for targets '{kind}' and they are '{self.targets}'")
            if value is None:
                continue
            if name == "top_p" and not 0 < value < 1:
                raise ValueError(f"top_p must be above 0 and below 1, got {value}")
            if name != "top_p" and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")

    def of(self, log_probs: Tensor, uniforms: Tensor | None = None) -> Targets:
        """The offer for log p_T of shape (n, V).

        Args:
            log_probs: log p_T, shape (n, V).
            uniforms: Numbers from `uniforms`, shape (n,), for samples.
        """
        if self.targets == "dense":
            return DenseTargets.of(log_probs)
        if self.targets == "top-1":
            return top_1(log_probs)
        if self.targets == "sampled":
            assert self.samples is not None
            assert uniforms is not None, "samples are drawn with the numbers of `uniforms`"
            return sampled(log_probs, self.samples, uniforms)
        if self.targets == "top-k":
            assert self.top_k is not None
            return self.of_top(top_k(log_probs, self.top_k))
        assert self.top_p is not None
        return self.of_top(top_p(log_probs, self.top_p))

    def of_top(self, top: TailTargets) -> TailTargets | PointTargets:
        """The offer for tokens that were kept already."""
        return top.renormalised() if self.tail == "renormalise" else top


@dataclass(frozen=True, eq=False)
class OnlineTeacher:
    """A teacher's hidden states and head; its logits exist only for the positions asked for.

    Teachers pad their vocabularies differently. Rows of the head beyond the student's vocabulary are left out, and
    tokens that the teacher lacks get probability 0, as a logit of -inf would do.

    Attributes:
        hidden: Its last hidden states, shape (n, d_T).
        head: Its output layer, or the layer's weights of shape (V_T, d_T) where that is all there is.
        vocabulary: V, the student's vocabulary.
        temperature: tau.
        offer: What is made of the distribution.
        uniforms: Numbers from `uniforms`, shape (n,), for samples.
    """

    hidden: Tensor
    head: Tensor | Head
    vocabulary: int
    temperature: float = 1.0
    offer: Offer = Offer()
    uniforms: Tensor | None = None

    @torch.no_grad()
    def log_probs(self, rows: Rows) -> Tensor:
        """Give log p_T of these positions, shape (rows, V)."""
        head = self.head if isinstance(self.head, Head) else Head(self.head)
        logits = head.logits(self.hidden[rows], self.vocabulary)
        if self.temperature != 1:
            logits = logits / self.temperature
        log_probs = torch.log_softmax(logits, -1)
        lacking = self.vocabulary - log_probs.shape[1]
        return F.pad(log_probs, (0, lacking), value=IMPOSSIBLE) if lacking else log_probs

    @torch.no_grad()
    def at(self, rows: Rows) -> Targets:
        """The targets of these positions."""
        return self.offer.of(self.log_probs(rows), None if self.uniforms is None else self.uniforms[rows])


@dataclass(frozen=True, eq=False)
class KnownTeacher:
    """A teacher whose distribution is at hand, and what it offers of it, made for the positions asked for.

    Attributes:
        log_probs: log p_T, shape (n, V).
        offer: What is made of the distribution; not samples, which a cache draws when it is captured.
    """

    log_probs: Tensor
    offer: Offer = Offer()

    def at(self, rows: Rows) -> Targets:
        """The targets of these positions."""
        return self.offer.of(self.log_probs[rows])
