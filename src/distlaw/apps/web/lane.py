"""Work of many at once, a few pieces at a time: threads that compute side by side get slower, all of them."""

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class Lane:
    """Lets a few in at a time; of those who wait the most urgent goes first, and of these who came first."""

    def __init__(self, width: int) -> None:
        self._free, self._lock, self._number = width, threading.Lock(), count()
        self._waiting: list[tuple[int, int, threading.Event]] = []

    @contextmanager
    def turn(self, urgency: int) -> Iterator[None]:
        """Wait for one's turn; 0 is most urgent. Not to be asked for by one who has it."""
        called = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                called.set()
            else:
                heapq.heappush(self._waiting, (urgency, next(self._number), called))
        called.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    heapq.heappop(self._waiting)[2].set()  # which has the place without giving it back first
                else:
                    self._free += 1
