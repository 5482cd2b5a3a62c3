import json
from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence import study as module
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.study import examine

TOKEN_FORMS = ("effective-tokens", "peaked-tokens")


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Without eq. 8, whose fits take most of the time; test_whole_study.py has it."""
    with pytest.MonkeyPatch.context() as patch:
        extrapolate, score = module.extrapolate, module.score_forms
        patch.setattr(module, "_STARTS", 4)
        patch.setattr(module, "TERMS", ("teacher_params",))
        patch.setattr(
            module, "extrapolate", lambda *a, **k: extrapolate(*a, **k, forms=("supervised", "effective-tokens"))
        )
        patch.setattr(module, "score_forms", lambda *a, **k: score(*a, **k, forms=TOKEN_FORMS))
        yield


@pytest.fixture(scope="module")
def evidence(peaked):
    told = []
    return examine(peaked, resamples=100, progress=told.append), told


def test_every_question_is_answered(evidence, peaked):
    found, told = evidence
    assert len(told) == 5
    assert (found.runs, found.supervised_runs, found.distilled_runs) == (len(peaked), 51, 108)
    assert found.form == "peaked-tokens"
    for answer in (
        found.noise,
        found.supervised,
        found.token_worth,
        found.capacity_gap,
        found.against,
        found.choices,
        *found.extrapolation.values(),
        *found.forms.values(),
        *found.through_loss.values(),
    ):
        assert not isinstance(answer, CannotSay)
    assert found.capacity_gap.verdict == "holds"
    assert found.through_loss["teacher_params"].verdict == "holds"
    assert found.token_worth.constancy.verdict == "does not hold"
    value, (low, high) = found.supervised["E"]
    assert low <= value <= high


def test_it_goes_into_json(evidence):
    content = json.loads(json.dumps(evidence[0].as_dict(), allow_nan=False))
    assert content["capacity_gap"]["verdict"] == "holds"
    assert len(content["token_worth"]["cells"]) == 54
    assert content["cells"]["teacher_loss"].count(None) == 36


def test_pasted_rows_change_nothing(peaked, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "seed_noise", lambda cells: seen.append(cells) or CannotSay(because="stop"))
    few = peaked.select(peaked.distilled).select(slice(0, 8))
    twice = few.select(np.concatenate([np.arange(8), np.arange(8)]))
    for runs in (few, twice):
        examine(runs, resamples=100)
    np.testing.assert_array_equal(seen[0].squares, seen[1].squares)


def test_one_seed_each_says_so_and_still_answers_the_rest(study, monkeypatch):
    monkeypatch.setattr(module, "TERMS", ())
    found = examine(study.simulate(study.PEAKED, seeds=1), resamples=100)
    assert isinstance(found.noise, CannotSay)
    assert isinstance(found.capacity_gap, CannotSay)
    assert not isinstance(found.token_worth, CannotSay)
    assert found.as_dict()["capacity_gap"]["cannot_say"].startswith("no student was trained with a second seed")


def test_supervised_runs_alone_leave_the_rest_open(peaked):
    found = examine(peaked.select(~peaked.distilled), resamples=100)
    assert not isinstance(found.supervised, CannotSay)
    for answer in (found.token_worth, found.against, *found.forms.values(), *found.through_loss.values()):
        assert answer == CannotSay(because="no run has a teacher")
    assert isinstance(found.capacity_gap, CannotSay)


def test_distilled_runs_alone_have_nothing_to_rest_on(peaked):
    found = examine(peaked.select(peaked.distilled), resamples=100)
    assert isinstance(found.supervised, CannotSay)
    assert "0 supervised runs" in found.supervised.because
    assert not isinstance(found.capacity_gap, CannotSay)


def test_without_computes_what_needs_none_is_answered(peaked, monkeypatch):
    monkeypatch.setattr(module, "TERMS", ())
    few = replace(peaked, compute=np.full(len(peaked), np.nan))
    found = examine(few, resamples=100)
    assert all(isinstance(x, CannotSay) for x in found.extrapolation.values())
    assert isinstance(found.against.comparisons["teacher inference paid"], CannotSay)
    assert not isinstance(found.against.comparisons["equal tokens"], CannotSay)


def test_few_resamples_are_refused(peaked):
    with pytest.raises(ValueError, match="resamples must be 100 or more for a 90 % interval, got 10"):
        examine(peaked, resamples=10)
