"""What a browser brought along or had made: kept in the server for a while, under a key that cannot be guessed."""

import ipaddress
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping
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

    def remove(self) -> None:
        """Remove its file, and what a fit that was ended has left beside it."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)


@dataclass(kw_only=True, eq=False)
class Session:
    """What one browser has in the server.

    Attributes:
        laws: Law files that it uploaded or fitted, by key.
        tables: Runs tables that it uploaded, by key.
        fits: Fits that it began, by question.
        client: Whose it is: an address, see `client_of`.
        used: When it was last asked for.
        returned: Whether its browser has come back with its key.
        ended: Whether it was given up.
    """

    laws: OrderedDict[str, Law] = field(default_factory=OrderedDict)
    tables: OrderedDict[str, Upload] = field(default_factory=OrderedDict)
    fits: OrderedDict[Any, Job] = field(default_factory=OrderedDict)
    client: str = ""
    used: float = 0.0
    returned: bool = False
    ended: bool = False

    def keep_law(self, law: Law) -> None:
        """Keep a law; the oldest goes when there are too many."""
        _keep(self.laws, law.key, law, MOST_LAWS)

    def keep_table(self, table: Upload) -> None:
        """Keep a table; the oldest goes when there are too many."""
        if self.ended:  # while the table was read
            table.remove()
            return
        for old in _keep(self.tables, table.key, table, MOST_TABLES):
            old.remove()

    def keep_fit(self, question: Hashable, job: Job) -> None:
        """Keep a fit, which ends any other that is under way; the oldest goes when there are too many."""
        for other in self.fits.values():
            other.cancel()
        _keep(self.fits, question, job, MOST_FITS)

    def end(self) -> None:
        """Give up what it has."""
        self.ended = True
        for table in self.tables.values():
            table.remove()
        for job in self.fits.values():
            job.cancel()


def _keep(shelf: OrderedDict[K, V], key: K, value: V, most: int) -> list[V]:
    shelf[key] = value
    shelf.move_to_end(key)
    return [shelf.popitem(last=False)[1] for _ in range(len(shelf) - most)]


class Shelf:
    """Sessions by key: a bounded number, for a bounded time, and a part of them for each client.

    A new session takes the place of one of its client's where that has its part, else of one of anybody's where all
    places are taken: of one that its browser never came back to, else of one that rested for an hour, and of a client
    that has many first. Where there is none, no new one is made. So nobody can push out what another works with.
    """

    def __init__(
        self,
        *,
        most: int = 64,
        most_each: int = 16,
        seconds: float = 4 * 3600,
        rest: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of how many and for how long.

        Args:
            most: Sessions.
            most_each: Sessions of one client.
            seconds: After which an unused one ends.
            rest: After which an unused one may have to go for a new one.
            clock: Seconds from some moment on.
        """
        self._most, self._each, self._seconds, self._rest, self._clock = most, most_each, seconds, rest, clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the longest unused first
        self._lock = threading.Lock()

    def new(self, client: str = "") -> tuple[str, Session]:
        """A new session and its key.

        Args:
            client: Whose it is.

        Raises:
            ValueError: There is no place for another.
        """
        key, session = secrets.token_urlsafe(24), Session(client=client, used=self._clock())
        with self._lock:
            self._tidy()
            held = Counter(one.client for one in self._sessions.values())
            if held[client] >= self._each:
                self._make_room({client: held[client]}, "this address has as many sessions as one may have")
            elif len(self._sessions) >= self._most:
                self._make_room(held, "the server has as many sessions as it takes on")
            self._sessions[key] = session
        return key, session

    def find(self, key: str | None) -> Session | None:
        """The session of a key; None where there is none, or no more."""
        with self._lock:
            self._tidy()
            session = self._sessions.get(key or "")
            if session is not None:
                session.used, session.returned = self._clock(), True
                self._sessions.move_to_end(key or "")
            return session

    def __len__(self) -> int:
        return len(self._sessions)

    def _make_room(self, held: Mapping[str, int], why: str) -> None:
        """End a session of one of these clients, which have so many."""
        resting = self._clock() - self._rest
        own = [(key, one) for key, one in self._sessions.items() if one.client in held]
        spare = [(key, one) for key, one in own if not one.returned or one.used <= resting]
        if not spare:
            raise ValueError(f"{why}, all in use; try again in an hour")
        gone, _ = min(spare, key=lambda item: (item[1].returned, -held[item[1].client]))  # the first, and so the oldest
        self._sessions.pop(gone).end()

    def _tidy(self) -> None:
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if oldest.used > self._clock() - self._seconds:
                return
            self._sessions.popitem(last=False)
            oldest.end()


def client_of(address: str | None) -> str:
    """Whom an address stands for: itself, or the network of 64 bits of an IPv6 address, which one machine has whole.

    >>> client_of("192.0.2.7"), client_of("2001:db8:1:2:3::4"), client_of("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8:1:2::/64', '192.0.2.7')
    """
    try:
        found = ipaddress.ip_address((address or "").strip("[]"))
    except ValueError:
        return one_line(address or "", 60)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def file_name(text: object) -> str:
    r"""The last part of a file's name as a browser gives it, for people to read; it is never opened.

    >>> file_name("C:\\runs\\a.csv"), file_name("../../etc/passwd"), file_name("")
    ('a.csv', 'passwd', 'file')
    """
    last = str(text).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return one_line(last, 80).lstrip(".") or "file"
