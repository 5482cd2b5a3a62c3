import json
import os
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
import tomli_w
from tests.waiting import LONG

from distlaw.train.config import config_of
from distlaw.train.loop import run
from distlaw.train.trackers import require_services

DATA = {"limit_bytes": 300_000, "context": 32, "vocab_size": 300, "validation_share": 0.2, "student_share": 0.4}
CONFIG = config_of(
    {
        "data": DATA,
        "model": {"layers": 1, "head_size": 8},
        "training": {"tokens": 8192, "batch_tokens": 512, "checkpoint_every": 5, "log_every": 1},
        "students": [{"name": "one"}, {"name": "two", "seed": 1}],
    },
    distill=False,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


class Stop(Exception):
    pass


def interrupted_and_gone_on_with(out, cache, service, step=8):
    """Stopped three steps after a checkpoint, and asked for again."""

    def progress(at):
        if at.step == step:
            raise Stop

    with pytest.raises(Stop):
        run(CONFIG, out, cache=cache, track=(service,), progress=progress)
    assert run(CONFIG, out, cache=cache, track=(service,)).finished


def expected(out):
    """Values of `metrics.jsonl` by the names that services know them by, and step."""
    found = {}
    for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()):
        step, student = line.pop("step"), line.pop("student")
        for name, value in line.items():
            shared = name in ("tokens", "rate", "tokens_per_second")
            found.setdefault(name if shared else f"{student}/{name}", {})[step] = value
    assert {"rate", "one/cross_entropy", "two/cross_entropy", "two/gradient_norm"} < found.keys()
    assert list(found["one/cross_entropy"]) == list(range(1, 17))
    return found


def assert_is_what_metrics_say(found, out, *, but=()):
    """Every step once; `but` are numbers that a clock decides."""
    wanted = expected(out)
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert [step for step, _ in found[name]] == list(wanted[name])
        if name not in but:
            assert [value for _, value in found[name]] == pytest.approx(list(wanted[name].values()), rel=1e-6)


def test_tensorboard_reads_what_was_measured(cache, tmp_path):
    """A killed run and its second life are one run, and each step is there once."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    interrupted_and_gone_on_with(tmp_path / "run", cache, "tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert_is_what_metrics_say(found, tmp_path / "run")
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2


def test_tensorboard_has_all_of_a_run_that_was_killed(cache, tmp_path, monkeypatch):
    """Nothing waits in a buffer when a step is done, however slow the disk is."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.summary.writer.record_writer import RecordWriter

    seen, write = [], RecordWriter.write
    monkeypatch.setattr(RecordWriter, "write", lambda self, data: (time.sleep(0.002), write(self, data)))

    def progress(at):
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
        seen.append([e.step for e in events.Scalars("two/cross_entropy")] == list(range(1, at.step + 1)))

    run(CONFIG, tmp_path / "run", cache=cache, track=("tensorboard",), progress=progress)
    assert seen == [True] * 16


@pytest.mark.slow
def test_only_the_first_of_two_ranks_tracks(cache, tmp_path):
    pytest.importorskip("tensorboard")
    training = {name: getattr(CONFIG.training, name) for name in ("tokens", "batch_tokens", "log_every")}
    (tmp_path / "run.toml").write_text(tomli_w.dumps({"data": DATA, "model": {"head_size": 8}, "training": training}))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "distlaw"]
    words = ["train", tmp_path / "run.toml", "--out", tmp_path / "run", "--cache", cache, "--track", "tensorboard"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *map(str, words)], env=env, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


class Fake:
    """W&B or trackio as far as they are used; keeps what it is told, by run, as their servers do."""

    def __init__(self, service, monkeypatch):
        self.opened, self.rows, self.finished = [], {}, 0
        module = ModuleType(service)
        module.__spec__ = ModuleSpec(service, None)
        module.init, module.finish = self.init, self.finish
        monkeypatch.setitem(sys.modules, service, module)

    def init(self, **words):
        print("* Trackio metrics logged to: here")
        self.opened.append(words)
        return SimpleNamespace(log=self.log)

    def log(self, values, step):
        self.rows.setdefault(self.opened[-1].get("id", self.opened[-1]["name"]), []).append((step, values))

    def finish(self):
        print("* Run finished")
        self.finished += 1


@pytest.mark.parametrize("service", ["wandb", "trackio"])
def test_others_are_told_the_same(service, cache, tmp_path, monkeypatch, capsys):
    fake = Fake(service, monkeypatch)
    interrupted_and_gone_on_with(tmp_path / "run", cache, service)
    first, second = fake.opened
    assert first == second
    assert (first["project"], first["resume"]) == ("distlaw", "allow")
    assert first["config"]["training"]["rate"] == CONFIG.training.rate
    assert fake.finished == 2
    [rows] = fake.rows.values()
    found = {}
    for step, values in rows:
        for name, value in values.items():
            found.setdefault(name, []).append((step, value))
    assert_is_what_metrics_say(found, tmp_path / "run", but=("tokens_per_second",))
    assert capsys.readouterr().out == ""
    run(CONFIG, tmp_path / "other", cache=cache, track=(service,))
    assert len(fake.rows) == 2  # another directory is another run


def test_a_service_that_does_not_open_is_named(cache, tmp_path, monkeypatch):
    fake = Fake("wandb", monkeypatch)

    def refuse(**_words):
        raise RuntimeError("No API key configured.\nUse `wandb login`")

    sys.modules["wandb"].init = refuse
    with pytest.raises(ValueError, match=r"^--track wandb: it cannot be opened \(No API key configured. Use"):
        run(CONFIG, tmp_path / "run", cache=cache, track=("wandb",))
    sys.modules["wandb"].init = fake.init
    assert run(CONFIG, tmp_path / "run", cache=cache, track=("wandb",)).finished


@pytest.mark.parametrize("service", ["tensorboard", "trackio", "wandb"])
def test_a_package_that_is_missing_is_named_before_anything_is_done(service, cache, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, service, None)
    message = f"^--track {service} needs the package {service}: pip install {service}$"
    with pytest.raises(ValueError, match=message):
        require_services([service])
    with pytest.raises(ValueError, match=message):
        run(CONFIG, tmp_path / "run", cache=cache, track=(service,))
    assert not (tmp_path / "run").exists()


def test_a_run_is_the_same_whatever_is_tracked(cache, tmp_path, monkeypatch):
    one, other = Fake("wandb", monkeypatch), Fake("trackio", monkeypatch)
    run(CONFIG, tmp_path / "alone", cache=cache)
    run(CONFIG, tmp_path / "tracked", cache=cache, track=("wandb", "trackio"))
    assert [*one.rows.values()] == [*other.rows.values()]
    one, other = (
        (tmp_path / name / "students" / "two" / "export" / "model.safetensors").read_bytes()
        for name in ("alone", "tracked")
    )
    assert one == other
    assert (tmp_path / "alone" / "config.toml").read_bytes() == (tmp_path / "tracked" / "config.toml").read_bytes()
