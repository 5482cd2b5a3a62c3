import json

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.fit import FitSpec, description, fit_law, require_described
from distlaw.fit.described import percent
from distlaw.laws import published
from distlaw.runs import Runs, write_runs

LAW = published("besiroglu2024").supervised
SPEC = FitSpec(form="supervised", fixed={"gamma": 1.0}, resamples=0, starts=32)


def grid(*, noise=0.001, seed=0, sizes=6, each=5):
    """Runs on a grid of sizes and tokens per parameter."""
    rng = np.random.default_rng(seed)
    N = np.repeat(np.geomspace(6e7, 3e9, sizes), each)
    D = N * np.tile(np.geomspace(8, 200, each), sizes)

    return Runs(
        student_params=N, student_tokens=D, student_loss=LAW.loss(N, D) * np.exp(noise * rng.normal(size=N.size))
    )


def with_losses(runs, rows, factor):
    loss = runs.student_loss.copy()
    loss[np.asarray(rows) - 1] *= factor
    return Runs(student_params=runs.student_params, student_tokens=runs.student_tokens, student_loss=loss)


@pytest.mark.parametrize("factor", [0.3, 0.9, 0.98, 1.02, 1.35, 30.0])
@pytest.mark.parametrize("row", [1, 11, 30])
def test_one_run_that_is_off_is_named_by_its_row(row, factor):
    fit = fit_law(with_losses(grid(), [row], factor), SPEC)
    assert [int(i) + 1 for i in fit.far.rows] == [row]
    assert fit.far.off[0] == pytest.approx(factor - 1, abs=0.02 * factor)
    [caution] = description(fit)
    assert caution.kind == "far-runs"
    assert "1 run is far from the law (the others scatter by 0." in caution.text
    assert f"row {row}, {percent(fit.far.off[0])} {'above' if factor > 1 else 'below'} it" in caution.text


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_pull_the_law_towards_them_are_found_and_what_they_move_is_said(seed):
    rng = np.random.default_rng(seed)
    C = 10 ** rng.uniform(18.5, 22, 245)
    N = np.clip(10 ** rng.normal(0, 0.35, 245) * np.sqrt(C / 120), 5e7, 1.6e10)
    D = C / 6 / N
    loss = LAW.loss(N, D) * np.exp(0.006 * rng.standard_t(4, size=245))
    bad = np.argsort(D)[:5]  # the runs on fewest tokens, on which B rests
    loss[bad] *= 1.15
    fit = fit_law(Runs(student_params=N, student_tokens=D, student_loss=loss), SPEC)
    assert set(bad) <= set(fit.far.rows)
    assert len(fit.far) <= 8
    off = [abs(np.log(value["B"] / LAW.B)) for value in (fit.coefficients, fit.far.without)]
    assert off[1] < off[0]
    assert "Without them, " in description(fit)[0].text
    assert "B would be" in description(fit)[0].text


@pytest.mark.parametrize("seed", range(30))
def test_clean_runs_are_not_far(seed):
    fit = fit_law(grid(noise=0.01, seed=seed), SPEC)
    assert not len(fit.far)
    assert description(fit) == []


def test_rows_are_those_of_the_table_that_was_read(tmp_path, capsys):
    runs = with_losses(grid(), [3, 20], 1.2)
    write_runs(runs, tmp_path / "runs.csv")
    words = ("fit", str(tmp_path / "runs.csv"), "--fix", "gamma=1", "--kind", "supervised", "--bootstrap", "0")
    assert main((*words, "--holdout", "student_params <= 1e8", "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["far_runs"][0]["row"] == 20  # row 3 is held out
    assert printed["far_runs"][0]["off"] == pytest.approx(0.2, abs=0.01)
    assert printed["rows"] == {"table": 30, "fitted": 25, "held_out": 5, "not_used": 0}
    assert main(words) == 0
    out, err = capsys.readouterr()
    first = out.splitlines()[0]
    assert first.startswith("Supervised law of 30 runs: misses them by 1.")
    assert "off, and 1 run more." in first
    assert "2 runs are far from the law" in err


def test_a_form_that_does_not_describe_its_runs_says_so():
    runs = grid()
    repeated = runs.student_tokens > 60 * runs.student_params
    loss = runs.student_loss * np.where(repeated, 1.15, 1.0)  # as where tokens were repeated many times
    bent = Runs(student_params=runs.student_params, student_tokens=runs.student_tokens, student_loss=loss)
    cautions = description(fit_law(bent, SPEC))
    assert "does not describe this table: it misses the runs by" in cautions[-1].text


def test_losses_without_a_law_are_said_to_have_none():
    runs = grid()
    loss = 2.5 + 0.05 * np.random.default_rng(0).normal(size=len(runs))
    fit = fit_law(Runs(student_params=runs.student_params, student_tokens=runs.student_tokens, student_loss=loss), SPEC)
    assert "the runs hardly show a law" in description(fit)[-1].text


@pytest.mark.parametrize(("low", "high"), [(-8, 12), (0, 1)])
def test_nonsense_is_refused_unless_it_is_asked_for(tmp_path, capsys, low, high):
    runs = grid()
    loss = 10 ** np.random.default_rng(0).uniform(low, high, len(runs))
    path, out = tmp_path / "runs.csv", tmp_path / "law.json"
    write_runs(Runs(student_params=runs.student_params, student_tokens=runs.student_tokens, student_loss=loss), path)
    words = ("fit", str(path), "--kind", "supervised", "--bootstrap", "0")
    assert main((*words, "--out", str(out))) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "no law: form 'supervised' misses its own 30 runs by" in printed.err
    assert "--max-error" in printed.err
    assert not out.exists()
    assert main((*words, "--max-error", "inf")) == 0


def test_a_loss_that_is_a_slip_is_refused_with_its_row():
    fit = fit_law(with_losses(grid(), [7], 1e-4), SPEC)
    with pytest.raises(ValueError, match=r"the most in rows 7, .*; without row 7 it misses them by 0\.\d+ %: correct"):
        require_described(fit)
    require_described(fit, np.inf)
