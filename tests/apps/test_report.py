"""`distlaw report`, as a user calls it."""

import json
import re
import shlex
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.apps.commands import report as module
from distlaw.charts import Axis, Chart, Panel, Series
from distlaw.labs.files import Outcome, write_outcome
from distlaw.labs.findings import Effect, Finding, Findings, Table
from distlaw.laws import DEFAULT_LAW, published
from distlaw.report import law_report
from distlaw.report.paper import FIGURES
from distlaw.runs import Runs, write_runs

pytest.importorskip("plotly")

TINY = Path(__file__).parents[2] / "studies" / "tiny"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def command(capsys):
    def run(*words):
        status = main(["report", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Supervised and distilled runs as the printed law has them."""
    law = published("busbridge2025").law
    N = np.array([2e8, 5e8, 1e9, 2e8, 5e8, 1e9])
    D, L_T = 20 * N, np.array([np.nan] * 3 + [2.2, 2.3, 2.1])
    loss = np.where(np.isnan(L_T), law.supervised.loss(N, D), law.student_loss(N, D, np.nan_to_num(L_T, nan=2.0)))
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    write_runs(Runs(student_params=N, student_tokens=D, student_loss=loss, teacher_loss=L_T), path)
    return path


@pytest.fixture
def few(monkeypatch):
    """A page of a law with four of the figures: one that all laws have, and those of runs."""
    monkeypatch.setattr(law_report, "FIGURES", {number: FIGURES[number] for number in (1, 4, 5, 29)})


@pytest.fixture
def labs(tmp_path):
    chart = Chart(
        name="c",
        title=HOSTILE,
        panels=(Panel(x=Axis(label="x"), y=Axis(label="y"), series=(Series(name="a", x=[1], y=[2]),)),),
    )
    for name, verdict in (("temperature", "holds"), ("patience", "does not hold")):
        findings = Findings(
            findings=(
                Finding(
                    claim=f"{HOSTILE} is best",
                    effect=Effect(value=1.0, interval=(0.5, 1.5)),
                    verdict=verdict,
                    measured="m",
                ),
            ),
            tables=(Table(title="T", columns=("a", "b"), rows=((1.5, "word"), (None, "other"))),),
            charts=(chart,),
            notes=("a note",),
        )
        outcome = Outcome(
            lab=name,
            about="a claim",
            source="appendix G",
            preset="quick",
            seed=0,
            command=f"distlaw lab {name}",
            findings=findings,
            runs=3,
            core_seconds=120.0,
            machine="here",
        )
        (tmp_path / "labs" / name).mkdir(parents=True)
        write_outcome(outcome, tmp_path / "labs" / name)
    return tmp_path / "labs"


def titles(path):
    return [unescape(title) for title in re.findall(r"<h2[^>]*>(.*?)</h2>", path.read_text())]


def made_by(path):
    return [unescape(made) for made in re.findall(r"Made by <code>(.*?)</code>", path.read_text())]


# --- Laws and figures -------------------------------------------------------------------------------------------------


def test_a_law_with_its_figures(command, tmp_path):
    path = tmp_path / "law.html"
    status, out, err = command("law", "--out", path)
    assert status == 0
    assert f"Report: {path}" in out
    assert "warning: it holds the supervised limit" in err
    assert list(tmp_path.iterdir()) == [path]
    found = titles(path)
    assert found[:4] == ["Coefficients", "Where it was fitted", "Before you trust it", "Predictions"]
    assert found[4:] == [f"Figure {n}: {f.title}" for n, f in FIGURES.items() if f.runs != "always"]
    page, *figures = made_by(path)
    assert page == f"distlaw report law {DEFAULT_LAW} --out {path}"
    assert figures[0] == f"distlaw report figure 1 --law {DEFAULT_LAW} --out figure-1.svg"
    text = path.read_text()
    assert "5419 to 3.268e+09" in text  # an interval
    assert "143M" in text  # where it was fitted
    assert "extrapolated" in text


@pytest.mark.usefixtures("few")
def test_a_law_with_runs_is_held_against_them(command, table, tmp_path):
    path = tmp_path / "law.html"
    status, _, _ = command("law", "busbridge2025", "--runs", table, "--student-params", "300M,1B", "--out", path)
    assert status == 0
    found = titles(path)
    assert "Against runs" in found
    assert "Figure 5: predicted and measured" in found
    text = path.read_text()
    assert "Not drawn: figure 4 lays runs out by their teachers" in text
    assert f"distlaw report figure 5 --law busbridge2025 --runs {table} --student-params 300M,1B" in unescape(text)


@pytest.mark.usefixtures("few")
def test_the_command_of_a_figure_makes_it(command, table, tmp_path, monkeypatch):
    path = tmp_path / "law.html"
    command("law", "busbridge2025", "--runs", table, "--context", "2048", "--out", path)
    monkeypatch.chdir(tmp_path)
    (made,) = (made for made in made_by(path) if " figure 29 " in made)
    assert "--context 2048" in made
    words = shlex.split(made.replace(".svg", ".csv"))
    assert main(words[1:]) == 0
    data = (tmp_path / "figure-29.csv").read_text()
    assert re.search(r'download="figure-29-allocation.csv" href="data:text/csv;charset=utf-8,(.*?)"', path.read_text())
    monkeypatch.undo()
    assert main(["report", "figure", "29", "--law", "busbridge2025", "--out", str(tmp_path / "other.csv")]) == 0
    assert (tmp_path / "other.csv").read_text() != data  # another context, other costs


@pytest.mark.usefixtures("few")
def test_a_law_file_with_resamples_has_intervals(command, tmp_path):
    path = tmp_path / "tiny.html"
    status, _, _ = command("law", TINY / "law.json", "--runs", TINY / "runs.csv", "--out", path)
    assert status == 0
    assert "90 % interval" in path.read_text()
    assert "30K" in path.read_text()
    data = json.loads((TINY / "law.json").read_text())["data"]
    assert f"Losses are in nats per token on its data ({data})." in path.read_text()


def test_a_supervised_law_has_no_figures(command, tmp_path):
    path = tmp_path / "law.html"
    status, _, _ = command("law", "besiroglu2024", "--out", path)
    assert status == 0
    assert titles(path) == ["Coefficients", "Where it was fitted", "Predictions"]
    status, _, err = command("figure", 8, "--law", "besiroglu2024", "--out", tmp_path / "a.svg")
    assert status == 2
    assert "supervised only" in err


@pytest.mark.parametrize(
    ("ending", "first"),
    [
        ("png", b"\x89PNG"),
        ("svg", b"<?xml"),
        ("pdf", b"%PDF-"),
        ("csv", b"panel,series,x,y"),
        ("html", b"<!doctype html>"),
    ],
)
def test_a_figure_in_every_format(command, tmp_path, ending, first):
    path = tmp_path / f"figure.{ending}"
    status, out, _ = command("figure", 29, "--student-params", "1B", "--out", path)
    assert status == 0
    assert out == f"Figure: {path}\n"
    assert path.read_bytes().startswith(first)
    assert list(tmp_path.iterdir()) == [path]


def test_figures_of_runs(command, table, tmp_path):
    status, _, _ = command("figure", 5, "--law", "busbridge2025", "--runs", table, "--out", tmp_path / "five.csv")
    assert status == 0
    assert (tmp_path / "five.csv").read_text().count("\n") == 1 + 2 * 6
    status, _, err = command("figure", 5, "--out", tmp_path / "a.svg")
    assert (status, err.count("\n")) == (2, 1)
    assert "give a table of runs with --runs" in err


# --- Plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_answers_in_words_first(command, tmp_path):
    path = tmp_path / "plan.html"
    words = ("plan", "--student-params", "1B", "--compute", "1e22", "--students", "3", "--accelerator", "h100")
    status, _, err = command(*words, "--out", path)
    assert status == 0
    assert "warning: student_tokens" in err
    text = unescape(path.read_text())
    assert titles(path) == [
        "What the answer rests on",
        "Options",
        "Loss over compute",
        "Where the compute goes",
        "Before you trust this",
    ]
    assert text.index("Too close to call: if the teacher exists and you pay for its logits") < text.index("<table>")
    for option in ("supervised", "best-case", "teacher-inference (yours)", "teacher-pretraining-and-inference"):
        assert f">{option}</th>" in text
    assert "GPU-hours" in text
    made = made_by(path)
    assert len(set(made)) == 1
    assert (
        made[0]
        == f"distlaw report plan --student-params 1B --compute 1e+22 --students 3 --accelerator h100 --out {path}"
    )
    other = tmp_path / "again.html"
    assert main(shlex.split(made[0].replace(str(path), str(other)))[1:]) == 0
    assert other.read_text().replace("again.html", "plan.html") == path.read_text()


@pytest.mark.parametrize(
    "goal",
    [
        ("--target-loss", "2.2"),
        ("--student-tokens", "50B"),
        ("--compute", "8e15"),
        ("--compute", "1e22", "--serving-tokens", "1T"),
    ],
)
def test_every_kind_of_plan(command, tmp_path, goal):
    status, _, _ = command("plan", "--student-params", "1B", *goal, "--out", tmp_path / "plan.html")
    assert status == 0
    assert titles(tmp_path / "plan.html")[0] == "What the answer rests on"


def test_a_plan_of_own_teachers_answers_about_them(command, tmp_path):
    """The headline, the options and the ranking of a report are of one mind, and the command makes it again."""
    (tmp_path / "t.csv").write_text("name,params,loss\nnear,1B,2.15\ndear,70B,1.9\n")
    path = tmp_path / "plan.html"
    words = ("--student-params", "1B", "--compute", "1e20", "--teachers", tmp_path / "t.csv", "--scenario", "best-case")
    assert command("plan", *words, "--out", path)[0] == 0
    assert titles(path)[:3] == ["What the answer rests on", "Your own teachers", "Options"]
    text = unescape(path.read_text())
    assert (
        "Distill from 'near' (1B parameters, loss of 2.150 ± 0.011 nats, measured)" in text
        or "Distill from 'dear'" in text
    )
    assert "Train supervised." not in text
    assert f"--scenario best-case --teachers {tmp_path / 't.csv'}" in made_by(path)[0]


def test_a_plan_by_a_law_with_resamples_says_how_sure_it_is(command, tmp_path):
    path = tmp_path / "plan.html"
    words = ("plan", "--student-params", "100K", "--compute", "1e14", "--law", TINY / "law.json")
    status, _, _ = command(*words, "--min-teacher-params", "1K", "--out", path)
    assert status == 0
    text = path.read_text()
    assert "of the resamples agree" in text
    assert "90% interval" in text


# --- Studies and labs -------------------------------------------------------------------------------------------------


def test_labs_have_their_verdicts_first(command, labs, tmp_path):
    path = tmp_path / "labs.html"
    status, _, _ = command("labs", labs, "--out", path)
    assert status == 0
    assert titles(path) == ["Verdicts", "temperature", "patience"]
    text = path.read_text()
    assert "Of 2 claims, 1 hold, 1 do not hold and 0 are undecided" in text
    assert HOSTILE not in text
    assert "alert(1)" in text
    assert made_by(path) == [
        f"distlaw report labs {labs} --out {path}",
        "distlaw lab temperature",
        "distlaw lab patience",
    ]
    status, _, _ = command("labs", labs / "patience", "--out", tmp_path / "one.pdf")
    assert status == 0
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF-")


def test_a_table_of_runs_as_a_study(command, table, tmp_path):
    path = tmp_path / "study.html"
    status, _, _ = command("study", table, "--resamples", 100, "--seed", 3, "--out", path)
    assert status == 0
    assert len(titles(path)) == 9
    assert "Study: runs.csv" in path.read_text()
    assert "Cannot say, because" in path.read_text()
    assert made_by(path)[0] == f"distlaw report study {table} --resamples 100 --seed 3 --out {path}"


def test_a_study_by_folder_and_by_url(command, tmp_path):
    pytest.importorskip("torch")
    from tests.sweep.simulate import Simulated, small

    from distlaw.sweep.drive import Driver, begin

    study, folder = small(), tmp_path / "s"
    store = begin(study, str(folder))
    status, _, err = command("study", folder, "--out", tmp_path / "a.html")
    assert status == 2
    assert err.startswith("distlaw: error: no run of ")
    assert err.endswith(" is done yet\n")
    assert Driver(study=study, store=store, executor=Simulated(), cache=tmp_path).run(study.runs).done == len(
        study.runs
    )
    pages = []
    path = tmp_path / "page.html"
    for source in (str(folder), f"{folder.as_uri()}/"):
        status, out, err = command("study", source, "--resamples", 100, "--out", path)
        assert (status, err) == (0, "")
        assert f"Report: {path}" in out
        assert len(titles(path)) == 9
        assert made_by(path)[0] == f"distlaw report study {source} --resamples 100 --out {path}"
        pages.append(path.read_text().replace(source, "SOURCE"))
    assert pages[0] == pages[1]
    assert f"{len(study.runs)} runs" in pages[0]


# --- Mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_said_on_one_line_and_leave_nothing(command, table, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    law = ("law", DEFAULT_LAW)
    for words, message in (
        ((*law, "--out", folder / "a.txt"), "must end in .html or .pdf"),
        ((*law, "--out", folder / "none" / "a.html"), "does not exist"),
        (("law", "kaplan2020", "--out", folder / "a.html"), "law 'kaplan2020' is unknown"),
        ((*law, "--student-params", "1B,big", "--out", folder / "a.html"), "'big' is not a number such as"),
        ((*law, "--runs", folder / "none.csv", "--out", folder / "a.html"), "no such file"),
        (("figure", 3, "--out", folder / "a.svg"), "figure 3 is not drawn; choose 1, 4"),
        (("figure", 8, "--out", folder / "a.gif"), "must end in .png, .svg, .pdf, .html or .csv"),
        (("figure", 4, "--runs", table, "--out", folder / "a.svg"), "no teacher_params and teacher_tokens"),
        (("plan", "--student-params", "1B", "--out", folder / "a.html"), "exactly one of --compute"),
        (("plan", "--student-params", "1B", "--compute", "1", "--out", folder / "a.html"), "is too small for any plan"),
        (("labs", folder, "--out", folder / "a.html"), "has no findings.json of a lab"),
        (("study", folder / "none", "--out", folder / "a.html"), "is no study: there is no study.toml in it"),
        (("study", "x" * 5000, "--out", folder / "a.html"), "cannot be read (File name too long)"),
        (("study", (folder / "none").as_uri(), "--out", folder / "a.html"), "is no study: there is no study.toml in"),
        (("study", "nowhere://none", "--out", folder / "a.html"), "cannot be opened (Protocol not known: nowhere)"),
        (("study", TINY / "report.md", "--out", folder / "a.html"), "the name must end in .csv, .parquet"),
        (("study", table, "--resamples", "150.5", "--out", folder / "a.html"), "is not a whole number"),
        (("study", table, "--resamples", "99", "--out", folder / "a.html"), "resamples must be 100 or more"),
        (("law", "--out", "x" * 5000 + ".html"), "cannot be written"),
    ):
        status, _, err = command(*words)
        assert status == 2, words
        assert err.count("\n") == 1, words
        assert message in err
        assert list(folder.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_refused(command, tmp_path):
    (tmp_path / "a.html").mkdir()
    status, _, err = command("law", "--out", tmp_path / "a.html")
    assert status == 2
    assert "is a folder" in err


def test_without_plotly_a_page_is_refused_before_anything_is_computed(command, tmp_path, monkeypatch):
    from distlaw.report import html

    monkeypatch.setattr(html, "find_spec", lambda _: None)
    monkeypatch.setattr(module, "planning_law", lambda _: pytest.fail("it went on"))
    status, _, err = command("plan", "--student-params", "1B", "--compute", "1e22", "--out", tmp_path / "a.html")
    assert status == 2
    assert "pip install 'distlaw[web]'" in err
