"""A run's directory: whose it is, and that one process at a time writes into it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch.distributed as dist
from filelock import FileLock, Timeout

from distlaw.runs import one_line
from distlaw.train.config import RunConfig, read_resolved, write_config

CONFIG = "config.toml"
LOCK = "run.lock"


def require_own(out: Path, config: RunConfig) -> None:
    """Check, before anything is done, that a directory is empty or this run's.

    Raises:
        ValueError: It is neither; says what of the other run differs.
    """
    file = out / CONFIG
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(there.name != LOCK for there in out.iterdir())):
            raise ValueError(f"--out '{one_line(out)}' is neither empty nor a run directory: choose another")
        return
    there = read_resolved(file)
    if there.id != config.id:
        changed = _difference(asdict(there), asdict(config))
        raise ValueError(f"--out '{one_line(out)}' holds another run (its {changed} differs): choose another folder")


@contextmanager
def claimed(
    out: Path, config: RunConfig, *, rank: int, any_rank: Callable[[bool], bool], alone: bool = True
) -> Iterator[None]:
    """Make a directory a run's, once all that it needs is there, and keep other processes from it meanwhile.

    Args:
        out: The directory.
        config: The run.
        rank: This process among those of the run; the first one writes, and holds the lock for all.
        any_rank: Whether something is so on any rank.
        alone: Whether to hold a lock; not where leases say who works on what.

    Raises:
        ValueError: Another process works there, or it cannot be made.
    """
    if dist.is_initialized():
        dist.barrier()  # every rank has seen what was there before
    with ExitStack() as stack:
        refusal = None
        if rank == 0:
            try:
                stack.enter_context(made(out))
                if alone:
                    stack.enter_context(alone_in(out))
                require_own(out, config)
                if not (out / CONFIG).exists():
                    write_config(config, out / CONFIG)
            except ValueError as error:
                refusal = error
        if any_rank(refusal is not None):
            raise refusal or ValueError(f"the first process of the run cannot work in '{one_line(out)}'")
        yield


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder, which is there no more if it was not there before and ends up empty.

    Raises:
        ValueError: It cannot be made.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out '{one_line(folder)}' cannot be made ({error.strerror})") from None
    try:
        yield
    finally:
        if new:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine from a folder; the lock ends with this process, however that ends.

    Raises:
        ValueError: Another process has it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"another process works on '{one_line(folder)}': wait until it has ended, or choose another folder"
        ) from None
    except NotImplementedError:  # a file system that knows no locks
        yield
        return
    except OSError as error:
        raise ValueError(f"'{one_line(folder)}' cannot be written to ({error.strerror})") from None
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        lock.release()


def _difference(there: Any, here: Any, where: str = "") -> str:  # noqa: ANN401
    """Name of the first value that differs."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in {**there, **here}:
            if there.get(key) != here.get(key):
                return _difference(there.get(key), here.get(key), f"{where}.{key}" if where else key)
    return where or "config"
