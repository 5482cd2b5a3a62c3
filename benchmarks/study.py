"""What a study costs beside its runs: planning, status, the local executor, and Ray.

Command: `python benchmarks/study.py` (ten minutes on two idle cores, Linux). Runs are real, on the synthetic language,
float32, one thread a worker. CPU time is that of all processes, workers' imports included unless said otherwise.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distlaw.sweep.drive import Driver, begin, index_of, require_data
from distlaw.sweep.estimate import assumed
from distlaw.sweep.jobs import config_of, jobs_of
from distlaw.sweep.local import Executor, LocalPool
from distlaw.sweep.status import write_index
from distlaw.sweep.study import Study, study_of, study_text

HEAD = """
[data]
source = "synthetic"
vocab_size = 512
context = 128
synthetic_tokens = 6_000_000
[family]
aspect_ratio = 16
head_size = 16
[training]
batch_tokens = 1024
validation_tokens = 131_072
"""
SHORT = HEAD + "[[protocols]]\nstudents = { params = [27e3], tokens = [1e6] }\nseeds = [0, 1, 2, 3, 4, 5]\n"
LONG = HEAD + "[[protocols]]\nstudents = { params = [83e3], tokens = [1.9e6] }\nseeds = [0, 1, 2, 3]\n"
HUGE = (
    HEAD.replace("synthetic_tokens = 6_000_000", "synthetic_tokens = 60_000_000")
    + "[[protocols]]\n"
    + "teachers = { params = [27e3, 83e3, 201e3, 398e3, 665e3], tokens = [1e6, 2e6, 4e6, 8e6, 16e6] }\n"
    + "students = { params = [3e3, 27e3, 83e3, 201e3, 398e3], tokens = [1e5, 2e5, 4e5, 8e5, 1e6, 2e6, 4e6, 8e6] }\n"
    + "seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
)


def cpu() -> float:
    """CPU seconds of this process and of all that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def plainly(study: Study, folder: Path, cache: Path) -> tuple[float, float]:
    """CPU and wall seconds of the runs one after another, by nothing but the training loop."""
    from distlaw.train.loop import run
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    begun = cpu(), time.monotonic()
    for job in jobs_of(study, study.runs):
        steps = job.runs[0].tokens // study.training.batch_tokens
        assert run(config_of(study, job, None, checkpoint_every=steps), folder / job.id, cache=cache).finished
    return cpu() - begun[0], time.monotonic() - begun[1]


def by(executor: Executor, study: Study, folder: Path, cache: Path) -> tuple[float, float]:
    """Wall seconds of a study, workers started before; and those of its trainings, added up."""
    begun = time.monotonic()
    driver = Driver(study=study, store=begin(study, str(folder)), executor=executor, cache=cache)
    assert driver.run(study.runs).done == len(study.runs)
    wall = time.monotonic() - begun
    return wall, sum(record["wall_seconds"] for record in driver.state.records.values())


def warm(executor: Executor, folder: Path, cache: Path) -> None:
    """Have every worker import what it needs."""
    study = study_of(
        HEAD + "[[protocols]]\nstudents = { params = [3e3], tokens = [1024] }\nseeds = [0, 1, 2, 3]\n", "warm"
    )
    by(executor, study, folder, cache)


def local(folder: Path, cache: Path) -> None:
    """The local executor against the bare loop, and two workers against one."""
    study = study_of(SHORT, "short")
    require_data(study, cache)
    bare_cpu, bare_wall = plainly(study, folder / "plain", cache)
    walls, trainings = {}, {}
    spent = 0.0
    for workers in (1, 2):
        before = cpu()
        pool = LocalPool(workers)
        warm(pool, folder / f"warm{workers}", cache)
        walls[workers], trainings[workers] = by(pool, study, folder / f"local{workers}", cache)
        pool.close()
        spent = cpu() - before if workers == 1 else spent
    print(f"\n{len(study.runs)} runs of {bare_wall / len(study.runs):.1f} s, one after another")
    print(f"bare loop            {bare_wall:7.1f} s wall  {bare_cpu:7.1f} s CPU")
    print(f"local, one worker    {walls[1]:7.1f} s wall  {walls[1] / bare_wall - 1:+.1%} of the loop's")
    print(f"                     {spent:7.1f} s CPU with driver, the worker's start and four tiny runs")
    print(f"local, two workers   {walls[2]:7.1f} s wall  {walls[1] / walls[2]:.2f} times one")
    print(f"                     a training takes {trainings[2] / trainings[1] - 1:+.1%} beside another")


def ray(folder: Path, cache: Path) -> None:
    """Ray on this machine against the local executor, for runs of half a minute."""
    try:
        from distlaw.sweep.cluster import RayCluster
    except ImportError:
        print("\nray is not installed: left out")
        return
    study = study_of(LONG, "long")
    require_data(study, cache)
    walls = {}
    for name, make in (("local", lambda: LocalPool(2)), ("ray", lambda: RayCluster("local", workers=2))):
        executor = make()
        warm(executor, folder / f"warm-{name}", cache)
        walls[name], _ = by(executor, study, folder / name, cache)
        executor.close()
    print(f"\n{len(study.runs)} runs of {2 * walls['local'] / len(study.runs):.0f} s on two workers")
    print(
        f"local {walls['local']:6.1f} s   ray {walls['ray']:6.1f} s   {walls['ray'] / walls['local']:.2f} times local"
    )


def many(folder: Path) -> None:
    """Planning and status of a study of ten thousand runs, half of them done, as commands from a cold start."""
    study = study_of(HUGE, "huge")
    file = folder / "huge.toml"
    file.write_text(study_text(study))
    store = begin(study, str(folder / "huge"))
    jobs = jobs_of(study, study.runs)
    write_index(store, index_of(study, jobs, assumed(study)))
    for run in list(study.runs)[::2]:
        store.write(f"records/{run.id}.json", json.dumps({"name": run.id}).encode())
    for job in jobs[:16]:
        content = {"place": "elsewhere", "pid": 1, "beat": 1, "step": 5, "steps": 10, "tokens_per_second": 1e5}
        store.create(f"leases/{job.id}.0001", json.dumps(content).encode())
    print(f"\n{len(study.runs)} runs in {len(jobs)} jobs, {len(list(study.runs)[::2])} done")
    for words in (("plan", str(file)), ("status", str(folder / "huge"))):
        seconds = []
        for _ in range(3):
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "distlaw", "study", *words, "--json"], check=True, capture_output=True
            )
            seconds.append(time.monotonic() - begun)
        print(f"distlaw study {words[0]:<8} {sorted(seconds)[1]:5.2f} s wall, median of 3")


def main() -> None:
    """All parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
        many(folder)
        local(folder / "local", folder / "cache")
        ray(folder / "ray", folder / "cache")


if __name__ == "__main__":
    main()
