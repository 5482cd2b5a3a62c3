"""The law that is fitted where the user leaves it open: kind, form, coefficients, and what it rests on."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.fit import FitSpec, Wanted, choose, fit_law
from distlaw.fit.holdout import forward_folds
from distlaw.laws import DEFAULT_LAW, DistillationLaw, EffectiveTokensLaw, SupervisedLaw, published
from distlaw.runs import Runs, write_runs

SPEC = FitSpec(starts=16, resamples=0)
PLAIN = SupervisedLaw(E=1.75, A=300.0, B=1200.0, alpha=0.33, beta=0.33, gamma=1.0)
DATA = Path(__file__).parents[3] / "shared" / "data"


def trained_alone(law, *, count=36, noise=0.003, seed=0):
    rng = np.random.default_rng(seed)
    N = 10 ** rng.uniform(7.7, 9.6, count)
    D = N * 10 ** rng.uniform(0.8, 2.3, count)
    loss = law.loss(N, D) * np.exp(noise * rng.normal(size=count))
    return Runs(student_params=N, student_tokens=D, student_loss=loss)


def of_both_kinds(law, *, alone=True, noise=0.002, seed=0):
    rng = np.random.default_rng(seed)
    teachers = [2.0, 2.2, 2.4, 2.6, *([np.nan] if alone else [])]
    N, D, L = (v.ravel() for v in np.meshgrid(np.geomspace(1e8, 2e9, 5), np.geomspace(2e9, 6e10, 4), teachers))
    loss = np.where(np.isnan(L), law.supervised.loss(N, D), law.student_loss(N, D, np.nan_to_num(L, nan=2.0)))
    return Runs(
        student_params=N, student_tokens=D, student_loss=loss * np.exp(noise * rng.normal(size=N.size)), teacher_loss=L
    )


def test_few_runs_of_a_simple_law_get_few_coefficients():
    choices = [choose(trained_alone(PLAIN, seed=seed), SPEC, Wanted()) for seed in range(6)]
    few = [choice for choice in choices if choice.taken is not None and choice.taken.free == 4]
    assert len(few) >= 5
    choice = few[0]
    assert choice.kind == "supervised"
    assert (choice.spec.fixed, choice.spec.tied) == ({"gamma": 1.0}, {"beta": "alpha"})
    assert choice.kind_because == "a supervised law, since no run of the table has a teacher_loss"
    assert "alpha = beta, gamma = 1 (4 free coefficients)" in choice.form_because
    assert "more are not clearly better" in choice.form_because


def test_runs_that_determine_more_coefficients_get_them():
    choice = choose(trained_alone(published("busbridge2025").supervised, count=200, noise=0.001), SPEC, Wanted())
    assert "gamma" not in choice.spec.fixed
    assert "fewer are clearly worse" in choice.form_because


def test_runs_too_few_for_folds_get_the_fewest_coefficients_and_no_verdict():
    choice = choose(trained_alone(PLAIN, count=8), SPEC, Wanted())
    assert choice.taken is not None
    assert choice.taken.free == 4
    assert choice.form_because.endswith("the runs are too few to compare forms on runs kept out")
    assert fit_law(trained_alone(PLAIN, count=8), choice.spec).status == "converged"


@pytest.mark.parametrize(
    ("wanted", "spec"),
    [
        (Wanted(form="supervised"), SPEC),
        (Wanted(), FitSpec(fixed={"gamma": 0.9})),
        (Wanted(), FitSpec(tied={"beta": "alpha"})),
    ],
)
def test_what_the_user_says_is_not_chosen(wanted, spec):
    choice = choose(trained_alone(PLAIN), spec, wanted)
    assert choice.taken is None
    assert (choice.spec.fixed, choice.spec.tied) == (spec.fixed, spec.tied)
    assert not choice.form_because


def test_effective_tokens_come_before_eq_8_and_rest_on_the_tables_own_supervised_runs():
    law = EffectiveTokensLaw(supervised=PLAIN, kappa=2.2, m=12.0)
    choice = choose(of_both_kinds(law), SPEC, Wanted())
    assert (choice.kind, choice.spec.form, choice.spec.joint) == ("distillation", "effective-tokens", True)
    assert choice.rests_name == "joint"
    assert choice.spec.tied["supervised beta"] == "supervised alpha"
    fit = fit_law(of_both_kinds(law), choice.spec)
    assert fit.status == "converged"
    assert fit.coefficients["kappa"] == pytest.approx(2.2, rel=0.05)
    assert fit.coefficients["supervised alpha"] == fit.coefficients["supervised beta"]
    tried = {one.form for one in choice.tried["distillation"]}
    assert {"effective-tokens", "distillation"} <= tried
    assert choose(of_both_kinds(law), SPEC, Wanted(), joint=False).rests_name == "first"


def test_a_table_without_supervised_runs_rests_on_the_default_law_and_says_why():
    law = published("busbridge2025").law
    assert isinstance(law, DistillationLaw)
    choice = choose(of_both_kinds(law, alone=False), SPEC, Wanted())
    assert choice.rests_name == DEFAULT_LAW
    assert choice.rests_on == published(DEFAULT_LAW).supervised
    assert "0 supervised runs are too few" in choice.rests_because


def test_a_few_distilled_runs_among_many_others_are_no_distillation_law():
    law = EffectiveTokensLaw(supervised=PLAIN, kappa=2.2, m=12.0)
    runs = of_both_kinds(law)
    keep = ~runs.distilled
    keep[np.flatnonzero(runs.distilled)[:3]] = True
    choice = choose(runs.select(keep), SPEC, Wanted())
    assert choice.kind == "supervised"
    assert "3 distilled runs are too few" in choice.kind_because


def test_coefficients_that_are_held_decide_which_forms_are_tried():
    law = published("busbridge2025").law
    choice = choose(of_both_kinds(law), FitSpec(fixed={"gamma": 1.0}, starts=8), Wanted())
    assert choice.spec.form == "distillation"
    choice = choose(of_both_kinds(law), FitSpec(fixed={"kappa": 2.0}, starts=8), Wanted())
    assert choice.spec.form != "distillation"
    assert choice.spec.fixed["kappa"] == 2.0


def test_one_run_that_is_off_decides_no_form():
    runs = trained_alone(PLAIN)
    loss = runs.student_loss.copy()
    loss[int(np.argmax(runs.student_params * runs.student_tokens))] *= 1.4
    off = Runs(student_params=runs.student_params, student_tokens=runs.student_tokens, student_loss=loss)
    choice = choose(off, SPEC, Wanted())
    assert choice.taken is not None
    assert choice.taken.far == 1
    assert choice.taken.error < 0.02
    assert "(1 far run left out)" in choice.form_because


def test_folds_keep_all_dearer_runs_out():
    runs = trained_alone(PLAIN, count=40)
    cost = runs.student_params * runs.student_tokens
    folds = forward_folds(runs)
    assert [int(label.sum()) for _, label in folds] == [20, 16, 12, 8, 4]
    for edge, label in folds:
        assert cost[label == 0].max() == edge < cost[label == 1].min()
    N = np.array([1e8, 2e8, 4e8])
    same = Runs(student_params=N, student_tokens=4e17 / N, student_loss=np.full(3, 3.0))
    assert forward_folds(same) == []  # one budget


def of_columns(rows, names, corpus=None):
    values = np.array([[float(row[name]) for name in names] for row in rows if row.get("corpus") == corpus])
    return Runs(student_params=values[:, 0], student_tokens=values[:, 1], student_loss=values[:, 2])


@pytest.mark.skipif(not DATA.is_dir(), reason="the public tables are not at hand")
def test_public_tables_get_the_coefficients_that_predict_larger_models():
    with (DATA / "accuracy-small-models.csv").open() as file:
        rows = list(csv.DictReader(file))
    for corpus in ("c4", "rpj", "rw"):
        choice = choose(of_columns(rows, ("params", "tokens", "loss_c4"), corpus), SPEC, Wanted())
        assert (choice.spec.fixed, choice.spec.tied) == ({"gamma": 1.0}, {"beta": "alpha"}), corpus
    with (DATA / "farseer.csv").open() as file:
        runs = of_columns(list(csv.DictReader(file)), ("N", "D", "loss"))
    assert "gamma" not in choose(runs, SPEC, Wanted()).spec.fixed


def test_the_command_says_what_it_chose(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    write_runs(trained_alone(PLAIN, seed=1), path)
    assert main(["fit", str(path), "--bootstrap", "20"]) == 0
    first, kind, form, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Supervised law of 36 runs: misses them by 0.")
    assert "dearer runs kept out of it by" in first
    assert "alpha = beta 0.3" in first
    assert kind == "kind: a supervised law, since no run of the table has a teacher_loss"
    assert form.startswith("form: alpha = beta, gamma = 1 (4 free coefficients): it misses the dearer runs")
    assert main(["fit", str(path), "--bootstrap", "0", "--json"]) == 0
    choice = json.loads(capsys.readouterr().out)["choice"]
    assert choice["kind"] == "supervised"
    assert [one["free_coefficients"] for one in choice["tried"]] == [4, 5, 5, 6]
    assert [one["taken"] for one in choice["tried"]] == [True, False, False, False]
    assert all(len(one["fold_errors"]) == 5 for one in choice["tried"])


def test_a_form_of_the_other_kind_is_refused(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    write_runs(trained_alone(PLAIN), path)
    assert main(["fit", str(path), "--kind", "supervised", "--form", "peaked-tokens"]) == 2
    assert "form 'peaked-tokens' is no supervised law" in capsys.readouterr().err
