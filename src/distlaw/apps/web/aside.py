"""A process beside the server for what takes longer than an answer may wait: threads of one process share one core."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PRELOADED = ["distlaw.apps.web.fit_work"]
"""What the clean process loads from which others are forked."""


class Aside:
    """One process, begun when it is first needed and again should it die; what it is given is done in turn."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def do(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The result of a function of a module; arguments and result can be pickled, and what it raises is raised."""
        for _ in range(2):
            pool = self._running()
            try:
                return pool.submit(work, *arguments, **named).result()
            except BrokenProcessPool:
                with self._lock:
                    if self._pool is pool:
                        self._pool = None
        return work(*arguments, **named)

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(PRELOADED)
                self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_behave)
            return self._pool


def _behave() -> None:
    """Let the answers go first."""
    os.nice(5)
