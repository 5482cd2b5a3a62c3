from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence import extrapolation as module
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.cells import gather
from distlaw.evidence.extrapolation import extrapolate
from distlaw.evidence.noise import seed_noise
from distlaw.fit import FitSpec

QUICK = FitSpec(starts=8, resamples=64)
FORMS = ("supervised", "peaked-tokens", "peaked-tokens + joint")


@pytest.fixture(scope="module")
def found(peaked):
    noise = seed_noise(gather(peaked)[0])
    return extrapolate(peaked, noise=noise, spec=QUICK, forms=FORMS)


def test_the_true_form_predicts_what_it_has_not_seen(found):
    for x in found.values():
        assert x.status == "converged"
        assert x.mean_error < 0.012
        assert x.interval[0] <= x.mean_error <= x.interval[1]
        assert x.mean_error <= x.max_error
        assert x.run_mean_error <= x.run_max_error
        assert abs(x.bias) <= x.mean_error + 1e-12
        assert x.coverage >= 0.6
        assert 0.001 < x.noise_error < 0.004


def test_the_split_is_what_it_says(found, peaked):
    for form, x in found.items():
        own = peaked.distilled == (form != "supervised")
        assert x.times == 4
        assert x.largest_times >= 4
        assert x.fitted_runs == (own & (peaked.compute <= x.fitted_compute * (1 + 1e-9))).sum()
        assert x.held_out_runs == (own & (peaked.compute >= 4 * x.fitted_compute)).sum()
        assert x.held_out_cells >= 5
        assert x.held_out.sum() == x.held_out_cells
        assert x.measured.shape == x.predicted.shape == x.held_out.shape
        error = np.abs(x.predicted / x.measured - 1)[x.held_out]
        assert error.mean() == pytest.approx(x.mean_error)
        assert error.max() == pytest.approx(x.max_error)


def test_no_run_above_the_threshold_is_seen(peaked, monkeypatch):
    seen = []
    real = module.fit_law

    def spy(runs, spec, **rest):
        seen.append((runs.compute.max(), spec.form, spec.joint))
        return real(runs, spec, **rest)

    monkeypatch.setattr(module, "fit_law", spy)
    found = extrapolate(peaked, noise=None, spec=QUICK, forms=FORMS, fitted_compute=2.145e12)
    assert all(most <= 2.145e12 for most, _, _ in seen)
    assert [(form, joint) for _, form, joint in seen] == [
        ("supervised", False),
        ("peaked-tokens", False),
        ("peaked-tokens", True),
    ]
    assert all(np.isnan(x.noise_error) for x in found.values())


def test_the_largest_threshold_is_taken(peaked):
    for fewest in (4, 8):
        x = extrapolate(peaked, noise=None, spec=QUICK, forms=("supervised",), fewest_cells=fewest)["supervised"]
        alone = peaked.select(~peaked.distilled)
        higher = peaked.compute[peaked.compute > x.fitted_compute * (1 + 1e-9)].min()
        left = np.unique(alone.compute[alone.compute >= 4 * higher]).size
        assert x.held_out_cells >= fewest > left


def test_a_wrong_law_is_found_out(study):
    """Beyond a compute the losses are 5 % above the law: the law of the weaker runs is off by as much."""
    runs = study.simulate(study.PEAKED)
    bent = replace(runs, student_loss=runs.student_loss * np.where(runs.compute > 2e13, 1.05, 1.0))
    x = extrapolate(bent, noise=None, spec=QUICK, forms=("supervised",), fitted_compute=4e12)["supervised"]
    assert x.max_error > 0.03
    assert x.bias < 0
    assert x.coverage < 0.9


def test_it_says_why_it_cannot(peaked):
    no_compute = replace(peaked, compute=np.full(len(peaked), np.nan))
    found = extrapolate(no_compute, noise=None, spec=QUICK, forms=FORMS)
    assert all(isinstance(x, CannotSay) for x in found.values())
    far = extrapolate(peaked, noise=None, spec=QUICK, forms=("supervised",), times=1e6)["supervised"]
    assert "1e+06 times" in far.because
    little = extrapolate(peaked, noise=None, spec=QUICK, forms=FORMS, fitted_compute=1e11)
    assert all("does not determine" in x.because for x in little.values())
    close = extrapolate(peaked, noise=None, spec=QUICK, forms=("supervised",), fitted_compute=2e13)["supervised"]
    assert "1 cell has 4 times" in close.because


def test_runs_of_a_cell_stay_together(peaked):
    """A teacher's passes that were shared make the runs of a cell cost differently."""
    shared = replace(peaked, compute=np.where(peaked.seed == 1, peaked.compute / 3, peaked.compute))
    x = extrapolate(shared, noise=None, spec=QUICK, forms=("peaked-tokens",))["peaked-tokens"]
    assert x.held_out_runs == 2 * x.held_out_cells


@pytest.mark.parametrize("times", [1.0, 0.5, float("nan"), float("inf")])
def test_times_must_be_a_multiple(peaked, times):
    with pytest.raises(ValueError, match="times must be above 1"):
        extrapolate(peaked, noise=None, spec=QUICK, times=times)
