import numpy as np
import pytest

from distlaw.evidence.answer import CannotSay
from distlaw.evidence.cells import gather
from distlaw.evidence.noise import scatter_as_noise, seed_noise


def noise_of(runs):
    return seed_noise(gather(runs)[0])


def test_the_planted_noise_lies_in_its_interval(study):
    inside = 0
    for seed in range(20):
        found = noise_of(study.simulate(noise=0.004, seed=seed))
        inside += found.pooled.interval[0] < 0.004 < found.pooled.interval[1]
        assert found.pooled.relative_std == pytest.approx(0.004, rel=0.3)
        assert set(found.kinds) == {"supervised", "distilled"}
        assert found.pooled.freedom == sum(kind.freedom for kind in found.kinds.values())
    assert inside >= 15


def test_noise_that_falls_with_tokens_is_seen(study):
    found = noise_of(study.simulate(noise=0.004, exponent=-0.5))
    assert found.varies
    assert found.exponent_interval[0] < -0.5 < found.exponent_interval[1]
    np.testing.assert_allclose(found.relative([0.5e6, 2e6, 8e6]), [0.008, 0.004, 0.002], rtol=0.35)


def test_noise_that_does_not_change_is_pooled(study):
    found = noise_of(study.simulate(noise=0.004))
    assert not found.varies
    np.testing.assert_array_equal(found.relative([1e5, 1e9]), found.pooled.relative_std)


def test_one_seed_says_nothing(study):
    found = noise_of(study.simulate(seeds=1))
    assert isinstance(found, CannotSay)
    assert "second seed" in found.because


def test_few_pairs_give_no_slope(study):
    runs = study.simulate()
    found = noise_of(runs.select(runs.student_params == 14e3).select(slice(0, 6)))
    assert isinstance(found.exponent, CannotSay)
    assert not found.varies
    assert found.relative(1e6) == found.pooled.relative_std


def test_scatter_stands_in_for_it():
    residuals = 0.01 * np.random.default_rng(0).normal(size=2000)
    found = scatter_as_noise(residuals, 6)
    assert found.source == "residuals"
    assert found.relative(1e6) == pytest.approx(0.01, rel=0.05)
    assert not found.varies
