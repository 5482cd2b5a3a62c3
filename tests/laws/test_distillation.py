from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.laws import DistillationLaw, published

LAW = published("busbridge2025").law
assert isinstance(LAW, DistillationLaw)

log_size = st.floats(5, 17)
log_tokens = st.floats(5, 17)
teacher_loss = st.floats(1.2, 1e3)
laws = st.builds(
    lambda **changes: replace(LAW, **changes),
    A=st.floats(100, 1e5),
    B=st.floats(100, 1e8),
    c0=st.floats(0, 5),
    c1=st.floats(0, 1000),
    f1=st.floats(0.02, 1.0),
    d1=st.floats(0.5, 3),
)


def naive(law, N_S, D_S, L_T):
    """Eq. 8 as printed; overflows for strong teachers of weak students."""
    reference = law.supervised.loss(N_S, D_S)
    transition = (1 + (L_T / (reference * law.d1)) ** (1 / law.f1)) ** (-law.c1 * law.f1)
    return L_T + L_T**-law.c0 * transition * (law.A / N_S**law.alpha + law.B / D_S**law.beta) ** law.gamma


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.3, 4))
def test_equals_the_printed_formula(law, log_n, log_d, L_T):
    N_S, D_S = 10**log_n, 10**log_d
    assert law.student_loss(N_S, D_S, L_T) == pytest.approx(naive(law, N_S, D_S, L_T), rel=1e-10)


def test_a_value_worked_out_by_hand():
    # L~_S = 1.220 + (3355 / 1e9^0.408 + 18186 / 2e11^0.431)^0.452 = 2.2012; x = 2.1 / (2.2012 * 1.315) = 0.72549;
    # x^(1/0.09) = 0.02828; 1.02828^(-522.6 * 0.09) = 0.26940; 2.1^-2.549 = 0.15088;
    # (2243 / 1e9^0.321 + 24181 / 2e11^0.637)^0.764 = 2.25387; product 0.09162.
    assert LAW.student_loss(1e9, 2e11, 2.1) == pytest.approx(2.1916, abs=5e-5)


@given(laws, log_size, log_tokens, teacher_loss)
def test_finite_everywhere_and_never_below_the_teacher(law, log_n, log_d, L_T):
    loss = law.student_loss(10**log_n, 10**log_d, L_T)
    assert np.isfinite(loss)
    assert loss >= L_T


@given(laws, log_size, log_tokens, teacher_loss)
def test_more_tokens_and_a_larger_student_never_hurt(law, log_n, log_d, L_T):
    loss = law.student_loss(10**log_n, 10**log_d, L_T)
    assert law.student_loss(10**log_n, 10 ** (log_d + 0.5), L_T) <= loss * (1 + 1e-15)
    assert law.student_loss(10 ** (log_n + 0.5), 10**log_d, L_T) <= loss * (1 + 1e-15)


@given(laws, teacher_loss)
def test_endless_student_becomes_its_teacher(law, L_T):
    assert law.student_loss(np.inf, np.inf, L_T) == L_T


@given(st.floats(6, 12), st.floats(7, 13))
def test_a_random_teacher_makes_a_random_student(log_n, log_d):
    N_S, D_S = 10**log_n, 10**log_d
    assert LAW.student_loss(N_S, D_S, 1e3) == pytest.approx(1e3, rel=1e-9)
    assert LAW.student_loss(N_S, D_S, np.inf) == np.inf


@pytest.mark.parametrize("N_S", [1.4e8, 5e8, 2e9])
def test_capacity_gap(N_S):
    """The best teacher is neither the strongest nor the weakest."""
    L_T = np.linspace(1.25, 4, 2000)
    loss = LAW.student_loss(N_S, 40 * N_S, L_T)
    best = np.argmin(loss)
    assert 0 < best < L_T.size - 1
    assert loss[0] > loss[best] + 0.05
    assert loss[-1] > loss[best] + 0.05


def test_transition_is_at_d1_times_the_supervised_loss():
    """Local slope of log excess in log L_T: -c0 before, -(c0 + c1) after, halfway at L_T = d1 L~_S."""
    N_S, D_S = 1e9, 1e11
    turn = LAW.d1 * LAW.supervised.loss(N_S, D_S)

    def slope(law, L_T):
        h = 1e-4
        up, down = (law.student_loss(N_S, D_S, L_T * np.exp(s * h)) - L_T * np.exp(s * h) for s in (1, -1))
        return (np.log(up) - np.log(down)) / (2 * h)

    gentle = replace(LAW, c1=2.0)  # so that the excess is not lost beside L_T after the transition
    assert slope(gentle, turn / 3) == pytest.approx(-LAW.c0, abs=1e-3)
    assert slope(gentle, turn) == pytest.approx(-LAW.c0 - 1.0, abs=1e-3)
    assert slope(gentle, turn * 3) == pytest.approx(-LAW.c0 - 2.0, abs=1e-3)
    assert slope(LAW, turn / 3) == pytest.approx(-LAW.c0, abs=1e-2)


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.3, 4))
def test_gradient_matches_central_differences(law, log_n, log_d, L_T):
    point, h = np.array([log_n * np.log(10), log_d * np.log(10), np.log(L_T)]), 1e-5
    exact = np.array(law.log_gradient(*np.exp(point)))
    steps = h * np.eye(3)
    numeric = [(law.student_loss(*np.exp(point + s)) - law.student_loss(*np.exp(point - s))) / (2 * h) for s in steps]
    excess = law.student_loss(*np.exp(point)) - L_T
    # The third derivative of the steepest laws (c1 = 1000, f1 = 0.02) bounds what a central difference can resolve.
    np.testing.assert_allclose(exact, numeric, rtol=1e-4, atol=1e-8 + 1e-5 * excess * (1 + law.c1 / law.f1 * 1e-3))


@given(laws, st.floats(7, 12), st.floats(8, 15))
def test_optimal_teacher_beats_a_dense_scan(law, log_n, log_d):
    N_S, D_S = 10**log_n, 10**log_d
    scan = law.student_loss(N_S, D_S, np.geomspace(law.supervised.E, 100, 20001))
    assert law.student_loss(N_S, D_S, law.optimal_teacher_loss(N_S, D_S)) <= scan.min() + 1e-9


def test_optimal_teacher_is_stationary_and_keeps_the_shape():
    best = LAW.optimal_teacher_loss(np.array([[3e8], [3e9]]), np.array([1e10, 1e11, np.inf]))
    assert best.shape == (2, 3)
    assert abs(LAW.log_gradient(3e8, 1e11, best[0, 1])[2]) < 1e-4
    assert (best[0] > best[1]).all()  # larger students want stronger teachers
    assert isinstance(LAW.optimal_teacher_loss(3e8, 1e10), float)


def test_infinite_data_consistency():
    """Appendix E.6, eq. 35-37: with the optimal teacher and endless data, distilling equals supervised training."""
    N = np.geomspace(1e8, 1e11, 13)
    distilled = LAW.student_loss(N, np.inf, LAW.optimal_teacher_loss(N, np.inf))
    ratio = distilled / LAW.supervised.infinite_data_loss(N)
    assert np.abs(ratio - 1).max() < 0.01
    # With any other teacher it is worse.
    assert (LAW.student_loss(N, np.inf, 2.4) > 1.02 * distilled)[N > 1e9].all()


def test_tokens_to_reach_is_the_inverse():
    loss = LAW.student_loss(1e9, 3e11, 2.1)
    tokens = LAW.tokens_to_reach([loss, 2.1, loss], 1e9, [2.1, 2.1, 5.0])
    # A loss below the teacher's is never reached, nor one below what a weak teacher gives.
    assert tokens[0] == pytest.approx(3e11, rel=1e-6)
    assert tokens[1] == np.inf
    assert tokens[2] == np.inf


@pytest.mark.parametrize(("arguments", "name"), [((0, 1, 1), "N_S"), ((1e9, -1, 1), "D_S"), ((1e9, 1e9, 0), "L_T")])
def test_inputs_that_are_not_positive_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be positive, got"):
        LAW.student_loss(*arguments)


def test_coefficients_that_make_no_law_are_refused():
    with pytest.raises(ValueError, match=r"DistillationLaw.f1 must be finite and positive, got 0"):
        replace(LAW, f1=0)


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.3, 4))
def test_coefficient_gradient_matches_central_differences(law, log_n, log_d, L_T):
    N_S, D_S, h = 10**log_n, 10**log_d, 1e-6
    loss, gradient = law.coefficient_gradient(N_S, D_S, L_T)
    assert loss == law.student_loss(N_S, D_S, L_T)
    assert set(gradient) == {"A", "B", "alpha", "beta", "gamma", "c0", "c1", "f1", "d1"}
    scale = (loss - L_T) * (1 + law.c1 + 1 / law.f1)
    for name, exact in gradient.items():
        value = getattr(law, name)
        up, down = (replace(law, **{name: value * (1 + s * h)}).student_loss(N_S, D_S, L_T) for s in (1, -1))
        assert exact * value == pytest.approx((up - down) / (2 * h), abs=1e-5 * scale + 1e-8)
