import errno
import gc
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from safetensors import SafetensorError
from tests.waiting import LONG, wait_until

from distlaw.apps.cli import main
from distlaw.train import checkpoint, loop
from distlaw.train.config import RunConfig, config_of, of_student
from distlaw.train.loop import run
from distlaw.train.metrics import cut_metrics
from distlaw.train.model_folder import hashes
from distlaw.train.teacher import open_teacher

DATA = {"limit_bytes": 300_000, "context": 32, "vocab_size": 300, "validation_share": 0.2, "student_share": 0.4}
MODEL = {"layers": 1, "head_size": 8, "aspect_ratio": 16}
TRAINING = {"tokens": 12_288, "batch_tokens": 512, "checkpoint_every": 5, "log_every": 1, "validation_tokens": 2048}


def config(*, distill=False, **changes) -> RunConfig:
    content = {"data": DATA, "model": MODEL, "training": {**TRAINING, **changes.pop("training", {})}, **changes}
    return config_of(content, distill=distill)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    torch.set_num_threads(1)
    assert run(config(model={**MODEL, "layers": 2}), folder, cache=cache).finished
    return folder


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "export" / "model.safetensors")


def metrics(folder, name=None):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    chosen = [line for line in lines if name in (None, line["student"])]
    return [{k: v for k, v in line.items() if k not in ("tokens_per_second", "student")} for line in chosen]


def record(folder):
    found = json.loads((folder / "record.json").read_text())
    return {k: v for k, v in found.items() if k not in ("wall_seconds", "cpu_seconds", "sha256")}


def assert_same_run(one, other):
    assert metrics(one) == metrics(other)
    assert record(one) == record(other)
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_learns_and_leaves_what_it_says(teacher):
    assert sorted(p.name for p in teacher.iterdir()) == [
        "checkpoints",
        "config.toml",
        "export",
        "metrics.jsonl",
        "record.json",
    ]
    assert len({path.stat().st_mode for path in teacher.rglob("*") if path.is_file()}) == 1  # as the umask says
    lines, found = metrics(teacher), record(teacher)
    assert [line["step"] for line in lines] == list(range(1, 25))
    assert lines[0]["cross_entropy"] == pytest.approx(np.log(300), rel=0.1)  # of a guess
    assert found["student_loss"] < 0.8 * lines[0]["cross_entropy"]
    assert found["student_tokens"] == 24 * 512
    assert (
        found["compute"] == found["flops"]["student_training"] > 6 * found["student_params"] * found["student_tokens"]
    )
    assert found["teacher_loss"] is None
    assert len(list((teacher / "checkpoints").iterdir())) == 2


def test_the_export_is_the_model_that_was_measured(teacher, cache):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from distlaw.train.evaluate import evaluate
    from distlaw.train.prepare import prepare

    model = AutoModelForCausalLM.from_pretrained(teacher / "export")
    data = prepare(config().data, cache)
    again = evaluate(model, data.split("validation"), vocab_size=data.vocab_size, tokens=2048)
    assert again.cross_entropy == record(teacher)["student_loss"]
    # And by transformers' own loss.
    blocks = torch.from_numpy(data.split("validation").read(np.arange(64)))
    with torch.no_grad():
        theirs = [float(model(input_ids=b[None], labels=b[None]).loss) for b in blocks]
    assert np.mean(theirs) == pytest.approx(again.cross_entropy, rel=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(teacher / "export")
    assert tokenizer.decode(tokenizer("def f(x):")["input_ids"]) == "def f(x):"


def test_a_distilled_student_reads_its_teachers_tokens_and_records_it(teacher, cache, tmp_path):
    student = config(distill=True, teacher={"path": str(teacher)})
    assert run(student, tmp_path / "student", cache=cache).finished
    found = record(tmp_path / "student")
    theirs = record(teacher)
    assert found["teacher_loss"] == pytest.approx(theirs["student_loss"], rel=1e-6)  # the same held-out tokens
    assert (found["teacher_params"], found["teacher_tokens"]) == (theirs["student_params"], theirs["student_tokens"])
    assert found["tokenizer_hash"] == theirs["tokenizer_hash"]
    assert found["flops"]["teacher_logits"] > 0
    assert found["compute"] == pytest.approx(sum(found["flops"].values()))
    e = found["evaluation"]
    assert e["kl"] == pytest.approx(e["cross_entropy_teacher"] - e["teacher_entropy"], rel=1e-9)
    assert 0 < e["kl"] < 0.5


def test_students_on_one_pass_equal_separate_runs(teacher, cache, tmp_path):
    """Sizes, seeds and lambdas side by side on one teacher forward: every one ends as if it had been alone."""
    students = [
        {"name": "small", "seed": 3},
        {"name": "wide", "model": {"width": 32}},
        {"name": "mixed", "loss": {"mixing": 0.5}},
        {"name": "handed-over", "loss": {"mixing": [[0.5, 1.0], [0.5, 0.0]]}},
        {"name": "guessing", "loss": {"targets": "sampled", "samples": 8}},
    ]
    family = config(distill=True, teacher={"path": str(teacher)}, students=students, training={"tokens": 4096})
    assert run(family, tmp_path / "family", cache=cache).finished
    for name in ("small", "wide", "mixed", "handed-over", "guessing"):
        alone = tmp_path / name
        assert run(of_student(family, name), alone, cache=cache).finished
        together = tmp_path / "family" / "students" / name
        for key, weight in weights(alone).items():
            torch.testing.assert_close(weights(together)[key], weight, rtol=1e-4, atol=1e-6)
        a, b = record(alone), record(together)
        assert a["student_loss"] == pytest.approx(b["student_loss"], rel=1e-6)
        assert [m["cross_entropy"] for m in metrics(tmp_path / "family", name)] == pytest.approx(
            [m["cross_entropy"] for m in metrics(alone)], rel=1e-6
        )


@pytest.fixture
def command(capsys, tmp_path, teacher, cache):
    """A command about the targets of a student's teacher."""
    content = {"data": {**DATA, "limit_bytes": 300_000}, "model": MODEL, "teacher": {"path": str(teacher)}}

    def run_command(*words):
        file = tmp_path / "student.toml"
        file.write_text(tomli_w.dumps(content))
        more = [str(file), "--cache", str(cache)] if words[0] == "capture" else []
        status = main(["targets", words[0], *more, *map(str, words[1:]), "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return run_command


def test_stored_dense_targets_are_the_teachers_own(teacher, cache, tmp_path, command):
    """To the bit in the targets; a run differs only by what a matrix product's batch rounds otherwise."""
    status, found, _ = command("capture", "--out", tmp_path / "targets")
    assert status == 0
    assert found["captured_blocks"] == found["blocks"] > 100
    assert 0 < found["bytes_per_token"] <= 4 * 300 + 20
    asked = config(distill=True, teacher={"path": str(teacher)})
    read = config(distill=True, teacher={"path": str(teacher), "targets": str(tmp_path / "targets")})
    run(asked, tmp_path / "asked", cache=cache)
    run(read, tmp_path / "read", cache=cache)
    a, b = record(tmp_path / "asked"), record(tmp_path / "read")
    assert b["student_loss"] == pytest.approx(a["student_loss"], rel=1e-5)
    assert b["flops"]["teacher_logits"] == 0 < a["flops"]["teacher_logits"]
    for ours, theirs in zip(metrics(tmp_path / "read"), metrics(tmp_path / "asked"), strict=True):
        assert ours["kl"] == pytest.approx(theirs["kl"], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "words", "loss"),
    [
        ("top-k", ("--top-k", 16), {"targets": "top-k", "top_k": 16}),
        ("sampled", ("--samples", 8), {"targets": "sampled", "samples": 8}),
        ("dense-16", (), {}),
    ],
)
def test_students_learn_from_other_stored_targets(teacher, cache, tmp_path, command, kind, words, loss):
    status, found, _ = command("capture", "--out", tmp_path / "targets", "--kind", kind, *words)
    assert (status, found["kind"]) == (0, kind)
    where = {"path": str(teacher), "targets": str(tmp_path / "targets")}
    run(config(distill=True, teacher=where, loss=loss), tmp_path / "read", cache=cache)
    run(config(distill=True, teacher={"path": str(teacher)}, loss=loss), tmp_path / "asked", cache=cache)
    a, b = record(tmp_path / "asked"), record(tmp_path / "read")
    assert b["student_loss"] == pytest.approx(a["student_loss"], rel=2e-3)


def test_stored_targets_of_another_teacher_or_loss_are_refused(teacher, cache, tmp_path, command):
    command("capture", "--out", tmp_path / "targets", "--kind", "top-k", "--top-k", 4)
    where = {"path": str(teacher), "targets": str(tmp_path / "targets")}
    with pytest.raises(ValueError, match="cannot serve targets 'dense'"):
        run(config(distill=True, teacher=where), tmp_path / "a", cache=cache)
    other = tmp_path / "other"
    run(config(model={**MODEL, "layers": 2}, seed=1), other, cache=cache)
    with pytest.raises(ValueError, match="teacher"):
        run(
            config(distill=True, teacher={**where, "path": str(other)}, loss={"targets": "top-k", "top_k": 4}),
            tmp_path / "b",
            cache=cache,
        )
    assert not (tmp_path / "a" / "record.json").exists()
    [shard, *_] = sorted((tmp_path / "targets").glob("shard-*"))
    content = bytearray(shard.read_bytes())
    content[-10] ^= 1
    shard.write_bytes(content)
    status, found, _ = command("inspect", tmp_path / "targets", "--verify")
    assert status == 1
    assert shard.name in found["faults"][0]


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(teacher, cache):
    from distlaw.train.prepare import prepare
    from distlaw.train.students import Students

    c = config(distill=True, model={**MODEL, "layers": 2}, teacher={"path": str(teacher)}, loss={"z_loss": 0.0})
    data, opened = prepare(c.data, cache), open_teacher(teacher)
    students = Students(c.students, c.training, vocab_size=data.vocab_size, context=32, teacher=opened)
    students.models[0].load_state_dict(opened.model.state_dict())
    blocks = torch.from_numpy(data.split("student").read(np.arange(8)))
    [loss] = students(blocks, [1.0])
    loss.objective.backward()
    assert abs(float(loss.kl)) < 1e-6 * float(loss.positions)
    for parameter in students.models[0].parameters():
        assert float(parameter.grad.abs().max()) < 1e-4


def test_micro_batches_change_nothing(cache, tmp_path):
    whole, parts = config(), config(training={"micro_batch_tokens": 96})
    run(whole, tmp_path / "whole", cache=cache)
    run(parts, tmp_path / "parts", cache=cache)
    for name, weight in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(tmp_path / "parts")[name], weight, rtol=1e-3, atol=1e-4)
    a, b = record(tmp_path / "whole"), record(tmp_path / "parts")
    assert a["student_loss"] == pytest.approx(b["student_loss"], rel=1e-4)


class Stop(Exception):
    pass


def interrupted(config, out, cache, step):
    def progress(at):
        if at.step == step:
            raise Stop

    with pytest.raises(Stop):
        run(config, out, cache=cache, progress=progress)


@pytest.mark.parametrize("step", [1, 5, 7, 23])
def test_goes_on_bit_for_bit(cache, tmp_path, step):
    run(config(), tmp_path / "undisturbed", cache=cache)
    interrupted(config(), tmp_path / "disturbed", cache, step)
    assert run(config(), tmp_path / "disturbed", cache=cache).finished
    assert_same_run(tmp_path / "undisturbed", tmp_path / "disturbed")


def test_a_damaged_checkpoint_is_named_and_an_older_one_taken(cache, tmp_path):
    run(config(), tmp_path / "undisturbed", cache=cache)
    interrupted(config(), tmp_path / "run", cache, 12)
    newest, _ = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert newest.name == "step-00000010"
    shard = next(newest.glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    outcome = run(config(), tmp_path / "run", cache=cache)
    assert f"'{newest}' is damaged ({shard.name} is not what was written)" in outcome.notes[0]
    assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


def test_a_damaged_checkpoint_costs_no_good_one(cache, tmp_path):
    """With one kept, the damaged one that is ahead must not count as that one."""
    short = config(training={**TRAINING, "keep": 1})
    assert run(short, tmp_path / "run", cache=cache).finished
    [whole] = (tmp_path / "run" / "checkpoints").iterdir()
    damaged = whole.with_name("step-00000030")
    shutil.copytree(whole, damaged)
    for sums in ("[]", "3", "\x00", "[" * 5000):
        (damaged / "sha256.json").write_text(sums)
        assert checkpoint.newest(tmp_path / "run" / "checkpoints")[0] == whole
    checkpoint.save(whole.parent, 24, {"x": torch.zeros(1)}, {}, keep=1)
    assert whole in whole.parent.iterdir()


def test_a_damaged_record_is_named_and_written_again(cache, tmp_path):
    folder = tmp_path / "run"
    assert run(config(), folder, cache=cache).finished
    file, before = folder / "record.json", record(folder)
    whole = file.read_bytes()
    for damage in (whole.replace(b'"seed": 0', b'"seed": 1'), whole[:100], b"\x00", b"[]", b'{"student_loss": "x"}'):
        file.write_bytes(damage)
        outcome = run(config(), folder, cache=cache)
        assert "record.json' is damaged" in outcome.notes[0]
        assert (folder / "record.json.damaged").read_bytes() == damage
        assert record(folder) == before
    assert run(config(), folder, cache=cache).notes == ("the run was finished already",)


def test_damaged_metrics_are_named_and_kept_beside(tmp_path):
    file = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"step": step, "loss": 1.0}).encode() + b"\n" for step in range(1, 6)]
    assert cut_metrics(file, 3) == (0, [])
    file.write_bytes(b"".join(rows) + b'{"step": 6')  # the last line was cut short by a kill
    assert cut_metrics(file, 4) == (5, [])
    assert file.read_bytes() == b"".join(rows[:4])
    for bad in (b"\xff\x00\n", b"[1]\n", b'{"step": "a"}\n', b'{"step": 1e999}\n', b"[" * 5000 + b"\n"):
        file.write_bytes(rows[0] + bad + rows[2])
        last, [note] = cut_metrics(file, 9)
        assert last == 3
        assert "metrics.jsonl' is damaged: line 2 cannot be read; it is kept as 'metrics.jsonl.damaged'" in note
        assert file.read_bytes() == rows[0] + rows[2]
        assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == rows[0] + bad + rows[2]


def test_a_directory_belongs_to_one_run(teacher, cache, tmp_path):
    other = config(model={**MODEL, "layers": 2}, training={"rate": 0.01})
    with pytest.raises(ValueError, match=r"holds another run \(its training.rate differs\)"):
        run(other, teacher, cache=cache)
    done = run(config(model={**MODEL, "layers": 2}), teacher, cache=cache)
    assert "the run was finished already" in done.notes
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match="neither empty nor a run directory"):
        run(other, tmp_path / "mine", cache=cache)


def test_a_teacher_that_changed_under_a_run_is_noticed(teacher, cache, tmp_path):
    """It may lie elsewhere, but it must be the same."""
    shutil.copytree(teacher, tmp_path / "moved")
    interrupted(config(distill=True, teacher={"path": str(teacher)}), tmp_path / "student", cache, 7)
    other = tmp_path / "other"
    run(config(model={**MODEL, "layers": 2}, seed=1), other, cache=cache)
    with pytest.raises(ValueError, match=r"the teacher is not what '.*' was begun with"):
        run(config(distill=True, teacher={"path": str(other)}), tmp_path / "student", cache=cache)
    moved = config(distill=True, teacher={"path": str(tmp_path / "moved")})
    assert run(moved, tmp_path / "student", cache=cache).finished


def test_weights_that_are_not_the_recorded_ones_are_no_teacher(teacher, cache, tmp_path):
    """Each student's record has the hash of its own weights; one flipped bit is found wherever it is."""
    family = config(
        distill=True,
        teacher={"path": str(teacher)},
        students=[{"name": "one"}, {"name": "two", "seed": 1}],
        training={"tokens": 512},
    )
    run(family, tmp_path / "family", cache=cache)
    folders = [teacher, *(tmp_path / "family" / "students" / name for name in ("one", "two"))]
    assert [record(folder)["model_hash"] for folder in folders] == [open_teacher(folder).hash for folder in folders]
    assert record(folders[1])["teacher_hash"] == record(teacher)["model_hash"]
    [file] = (folders[1] / "export").glob("*.safetensors")
    content = file.read_bytes()
    for at in (len(content) - 1, len(content) // 2, 20):  # the last weight, a middle one, and the header
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(
            ValueError, match=f"is refused: the weights in '{folders[1] / 'export'}' are not what .*record.json"
        ):
            open_teacher(folders[1])
    file.write_bytes((folders[2] / "export" / file.name).read_bytes())  # weights of the other student
    with pytest.raises(ValueError, match="are not what the run's record"):
        open_teacher(folders[1])
    file.write_bytes(content)
    assert open_teacher(folders[1]).hash == hashes(folders[1] / "export")["model_hash"]


def test_a_loss_that_explodes_stops_the_run(cache, tmp_path):
    wild = config(training={"rate": 1e6, "warmup": 0.0, "parametrisation": "standard"})
    with pytest.raises(ValueError, match=r"'model' went astray at step \d+: .*; .*a lower training.rate"):
        run(wild, tmp_path / "wild", cache=cache)
    assert not (tmp_path / "wild" / "record.json").exists()


def test_a_teacher_of_another_tokenizer_is_refused(teacher, cache, tmp_path):
    data = {**DATA, "vocab_size": 320}
    other = tmp_path / "other"
    run(config(data=data, training={"tokens": 512}), other, cache=cache)
    student = config(distill=True, teacher={"path": str(teacher)}, data={**data, "tokenizer": str(other / "export")})
    with pytest.raises(ValueError, match="has another tokenizer"):
        run(student, tmp_path / "student", cache=cache)


def test_repetition_is_counted(cache, tmp_path):
    few = config(training={"tokens": 163_840, "batch_tokens": 4096})
    outcome = run(few, tmp_path / "few", cache=cache)
    epochs = record(tmp_path / "few")["epochs"]
    assert epochs > 1
    assert f"{epochs:.2f} epochs" in outcome.notes[0]


CHILD = """
import sys, torch
from pathlib import Path
from tests_config import config
from distlaw.train.loop import run
torch.set_num_threads(1)
held = int(sys.argv[3])

def progress(at):
    if at.step == held:
        sys.stdin.readline()

outcome = run(config(), Path(sys.argv[1]), cache=Path(sys.argv[2]), progress=progress)
print(outcome.finished, outcome.step, flush=True)
"""


def child(tmp_path, out, cache, held=0):
    """A run in a process of its own, which stands still after a step until it is told to go on."""
    (tmp_path / "tests_config.py").write_text(
        "from distlaw.train.config import config_of\n"
        f"def config(): return config_of({{'data': {DATA!r}, 'model': {MODEL!r},"
        f" 'training': {dict(TRAINING, tokens=200_000)!r}}}, distill=False)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", CHILD, str(out), str(cache), str(held)]
    return subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(file: Path, process, lines: int):
    there = lambda: file.exists() and file.read_text().count("\n") >= lines  # noqa: E731
    wait_until(lambda: there() or process.poll() is not None)
    assert there(), process.communicate()


@pytest.mark.slow
def test_killed_at_any_moment_and_asked_to_end(cache, tmp_path):
    """kill -9 three times, SIGTERM once (which ends with 0), and the result is that of an undisturbed run."""
    out, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    for lines in (20, 90, 170):
        process = child(tmp_path, out, cache, held=lines + 30)
        wait_for(out / "metrics.jsonl", process, lines)
        process.kill()
        process.communicate()
    process = child(tmp_path, out, cache, held=230)
    wait_for(out / "metrics.jsonl", process, 200)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate("\n", timeout=LONG)
    assert process.returncode == 0
    assert said.split()[0] == "False"
    process = child(tmp_path, out, cache)
    said, _ = process.communicate(timeout=LONG)
    assert said.split() == ["True", "391"]
    process = child(tmp_path, undisturbed, cache)
    process.communicate(timeout=LONG)
    assert_same_run(undisturbed, out)


def test_the_id_is_of_what_is_computed():
    same = config(training={"log_every": 7, "keep": 5, "checkpoint_every": 9})
    assert same.id == config().id
    assert config(seed=1).id != config().id
    assert replace(same, split="student").id != same.id


def failing(error):
    """A way of writing tensors that fails where torch wraps what went wrong."""

    def save(*_words, **_more):
        raise error

    return save


def test_a_full_disk_is_named_and_the_last_checkpoint_stays(cache, tmp_path, monkeypatch):
    interrupted(config(), tmp_path / "run", cache, 7)
    folder = tmp_path / "run" / "checkpoints"
    before, _ = checkpoint.newest(folder)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for where in ("safetensors.torch.save", "distlaw.train.checkpoint.write_durably"):
        with monkeypatch.context() as patched:
            patched.setattr(where, failing(full))
            with pytest.raises(ValueError, match=r"\(No space left on device\); the last one is intact$"):
                run(config(), tmp_path / "run", cache=cache)
        assert checkpoint.newest(folder) == (before, [])
        assert [p.name for p in folder.iterdir()] == ["step-00000005"]
    with monkeypatch.context() as patched:
        patched.setattr("distlaw.train.loop.finish", failing(SafetensorError("No space left on device (os error 28)")))
        with pytest.raises(ValueError, match=r"the export of '.*' cannot be written \(No space left"):
            run(config(), tmp_path / "run", cache=cache)
    assert run(config(), tmp_path / "run", cache=cache).finished


def test_ctrl_c_in_a_checkpoint_is_one_line(cache, tmp_path, monkeypatch, capsys):
    file, out = tmp_path / "run.toml", tmp_path / "run"
    file.write_text(tomli_w.dumps({"data": DATA, "model": MODEL, "training": TRAINING}))
    words = ["train", str(file), "--out", str(out), "--cache", str(cache)]
    with monkeypatch.context() as patched:
        patched.setattr("safetensors.torch.save", failing(KeyboardInterrupt()))
        assert main(words) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("step ")]
    assert said == "distlaw: error: interrupted; the same command goes on from the last whole file"
    assert list((out / "checkpoints").iterdir()) == []
    assert main(words) == 0


class Runs:
    """What a pickle would run."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("where", ["index", "tensors", "beside"])
def test_a_checkpoint_of_somebody_elses_runs_no_code(where, cache, tmp_path):
    """Its checksums are right: whoever exchanges a file can write those too."""
    out = tmp_path / "run"
    interrupted(config(), out, cache, 7)
    [folder] = (out / "checkpoints").iterdir()
    bad = pickle.dumps(Runs(f"touch {tmp_path / 'ran'}"))
    name = {"index": ".metadata", "tensors": next(folder.glob("*.safetensors")).name, "beside": "about.json"}[where]
    (folder / name).write_bytes(bad)
    (folder / "sha256.json").write_text(json.dumps(checkpoint._sums(folder)))
    message = {
        "index": "has a pickle for an index, .* is not opened: end the run with",
        "tensors": "is not one of this",
    }
    with pytest.raises(ValueError, match=f"checkpoint '{folder}' {message.get(where, 'is not one of this run')}"):
        run(config(), out, cache=cache)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_run_is_refused(cache, tmp_path):
    other = config(model={**MODEL, "layers": 2})
    interrupted(other, tmp_path / "other", cache, 7)
    interrupted(config(), tmp_path / "run", cache, 7)
    for change in ("shape", "step", "list"):
        shutil.rmtree(there := tmp_path / "run" / "checkpoints" / "step-00000005", ignore_errors=True)
        shutil.copytree(tmp_path / "other" / "checkpoints" / "step-00000005", there)
        if change != "shape":
            (there / "about.json").write_text('{"step": 4}' if change == "step" else "[]")
        (there / "sha256.json").write_text(json.dumps(checkpoint._sums(there)))
        with pytest.raises(ValueError, match=r"^checkpoint '.*' is not one of this run .*: delete it to go on"):
            run(config(), tmp_path / "run", cache=cache)
    for content in ("[]", "[" * 100_000, "{"):
        (there / "sha256.json").write_text(content)
        found, [said] = checkpoint.newest(there.parent)
        assert found is None
        assert f"'{there}' is damaged (sha256.json " in said


def test_a_second_process_on_a_directory_is_refused(cache, tmp_path):
    """Whether it is new or goes on; and a lock ends with its process."""
    refused = []

    def progress(at):
        if at.step in (1, 7):
            with pytest.raises(ValueError, match=f"another process works on '{tmp_path / 'run'}'") as refusal:
                run(config(), tmp_path / "run", cache=cache)
            refused.append(refusal)
        if at.step == 7:
            raise Stop

    with pytest.raises(Stop):
        run(config(), tmp_path / "run", cache=cache, progress=progress)
    assert len(refused) == 2
    assert not (tmp_path / "run" / "run.lock").exists()
    (tmp_path / "run" / "run.lock").touch()  # of one that was killed
    assert run(config(), tmp_path / "run", cache=cache).finished
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.lock").touch()
    assert run(config(training={"tokens": 512}), tmp_path / "new", cache=cache).finished


def test_what_a_kill_left_of_a_checkpoint_is_swept_away(cache, tmp_path):
    run(config(), tmp_path / "undisturbed", cache=cache)
    interrupted(config(), tmp_path / "run", cache, 12)
    left = tmp_path / "run" / "checkpoints" / "step-00000015.building"
    left.mkdir()
    (left / "half.safetensors").write_bytes(b"half of it")
    assert run(config(), tmp_path / "run", cache=cache).finished
    assert not left.exists()
    assert_same_run(tmp_path / "undisturbed", tmp_path / "run")


def test_a_worker_that_trains_many_runs_holds_one(teacher, cache, tmp_path, monkeypatch):
    """Models, optimizers and open data of a run are gone when the next one trains, whenever Python would look."""
    held, alive = [], []

    class Watched(loop._Trainer):
        def __init__(self, *words, **more):
            super().__init__(*words, **more)
            held.append(
                [weakref.ref(o) for o in (self, self.students, self.teacher.model, *self.optimizers, self.data)]
            )

    monkeypatch.setattr(loop, "_Trainer", Watched)
    gc.disable()
    try:
        for seed in range(3):
            student = config(distill=True, teacher={"path": str(teacher)}, seed=seed, training={"tokens": 512})
            count = lambda _: alive.append([any(r() is not None for r in refs) for refs in held])  # noqa: E731
            run(student, tmp_path / str(seed), cache=cache, progress=count)
    finally:
        gc.enable()
    assert alive == [[True], [False, True], [False, False, True]]
