"""How a run ends: every student measured, exported and recorded."""

import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch.distributed as dist

from distlaw.costs import Architecture, read_architecture, student_cost
from distlaw.runs import RECORD, read_record, record_text, written_whole
from distlaw.runs.files import follow_umask
from distlaw.train.config import RunConfig, StudentConfig
from distlaw.train.data import Data
from distlaw.train.evaluate import Evaluation, evaluate
from distlaw.train.model_folder import hashes
from distlaw.train.students import Students
from distlaw.train.teacher import EXPORT, Teacher
from distlaw.train.tokenizer import export_tokenizer


def finish(
    config: RunConfig,
    data: Data,
    students: Students,
    teacher: Teacher | None,
    out: Path,
    *,
    spent: tuple[float, float],
    world: int,
    rank: int,
) -> None:
    """Measure every student on validation, export it, and write its record last.

    Args:
        config: The run.
        data: Its data.
        students: The trained students.
        teacher: Their teacher.
        out: Run directory.
        spent: Wall and CPU seconds of training.
        world: Ranks.
        rank: This one; only the first writes.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # of files that are written in no time
    weights = [_whole(model) for model in students.models]
    if rank:
        return
    alone = len(config.students) == 1
    for student, model, state in zip(config.students, students.models, weights, strict=True):
        folder = out if alone else out / "students" / student.name
        folder.mkdir(parents=True, exist_ok=True)
        plain: Any = _rebuilt(student, data, state) if world > 1 else model
        measured = evaluate(
            plain,
            data.split("validation"),
            vocab_size=data.vocab_size,
            tokens=config.training.validation_tokens,
            teacher=teacher,
            device=next(plain.parameters()).device,
        )
        plain.config.eos_token_id = data.tokenizer.token_to_id(data.end_of_text)
        plain.save_pretrained(folder / EXPORT)
        export_tokenizer(data.tokenizer, folder / EXPORT, data.end_of_text)
        follow_umask(folder / EXPORT)
        taught = teacher if student.has_teacher else None
        row = _record(config, student, data, taught, measured, spent, world)
        _write({**row, **hashes(folder / EXPORT)}, folder / RECORD)
    if not alone:  # what says that the whole run is done
        _write({"run": config.id, "students": [s.name for s in config.students]}, out / RECORD)


def recorded(config: RunConfig, out: Path) -> tuple[bool, list[str]]:
    """Whether every student of a run has its record; one that is damaged is set aside, to be written again.

    Args:
        config: The run.
        out: Run directory.

    Returns:
        Whether all are there and sound, and what was set aside.
    """
    alone = len(config.students) == 1
    own = [] if alone else [out / "students" / student.name / RECORD for student in config.students]
    notes = []
    for file in (out / RECORD, *own):
        if not file.exists():
            continue
        try:
            read_record(file)
        except ValueError as error:
            aside = file.with_name(f"{RECORD}.damaged")
            file.replace(aside)
            notes.append(f"{error}: it is now '{aside.name}', and is written again")
    return all(file.exists() for file in (out / RECORD, *own)), notes


def _record(
    config: RunConfig,
    student: StudentConfig,
    data: Data,
    teacher: Teacher | None,
    measured: Evaluation,
    spent: tuple[float, float],
    world: int,
) -> dict[str, Any]:
    """The row that `fit` reads, and what else one would ask of a run later.

    The teacher's forward passes are shared by the students that learn from them, and cost nothing here where its
    targets were stored before (delta_lgt = 0 of eq. 9). A student whose lambda is 0 throughout is a supervised run,
    though it was measured against the teacher.
    """
    t = config.training
    shape = student.model.architecture(vocab_size=data.vocab_size, context=data.context)
    tokens = t.steps * t.batch_tokens
    students = sum(s.has_teacher for s in config.students)
    cost = student_cost(
        F_S=shape.forward_flops,
        D_S=tokens,
        F_T=0.0 if teacher is None else architecture_of(teacher, data).forward_flops,
        D_T=0.0 if teacher is None else teacher.tokens or 0.0,
        teacher_logits=0.0 if config.teacher is None or config.teacher.targets else 1 / max(students, 1),
    )
    flops = {name: float(value) for name, value in vars(cost).items()}
    row: dict[str, Any] = {
        "run": config.id,
        "name": student.name,
        "student_params": shape.n_params,
        "student_tokens": tokens,
        "student_loss": measured.cross_entropy,
        "teacher_loss": None if teacher is None else measured.teacher_cross_entropy,
        "teacher_params": None if teacher is None else teacher.params,
        "teacher_tokens": None if teacher is None else teacher.tokens,
        "compute": float(cost.total),
        "seed": student.seed,
        "epochs": data.split(config.split).epochs_used(tokens),
        "flops": flops,
        "evaluation": asdict(measured),
        "irreducible_loss": data.entropy_rate,
        "teacher_hash": None if teacher is None else teacher.hash,
        "data_hash": data.hash,
        "tokenizer_hash": data.tokenizer_hash,
        "wall_seconds": spent[0],
        "cpu_seconds": spent[1],
        "ranks": world,
        "students_on_one_pass": len(config.students),
        "versions": {name: version(name) for name in ("distlaw", "torch", "transformers", "tokenizers", "numpy")}
        | {"python": platform.python_version()},
    }
    return row


def _whole(model: Any) -> dict[str, Any]:  # noqa: ANN401
    """Weights that are not sharded, on the first rank."""
    if not dist.is_initialized():
        return {}
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def _rebuilt(student: StudentConfig, data: Data, state: dict[str, Any]) -> Any:  # noqa: ANN401
    from distlaw.train.model import build_model

    model = build_model(student.model, vocab_size=data.vocab_size, context=data.context, seed=student.seed)
    model.load_state_dict(state)
    return model


def architecture_of(teacher: Teacher, data: Data) -> Architecture:
    """Shape of a teacher as `costs` reads it from its config, at the data's context."""
    folder = teacher.path / EXPORT if (teacher.path / EXPORT).is_dir() else teacher.path
    if (folder / "config.json").is_file():
        return read_architecture(folder, n_ctx=data.context)
    from distlaw.costs import architecture_from_config

    return architecture_from_config(teacher.model.config.to_dict(), n_ctx=data.context)


def _write(record: dict[str, Any], path: Path) -> None:
    with written_whole(path, "record") as temporary:
        temporary.write_text(record_text(record), encoding="utf-8")
