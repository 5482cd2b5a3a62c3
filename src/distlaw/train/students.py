"""Students, their teacher and their losses as one module: `forward` takes tokens and gives sums of losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distlaw.train.config import StudentConfig, TrainingConfig
from distlaw.train.head import Head
from distlaw.train.losses import LossSums, distillation_loss
from distlaw.train.model import build_model, hidden_states
from distlaw.train.mup import parameter_groups
from distlaw.train.targets import DenseTargets, Offer, OnlineTeacher, TeacherTargets, uniforms
from distlaw.train.teacher import Teacher

_DENSE_ELEMENTS = 2**24  # log-probabilities of a batch that several students may share at once: 64 MiB


Asked = tuple[float, Offer]
"""Temperature and kind of targets that a loss asks a teacher for."""


def asked_for(student: StudentConfig) -> Asked:
    """What a student's loss asks for."""
    return student.loss.temperature, student.loss.offer


class Students(nn.Module):
    """One teacher pass and any number of students; each has a loss, and none knows of the others.

    It is one module so that DistributedDataParallel and `fully_shard` wrap the whole: all that is computed in training
    is computed in its `forward`.
    """

    def __init__(
        self,
        configs: Sequence[StudentConfig],
        training: TrainingConfig,
        *,
        vocab_size: int,
        context: int,
        teacher: Teacher | None = None,
    ) -> None:
        """Build the students.

        Args:
            configs: The students.
            training: Parametrisation and seed of the samples.
            vocab_size: Tokens of the data.
            context: Tokens that a block predicts.
            teacher: Whom they learn from.
        """
        super().__init__()
        self.configs, self.training_config, self.vocab_size, self.context = (
            tuple(configs),
            training,
            vocab_size,
            context,
        )
        self.models = nn.ModuleList(
            build_model(
                config.model,
                vocab_size=vocab_size,
                context=context,
                seed=config.seed,
                parametrisation=training.parametrisation,
                base_width=training.base_width,
            )
            for config in configs
        )
        self.teacher = None if teacher is None else teacher.model
        self.after_head = None if teacher is None else teacher.after_head

    def forward(
        self,
        tokens: Tensor,
        mixing: Sequence[float],
        blocks: Sequence[int] | np.ndarray = (),
        cached: Mapping[Asked, TeacherTargets] | None = None,
    ) -> list[LossSums]:
        """Losses of every student on some blocks, summed over target tokens.

        Args:
            tokens: Blocks, shape (n, context + 1).
            mixing: lambda of each student.
            blocks: Their numbers, from which samples are drawn.
            cached: Targets read from a cache, by what a loss asks for, instead of the teacher's.
        """
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        precision = torch.bfloat16 if self.training_config.precision == "bf16" else torch.float32
        with torch.autocast(tokens.device.type, dtype=precision, enabled=precision != torch.float32):
            asked = any(m > 0 for m in mixing) or not torch.is_grad_enabled()
            offered = cached or (self._targets(inputs, blocks) if asked else {})
            found = []
            for config, model, share in zip(self.configs, self.models, mixing, strict=True):
                targets = offered.get(asked_for(config))
                hidden = hidden_states(model, inputs)  # pyright: ignore[reportArgumentType]
                head: Any = model.lm_head
                found.append(distillation_loss(hidden, head.weight, labels, targets, config.loss, share))
        return found

    def _targets(self, inputs: Tensor, blocks: Sequence[int] | np.ndarray) -> dict[tuple[float, Offer], TeacherTargets]:
        """What the teacher offers to each kind of loss, from one forward pass of it."""
        if self.teacher is None or self.after_head is None:
            return {}
        with torch.no_grad():
            hidden = hidden_states(self.teacher, inputs).flatten(0, 1)
        head = Head.of(self.teacher, self.after_head)
        kinds = [asked_for(config) for config in self.configs]
        found: dict[Asked, TeacherTargets] = {}
        for temperature, offer in kinds:
            if (temperature, offer) in found:
                continue
            drawn = None
            if offer.targets == "sampled":
                drawn = uniforms(self.training_config.order_seed, blocks, self.context).to(inputs.device)
            online = OnlineTeacher(hidden, head, self.vocab_size, temperature, offer, drawn)
            shared = kinds.count((temperature, offer)) > 1 and inputs.numel() * self.vocab_size <= _DENSE_ELEMENTS
            if shared and offer.targets == "dense":  # made once for all, where it is small enough to stand whole
                found[temperature, offer] = DenseTargets.of(online.log_probs(slice(None)))
            else:
                found[temperature, offer] = online
        return found


def optimizers(students: Students) -> list[torch.optim.AdamW]:
    """One AdamW for each student, with muP's rates; `initial_lr` keeps what the schedule multiplies."""
    t = students.training_config
    found = []
    for config, model in zip(students.configs, students.models, strict=True):
        groups = parameter_groups(
            model,
            config.model,
            rate=t.rate,
            weight_decay=t.weight_decay,
            parametrisation=t.parametrisation,
            base_width=t.base_width,
        )
        for group in groups:
            group["initial_lr"] = group["lr"]
        found.append(torch.optim.AdamW(groups, betas=(t.beta1, t.beta2), eps=t.epsilon, fused=True))
    return found
