"""What a browser brought along or had made: kept in the server for a while, under a key that cannot be guessed."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from distlaw.apps.web.laws import Law
from distlaw.apps.web.workers import Job
from distlaw.runs import one_line

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_LAWS, MOST_TABLES, MOST_FITS = 4, 4, 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Upload:
    """A table that was dropped on the page.

    Attributes:
        key: In an address.
        name: Of its file, as the browser gave it.
        path: Where it is kept, under a name of the server's own.
        columns: Names of its columns.
        rows: How many there are.
        preview: The first rows, as texts.
        checked: What a check of its runs found, by what was said of the columns.
    """

    key: str
    name: str
    path: Path
    columns: tuple[str, ...]
    rows: int
    preview: tuple[tuple[str, ...], ...]
    checked: dict[Any, Any] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Session:
    """What one browser has in the server.

    Attributes:
        laws: Law files that it uploaded or fitted, by key.
        tables: Runs tables that it uploaded, by key.
        fits: Fits that it began, by question.
        used: When it was last asked for.
    """

    laws: OrderedDict[str, Law] = field(default_factory=OrderedDict)
    tables: OrderedDict[str, Upload] = field(default_factory=OrderedDict)
    fits: OrderedDict[Any, Job] = field(default_factory=OrderedDict)
    used: float = 0.0

    def keep_law(self, law: Law) -> None:
        """Keep a law; the oldest goes when there are too many."""
        _keep(self.laws, law.key, law, MOST_LAWS)

    def keep_table(self, table: Upload) -> None:
        """Keep a table; the oldest goes when there are too many."""
        for old in _keep(self.tables, table.key, table, MOST_TABLES):
            old.path.unlink(missing_ok=True)

    def keep_fit(self, question: Hashable, job: Job) -> None:
        """Keep a fit, which ends any other that is under way; the oldest goes when there are too many."""
        for other in self.fits.values():
            other.cancel()
        _keep(self.fits, question, job, MOST_FITS)

    def end(self) -> None:
        """Give up what it has."""
        for table in self.tables.values():
            table.path.unlink(missing_ok=True)
        for job in self.fits.values():
            job.cancel()


def _keep(shelf: OrderedDict[K, V], key: K, value: V, most: int) -> list[V]:
    shelf[key] = value
    shelf.move_to_end(key)
    return [shelf.popitem(last=False)[1] for _ in range(len(shelf) - most)]


class Shelf:
    """Sessions by key: a bounded number, for a bounded time, the longest unused going first."""

    def __init__(
        self, *, most: int = 64, seconds: float = 4 * 3600, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def new(self) -> tuple[str, Session]:
        """A new session and its key."""
        key, session = secrets.token_urlsafe(24), Session(used=self._clock())
        with self._lock:
            self._sessions[key] = session
            self._tidy()
        return key, session

    def find(self, key: str | None) -> Session | None:
        """The session of a key; None where there is none, or no more."""
        with self._lock:
            self._tidy()
            session = self._sessions.get(key or "")
            if session is not None:
                session.used = self._clock()
                self._sessions.move_to_end(key or "")
            return session

    def __len__(self) -> int:
        return len(self._sessions)

    def _tidy(self) -> None:
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if len(self._sessions) <= self._most and oldest.used > self._clock() - self._seconds:
                return
            self._sessions.popitem(last=False)
            oldest.end()


def file_name(text: object) -> str:
    r"""The last part of a file's name as a browser gives it, for people to read; it is never opened.

    >>> file_name("C:\\runs\\a.csv"), file_name("../../etc/passwd"), file_name("")
    ('a.csv', 'passwd', 'file')
    """
    last = str(text).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return one_line(last, 80).lstrip(".") or "file"
