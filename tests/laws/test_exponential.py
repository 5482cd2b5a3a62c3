"""Properties over random coefficients; test_other_forms.py has the fitted ones and the formulas by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distlaw.laws import DistillationLaw, ExponentialLaw, published

PRINTED = published("busbridge2025").law
assert isinstance(PRINTED, DistillationLaw)
LAW = ExponentialLaw(
    supervised=PRINTED.supervised, A=2200.0, B=23000.0, alpha=0.33, beta=0.42, gamma=0.73, c0=2.3, k=2.3, s=9.5
)
SHARED = ("A", "B", "alpha", "beta", "gamma", "c0")

log_size, log_tokens = st.floats(5, 17), st.floats(5, 17)
teacher_loss = st.floats(np.log(1.2), np.log(1e3)).map(np.exp)
laws = st.builds(
    lambda **changes: replace(LAW, **changes),
    A=st.floats(100, 1e5),
    B=st.floats(100, 1e8),
    c0=st.floats(0, 5),
    k=st.just(0.0) | st.floats(-12, 3).map(np.exp),
    s=st.floats(0.5, 50),
)


def naive(law, N_S, D_S, L_T):
    """The formula as the docstring prints it."""
    turn = np.exp(-law.k * (L_T / law.supervised.loss(N_S, D_S)) ** law.s)
    return L_T + L_T**-law.c0 * turn * (law.A / N_S**law.alpha + law.B / D_S**law.beta) ** law.gamma


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.3, 4))
@example(replace(LAW, k=1e-6, s=30.0), 10.0, 12.0, 3.2)  # a sharp turn that has only begun
def test_equals_the_printed_formula(law, log_n, log_d, L_T):
    N_S, D_S = 10**log_n, 10**log_d
    assert law.student_loss(N_S, D_S, L_T) == pytest.approx(naive(law, N_S, D_S, L_T), rel=1e-10)


@given(laws, log_size, log_tokens, teacher_loss)
def test_finite_for_every_positive_input_and_never_below_the_teacher(law, log_n, log_d, L_T):
    loss, gradient = law.coefficient_gradient(10**log_n, 10**log_d, L_T)
    assert np.isfinite([loss, *gradient.values()]).all()
    assert loss >= L_T


@given(laws, log_size, log_tokens, teacher_loss)
def test_more_tokens_and_a_larger_student_never_hurt(law, log_n, log_d, L_T):
    loss = law.student_loss(10**log_n, 10**log_d, L_T)
    assert law.student_loss(10**log_n, 10 ** (log_d + 0.5), L_T) <= loss * (1 + 1e-15)
    assert law.student_loss(10 ** (log_n + 0.5), 10**log_d, L_T) <= loss * (1 + 1e-15)


@given(laws, teacher_loss)
def test_endless_student_becomes_its_teacher(law, L_T):
    near = [float(law.student_loss(x, x, L_T)) - L_T for x in (1e20, 1e40, 1e80)]
    assert near[0] >= near[1] >= near[2]
    assert near[2] <= 1e-10


@given(st.floats(6, 12), st.floats(7, 13))
def test_a_random_teacher_makes_a_random_student(log_n, log_d):
    assert LAW.student_loss(10**log_n, 10**log_d, 1e3) == pytest.approx(1e3, rel=1e-9)


@pytest.mark.parametrize("N_S", [1.4e8, 5e8, 2e9])
def test_capacity_gap(N_S):
    L_T = np.linspace(1.25, 4, 2000)
    loss = LAW.student_loss(N_S, 40 * N_S, L_T)
    best = int(np.argmin(loss))
    assert 0 < best < L_T.size - 1
    assert min(loss[0], loss[-1]) > loss[best] + 0.05


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.3, 3))
def test_is_the_limit_of_equation_8_as_d1_grows(law, log_n, log_d, L_T):
    """At k = c1 f1 d1^(-1/f1) and s = 1/f1 held. Eq. 8's log1p(x) falls short of x by x^2 / 2, and x ~ d1^-s."""
    N_S, D_S = 10**log_n, 10**log_d
    shared = {name: getattr(law, name) for name in SHARED}
    limit = law.student_loss(N_S, D_S, L_T)
    ratio = L_T / law.supervised.loss(N_S, D_S)
    for turn in (1e2, 1e4, 1e6):  # (d1 / ratio)^s
        d1 = ratio * turn ** (1 / law.s)
        c1 = law.k * law.s * d1**law.s
        eq8 = replace(PRINTED, **shared, c1=c1, f1=1 / law.s, d1=d1).student_loss(N_S, D_S, L_T)
        # Excesses exp(-k r^s turn log1p(1 / turn)) and exp(-k r^s): the exponents differ by at most k r^s / (2 turn).
        depth = law.k * ratio**law.s
        slack = float(np.expm1(min(0.5 * depth / turn, 700.0))) * (limit - L_T)
        assert -1e-8 * limit <= eq8 - limit <= slack + 1e-8 * limit


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.3, 4))
def test_coefficient_gradient_matches_central_differences(law, log_n, log_d, L_T):
    N_S, D_S, h = 10**log_n, 10**log_d, 1e-6
    loss, gradient = law.coefficient_gradient(N_S, D_S, L_T)
    assert loss == law.student_loss(N_S, D_S, L_T)
    assert set(gradient) == {*SHARED, "k", "s"}
    # One step moves the log of the excess by at most h times these.
    reach = 40 * (1 + law.c0) + law.k * law.s * (L_T / law.supervised.loss(N_S, D_S)) ** law.s * 2
    for name, exact in gradient.items():
        value = getattr(law, name)
        up, down = (replace(law, **{name: value * (1 + s * h)}).student_loss(N_S, D_S, L_T) for s in (1, -1))
        slack = 1e-8 + (loss - L_T) * reach * min(1.0, 1e-6 + (h * reach) ** 2)
        assert exact * value == pytest.approx((up - down) / (2 * h), abs=slack)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 1, 1), "N_S"), ((1e9, -1, 1), "D_S"), ((1e9, 1e9, 0), "L_T"), ((1e9, 1e9, float("nan")), "L_T")],
)
def test_inputs_that_are_not_positive_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be positive, got"):
        LAW.student_loss(*arguments)


@pytest.mark.parametrize(
    ("name", "value", "must_be"),
    [("s", 0, "positive"), ("k", -1, "zero or more"), ("c0", float("nan"), "zero or more")],
)
def test_coefficients_that_make_no_law_are_refused(name, value, must_be):
    with pytest.raises(ValueError, match=f"ExponentialLaw.{name} must be finite and {must_be}, got {value}"):
        replace(LAW, **{name: value})


def test_many_laws_in_one():
    k, s = np.array([[1.0], [3.0]]), np.array([[8.0], [11.0]])
    many = replace(LAW, k=k, s=s)
    N_S = np.array([1e8, 1e9, 1e10])
    loss, gradient = many.coefficient_gradient(N_S, 1e11, 2.0)
    assert loss.shape == (2, 3)
    for i in range(2):
        alone, own = replace(LAW, k=float(k[i, 0]), s=float(s[i, 0])).coefficient_gradient(N_S, 1e11, 2.0)
        np.testing.assert_allclose(loss[i], alone, rtol=1e-14)
        for name, derivative in gradient.items():
            np.testing.assert_allclose(np.broadcast_to(derivative, (2, 3))[i], own[name], rtol=1e-12)
    with pytest.raises(ValueError, match=r"ExponentialLaw.k must be finite and zero or more"):
        replace(LAW, k=np.array([1.0, -1.0]))


def test_limits_at_infinity_and_at_the_border_of_the_search():
    law = ExponentialLaw(
        supervised=published("busbridge2025").supervised,
        A=2200.0,
        B=23000.0,
        alpha=0.33,
        beta=0.42,
        gamma=0.73,
        c0=2.3,
        k=2.3,
        s=9.5,
    )
    assert law.student_loss(np.inf, np.inf, 2.0) == 2.0
    assert law.student_loss(1e9, np.inf, 2.0) == pytest.approx(law.student_loss(1e9, 1e40, 2.0), rel=1e-9)
    assert law.student_loss(1e9, 1e11, np.inf) == np.inf
    steep = replace(law, k=float(np.exp(12.0)), s=148.0)
    assert steep.student_loss(6e16, 3e15, 590.0) == 590.0
    assert all(np.isfinite(g) for g in steep.coefficient_gradient(6e16, 3e15, 590.0)[1].values())
    assert replace(law, k=0.0).student_loss(1e9, 1e11, 2.0) > law.student_loss(1e9, 1e11, 2.0)
