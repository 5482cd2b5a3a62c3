"""What a worker does with a job: claim it, train it, publish its records, give it back.

The same function runs in a process of this machine and as a task of a cluster. It is told what to do by a `Task` and
says how it went by a `Report`; everything else is in the study's store.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from distlaw.runs import RECORD, one_line
from distlaw.runs import read_record as read_run_record
from distlaw.sweep.jobs import Job, config_of
from distlaw.sweep.lease import Held, Lost, claim
from distlaw.sweep.run_folder import take_over
from distlaw.sweep.state import JOBS, note_failure, read_record, record_name, write_record
from distlaw.sweep.status import FAILURES
from distlaw.sweep.store import Store
from distlaw.sweep.study import Study

Ending = Literal["done", "held", "failed", "stopped", "teacher", "died"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job for a worker.

    Attributes:
        study: The study.
        url: Its store.
        job: The job.
        after: Number of the job's newest lease.
        cache: Folder of prepared data on the worker's machine.
        checkpoint_every: Steps between checkpoints.
    """

    study: Study
    url: str
    job: Job
    after: int
    cache: Path
    checkpoint_every: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a job ended.

    Attributes:
        job: Its id.
        ending: done; held (by somebody else); failed; stopped (with a checkpoint); teacher (its teacher was damaged,
            and has to be trained again); died (the worker did, which it cannot say itself).
        error: One line, of a failure.
    """

    job: str
    ending: Ending
    error: str = ""


def work(task: Task) -> Report:
    """Do a job, from the start or from its checkpoint."""
    store, job = Store(task.url), task.job
    report = partial(Report, job=job.id)
    try:
        held = claim(store, job.id, task.after, orphaned=_leave)
    except OSError as error:  # the store does not answer: whoever looks next sees whether the job is free
        return report(ending="held", error=one_line(error))
    if held is None:
        return report(ending="held")
    with held:
        try:
            return _do(store, task, held)
        except Lost:
            return report(ending="held")


def _do(store: Store, task: Task, held: Held) -> Report:
    """Do a job that is ours.

    Raises:
        Lost: It is not any more.
    """
    job, begun = task.job, time.monotonic()
    report = partial(Report, job=job.id)
    if all(read_record(store, run.id) is not None for run in job.runs):  # since the driver looked
        held.forget()
        return report(ending="done")
    try:
        teacher = _teacher(store, task)
    except ValueError as error:
        return report(ending="teacher", error=one_line(error))
    folder = None
    try:
        held.confirm()
        folder = _folder(store, task, held)
        if not _train(task, folder, teacher, held):
            return report(ending="stopped")
        held.confirm()
        _publish(store, task, folder, seconds=time.monotonic() - begun)
    except Exception as error:  # whatever it is, it is this job's, and the study goes on
        if isinstance(error, Lost) or held.lost:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)  # what the new owner has is not in it
            raise Lost(one_line(error)) from None
        text = one_line(error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}", 1000)
        if store.free_bytes() < _LEAST_FREE:
            return report(ending="stopped", error=f"the disk of '{one_line(task.url)}' is full: {text}")
        note_failure(store, job.id, text)
        return report(ending="failed", error=text)
    held.forget()
    return report(ending="done")


_LEAST_FREE = 1 << 26
_ATTEMPT_FROM_SCRATCH = 2  # failures after which what is there is not trusted any more
_LOOK = 1.0  # seconds between looks at a run of several processes
_GRACE = 120.0  # seconds in which one that was asked to end may do so


def _leave() -> None:
    """Stop the run with a checkpoint, as for a pre-emption."""
    os.kill(os.getpid(), signal.SIGTERM)


def _teacher(store: Store, task: Task) -> Path | None:
    """Where the teacher is on this machine; one whose weights are not as they were written is set aside.

    Raises:
        ValueError: It was.
    """
    if task.job.teacher is None:
        return None
    run = task.job.teacher.id
    record = read_record(store, run)
    if record is None:
        raise ValueError(f"teacher {run} has no record")
    name = f"{JOBS}/{record['job']}"
    try:
        folder = store.download(name, _scratch(task) / "teachers" / record["job"])
        _require_sound(folder, record)
    except ValueError:
        store.set_aside(record_name(run))
        store.set_aside(name)
        shutil.rmtree(_scratch(task) / "teachers" / record["job"], ignore_errors=True)
        raise
    return folder


def _require_sound(folder: Path, record: dict[str, Any]) -> None:
    from distlaw.train.model_folder import hashes
    from distlaw.train.teacher import EXPORT

    read_run_record(folder / RECORD)  # who learns from it reads this one
    try:
        now = hashes(folder / EXPORT)
    except OSError as error:
        raise ValueError(f"teacher '{one_line(folder)}' cannot be read ({error.strerror})") from None
    known = ("weights_hash", *({"model_hash"} & record.keys()))  # records of before have the first alone
    if any(now[name] != record.get(name) for name in known):
        raise ValueError(f"teacher '{one_line(folder)}' is damaged: its files are not what they were")


def _folder(store: Store, task: Task, held: Held) -> Path:
    """The lease's run directory on this machine, without what a failed attempt may have spoilt."""
    from distlaw.train.config import read_resolved
    from distlaw.train.run_directory import CONFIG, LOCK

    root = (store.local or _scratch(task)) / JOBS
    root.mkdir(parents=True, exist_ok=True)
    folder = take_over(root, task.job.id, held.number)
    (folder / LOCK).unlink(missing_ok=True)  # a process under torchrun that stands still holds it; the lease is ours
    failed = sum(there.partition(".")[0] == task.job.id for there in store.names(FAILURES))
    broken = failed >= _ATTEMPT_FROM_SCRATCH
    if folder.exists() and not broken:
        try:
            read_resolved(folder / CONFIG)
        except ValueError:
            broken = any(folder.iterdir())
    if broken and folder.exists():
        if store.local:
            store.set_aside(f"{JOBS}/{folder.name}")
        else:
            shutil.rmtree(folder)
    return folder


def _train(task: Task, folder: Path, teacher: Path | None, held: Held) -> bool:
    config = config_of(task.study, task.job, teacher, checkpoint_every=task.checkpoint_every)
    if task.study.limits.processes_per_run > 1:
        return _under_torchrun(task, config, folder, held)
    from distlaw.train.loop import run
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    return run(
        config,
        folder,
        cache=task.cache,
        progress=lambda at: held.say(step=at.step, steps=at.steps, tokens_per_second=at.tokens_per_second),
        alone=False,  # the lease says who works on it, and a worker that stands still must not keep others from it
    ).finished


def _under_torchrun(task: Task, config: Any, folder: Path, held: Held) -> bool:  # noqa: ANN401
    """A run of several processes is the command that a person would give."""
    from distlaw.train.config import write_config

    file = folder.parent / f"{folder.name}.toml"
    write_config(config, file)
    distills = config.teacher is not None
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={task.study.limits.processes_per_run}", "-m", "distlaw"]
    command += ["distill" if distills else "train", str(file), "--out", str(folder), "--cache", str(task.cache)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=_end_with_parent
    )
    asked: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        process.terminate()  # ranks write a checkpoint; torchrun itself then ends with an error

    before = signal.signal(signal.SIGTERM, leave) if _main_thread() else None
    try:
        errors = _ended(process, held)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
        process.kill()
        file.unlink(missing_ok=True)
    if asked:
        return False
    if process.returncode:
        said = [line for line in errors.splitlines() if line.startswith("distlaw: error: ")]
        raise ValueError(said[0].removeprefix("distlaw: error: ") if said else errors[-500:])
    return (folder / RECORD).exists()


def _ended(process: subprocess.Popen[str], held: Held) -> str:
    """Wait for a process, and give what it says on standard error.

    Raises:
        Lost: The job is another's: the process is asked to end.
    """
    while True:
        try:
            return process.communicate(timeout=_LOOK)[1]
        except subprocess.TimeoutExpired:
            try:
                held.say()
            except Lost:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=_GRACE)
                raise


def _end_with_parent() -> None:
    """Have torchrun asked to stop when the worker is killed: its ranks must not write where another goes on."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _publish(store: Store, task: Task, folder: Path, *, seconds: float) -> None:
    """Give the run directory its last name, and copy records to where everybody looks: a run that has one is done."""
    job = task.job
    if store.local:
        folder = folder.rename(store.local / JOBS / job.id)
    else:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        store.upload(folder, f"{JOBS}/{job.id}")
    for run in job.runs:
        record = read_run_record((folder if len(job.runs) == 1 else folder / "students" / run.id) / RECORD)
        of_job = {"job": job.id, "teacher": run.teacher and run.teacher.id, "job_seconds": seconds}
        write_record(store, run, record | of_job)
    shutil.rmtree(folder / "checkpoints" if store.local else folder, ignore_errors=True)


def _scratch(task: Task) -> Path:
    """Where a worker keeps what the store has; by the store's address, so that studies do not meet."""
    import hashlib

    return task.cache.parent / "work" / hashlib.sha256(task.url.encode()).hexdigest()[:16]
