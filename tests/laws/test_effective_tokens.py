"""Properties over random coefficients; test_other_forms.py has the fitted ones and the formulas by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.laws import EffectiveTokensLaw, published

SUPERVISED = published("busbridge2025").supervised
CONSTANT = EffectiveTokensLaw(supervised=SUPERVISED, kappa=2.2, m=13)
CURVED = EffectiveTokensLaw(supervised=SUPERVISED, kappa=2.2, m=13, curvature=-1.0)

log_size, log_tokens = st.floats(5, 17), st.floats(5, 17)
teacher_loss = st.floats(np.log(1.2), np.log(1e3)).map(np.exp)
kappas, sharpness = st.floats(0.1, 20), st.floats(1, 100)
constant_laws = st.builds(lambda **c: replace(CONSTANT, **c), kappa=kappas, m=sharpness)
laws = st.builds(
    lambda **c: replace(CONSTANT, **c), kappa=kappas, m=sharpness, slope=st.floats(-3, 3), curvature=st.floats(-3, 3)
)


def naive(law, N_S, D_S, L_T):
    """The formula as the docstring prints it; overflows for sharp laws and strong or endless teachers."""
    E = law.supervised.E
    q = max(0.0, np.log((law.supervised.loss(N_S, D_S) - E) / (L_T - E)))
    kappa = law.kappa * np.exp(law.slope * q + law.curvature * q**2)
    own = law.supervised.loss(N_S, kappa * D_S) - E
    return E + ((L_T - E) ** law.m + own**law.m) ** (1 / law.m)


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.5, 4))
def test_equals_the_printed_formula(law, log_n, log_d, L_T):
    N_S, D_S = 10**log_n, 10**log_d
    assert law.student_loss(N_S, D_S, L_T) == pytest.approx(naive(law, N_S, D_S, L_T), rel=1e-10)


@given(laws, log_size, log_tokens, teacher_loss)
def test_finite_for_every_positive_input_and_never_below_the_teacher(law, log_n, log_d, L_T):
    loss, gradient = law.coefficient_gradient(10**log_n, 10**log_d, L_T)
    assert np.isfinite([loss, *gradient.values()]).all()
    assert loss >= L_T * (1 - 1e-12)


@given(laws, log_size, log_tokens, teacher_loss)
def test_tokens_beyond_a_teacher_behind_the_student_are_worth_kappa(law, log_n, log_d, L_T):
    """Where the student alone is ahead of its teacher, slope and curvature play no part."""
    N_S, D_S = 10**log_n, 10**log_d
    plain = replace(law, slope=0.0, curvature=0.0)
    if law.supervised.loss(N_S, D_S) <= L_T:
        assert law.student_loss(N_S, D_S, L_T) == plain.student_loss(N_S, D_S, L_T)


@given(constant_laws, log_size, log_tokens, teacher_loss)
def test_a_constant_kappa_falls_with_size_and_tokens_and_rises_with_teacher_loss(law, log_n, log_d, L_T):
    N_S, D_S = 10**log_n, 10**log_d
    loss = law.student_loss(N_S, D_S, L_T)
    assert law.student_loss(N_S, D_S * 3, L_T) <= loss * (1 + 1e-14)
    assert law.student_loss(N_S * 3, D_S, L_T) <= loss * (1 + 1e-14)
    assert law.student_loss(N_S, D_S, L_T * 1.1) >= loss * (1 - 1e-14)


@given(st.floats(5, 17), teacher_loss)
def test_more_tokens_never_hurt_under_a_capacity_gap(log_n, L_T):
    """What StudentLaw promises the planner, for the fitted signs of slope and curvature."""
    law = replace(CONSTANT, kappa=1.1, m=22, slope=2.7, curvature=-2.5)
    loss = law.student_loss(10**log_n, np.geomspace(1e5, 1e17, 200), L_T)
    assert (np.diff(loss) <= 1e-12 * loss[:-1]).all()


@given(laws, teacher_loss)
def test_endless_student_becomes_its_teacher(law, L_T):
    assert law.student_loss(np.inf, np.inf, L_T) == pytest.approx(max(L_T, SUPERVISED.E), rel=1e-11)


@given(laws, st.floats(6, 12), st.floats(7, 13))
def test_a_random_teacher_makes_a_random_student(law, log_n, log_d):
    sharp = replace(law, m=10.0)  # at m = 1 the two excesses add, and the teacher's drowns the student's only slowly
    assert sharp.student_loss(10**log_n, 10**log_d, 1e3) == pytest.approx(1e3, rel=1e-6)
    assert law.student_loss(10**log_n, 10**log_d, np.inf) == np.inf


@given(laws, st.floats(7, 12))
def test_infinite_data_consistency(law, log_n):
    """Appendix E.6, eq. 35-37: the perfect teacher and endless data make the supervised student; others do worse."""
    N_S = 10**log_n
    limit = SUPERVISED.infinite_data_loss(N_S)
    assert law.student_loss(N_S, np.inf, SUPERVISED.E) == pytest.approx(limit, rel=1e-10)
    assert (law.student_loss(N_S, np.inf, np.linspace(1.23, 4, 50)) >= limit * (1 - 1e-12)).all()


@pytest.mark.parametrize("N_S", [1.4e8, 5e8, 2e9])
def test_capacity_gap_only_with_negative_curvature(N_S):
    """With it the best teacher is neither the strongest nor the weakest."""
    L_T = np.linspace(1.3, 4, 1000)
    loss = CURVED.student_loss(N_S, 40 * N_S, L_T)
    best = int(np.argmin(loss))
    assert 0 < best < L_T.size - 1
    assert min(loss[0], loss[-1]) > loss[best] + 0.05
    assert (np.diff(CONSTANT.student_loss(N_S, 40 * N_S, L_T)) >= 0).all()


@given(laws, st.floats(7, 12), st.floats(8, 13), st.floats(1.5, 4))
def test_coefficient_gradient_matches_central_differences(law, log_n, log_d, L_T):
    N_S, D_S, h = 10**log_n, 10**log_d, 1e-5
    loss, gradient = law.coefficient_gradient(N_S, D_S, L_T)
    assert loss == law.student_loss(N_S, D_S, L_T)
    assert set(gradient) == {"kappa", "m", "slope", "curvature"}
    for name, exact in gradient.items():
        value = getattr(law, name)
        step = h * value if name in ("kappa", "m") else h
        up, down = (replace(law, **{name: value + s * step}).student_loss(N_S, D_S, L_T) for s in (1, -1))
        assert exact * step / h == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-8 * loss)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 1, 2), "N_S"), ((1e9, -1, 2), "D_S"), ((1e9, 1e9, 0), "L_T"), ((1e9, 1e9, float("nan")), "L_T")],
)
def test_inputs_that_are_not_positive_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be positive, got"):
        CURVED.student_loss(*arguments)


@pytest.mark.parametrize(("name", "value"), [("kappa", -1), ("m", 0), ("m", float("inf"))])
def test_coefficients_that_make_no_law_are_refused(name, value):
    with pytest.raises(ValueError, match=f"EffectiveTokensLaw.{name} must be finite and positive, got {value}"):
        replace(CONSTANT, **{name: value})


def test_many_laws_in_one():
    kappa, curvature = np.array([[1.5], [2.5]]), np.array([[0.0], [-0.5]])
    many = replace(CONSTANT, kappa=kappa, curvature=curvature)
    N_S = np.array([1e8, 1e9, 1e10])
    loss, gradient = many.coefficient_gradient(N_S, 1e11, 2.0)
    assert loss.shape == (2, 3)
    for i in range(2):
        one = replace(CONSTANT, kappa=float(kappa[i, 0]), curvature=float(curvature[i, 0]))
        alone, own = one.coefficient_gradient(N_S, 1e11, 2.0)
        np.testing.assert_allclose(loss[i], alone, rtol=1e-14)
        for name, derivative in gradient.items():
            np.testing.assert_allclose(derivative[i], own[name], rtol=1e-12)
    with pytest.raises(ValueError, match=r"EffectiveTokensLaw.m must be finite and positive"):
        replace(CONSTANT, m=np.array([1.0, 0.0]))


def test_gradient_is_zero_where_the_worth_of_a_token_is_held():
    law = EffectiveTokensLaw(supervised=published("busbridge2025").supervised, kappa=2.2, m=13, curvature=-3.0)
    _, gradient = law.coefficient_gradient(1e8, 1e10, 1.2201)
    assert gradient["kappa"] == gradient["slope"] == gradient["curvature"] == 0
