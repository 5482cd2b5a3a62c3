"""Training speed in tokens/s on one thread, against peers on the same model and data, in one run.

Command: `make bench-train` (some minutes). docs/benchmarks.md keeps a printout. Text is Python's library, vocabulary
512, context 128, 8 blocks a step. Peers: a Hugging Face `Trainer`, and for distillation the loss of TRL's GKD trainer
(beta = 0, the forward KL) in a plain loop with `transformers` forward passes, where TRL is installed. What is compared
takes turns, a few steps each, so that other work on the machine slows all alike.
"""

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from distlaw.train.config import RunConfig, config_of
from distlaw.train.data import Data, DataConfig
from distlaw.train.prepare import prepare
from distlaw.train.stored import capture_targets, open_targets
from distlaw.train.students import Students, optimizers
from distlaw.train.teacher import Teacher, open_teacher

BLOCKS, CONTEXT, TURNS, STEPS = 8, 128, 16, 4
DATA: dict[str, Any] = {"limit_bytes": 2_000_000, "context": CONTEXT}
TRL = "distilling, TRL's loss"
TRAINER, PEAK = "Hugging Face Trainer", "matrix product"
PRODUCT = 768  # rows of the matrix product that speed is a share of
Step = Callable[[Tensor, np.ndarray], None]


def model_table(width: int) -> dict:
    """A model of two layers and this width."""
    return {"layers": 2, "width": width}


def config_for(width: int, students: int, *, teacher: str | None, targets: str = "") -> RunConfig:
    """A run of so many students of one width."""
    listed = [{"name": f"s{i}", "seed": i} for i in range(students)]
    content = {
        "data": DATA,
        "model": model_table(width),
        "students": listed,
        "training": {"batch_tokens": BLOCKS * CONTEXT},
    }
    if teacher is not None:
        content["teacher"] = {"path": teacher, "targets": targets}
    return config_of(content, distill=teacher is not None)


def our_step(config: RunConfig, data: Data, teacher: Teacher | None) -> Step:
    """A step as the training loop takes it."""
    c = config
    students = Students(c.students, c.training, vocab_size=data.vocab_size, context=CONTEXT, teacher=teacher)
    own = optimizers(students)
    readers = {} if teacher is None else open_targets(c, data, teacher)
    mixing = [0.0 if teacher is None else 1.0] * len(students.models)

    def step(tokens: Tensor, blocks: np.ndarray) -> None:
        cached = {asked: reader.read(blocks) for asked, reader in readers.items()}
        losses = students(tokens, mixing, blocks, cached or None)
        (torch.stack([loss.objective for loss in losses]).sum() / (BLOCKS * CONTEXT)).backward()
        for model, optimizer in zip(students.models, own, strict=True):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def trl_step(config: RunConfig, data: Data, teacher: Teacher) -> Step | None:
    """Distillation by TRL's GKD loss on logits of whole batches, all else plain."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from trl.experimental.gkd.gkd_trainer import GKDTrainer  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    c = config
    students = Students(c.students, c.training, vocab_size=data.vocab_size, context=CONTEXT)
    [optimizer], [student] = optimizers(students), students.models

    def step(tokens: Tensor, _blocks: np.ndarray) -> None:
        inputs = tokens[:, :-1]
        with torch.no_grad():
            theirs = teacher.model(input_ids=inputs, use_cache=False).logits
        ours = student(input_ids=inputs, use_cache=False).logits
        GKDTrainer.generalized_jsd_loss(ours, theirs, labels=tokens[:, 1:], beta=0).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def take_turns(steps: dict[str, Step], data: Data) -> dict[str, float]:
    """Median tokens/s of each, measured in turns."""
    blocks = data.split("student")
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    at = 0
    for turn in range(TURNS + 1):
        for name, step in steps.items():
            for _ in range(STEPS):
                chosen = np.arange(at, at + BLOCKS) % len(blocks)
                at += BLOCKS
                started = time.perf_counter()
                step(torch.from_numpy(blocks.read(chosen)), chosen)
                if turn:  # the first turn warms up
                    seconds[name].append(time.perf_counter() - started)
    return {name: BLOCKS * CONTEXT / median(taken) for name, taken in seconds.items()}


def trainer_speed(width: int, data: Data, folder: Path) -> float:
    """Tokens/s of a Hugging Face `Trainer`, its whole loop, from the end of one step to the end of the next."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    c = config_for(width, 1, teacher=None)
    students = Students(c.students, c.training, vocab_size=data.vocab_size, context=CONTEXT)
    tokens = data.split("student").read(np.arange(BLOCKS * STEPS * TURNS))[:, :-1]
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_a: object, **_k: object) -> None:
            ends.append(time.perf_counter())

    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BLOCKS,
        num_train_epochs=1,
        learning_rate=1e-3,
        optim="adamw_torch_fused",
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    with contextlib.redirect_stdout(io.StringIO()):  # its summary
        Trainer(
            model=students.models[0],  # pyright: ignore[reportArgumentType]
            args=arguments,
            train_dataset=rows,  # pyright: ignore[reportArgumentType]
            callbacks=[Clock()],
        ).train()
    return BLOCKS * CONTEXT / median(np.diff(ends[STEPS:]).tolist())


def main() -> None:
    """Run the benchmark."""
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare(DataConfig(**DATA), folder / "cache")
        print(f"one thread, {BLOCKS} blocks of {CONTEXT} tokens a step; tokens/s, and as a share of a matrix product")
        for width in (64, 96, 128):
            compare(width, data, folder)
        compare(64, data, folder, times=4)


def compare(width: int, data: Data, folder: Path, times: int = 2) -> None:
    """One width: supervised, distilling from a teacher of twice the width, from stored targets, and four at once."""
    from distlaw.train.tokenizer import export_tokenizer

    path = folder / f"teacher-{width}-{times}"
    one = config_for(times * width, 1, teacher=None)
    big = Students(one.students, one.training, vocab_size=data.vocab_size, context=CONTEXT)
    big.models[0].save_pretrained(path)  # pyright: ignore[reportCallIssue]
    export_tokenizer(data.tokenizer, path, data.end_of_text)
    teacher = open_teacher(path)
    single = config_for(width, 1, teacher=str(path))
    stored = folder / f"targets-{width}-{times}"
    capture_targets(single, stored, cache=folder / "cache", kind="top-k", top_k=32)
    read = config_of(
        {
            "data": DATA,
            "model": model_table(width),
            "training": {"batch_tokens": BLOCKS * CONTEXT},
            "loss": {"targets": "top-k", "top_k": 32},
            "teacher": {"path": str(path), "targets": str(stored)},
        },
        distill=True,
    )
    steps: dict[str, Step | None] = {
        "supervised": our_step(config_for(width, 1, teacher=None), data, None),
        "distilling": our_step(single, data, teacher),
        TRL: trl_step(single, data, teacher),
        "from stored targets": our_step(read, data, teacher),
        "four on one pass": our_step(config_for(width, 4, teacher=str(path)), data, teacher),
    }
    matrix, room = torch.ones(PRODUCT, PRODUCT), torch.empty(PRODUCT, PRODUCT)

    def product(_tokens: Tensor, _blocks: np.ndarray) -> None:
        torch.matmul(matrix, matrix, out=room)

    steps[PEAK] = product
    chosen = {n: s for n, s in steps.items() if s is not None}
    alone = {"supervised": chosen["supervised"]}
    first = take_turns(alone, data)["supervised"]
    plain = trainer_speed(width, data, folder)
    around = (first + take_turns(alone, data)["supervised"]) / 2  # the Trainer's loop cannot take turns
    speed = take_turns(chosen, data)
    peak = 2 * PRODUCT**3 / (BLOCKS * CONTEXT) * speed.pop(PEAK)
    F = one.students[0].model.architecture(vocab_size=data.vocab_size, context=CONTEXT).forward_flops
    own = single.students[0].model.architecture(vocab_size=data.vocab_size, context=CONTEXT).forward_flops
    flops = {
        "supervised": 3 * own,
        "distilling": 3 * own + F,
        "from stored targets": 3 * own,
        "four on one pass": 12 * own + F,
    }
    speed[TRAINER] = plain
    print(f"width {width}, teacher {times} times as wide: matrix products reach {peak / 1e9:.0f} GFLOP/s")
    for label, tokens in speed.items():
        share = f"({tokens * flops[label] / peak:.0%})" if label in flops else ""
        print(f"  {label:24s} {tokens:8,.0f} {share}")
    theirs = speed.get(TRL)
    ratios = [
        f"supervised over Trainer {around / plain:.2f}",
        *([] if theirs is None else [f"distilling over TRL's loss {speed['distilling'] / theirs:.2f}"]),
        f"stored targets over supervised {speed['from stored targets'] / speed['supervised']:.2f}",
        f"four students on one pass over four runs {4 * speed['four on one pass'] / speed['distilling']:.2f}"
        f" (by FLOPs {4 * flops['distilling'] / flops['four on one pass']:.2f})",
    ]
    print("  " + "; ".join(ratios), flush=True)


if __name__ == "__main__":
    main()
