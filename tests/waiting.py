"""Waiting for things in tests: for an event, with a time limit that only guards against waiting for ever."""

import time
from collections.abc import Callable

LONG = 1800
"""Seconds that nothing here takes, on a machine however busy."""


def wait_until(true: Callable[[], object], *, every: float = 0.01) -> None:
    """Look again and again until something is true."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < LONG, "it never came about"
        time.sleep(every)
