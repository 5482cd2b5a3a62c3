"""Whether a teacher knows anything of the data: its loss on held-out text beside that of a unigram model."""

import numpy as np
import torch
from torch import Tensor

from distlaw.runs import one_line
from distlaw.train.blocks import Blocks
from distlaw.train.data import Data, Split
from distlaw.train.model import hidden_states
from distlaw.train.targets import OnlineTeacher
from distlaw.train.teacher import Teacher

_HELD_OUT = 4096  # target tokens that a teacher is tried on: minutes for the largest on a CPU, and 0.1 nats are seen
_COUNTED = 2**19  # tokens that the unigram model is made of
_BATCH, _ROWS = 8, 512  # blocks that the teacher reads at once, positions whose logits exist at once


@torch.no_grad()
def require_informative(teacher: Teacher, data: Data, split: Split, device: torch.device | None = None) -> None:
    """Check that a teacher's loss on held-out text is lower than that of the data's token frequencies.

    Args:
        teacher: The teacher, with the data's tokenizer.
        data: The data.
        split: Which split its students read; the frequencies are of this one.
        device: Where the teacher is.

    Raises:
        ValueError: It is not lower, or no number; gives both losses.
    """
    blocks = data.split("validation")
    count = min(max(_HELD_OUT // blocks.context, 1), len(blocks))
    log_frequencies = _unigram(data.split(split), data.vocab_size)
    shown = f"teacher '{one_line(teacher.path)}'"
    own = unigram = 0.0
    for first in range(0, count, _BATCH):
        tokens = torch.from_numpy(blocks.read(np.arange(first, min(first + _BATCH, count))))
        labels = tokens[:, 1:].flatten()
        unigram -= float(log_frequencies[labels].sum())
        try:
            hidden = hidden_states(teacher.model, tokens[:, :-1].to(device)).flatten(0, 1)
        except (IndexError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{shown} cannot read blocks of context {blocks.context} of this data ({one_line(error)})"
            ) from None
        own += _nats(OnlineTeacher(hidden, teacher.head, data.vocab_size), labels.to(device))
    own, unigram = own / (count * blocks.context), unigram / (count * blocks.context)
    if not own < unigram:  # nor where it is no number
        raise ValueError(
            f"{shown} has a loss of {own:.3f} nats on {count * blocks.context} held-out tokens, no better than a"
            f" unigram model's {unigram:.3f}: it knows less of this text than how often each token comes"
        )


def _nats(teacher: OnlineTeacher, labels: Tensor) -> float:
    """What the labels cost, in all."""
    total = 0.0
    for start in range(0, len(labels), _ROWS):
        rows = slice(start, start + _ROWS)
        total -= float(teacher.log_probs(rows).gather(1, labels[rows, None]).sum(dtype=torch.float64))
    return total


def _unigram(blocks: Blocks, vocabulary: int) -> Tensor:
    """Log frequencies of the tokens, shape (V,), with Witten and Bell's share for those not seen."""
    few = min(max(_COUNTED // blocks.context, 1), len(blocks))
    counts = np.bincount(blocks.read(np.arange(few))[:, 1:].ravel(), minlength=vocabulary).astype(np.float64)
    kinds = np.count_nonzero(counts)
    return torch.from_numpy(np.log((counts + kinds / vocabulary) / (counts.sum() + kinds)))
