"""Workers of this machine: warm processes of one thread each, which train one job after another."""

import contextlib
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from distlaw.sweep.worker import Report, Task, work

_GRACE = 120.0  # seconds in which a worker that was asked to stop may write its checkpoint


class Executor(Protocol):
    """Where jobs are done."""

    workers: int

    def free(self) -> int:
        """Jobs that could be begun now."""
        ...

    def submit(self, task: Task) -> None:
        """Begin a job; only if there is a free worker."""
        ...

    def wait(self, timeout: float) -> list[Report]:
        """Jobs that have ended; waits for one, but not longer than `timeout` seconds."""
        ...

    def stop(self) -> list[Report]:
        """Ask all jobs to write a checkpoint and end; gives how they did."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class LocalPool:
    """A pool whose workers may be killed at any time: each has a pipe of its own, and another takes its place."""

    def __init__(self, workers: int, *, log: Path | None = None, processes_per_run: int = 1) -> None:
        """Start the workers.

        Args:
            workers: How many.
            log: File that takes what they print; None: nothing does.
            processes_per_run: GPUs that each needs, where there are GPUs.
        """
        self.workers = workers
        self._log, self._gpus = log, processes_per_run
        self._context: Any = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self._slots = [self._start(number) for number in range(workers)]

    def free(self) -> int:
        """Workers without a job."""
        return sum(slot.task is None for slot in self._slots)

    def submit(self, task: Task) -> None:
        """Give a job to a free worker."""
        slot = next(slot for slot in self._slots if slot.task is None)
        slot.task = task
        with contextlib.suppress(OSError):  # it is dead, which `wait` will see
            slot.pipe.send(task)

    def wait(self, timeout: float) -> list[Report]:
        """Reports of the jobs that have ended, and of workers that have died over theirs."""
        deadline = time.monotonic() + timeout
        while True:
            busy = [slot for slot in self._slots if slot.task is not None]
            if not busy:
                time.sleep(max(deadline - time.monotonic(), 0.0))
                return []
            ready = wait([slot.pipe for slot in busy], max(deadline - time.monotonic(), 0.0))
            reports = [self._report(slot) for slot in busy if slot.pipe in ready]
            if reports or time.monotonic() >= deadline:
                return reports

    def stop(self) -> list[Report]:
        """Ask all to write a checkpoint and end."""
        for slot in self._slots:
            if slot.task is not None and slot.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.process.pid, signal.SIGTERM)
        deadline, reports = time.monotonic() + _GRACE, []
        while any(slot.task for slot in self._slots) and time.monotonic() < deadline:
            reports += self.wait(1.0)
        return reports

    def close(self) -> None:
        """End the workers."""
        for slot in self._slots:
            slot.pipe.close()
        for slot in self._slots:
            slot.process.join(timeout=5)
            if slot.process.is_alive():
                slot.process.kill()
                slot.process.join()

    def _start(self, number: int) -> "_Slot":
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_worker, args=(theirs, self._log, number, self._gpus), daemon=True)
        process.start()
        theirs.close()
        return _Slot(number, process, ours)

    def _report(self, slot: "_Slot") -> Report:
        assert slot.task is not None
        try:
            report = slot.pipe.recv()
        except (EOFError, OSError):
            slot.process.join()
            code = slot.process.exitcode
            ended = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
            report = Report(job=slot.task.job.id, ending="died", error=f"the worker ended {ended}")
            self._slots[self._slots.index(slot)] = self._start(slot.number)
        slot.task = None
        return report


class _Slot:
    def __init__(self, number: int, process: Any, pipe: Connection) -> None:  # noqa: ANN401
        self.number, self.process, self.pipe = number, process, pipe
        self.task: Task | None = None


def _worker(pipe: Connection, log: Path | None, number: int, gpus: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the driver decides
    _print_to(log)
    _take_gpus(number, gpus)
    from distlaw.train import loop  # noqa: F401, seconds to import, before the first job asks for it
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    with pipe:
        while True:
            try:
                task = pipe.recv()
            except (EOFError, OSError):  # the driver is done, or no more
                return
            report = work(task)
            try:
                pipe.send(report)
            except OSError:
                return


def _print_to(log: Path | None) -> None:
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(target, 1)
    os.dup2(target, 2)


def _take_gpus(number: int, count: int) -> None:
    """Each worker sees GPUs of its own."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    if names:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[(number * count + i) % len(names)] for i in range(count))
