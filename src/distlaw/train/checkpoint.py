"""Checkpoints: whole or not there, checked before use, the newest few kept; nothing in them is a pickle.

Tensors go through torch's distributed checkpoints, so that a run may go on under another number of ranks, into one
safetensors file a rank, whose headers are the index. What else a run goes on from is JSON beside them.
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
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import save as save_state

from distlaw.runs import one_line
from distlaw.train.data import write_durably

_SUMS = "sha256.json"
_ABOUT = "about.json"
_BUILDING = ".building"
_PICKLED_INDEX = ".metadata"  # of checkpoints that earlier versions wrote


def save(folder: Path, step: int, tensors: dict[str, Any], about: dict[str, Any], *, keep: int) -> None:
    """Write a checkpoint beside its place and rename it, then drop all but the newest `keep`.

    Args:
        folder: Folder of checkpoints.
        step: Steps done.
        tensors: Nested dictionaries of tensors.
        about: What else is to be kept, as JSON.
        keep: Checkpoints kept.

    Raises:
        ValueError: It cannot be written; the older ones are untouched.
        KeyboardInterrupt: It was interrupted; the older ones are untouched.
    """
    final, building = folder / f"step-{step:08d}", folder / f"step-{step:08d}{_BUILDING}"
    first = _is_first()
    try:
        if first:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"*{_BUILDING}"):
                shutil.rmtree(left)
            building.mkdir()
        _meet()
        with _alone_without_warning():
            writer = HuggingFaceStorageWriter(str(building), save_distributed=True)
            save_state(tensors, storage_writer=writer, no_dist=not dist.is_initialized())
        if first:
            write_durably(building / _ABOUT, json.dumps({**about, "step": step}))
            write_durably(building / _SUMS, json.dumps(_sums(building)))
            if final.exists():
                shutil.rmtree(final)
            building.replace(final)
            for old in [there for there in _checkpoints(folder) if step_of(there) <= step][:-keep]:  # newer: damaged
                shutil.rmtree(old)
        _meet()
    except BaseException as error:  # torch's own, which is no Exception, and an interrupt
        shutil.rmtree(building, ignore_errors=True)
        cause = _cause(error)
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if isinstance(error, OSError | CheckpointException):
            raise ValueError(
                f"checkpoint '{one_line(final)}' cannot be written ({_reason(cause)}); the last one is intact"
            ) from None
        raise


def newest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose every byte is as it was written, and what was found wrong with newer ones.

    Raises:
        ValueError: There is one of an earlier version, with a pickle in it that nothing here opens.
    """
    damaged = []
    for found in reversed(_checkpoints(folder)):
        if (found / _PICKLED_INDEX).exists():
            raise ValueError(
                f"checkpoint '{one_line(found)}' has a pickle for an index, as earlier versions wrote it, and is not"
                " opened: end the run with the version that began it, or delete its checkpoints to train from the start"
            )
        wrong = _wrong(found)
        if wrong is None:
            return found, damaged
        damaged.append(f"checkpoint '{one_line(found)}' is damaged ({wrong}): going on from an older one")
    return None, damaged


def step_of(checkpoint: Path) -> int:
    """Steps done when it was written."""
    return int(checkpoint.name.removeprefix("step-"))


def about(checkpoint: Path) -> dict[str, Any]:
    """What else was kept with a checkpoint's tensors.

    Raises:
        ValueError: It cannot be read, or is of another step.
    """
    try:
        kept = json.loads((checkpoint / _ABOUT).read_text(encoding="utf-8"))
        if not isinstance(kept, dict) or kept.get("step") != step_of(checkpoint):
            raise ValueError(f"{_ABOUT} is not of this step")
    except (OSError, ValueError, RecursionError) as error:
        raise foreign(checkpoint, error) from None
    return kept


def load(checkpoint: Path, tensors: dict[str, Any]) -> None:
    """Read a checkpoint into the state's own tensors.

    Raises:
        ValueError: It is not of such a state.
    """
    try:
        with _alone_without_warning():
            reader = HuggingFaceStorageReader(str(checkpoint))
            load_state(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    except (Exception, CheckpointException) as error:
        cause = _cause(error)
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise foreign(checkpoint, cause) from None


def foreign(checkpoint: Path, reason: BaseException) -> ValueError:
    """The error of a checkpoint whose bytes are as they were written, and which a run cannot take."""
    return ValueError(
        f"checkpoint '{one_line(checkpoint)}' is not one of this run ({_reason(reason)}): delete it to go on from an"
        " older one or from the start"
    )


def _checkpoints(folder: Path) -> list[Path]:
    named = (p for p in folder.glob("step-*") if p.is_dir())
    return sorted(p for p in named if (n := p.name.removeprefix("step-")).isascii() and n.isdecimal())


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
        actual = _sums(checkpoint)
    except (OSError, ValueError, RecursionError) as error:
        return f"{_SUMS} or what it tells of cannot be read: {_reason(error)}"
    if not isinstance(expected, dict):
        return f"{_SUMS} must hold a JSON object"
    bad = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
    return f"{bad[0]} is not what was written" if bad else None


def _cause(error: BaseException) -> BaseException:
    """What went wrong on some rank, where torch wraps it."""
    if isinstance(error, CheckpointException):
        causes = [cause for cause, _ in error.failures.values()]
        return next((cause for cause in causes if isinstance(cause, KeyboardInterrupt)), causes[0] if causes else error)
    return error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or one_line(str(error) or type(error).__name__)


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
