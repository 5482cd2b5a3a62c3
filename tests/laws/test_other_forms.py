from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.laws import DistillationLaw, EffectiveTokensLaw, ExponentialLaw, PeakedTokensLaw, published

PRINTED = published("busbridge2025").law
assert isinstance(PRINTED, DistillationLaw)
SUPERVISED = PRINTED.supervised
EXPONENTIAL = ExponentialLaw(
    supervised=SUPERVISED, A=2200, B=23000, alpha=0.33, beta=0.42, gamma=0.73, c0=2.3, k=2.3, s=9.5
)
TOKENS = EffectiveTokensLaw(supervised=SUPERVISED, kappa=2.2, m=13)
CAPACITY = replace(TOKENS, kappa=1.1, m=22, slope=2.7, curvature=-2.5)
PEAKED = PeakedTokensLaw(supervised=SUPERVISED, kappa=1.6, m=22, growth=0.96, lead=0.41)
LAWS = [EXPONENTIAL, TOKENS, CAPACITY, PEAKED]

log_size, log_tokens = st.floats(5, 17), st.floats(5, 17)


def test_formulas_by_hand():
    N, D, L_T = 1e9, 2e11, 2.1
    alone, E = float(SUPERVISED.loss(N, D)), SUPERVISED.E
    size = (2200 / N**0.33 + 23000 / D**0.42) ** 0.73
    expected = L_T + L_T**-2.3 * np.exp(-2.3 * (L_T / alone) ** 9.5) * size
    assert EXPONENTIAL.student_loss(N, D, L_T) == pytest.approx(expected, rel=1e-12)
    more = float(SUPERVISED.loss(N, 2.2 * D)) - E
    assert TOKENS.student_loss(N, D, L_T) == pytest.approx(E + ((L_T - E) ** 13 + more**13) ** (1 / 13), rel=1e-12)
    q = np.log((alone - E) / (L_T - E))  # > 0: the teacher is ahead
    assert q > 0
    kappa = 1.1 * np.exp(2.7 * q - 2.5 * q**2)
    more = float(SUPERVISED.loss(N, kappa * D)) - E
    assert CAPACITY.student_loss(N, D, L_T) == pytest.approx(E + ((L_T - E) ** 22 + more**22) ** (1 / 22), rel=1e-12)


@given(st.sampled_from(LAWS), log_size, log_tokens, st.floats(1.2, 1e3))
def test_finite_everywhere(law, log_n, log_d, L_T):
    loss = law.student_loss(10**log_n, 10**log_d, L_T)
    assert np.isfinite(loss)
    assert loss >= L_T - 1e-9


@given(st.sampled_from(LAWS), st.floats(1.3, 10))
def test_limits(law, L_T):
    assert law.student_loss(1e40, 1e40, L_T) == pytest.approx(L_T, rel=1e-4)
    assert law.student_loss(1e8, 1e10, 1e3) == pytest.approx(1e3, rel=1e-6)


def test_effective_tokens_keep_infinite_data_consistency():
    N = np.geomspace(1e8, 1e11, 5)
    best = TOKENS.student_loss(N, 1e30, SUPERVISED.E + 1e-9)
    np.testing.assert_allclose(best, SUPERVISED.infinite_data_loss(N), rtol=1e-8)


def test_constant_kappa_has_no_capacity_gap_and_a_curved_one_has():
    L_T = np.linspace(1.5, 3.5, 400)
    assert (np.diff(TOKENS.student_loss(2e8, 1e10, L_T)) >= 0).all()
    curved = CAPACITY.student_loss(2e8, 1e10, L_T)
    assert 0 < np.argmin(curved) < L_T.size - 1


def test_exponential_law_is_the_limit_of_equation_8():
    N, D, L_T = np.array([2e8, 1e9]), np.array([5e9, 2e11]), np.array([2.0, 2.4])

    def near(d1):
        turned = EXPONENTIAL.s * EXPONENTIAL.k * d1**EXPONENTIAL.s
        shared = {n: getattr(EXPONENTIAL, n) for n in ("A", "B", "alpha", "beta", "gamma", "c0")}
        return replace(PRINTED, **shared, c1=turned, f1=1 / EXPONENTIAL.s, d1=d1).student_loss(N, D, L_T)

    limit = EXPONENTIAL.student_loss(N, D, L_T)
    errors = [np.abs(near(d1) - limit).max() for d1 in (1.3, 2.0, 4.0)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


@given(st.sampled_from(LAWS), st.floats(7, 11), st.floats(8, 12), st.floats(1.4, 4))
def test_coefficient_gradient_matches_central_differences(law, log_n, log_d, L_T):
    N, D, h = 10**log_n, 10**log_d, 1e-6
    loss, gradient = law.coefficient_gradient(N, D, L_T)
    assert loss == law.student_loss(N, D, L_T)
    for name, exact in gradient.items():
        value = getattr(law, name)
        step = h * max(abs(value), 1.0)
        up, down = (replace(law, **{name: value + s * step}).student_loss(N, D, L_T) for s in (1, -1))
        assert exact * step == pytest.approx((up - down) / 2, rel=1e-4, abs=1e-10)


def test_refusals_and_arrays():
    with pytest.raises(ValueError, match=r"EffectiveTokensLaw.kappa must be finite and positive, got 0"):
        replace(TOKENS, kappa=0)
    with pytest.raises(ValueError, match="slope and curvature must be finite"):
        replace(TOKENS, slope=float("nan"))
    with pytest.raises(ValueError, match="L_T must be positive"):
        EXPONENTIAL.student_loss(1e9, 1e9, 0)
    many = replace(TOKENS, kappa=np.array([[1.5], [2.5]]))
    assert many.student_loss(np.array([1e8, 1e9, 1e10]), 1e11, 2.0).shape == (2, 3)


def test_peaked_tokens_by_hand():
    N, D, L_T, E = 1e9, 2e10, 2.1, SUPERVISED.E
    alone = float(SUPERVISED.loss(N, D)) - E
    x = np.log(alone / (L_T - E)) / 0.41
    kappa = (1.6 * alone**0.96) ** (x * np.exp(1 - x))
    own = float(SUPERVISED.loss(N, kappa * D)) - E
    assert PEAKED.token_worth(N, D, L_T) == pytest.approx(kappa, rel=1e-12)
    assert PEAKED.student_loss(N, D, L_T) == pytest.approx(E + ((L_T - E) ** 22 + own**22) ** (1 / 22), rel=1e-12)


@given(st.floats(7, 12), st.floats(8, 14))
def test_peaked_tokens_have_a_best_teacher_and_no_cliff_beyond_it(log_n, log_d):
    """Behind the student, and far beyond the best teacher, a token is worth one; at q = lead it is worth the most."""
    N, D = 10**log_n, 10**log_d
    alone = float(SUPERVISED.loss(N, D)) - SUPERVISED.E
    most = 1.6 * alone**0.96
    at_best = PEAKED.token_worth(N, D, SUPERVISED.E + alone * np.exp(-0.41))
    assert at_best == pytest.approx(most, rel=1e-9)
    assert PEAKED.token_worth(N, D, SUPERVISED.loss(N, D) * 1.01) == 1.0
    assert PEAKED.token_worth(N, D, SUPERVISED.E + 1e-9) == pytest.approx(1.0, abs=1e-5)
    worth = PEAKED.token_worth(N, D, np.linspace(SUPERVISED.E + 1e-6, 4, 500))
    assert (np.sign(np.log(most)) * np.log(worth) <= abs(np.log(most)) * (1 + 1e-12) + 1e-12).all()


@given(st.floats(7, 11), st.floats(1.3, 2.5))
def test_more_tokens_never_hurt_under_a_peak(log_n, L_T):
    """What StudentLaw promises the planner."""
    loss = PEAKED.student_loss(10**log_n, np.geomspace(1e8, 1e17, 400), L_T)
    assert (np.diff(loss) <= 1e-12 * loss[:-1]).all()


@given(st.floats(7, 11), st.floats(2.5, 4))
def test_they_hurt_by_a_hair_where_a_strong_student_passes_a_weak_teacher(log_n, L_T):
    loss = PEAKED.student_loss(10**log_n, np.geomspace(1e8, 1e17, 400), L_T)
    assert (loss - np.minimum.accumulate(loss) < 0.01 * loss).all()


@given(st.sampled_from([PRINTED, *LAWS]), st.floats(7, 12), st.floats(8, 13), st.floats(1.5, 4))
def test_gradients_match_central_differences(law, log_n, log_d, L_T):
    """By each coefficient of the law, and by each of the supervised law under it."""
    at, h = (10**log_n, 10**log_d, L_T), 1e-5
    loss, gradient = law.coefficient_gradient(*at)
    steep = 1e-6 * loss * (1 + abs(loss - L_T) * 500)  # eq. 8 bends sharply in c1 and f1
    for name, exact in gradient.items():
        step = h * max(abs(getattr(law, name)), 0.1)
        up, down = (replace(law, **{name: getattr(law, name) + s * step}).student_loss(*at) for s in (1, -1))
        assert exact * step / h == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=steep)
    for name, exact in law.supervised_gradient(*at).items():
        value = getattr(law.supervised, name)
        up, down = (
            replace(law, supervised=replace(law.supervised, **{name: value * (1 + s * h)})).student_loss(*at)
            for s in (1, -1)
        )
        kink = 1e-6 * loss if abs(float(law.supervised.loss(*at[:2])) - L_T) > 1e-3 else np.inf
        assert exact * value == pytest.approx((up - down) / (2 * h), rel=1e-3, abs=kink)
