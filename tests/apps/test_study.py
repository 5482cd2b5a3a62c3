"""`distlaw study`, as a user calls it; runs of studies are tested in tests/sweep."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.sweep.simulate import Simulated, small

from distlaw.apps.cli import main
from distlaw.runs import read_runs
from distlaw.sweep.drive import Driver, begin
from distlaw.sweep.study import study_text

DOCUMENT = Path(__file__).parents[2] / "docs" / "studies.md"


@pytest.fixture
def command(capsys):
    def run(*words):
        status = main(["study", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "s"
    study = small()
    driver = Driver(study=study, store=begin(study, str(folder)), executor=Simulated(), cache=folder)
    assert driver.run(study.runs).done == len(study.runs)
    return folder


def keys(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


@pytest.mark.parametrize(
    "words", [("plan", "nano", "--accelerator", "h100"), ("status", "{}"), ("table", "{}", "--out", "{}.csv")]
)
def test_every_json_key_is_documented(command, finished, words):
    status, out, _ = command(*(word.format(finished) for word in words), "--json")
    assert status == 0
    documented = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text()))
    printed = set(keys(json.loads(out)))
    assert printed - documented == set()
    assert printed


def test_the_outcome_of_a_run_is_documented():
    from dataclasses import fields

    from distlaw.sweep.adaptive import Choices, Round
    from distlaw.sweep.drive import Outcome

    documented = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text()))
    assert {field.name for owner in (Outcome, Choices, Round) for field in fields(owner)} - documented == set()


def test_a_plan_counts_every_run_once(command):
    status, out, _ = command("plan", "tiny", "--json")
    assert status == 0
    found = json.loads(out)
    assert sum(share["runs"] for share in found["protocols"]) == found["runs"] >= 120
    assert sum(share["flops"] for share in found["protocols"]) == pytest.approx(found["flops"])
    assert found["flops_shared"] < found["flops"]
    status, out, _ = command("plan", "paper")
    assert status == 0
    assert "fixed-M teachers, IsoFLOP students" in out


def test_status_and_table_of_a_finished_study(command, finished, tmp_path):
    status, out, _ = command("status", finished)
    assert status == 0
    assert f"{len(small().runs)} of {len(small().runs)} runs done, 100% of the FLOPs" in out
    status, out, _ = command("table", finished, "--out", tmp_path / "runs.csv")
    assert status == 0
    assert len(read_runs(tmp_path / "runs.csv")) == len(small().runs)


def test_mistakes_are_said_on_one_line(command, tmp_path, finished):
    file = tmp_path / "poor.toml"
    file.write_text(study_text(small(limits="compute = 1.0")))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("")
    for words, message in (
        (("plan", "huge"), "'huge' is neither a preset"),
        (("plan", file), "is less than the cheapest run costs"),
        (("run", file, "--out", tmp_path / "s", "--cache", tmp_path / "c"), "is less than the cheapest run costs"),
        (("status", tmp_path), "holds no study that was begun"),
        (("stop", tmp_path), "holds no study that was begun"),
        (("resume", tmp_path), "is no study"),
        (("table", tmp_path, "--out", tmp_path / "t.csv"), "is no study"),
        (("report", finished, "--out", tmp_path / "poor.toml" / "x"), "cannot be made"),
    ):
        status, _, err = command(*words)
        assert status == 2, words
        assert err.count("\n") == 1
        assert message in err
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_said_on_one_line(command):
    pytest.importorskip("aiohttp")
    status, _, err = command("status", "http://127.0.0.1:9/study")
    assert status == 2
    assert re.fullmatch(r"distlaw: error: .*127\.0\.0\.1.*\n", err)


def test_a_report_of_a_table(command, tmp_path):
    from distlaw.laws import published

    law = published("busbridge2025-peaked").law
    rows = ["student_params,student_tokens,teacher_loss,student_loss,compute,seed,teacher_params,teacher_tokens"]
    for i, N in enumerate((1e8, 2e8, 4e8, 8e8, 1.6e9)):
        for j, D in enumerate((4e9, 8e9, 1.6e10, 3.2e10, 6.4e10)):
            for seed in (0, 1):
                wiggle = 1 + 0.002 * ((7 * i + 3 * j + 5 * seed) % 5 - 2)
                rows.append(f"{N},{D},,{float(law.supervised.loss(N, D)) * wiggle},{6 * N * D},{seed},,")
    for N_T in (4e8, 8e8, 1.6e9, 3.2e9):
        L_T = float(law.supervised.loss(N_T, 20 * N_T))
        for i, N in enumerate((1e8, 2e8, 4e8)):
            for D in (4e9, 8e9, 1.6e10):
                wiggle = 1 + 0.002 * ((3 * i + 5 * int(D / 4e9)) % 5 - 2)
                loss = float(law.student_loss(N, D, L_T)) * wiggle
                rows.append(f"{N},{D},{L_T},{loss},{6 * N * D + 2 * N_T * D},0,{N_T},{20 * N_T}")
    (tmp_path / "runs.csv").write_text("\n".join(rows) + "\n")
    status, out, _ = command(
        "report", tmp_path / "runs.csv", "--out", tmp_path / "report", "--resamples", 100, "--json"
    )
    assert status == 0
    assert json.loads(out)["runs"] == len(rows) - 1
    text = (tmp_path / "report" / "report.md").read_text()
    assert "## How far do seeds scatter?" in text
    for image in re.findall(r"\]\((.*?)\)", text):
        assert (tmp_path / "report" / image).is_file()
    assert json.loads((tmp_path / "report" / "evidence.json").read_text()) == json.loads(out)
    assert main(["predict", "--law", str(tmp_path / "report" / "law.json"), *PLACE]) == 0


PLACE = ("--student-params", "4e8", "--student-tokens", "1e10", "--teacher-loss", "2.3")


def test_the_first_line_answers(command, finished):
    for words, answer in (
        (
            ("plan", "nano", "--workers", "2"),
            r"Study nano: 47 different runs take about \d+ s with 2 workers, 2\.\d min of",
        ),
        (("status", str(finished)), r"\d+ of \d+ runs done, 100% of the FLOPs; 0 jobs under way"),
    ):
        _, out, _ = command(*words)
        assert re.match(answer, out.splitlines()[0])
