"""What a study will hold and cost, before anything is run."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from distlaw.sweep.estimate import START, assumed
from distlaw.sweep.jobs import chains, jobs_of
from distlaw.sweep.protocols import Run
from distlaw.sweep.study import Study


@dataclass(frozen=True, kw_only=True)
class Share:
    """One protocol's part.

    Attributes:
        protocol: Its name.
        runs: Runs it asks for that no protocol before it does.
        shared: Runs it asks for that one before it does too.
        teachers: Of `runs`, teachers.
        flops: FLOPs of `runs`.
        least_params: Smallest N of all it asks for.
        most_params: Largest N.
        least_tokens: Fewest tokens.
        most_tokens: Most tokens.
    """

    protocol: str
    runs: int
    shared: int
    teachers: int
    flops: float
    least_params: float
    most_params: float
    least_tokens: float
    most_tokens: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A study as it would be run.

    Attributes:
        protocols: Each protocol's part.
        runs: Different runs.
        teachers: Of them, teachers.
        distilled: Of them, distilled.
        jobs: Passes: a job trains a run, or several students of one teacher.
        left_out: Runs that the budget does not pay for.
        flops: FLOPs, each student with a pass of its teacher of its own (eq. 9).
        flops_shared: FLOPs as run, a pass serving all students of a job.
        core_hours: Estimated CPU time, a thread for each run, starting and measuring included.
        hours: Estimated wall time with the workers given, each with a core of its own.
        workers: Workers.
    """

    protocols: tuple[Share, ...]
    runs: int
    teachers: int
    distilled: int
    jobs: int
    left_out: int
    flops: float
    flops_shared: float
    core_hours: float
    hours: float
    workers: int


def outlook(study: Study, *, workers: int) -> Outlook:
    """Count a study."""
    runs = study.runs
    jobs = jobs_of(study, runs)
    estimator = assumed(study)
    seconds = {job.id: estimator.seconds(job) for job in jobs}
    total = sum(seconds.values())
    longest = max(chains(jobs, lambda job: seconds[job.id]).values())
    asked: dict[str, list[Run]] = defaultdict(list)
    for run, names in runs.items():
        for name in names:
            asked[name].append(run)
    flops = {run: study.flops(run) for run in runs}
    saved = sum(
        (len(job.runs) - 1) * study.shape(job.teacher).forward_flops * job.runs[0].tokens
        for job in jobs
        if job.teacher is not None
    )
    return Outlook(
        protocols=tuple(_share(study, name, listed, runs, flops) for name, listed in asked.items()),
        runs=len(runs),
        teachers=sum(run.split == "teacher" for run in runs),
        distilled=sum(run.teacher is not None for run in runs),
        jobs=len(jobs),
        left_out=study.left_out,
        flops=sum(flops.values()),
        flops_shared=sum(flops.values()) - saved,
        core_hours=(total + START * (workers + 1)) / 3600,
        hours=(max(total / workers, longest) + 2 * START) / 3600,  # the command starts, then its workers
        workers=workers,
    )


def _share(
    study: Study, name: str, listed: Collection[Run], runs: dict[Run, tuple[str, ...]], flops: dict[Run, float]
) -> Share:
    own = [run for run in listed if runs[run][0] == name]
    params = [study.shape(run).n_params for run in listed]
    tokens = [run.tokens for run in listed]
    return Share(
        protocol=name,
        runs=len(own),
        shared=len(listed) - len(own),
        teachers=sum(run.split == "teacher" for run in own),
        flops=sum(flops[run] for run in own),
        least_params=min(params),
        most_params=max(params),
        least_tokens=min(tokens),
        most_tokens=max(tokens),
    )
