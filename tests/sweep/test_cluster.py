"""Ray's workers: the same table as this machine's, whatever happens to them."""

import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.waiting import wait_until

pytest.importorskip("torch")
pytest.importorskip("ray")

from ray.cluster_utils import Cluster

from distlaw.runs import Runs
from distlaw.sweep import cluster as room
from distlaw.sweep.cluster import RayCluster
from distlaw.sweep.collect import collect
from distlaw.sweep.drive import Driver, Outcome, begin, require_data
from distlaw.sweep.jobs import Job
from distlaw.sweep.lease import leases
from distlaw.sweep.local import LocalPool
from distlaw.sweep.store import Store
from distlaw.sweep.study import Study, study_of
from distlaw.sweep.worker import Report, Task

long = pytest.mark.skipif("DISTLAW_LONG_TESTS" not in os.environ, reason="starts Ray; `make test-long` runs it")

STUDY = """
[data]
source = "synthetic"
vocab_size = 64
context = 32
synthetic_tokens = 600_000
[family]
aspect_ratio = 8
head_size = 8
[training]
batch_tokens = 512
log_every = 1
validation_tokens = 4096
[[protocols]]
students = { params = [1e3], tokens = [8192, 65_536, 81_920] }
[[protocols]]
teachers = { params = [6e3], tokens = [16_384] }
students = { params = [1e3], tokens = [8192] }
"""


@pytest.fixture(autouse=True, scope="module")
def _as_before():
    """Ray takes SIGTERM for itself, and sets a level for its logger."""
    handler, level = signal.getsignal(signal.SIGTERM), logging.getLogger("ray").level
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.getLogger("ray").setLevel(level)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    found = tmp_path_factory.mktemp("cache") / "data"
    require_data(study_of(STUDY, "a study"), found)
    return found


@pytest.fixture(scope="module")
def expected(cache, tmp_path_factory) -> Runs:
    """The table of this machine's workers."""
    pool = LocalPool(2)
    try:
        _, runs = _run(study_of(STUDY, "a study"), str(tmp_path_factory.mktemp("local")), pool, cache)
    finally:
        pool.close()
    return runs


def _run(study: Study, url: str, executor, cache: Path, **options) -> tuple[Outcome, Runs]:
    driver = Driver(study=study, store=begin(study, url), executor=executor, cache=cache, **options)
    outcome = driver.run(study.runs)
    return outcome, collect(study, driver.state.records)


def _longest(study: Study, number: int = 1) -> list[Job]:
    ordered = sorted(study.runs, key=lambda run: run.tokens, reverse=True)
    return [Job(runs=(run,)) for run in ordered[:number]]


def _until_in_training(store: Store, job: Job, *, beyond: int = 0) -> int:
    """Wait for the job to have a lease, and more than so many bytes of metrics; gives how many."""
    sizes = [0]

    def trains():
        lease = leases(store).get(job.id)
        sizes.append(_metrics(store, job))
        return lease and not lease.free and sizes[-1] > beyond

    wait_until(trains)
    return sizes[-1]


def _metrics(store: Store, job: Job) -> int:
    """Bytes of metrics of a job, under way or not."""
    found = 0
    for file in (Path(store.url) / "jobs").glob(f"{job.id}*/metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            found += file.stat().st_size
    return found


def _same(found: Runs, expected: Runs) -> None:
    np.testing.assert_array_equal(found.student_loss, expected.student_loss)
    np.testing.assert_array_equal(found.teacher_loss, expected.teacher_loss)
    assert list(found.group) == list(expected.group)


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'distlaw\[cluster\]'"):
        RayCluster()


def test_no_cluster_there(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(ValueError, match=rf"no Ray cluster at '{address}' \(.*refused\).*ray start --head"):
            RayCluster(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ValueError, match=f"no Ray cluster at '{address}'"):
            RayCluster("auto")
    with pytest.raises(ValueError, match="no Ray cluster at 'nonsense'"):
        RayCluster("nonsense")
    with pytest.raises(ValueError, match="'ray://head:10001': give host:port"):
        RayCluster("ray://head:10001")


@pytest.fixture(scope="class")
def nodes():
    """A cluster of two nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="class")
def executor(nodes):
    before = signal.getsignal(signal.SIGTERM)
    executor = RayCluster(nodes.address)
    assert signal.getsignal(signal.SIGTERM) is before
    yield executor
    executor.close()


@long
class TestTwoNodes:
    def test_the_same_table_from_warm_processes(self, executor, cache, expected, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        owners, threads = set(), set()

        def looking(state):
            for lease in state.leases.values():
                owners.add(lease.content["pid"])
                environment = Path(f"/proc/{lease.content['pid']}/environ").read_bytes().split(b"\0")
                threads.update(entry for entry in environment if entry.startswith(b"OMP_NUM_THREADS"))

        outcome, found = _run(study_of(STUDY, "a study"), "out", executor, cache, looking=looking)
        assert (outcome.ended, outcome.done, outcome.failed) == ("done", 5, {})
        _same(found, expected)
        assert 1 <= len(owners) <= 2
        assert threads == {b"OMP_NUM_THREADS=1"}
        assert executor.free() == 2

    def test_stopped_gone_on_with_and_killed(self, executor, cache, expected, tmp_path, monkeypatch):
        study, store = study_of(STUDY, "a study"), Store(str(tmp_path))
        (long,) = _longest(study)

        def asked():
            return long.id in executor._running.values() and _until_in_training(store, long) > 0

        outcome, _ = _run(study, store.url, executor, cache, asked=asked)
        assert outcome.ended == "stopped"
        assert outcome.done < outcome.runs
        assert list((tmp_path / "jobs").glob(f"{long.id}*/checkpoints/*"))
        assert leases(store)[long.id].free
        assert executor.free() == 2

        before = _metrics(store, long)
        submit, wait, killed, endings = executor.submit, executor.wait, [], []

        def submit_and_kill(task):
            submit(task)
            if task.job.id == long.id and not killed:
                _until_in_training(store, long, beyond=before)
                killed.append(leases(store)[long.id].content["pid"])
                os.kill(killed[0], signal.SIGKILL)

        def listen(timeout):
            reports = wait(timeout)
            endings.extend(report.ending for report in reports if report.job == long.id)
            return reports

        monkeypatch.setattr(executor, "submit", submit_and_kill)
        monkeypatch.setattr(executor, "wait", listen)
        outcome, found = _run(study, store.url, executor, cache)
        assert endings == ["died", "done"]
        assert (outcome.ended, outcome.done, outcome.failed) == ("done", 5, {})
        _same(found, expected)

    def test_a_node_that_does_not_see_the_study(self, executor, cache, tmp_path):
        study = study_of(STUDY, "a study")
        executor.submit(_task(study, str(tmp_path / "elsewhere"), cache, *_longest(study)))
        with pytest.raises(ValueError, match=r"elsewhere' has no study.toml on .*: --out must be a folder that all"):
            _first(executor)
        assert executor.free() == 2

    def test_stopped_before_they_began(self, executor, cache, tmp_path):
        study = study_of(STUDY, "a study")
        url = begin(study, str(tmp_path)).url
        (long,) = _longest(study)
        jobs = [Job(runs=(run,)) for run in study.runs if run.teacher is None and run not in long.runs]
        for job in (*jobs, long):  # more than there is room for: the last one waits in Ray
            executor.submit(_task(study, url, cache, job))
        reports = {report.job: report.ending for report in executor.stop()}
        assert len(reports) == 4
        assert reports[long.id] == "stopped"
        assert not set(reports.values()) - {"done", "stopped"}

    def test_a_lost_node(self, nodes, executor, cache, expected, tmp_path, monkeypatch):  # the last: it stays lost
        study, store = study_of(STUDY, "a study"), Store(str(tmp_path))
        # Processes of one machine are known to be dead at once; those of another only by a lease that stands still.
        monkeypatch.setattr("distlaw.sweep.lease.place", lambda: "another machine")
        (lost,) = nodes.worker_nodes
        both = _longest(study, 2)

        submit = executor.submit

        def submit_and_lose(task):
            submit(task)
            if nodes.worker_nodes and not executor.free():
                for job in both:
                    _until_in_training(store, job)
                nodes.remove_node(lost, allow_graceful=False)

        monkeypatch.setattr(executor, "submit", submit_and_lose)
        driver = Driver(study=study, store=begin(study, store.url), executor=executor, cache=cache, expiry=2.0)
        outcome = driver.run([run for job in both for run in job.runs])
        assert not nodes.worker_nodes
        assert (outcome.ended, outcome.done, outcome.failed) == ("done", 2, {})
        found = collect(study, driver.state.records)
        np.testing.assert_array_equal(found.student_loss, expected.student_loss[1:3])


@long
def test_a_run_of_two_processes(cache, expected, tmp_path):
    text = STUDY.replace("8192, 65_536, 81_920", "8192").partition("[[protocols]]\nteachers")[0]
    study = study_of(f"{text}\n[limits]\nprocesses_per_run = 2\n", "a study of two processes")
    executor = RayCluster("local", workers=1, processes_per_run=2)
    try:
        outcome, found = _run(study, str(tmp_path), executor, cache)
    finally:
        executor.close()
    assert (outcome.done, outcome.failed) == (1, {})
    np.testing.assert_allclose(found.student_loss, expected.student_loss[0], rtol=1e-4)


@long
def test_room_and_gpus(nodes, cache, tmp_path, monkeypatch):
    study = study_of(STUDY, "a study")

    def visible(task: Task, _folder: str) -> Report:
        return Report(job=task.job.id, ending="done", error=os.environ.get("CUDA_VISIBLE_DEVICES", "all"))

    monkeypatch.setattr(room, "_do", visible)
    monkeypatch.setattr(room, "_LOOK", 0.0)
    with pytest.raises(ValueError, match=r"no node of the Ray cluster .* has the 2 CPU and 0 GPU of a run"):
        RayCluster(nodes.address, processes_per_run=2)
    executor = RayCluster(nodes.address)
    assert executor.free() == 2
    nodes.add_node(num_cpus=5, num_gpus=4)
    assert executor.free() == executor.workers == 7
    executor.close()

    for options, workers in (({}, 4), ({"gpus_per_process": 0.5}, 5), ({"processes_per_run": 2}, 2)):
        executor = RayCluster(nodes.address, **options)
        assert executor.workers == executor.free() == workers
        if workers == 2:
            executor.submit(_task(study, str(tmp_path), cache, *_longest(study)))
            assert executor.free() == 1
            assert len(_first(executor).error.split(",")) == 2
        executor.close()


def _task(study: Study, url: str, cache: Path, job: Job) -> Task:
    return Task(study=study, url=url, job=job, after=0, cache=cache, checkpoint_every=1000)


def _first(executor: RayCluster) -> Report:
    while True:
        for report in executor.wait(1.0):
            return report
