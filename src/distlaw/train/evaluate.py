"""What a model is worth on held-out tokens: against the data, against its teacher, and how sure it is of itself."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distlaw.train.blocks import Blocks
from distlaw.train.calibration import Calibration
from distlaw.train.head import Head
from distlaw.train.losses import LossConfig, LossSums, distillation_loss
from distlaw.train.model import hidden_states
from distlaw.train.targets import DenseTargets, OnlineTeacher, Targets
from distlaw.train.teacher import Teacher

_BATCH = 16  # blocks at a time
_MEASURED = LossConfig(mixing=1.0, z_loss=0.0)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Means over held-out target tokens, nats per token; what needs a teacher is None without one.

    Attributes:
        tokens: Target tokens measured on.
        cross_entropy: Of the model against the data: the loss that every law is about.
        accuracy: Share of tokens that are the model's likeliest.
        teacher_cross_entropy: Of the teacher against the same data, on the same tokens.
        cross_entropy_teacher: Of the model against the teacher's distribution.
        kl: KL(teacher || model).
        teacher_entropy: Entropy of the teacher's distribution.
        agreement: Share of positions where model and teacher have the same likeliest token.
        ece: Expected calibration error against the data, 21 bins of top-1 confidence (appendix E.8).
        ece_teacher: The same against the teacher's likeliest token.
        ece_dist: Of the teacher's confidence in bins of the model's (eq. 39).
        reliability: Reliability diagram against the data: confidence, accuracy and predictions of every bin that is not
            empty.
    """

    tokens: int
    cross_entropy: float
    accuracy: float
    ece: float
    reliability: tuple[tuple[float, float, int], ...]
    teacher_cross_entropy: float | None = None
    cross_entropy_teacher: float | None = None
    kl: float | None = None
    teacher_entropy: float | None = None
    agreement: float | None = None
    ece_teacher: float | None = None
    ece_dist: float | None = None


@torch.no_grad()
def evaluate(
    model: Any,  # noqa: ANN401
    blocks: Blocks,
    *,
    vocab_size: int,
    tokens: int = 0,
    teacher: Teacher | None = None,
    head: Head | None = None,
    device: torch.device | None = None,
) -> Evaluation:
    """Measure a model on the first blocks of a split.

    The same blocks in the same batches whoever asks, so that losses of two models are of the same tokens.

    Args:
        model: A `transformers` causal language model.
        blocks: Held-out blocks.
        vocab_size: Tokens of the data.
        tokens: Target tokens to measure on, rounded down to blocks; 0: all.
        teacher: Its teacher, with the same tokens.
        head: Its output layer and what follows it, `Teacher.head`; None for a model of ours, which has no more than
            the layer.
        device: Where the models are.
    """
    count = min(max(tokens // blocks.context, 1), len(blocks)) if tokens else len(blocks)
    was_training = model.training
    model.eval()
    sums, seen = torch.zeros(len(LossSums.names()), dtype=torch.float64), _Seen()
    for batch in _batches(blocks, count, device):
        inputs, labels = batch[:, :-1], batch[:, 1:]
        targets = None
        if teacher is not None:
            hidden = hidden_states(teacher.model, inputs).flatten(0, 1)
            targets = OnlineTeacher(hidden, teacher.head, vocab_size)
        weight = model.get_output_embeddings().weight[:vocab_size]
        hidden = hidden_states(model, inputs)
        mixing, after = 0.0 if targets is None else 1.0, None if head is None else head.after
        found = distillation_loss(hidden, weight, labels, targets, _MEASURED, mixing, observe=seen, after=after)
        sums += found.detached().cpu()
    model.train(was_training)
    means = dict(zip(LossSums.names(), (sums / sums[-1]).tolist(), strict=True))
    total = int(sums[-1])
    calibration = seen.calibration
    assert calibration is not None
    data, filled = calibration.data, calibration.data.counts > 0
    bins = zip(data.confidence[filled], data.outcome[filled], data.counts[filled], strict=True)
    alone = Evaluation(
        tokens=total,
        cross_entropy=means["cross_entropy"],
        accuracy=seen.right / total,
        ece=data.ece,
        reliability=tuple((float(c), float(o), int(n)) for c, o, n in bins),
    )
    if calibration.teacher is None or calibration.distribution is None:
        return alone
    return replace(
        alone,
        teacher_cross_entropy=seen.teacher_nats / total,
        cross_entropy_teacher=means["cross_entropy_teacher"],
        kl=means["kl"],
        teacher_entropy=means["teacher_entropy"],
        agreement=seen.agreed / total,
        ece_teacher=calibration.teacher.ece,
        ece_dist=calibration.distribution.ece,
    )


class _Seen:
    """Sums that the loss does not keep: hits against the data and the teacher, and the teacher's own loss."""

    def __init__(self) -> None:
        self.right = self.agreed = 0
        self.teacher_nats = 0.0
        self.calibration: Calibration | None = None

    def __call__(self, log_q: Tensor, labels: Tensor, targets: Targets | None) -> None:
        best = log_q.argmax(-1)
        self.right += int((best == labels).sum())
        dense = targets.log_probs if isinstance(targets, DenseTargets) else None
        measured = Calibration.of(log_q, labels, dense)
        self.calibration = measured if self.calibration is None else self.calibration + measured
        if isinstance(targets, DenseTargets):
            self.agreed += int((best == targets.log_probs.argmax(-1)).sum())
            chosen = targets.log_probs.gather(1, labels[:, None])
            self.teacher_nats -= float(chosen.sum(dtype=torch.float64))


def _batches(blocks: Blocks, count: int, device: torch.device | None) -> Iterator[Tensor]:
    for first in range(0, count, _BATCH):
        yield torch.from_numpy(blocks.read(np.arange(first, min(first + _BATCH, count)))).to(device)
