"""A path that is not there is named as it was given."""

from pathlib import Path

import pytest

from distlaw.apps.cli import main

pytest.importorskip("torch")

STUDENT = str(Path(__file__).parents[2] / "examples" / "debug" / "student.toml")
GOAL = ("--compute", "1e21")
AT = ("--at", "student_params=1B student_tokens=20B teacher_loss=2")

COMMANDS = [
    ("plan", "--student-params", "{}/config.json", *GOAL),
    ("plan", "--student-params", "{}/", *GOAL),
    ("plan", "--student-params", "1B", *GOAL, "--law", "{}.json"),
    ("teachers", "{}.csv", "--student-params", "1B", *GOAL),
    ("laws", "{}.json"),
    ("check", "{}.csv"),
    ("fit", "{}.csv"),
    ("compare", "{}.parquet"),
    ("isoflop", "{}.jsonl"),
    ("suggest", "{}.csv", "--candidates", "{}.csv", *AT),
    ("train", "{}.toml", "--out", "run"),
    ("train", "{}", "--out", "run"),
    ("distill", STUDENT, "--teacher", "{}", "--out", "run"),
    ("evaluate", "{}"),
    ("evaluate", ".", "--config", "{}"),
    ("targets", "inspect", "{}"),
    ("targets", "capture", "{}.toml", "--out", "targets"),
    ("runs", "collect", "{}", "--out", "runs.csv"),
    ("study", "plan", "{}.toml"),
    ("study", "run", "{}", "--out", "study"),
    ("study", "status", "{}"),
    ("study", "resume", "{}"),
    ("study", "stop", "{}"),
    ("study", "table", "{}", "--out", "runs.csv"),
    ("study", "report", "{}", "--out", "report"),
    ("report", "study", "{}", "--out", "report.html"),
    ("report", "labs", "{}", "--out", "labs.html"),
    ("report", "law", "{}.json", "--out", "law.html"),
    ("serve", "--studies", "{}"),
    ("serve", "--laws", "{}"),
    ("checksum", "{}"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["nothing", "no/such/place", "/no/such/place"])
def test_what_is_not_there_is_named(words, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([word.format(name) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert name in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
