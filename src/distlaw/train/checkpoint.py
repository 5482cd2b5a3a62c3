"""Checkpoints: whole or not there, checked before use, the newest few kept.

Training state goes through torch's distributed checkpoints, so that a run may go on under another number of ranks.
Their index is a pickle: go on with run directories of your own only. What is handed on, `export/`, is safetensors.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import save as save_state

from distlaw.runs import one_line
from distlaw.train.data import write_durably

_SUMS = "sha256.json"
_BUILDING = ".building"


def save(folder: Path, step: int, state: dict[str, Any], *, keep: int) -> None:
    """Write a checkpoint beside its place and rename it, then drop all but the newest `keep`.

    Args:
        folder: Folder of checkpoints.
        step: Steps done.
        state: Anything that `torch.distributed.checkpoint` takes.
        keep: Checkpoints kept.

    Raises:
        ValueError: It cannot be written; the older ones are untouched.
    """
    final, building = folder / f"step-{step:08d}", folder / f"step-{step:08d}{_BUILDING}"
    first = _is_first()
    try:
        if first:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"*{_BUILDING}"):
                shutil.rmtree(left)
        _meet()
        with _alone_without_warning():
            save_state(state, checkpoint_id=building, no_dist=not dist.is_initialized())
        if first:
            write_durably(building / _SUMS, json.dumps(_sums(building)))
            if final.exists():
                shutil.rmtree(final)
            building.replace(final)
            for old in [there for there in _checkpoints(folder) if step_of(there) <= step][:-keep]:  # newer: damaged
                shutil.rmtree(old)
        _meet()
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        reason = error.strerror or one_line(error)
        raise ValueError(
            f"checkpoint '{one_line(final)}' cannot be written ({reason}); the last one is intact"
        ) from None


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose every byte is as it was written, and what was found wrong with newer ones."""
    damaged = []
    for found in reversed(_checkpoints(folder)):
        wrong = _wrong(found)
        if wrong is None:
            return found, damaged
        damaged.append(f"checkpoint '{one_line(found)}' is damaged ({wrong}): going on from an older one")
    return None, damaged


def step_of(checkpoint: Path) -> int:
    """Steps done when it was written."""
    return int(checkpoint.name.removeprefix("step-"))


def load(checkpoint: Path, state: dict[str, Any]) -> None:
    """Read a checkpoint into the state's own tensors."""
    with _alone_without_warning():
        load_state(state, checkpoint_id=checkpoint, no_dist=not dist.is_initialized())


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdigit())


def _sums(checkpoint: Path) -> dict[str, str]:
    found = {}
    for file in sorted(checkpoint.iterdir()):
        if file.name != _SUMS:
            with file.open("rb") as stream:
                found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _wrong(checkpoint: Path) -> str | None:
    try:
        expected = json.loads((checkpoint / _SUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return f"{_SUMS} cannot be read"
    if not isinstance(expected, dict):
        return f"{_SUMS} is no list of files"
    actual = _sums(checkpoint)
    bad = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
    return f"{bad[0]} is not what was written" if bad else None


@contextmanager
def _alone_without_warning() -> Iterator[None]:
    """One process without a process group is meant; torch warns of it at every call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def _meet() -> None:
    if dist.is_initialized():
        dist.barrier()
