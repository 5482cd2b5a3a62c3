"""Where a study stands, read off its store quickly: from an index of its jobs, names of records, and leases."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

from distlaw.reading import made, one_line
from distlaw.runs.checksum import UNCHECKED, sealed_text, unsealed, without_seal
from distlaw.sweep.lease import Watch, leases
from distlaw.sweep.store import Store

INDEX, RECORDS, FAILURES, STOP = "index.json", "records", "failures", "stop"
INDEX_FORMAT = "distlaw-index-1"
Standing = Literal["done", "running", "waiting", "failed"]


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """A job.

    Attributes:
        id: Its id.
        runs: Ids of its runs.
        flops: FLOPs of its runs, each with a teacher's pass of its own.
        seconds: Estimated.
        what: In words.
    """

    id: str
    runs: tuple[str, ...]
    flops: float
    seconds: float
    what: str

    def __post_init__(self) -> None:
        if not self.runs or not 0 <= self.flops < math.inf or not 0 <= self.seconds < math.inf:
            raise ValueError(f"job '{one_line(self.id, 40)}' has no runs, or FLOPs or seconds that are none")


@dataclass(frozen=True, kw_only=True)
class Index:
    """All jobs of a study.

    Attributes:
        about: The study's line for people.
        attempts: How often a job may fail.
        jobs: The jobs.
    """

    about: str
    attempts: int
    jobs: tuple[IndexEntry, ...]

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be 1 or more, got {self.attempts}")


@dataclass(frozen=True, kw_only=True)
class Active:
    """A job under way.

    Attributes:
        what: In words.
        owner: Machine and process.
        step: Steps done, as last told.
        steps: Of so many; 0 when not told yet.
        tokens_per_second: As last told.
    """

    what: str
    owner: str
    step: int
    steps: int
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a study stands.

    Attributes:
        about: The study's line for people.
        runs: Runs in all.
        done: Runs done.
        failed: Jobs given up, in words, and their last errors.
        active: Jobs under way.
        waiting: Jobs not begun.
        flops: FLOPs of all runs.
        flops_done: Of the runs that are done.
        seconds_left: Estimated wall time with as many workers as are at work now; None with none.
        stopping: Whether all are asked to stop.
    """

    about: str
    runs: int
    done: int
    failed: tuple[tuple[str, str], ...]
    active: tuple[Active, ...]
    waiting: int
    flops: float
    flops_done: float
    seconds_left: float | None
    stopping: bool


def write_index(store: Store, index: Index) -> None:
    """Write the index."""
    store.write(INDEX, sealed_text(asdict(index), INDEX_FORMAT, indent=None).encode())


def request_stop(store: Store) -> None:
    """Ask all drivers of a study to stop.

    Raises:
        ValueError: It holds no study that was begun.
    """
    if store.read(INDEX) is None:
        raise ValueError(f"'{one_line(store.url)}' holds no study that was begun: run it first")
    store.write(STOP, b"")


def read_index(store: Store) -> Index:
    """Read the index.

    Raises:
        ValueError: There is none yet, or it is damaged.
    """
    content = store.read(INDEX)
    if content is None:
        raise ValueError(f"'{one_line(store.url)}' holds no study that was begun: run it first")
    try:
        found = unsealed(content, f"{store.url}/{INDEX}", INDEX_FORMAT, before=UNCHECKED)
        return made(Index, without_seal(found))
    except ValueError as error:
        raise ValueError(
            f"'{one_line(store.url)}/{INDEX}' is damaged ({one_line(error, 600)});"
            " `distlaw study run` and `resume` write it again"
        ) from None


def status(store: Store, watch: Watch) -> Status:
    """Look.

    Args:
        store: The study's store.
        watch: Tells which leases are alive; the same one at every look.

    Raises:
        ValueError: The study was not begun.
    """
    index = read_index(store)
    held = leases(store)  # before the records: who sees no lease of a finished job must see its record
    done = {name.removesuffix(".json") for name in store.names(RECORDS)}
    failures: dict[str, list[str]] = {}
    for name in store.names(FAILURES):
        failures.setdefault(name.partition(".")[0], []).append(name)
    active, failed, waiting, flops_done, seconds = [], [], 0, 0.0, 0.0
    for job in index.jobs:
        finished = sum(run in done for run in job.runs)
        flops_done += job.flops * finished / len(job.runs)
        lease = held.get(job.id)
        if finished == len(job.runs):
            continue
        if lease is not None and watch.state(lease) == "held":
            step, steps, speed = (lease.number_of(name) for name in ("step", "steps", "tokens_per_second"))
            step, steps, owner = int(step), int(steps), one_line(lease.content.get("owner", ""), 40)
            active.append(Active(what=job.what, owner=owner, step=step, steps=steps, tokens_per_second=speed))
            seconds += job.seconds * (1 - step / max(steps, 1))
        elif len(errors := failures.get(job.id, [])) >= index.attempts:
            text = (store.read(f"{FAILURES}/{errors[-1]}") or b"").decode(errors="replace")
            failed.append((job.what, one_line(text)))
        else:
            waiting += 1
            seconds += job.seconds
    runs = {run for job in index.jobs for run in job.runs}
    return Status(
        about=index.about,
        runs=len(runs),
        done=len(runs & done),
        failed=tuple(failed),
        active=tuple(active),
        waiting=waiting,
        flops=sum(job.flops for job in index.jobs),
        flops_done=flops_done,
        seconds_left=seconds / len(active) if active else (0.0 if not waiting else None),
        stopping=store.read(STOP) is not None,
    )
