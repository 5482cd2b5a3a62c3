"""Long work in processes of its own: a few at a time, each with a limit on time and memory, each to be cancelled.

A process is forked from a clean server process that has the libraries loaded, so that it starts at once, and is killed
when its time is over; whatever an upload does to it, the page lives.
"""

import errno
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from multiprocessing.connection import Connection
from typing import Any, Literal

from distlaw.apps.web.aside import PRELOADED
from distlaw.runs import one_line

Standing = Literal["waiting", "running", "done", "failed", "cancelled"]
Tell = Callable[[int, int], None]

_POLL = 0.1  # seconds between looks at whether a job was cancelled


def full_disk(error: BaseException) -> str | None:
    """A sentence for a file that could not be written because its disk is full; None for every other error."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of the server is full: free some of {tempfile.gettempdir()} there, or set TMPDIR"
    return None


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
    """A few processes at a time, and a few jobs that wait for one; half of all are the most that one client has."""

    def __init__(self, *, width: int = 2, waiting: int = 16) -> None:
        self._slots = threading.BoundedSemaphore(width)
        self._most = width + waiting
        self._clients: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def begin(
        self,
        work: Callable[..., Any],
        *arguments: Any,  # noqa: ANN401
        seconds: float,
        memory: int,
        client: str = "",
    ) -> Job:
        """Begin a job.

        Args:
            work: A function of a module; called with the arguments and with a function to tell its progress.
            *arguments: What can be pickled.
            seconds: Most time that it may take.
            memory: Most bytes of address space that it may have.
            client: Who has asked for it.

        Raises:
            ValueError: Too many jobs wait, or too many of this client.
        """
        with self._lock:
            if self._clients.total() >= self._most:
                raise ValueError("the server has as much to do as it takes on; try again in a minute")
            if client and 2 * self._clients[client] >= self._most:
                raise ValueError("this address has as much under way as one may have; try again in a minute")
            self._clients[client] += 1
        job = Job()
        given = (job, client, work, arguments, seconds, memory)
        threading.Thread(target=self._see_through, args=given, daemon=True).start()
        return job

    def _see_through(self, job: Job, client: str, work: Any, arguments: Any, seconds: float, memory: int) -> None:  # noqa: ANN401
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
            ending = ("failed", full_disk(error) or f"it could not be run ({one_line(error, 200)})")
        finally:
            with self._lock:
                self._clients[client] -= 1
                self._clients += Counter()  # without those that have none
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
        why = full_disk(error) or f"it went wrong ({type(error).__name__}: {one_line(error, 200)})"
        connection.send(("failed", why))
