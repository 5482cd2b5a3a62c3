from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence.answer import CannotSay
from distlaw.evidence.cells import gather
from distlaw.evidence.noise import seed_noise
from distlaw.evidence.through_loss import jackknife_error, through_loss
from distlaw.fit import FitSpec, fit_law

QUICK = FitSpec(starts=4, resamples=0)


def ask(runs, term="teacher_params", form="peaked-tokens"):
    noise = seed_noise(gather(runs)[0])
    law = fit_law(runs.select(~runs.distilled), replace(QUICK, form="supervised", starts=12)).law
    return through_loss(runs.select(runs.distilled), law, term=term, noise=noise, form=form, spec=QUICK)


def test_a_planted_effect_is_found(study):
    found = ask(study.simulate(study.PEAKED, teacher_size=0.015))
    assert found.verdict == "does not hold"
    assert found.interval[0] < 0.015 < found.interval[1] + 0.002
    assert found.exponent == pytest.approx(0.015, abs=0.005)
    assert found.residual_interval[0] > 0
    assert found.gain_interval[0] > 0
    assert found.error_with < 0.7 * found.error_without
    assert found.gain == pytest.approx(found.error_without - found.error_with)


@pytest.mark.parametrize("term", ["teacher_params", pytest.param("teacher_tokens", marks=pytest.mark.slow)])
def test_an_absent_effect_is_not_claimed(peaked, term):
    found = ask(peaked, term)
    assert found.verdict == "holds"
    assert abs(found.exponent) < 0.005
    assert found.interval[0] <= found.exponent <= found.interval[1]
    assert found.gain_interval[0] < 0.0005
    assert found.teachers == 8


def test_teachers_that_differ_in_their_loss_alone_say_nothing(study):
    ladder = ((27e3, 2e6), (55e3, 4e6), (107e3, 8e6), (201e3, 8e6), (390e3, 15e6), (900e3, 15e6))
    found = ask(study.simulate(study.PEAKED, teachers=ladder))
    assert isinstance(found, CannotSay)
    assert "teachers of equal loss" in found.because


def test_few_teachers_or_unknown_sizes_say_nothing(peaked):
    few = peaked.select(~peaked.distilled | (peaked.teacher_params > 1e5))
    assert "5 teachers" in ask(few).because
    unknown = replace(peaked, teacher_params=np.full(len(peaked), np.nan))
    assert "0 teachers" in ask(unknown).because


def test_terms_have_names(peaked):
    with pytest.raises(ValueError, match="term 'size' is unknown; choose teacher_params or teacher_tokens"):
        ask(peaked, "size")


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=9)
    left = [np.delete(values, i).mean() for i in range(9)]
    assert jackknife_error(left) == pytest.approx(values.std(ddof=1) / 3)
