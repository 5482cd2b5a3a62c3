"""What labs gain by how they are computed.

Commands: `python benchmarks/labs.py` (five minutes on one core): networks of pointer-mapping in a batch against one at
a time. `python benchmarks/labs.py LABS`, after `distlaw lab all --preset full --out LABS`: what the labs that train
gain by sharing runs and teachers. CPU time of one thread.
"""

import sys
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from distlaw.apps.lab_run import together
from distlaw.labs.mlps import BATCH, Floats, log_probabilities, train
from distlaw.labs.pointer_mapping import grid_of
from distlaw.labs.pointer_networks import TRIALS, Network
from distlaw.labs.pointer_task import POSITIONS, draw, inputs_and_answers
from distlaw.labs.registry import NAMES, open_lab
from distlaw.sweep.estimate import learned
from distlaw.sweep.jobs import Job, jobs_of
from distlaw.sweep.state import State
from distlaw.sweep.store import Store
from distlaw.sweep.study import Study
from distlaw.train.config import TrainingConfig

SECONDS = 0.5
"""CPU time that is spent on each measurement, at least."""


def per_step(train_for: Callable[[int], object]) -> float:
    """CPU seconds of a step: two lengths of training are compared, so that what is done once is left out."""

    def seconds(steps: int) -> float:
        begun = time.process_time()
        train_for(steps)
        return time.process_time() - begun

    seconds(2)
    few = 4
    while (spent := seconds(few)) < SECONDS / 2:
        few *= 2
    return min((seconds(3 * few) - spent) / (2 * few) for _ in range(2))


def alone(width: int, teacher_width: int | None, steps: int) -> None:
    """A network as one writes it with torch: layers, autograd, Adam, a schedule, a teacher that is asked each batch."""

    def network(width: int) -> torch.nn.Sequential:
        sizes = (2 * POSITIONS, width, width, POSITIONS)
        lines = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
        return torch.nn.Sequential(lines[0], torch.nn.ReLU(), lines[1], torch.nn.ReLU(), lines[2])

    inputs, answers = (torch.from_numpy(part) for part in inputs_and_answers())
    net, teacher = network(width), None if teacher_width is None else network(teacher_width)
    course = TrainingConfig(tokens=steps * BATCH, batch_tokens=BATCH, rate=3e-4, warmup=0.05, final_rate=0.0)
    adam = torch.optim.Adam(net.parameters(), lr=course.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, course.rate_at)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        rows = torch.from_numpy(draw(rng, BATCH))
        x, target = inputs[rows], answers[rows]
        if teacher is not None:
            with torch.no_grad():
                target = torch.softmax(teacher(x), -1)
        adam.zero_grad()
        torch.nn.functional.cross_entropy(net(x), target).backward()
        adam.step()
        schedule.step()


@lru_cache
def alone_step(width: int, teacher_width: int | None) -> float:
    """CPU seconds of a step of one network."""
    return per_step(lambda steps: alone(width, teacher_width, steps))


@lru_cache
def batched_step(width: int, taught: bool, networks: int = TRIALS) -> float:
    """CPU seconds of a step of one network among several; those of all trials are what the lab trains at a time."""
    inputs, answers = inputs_and_answers()
    targets = np.eye(POSITIONS, dtype=np.float32)[answers]
    if taught:
        targets = np.broadcast_to(targets, (networks, *targets.shape)).copy()

    def train_for(steps: int) -> list[Floats]:
        seeds = [(0, trial) for trial in range(networks)]
        return train(width, samples=steps * BATCH, seeds=seeds, inputs=inputs, targets=targets, draw=draw)

    return per_step(train_for) / networks


@lru_cache
def table_seconds(width: int) -> float:
    """CPU seconds of asking one teacher about every input."""
    inputs, _ = inputs_and_answers()
    sizes = (2 * POSITIONS, width, width, POSITIONS)
    layers = [np.zeros((1, *shape), dtype=np.float32) for a, b in pairwise(sizes) for shape in ((b, a), (b, 1))]
    begun = time.process_time()
    log_probabilities(layers, inputs)
    return time.process_time() - begun


def pointer_mapping() -> None:
    """Networks of the pointer mapping a second: a batch of all trials against one network at a time.

    The mix is the lab's own. A batch shares the cost of calls, which counts for narrow networks; and it keeps a
    teacher's answers to all inputs, where one at a time asks the teacher each batch, which counts for wide teachers.
    What is left are the products themselves, which no batch makes cheaper. Networks narrower than the lab's are timed
    to show where the cost of calls is all there is.
    """
    inputs_and_answers()
    print("pointer mapping: microseconds of a step of one network, alone and in a batch")
    print("width  teacher     alone   batch   batched   ratio")
    mixed = [(width, teacher, TRIALS) for width in (32, 64, 128, 256, 512) for teacher in (None, 32, 256, 512)]
    for width, teacher, networks in [(8, None, TRIALS), (8, None, 32), (16, None, TRIALS), (16, None, 32), *mixed]:
        one, many = alone_step(width, teacher), batched_step(width, teacher is not None, networks)
        print(f"{width:5}  {teacher or '-':>7} {one * 1e6:9.0f} {networks:7} {many * 1e6:9.0f} {one / many:7.1f}")

    def seconds(network: Network) -> tuple[float, float]:
        steps, taught = round(network.samples / BATCH), network.teacher is not None
        one = alone_step(network.width, network.teacher.width if network.teacher is not None else None)
        table = table_seconds(network.teacher.width) if network.teacher is not None else 0.0
        return steps * one * TRIALS, (steps * batched_step(network.width, taught) + table) * TRIALS

    print("\npreset  networks       alone     batched   ratio")
    for preset in ("quick", "full"):
        networks = grid_of(preset).networks()
        for name, chosen in (
            (preset, networks),
            ("  up to a width of 64", [one for one in networks if one.width <= 64]),
        ):
            one, many = np.sum([seconds(network) for network in chosen], axis=0).tolist()
            count = len(chosen) * TRIALS
            print(f"{name:<22} {count:4} {count / one:7.3f}/s {count / many:7.3f}/s {one / many:7.1f}   {many:.0f} s")


def sharing(folder: Path) -> None:
    """Core time of the labs that train when they share runs and teachers' passes, against each lab in a folder alone.

    Together is measured: CPU time of the runs in the folder, which all of the labs have read. Apart is what the jobs of
    each lab alone would take at the speeds of these runs: with its teachers trained once and their passes shared among
    its own students, and with each student asking its teacher for itself.
    """
    labs = [lab for name in NAMES if (lab := open_lab(name)).study is not None]
    studies = {lab.name: lab.study("full", 0) for lab in labs if lab.study is not None}
    records = State(store=Store(str(folder))).look().records
    whole = together(list(studies.values()))
    missing = [run for run in whole.runs if run.id not in records]
    print(f"\nsharing: {len(whole.runs)} runs, {len(missing)} of them not in {folder}")
    took = [
        (job, sum(records[run.id]["cpu_seconds"] / records[run.id]["students_on_one_pass"] for run in job.runs))
        for job in jobs_of(whole, [run for run in whole.runs if run.id in records])
    ]
    estimator = learned(whole, took)

    def cost(study: Study, *, passes_shared: bool = True) -> float:
        jobs = jobs_of(study, study.runs)
        if not passes_shared:
            jobs = jobs_of(study, study.runs, apart=[job.id for job in jobs])
        return sum(estimator.seconds(job) for job in jobs)

    def teacher_pass(job: Job) -> float:
        once, twice = (estimator.seconds(Job(runs=job.runs[:1] * times)) for times in (1, 2))
        return 2 * once - twice - estimator.coefficients[0]

    apart, shared = {name: cost(study) for name, study in studies.items()}, cost(whole)
    unshared = sum(cost(study, passes_shared=False) for study in studies.values())
    measured, said = sum(seconds for _, seconds in took), sum(estimator.seconds(job) for job, _ in took)
    for name, seconds in apart.items():
        print(f"{name:<16} {len(studies[name].runs):4} runs {seconds / 60:7.1f} core-min alone")
    jobs = jobs_of(whole, whole.runs)
    untaught = sum(estimator.seconds(job) for job in jobs if job.teacher is None)
    passes = sum(teacher_pass(job) for job in jobs if job.teacher is not None)
    parts = f"{untaught / 60:.1f} without a teacher, {passes / 60:.1f} teachers' passes"
    print(f"together {shared / 60:.1f} core-min: {parts}")
    for what, seconds in (("its passes shared", sum(apart.values())), ("each student asking its teacher", unshared)):
        print(f"each lab alone, {what}: {seconds / 60:.1f} core-min, together {shared / seconds:.0%} of that")
    print(f"(runs there: measured {measured / 60:.1f} core-min, said {said / 60:.1f})")


def main() -> None:
    """All parts; the second needs a folder of labs that were run, `distlaw lab all --preset full --out labs`."""
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        sharing(Path(sys.argv[1]) / "runs" / "full")
    else:
        pointer_mapping()


if __name__ == "__main__":
    main()
