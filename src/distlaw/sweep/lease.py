"""Leases: who works on a job. A lease is a counter that its owner turns; whoever wants the job watches the counter.

A watcher takes a lease for dead when its counter stood still for a while by the watcher's own clock, so clocks need
not agree; or at once, if the owner was a process of this machine that is no more. Leases of one job are numbered, and
the next number can be created once only: of several who find a lease dead, one gets the job.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from distlaw.runs.checksum import UNCHECKED, sealed_text, unsealed
from distlaw.sweep.store import Store

FOLDER, FORMAT = "leases", "distlaw-lease-1"
BEAT = 5.0
"""Seconds between two turns of a counter."""
EXPIRY = 60.0
"""Seconds after which a counter that stands still is dead."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The newest lease of a job.

    Attributes:
        job: Whose.
        number: Of the lease, from 1.
        content: What its owner wrote: `owner`, `place`, `pid`, `beat`, `free`, and where the job is.
    """

    job: str
    number: int
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        """Whether its owner gave it back."""
        return self.content.get("free") is True

    def number_of(self, name: str) -> float:
        """A number that the owner wrote, such as its step; 0 where it is none."""
        value = self.content.get(name, 0)
        sound = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18
        return float(value) if sound else 0.0


def leases(store: Store) -> dict[str, Lease]:
    """The newest lease of every job that has one."""
    numbers: dict[str, int] = {}
    for name in store.names(FOLDER):
        job, _, number = name.partition(".")
        if number.isdigit():
            numbers[job] = max(numbers.get(job, 0), int(number))
    found = {}
    for job, number in numbers.items():
        if (content := _read(store, job, number)) is not None:
            found[job] = Lease(job=job, number=number, content=content)
    return found


class Watch:
    """Tells which leases are alive."""

    def __init__(self, expiry: float = EXPIRY, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to watch; nothing is known yet, so every lease of another machine is alive for `expiry` seconds."""
        self._expiry, self._clock = expiry, clock
        self._seen: dict[str, tuple[tuple[int, Any], float]] = {}

    def state(self, lease: Lease | None) -> Literal["free", "held", "dead"]:
        """Whether a job is free, held, or was held by somebody who is no more."""
        if lease is None or lease.free:
            return "free"
        if lease.content.get("place") == place() and not _alive(lease.content):
            return "dead"
        now, mark = self._clock(), (lease.number, lease.content.get("beat"))
        before, since = self._seen.get(lease.job, (None, now))
        if before != mark:
            self._seen[lease.job] = (mark, now)
            return "held"
        return "dead" if now - since > self._expiry else "held"


class Lost(Exception):
    """The job is another's, or may be by now: who held it must stop, and write nothing more."""


class Held:
    """A lease of our own, turned by a thread until the block ends.

    Whoever cannot turn it in time has lost it: others may have taken it for dead. A lease that is not there any more is
    lost too, since another has ended the job and removed it.

    Attributes:
        number: Of the lease.
        lost: Whether the job is another's, or may be.
    """

    def __init__(
        self,
        store: Store,
        job: str,
        number: int,
        content: dict[str, Any],
        *,
        orphaned: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.number, self.lost = number, False
        self._store, self._job, self._content = store, job, content
        self._orphaned, self._clock = orphaned, clock
        self._renewed = clock()
        self._turning = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._turn, name=f"lease {job}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._end.is_set():
            return
        self._end.set()
        self._thread.join()
        if not self.lost:
            with suppress(ValueError, OSError):  # a full disk; the counter stands still, which says the same
                self._store.write(_name(self._job, self.number), _text({**self._content, "free": True}))

    def say(self, **where: Any) -> None:  # noqa: ANN401
        """What the next turn tells whoever looks.

        Raises:
            Lost: The job is another's; seen at once also by a process that was stopped for long.
        """
        self._content.update(where)
        if self._late():
            self.turn()
        self._require()

    def confirm(self) -> None:
        """Look now whether the job is still ours, before something is done that cannot be undone.

        Raises:
            Lost: It is not.
        """
        self.turn()
        self._require()

    def forget(self) -> None:
        """Remove the job's leases: it is done."""
        self._end.set()
        self._thread.join()
        with suppress(OSError):  # a store that does not answer; records say that the job is done
            for number in range(self.number, 0, -1):
                self._store.remove(_name(self._job, number))

    def turn(self) -> None:
        """Turn the counter if the lease is ours; a store that does not answer is tried again at the next turn."""
        with self._turning:
            begun = self._clock()
            with suppress(OSError, ValueError):  # nothing is known, or nothing can be written
                if not self._ours():
                    self.lost = True
                if not self.lost:
                    self._content["beat"] += 1
                    self._store.write(_name(self._job, self.number), _text(self._content))
                    self._renewed = begun
            self.lost = self.lost or self._late()

    def _ours(self) -> bool:
        if self._store.read(_name(self._job, self.number + 1)) is not None:
            return False
        there = _read(self._store, self._job, self.number)
        if there is None:
            return False
        return not there or all(there.get(name) == self._content[name] for name in ("owner", "born"))

    def _late(self) -> bool:
        """Whether others may soon take us for dead."""
        return self._clock() - self._renewed > EXPIRY - 2 * BEAT

    def _require(self) -> None:
        if self.lost:
            raise Lost(f"job {self._job} is another's")

    def _turn(self) -> None:
        parent = os.getppid()
        while not self._end.wait(BEAT) and not self.lost:
            if os.getppid() != parent:  # whoever started us is no more
                self._orphaned()
                return
            self.turn()


def claim(
    store: Store,
    job: str,
    after: int,
    *,
    orphaned: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Held | None:
    """Take a job that is free or whose owner is dead; None if another was faster.

    Args:
        store: The study's store.
        job: Which.
        after: Number of the newest lease that was seen; 0 if there was none.
        orphaned: Called, in a thread, when the process that started this one is no more.
        clock: Tells seconds.
    """
    content = {"owner": f"{socket.gethostname()}:{os.getpid()}", "place": place(), "pid": os.getpid()}
    content |= {"born": _born(os.getpid()), "beat": 0}
    created = store.create(_name(job, after + 1), _text(content))
    return Held(store, job, after + 1, content, orphaned=orphaned, clock=clock) if created else None


def place() -> str:
    """Names this machine and its numbering of processes, as containers have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return socket.gethostname()


def _alive(content: dict[str, Any]) -> bool:
    pid = content.get("pid")
    if type(pid) is not int or not 0 < pid < 2**31:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return content.get("born") == _born(pid)


def _born(pid: int) -> str:
    """When a process began, in the kernel's ticks: its number alone may be another's by now. Zombies are dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "zombie" if fields[0] in "ZX" else fields[19]


def _read(store: Store, job: str, number: int) -> dict[str, Any] | None:
    content = store.read(_name(job, number))
    if content is None:
        return None
    try:
        return unsealed(content, _name(job, number), FORMAT, before=UNCHECKED)
    except ValueError:  # damaged: held until it has stood still for as long as any other
        return {}


def _name(job: str, number: int) -> str:
    return f"{FOLDER}/{job}.{number:04d}"


def _text(content: dict[str, Any]) -> bytes:
    return sealed_text(content, FORMAT, indent=None).encode()
