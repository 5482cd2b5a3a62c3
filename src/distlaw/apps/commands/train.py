"""`distlaw train` and `distlaw distill`: a model from a config file, from the start or from where it stopped."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from distlaw.apps.output import print_json, print_warnings
from distlaw.runs import RECORD, read_record
from distlaw.train.trackers import Service

CACHE = Path("~/.cache/distlaw/data")


def train(
    config: Path,
    *,
    out: Path,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
    cache: Path = CACHE,
    sharding: Literal["ddp", "full"] = "ddp",
    track: Annotated[tuple[Service, ...], Parameter(negative=())] = (),
    json: bool = False,
) -> int:
    """Pretrain a language model.

    The same command goes on where an earlier one stopped. Under `torchrun` it runs on many GPUs or processes:
    `torchrun --nproc-per-node 8 -m distlaw train teacher.toml --out runs/teacher`.

    Args:
        config: TOML file with the tables data, model and training; see docs/training.md.
        out: Run directory: config.toml, metrics.jsonl, checkpoints, and at the end record.json and export.
        changes: Replace a value of the file, as training.rate=0.01; may be given again.
        cache: Folder of tokenised data.
        sharding: Under several processes, ddp (each holds the model) or full (they share it).
        track: Send the metrics to tensorboard, trackio or wandb as well; may be given again.
        json: Print the run's record as JSON.
    """
    return _run(config, None, out, changes, cache, sharding, track, json, distill=False)


def distill(
    config: Path,
    *,
    out: Path,
    teacher: str | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
    cache: Path = CACHE,
    sharding: Literal["ddp", "full"] = "ddp",
    track: Annotated[tuple[Service, ...], Parameter(negative=())] = (),
    json: bool = False,
) -> int:
    """Distill a student, or several on one teacher pass, from a teacher.

    The teacher is a run directory of `distlaw train`, a Hugging Face model folder with safetensors, or a GGUF
    file; see docs/training.md for the families. Its tokenizer is the student's unless the config names another.

    Args:
        config: TOML file with the tables data, model, training, loss, teacher and students; see docs/training.md.
        out: Run directory, as of `distlaw train`.
        teacher: Teacher, instead of the file's.
        changes: Replace a value of the file, as loss.mixing=0.7; may be given again.
        cache: Folder of tokenised data.
        sharding: Under several processes, ddp (each holds the models) or full (they share them).
        track: Send the metrics to tensorboard, trackio or wandb as well; may be given again.
        json: Print the run's record as JSON.
    """
    return _run(config, teacher, out, changes, cache, sharding, track, json, distill=True)


def _run(
    config: Path,
    teacher: str | None,
    out: Path,
    overrides: tuple[str, ...],
    cache: Path,
    sharding: Literal["ddp", "full"],
    track: tuple[Service, ...],
    json: bool,
    *,
    distill: bool,
) -> int:
    require_training()
    from distlaw.train.config import read_config
    from distlaw.train.loop import run
    from distlaw.train.process import is_first_rank, one_thread_on_cpu

    one_thread_on_cpu()
    resolved = read_config(config, distill=distill, overrides=overrides, teacher=teacher)
    names = [student.name for student in resolved.students]
    with interruptible(), _bar(resolved.training.steps, names) as (progress, preparing):
        outcome = run(
            resolved,
            out,
            cache=cache.expanduser(),
            sharding=sharding,
            track=track,
            progress=progress,
            preparing=preparing,
        )
    if not is_first_rank():
        return 0
    print_warnings(outcome.notes)
    if outcome.finished:
        show_records(out, json=json)
    return 0


def show_records(out: Path, *, json: bool) -> None:
    """Print what a finished run directory recorded."""
    files = sorted((out / "students").glob(f"*/{RECORD}")) or [out / RECORD]
    records = [read_record(file) for file in files]
    if json:
        print_json(records[0] if len(records) == 1 else {"students": records})
        return
    from distlaw.apps.output import console
    from distlaw.report.tables import records_table

    console().print(records_table(records, run=str(out)))


def require_training() -> None:
    """Check that what training needs is installed.

    Raises:
        ValueError: It is not; says how to install it.
    """
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers", "pydantic") if find_spec(name) is None]
    if missing:
        raise ValueError(f"training needs {', '.join(missing)}: pip install 'distlaw[train]'")


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends what goes on later with one line.

    Raises:
        ValueError: It came.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise ValueError("interrupted; the same command goes on from the last whole file") from None


@contextmanager
def _bar(
    steps: int, names: Sequence[str]
) -> Iterator[tuple[Callable[[Any], None] | None, Callable[[str, int], None] | None]]:
    """Callbacks for training and preparing: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        every = max(steps // 10, 1)

        def line(at: Any) -> None:  # noqa: ANN401
            if at.step % every == 0 or at.step == at.steps:
                print(_said(at, names), file=sys.stderr, flush=True)

        yield line, None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=steps)
        yield (
            lambda at: bars.update(task, completed=at.step, description=_said(at, names)),
            lambda stage, done: bars.update(task, description=f"{stage} {done:,}"),
        )


def _said(at: Any, names: Sequence[str]) -> str:  # noqa: ANN401
    """A step in words; of several students each loss with its name."""
    named = zip(names, at.cross_entropy, strict=True)
    losses = ", ".join(f"{loss:.3f}" if len(names) == 1 else f"{name} {loss:.3f}" for name, loss in named)
    speed = f"{at.tokens_per_second:,.0f} tokens/s ({at.share_of_peak:.0%} of peak)"
    return f"step {at.step}/{at.steps}, cross-entropy {losses} nats, {speed}"
