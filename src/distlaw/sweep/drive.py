"""Run a study: give ready jobs to workers until all is done, wherever the workers are.

The driver holds nothing that is not in the store. Killed and started again it goes on; two drivers of one study share
its jobs, because whoever does a job holds its lease.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from distlaw.runs import format_quantity, one_line
from distlaw.sweep.estimate import Estimator, assumed, learned
from distlaw.sweep.jobs import Job, jobs_of, next_job, without
from distlaw.sweep.lease import EXPIRY, Watch
from distlaw.sweep.local import Executor
from distlaw.sweep.protocols import Run
from distlaw.sweep.state import STUDY, State, note_failure
from distlaw.sweep.status import INDEX, STOP, Index, IndexEntry, read_index, write_index
from distlaw.sweep.store import Store
from distlaw.sweep.study import Study, study_of, study_text
from distlaw.sweep.worker import Report, Task

_DEATHS = 10  # of workers over one job, after which the job is to blame
_CHECKPOINT = 60.0  # seconds between checkpoints
_POLL = 1.0

Ended = Literal["done", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a study's running ended.

    Attributes:
        ended: done, or stopped.
        runs: Runs wanted.
        done: Of them, done.
        failed: Errors of jobs that were given up, by job.
        blocked: Runs whose teacher was given up.
        notes: What a user should know.
    """

    ended: Ended
    runs: int
    done: int
    failed: dict[str, str]
    blocked: int
    notes: tuple[str, ...]


def begin(study: Study, url: str, *, note: Callable[[str], None] = lambda _note: None) -> Store:
    """Make a folder or URL this study's, or check that it is.

    Runs may be added to a study and limits changed; what all its runs share may not. What is damaged and will be
    written again is set aside.

    Args:
        study: The study.
        url: Its folder or URL.
        note: Told what was set aside.

    Raises:
        ValueError: It holds another study, or cannot be written.
    """
    store = Store(url)
    there = store.read(STUDY)
    if there is not None and (wrong := _wrong_with(there, f"{url}/{STUDY}")):
        _set_aside(store, STUDY, wrong, note)
        there = b""
    if there is None:
        if store.local and store.local.exists() and (not store.local.is_dir() or any(store.local.iterdir())):
            raise ValueError(f"--out '{one_line(url)}' is neither empty nor a study: choose another folder")
    elif there and study_of(there.decode(), f"{url}/{STUDY}").settings != study.settings:
        raise ValueError(
            f"--out '{one_line(url)}' holds a study with other data, family, training or loss: choose another folder"
        )
    text = study_text(study).encode()
    if there != text:
        store.write(STUDY, text)
    if store.read(INDEX) is not None:
        try:
            read_index(store)
        except ValueError as error:
            _set_aside(store, INDEX, str(error), note)
    store.remove(STOP)
    return store


def _wrong_with(content: bytes, name: str) -> str:
    """What is wrong with a study's file; nothing if it can be read."""
    try:
        study_of(content.decode(), name)
    except UnicodeDecodeError:
        return f"study '{one_line(name)}' is not UTF-8 text"
    except ValueError as error:
        return str(error)
    return ""


def _set_aside(store: Store, name: str, wrong: str, note: Callable[[str], None]) -> None:
    store.set_aside(name)
    note(f"{wrong}: it is in quarantine, and {name} is written again")


def open_study(url: str) -> tuple[Study, Store]:
    """The study that a folder or URL holds.

    Raises:
        ValueError: It holds none.
    """
    store = Store(url)
    text = store.read(STUDY)
    if text is None:
        raise ValueError(f"'{one_line(url)}' is no study: there is no {STUDY} in it")
    if wrong := _wrong_with(text, f"{url}/{STUDY}"):
        raise ValueError(
            f"{wrong}; where it is damaged, `distlaw study run FILE --out {one_line(url)}` with the study's own file"
            " writes it again"
        )
    return study_of(text.decode(), f"{url}/{STUDY}"), store


def require_data(study: Study, cache: Path, preparing: Callable[[str, int], None] | None = None) -> None:
    """Prepare the data, and check that there is enough for every run.

    Raises:
        ValueError: It cannot be read, has another vocabulary than the study says, or is too short for a run.
    """
    from distlaw.train.prepare import prepare

    data = prepare(study.data, cache, progress=preparing)
    if data.vocab_size != study.data.vocab_size:
        raise ValueError(
            f"data.vocab_size is {study.data.vocab_size}, and the tokenizer has {data.vocab_size}: write that"
        )
    longest: dict[str, Run] = {}
    for run in study.runs:
        longest[run.split] = max(run, longest.get(run.split, run), key=lambda r: r.tokens)
    for split, run in longest.items():
        there = data.split(run.split).tokens
        if run.tokens > study.limits.epochs * there:
            raise ValueError(
                f"a {split} of {format_quantity(study.shape(run).n_params)} parameters reads"
                f" {format_quantity(run.tokens)} tokens, and the {split} split has {format_quantity(there)}:"
                " give more data or fewer tokens, or allow repetition with limits.epochs"
            )


@dataclass(kw_only=True)
class Driver:
    """Gives jobs to workers.

    Attributes:
        study: The study.
        store: Its store.
        executor: The workers.
        cache: Folder of prepared data.
        looking: Called after every look at the store.
        expiry: Seconds after which a lease that stands still is dead.
        asked: Tells whether to stop.
    """

    study: Study
    store: Store
    executor: Executor
    cache: Path
    looking: Callable[[State], None] = lambda _state: None
    expiry: float = EXPIRY
    asked: Callable[[], bool] = lambda: False
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.state = State(store=self.store)
        self._watch = Watch(self.expiry)
        self._deaths: Counter[str] = Counter()
        self._running: dict[str, Job] = {}
        self._estimator: Estimator = assumed(self.study)
        self._learned = -1

    def run(self, runs: Collection[Run]) -> Outcome:
        """Do these runs, and the teachers they need.

        Raises:
            ValueError: The disk is full.
        """
        wanted = _with_teachers(runs)
        while True:
            self.looking(self.state.look())
            jobs = self.jobs(wanted)
            self._learn(jobs)
            if self.state.stopped or self.asked():
                for report in self.executor.stop():
                    self._take(report)
                return self._outcome("stopped", wanted, jobs)
            open_jobs = [job for job in jobs if not self._settled(job)]
            if not open_jobs and not self._running:
                return self._outcome("done", wanted, jobs)
            self._submit(open_jobs)
            for report in self.executor.wait(_POLL):
                self._take(report)

    def jobs(self, runs: Iterable[Run]) -> list[Job]:
        """How the runs are put together, given what is done and what failed."""
        records, limits = self.state.records, self.study.limits
        apart = {job for job, errors in self.state.failures.items() if len(errors) >= limits.attempts}
        listed = jobs_of(self.study, runs, apart=apart)
        cut = (
            without(job, [r.id for r in job.runs if r.id in records and records[r.id]["job"] != job.id])
            for job in listed
        )
        return [job for job in cut if job is not None]

    def _settled(self, job: Job) -> bool:
        """Whether nothing more will be done about a job."""
        return self._done(job) or self._given_up(job) or self._blocked(job)

    def _done(self, job: Job) -> bool:
        return all(run.id in self.state.records for run in job.runs)

    def _given_up(self, job: Job) -> bool:
        return len(self.state.failures.get(job.id, ())) >= self.study.limits.attempts

    def _blocked(self, job: Job) -> bool:
        if job.teacher is None or job.teacher.id in self.state.records:
            return False
        return self._given_up(Job(runs=(job.teacher,)))

    def _submit(self, open_jobs: list[Job]) -> None:
        seconds = {job.id: self._estimator.seconds(job) for job in open_jobs}
        left = [job for job in open_jobs if job.id not in self._running]
        ready = {
            job.id: job
            for job in left
            if (job.teacher is None or job.teacher.id in self.state.records)
            and self._watch.state(self.state.leases.get(job.id)) != "held"
        }
        while self.executor.free() and ready:
            job = next_job(ready.values(), left, workers=self.executor.workers, seconds=lambda j: seconds[j.id])
            assert job is not None
            lease = self.state.leases.get(job.id)
            steps = max(job.runs[0].tokens // self.study.setup(job.runs[0]).training.batch_tokens, 1)
            every = min(max(int(_CHECKPOINT * steps / seconds[job.id]), 1), steps)
            self._running[job.id] = job
            self.executor.submit(
                Task(
                    study=self.study,
                    url=self.store.url,
                    job=job,
                    after=0 if lease is None else lease.number,
                    cache=self.cache,
                    checkpoint_every=every,
                )
            )
            del ready[job.id]
            left.remove(job)

    def _take(self, report: Report) -> None:
        del self._running[report.job]
        if report.ending == "died":
            self._deaths[report.job] += 1
            if self._deaths[report.job] >= _DEATHS:
                note_failure(self.store, report.job, f"{report.error}, {_DEATHS} times over this job")
                self._deaths[report.job] = 0
        elif report.ending == "teacher":
            self.state.notes.append(f"{report.error}: it is in quarantine, and is trained again")
        elif report.ending == "stopped" and report.error:
            self.executor.stop()
            raise ValueError(f"{report.error}; free some room and give the same command again")

    def _learn(self, jobs: list[Job]) -> None:
        """Estimates from what is finished, and the index that `status` reads, each time a tenth more is done."""
        done = len(self.state.records)
        if done < max(self._learned * 1.1, self._learned + 1) and self._learned >= 0:
            return
        self._learned = done
        records = self.state.records
        took = [
            (job, _seconds(records[job.runs[0].id]))
            for job in jobs
            if self._done(job) and records[job.runs[0].id]["job"] == job.id
        ]
        self._estimator = learned(self.study, took)
        write_index(self.store, index_of(self.study, jobs, self._estimator))

    def _outcome(self, ended: Ended, wanted: Collection[Run], jobs: list[Job]) -> Outcome:
        self.looking(self.state.look())
        given_up = [job for job in jobs if self._given_up(job) and not self._done(job)]
        return Outcome(
            ended=ended,
            runs=len(wanted),
            done=sum(run.id in self.state.records for run in wanted),
            failed={job.id: self.state.failures[job.id][-1] for job in given_up},
            blocked=sum(len(job.runs) for job in jobs if self._blocked(job)),
            notes=tuple(self.state.notes),
        )


def _seconds(record: Mapping[str, Any]) -> float:
    """What the job of a run took, measuring and export included; older records know of training alone."""
    return max(float(record.get("job_seconds") or 0.0), float(record.get("wall_seconds") or 0.0))


def index_of(study: Study, jobs: Iterable[Job], estimator: Estimator) -> Index:
    """What `status` shows of each job, without knowing what a study is."""
    entries = [
        IndexEntry(
            id=job.id,
            runs=tuple(run.id for run in job.runs),
            flops=sum(study.flops(run) for run in job.runs),
            seconds=estimator.seconds(job),
            what=describe(study, job),
        )
        for job in jobs
    ]
    return Index(about=study.about, attempts=study.limits.attempts, jobs=tuple(entries))


def describe(study: Study, job: Job) -> str:
    """A job in a few words."""
    sizes = ", ".join(format_quantity(study.shape(run).n_params) for run in job.runs)
    text = f"{sizes} on {format_quantity(job.runs[0].tokens)} tokens"
    if job.teacher is not None:
        teacher = job.teacher
        text += f" from {format_quantity(study.shape(teacher).n_params)}"
        text += f" on {format_quantity(teacher.tokens)}"
    elif job.runs[0].split == "teacher":
        text = f"teacher {text}"
    return text + (f", seed {job.runs[0].seed}" if job.runs[0].seed else "")


def _with_teachers(runs: Iterable[Run]) -> dict[Run, None]:
    found: dict[Run, None] = {}
    for run in runs:
        if run.teacher is not None:
            found[run.teacher] = None
        found[run] = None
    return found
