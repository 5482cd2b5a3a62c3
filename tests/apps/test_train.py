"""`distlaw train`, `distill`, `evaluate` and `runs collect`, as a user calls them."""

import json
import sys
from pathlib import Path

import pytest

from distlaw.apps.cli import main
from distlaw.runs import read_runs

torch = pytest.importorskip("torch")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "debug"
QUICK = (
    *("--set", "data.limit_bytes=300_000", "--set", "data.context=32", "--set", "data.validation_share=0.2"),
    *("--set", "data.vocab_size=300", "--set", "data.student_share=0.4", "--set", "training.batch_tokens=512"),
    *("--set", "training.tokens=8192", "--set", "training.validation_tokens=2048"),
)


@pytest.fixture
def command(capsys):
    torch.set_num_threads(1)

    def run(*words):
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_from_a_teacher_to_a_table_of_runs(command, tmp_path):
    cache = ("--cache", tmp_path / "cache")
    words = ("train", EXAMPLES / "teacher.toml", "--out", tmp_path / "teacher", *cache, *QUICK)
    status, out, err = command(*words, "--json")
    assert status == 0
    teacher = json.loads(out)
    assert teacher["student_params"] == 26848
    assert "step 16/16" in err

    words = ("distill", EXAMPLES / "student.toml", "--teacher", tmp_path / "teacher", "--out", tmp_path / "student")
    status, out, err = command(*words, *cache, *QUICK, "--json")
    assert status == 0
    distilled, supervised = json.loads(out)["students"]
    assert distilled["teacher_loss"] == pytest.approx(teacher["student_loss"], rel=1e-6)
    assert supervised["teacher_loss"] is None
    assert supervised["flops"]["teacher_logits"] == 0 < distilled["flops"]["teacher_logits"]
    status, out, _ = command(*words, *cache, *QUICK)
    assert status == 0
    assert "distilled" in out
    assert "KL from teacher" in out

    student = tmp_path / "student" / "students" / "distilled"
    status, out, _ = command("evaluate", student, *cache, "--tokens", 2048, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["cross_entropy"] == pytest.approx(distilled["student_loss"], rel=1e-9)
    assert found["kl"] == pytest.approx(distilled["evaluation"]["kl"], rel=1e-9)
    assert found["params"] == distilled["student_params"]
    status, out, _ = command("evaluate", student, *cache, "--tokens", 2048)
    assert "KL(teacher || student)" in out
    other, figure = student.parent / "supervised", tmp_path / "reliability.png"
    words = ("evaluate", student, other, student, *cache, "--tokens", 2048, "--figure", figure)
    status, out, _ = command(*words, "--json")
    assert status == 0
    first, second = json.loads(out)["runs"]
    assert first == found
    assert (second["run"], second["cross_entropy"]) == (str(other), pytest.approx(supervised["student_loss"], rel=1e-9))
    assert figure.read_bytes().startswith(b"\x89PNG")
    status, out, _ = command(*words)
    assert out.splitlines()[-1] == f"Figure: {figure}"
    assert "supervised, 3.41K parameters" in out
    assert command("evaluate")[0] == 2
    status, out, err = command("evaluate", tmp_path / "nothing", "--figure", tmp_path / "figure.txt")
    assert (status, out) == (2, "")
    assert "must end in .png" in err

    table = tmp_path / "runs.csv"
    status, out, _ = command("runs", "collect", tmp_path, "--out", table, "--json")
    assert status == 0
    assert json.loads(out) == {"table": str(table), "runs": 3, "distilled": 1, "unread": []}
    runs = read_runs(table)
    assert sorted(runs.student_loss) == sorted(r["student_loss"] for r in (teacher, distilled, supervised))
    # So few tokens for so many parameters are taken for another unit, unless one says that they are counts.
    counts = ("--units", "student_params=1,student_tokens=1,teacher_params=1,teacher_tokens=1")
    assert command("check", table, "--law", "busbridge2025", *counts)[0] == 0


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (
            "[architecture]\nlayers = 2",
            (),
            "architecture is unknown; known are data, split, students, teacher, training",
        ),
        ("[model]\nlayer = 2", (), "run.toml': model.layer is unknown; known are aspect_ratio"),
        ("[[students]]\nname = 'a'\nmodel.layer = 2", (), "run.toml': students.0.model.layer is unknown"),
        ("[model]\nlayers = 0", (), "run.toml': model.layers must be a whole number of at least 1, got 0"),
        ("[model]\nlayers = '3'", (), "run.toml': model.layers must be a whole number, got '3'"),
        ("students = 3", (), "run.toml': students must be a list of tables, [[students]], got 3"),
        ("students = [3]", (), "run.toml': students.0 must be a table, got 3"),
        ("[students]\nname = 'a'", (), "run.toml': students must be a list of tables, [[students]], got {'name'"),
        ("[[students]]\nseed = 3", (), "run.toml': students.0.name is missing"),
        ("training = 1", (), "run.toml': training must be a table, got 1"),
        ("model = 1", (), "run.toml': model must be a table, [model], got 1"),
        ("loss = [1]", (), "run.toml': loss must be a table, [loss], got [1]"),
        ("data = []", (), "run.toml': data must be a table, got []"),
        ("seed = 'x'", (), "run.toml': seed must be a whole number, got 'x'"),
        ("[training]\nrate = true", (), "training.rate must be a number, got true"),
        ("[training]\ntokens = 1.5", (), "training.tokens must be a whole number, got 1.5"),
        (f"[training]\ntokens = {10**400}", (), "run.toml' has a whole number beyond 64 bits: training.tokens"),
        ("[training]\nrate = nan", (), "run.toml' has nan where a number should stand: training.rate"),
        ("[training]\nrate = 2020-01-01", (), "run.toml' has a date or time: training.rate"),
        (f"x = {'[' * 5000}{']' * 5000}", (), "run.toml' is nested more than 100 deep"),
        (f"x = {'{a=' * 5000}1{'}' * 5000}", (), "run.toml' is nested more than 100 deep"),
        (f"{'.'.join('a' * 5000)} = 1", (), "run.toml' is nested more than 100 deep"),
        ("", ("--set", f"a={'[' * 5000}{']' * 5000}"), "' is nested more than 100 deep"),
        ("", ("--set", f"{'.'.join('a' * 5000)}=1"), "names a key that is too deep"),
        ("model = 1", ("--set", "model.layers=2"), "--set 'model.layers=2': model is no table"),
        ("[training]\nrate = 'fast'", (), "training.rate must be a number, got 'fast'"),
        ("[training]\nrate = -1", (), "training.rate must be positive, got -1"),
        ("[training]\nbatch_tokens = 100", (), "batch_tokens (100) must be a multiple of the context (128)"),
        ("[loss]\nmixing = 0.5", (), "loss.mixing of 'model' is 0.5, and there is no teacher"),
        ("[teacher]\npath = 'x'", (), "the table [teacher] is for `distlaw distill`"),
        ("layers = [", (), "is not TOML"),
        ("", ("--set", "training.rate"), "--set 'training.rate' must name a key and its value"),
        ("", ("--set", "training.tokens=10"), "tokens (10) must be at least one step's batch_tokens"),
        ("[data]\nsource = 'text'", (), "paths is empty: source='text' needs at least one"),
        ("[data]\nsource = 'text'\npaths = ['nowhere']", (), "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(command, tmp_path, content, words, message):
    (tmp_path / "run.toml").write_text(content)
    out = tmp_path / "out"
    status, said, err = command("train", tmp_path / "run.toml", "--out", out, "--cache", tmp_path / "cache", *words)
    assert (status, said) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
    assert not (out / "metrics.jsonl").exists()
    assert not (out / "record.json").exists()


def test_a_tracker_that_is_not_installed_or_not_known(command, tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text("")
    words = ("train", tmp_path / "run.toml", "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "wandb", None)
    status, said, err = command(*words, "--track", "wandb")
    assert (status, said) == (2, "")
    assert err.splitlines()[-1].endswith("--track wandb needs the package wandb: pip install wandb")
    status, _, err = command(*words, "--track", "mlflow")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "mlflow" in err
    assert not (tmp_path / "out").exists()


def test_distill_without_a_teacher(command, tmp_path):
    (tmp_path / "run.toml").write_text("")
    words = ("distill", tmp_path / "run.toml", "--out", tmp_path / "out")
    assert "the table [teacher] is missing" in command(*words)[2]
    assert f"teacher '{tmp_path / 'none'}' is not there" in command(*words, "--teacher", tmp_path / "none")[2]
    (tmp_path / "empty").mkdir()
    status, _, err = command(*words, "--teacher", tmp_path / "empty")
    assert status == 2
    assert "has no weights: neither *.safetensors nor *.gguf is in it" in err


@pytest.mark.slow
def test_distilling_beats_training_alone_on_the_examples(command, tmp_path):
    """The debug examples as they stand: a teacher, and one small student on the same tokens with it and without."""
    cache = ("--cache", tmp_path / "cache")
    status, out, _ = command("train", EXAMPLES / "teacher.toml", "--out", tmp_path / "teacher", *cache, "--json")
    assert status == 0
    assert json.loads(out)["student_loss"] < 3.8
    words = ("distill", EXAMPLES / "student.toml", "--teacher", tmp_path / "teacher", "--out", tmp_path / "student")
    status, out, _ = command(*words, *cache, "--json")
    assert status == 0
    distilled, supervised = json.loads(out)["students"]
    assert distilled["student_tokens"] == supervised["student_tokens"]
    assert distilled["student_loss"] < supervised["student_loss"] - 0.03  # 0.10 seen
    assert distilled["evaluation"]["kl"] < supervised["evaluation"]["kl"]
