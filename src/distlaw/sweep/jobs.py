"""Jobs: what one worker does at a time, which is a run, or several students on one pass of their teacher."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from distlaw.sweep.protocols import Run
from distlaw.sweep.study import Study
from distlaw.train.config import RunConfig, StudentConfig, TeacherConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Job:
    """Runs that are trained together: of one teacher, on the same tokens in the same order.

    Attributes:
        runs: The runs; one where there is no teacher.
    """

    runs: tuple[Run, ...]
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(" ".join(run.id for run in self.runs).encode()).hexdigest()
        object.__setattr__(self, "id", digest[:16])

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def teacher(self) -> Run | None:
        """Whom its runs learn from."""
        return self.runs[0].teacher


def jobs_of(study: Study, runs: Iterable[Run], *, apart: Collection[str] = ()) -> list[Job]:
    """Put students of one teacher that read the same tokens in the same order, and train alike, into one pass.

    Which runs go together depends on the study alone, neither on workers nor on what is done, so that whoever shares
    it cuts it the same way. Small students go together: the teacher's pass weighs most on them. Their losses and shapes
    may differ.

    Args:
        study: The study.
        runs: Runs of it.
        apart: Ids of jobs to be cut into their runs, since one of several may be to blame for what befell all.
    """
    jobs: list[Job] = []
    per_pass = study.limits.students_per_pass
    passes: dict[tuple[str, int, int, TrainingConfig], list[Run]] = defaultdict(list)
    for run in runs:
        if run.teacher is None:
            jobs.append(Job(runs=(run,)))
        else:
            passes[run.teacher.id, run.tokens, run.seed, study.setup(run).training].append(run)
    for together in passes.values():
        ordered = sorted(together, key=lambda run: (run.layers, run.id))
        for first in range(0, len(ordered), per_pass):
            jobs.append(Job(runs=tuple(ordered[first : first + per_pass])))
    return [single for job in jobs for single in (_cut(job) if job.id in apart else [job])]


def without(job: Job, elsewhere: Collection[str]) -> Job | None:
    """A job without the runs that were done elsewhere; None when nothing is left."""
    left = tuple(run for run in job.runs if run.id not in elsewhere)
    return job if len(left) == len(job.runs) else replace(job, runs=left) if left else None


def config_of(study: Study, job: Job, teacher: Path | None, *, checkpoint_every: int = 0) -> RunConfig:
    """What the loop trains for a job.

    Args:
        study: The study.
        job: The job.
        teacher: Where its teacher was trained.
        checkpoint_every: Steps between checkpoints.
    """
    first = job.runs[0]

    def student(run: Run) -> StudentConfig:
        setup = study.setup(run)
        loss = setup.loss if teacher is not None else replace(setup.loss, mixing=0.0)
        return StudentConfig(name=run.id, model=replace(setup.family, layers=run.layers), seed=run.seed, loss=loss)

    own = {"tokens": first.tokens, "order_seed": first.seed, "checkpoint_every": checkpoint_every}
    return RunConfig(
        data=study.data,
        training=replace(study.setup(first).training, **own),
        students=tuple(student(run) for run in job.runs),
        teacher=None if teacher is None else TeacherConfig(path=str(teacher)),
        split=first.split,
    )


def chains(jobs: Iterable[Job], seconds: Callable[[Job], float]) -> Mapping[str, float]:
    """Seconds from the start of each job to the end of the last one that waits for it."""
    listed = list(jobs)
    waiting: dict[str, list[Job]] = defaultdict(list)
    for job in listed:
        if job.teacher is not None:
            waiting[job.teacher.id].append(job)
    lengths: dict[str, float] = {}
    for job in sorted(listed, key=lambda j: j.teacher is None):  # a student waits for its teacher and no further
        after = max((seconds(s) for run in job.runs for s in waiting[run.id]), default=0.0)
        lengths[job.id] = seconds(job) + after
    return lengths


def next_job(ready: Iterable[Job], left: Iterable[Job], *, workers: int, seconds: Callable[[Job], float]) -> Job | None:
    """Which job to start: the cheapest, unless a long one must start now for the study to end early.

    A job whose chain is as long as an equal share of all that is left would, if it waited, be what everybody waits
    for at the end.

    Args:
        ready: Jobs that could start.
        left: All jobs not done, those under way excepted.
        workers: Workers of the study.
        seconds: Estimated time of a job.
    """
    ready, left = list(ready), list(left)
    if not ready:
        return None
    length = chains(left, seconds)
    share = sum(seconds(job) for job in left) / workers
    longest = max(ready, key=lambda job: (length[job.id], job.id))
    if workers > 1 and length[longest.id] >= _TAIL * share:
        return longest
    return min(ready, key=lambda job: (seconds(job), job.id))


_TAIL = 0.6  # of the share; below 1, since estimates err and what is long is seldom early


def _cut(job: Job) -> list[Job]:
    return [Job(runs=(run,)) for run in job.runs]
