"""How commands read a table of runs: `--columns`, `--units`, and what is said of it in words and JSON."""

import json

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.laws import published

LAW = published("busbridge2025").supervised


@pytest.fixture
def billions(tmp_path):
    """Runs whose tokens are in billions, under names of their own, the last pasted twice."""
    N, ratio = (part.ravel() for part in np.meshgrid([6e7, 2.5e8, 5e8, 2e9], [8.0, 20.0, 60.0, 200.0]))
    rows = [f"{n:.6g},{n * r / 1e9:.6g},{LAW.loss(n, n * r):.5f}\n" for n, r in zip(N, ratio, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("Params,Tokens,val_loss\n" + "".join([*rows, rows[-1]]))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("fit", "--kind", "supervised", "--bootstrap", "0", "--starts", "8"),
        ("isoflop", "--tolerance", "3"),
    ],
    ids=lambda words: words[0],
)
def test_every_command_says_what_the_table_is(billions, capsys, words):
    command = [words[0], str(billions), *words[1:], "--columns", "loss=val_loss"]
    main([*command, "--json"])
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    texts = [one if isinstance(one, str) else one["text"] for one in warnings]
    unit = next(text for text in texts if text.startswith("student_tokens is in billions"))
    assert any("pasted twice: rows 16 and 17" in text for text in texts)
    main(command)
    err = capsys.readouterr().err
    assert err.startswith(f"note: {unit}\n")
    assert err.count(unit) == 1
    main([*command, "--units", "tokens=B", "--json"])
    assert "student_tokens is read in B, as said" in capsys.readouterr().out


def test_options_that_cannot_be_read_are_one_line(billions, capsys):
    for words, message in (
        (("--columns", "loss"), "--columns 'loss' must say what is what, as loss=val_loss"),
        (("--columns", "loss=val_loss,loss=x"), "--columns says loss twice"),
        (("--columns", "loss=other"), "column 'other' for student_loss is not in this table"),
        (("--columns", "loss=val_loss", "--units", "tokens=furlongs"), "'furlongs' is no unit of student_tokens"),
        ((), "say which it is with --columns student_loss=NAME"),
    ):
        assert main(["check", str(billions), *words]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
