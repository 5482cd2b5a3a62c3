from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distlaw.fit import NOT_CONVERGED, FitSpec
from distlaw.fit import compare as laid_out
from distlaw.fit import form_scores as module
from distlaw.fit.compare import CHINCHILLA_COMPUTE, compare
from distlaw.fit.form_scores import Limits, check_limits, compare_forms, leave_one_teacher_out
from distlaw.fit.holdout import Fold, leave_one_out, rolling_folds
from distlaw.laws import EffectiveTokensLaw, PeakedTokensLaw, SupervisedLaw, published
from distlaw.runs import Runs, read_runs

CHINCHILLA = published("besiroglu2024").supervised
PRINTED = published("busbridge2025").law
CONSTANT = EffectiveTokensLaw(supervised=PRINTED.supervised, kappa=2.2, m=13)
PEAKED = PeakedTokensLaw(supervised=PRINTED.supervised, kappa=2.5, m=13, growth=0.5, lead=0.7)
PUBLISHED_RUNS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "published-weak-students.csv"
QUICK = FitSpec(starts=8, resamples=32)


def isoflop_runs(noise=0.002, law=CHINCHILLA, shift=0.0):
    """Five profiles of seven sizes on 6 N D = C, the last one moved by `shift` in log N."""
    budgets = np.geomspace(1e18, 1e22, 5)
    span = np.linspace(-1.5, 1.5, 7) + shift * (np.arange(5) == 4)[:, None]
    N = np.concatenate([law.compute_optimal(c)[0] * np.exp(s) for c, s in zip(budgets, span, strict=True)])
    D = np.repeat(budgets, 7) / (6 * N)
    loss = law.loss(N, D) * np.exp(noise * np.random.default_rng(0).normal(size=N.size))
    return Runs(student_params=N, student_tokens=D, student_loss=loss)


def distilled_runs(law=CONSTANT, noise=0.002, **columns):
    N, ratio, L_T = (a.ravel() for a in np.meshgrid([1e8, 3e8, 1e9, 3e9], [10.0, 40.0], np.linspace(1.9, 3.2, 8)))
    loss = law.student_loss(N, ratio * N, L_T) * np.exp(noise * np.random.default_rng(0).normal(size=N.size))
    return Runs(student_params=N, student_tokens=ratio * N, student_loss=loss, teacher_loss=L_T, **columns)


@pytest.fixture(scope="module")
def supervised():
    calls = []
    spec = replace(QUICK, form="supervised")
    report = compare(isoflop_runs(shift=3.0), spec, progress=lambda *counts: calls.append(counts))
    return report, calls


@pytest.fixture(scope="module")
def distilled():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laid_out, "_ALL_FORMS", ("peaked-tokens", "effective-tokens", "effective-tokens-best-teacher"))
        calls = []
        spec = replace(QUICK, form="peaked-tokens")
        progress = lambda *counts: calls.append(counts)  # noqa: E731
        return compare(distilled_runs(PEAKED), spec, supervised=PRINTED.supervised, progress=progress), calls


# --- The supervised law -----------------------------------------------------------------------------------------------


def test_every_loss_answers_the_same_question(supervised):
    report, _ = supervised
    assert report.kind == "supervised"
    assert report.forms == {}
    assert report.points == ()
    largest = (6 * isoflop_runs().student_params * isoflop_runs().student_tokens).max()
    assert report.computes == (pytest.approx(10 * largest), CHINCHILLA_COMPUTE)
    assert [v.name for v in report.losses] == ["huber 1e-3", "huber 1e-4", "lad", "log-squared", "squared"]
    N, D = CHINCHILLA.compute_optimal(report.computes)
    for variant in report.losses:
        assert variant.status == "converged"
        assert variant.free == 6
        np.testing.assert_allclose(variant.answers, D / N, rtol=0.4)
        assert (variant.answer_intervals[:, 0] < variant.answer_intervals[:, 1]).all()
        assert variant.coefficients["E"] == pytest.approx(CHINCHILLA.E, rel=0.05)
        assert variant.train_error < 0.003
    answers = [variant.answers[1] for variant in report.losses]
    assert len(set(answers)) == 5  # each loss has one of its own
    objectives = [variant.objective for variant in report.losses]
    assert len(set(objectives)) == 5


def test_tied_exponents_are_tied_and_cost_what_they_cost(supervised):
    report, _ = supervised
    free, tied, straight, both = report.exponents
    assert [v.name for v in report.exponents] == ["free", "alpha = beta", "gamma = 1", "alpha = beta, gamma = 1"]
    assert [v.free for v in report.exponents] == [6, 5, 5, 4]
    for variant in (tied, both):
        assert variant.coefficients["alpha"] == variant.coefficients["beta"]
        # a = b = 1/2 then, and tokens per parameter are the same at every compute
        assert variant.answers[0] == pytest.approx(variant.answers[1], rel=1e-6)
    for variant in (straight, both):
        assert variant.coefficients["gamma"] == 1.0
    assert free.coefficients["alpha"] != free.coefficients["beta"]
    assert free.objective <= min(tied.objective, straight.objective) * (1 + 1e-6)
    assert max(tied.objective, straight.objective) <= both.objective * (1 + 1e-6)
    assert free.objective == report.losses[0].objective
    for variant in report.exponents:
        low, high = variant.held_out_interval
        assert 0 < low <= variant.held_out_error <= high < 0.05


def test_parabolas_stand_beside_the_law_and_refusals_are_warned_of(supervised):
    report, _ = supervised
    assert report.isoflop is not None
    assert report.isoflop.compute_from == "6 N D, as no run has a compute"
    assert [p.status for p in report.isoflop.profiles] == ["ok"] * 4 + ["no interior minimum"]
    assert [w for w in report.warnings if "profile at C = 1e+22: no interior minimum (the loss still falls" in w]
    parabolas, law = report.isoflop.splits
    assert (parabolas.name, law.name) == ("IsoFLOP profiles", "the law")
    a, _ = CHINCHILLA.compute_optimal_exponents
    for split in (parabolas, law):
        assert split.a_interval[0] - 0.01 < a < split.a_interval[1] + 0.01
        assert split.b_interval[0] < split.b < split.b_interval[1]
        assert split.a + split.b == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(split.params, CHINCHILLA.compute_optimal(report.computes)[0], rtol=0.3)
        np.testing.assert_allclose(split.tokens_per_param, np.array(report.computes) / (6 * split.params**2), rtol=1e-4)
        assert (split.params_intervals[:, 0] < split.params).all()
        assert (split.params < split.params_intervals[:, 1]).all()
    np.testing.assert_array_equal(law.tokens_per_param, report.exponents[0].answers)


def test_without_profiles_the_report_says_why():
    runs = isoflop_runs()
    scattered = replace(runs, student_tokens=runs.student_tokens * np.geomspace(0.3, 3, len(runs)))
    spec = FitSpec(form="supervised", starts=8, resamples=0, fixed={"gamma": 1.0})
    report = compare(scattered, spec, computes=(1e21,))
    assert report.computes == (1e21,)
    assert report.isoflop is not None
    assert report.isoflop.allocation is None
    assert "profiles with a minimum are needed" in report.isoflop.reason
    assert [split.name for split in report.isoflop.splits] == ["the law"]
    assert np.isnan(report.isoflop.splits[0].a_interval).all()  # nothing was resampled
    assert np.isnan(report.losses[0].answer_intervals).all()


def test_what_the_spec_fixes_is_not_varied():
    spec = FitSpec(form="supervised", starts=8, resamples=0, fixed={"gamma": 1.0})
    report = compare(isoflop_runs(), spec)
    assert [v.name for v in report.exponents] == ["free", "alpha = beta"]
    assert {v.coefficients["gamma"] for v in (*report.losses, *report.exponents)} == {1.0}


# --- Distillation -----------------------------------------------------------------------------------------------------


def test_forms_over_the_three_kinds_of_folds(distilled):
    report, _ = distilled
    assert report.kind == "distillation"
    assert report.isoflop is None
    assert report.computes == ()
    assert list(report.forms) == ["rolling", "teacher", "student"]
    for rows, count in zip(report.forms.values(), (4, 8, 4), strict=True):
        assert rows[0].form == "peaked-tokens"  # what made the runs
        assert rows[0].behind is None
        assert [row.mean_error for row in rows] == sorted(row.mean_error for row in rows)
        names = {tuple(fold.name for fold in row.folds) for row in rows}
        assert len(names) == 1  # the same folds
        assert len(rows[0].folds) == count
        assert len({tuple(fold.errors.size for fold in row.folds) for row in rows}) == 1
        for row in rows:
            low, high = row.interval
            assert low < row.mean_error < high < row.max_error
            assert row.worst_fold.errors.mean() == max(fold.errors.mean() for fold in row.folds)
            assert 0.3 < row.coverage <= 1
        for row in rows[1:]:
            assert row.behind is not None
            assert row.behind[0] <= row.mean_error - rows[0].mean_error <= row.behind[1]
    rows = {row.form: row for row in report.forms["student"]}
    assert {name: row.coefficients for name, row in rows.items()} == {
        "effective-tokens": 2,
        "peaked-tokens": 4,
        "effective-tokens-best-teacher": 4,
    }
    assert rows["effective-tokens"].consistency_error < 1e-3
    assert not rows["effective-tokens"].limits.capacity_gap
    assert rows["peaked-tokens"].limits.capacity_gap


def test_every_run_counts_once_whatever_the_size_of_its_fold():
    runs = distilled_runs(PEAKED)
    labels = np.minimum(np.arange(len(runs)) // 8, 2)  # folds of 8, 8 and 48 runs, hard ones to leave out
    folds = [(f"fold {i}", (labels == i).astype(int)) for i in range(3)]
    [row] = compare_forms(runs, ("effective-tokens",), folds, supervised=PRINTED.supervised, spec=QUICK, resamples=64)
    sizes = np.array([fold.errors.size for fold in row.folds])
    assert sizes.tolist() == [8, 8, 48]
    means, coverage = (np.array(v) for v in zip(*((f.errors.mean(), f.coverage) for f in row.folds), strict=True))
    assert row.mean_error == pytest.approx(means @ sizes / 64)
    assert row.coverage == pytest.approx(coverage @ sizes / 64)
    assert abs(row.coverage - coverage.mean()) > 0.001
    # One fold drawn three times over is the worst and the best that resampling can find.
    assert means.min() <= row.interval[0] < row.interval[1] <= means.max()


def test_a_form_held_to_consistency_holds_it():
    runs = distilled_runs(published("busbridge2025-refit").law, noise=0.001)  # 3.5 % off
    forms = ("exponential", "exponential + consistency")
    folds = [("every third", (np.arange(len(runs)) % 3 == 0).astype(int))]
    spec = FitSpec(starts=6)
    rows = compare_forms(runs, forms, folds, supervised=PRINTED.supervised, spec=spec, resamples=0)
    free, held = sorted(rows, key=lambda row: row.form)
    assert (free.form, held.form) == forms
    assert free.coefficients == held.coefficients == 8
    assert held.consistency_error < 0.01 < 0.02 < free.consistency_error
    assert held.mean_error > free.mean_error
    assert free.limits == held.limits == Limits(endless_student=True, random_teacher=True, capacity_gap=True)


def test_a_distillation_law_is_asked_for_a_loss(distilled):
    report, _ = distilled
    [(N, D, L_T)] = report.points
    np.testing.assert_allclose([N, D, L_T], [3e9 * 10**0.5, 1.2e11 * 10**0.5, 1.9], rtol=1e-12)
    assert [v.name for v in report.exponents] == ["free"]  # this form has no exponents to tie
    for variant in (*report.losses, *report.exponents):
        assert variant.answers.shape == (1,)
        assert variant.answers[0] == pytest.approx(PEAKED.student_loss(N, D, L_T), rel=5e-3)
        low, high = variant.answer_intervals[0]
        assert low < high
    named = compare(
        distilled_runs(),
        FitSpec(form="effective-tokens", starts=8, resamples=0),
        supervised=PRINTED.supervised,
        folds=(),
        points=((1e9, 1e10, 2.5),),
    )
    assert named.forms == {}
    assert named.losses[0].answers[0] == pytest.approx(CONSTANT.student_loss(1e9, 1e10, 2.5), rel=5e-3)


@pytest.mark.parametrize("which", ["supervised", "distilled"])
def test_progress_rises_to_the_total(which, request):
    _, calls = request.getfixturevalue(which)
    done, totals = zip(*calls, strict=True)
    assert len(set(totals)) == 1
    assert list(done) == sorted(set(done))
    assert done[-1] == totals[0]


def test_the_same_seed_gives_the_same_comparison():
    runs, folds = distilled_runs(), rolling_folds(distilled_runs())
    first, again, other = (
        compare_forms(runs, ("effective-tokens",), folds, supervised=PRINTED.supervised, spec=replace(QUICK, seed=seed))
        for seed in (0, 0, 1)
    )
    assert first[0].interval == again[0].interval
    assert first[0].coverage == again[0].coverage
    assert first[0].interval != other[0].interval


def test_a_fold_that_one_form_cannot_be_fitted_on_is_left_out_for_all():
    runs = distilled_runs()
    few = np.where(np.arange(len(runs)) % 11 == 0, 0, 1)  # 6 runs: enough for two coefficients, too few for four
    folds = [("few", few), *leave_one_out(runs, "student_params", most=2)]
    forms = ("effective-tokens", "peaked-tokens")
    rows = compare_forms(runs, forms, folds, supervised=PRINTED.supervised, spec=FitSpec(starts=4), resamples=0)
    assert [len(row.folds) for row in rows] == [2, 2]
    assert "few" not in {fold.name for row in rows for fold in row.folds}
    assert all(np.isnan(row.coverage) for row in rows)
    expected = r"no fold is left to compare forms on; fold 'few' is left out: 6 distilled runs are too few"
    with pytest.raises(ValueError, match=expected):
        compare_forms(runs, forms, folds[:1], supervised=PRINTED.supervised, spec=FitSpec(starts=8), resamples=0)


def test_a_fold_without_a_fit_has_no_error_and_comes_last(monkeypatch):
    real = module.cross_validate

    def failing(runs, spec, folds, *, supervised):
        [fold] = real(runs, spec, folds, supervised=supervised)
        if spec.form == "effective-tokens" and "1e+08" in fold.name:
            nothing = np.full(fold.errors.size, np.nan)
            return [Fold(name=fold.name, errors=nothing, coverage=np.nan, status=NOT_CONVERGED)]
        return [fold]

    monkeypatch.setattr(module, "cross_validate", failing)
    runs = distilled_runs()
    forms = ("effective-tokens", "peaked-tokens")
    folds = leave_one_out(runs, "student_params")
    best, last = compare_forms(runs, forms, folds, supervised=PRINTED.supervised, spec=FitSpec(starts=8), resamples=0)
    assert (best.form, last.form) == ("peaked-tokens", "effective-tokens")
    assert best.status == "converged"
    assert np.isnan([last.mean_error, last.max_error, *last.interval]).all()
    assert last.status == "converged, no fit in 1 of 4 folds"
    assert "1e+08" in last.worst_fold.name


def test_a_teacher_that_was_measured_twice_is_left_out_whole():
    runs = distilled_runs()
    teacher = np.unique(runs.teacher_loss, return_inverse=True)[1]
    sizes = 1e9 * (1.0 + teacher)
    jitter = 1 + 1e-3 * np.random.default_rng(0).normal(size=len(runs))
    runs = replace(runs, teacher_params=sizes, teacher_tokens=20 * sizes, teacher_loss=runs.teacher_loss * jitter)
    folds = leave_one_teacher_out(runs)
    assert len(folds) == 8
    assert len(np.unique(runs.teacher_loss)) == len(runs)
    for i, (name, label) in enumerate(folds):
        np.testing.assert_array_equal(label == 1, teacher == i)  # by ascending loss
        assert name.startswith(f"teacher of {runs.teacher_loss[teacher == i].mean():.4g} nats")
    grouped = leave_one_teacher_out(runs, most=3)
    assert [np.unique(teacher[label == 1]).tolist() for _, label in grouped] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert grouped[2][0].startswith("teachers of 3.0")


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_limits_of_laws_that_have_them_and_of_one_that_has_none():
    runs = distilled_runs()
    assert check_limits(PRINTED, runs) == Limits(endless_student=True, random_teacher=True, capacity_gap=True)
    assert check_limits(published("busbridge2025-consistent").law, runs).capacity_gap
    assert check_limits(PEAKED, runs) == Limits(endless_student=True, random_teacher=True, capacity_gap=True)
    assert check_limits(CONSTANT, runs) == Limits(endless_student=True, random_teacher=True, capacity_gap=False)

    class Blind:
        supervised = PRINTED.supervised

        def student_loss(self, N_S, D_S, L_T):
            """Twice the tokens, whoever the teacher is."""
            return self.supervised.loss(N_S, 2 * np.asarray(D_S)) + 0 * np.asarray(L_T)

    assert check_limits(Blind(), runs) == Limits()


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": ("rolling", "seed")}, "folds 'seed' are unknown; choose among rolling, teacher, student"),
        ({"spec": FitSpec(joint=True)}, "a joint fit is not compared"),
        ({"spec": FitSpec(form="supervised"), "supervised": None}, "0 supervised runs are too few"),
        ({"supervised": None}, "needs a supervised law to rest on"),
    ],
)
def test_bad_input_is_refused(changes, message):
    arguments = {"spec": FitSpec(), "supervised": PRINTED.supervised} | changes
    with pytest.raises(ValueError, match=message):
        compare(distilled_runs(), arguments.pop("spec"), **arguments)


def test_an_unknown_form_is_refused():
    runs = distilled_runs()
    with pytest.raises(ValueError, match="form 'cubic' is unknown"):
        compare_forms(runs, ("cubic",), rolling_folds(runs), supervised=PRINTED.supervised)


# --- The published runs -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED_RUNS.exists(), reason="the published losses are not at hand")
def test_forms_on_the_published_weak_students():
    runs, law = read_runs(PUBLISHED_RUNS), PRINTED.supervised
    assert isinstance(law, SupervisedLaw)
    forms = ("peaked-tokens", "effective-tokens", "exponential", "exponential + consistency")
    found = compare_forms(runs, forms, rolling_folds(runs), supervised=law, spec=FitSpec(starts=64), resamples=0)
    rows = {row.form: row for row in found}
    assert rows["peaked-tokens"].mean_error < rows["exponential + consistency"].mean_error
    assert rows["exponential + consistency"].mean_error < rows["exponential"].mean_error < 0.004
    assert rows["exponential + consistency"].consistency_error < 0.01 < rows["exponential"].consistency_error
    assert [rows[name].limits.capacity_gap for name in forms] == [True, False, True, True]
    assert max(row.max_error for row in rows.values()) < 0.011


def test_one_fold_has_no_interval_and_no_form_is_behind_another():
    runs = distilled_runs()
    forms = ("effective-tokens", "peaked-tokens")
    rows = compare_forms(runs, forms, rolling_folds(runs)[:1], supervised=CONSTANT.supervised, spec=QUICK, resamples=0)
    assert all(len(row.folds) == 1 and np.isnan(row.interval).all() for row in rows)
    assert rows[0].behind is None
    assert rows[1].behind is not None
    assert np.isnan(rows[1].behind).all()
