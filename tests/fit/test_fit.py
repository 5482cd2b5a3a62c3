from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import least_squares

from distlaw.fit import (
    AT_BOUND,
    CONVERGED,
    FORMS,
    NOT_CONVERGED,
    FitSpec,
    compare_forms,
    fit_law,
    holdout_mask,
    leave_one_out,
    rolling_folds,
    score,
)
from distlaw.fit.bootstrap import cluster_of_each, interval, leave_out_weights, resample_weights, usual_resamples
from distlaw.fit.chart import make_chart
from distlaw.fit.fit import latin_hypercube, thinned
from distlaw.fit.forms import joint_form
from distlaw.fit.objective import Objective
from distlaw.laws import EffectiveTokensLaw, PeakedTokensLaw, published
from distlaw.runs import Runs, read_runs

CHINCHILLA = published("besiroglu2024").supervised
PRINTED = published("busbridge2025").law
PUBLISHED_RUNS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "published-weak-students.csv"


def supervised_runs(noise=0.0, seed=0, law=CHINCHILLA):
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(5e7, 1e10, 12), np.geomspace(1e9, 3e11, 8)))
    loss = law.loss(N, D) * np.exp(noise * np.random.default_rng(seed).normal(size=N.size))
    return Runs(student_params=N, student_tokens=D, student_loss=loss, teacher_loss=np.full(N.size, np.nan))


def distilled_runs(law, noise=0.0, seed=0):
    N, ratio, L_T = (
        a.ravel() for a in np.meshgrid([1e8, 3e8, 1e9, 3e9], [10.0, 40.0, 160.0], np.linspace(1.9, 3.2, 10))
    )
    loss = law.student_loss(N, ratio * N, L_T) * np.exp(noise * np.random.default_rng(seed).normal(size=N.size))
    return Runs(student_params=N, student_tokens=ratio * N, student_loss=loss, teacher_loss=L_T)


def test_recovers_a_law_exactly_without_noise():
    fit = fit_law(supervised_runs(), FitSpec(form="supervised", fixed={"gamma": 1.0}, resamples=0))
    assert fit.status == CONVERGED
    assert fit.coefficients["gamma"] == 1.0
    for name in ("E", "A", "B", "alpha", "beta"):
        assert fit.coefficients[name] == pytest.approx(getattr(CHINCHILLA, name), rel=1e-4)
    assert fit.train.max_abs_rel_error < 1e-6


def test_reaches_the_optimum_that_scipy_finds():
    runs = supervised_runs(noise=0.01)
    spec = FitSpec(form="supervised", fixed={"gamma": 1.0}, delta=1e-3, resamples=0)
    ours = fit_law(runs, spec)
    chart = make_chart(FORMS["supervised"], spec.fixed, {})
    objective = Objective(FORMS["supervised"], chart, runs, None, loss="huber", delta=1e-3)
    truth = np.array([np.log(1.8), 6.2, 7.6, 0.35, 0.37])
    theirs = least_squares(
        lambda phi: objective(phi[None])[0][0],
        truth,
        jac=lambda phi: objective(phi[None])[1][0],
        loss="huber",
        f_scale=1e-3,
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=20000,
    )
    assert ours.starts_reached > 0.2
    assert ours.objective <= theirs.cost / 1e-3 * (1 + 1e-6)


@pytest.mark.parametrize(
    "form", ["supervised", "distillation", "exponential", "effective-tokens-best-teacher", "peaked-tokens"]
)
def test_jacobian_matches_central_differences(form):
    supervised = None if form == "supervised" else PRINTED.supervised
    runs = supervised_runs() if supervised is None else distilled_runs(PRINTED)
    chart = make_chart(FORMS[form], {}, {})
    objective = Objective(
        FORMS[form], chart, runs, supervised, loss="huber", delta=1e-3, consistency=0.0 if supervised is None else 1.0
    )
    starts = latin_hypercube(np.random.default_rng(0), 4, chart.start)
    _, J = objective(starts)
    for i in range(starts.shape[1]):
        h = 1e-6 * np.eye(starts.shape[1])[i]
        numeric = (objective(starts + h)[0] - objective(starts - h)[0]) / 2e-6
        # The penalty's best teacher is found on a grid: its rows are right to the grid's error.
        np.testing.assert_allclose(J[:, : len(runs), i], numeric[:, : len(runs)], rtol=1e-4, atol=1e-6)


def test_intervals_hold_what_is_identified_and_predictions_at_ten_times_the_compute():
    law = EffectiveTokensLaw(supervised=PRINTED.supervised, kappa=2.2, m=13)
    runs = distilled_runs(law, noise=0.003)
    fit = fit_law(runs, FitSpec(form="effective-tokens", resamples=512), supervised=PRINTED.supervised)
    low, high = fit.intervals["kappa"]
    assert low < 2.2 < high < 1.2 * low
    assert not fit.not_identified
    N, D, L_T = np.array([1e10, 3e9]), np.array([2e12, 5e12]), np.array([1.85, 1.9])
    predicted, below, above = fit.predict(N, D, L_T)
    np.testing.assert_allclose(predicted, law.student_loss(N, D, L_T), rtol=5e-3)
    assert (below <= predicted).all()
    assert (predicted <= above).all()
    _, wide_below, wide_above = fit.predict(N, D, L_T, noise=True)
    assert (wide_above - wide_below > above - below).all()


def test_printed_law_at_ten_times_the_compute():
    runs = distilled_runs(PRINTED, noise=0.003)
    fit = fit_law(runs, FitSpec(resamples=0), supervised=PRINTED.supervised)
    N, D, L_T = np.array([1e10, 3e9]), np.array([4e11, 1e12]), np.array([1.9, 2.0])
    np.testing.assert_allclose(fit.predict(N, D, L_T)[0], PRINTED.student_loss(N, D, L_T), rtol=5e-3)


def test_directions_that_runs_leave_open_are_named():
    """With every teacher well before the transition, c1 and d1 act as one: d1 is free and must not be trusted."""
    law = replace(PRINTED, d1=3.0, c1=400.0)
    runs = distilled_runs(law, noise=0.002)
    fit = fit_law(runs.select(runs.teacher_loss < 2.6), FitSpec(resamples=0), supervised=PRINTED.supervised)
    assert "log d1" in fit.not_identified
    assert "can move far" in fit.not_identified["log d1"]
    assert fit.not_identified["log d1"].endswith("are within the scatter of the runs")


def test_losses_differ_and_outliers_move_the_squared_one_most():
    runs = supervised_runs(noise=0.002)
    bad = runs.student_loss.copy()
    bad[[3, 40, 77]] *= 1.15
    runs = replace(runs, student_loss=bad)
    error = {}
    for loss in ("huber", "lad", "log-squared", "squared"):
        spec = FitSpec(form="supervised", fixed={"gamma": 1.0}, loss=loss, resamples=0)
        error[loss] = abs(float(fit_law(runs, spec).predict(1e11, 2e12)[0][0]) / CHINCHILLA.loss(1e11, 2e12) - 1)
    assert error["huber"] < 0.003
    assert error["lad"] < 0.003
    assert min(error["squared"], error["log-squared"]) > 2 * max(error["huber"], error["lad"])


def test_asymmetric_penalty_follows_the_better_runs():
    runs = supervised_runs(noise=0.02)
    plain, lenient = (
        fit_law(runs, FitSpec(form="supervised", fixed={"gamma": 1.0}, below=b, resamples=0)) for b in (1.0, 0.1)
    )
    assert (lenient.residuals < 0).mean() > (plain.residuals < 0).mean() + 0.2


def test_weights_count_like_copies():
    runs = supervised_runs(noise=0.01)
    doubled = np.concatenate([np.arange(len(runs)), np.arange(10)])
    spec = FitSpec(form="supervised", fixed={"gamma": 1.0}, resamples=0)
    copied = fit_law(runs.select(doubled), spec)
    weighted = fit_law(replace(runs, weight=1.0 + (np.arange(len(runs)) < 10)), spec)
    assert weighted.objective == pytest.approx(copied.objective, rel=1e-6)


def test_fixed_and_tied():
    fit = fit_law(supervised_runs(noise=0.01), FitSpec(form="supervised", tied={"beta": "alpha"}, resamples=0))
    assert fit.coefficients["beta"] == fit.coefficients["alpha"]
    fit = fit_law(
        distilled_runs(PRINTED), FitSpec(fixed={"f1": 0.09, "d1": 1.315}, resamples=0), supervised=PRINTED.supervised
    )
    assert (fit.coefficients["f1"], fit.coefficients["d1"]) == (pytest.approx(0.09), pytest.approx(1.315))
    assert fit.coefficients["c1"] == pytest.approx(522.6, rel=0.05)


def test_the_same_seed_gives_the_same_fit_and_zero_is_a_seed():
    runs = supervised_runs(noise=0.01)
    a, b, c = (fit_law(runs, FitSpec(form="supervised", fixed={"gamma": 1.0}, resamples=64, seed=s)) for s in (0, 0, 1))
    assert np.array_equal(a.draws, b.draws)
    assert not np.array_equal(a.draws, c.draws)


def test_clusters_are_drawn_whole():
    runs = distilled_runs(PRINTED)
    weights = resample_weights(runs, "teacher", 50, np.random.default_rng(0))
    teacher = runs.teacher_of_each()
    for label in np.unique(teacher):
        assert (np.ptp(weights[:, teacher == label], axis=1) == 0).all()
    assert resample_weights(runs, "runs", 50, np.random.default_rng(0)).sum(axis=1).tolist() == [len(runs)] * 50
    with pytest.raises(ValueError, match="resampling by seed needs at least 3 of them, the runs have 1"):
        resample_weights(runs, "seed", 5, np.random.default_rng(0))


def test_a_search_cut_short_is_no_fit(monkeypatch):
    from distlaw.fit import objective as module

    real = module.minimise_huber
    monkeypatch.setattr(module, "minimise_huber", lambda *a, **k: real(*a, **(k | {"steps": 2})))
    fit = fit_law(supervised_runs(noise=0.01), FitSpec(form="supervised", resamples=64))
    assert fit.status == NOT_CONVERGED
    assert len(fit.draws) == 0
    with pytest.raises(ValueError, match="did not converge"):
        score(fit, supervised_runs())


@pytest.mark.parametrize(
    ("make", "spec", "message"),
    [
        (lambda: supervised_runs().select(slice(0, 7)), {}, "7 supervised runs are too few for 6 free coefficients"),
        (lambda: distilled_runs(PRINTED), {}, "0 supervised runs are too few"),
        (
            lambda: replace(supervised_runs(), student_tokens=20 * supervised_runs().student_params),
            {},
            "all runs have 20 tokens per parameter",
        ),
        (
            lambda: replace(supervised_runs(), student_params=np.full(96, 1e9)),
            {},
            r"student_params is the same in all runs \(1e\+09\)",
        ),
        (supervised_runs, {"fixed": {"omega": 1.0}}, "omega cannot be fixed in form 'supervised'; choose among E, A"),
        (supervised_runs, {"tied": {"alpha": "alpha"}}, "alpha cannot be tied to alpha"),
        (supervised_runs, {"loss": "cubic"}, "loss 'cubic' is unknown"),
    ],
)
def test_refusals(make, spec, message):
    with pytest.raises(ValueError, match=message):
        fit_law(make(), FitSpec(form="supervised", **spec))


def test_one_teacher_says_nothing_about_teachers():
    runs = replace(distilled_runs(PRINTED), teacher_loss=np.full(120, 2.2))
    with pytest.raises(ValueError, match=r"one teacher loss only \(2.2\)"):
        fit_law(runs, FitSpec(), supervised=PRINTED.supervised)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "cubic"}, "form 'cubic' is unknown"),
        ({"delta": 0}, "delta must be positive, got 0"),
        ({"resamples": 1}, "resamples must be 0"),
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"form": "supervised", "consistency": 1.0}, "the supervised form has none"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_specs_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        FitSpec(**changes)


@pytest.mark.parametrize("expression", ["lost <= 2", "student_loss 2.3", "student_loss <= x", "student_loss = 2"])
def test_holdouts_that_cannot_be_read(expression):
    with pytest.raises(ValueError, match=r"hold-out|not a number"):
        holdout_mask(supervised_runs(), expression)


def test_holdout_and_folds():
    runs = supervised_runs()
    assert holdout_mask(runs, "student_params >= 1B").sum() == (runs.student_params >= 1e9).sum()
    assert holdout_mask(runs, "teacher_loss < 2").sum() == 0  # what is not known is not kept out
    for _, label in rolling_folds(runs):
        cost = runs.student_params * runs.student_tokens
        assert cost[label == 0].max() <= cost[label == 1].min()
    folds = leave_one_out(runs, "student_params")
    assert len(folds) == 12
    assert sum((label == 1).sum() for _, label in folds) == len(runs)


def test_forms_are_compared_on_the_same_folds():
    law = EffectiveTokensLaw(supervised=PRINTED.supervised, kappa=2.2, m=13)
    runs = distilled_runs(law, noise=0.002)
    rows = compare_forms(
        runs,
        ("exponential", "effective-tokens"),
        leave_one_out(runs, "student_params"),
        supervised=PRINTED.supervised,
        spec=FitSpec(starts=32),
    )
    assert rows[0].form == "effective-tokens"  # what made the runs
    assert rows[0].coefficients == 2
    low, high = rows[0].interval
    assert low <= rows[0].mean_error <= high <= rows[0].max_error


@pytest.mark.skipif(not PUBLISHED_RUNS.exists(), reason="the published losses are not at hand")
def test_published_weak_students():
    """Fit on L_S > 2.45, predict 2.3 < L_S <= 2.45; the penalty keeps consistency at next to no cost."""
    runs = read_runs(PUBLISHED_RUNS)
    out = holdout_mask(runs, "student_loss <= 2.45")
    fit = fit_law(runs.select(~out), FitSpec(consistency=1.0, resamples=256), supervised=PRINTED.supervised)
    held = score(fit, runs.select(out))
    assert held.accuracy.runs == 119
    assert held.accuracy.mean_abs_rel_error < 0.004
    assert held.accuracy.max_abs_rel_error < 0.01
    assert held.coverage > 0.85
    free, penalised = (
        fit_law(runs, FitSpec(consistency=c, resamples=0), supervised=PRINTED.supervised) for c in (0.0, 1.0)
    )
    assert free.status in (CONVERGED, AT_BOUND)
    assert penalised.consistency_error < 0.01 < 0.02 < free.consistency_error
    assert penalised.train.mean_abs_rel_error - free.train.mean_abs_rel_error < 2e-4
    assert free.train.mean_abs_rel_error == pytest.approx(0.0023, abs=5e-5)
    assert "log d1" in free.not_identified


def both_kinds(noise=0.003, seed=0):
    law = PeakedTokensLaw(supervised=PRINTED.supervised, kappa=1.6, m=22, growth=0.96, lead=0.41)
    alone = supervised_runs(noise, seed + 1, law=PRINTED.supervised)
    distilled = distilled_runs(law, noise, seed)
    mixed = {name: np.concatenate([values, getattr(distilled, name)]) for name, values in alone.columns().items()}
    return law, Runs(**mixed)


@pytest.mark.parametrize("form", ["distillation", "peaked-tokens"])
def test_jacobian_of_a_joint_fit_matches_central_differences(form):
    _, runs = both_kinds()
    runs = runs.select(np.argsort(~runs.distilled, kind="stable"))
    chart = make_chart(joint_form(FORMS[form]), {"supervised gamma": 0.452}, {"supervised beta": "supervised alpha"})
    assert len(chart.names) == len(FORMS[form].names) + 4
    objective = Objective(joint_form(FORMS[form]), chart, runs, None, loss="huber", delta=1e-3, consistency=1.0)
    # Near the truth, where the penalty's best teacher is one of its own and not the end of its range.
    at = {"log A": 7.7, "log B": 10.1, "alpha": 0.32, "beta": 0.4, "gamma": 0.76, "c0": 2.5, "log k": 1.0, "log s": 2.3}
    at |= {"log d1": 0.3, "log kappa": 0.5, "log m": 3.0, "growth": 0.9, "log lead": -0.9}
    at |= {"supervised alpha": 0.41, "log supervised A": 8.1, "log supervised B": 9.8, "log supervised E": 0.2}
    phi = np.array([[at[name] for name in chart.names]])
    r, J = objective(phi)
    assert r.shape == (1, len(runs) + 13)
    for i, name in enumerate(chart.names):
        h = 1e-6 * np.eye(phi.shape[1])[i]
        numeric = (objective(phi + h)[0] - objective(phi - h)[0]) / 2e-6
        # Rows of the penalty are right to the grid on which its best teacher is found.
        np.testing.assert_allclose(J[0, : len(runs), i], numeric[0, : len(runs)], rtol=1e-4, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(J[0, len(runs) :, i], numeric[0, len(runs) :], rtol=0.05, atol=5e-3, err_msg=name)


def test_joint_fit_recovers_both_laws():
    truth, runs = both_kinds()
    fit = fit_law(runs, FitSpec(form="peaked-tokens", joint=True, resamples=300, starts=32))
    assert fit.status == CONVERGED
    assert fit.law.supervised == fit.supervised
    known = {f"supervised {name}": value for name, value in vars(truth.supervised).items()}
    known |= {name: value for name, value in vars(truth).items() if name != "supervised"}
    assert set(fit.coefficients) == set(known) == set(fit.intervals)
    for name, (low, high) in fit.intervals.items():
        width = high - low
        assert low - width / 2 <= known[name] <= high + width / 2, name
    # The draws move both laws, so a prediction without any teacher has an interval too.
    N, D, L_T = np.array([1e10]), np.array([4e11]), np.array([1.95])
    middle, low, high = fit.predict(N, D, L_T)
    assert middle[0] == pytest.approx(truth.student_loss(N, D, L_T)[0], rel=5e-3)
    held = fit_law(runs, FitSpec(form="peaked-tokens", resamples=300, starts=32), supervised=truth.supervised)
    _, held_low, held_high = held.predict(N, D, L_T)
    assert high[0] - low[0] > held_high[0] - held_low[0]


def test_what_a_joint_fit_takes():
    _, runs = both_kinds()
    spec = FitSpec(form="peaked-tokens", joint=True, resamples=0)
    with pytest.raises(ValueError, match=r"fitted jointly takes no supervised law"):
        fit_law(runs, spec, supervised=PRINTED.supervised)
    with pytest.raises(ValueError, match=r"0 supervised runs are too few for 6 free"):
        fit_law(runs.select(runs.distilled), spec)
    with pytest.raises(ValueError, match=r"0 distilled runs are too few for 4 free"):
        fit_law(runs.select(~runs.distilled), spec)
    with pytest.raises(ValueError, match=r"supervised form has none"):
        FitSpec(form="supervised", joint=True)


def test_bca_is_what_scipy_calls_bca():
    """On the mean of a skewed sample, where percentile intervals sit too low."""
    rng = np.random.default_rng(0)
    sample = rng.exponential(size=40) ** 1.5
    draws = sample[rng.integers(40, size=(200_000, 40))].mean(axis=1, keepdims=True)
    left_out = np.array([[np.delete(sample, i).mean()] for i in range(40)])
    ours = interval(np.array([sample.mean()]), draws, left_out, 0.9)
    theirs = stats.bootstrap(
        (sample,), np.mean, confidence_level=0.9, method="BCa", n_resamples=100_000, rng=np.random.default_rng(1)
    ).confidence_interval
    percentile = interval(np.array([sample.mean()]), draws, None, 0.9)
    width = theirs.high - theirs.low
    assert ours[0][0] == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours[1][0] == pytest.approx(theirs.high, abs=0.02 * width)
    assert abs(percentile[1][0] - theirs.high) > 0.05 * width


def test_bca_intervals_of_a_fit():
    _, runs = both_kinds()
    spec = FitSpec(form="peaked-tokens", resamples=300, intervals="bca", clusters="teacher", starts=16)
    fit = fit_law(runs, spec, supervised=PRINTED.supervised)
    assert fit.jackknife is not None
    assert fit.jackknife.shape == (10, 4)  # ten teachers
    low, high = fit.intervals["kappa"]
    assert low < fit.coefficients["kappa"] < high
    assert fit.intervals != replace(fit, jackknife=None).intervals
    with pytest.raises(ValueError, match=r"intervals 'bac' are unknown; choose percentile or bca"):
        FitSpec(intervals="bac")


def test_supervised_runs_are_clusters_of_their_own():
    _, runs = both_kinds()
    member = cluster_of_each(runs, "teacher")
    assert np.unique(member[~runs.distilled]).size == (~runs.distilled).sum()
    assert np.unique(member[runs.distilled]).size == 10
    assert not set(member[runs.distilled]) & set(member[~runs.distilled])
    left_out = leave_out_weights(runs, "teacher")
    assert (left_out.sum(axis=0) == len(left_out) - 1).all()


def test_a_profile_shows_how_far_an_open_coefficient_goes():
    """With every teacher well before the transition c1 and d1 act as one, and no point estimate of them means much."""
    law = replace(PRINTED, d1=3.0, c1=400.0)
    fit = fit_law(distilled_runs(law, noise=0.003), FitSpec(resamples=0), supervised=PRINTED.supervised)
    profile = fit.profiles["log d1"]
    assert (np.diff(profile.values) > 0).all()
    assert profile.costs.min() == 0.0
    assert profile.values[np.argmin(profile.costs)] == pytest.approx(np.log(fit.coefficients["d1"]))
    low, high = fit.open_ranges["c1"]
    assert high > 10 * low
    assert low <= fit.coefficients["c1"] <= high
    assert set(fit.profiles) == set(fit.not_identified)
    assert "alpha" in fit.open_ranges or "alpha" not in fit.not_identified


def test_losses_in_bits_are_asked_about():
    bits = distilled_runs(PRINTED)
    nats = fit_law(bits, FitSpec(resamples=0, starts=16), supervised=PRINTED.supervised)
    assert not {w.kind for w in nats.warnings} & {"bits", "other-data"}
    bits = replace(bits, student_loss=bits.student_loss / np.log(2), teacher_loss=bits.teacher_loss / np.log(2))
    asked = fit_law(bits, FitSpec(resamples=0, starts=16), supervised=PRINTED.supervised)
    assert [w.kind for w in asked.warnings] == ["bits"]
    assert "are they in bits?" in str(asked.warnings[0])
    alone = supervised_runs(law=PRINTED.supervised)
    alone = replace(alone, student_loss=alone.student_loss / np.log(2))
    asked = fit_law(alone, FitSpec(form="supervised", resamples=0, starts=16))
    assert [w.kind for w in asked.warnings] == ["bits"]


def test_a_supervised_law_of_other_data_is_doubted():
    runs = distilled_runs(PRINTED)
    other = replace(PRINTED.supervised, E=2.0)
    fit = fit_law(runs, FitSpec(form="exponential", resamples=0, starts=16), supervised=other)
    assert [w.kind for w in fit.warnings] == ["other-data"]


def test_many_runs_are_thinned_out_for_the_search_and_all_fitted():
    rng = np.random.default_rng(0)
    N = 10 ** rng.uniform(7.7, 10, 1500)
    D = N * 10 ** rng.uniform(0.5, 2.3, 1500)
    loss = published("besiroglu2024").supervised.loss(N, D) * np.exp(0.01 * rng.normal(size=1500))
    runs = Runs(student_params=N, student_tokens=D, student_loss=loss)
    sample = thinned(runs)
    assert len(sample) == 512
    cost = runs.student_params * runs.student_tokens
    assert {cost.min(), cost.max()} <= set(sample.student_params * sample.student_tokens)
    fit = fit_law(runs, FitSpec(form="supervised", fixed={"gamma": 1.0}, resamples=0, starts=32))
    assert (fit.status, fit.train.runs) == ("converged", 1500)
    assert fit.coefficients["alpha"] == pytest.approx(0.3478, abs=0.02)
    assert thinned(sample) is sample


def test_many_runs_are_resampled_less_often():
    assert [usual_resamples(count) for count in (10, 366, 1000, 2800, 100_000)] == [4096, 4096, 1500, 535, 512]
