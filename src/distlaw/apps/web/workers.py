"""Long work in processes of its own: a few at a time, each with a limit on time and memory, each to be cancelled.

A process is forked from a clean server process that has the libraries loaded, so that it starts at once, and is killed
when its time is over; whatever an upload does to it, the page lives.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from multiprocessing.connection import Connection
from typing import Any, Literal

from distlaw.apps.web.aside import PRELOADED
from distlaw.runs import one_line

Standing = Literal["waiting", "running", "done", "failed", "cancelled"]
Tell = Callable[[int, int], None]

_POLL = 0.1  # seconds between looks at whether a job was cancelled


class Job:
    """Work under way or done.

    Attributes:
        standing: waiting, running, done, failed or cancelled.
        done: Parts that are done, as last told.
        parts: Of so many; 0 when not told yet.
        result: What it gave, when done.
        error: Why it failed, a sentence.
        seconds: It took, or has taken so far.
    """

    def __init__(self) -> None:
        self.standing: Standing = "waiting"
        self.done, self.parts = 0, 0
        self.result: Any = None
        self.error = ""
        self.ended = threading.Event()
        self._began: float | None = None
        self._took: float | None = None
        self._cancelled = threading.Event()

    @property
    def seconds(self) -> float:
        """See the class."""
        if self._took is not None:
            return self._took
        return 0.0 if self._began is None else time.monotonic() - self._began

    def cancel(self) -> None:
        """End it, if it has not ended."""
        self._cancelled.set()

    def wait(self, timeout: float) -> Any:  # noqa: ANN401
        """The result; who has waited that long in vain gives it up.

        Raises:
            ValueError: It failed; says why.
            CancelledError: It was cancelled.
        """
        if not self.ended.wait(timeout):
            self.cancel()
            raise ValueError("the server has much to do and it takes too long; try again in a minute")
        if self.standing == "done":
            return self.result
        if self.standing == "cancelled":
            raise CancelledError
        raise ValueError(self.error)

    def _end(self, standing: Standing, error: str = "", result: Any = None) -> None:  # noqa: ANN401
        self.error, self.result = error, result
        self._took, self.standing = self.seconds, standing
        self.ended.set()


class Workers:
    """A few processes at a time, and a few jobs that wait for one."""

    def __init__(self, *, width: int = 2, waiting: int = 8) -> None:
        self._slots = threading.BoundedSemaphore(width)
        self._places = threading.BoundedSemaphore(width + waiting)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def begin(self, work: Callable[..., Any], *arguments: Any, seconds: float, memory: int) -> Job:  # noqa: ANN401
        """Begin a job.

        Args:
            work: A function of a module; called with the arguments and with a function to tell its progress.
            *arguments: What can be pickled.
            seconds: Most time that it may take.
            memory: Most bytes of address space that it may have.

        Raises:
            ValueError: Too many jobs wait.
        """
        if not self._places.acquire(blocking=False):
            raise ValueError("the server has as much to do as it takes on; try again in a minute")
        job = Job()
        threading.Thread(target=self._see_through, args=(job, work, arguments, seconds, memory), daemon=True).start()
        return job

    def _see_through(self, job: Job, work: Any, arguments: Any, seconds: float, memory: int) -> None:  # noqa: ANN401
        ending: tuple[Any, ...]
        try:
            while not (slot := self._slots.acquire(timeout=_POLL)) and not job._cancelled.is_set():
                pass
            try:
                ending = self._run(job, work, arguments, seconds, memory) if slot else ("cancelled",)
            finally:
                if slot:
                    self._slots.release()
        except Exception as error:  # whatever happens, nobody may wait for ever
            ending = ("failed", f"it could not be run ({one_line(error, 200)})")
        finally:
            self._places.release()
        job._end(*ending)  # last, so that who waits for its end finds its place free

    def _run(self, job: Job, work: Any, arguments: Any, seconds: float, memory: int) -> tuple[Any, ...]:  # noqa: ANN401
        """See a process through; gives how it ended: standing, error, result."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, work, arguments, seconds, memory), daemon=True)
        process.start()
        theirs.close()
        job._began, job.standing = time.monotonic(), "running"
        try:
            while not job._cancelled.is_set():
                if job.seconds > seconds:
                    return "failed", f"it takes longer than {seconds:g} seconds, which is all it may"
                if not ours.poll(_POLL):
                    continue
                try:
                    kind, *said = ours.recv()
                except (EOFError, ConnectionError):
                    return "failed", "it needs more memory or time than it may have"
                if kind == "progress":
                    job.done, job.parts = said
                else:
                    return ("done", "", said[0]) if kind == "done" else ("failed", said[0])
            return ("cancelled",)
        finally:
            ours.close()
            process.kill()
            process.join()


def _work(connection: Connection, work: Callable[..., Any], arguments: Any, seconds: float, memory: int) -> None:  # noqa: ANN401
    """In the process: limit it, do the work, say how it went."""
    import os
    import resource
    import sys

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 5, int(seconds) + 5))
    os.nice(5)  # answers of the page come first
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    last = 0.0

    def tell(done: int, parts: int) -> None:
        nonlocal last
        if time.monotonic() - last > _POLL or done == parts:
            last = time.monotonic()
            connection.send(("progress", done, parts))

    try:
        connection.send(("done", work(*arguments, tell)))
    except ValueError as error:
        connection.send(("failed", one_line(error, 2000)))
    except MemoryError:
        connection.send(("failed", "it needs more memory than it may have"))
    except Exception as error:
        connection.send(("failed", f"it went wrong ({type(error).__name__}: {one_line(error, 200)})"))
