import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distlaw.apps import fit_run
from distlaw.apps.cli import main
from distlaw.apps.fit_run import NotConvergedError, run_fit
from distlaw.fit import NOT_CONVERGED, FitSpec, Wanted
from distlaw.laws import DistillationLaw, published
from distlaw.runs import Runs, write_runs

LAW = published("busbridge2025")
SPEC = FitSpec(starts=8)
FIRST = Wanted(form="peaked-tokens", rests_on="first")


def some_runs() -> Runs:
    """Runs of both kinds that follow a law exactly."""
    law = LAW.law
    assert isinstance(law, DistillationLaw)
    N, D, L = (v.ravel() for v in np.meshgrid([1e8, 2e8, 4e8, 1e9], [2e9, 8e9, 3e10], [2.0, 2.2, 2.4, 2.6, np.nan]))
    loss = np.where(np.isnan(L), law.supervised.loss(N, D), law.student_loss(N, D, np.nan_to_num(L, nan=2.0)))
    return Runs(student_params=N, student_tokens=D, student_loss=loss, teacher_loss=L)


@pytest.fixture
def stuck(monkeypatch):
    """Fits of this form come to rest nowhere."""

    def choose(form):
        def fit_law(runs, spec, **given):
            found = fit(runs, spec, **given)
            return replace(found, status=NOT_CONVERGED) if spec.form == form else found

        fit = fit_run.fit_law
        monkeypatch.setattr(fit_run, "fit_law", fit_law)

    return choose


@pytest.fixture
def table(tmp_path) -> Path:
    write_runs(some_runs(), tmp_path / "runs.csv")
    return tmp_path / "runs.csv"


def test_the_law_that_is_fitted_first_sees_no_run_that_is_held_out():
    runs = some_runs()
    found = run_fit(runs, SPEC, FIRST, holdout="student_params >= 1B")
    alone = runs.select((runs.student_params < 1e9) & ~runs.distilled)
    first = run_fit(alone, SPEC, Wanted(form="supervised"))
    assert found.result.supervised == first.result.law
    assert found.held is not None
    assert found.held.accuracy.runs == 12  # distilled runs of 1B, and none of its supervised ones
    assert found.result.train.runs == 36
    assert "law-taken-as-exact" in [caution.kind for caution in found.warnings]


def test_what_is_held_for_the_fit_is_free_in_the_law_under_it():
    fixed = replace(SPEC, fixed={"kappa": 2.0}, consistency=1.0)
    found = run_fit(some_runs(), fixed, FIRST)
    assert found.result.coefficients["kappa"] == 2.0


def test_the_law_under_it_may_not_converge(stuck, table, capsys):
    stuck("supervised")
    with pytest.raises(NotConvergedError, match="the supervised law under it did not converge"):
        run_fit(some_runs(), SPEC, FIRST)
    words = ("fit", str(table), "--supervised-law", "first", "--bootstrap", "0", "--starts", "8")
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "distlaw: the supervised law under it did not converge: no start came to rest\n"


def test_a_fit_that_does_not_converge_has_no_law_and_writes_none(stuck, table, capsys):
    stuck("peaked-tokens")
    out = table.with_name("law.json")
    words = ("fit", str(table), "--supervised-law", LAW.name, "--form", "peaked-tokens", "--bootstrap", "0")
    assert main((*words, "--holdout", "student_tokens >= 3e10", "--out", str(out), "--json")) == 1
    printed = json.loads(capsys.readouterr().out)
    assert not out.exists()
    for name in ("coefficients", "intervals", "train", "holdout", "law_file"):
        assert printed[name] is None, name
    assert printed["status"] == NOT_CONVERGED


def test_the_law_file_is_named_where_it_was_written(table, capsys):
    out = table.with_name("law.json")
    words = ("fit", str(table), "--kind", "supervised", "--bootstrap", "0", "--starts", "8", "--out", str(out))
    assert main((*words, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["law_file"] == str(out)
    assert "holdout" not in json.loads(out.read_text())


def test_runs_held_out_of_a_joint_fit_are_tested_of_both_kinds(table, capsys):
    words = ("fit", str(table), "--form", "peaked-tokens", "--supervised-law", "joint", "--starts", "8")
    words = (*words, "--bootstrap", "20", "--holdout", "student_params >= 1B")
    assert main((*words, "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["holdout"]["runs"] == 12
    assert printed["holdout_supervised"]["runs"] == 3
    assert printed["holdout_supervised"]["mean_abs_rel_error"] < 0.01
    assert printed["holdout_supervised"]["coverage_90"] is not None
    assert printed["rows"] == {"table": 60, "fitted": 45, "held_out": 15, "not_used": 0}
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert "the 12 runs held out by" in said
    assert "the 3 runs held out without a teacher by" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--supervised-law", "busbridge2025"),
            "3 runs held out are not tested: without a teacher, and the supervised",
        ),
        (("--kind", "supervised"), "12 runs held out are not tested: with a teacher, of which a supervised law says"),
    ],
)
def test_runs_held_out_that_are_not_tested_are_counted_with_the_reason(table, capsys, words, says):
    form = () if "--kind" in words else ("--form", "peaked-tokens")
    given = ("fit", str(table), *form, *words, "--bootstrap", "0", "--starts", "8", "--holdout", "student_params >= 1B")
    assert main(given) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert says in out
    assert "0 runs" not in out


def test_one_run_is_a_run(table, capsys):
    words = ("fit", str(table), "--kind", "supervised", "--bootstrap", "0", "--starts", "8")
    assert main((*words, "--holdout", "student_loss <= 2.4")) == 0
    out = capsys.readouterr().out
    assert "the 1 run held out by" in out
    assert " 1 runs" not in out
