import json
import re
import subprocess
import sys

import pytest

from distlaw.apps.cli import main

pytest.importorskip("torch")

WIDTHS = ("mup-check", "--widths", "16,32,64,128")
QUICK = (*WIDTHS, "--steps", "2")


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_mup_passes(capsys, tmp_path):
    path = tmp_path / "check.svg"
    assert main([*QUICK, "--figure", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Coordinate check of mup: passed" in out
    rows = {line.strip().split("  ")[0] for line in out.splitlines()}
    assert rows >= {"block 0 attention", "block 1 residual", "logits", "margin"}
    assert "- " not in out.split("may shrink")[1]
    assert path.read_bytes().startswith(b"<?xml")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("control", ["standard", "unscaled-head"])
def test_a_control_fails_and_says_what_grew(control, capsys):
    assert main([*QUICK, "--parametrisation", control]) == 1
    out = capsys.readouterr().out
    assert f"Coordinate check of {control}: failed" in out
    assert re.search(r"- margin: slope \+(0\.9|1\.0)\d at step 1", out)
    assert "- logits: slope +" in out
    assert ("- block 1 residual: slope +" in out) == (control == "standard")


def test_json_has_what_was_measured(capsys):
    assert main([*QUICK, "--parametrisation", "standard", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["parametrisation"] == "standard"
    assert found["widths"] == [16, 32, 64, 128]
    assert found["passed"] is False
    assert found["limit"] == 0.1
    assert any(failure.startswith("margin: slope") for failure in found["failures"])
    assert found["margin_slope"] == pytest.approx(1, abs=0.05)
    assert len(found["margins"]) == 4
    assert set(found["sizes"]) == set(found["slopes"])
    assert {len(slopes) for slopes in found["slopes"].values()} == {3}
    assert {len(row) for rows in found["sizes"].values() for row in rows} == {4}


def test_the_seed_is_used_and_0_is_one(capsys):
    def margins(seed):
        main([*WIDTHS, "--steps", "1", "--seed", seed, "--json"])
        return json.loads(capsys.readouterr().out)["margins"]

    assert margins("0") == margins("0") != margins("1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--widths", "32,64"], "widths must be at least 4 different ones, got 32, 64"),
        (["--widths", "32,64,x,256"], "--widths '32,64,x,256' must be whole numbers with commas between them"),
        (["--widths", "32,64,100,256"], "width must be a multiple of head_size (16), got 100"),
        (["--widths", "0,32,64,128"], "width must be a whole number of at least 1, got 0"),
        (["--steps", "0"], "'0' is not a whole number"),
        (["--seed", "-1"], "seed must be 0 or more, got -1"),
        (["--figure", "check.txt"], "must end in .png, .svg, .pdf"),
        (["--parametrisation", "ntk"], "ntk"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["mup-check", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("distlaw: error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_its_help_and_its_mistakes_do_without_torch():
    code = (
        "import sys; from distlaw.apps.cli import main; main(['mup-check', '--help']);"
        "main(['mup-check', '--widths', 'x']); print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "whole numbers" in done.stderr
    assert done.stdout.splitlines()[-1] == "False"
