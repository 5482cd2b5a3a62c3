"""What trained models say of held-out tokens, position by position."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from distlaw.labs.lab import Bench
from distlaw.sweep.protocols import Run

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 16  # blocks at a time


def predictions(bench: Bench, runs: Sequence[Run]) -> "Iterator[tuple[Tensor, list[Tensor]]]":
    """Next tokens and what each model makes of them, on the tokens that runs are evaluated on, some blocks at a time.

    Args:
        bench: A lab's, with a study whose models are at hand.
        runs: Whose models.

    Yields:
        Next tokens of n positions, shape (n,), and log-probabilities of each model, of shape (n, V).
    """
    # Imports torch.
    import torch

    from distlaw.train.model import hidden_states
    from distlaw.train.prepare import prepare
    from distlaw.train.process import one_thread_on_cpu
    from distlaw.train.targets import OnlineTeacher
    from distlaw.train.teacher import open_teacher

    assert bench.study is not None
    one_thread_on_cpu()
    data = prepare(bench.study.data, bench.cache)
    blocks = data.split("validation")
    count = min(bench.study.training.validation_tokens // blocks.context, len(blocks))
    models = [open_teacher(bench.models[run.id]) for run in runs]
    with torch.no_grad():
        for first in range(0, count, _BATCH):
            bench.progress("held-out tokens", first, count)
            batch = torch.from_numpy(blocks.read(np.arange(first, min(first + _BATCH, count))))
            log_probs = [
                OnlineTeacher(
                    hidden_states(one.model, batch[:, :-1]).flatten(0, 1), one.head, data.vocab_size
                ).log_probs(slice(None))
                for one in models
            ]
            yield batch[:, 1:].flatten(), log_probs
