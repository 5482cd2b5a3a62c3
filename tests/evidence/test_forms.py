import numpy as np
import pytest

from distlaw.evidence import forms
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.forms import score_forms
from distlaw.fit import FitSpec, rolling_folds
from distlaw.report.evidence_tables import _forms

QUICK = FitSpec(starts=6)
FORMS = ("effective-tokens", "effective-tokens-best-teacher", "peaked-tokens")


@pytest.fixture(scope="module")
def scores(peaked, study):
    return score_forms(peaked.select(peaked.distilled), study.ALONE, spec=QUICK, forms=FORMS)


def test_the_true_form_is_best(scores):
    assert set(scores) == {"rolling", "teacher"}
    assert scores["teacher"].best == "peaked-tokens"
    for found in scores.values():
        errors = [score.mean_error for score in found.scores]
        assert errors == sorted(errors)
        assert {score.form for score in found.scores} == set(FORMS)


def test_gains_are_paired_with_the_reference(scores):
    for found in scores.values():
        by_form = {score.form: score for score in found.scores}
        reference = by_form["effective-tokens"]
        assert reference.gain == 0
        assert reference.verdict == "no difference"
        for score in found.scores:
            assert score.gain == pytest.approx(reference.mean_error - score.mean_error)
            assert score.gain_interval[0] <= score.gain <= score.gain_interval[1]
    assert {s.form: s.verdict for s in scores["teacher"].scores}["peaked-tokens"] == "better"


def test_simpler_is_not_called_worse_where_it_is_true(constant, study):
    found = score_forms(constant.select(constant.distilled), study.ALONE, spec=QUICK, forms=FORMS)["teacher"]
    assert all(score.verdict != "better" or score.gain < 5e-5 for score in found.scores)


def test_runs_kept_out_are_counted(scores, peaked):
    assert scores["teacher"].runs == peaked.distilled.sum()
    assert scores["teacher"].count == 8
    assert 0 < scores["rolling"].runs < peaked.distilled.sum()


def test_too_few_runs_say_why(peaked, study):
    runs = peaked.select(peaked.distilled).select(slice(0, 4))
    found = score_forms(runs, study.ALONE, spec=QUICK, forms=FORMS)
    assert all(isinstance(x, CannotSay) for x in found.values())
    assert all(np.size(x.because) for x in found.values())


def test_one_fold_gives_no_verdict(peaked, study, monkeypatch):
    monkeypatch.setattr(forms, "rolling_folds", lambda runs: rolling_folds(runs)[:1])
    found = score_forms(peaked.select(peaked.distilled), study.ALONE, spec=QUICK, forms=FORMS)
    scores = found["rolling"]
    assert scores.count == 1
    assert {score.verdict for score in scores.scores} == {"no verdict"}
    assert all(np.isnan(score.gain_interval).all() for score in scores.scores)
    said = " ".join(_forms(found).sentences)
    assert "kept out (1 fold, " in said
    assert "worse" not in said.split("With one teacher")[0]
