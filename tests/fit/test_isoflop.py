from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.fit.allocation import fit_allocation
from distlaw.fit.isoflop import compute_of_each, fit_profiles, refusals
from distlaw.laws import SupervisedLaw, published
from distlaw.runs import Runs, read_runs

MIXED = Path(__file__).parents[2].parent / "shared" / "cases" / "isoflop_mixed_width.csv"

LAW = published("besiroglu2024").supervised
BUDGETS = np.geomspace(1e18, 1e22, 5)


def sweep(budgets, span, *, shift=0.0, noise=0.0, law=LAW, seed=0):
    """Runs (N, D, L, C) on `6 N D = C`, their log sizes at the points `span` about the best size moved by `shift`."""
    N = np.concatenate([law.compute_optimal(c)[0] * np.exp(np.asarray(span) + shift) for c in budgets])
    C = np.repeat(budgets, len(span))
    D = C / (6 * N)
    rng = np.random.default_rng(seed)
    return N, D, law.loss(N, D) * (1 + noise * rng.normal(size=N.size)), C


def parabola(x, *, best=20.0, curvature=0.1, noise=0.0, seed=0):
    """One profile whose loss is a parabola about log N = best."""
    N = np.exp(np.asarray(x, dtype=float))
    L = 3 + 0.5 * curvature * (np.log(N) - best) ** 2 + noise * np.random.default_rng(seed).normal(size=N.size)
    return N, 1e21 / (6 * N), L, np.full(N.size, 1e21)


def test_recovers_the_exponents_of_a_law():
    a, b = LAW.compute_optimal_exponents
    assert a == pytest.approx(LAW.beta / (LAW.alpha + LAW.beta))
    found = fit_allocation(fit_profiles(*sweep(BUDGETS, np.linspace(-1.5, 1.5, 7))))
    # With profiles that lie alike about their optimum the parabola's bias is the same factor at every compute.
    assert found.a == pytest.approx(a, abs=1e-9)
    assert found.b == pytest.approx(b, abs=1e-9)
    N, D = found.at(1e24)
    best_N, best_D = LAW.compute_optimal(1e24)
    assert best_N / N == pytest.approx(1, abs=0.05)
    assert best_D / D == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(6 * N * D, 1e24, rtol=1e-6)


def test_a_narrow_profile_finds_the_optimum():
    [profile] = fit_profiles(*sweep([1e20], np.linspace(-0.2, 0.2, 5)))
    N, D = LAW.compute_optimal(1e20)
    assert profile.status == "ok"
    assert profile.reason == ""
    assert profile.best_params == pytest.approx(N, rel=2e-3)
    assert profile.best_tokens == pytest.approx(D, rel=2e-3)
    assert profile.best_loss == pytest.approx(LAW.loss(N, D), rel=1e-5)
    h = 1e-3
    up, middle, down = (LAW.loss(N * np.exp(s), D * np.exp(-s)) for s in (h, 0, -h))
    assert profile.curvature == pytest.approx((up - 2 * middle + down) / h**2, rel=0.02)


def test_recovers_the_exponents_under_noise():
    a, b = LAW.compute_optimal_exponents
    errors = []
    for seed in range(20):
        profiles = fit_profiles(*sweep(BUDGETS, np.linspace(-1.5, 1.5, 7), shift=0.2, noise=0.003, seed=seed))
        found = fit_allocation(profiles)
        assert found.a_interval is not None
        assert found.a_interval[0] < found.a < found.a_interval[1]
        assert found.a + found.b == pytest.approx(1, abs=1e-9)  # all runs lie on 6 N D = C
        errors.append([found.a - a, found.b - b])
    # The exponent's own standard error is 0.007 here.
    assert np.abs(errors).max() < 0.03
    assert np.abs(np.mean(errors, axis=0)).max() < 0.008


WIDTHS = {"narrow": [0.8] * 4, "wide": [3.3] * 4, "mixed": [3.7, 2.7, 2.0, 1.2]}
TRUTHS = {
    "gamma 1": SupervisedLaw(E=1.75, A=300, B=1200, alpha=0.33, beta=0.35, gamma=1.0),
    "gamma 0.45": SupervisedLaw(E=1.22, A=3355, B=18186, alpha=0.408, beta=0.431, gamma=0.452),
    "lopsided": SupervisedLaw(E=1.5, A=300, B=30, alpha=0.45, beta=0.2, gamma=1.0),
}


def mixed_sweep(law, widths, *, count=8, noise=0.0, shifts=(0, 0, 0, 0), seed=0):
    """Four profiles, each of its own half width in log N and its own shift of the sizes."""
    rng = np.random.default_rng(seed)
    parts = [
        sweep([c], np.linspace(-w, w, count), shift=s, noise=noise, law=law, seed=int(rng.integers(2**32)))
        for c, w, s in zip(np.geomspace(1e18, 1e21, 4), widths, shifts, strict=True)
    ]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("law", TRUTHS.values(), ids=TRUTHS)
@pytest.mark.parametrize("shifts", [(0, 0, 0, 0), (-0.6, -0.2, 0.2, 0.6)], ids=["centred", "drifting"])
def test_noise_free_profiles_of_any_width_give_the_true_exponents(law, widths, shifts):
    """Parabolas are off by up to 0.053 here: -0.053 for the lopsided law's mixed widths, 0.04 where wide ones drift."""
    N, D, L, C = mixed_sweep(law, widths, shifts=np.array(shifts) * np.array(widths))
    profiles = fit_profiles(N, D, np.round(L, 5), C)  # as a table prints them
    assert [p.status for p in profiles] == ["ok"] * 4
    found = fit_allocation(profiles)
    a, b = law.compute_optimal_exponents
    assert found.a_interval is not None
    assert found.b_interval is not None
    assert found.a_interval[0] <= a <= found.a_interval[1]
    assert found.b_interval[0] <= b <= found.b_interval[1]
    assert found.a == pytest.approx(a, abs=0.002)


@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("law", ["gamma 1", "gamma 0.45"])
def test_exponent_intervals_cover_the_truth_at_any_width(law, widths):
    """Nominal 90 %, of 60 studies; `benchmarks/coverage.py isoflop` has more of both."""
    a, _ = TRUTHS[law].compute_optimal_exponents
    covered = []
    for seed in range(60):
        try:
            found = fit_allocation(
                fit_profiles(*mixed_sweep(TRUTHS[law], widths, noise=0.002, seed=seed), resamples=300)
            )
        except ValueError:  # refused
            continue
        if found.a_interval is not None:
            covered.append(found.a_interval[0] <= a <= found.a_interval[1])
    assert len(covered) >= 50
    assert 0.8 <= np.mean(covered) <= 1.0


def test_runs_far_from_the_minimum_that_do_not_follow_the_curve_are_left_out():
    """Small sizes of one profile that ended early: the trend in its residuals is seen, and its minimum stands."""
    N, D, L, C = mixed_sweep(TRUTHS["gamma 1"], [2.5] * 4, count=14, noise=0.001)
    plain = fit_profiles(N, D, L, C)
    assert all(p.near.all() for p in plain)
    spoiled = L.copy()
    spoiled[14:18] += [0.3, 0.12, 0.05, 0.02]
    profile = fit_profiles(N, D, spoiled, C)[1]
    assert profile.status == "ok"
    assert not profile.near[:2].any()
    assert profile.near[6:11].all()
    assert profile.best_params == pytest.approx(TRUTHS["gamma 1"].compute_optimal(1e19)[0], rel=0.1)


def test_a_profile_that_follows_no_curve_is_refused():
    N, D, L, C = mixed_sweep(TRUTHS["gamma 1"], [2.0] * 4, count=7, noise=0.0005)
    L[7:14] += 0.02 * np.sin(2 * np.linspace(-2, 2, 7))
    profiles = fit_profiles(N, D, L, C)
    assert [p.status for p in profiles] == ["ok", "not on the curve", "ok", "ok"]
    assert "have a trend, p = " in profiles[1].reason


@pytest.mark.parametrize(("low", "high", "side"), [(-0.15, 3.0, "smallest"), (-3.0, 0.15, "largest")])
def test_a_lopsided_profile_is_refused(low, high, side):
    profiles = fit_profiles(*sweep(BUDGETS, np.linspace(low, high, 12), noise=1e-5))
    assert {p.status for p in profiles} == {"lopsided"}
    assert f"its minimum is close to the {side} size" in profiles[0].reason
    assert f"add {'smaller' if side == 'smallest' else 'larger'} sizes" in profiles[0].reason


def test_minima_that_scatter_widen_the_interval():
    """Profiles tuned differently: each is sure of its minimum, and the minima do not lie on a power law."""
    N, D, L, C = mixed_sweep(TRUTHS["gamma 1"], [1.5] * 4, noise=0.0005)
    steady = fit_allocation(fit_profiles(N, D, L, C))
    moved = N * np.repeat(np.exp([0.3, -0.3, 0.3, -0.3]), 8)
    scattered = fit_allocation(fit_profiles(moved, C / (6 * moved), L, C))
    assert steady.scatter == 0
    assert scattered.scatter == pytest.approx(0.3, rel=0.5)
    assert steady.a_interval is not None
    assert scattered.a_interval is not None
    assert np.ptp(scattered.a_interval) > 5 * np.ptp(steady.a_interval)
    np.testing.assert_allclose(np.prod(scattered.resampled([1e20]), axis=0) * 6, 1e20, rtol=1e-9)


def test_profiles_of_different_noise_have_their_own():
    N, D, L, C = mixed_sweep(TRUTHS["gamma 1"], [1.5] * 4, count=12)
    rng = np.random.default_rng(3)
    noise = np.repeat([0.0005, 0.0005, 0.0005, 0.01], 12)
    profiles = fit_profiles(N, D, L * (1 + noise * rng.normal(size=N.size)), C)
    relative = [p.noise / p.losses.mean() for p in profiles]
    assert relative[3] > 4 * max(relative[:3])
    alike = fit_profiles(N, D, L * (1 + 0.001 * rng.normal(size=N.size)), C)
    assert np.ptp([p.noise / p.losses.mean() for p in alike]) < 1e-12


def test_the_fitted_curve_is_the_profiles():
    N, D, L, C = mixed_sweep(TRUTHS["gamma 1"], WIDTHS["mixed"])
    for profile in fit_profiles(N, D, L, C):
        np.testing.assert_allclose(profile.loss(profile.params), profile.losses, rtol=2e-5)
        assert profile.loss(profile.best_params) == profile.best_loss
        assert profile.depth == pytest.approx(np.ptp([*profile.losses, profile.best_loss]), rel=1e-3)
        # Of the curve's shape the profiles say what it is.
        np.testing.assert_allclose(np.exp(profile.shape)[:2], [0.33, 0.35], atol=0.02)


@pytest.mark.skipif(not MIXED.exists(), reason="needs ../shared")
def test_the_case_of_mixed_widths():
    runs = read_runs(MIXED)
    compute, _ = compute_of_each(runs)
    profiles = fit_profiles(runs.student_params, runs.student_tokens, runs.student_loss, compute)
    found = fit_allocation(profiles)
    assert found.a_interval is not None
    assert found.a_interval[0] <= 0.35 / 0.68 <= found.a_interval[1]


def test_tokens_are_those_of_the_runs_not_of_a_rule():
    """Runs that cost 9 N D^0.9: D at the vertex is read between the runs."""
    x = np.linspace(19, 21, 5)
    N, _, L, C = parabola(x, best=20.3)
    D = (C / (9 * N)) ** (1 / 0.9)
    [profile] = fit_profiles(N, D, L, C)
    assert profile.best_params == pytest.approx(np.exp(20.3), rel=1e-3)
    assert profile.best_tokens == pytest.approx((1e21 / (9 * profile.best_params)) ** (1 / 0.9), rel=1e-9)


@pytest.mark.parametrize(
    ("best", "curvature", "side"),
    [(22.0, 0.1, "larger"), (18.0, 0.1, "smaller"), (17.0, -0.1, "larger"), (23.0, -0.1, "smaller")],
)
def test_no_interior_minimum_on_either_side(best, curvature, side):
    """A vertex outside the sizes, or a parabola that opens downwards: refused, with the side to extend."""
    runs = parabola(np.linspace(19, 21, 6), best=best, curvature=curvature, noise=1e-4)
    [profile] = fit_profiles(*runs)
    assert profile.status == "no interior minimum"
    end, more = (runs[0][-1], 2.0) if side == "larger" else (runs[0][0], 0.5)
    assert f"add {side} sizes, such as {end * more:.2g}" in profile.reason
    assert f"N = {end:.3g}" in profile.reason
    assert np.isnan([profile.best_params, profile.best_tokens, profile.best_loss]).all()
    assert profile.interval is None
    assert np.sign(profile.curvature) == np.sign(curvature)


def test_a_flat_profile_is_refused():
    N, D, L, C = parabola(np.linspace(19.5, 20.5, 7))
    scatter = 0.02 * np.array([1, -1, 1, -1, 1, -1, 1])
    [profile] = fit_profiles(N, D, L + scatter, C)
    assert profile.status == "flat within noise"
    _, [squares], *_ = np.polyfit(np.log(N), L + scatter, 2, full=True)
    assert profile.noise == pytest.approx(np.sqrt(squares / (7 - 3)), rel=1e-9)
    assert profile.depth < 2 * profile.noise
    assert profile.curvature > 0
    assert "add sizes further out on both sides, or repeats" in profile.reason
    assert np.isnan([profile.best_params, profile.best_tokens, profile.best_loss]).all()
    assert profile.interval is None
    # The same runs with a tenth of the scatter have a minimum, and equal losses none.
    assert fit_profiles(N, D, L + scatter / 10, C)[0].status == "ok"
    for loss in np.linspace(2, 4, 21):
        assert fit_profiles(N, D, np.full(7, loss), C)[0].status == "flat within noise"


@pytest.mark.parametrize("count", [4, 7, 12])
def test_noise_alone_seldom_passes_for_a_minimum(count):
    """Four parabolas in ten through pure noise have a vertex between the sizes; one profile in twenty may pass."""
    runs = [parabola(np.linspace(19, 21, count), curvature=0.0, noise=0.01, seed=seed) for seed in range(400)]
    found = [fit_profiles(*run)[0].status for run in runs]
    assert found.count("ok") <= 0.06 * len(found)
    assert found.count("flat within noise") >= 0.5 * len(found)


@pytest.mark.parametrize(("count", "noise"), [(4, 0.002), (5, 0.005), (7, 0.01)])
def test_a_minimum_well_above_the_noise_is_seldom_refused(count, noise):
    runs = [parabola(np.linspace(18.5, 21.5, count), best=20.2, noise=noise, seed=seed) for seed in range(200)]
    assert [fit_profiles(*run)[0].status for run in runs].count("ok") >= 190


@pytest.mark.parametrize("x", [[19, 20, 21], [19, 19, 20, 20, 21, 21], [19, 20, 20.001, 21]])
def test_too_few_sizes(x):
    [profile] = fit_profiles(*parabola(x, best=20.2))
    assert profile.status == "too few runs"
    assert profile.reason == "3 distinct sizes, at least 4 are needed"
    assert np.isnan([profile.best_params, profile.curvature, profile.noise]).all()


def test_groups_by_compute_with_jitter_and_in_any_order():
    N, D, L, C = sweep(BUDGETS, np.linspace(-1.5, 1.5, 6))
    rng = np.random.default_rng(1)
    jittered = C * np.exp(rng.uniform(-0.08, 0.08, C.size))
    order = rng.permutation(C.size)
    profiles = fit_profiles(N[order], D[order], L[order], jittered[order])
    assert len(profiles) == BUDGETS.size
    for i, profile in enumerate(profiles):
        rows = slice(6 * i, 6 * i + 6)
        np.testing.assert_array_equal(profile.params, N[rows])
        np.testing.assert_array_equal(profile.losses, L[rows])
        assert profile.compute == pytest.approx(np.exp(np.log(jittered[rows]).mean()), rel=1e-12)
    # A gap wider than the tolerance separates, however close the profiles are otherwise.
    near = np.concatenate([C[:6], C[:6] * np.exp(0.15)])
    assert len(fit_profiles(np.tile(N[:6], 2), np.tile(D[:6], 2), np.tile(L[:6], 2), near)) == 2
    assert len(fit_profiles(np.tile(N[:6], 2), np.tile(D[:6], 2), np.tile(L[:6], 2), near, tolerance=0.2)) == 1
    # Two stray runs are no profile; without tolerance no run has a second of its compute.
    assert len(fit_profiles(N[:8], D[:8], L[:8], C[:8])) == 1
    assert fit_profiles(N, D, L, jittered, tolerance=0.0) == []


@given(st.floats(0.01, 0.5), st.integers(10, 60))
def test_runs_without_profiles_are_never_chained_into_one(tolerance, count):
    """Compute that rises steadily, each step within the tolerance, is cut into pieces no wider than twice it."""
    C = 1e20 * np.exp(0.3 * tolerance * np.arange(count))
    N = np.geomspace(1e8, 1e9, count)
    profiles = fit_profiles(N, C / (6 * N), 3 + 0.1 * np.log(N / 3e8) ** 2, C, tolerance=tolerance, resamples=100)
    assert len(profiles) > 1
    for profile in profiles:
        assert np.ptp(np.log(6 * profile.params * profile.tokens)) <= 2 * tolerance + 1e-9


@pytest.mark.parametrize(("count", "most"), [(4, 100), (6, 100), (7, 97), (9, 97)])
def test_intervals_cover_the_truth(count, most):
    """Nominal 90 %, of 100 repeats: 80 at least; more where the prior must tell the curve's shape."""
    covered = 0
    for seed in range(100):
        [profile] = fit_profiles(*parabola(np.linspace(18, 22, count), best=20.2, noise=0.005, seed=seed))
        assert profile.interval is not None  # refused or not: what is refused for its interval counts
        covered += profile.interval[0] <= 20.2 <= profile.interval[1]
    assert 80 <= covered <= most


def test_exponent_intervals_cover_the_truth():
    a, b = LAW.compute_optimal_exponents
    covered = np.zeros(2)
    for seed in range(100):
        runs = sweep(BUDGETS, np.linspace(-1.5, 1.5, 7), noise=0.003, seed=seed)
        found = fit_allocation(fit_profiles(*runs, resamples=400))
        for i, (interval, truth) in enumerate([(found.a_interval, a), (found.b_interval, b)]):
            assert interval is not None
            covered[i] += interval[0] <= truth <= interval[1]
    assert (covered >= 80).all()


def test_an_interval_is_wider_for_more_noise_and_a_higher_level():
    def width(**options):
        noise = options.pop("noise", 0.005)
        [profile] = fit_profiles(*parabola(np.linspace(18, 22, 7), noise=noise), **options)
        assert profile.interval is not None
        return profile.interval[1] - profile.interval[0]

    assert width(noise=0.01) > 1.5 * width()
    assert width(level=0.98) > width() > width(level=0.5)


@pytest.mark.parametrize(
    ("x", "best", "side"),
    [(np.linspace(18, 20.3, 6), 20.0, "largest"), (np.linspace(19.7, 22, 6), 20.0, "smallest")],
)
def test_a_minimum_that_noise_could_move_out_of_the_sizes_is_refused(x, best, side):
    [profile] = fit_profiles(*parabola(x, best=best, noise=0.02, seed=0))
    assert profile.status == "no interior minimum"
    assert f"noise can move the minimum beyond the {side} size" in profile.reason
    assert np.isnan([profile.best_params, profile.best_tokens, profile.best_loss]).all()
    assert profile.interval is not None
    low, high = profile.interval
    assert (low < x[0]) == (side == "smallest")
    assert (high > x[-1]) == (side == "largest")
    assert profile.draws.size == 0
    # With a tenth of the noise it stands.
    [steady] = fit_profiles(*parabola(x, best=best, noise=0.002, seed=1))
    assert steady.status == "ok"
    assert steady.reason == ""


def test_an_interval_beyond_both_ends_is_flat():
    refused = [
        fit_profiles(*parabola(np.linspace(19, 21, 4), curvature=0.03, noise=0.01, seed=seed))[0] for seed in range(100)
    ]
    both = [p for p in refused if "beyond both ends" in p.reason]
    assert both
    for profile in both:
        assert profile.status == "flat within noise"
        assert profile.depth > 2 * profile.noise
        assert profile.interval is not None
        assert profile.interval[0] < 19
        assert profile.interval[1] > 21


def test_refusals_are_counted_where_there_are_many():
    flat = np.full(4, 3.0)
    columns = [
        (np.geomspace(1e8, 1e9, 4), c / (6 * np.geomspace(1e8, 1e9, 4)), flat, np.full(4, c))
        for c in np.geomspace(1e18, 1e22, 9)
    ]
    profiles = fit_profiles(*(np.concatenate(column) for column in zip(*columns, strict=True)))
    assert len(refusals(profiles, most=9)) == 9
    found = refusals(profiles)
    assert len(found) == 7
    assert found[0].startswith("profile at C = 1e+18: flat within noise (")
    assert found[-1] == "3 more of 9 profiles are refused: the runs may not lie on IsoFLOP profiles"
    assert refusals(fit_profiles(*sweep(BUDGETS, np.linspace(-1.5, 1.5, 6)))) == []


def test_compute_is_the_column_or_six_n_d_but_never_both():
    N, D, L, C = sweep(BUDGETS, np.linspace(-1.5, 1.5, 6))
    columns: dict[str, Any] = {"student_params": N, "student_tokens": D, "student_loss": L}
    given, source = compute_of_each(Runs(**columns, compute=1.1 * C))
    np.testing.assert_array_equal(given, 1.1 * C)
    assert source == "the compute column"
    some = np.where(np.arange(N.size) < 2, np.nan, 1.1 * C)
    cases: list[tuple[Any, str]] = [(None, "no run has a compute"), (some, "2 of 30 runs have no compute")]
    for compute, why in cases:
        counted, source = compute_of_each(Runs(**columns, compute=compute))
        np.testing.assert_allclose(counted, C, rtol=1e-12)
        assert source == f"6 N D, as {why}"


def test_a_power_law_carries_its_resamples_to_other_computes():
    found = fit_allocation(fit_profiles(*sweep(BUDGETS, np.linspace(-1.5, 1.5, 7), noise=0.003)))
    N, D = found.resampled([1e20, 1e25])
    assert N.shape == D.shape == (1000, 2)
    at = found.at([1e20, 1e25])
    for best, draws in zip(at, (N, D), strict=True):
        low, high = np.percentile(draws, [5, 95], axis=0)
        assert (low < best).all()
        assert (best < high).all()
        width = np.log(high / low)
        assert width[1] > 2 * width[0] > 0  # further out, less is known
    np.testing.assert_allclose(6 * N * D, [[1e20, 1e25]] * 1000, rtol=1e-9)  # all runs lie on 6 N D = C


def test_weights_count_a_run_as_often_as_copies_of_it_would():
    x = np.linspace(18, 22, 12)
    N, D, L, C = parabola(x, noise=0.03)
    weights = np.tile([1, 3, 2, 1, 2, 1], 2)
    [weighted] = fit_profiles(N, D, L, C, weights=weights)
    copies = np.repeat(np.arange(12), weights)
    [copied] = fit_profiles(N[copies], D[copies], L[copies], C[copies])
    # The noise, and with it the weight of the prior on the curve's shape, counts runs: copies, and not weights.
    assert weighted.best_params == pytest.approx(copied.best_params, rel=0.01)
    assert weighted.best_tokens == pytest.approx(copied.best_tokens, rel=0.01)
    assert weighted.curvature == pytest.approx(copied.curvature, rel=0.02)
    [plain] = fit_profiles(N, D, L, C)
    assert abs(plain.best_params / weighted.best_params - 1) > 0.02


def test_the_same_seed_gives_the_same_answer():
    runs = sweep(BUDGETS, np.linspace(-1.5, 1.5, 6), noise=0.003)
    first, again, other = fit_profiles(*runs), fit_profiles(*runs, seed=0), fit_profiles(*runs, seed=1)
    for left, right in zip(first, again, strict=True):
        for f in fields(left):
            np.testing.assert_array_equal(getattr(left, f.name), getattr(right, f.name))
    assert fit_allocation(first) == fit_allocation(again)
    assert fit_allocation(first).a_interval != fit_allocation(other).a_interval
    assert fit_allocation(first).a == fit_allocation(other).a


def test_an_allocation_needs_two_profiles_and_intervals_three():
    span = np.linspace(-1.5, 1.5, 6)
    two = fit_allocation(fit_profiles(*sweep(BUDGETS[:2], span)))
    assert two.a == pytest.approx(LAW.compute_optimal_exponents[0], abs=1e-9)
    assert two.a_interval is None
    assert two.b_interval is None
    good, bad = sweep(BUDGETS[:1], span), sweep(BUDGETS[1:2], span, shift=3.0)
    one_of_two = [np.concatenate(pair) for pair in zip(good, bad, strict=True)]
    expected = (
        r"2 profiles with a minimum are needed, 1 of 2 have one; profile at C = 1e\+19: no interior minimum \(the loss"
    )
    with pytest.raises(ValueError, match=expected):
        fit_allocation(fit_profiles(*one_of_two))
    with pytest.raises(ValueError, match="0 of 0 have one; add runs at another compute, at least 4 sizes each"):
        fit_allocation([])


def test_refused_profiles_do_not_move_the_exponents():
    span = np.linspace(-1.5, 1.5, 6)
    good, bad = sweep(BUDGETS, span), sweep([1e23], span, shift=-3.0)
    mixed = fit_profiles(*(np.concatenate(pair) for pair in zip(good, bad, strict=True)))
    assert [p.status for p in mixed] == ["ok"] * 5 + ["no interior minimum"]
    assert fit_allocation(mixed) == fit_allocation(fit_profiles(*good))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": [3, 2, float("nan"), 3]}, "losses must be positive and finite, got nan for run 2"),
        ({"compute": [0, 1, 1, 1]}, "compute must be positive and finite, got 0 for run 0"),
        ({"tokens": [1, 2, 3]}, "tokens has 3 entries for 4 params: one a run is needed"),
        ({"weights": [1, 1, -1, 1]}, "weights must be positive and finite, got -1 for run 2"),
        ({"tolerance": -1}, "tolerance must be 0 or more, got -1"),
        ({"level": 90}, "level must be between 0 and 1, got 90"),
        ({"resamples": 99}, "resamples must be at least 100, got 99"),
    ],
)
def test_bad_input_is_refused(changes, message):
    runs = {"params": [1, 2, 3, 4], "tokens": [4, 3, 2, 1], "losses": [3, 2, 2, 3], "compute": [6, 6, 6, 6]}
    with pytest.raises(ValueError, match=message):
        fit_profiles(**runs | changes)
