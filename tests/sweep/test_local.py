"""Real trainings in real processes, and what befalls them."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.waiting import LONG, wait_until

pytest.importorskip("torch")

from tests.sweep.simulate import SMALL, small

from distlaw.apps.cli import main
from distlaw.runs import read_runs
from distlaw.sweep.collect import collect
from distlaw.sweep.drive import Driver, begin, require_data
from distlaw.sweep.jobs import jobs_of
from distlaw.sweep.local import LocalPool
from distlaw.sweep.state import record_name
from distlaw.sweep.store import Store
from distlaw.sweep.study import study_of, study_text
from distlaw.sweep.worker import Task

long = pytest.mark.skipif("DISTLAW_LONG_TESTS" not in os.environ, reason="takes minutes; `make test-long` runs it")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    found = tmp_path_factory.mktemp("cache")
    require_data(small(), found)
    return found


@pytest.fixture(scope="module")
def pool():
    found = LocalPool(2)
    yield found
    found.close()


def run(study, url, pool, cache):
    driver = Driver(study=study, store=begin(study, str(url)), executor=pool, cache=cache)
    outcome = driver.run(study.runs)
    assert outcome.failed == {}
    return collect(study, driver.state.records)


@pytest.fixture(scope="module")
def table(pool, cache, tmp_path_factory):
    return run(small(), tmp_path_factory.mktemp("undisturbed") / "study", pool, cache)


def same(a, b):
    assert len(a) == len(b)
    for name in ("student_params", "student_tokens", "student_loss", "compute", "seed"):
        assert (getattr(a, name) == getattr(b, name)).all(), name
    assert (a.teacher_loss[a.distilled] == b.teacher_loss[b.distilled]).all()


def test_a_study_of_real_runs(table):
    assert len(table) == len(small().runs)
    assert (table.student_loss > 1).all()
    assert (table.student_loss < 4.2).all()  # ln 64 = 4.16
    assert table.distilled.sum() == 4


def test_passes_of_other_sizes_and_one_worker_give_the_same_losses(table, cache, tmp_path):
    one = LocalPool(1)
    try:
        same(run(small(), tmp_path / "a", one, cache), table)
        apart = run(small(limits="students_per_pass = 1"), tmp_path / "b", one, cache)
    finally:
        one.close()
    assert apart.student_loss == pytest.approx(table.student_loss, rel=1e-5)


def test_workers_log_into_the_studys_folder_and_leave_no_checkpoints(cache, tmp_path):
    study = small(limits="compute = 3e8")
    one = LocalPool(1, log=begin(study, str(tmp_path / "s")).local / "workers.log")
    try:
        run(study, tmp_path / "s", one, cache)
    finally:
        one.close()
    assert (tmp_path / "s" / "workers.log").exists()
    assert not list((tmp_path / "s").rglob("checkpoints"))
    assert list((tmp_path / "s").rglob("export/model.safetensors"))


def test_a_study_behind_a_url_trains_in_scratch_and_uploads(table, cache):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    assert Store("memory://study").local is None
    same(run(small(), "memory://study", InThisProcess(), cache), table)
    files = memory.find("/study/jobs")
    assert sum(name.endswith("export/model.safetensors") for name in files) == len(table)
    assert not [name for name in files if "/checkpoints/" in name]
    memory.store.clear()


@long
def test_a_study_in_an_object_store_gives_the_same_losses(table, s3, cache):
    study, url = small(), f"{s3}/study"
    with contextlib.closing(LocalPool(2)) as two:  # processes that see the store through the network
        same(run(study, url, two, cache), table)
    store = Store(url)
    assert store.local is None
    files = store._fs.find("bucket")
    assert sum(name.endswith("export/model.safetensors") for name in files) == len(table)
    assert not [name for name in files if "/checkpoints/" in name]
    assert store.names("leases") == []


def test_a_teacher_with_a_flipped_bit_is_trained_again(table, pool, cache, tmp_path):
    study = small()
    teachers = {r: n for r, n in study.runs.items() if r.split == "teacher"}
    driver = Driver(study=study, store=begin(study, str(tmp_path)), executor=pool, cache=cache)
    driver.run(teachers)
    victim = next(tmp_path.rglob("model.safetensors"))
    content = bytearray(victim.read_bytes())
    content[-3] ^= 1
    victim.write_bytes(content)
    outcome = driver.run(study.runs)
    assert "is damaged" in " ".join(outcome.notes)
    same(collect(study, driver.state.records), table)
    assert len(list((tmp_path / "quarantine").iterdir())) == 2


def test_a_spoilt_run_directory_is_set_aside(table, pool, cache, tmp_path):
    study = small()
    for job in jobs_of(study, study.runs)[:2]:
        folder = tmp_path / "s" / "jobs" / job.id
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text("[data\x00")
        (folder / "record.json").write_text("{")
    begin_in = tmp_path / "s" / "study.toml"
    begin_in.write_text(study_text(study))
    same(run(study, tmp_path / "s", pool, cache), table)
    assert len(list((tmp_path / "s" / "quarantine").iterdir())) == 2


@pytest.mark.parametrize("wakes", ["in the middle", "at the end"])
def test_a_worker_that_lost_its_job_changes_nothing(cache, tmp_path, monkeypatch, wakes):
    """It was stopped, another took the job and ended it, and it wakes."""
    from distlaw.sweep import worker

    study = small()
    store, job = begin(study, str(tmp_path)), jobs_of(study, study.runs)[0]
    task = Task(study=study, url=str(tmp_path), job=job, after=0, cache=cache, checkpoint_every=100)
    train, files = worker._train, {}

    def all_files():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stopped(task, folder, teacher, held):
        monkeypatch.setattr(worker, "_train", train)
        if wakes == "at the end":
            assert train(task, folder, teacher, held)
        else:
            (folder / "checkpoints").mkdir(parents=True)
        assert worker.work(replace(task, after=1)).ending == "done"
        files.update(all_files())
        assert not folder.exists()
        return wakes == "at the end" or train(task, folder, teacher, held)

    monkeypatch.setattr(worker, "_train", stopped)
    assert worker.work(task).ending == "held"
    assert all_files() == files
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [job.id]
    assert (tmp_path / "jobs" / job.id / "export").is_dir()
    assert store.names("leases") == store.names("failures") == []


def test_a_run_that_explodes_is_given_up_with_its_reason(pool, cache, tmp_path):
    study = study_of(SMALL.replace("[training]", "[training]\nrate = 1e9\nclip = 1e9"), "x")
    only = {r: n for r, n in study.runs.items() if r.teacher is None and r.split == "student" and not r.seed}
    driver = Driver(study=study, store=begin(study, str(tmp_path)), executor=pool, cache=cache)
    outcome = driver.run(only)
    assert outcome.done < len(only)
    assert all("went astray at step" in error for error in outcome.failed.values())
    job = next(iter(outcome.failed))
    assert len(list((tmp_path / "failures").glob(f"{job}.*"))) == 3


def test_what_cannot_be_is_said_before_anything_starts(cache, tmp_path, capsys):
    long = study_of(SMALL.replace("tokens = [4096, 8192]", "tokens = [4096, 10_000_000]"), "x")
    with pytest.raises(ValueError, match=r"a student of 6.77K parameters reads 10M tokens, and the student split has"):
        require_data(long, cache)
    file = tmp_path / "long.toml"
    file.write_text(study_text(long))
    assert main(["study", "run", str(file), "--out", str(tmp_path / "s"), "--cache", str(cache)]) == 2
    assert "give more data or fewer tokens, or allow repetition with limits.epochs" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_full_disk_stops_the_study_with_a_message(pool, cache, tmp_path, monkeypatch):
    study = small()
    monkeypatch.setattr("distlaw.sweep.drive.Store.free_bytes", lambda _self: 0.0)
    store = begin(study, str(tmp_path / "s"))
    (tmp_path / "s" / "jobs").write_text("")  # no run directory can be made
    driver = Driver(study=study, store=store, executor=InThisProcess(), cache=cache)
    with pytest.raises(
        ValueError, match=r"the disk of '.*' is full: .*; free some room and give the same command again"
    ):
        driver.run(study.runs)
    (tmp_path / "s" / "jobs").unlink()
    monkeypatch.undo()
    assert driver.store.names("failures") == []
    driver = Driver(study=study, store=store, executor=pool, cache=cache)
    assert driver.run(study.runs).done == len(study.runs)


class InThisProcess:
    workers = 1

    def __init__(self):
        self.task = None

    def free(self):
        return int(self.task is None)

    def submit(self, task):
        self.task = task

    def wait(self, timeout):  # noqa: ARG002
        from distlaw.sweep.worker import work

        task, self.task = self.task, None
        return [work(task)]

    def stop(self):
        return []

    def close(self):
        pass


def command(*words):
    return [sys.executable, "-m", "distlaw", "study", *(str(word) for word in words)]


STOPPED = """
import sys, time
from pathlib import Path
from distlaw.apps.cli import main
from distlaw.sweep.local import LocalPool

submit, given, stop = LocalPool.submit, [], Path(sys.argv[1])

def waits(self, task):
    given.append(task)
    while len(given) > 2 and not stop.exists():
        time.sleep(0.01)
    submit(self, task)

if __name__ == "__main__":
    LocalPool.submit = waits
    sys.exit(main(sys.argv[2:]))
"""


def workers_of(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == pid and "spawn_main" in (stat.parent / "cmdline").read_text():
            found.append(int(stat.parent.name))
    return found


def test_two_commands_on_one_study_share_its_runs(table, cache, tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(study_text(small()))
    words = command("run", file, "--out", tmp_path / "s", "--workers", 1, "--cache", cache, "--json")
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [json.loads(process.communicate(timeout=LONG)[0]) for process in both]
    assert [one["done"] for one in ended] == [len(table)] * 2
    assert main(["study", "table", str(tmp_path / "s"), "--out", str(tmp_path / "runs.csv")]) == 0
    same(read_runs(tmp_path / "runs.csv"), table)
    assert len(list((tmp_path / "s" / "jobs").iterdir())) == len(jobs_of(small(), small().runs))


@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_a_command_that_is_asked_to_stop_leaves_checkpoints_and_resume_goes_on(table, cache, tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(study_text(small()))
    (tmp_path / "stopped.py").write_text(STOPPED)  # gives two jobs out, and others when the study is to stop
    words = command("run", file, "--out", tmp_path / "s", "--cache", cache, "--json")[3:]
    words = [sys.executable, str(tmp_path / "stopped.py"), str(tmp_path / "s" / "stop"), *words]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list((tmp_path / "s").glob("records/*.json")))
    subprocess.run(command("stop", tmp_path / "s"), check=True, capture_output=True)
    out, _ = process.communicate(timeout=LONG)
    assert json.loads(out)["ended"] == "stopped"
    out = subprocess.run(
        command("resume", tmp_path / "s", "--cache", cache, "--json"), capture_output=True, text=True, check=True
    )
    assert json.loads(out.stdout)["done"] == len(table)
    assert main(["study", "table", str(tmp_path / "s"), "--out", str(tmp_path / "runs.csv")]) == 0
    same(read_runs(tmp_path / "runs.csv"), table)


@long
@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_twenty_kills_change_nothing(tmp_path):
    """On `nano`: workers and drivers killed at random, mid-run and mid-write, twenty unless it is done before."""
    cache = tmp_path / "cache"
    for name in ("undisturbed", "disturbed"):
        words = command("run", "nano", "--out", tmp_path / name, "--cache", cache, "--json")
        if name == "undisturbed":
            out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            assert json.loads(out)["done"] == json.loads(out)["runs"]
            continue
        rng, kills = random.Random(0), 0
        process = None
        while True:
            if process is None:
                process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                wait_until(lambda pid=process.pid: len(workers_of(pid)) == 2)
                time.sleep(4)  # else workers die before they have done anything
            time.sleep(rng.uniform(0.2, 3.0))
            if process.poll() is not None:
                break
            if kills < 20:
                alive = workers_of(process.pid)
                victim = process.pid if rng.random() < 0.25 or not alive else rng.choice(alive)
                os.kill(victim, signal.SIGKILL)
                kills += 1
                if victim == process.pid:
                    process.wait()
                    process = None
        assert process.returncode == 0
        assert kills > 0
    for name in ("undisturbed", "disturbed"):
        assert main(["study", "table", str(tmp_path / name), "--out", str(tmp_path / f"{name}.csv")]) == 0
    assert (tmp_path / "disturbed.csv").read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()
    assert not list((tmp_path / "disturbed" / "leases").iterdir())
    assert not (tmp_path / "disturbed" / "failures").exists()


def test_two_processes_train_one_run(table, pool, cache, tmp_path):
    study = small(limits="processes_per_run = 2")
    taught = next(one for one in study.runs if one.teacher is not None)
    driver = Driver(study=study, store=begin(study, str(tmp_path / "s")), executor=pool, cache=cache)
    assert driver.run([taught]).done == 2  # it and its teacher
    expected = dict(zip(study.runs, table.student_loss, strict=True))
    for one in (taught, taught.teacher):
        record = json.loads((tmp_path / "s" / record_name(one)).read_text())
        assert record["ranks"] == 2
        assert record["student_loss"] == pytest.approx(expected[one], rel=1e-5)


def _metrics(folder, job):
    """Lines of metrics of a job under way."""
    found = []
    for file in (folder / "jobs").glob(f"{job.id}*/metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):
            found += file.read_text().splitlines()
    return found


def test_workers_end_when_their_driver_is_killed(cache, tmp_path):
    (tmp_path / "small.toml").write_text(study_text(small()))
    (tmp_path / "waits.py").write_text(STOPPED)  # a driver that does not end by itself
    words = command("run", tmp_path / "small.toml", "--out", tmp_path / "s", "--cache", cache)[3:]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "waits.py"), str(tmp_path / "never"), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(workers_of(process.pid)) == 2)
    workers = workers_of(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_run_of_two_processes_stops_with_a_checkpoint_and_ends_with_its_worker(cache, tmp_path):
    text = SMALL.partition("[[protocols]]")[0] + "[limits]\nprocesses_per_run = 2\n"
    study = study_of(text + "[[protocols]]\nstudents = { params = [1e3], tokens = [40_000_000] }\n", "x")
    store = begin(study, str(tmp_path / "s"))
    [job] = jobs_of(study, study.runs)
    metrics = partial(_metrics, tmp_path / "s", job)
    others = workers_of(os.getpid())
    pool = LocalPool(1)
    try:
        task = Task(study=study, url=str(tmp_path / "s"), job=job, after=0, cache=cache, checkpoint_every=10_000)
        pool.submit(task)
        wait_until(metrics)
        [report] = pool.stop()
        assert report.ending == "stopped"
        assert store.names("failures") == []
        assert list((tmp_path / "s" / "jobs").glob("*/checkpoints/*"))

        lines = len(metrics())
        pool.submit(replace(task, after=1))
        wait_until(lambda: len(metrics()) > lines + 1)
        [folder] = (tmp_path / "s" / "jobs").glob(f"{job.id}.0002.*[!l]")
        assert len(_writing_to(folder)) >= 3  # torchrun and two ranks
        [worker] = set(workers_of(os.getpid())) - set(others)
        os.kill(worker, signal.SIGKILL)
        [report] = pool.wait(LONG)
        assert report.ending == "died"
        wait_until(lambda: not _writing_to(folder))
    finally:
        pool.close()


def _writing_to(folder):
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(int(file.parent.name))
    return found
