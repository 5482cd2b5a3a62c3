"""A study's state, read off its files: what is done, what failed, what is under way.

- `study.toml`: the study.
- `records/RUN.json`: one for each run that is done: what `fit` reads, and the job that it was part of.
- `jobs/JOB/`: run directories.
- `leases/JOB.NUMBER`: who works on a job.
- `failures/JOB.NUMBER`: what went wrong.
- `quarantine/`: what was damaged.
- `stop`: asks all who work on the study to stop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distlaw.runs import one_line, record_of, record_text
from distlaw.sweep.lease import Lease, leases
from distlaw.sweep.protocols import Run
from distlaw.sweep.status import FAILURES, RECORDS, STOP
from distlaw.sweep.store import Store

JOBS, STUDY = "jobs", "study.toml"


@dataclass(kw_only=True)
class State:
    """What was last seen in a store; `look` brings it up to date, reading new files only.

    Attributes:
        store: Where.
        records: By run.
        failures: Errors of each job, in order.
        leases: The newest of each job under way.
        notes: What was put into quarantine.
        stopped: Whether all are asked to stop.
    """

    store: Store
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    leases: Mapping[str, Lease] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stopped: bool = False

    def look(self) -> "State":
        """Read what is new."""
        # Leases before records: who sees no lease of a finished job must see its record.
        self.leases = leases(self.store)
        there = {name.removesuffix(".json") for name in self.store.names(RECORDS) if name.endswith(".json")}
        for run in self.records.keys() - there:
            del self.records[run]
        for run in sorted(there - self.records.keys()):
            try:
                if (record := _record(self.store, run)) is not None:
                    self.records[run] = record
            except ValueError as error:
                self.store.set_aside(f"{RECORDS}/{run}.json")
                self.notes.append(
                    f"the record of run {one_line(run, 40)} was damaged ({one_line(error, 600)}): it is in quarantine,"
                    " and the run runs again"
                )
        errors: dict[str, list[str]] = {}
        for name in self.store.names(FAILURES):
            job = name.partition(".")[0]
            text = (self.store.read(f"{FAILURES}/{name}") or b"").decode(errors="replace")
            errors.setdefault(job, []).append(text)
        self.failures = errors
        self.stopped = self.store.read(STOP) is not None
        return self


def record_name(run: Run | str) -> str:
    """Name of a run's record."""
    return f"{RECORDS}/{run if isinstance(run, str) else run.id}.json"


def write_record(store: Store, run: Run, record: Mapping[str, Any]) -> None:
    """Write a run's record.

    Raises:
        ValueError: It cannot be written.
    """
    store.write(record_name(run), record_text(record).encode())


def read_record(store: Store, run: str) -> dict[str, Any] | None:
    """A run's record; None if it is not there or not as it was written."""
    try:
        return _record(store, run)
    except ValueError:
        return None


def _record(store: Store, run: str) -> dict[str, Any] | None:
    name = record_name(run)
    content = store.read(name)
    if content is None:
        return None
    record = record_of(content, f"{store.url}/{name}")
    if record.get("name") != run:
        raise ValueError("it is another run's")
    job, teacher = record.get("job"), record.get("teacher")
    if not _is_id(job) or not (teacher is None or _is_id(teacher)):
        raise ValueError("it does not name the job that it is from")
    return record


def _is_id(value: object) -> bool:
    """Whether it can name a file: what is read off a file goes into paths."""
    return isinstance(value, str) and value.isalnum()


def note_failure(store: Store, job: str, error: str) -> int:
    """Write down that a job failed; gives how often it has."""
    number = 1 + sum(name.partition(".")[0] == job for name in store.names(FAILURES))
    while not store.create(f"{FAILURES}/{job}.{number}", error.encode()):
        number += 1
    return number
