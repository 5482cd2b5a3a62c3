"""Few data of a narrow distribution, read over and over: the setting of Beyer et al. (arXiv 2106.05237) in small.

The teacher is one of the study's own, trained on fresh tokens of the broad distribution. A student is distilled from it
on a small set of documents, again and again, and beside it one of the same first weights is trained on the same blocks
in the same order without the teacher. Both are measured on documents of the narrow distribution that nobody trained on.

`full` takes the essays of the text, of which the teacher read some, and the dictionary besides. `quick` takes a few
documents of the synthetic language, which has no narrower part: its set is small and not narrow.

A document's split follows from its content and the seed, and what is below a share is below any larger one. So as long
as the narrow set's two shares end below the teacher's share, the teacher has read none of its documents.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distlaw.labs.findings import Preset
from distlaw.labs.lab import Bench, core_seconds
from distlaw.labs.trials import scale, seeds_from
from distlaw.runs import RECORD, read_record, written_whole
from distlaw.sweep.protocols import Run
from distlaw.train.config import RunConfig, StudentConfig, TeacherConfig
from distlaw.train.data import DataConfig
from distlaw.train.losses import LossConfig

_SUPERVISED, _DISTILLED = "supervised", "distilled"
_ESSAYS_BYTES = 3_000_000  # in which the shares below find some 60,000 tokens, as many as the briefest fresh run reads


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """What came of training on the narrow set.

    Attributes:
        tokens: Tokens of the set, one epoch.
        teacher_loss: L_T on held-out documents of it, nats per token.
        distilled: L_S by epochs and seed, nats per token.
        supervised: The same without the teacher.
    """

    tokens: int
    teacher_loss: float
    distilled: Mapping[int, Mapping[int, float]]
    supervised: Mapping[int, Mapping[int, float]]


def narrow(bench: Bench, *, params: float, teacher: Run, epochs: tuple[int, ...]) -> Narrow:
    """Train on the narrow set, from the start or from where it was left.

    Args:
        bench: The lab's; run directories are kept in its folder.
        params: N of the student.
        teacher: Run of the study, its teacher.
        epochs: How often the set is read.

    Raises:
        KeyboardInterrupt: Asked to stop; the same call goes on.
    """
    # Imports torch.
    from distlaw.train.loop import run
    from distlaw.train.prepare import prepare
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    s = scale(bench.preset)
    folder = bench.models[teacher.id]
    data = narrow_data(bench.preset, bench.out, s.base.data, folder / "export")
    tokens = prepare(data, bench.cache).split("student").tokens
    model = replace(s.base.family, layers=s.base.kind().nearest(params))
    found: dict[str, dict[int, dict[int, float]]] = {_DISTILLED: {}, _SUPERVISED: {}}
    teacher_loss, done = 0.0, 0
    seeds = seeds_from(bench.seed, s.seeds)
    for times in epochs:
        for seed in seeds:
            bench.progress("narrow data", done, sum(epochs) * len(seeds))
            config = RunConfig(
                data=data,
                training=replace(
                    s.base.training, tokens=times * tokens, order_seed=seed, checkpoint_every=10**9, keep=1
                ),
                students=(
                    StudentConfig(name=_DISTILLED, model=model, seed=seed),
                    StudentConfig(name=_SUPERVISED, model=model, seed=seed, loss=LossConfig(mixing=0.0)),
                ),
                teacher=TeacherConfig(path=str(folder)),
                split="student",
            )
            out = bench.out / "narrow" / f"{times}-epochs-seed-{seed}"
            done_before = all((out / "students" / name / RECORD).exists() for name in found)
            if not run(config, out, cache=bench.cache).finished:
                raise KeyboardInterrupt
            for name, by_epochs in found.items():
                record: dict[str, Any] = read_record(out / "students" / name / RECORD)
                by_epochs.setdefault(times, {})[seed] = record["student_loss"]
                teacher_loss = record["evaluation"]["teacher_cross_entropy"]
                if done_before:
                    bench.before[f"{out.name} {name}"] = core_seconds(record)
            done += times
    return Narrow(tokens=tokens, teacher_loss=teacher_loss, distilled=found[_DISTILLED], supervised=found[_SUPERVISED])


def narrow_data(preset: Preset, out: Path, broad: DataConfig, tokenizer: Path) -> DataConfig:
    """The narrow set, its documents in none of the teacher's."""
    if preset == "quick":
        config = replace(broad, synthetic_tokens=200_000, validation_share=0.42, student_share=0.08)
    else:
        config = replace(
            broad,
            source="jsonl",
            paths=(str(_essays(out)),),
            tokenizer=str(tokenizer),
            limit_bytes=_ESSAYS_BYTES,
            validation_share=0.42,
            student_share=0.08,
        )
    assert config.validation_share + config.student_share < broad.validation_share + broad.student_share
    return config


def _essays(out: Path) -> Path:
    """The text's essays in a file; pieces of its dictionary are told by the blank lines between entries."""
    from distlaw.train.sources import open_source

    file = out / "narrow" / "essays.jsonl"
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        with written_whole(file, "essays") as temporary, temporary.open("w", encoding="utf-8") as stream:
            for text in open_source("debian").documents():
                if "\n\n" not in text:
                    stream.write(json.dumps({"text": text}) + "\n")
    return file
