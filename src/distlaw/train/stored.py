"""A run's stored targets: captured from its teacher on its split, and read while its students train."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from distlaw.train.config import RunConfig
from distlaw.train.data import Data
from distlaw.train.head import Head
from distlaw.train.model import hidden_states
from distlaw.train.prepare import prepare
from distlaw.train.run_directory import alone_in, made
from distlaw.train.students import Asked, asked_for
from distlaw.train.target_cache import TargetReader, capture, describe
from distlaw.train.target_records import CacheKey, CacheKind
from distlaw.train.teacher import Teacher, open_teacher, require_same_tokenizer, with_teachers_tokenizer
from distlaw.train.teacher_loss import require_informative


def capture_targets(
    config: RunConfig,
    out: Path,
    *,
    cache: Path,
    kind: CacheKind = "dense",
    temperature: float = 1.0,
    top_k: int | None = None,
    samples: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the targets of a run's teacher for all blocks of its split; goes on where an earlier call stopped.

    Args:
        config: A run with a teacher.
        out: Folder of the targets.
        cache: Folder of prepared data.
        kind: See `CacheKey`.
        temperature: tau.
        top_k: Tokens kept, for `top-k`.
        samples: Draws a position, for `sampled`; their seed is the run's `order_seed`.
        progress: Called with blocks done and blocks in all.

    Raises:
        ValueError: The teacher, the data or the folder will not do.
    """
    if config.teacher is None or not config.teacher.path:
        raise ValueError("targets are captured from a teacher: name it in [teacher], or as --teacher")
    teacher = open_teacher(Path(config.teacher.path))
    data = prepare(with_teachers_tokenizer(config, teacher, cache).data, cache)
    require_same_tokenizer(teacher, data.tokenizer)
    require_informative(teacher, data, config.split)
    seed = config.training.order_seed if kind == "sampled" else None
    key = replace(
        _dense(config, data, teacher), kind=kind, temperature=temperature, top_k=top_k, samples=samples, seed=seed
    )

    @torch.no_grad()
    def asked(inputs: Tensor) -> tuple[Tensor, Head]:
        return hidden_states(teacher.model, inputs), teacher.head

    with made(out), alone_in(out):
        capture(out, key, data.split(config.split), asked, progress=progress)


def open_targets(config: RunConfig, data: Data, teacher: Teacher) -> dict[Asked, TargetReader]:
    """Readers of stored targets for every kind that a run's students ask for; empty where it asks the teacher itself.

    Raises:
        ValueError: The folder was captured for something else, cannot serve a student's loss, or is damaged.
    """
    if config.teacher is None or not config.teacher.targets:
        return {}
    folder = Path(config.teacher.targets)
    held, wanted = describe(folder).key, _dense(config, data, teacher)
    readers = {}
    for student in config.students:
        temperature, offer = asked_for(student)
        if student.has_teacher and (temperature, offer) not in readers:
            seed = config.training.order_seed if held.kind == "sampled" else None
            key = replace(
                wanted, kind=held.kind, temperature=temperature, top_k=held.top_k, samples=held.samples, seed=seed
            )
            readers[temperature, offer] = TargetReader(folder, key, offer)
    return readers


def _dense(config: RunConfig, data: Data, teacher: Teacher) -> CacheKey:
    return CacheKey(
        tokenizer=data.tokenizer_hash,
        data=data.hash,
        split=config.split,
        teacher=teacher.hash,
        context=data.context,
        vocabulary=data.vocab_size,
    )
