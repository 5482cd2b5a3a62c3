from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.laws import SupervisedLaw, published

CHINCHILLA = published("besiroglu2024").supervised
PAPER = published("busbridge2025").supervised
LAWS = [CHINCHILLA, PAPER]

log_size = st.floats(5, 17)
log_tokens = st.floats(5, 17)
exponent = st.floats(0.05, 1.5)
laws = st.builds(
    SupervisedLaw,
    E=st.floats(0, 3),
    A=st.floats(1, 1e6),
    B=st.floats(1, 1e8),
    alpha=exponent,
    beta=exponent,
    gamma=st.floats(0.2, 1.5),
)


def test_printed_formula_and_its_chinchilla_form():
    N, D = 2.7e9, 5.4e10
    inner = 3355 / N**0.408 + 18186 / D**0.431
    assert PAPER.loss(N, D) == pytest.approx(1.220 + inner**0.452, rel=1e-14)
    assert CHINCHILLA.loss(N, D) == pytest.approx(1.8172 + 482.01 / N**0.3478 + 2085.43 / D**0.3658, rel=1e-14)


def test_broadcasts_and_gives_numbers_for_numbers():
    assert PAPER.loss(np.ones((3, 1)) * 1e8, np.ones(4) * 1e9).shape == (3, 4)
    assert isinstance(PAPER.loss(1e8, 1e9), float)
    assert isinstance(PAPER.tokens_to_reach(2.5, 1e9), float)


@given(laws, log_size, log_tokens)
def test_finite_and_falling_in_both_arguments(law, log_n, log_d):
    loss = law.loss(10**log_n, 10**log_d)
    assert np.isfinite(loss)
    assert loss >= law.E
    assert law.loss(10 ** (log_n + 0.3), 10**log_d) <= loss
    assert law.loss(10**log_n, 10 ** (log_d + 0.3)) <= loss


@given(laws, log_size, log_tokens)
def test_limits(law, log_n, log_d):
    N, D = 10**log_n, 10**log_d
    assert law.loss(np.inf, np.inf) == law.E
    assert law.infinite_data_loss(N) == pytest.approx(law.E + (law.A / N**law.alpha) ** law.gamma, rel=1e-12)
    assert law.infinite_size_loss(D) == pytest.approx(law.E + (law.B / D**law.beta) ** law.gamma, rel=1e-12)
    assert law.infinite_data_loss(N) <= law.loss(N, D)


@given(st.sampled_from(LAWS), st.floats(6, 13), st.floats(6, 13))
def test_inverses_undo_the_law(law, log_n, log_d):
    N, D = 10**log_n, 10**log_d
    L = law.loss(N, D)
    # Where one term is tiny beside the other, its argument is ill-conditioned; the loss that it gives is not.
    assert law.loss(N, law.tokens_to_reach(L, N)) == pytest.approx(L, rel=1e-12)
    assert law.loss(law.params_to_reach(L, D), D) == pytest.approx(L, rel=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_inverse_is_exact_where_well_conditioned(law):
    assert law.tokens_to_reach(law.loss(1e9, 2e10), 1e9) == pytest.approx(2e10, rel=1e-9)
    assert law.params_to_reach(law.loss(1e9, 2e10), 2e10) == pytest.approx(1e9, rel=1e-9)


def test_out_of_reach_is_infinite():
    floor = PAPER.infinite_data_loss(1e9)
    assert PAPER.tokens_to_reach(floor, 1e9) > 1e40  # rounding decides between never and nearly never
    assert PAPER.tokens_to_reach(floor * 0.99, 1e9) == np.inf
    assert PAPER.tokens_to_reach(PAPER.E, 1e9) == np.inf
    assert np.isfinite(PAPER.tokens_to_reach(floor * 1.001, 1e9))
    np.testing.assert_array_equal(np.isinf(PAPER.tokens_to_reach([1.0, 3.0], 1e9)), [True, False])


@given(laws, st.floats(6, 14), st.floats(6, 14))
def test_gradient_matches_central_differences(law, log_n, log_d):
    N, D, h = 10**log_n, 10**log_d, 1e-5
    dN, dD = law.log_gradient(N, D)
    rest = replace(law, E=0.0)  # E only takes digits from the difference
    loss = rest.loss(N, D)
    assert dN == pytest.approx((rest.loss(N * np.exp(h), D) - rest.loss(N / np.exp(h), D)) / (2 * h), abs=1e-8 * loss)
    assert dD == pytest.approx((rest.loss(N, D * np.exp(h)) - rest.loss(N, D / np.exp(h))) / (2 * h), abs=1e-8 * loss)
    assert dN <= 0 >= dD


@pytest.mark.parametrize("law", LAWS)
def test_compute_optimal_beats_every_other_split(law):
    C = np.array([1e20, 1e24])
    N, D = law.compute_optimal(C)
    np.testing.assert_allclose(6 * N * D, C)
    sizes = np.geomspace(1e6, 1e15, 20001)
    best = np.array([law.loss(sizes, c / (6 * sizes)).min() for c in C])
    assert (law.loss(N, D) <= best + 1e-12).all()
    # The exponents are those of the optimum, and gamma drops out of them.
    a, b = law.compute_optimal_exponents
    assert np.log(N[1] / N[0]) / np.log(C[1] / C[0]) == pytest.approx(a)
    assert a + b == pytest.approx(1)
    assert a == pytest.approx(law.beta / (law.alpha + law.beta))


@pytest.mark.parametrize("bad", [0, -1, float("nan")])
def test_inputs_that_are_not_positive_are_refused(bad):
    with pytest.raises(ValueError, match="size N must be positive"):
        PAPER.loss([1e9, bad], 1e9)
    with pytest.raises(ValueError, match="tokens D must be positive"):
        PAPER.loss(1e9, bad)


@pytest.mark.parametrize(("name", "value"), [("A", 0), ("alpha", -0.1), ("gamma", float("nan")), ("E", -1)])
def test_coefficients_that_make_no_law_are_refused(name, value):
    coefficients = {"E": 1.0, "A": 1.0, "B": 1.0, "alpha": 0.3, "beta": 0.3, "gamma": 1.0} | {name: value}
    with pytest.raises(ValueError, match=f"SupervisedLaw.{name} must be finite and"):
        SupervisedLaw(**coefficients)


@given(laws, st.floats(6, 14), st.floats(6, 14))
def test_coefficient_gradient_matches_central_differences(law, log_n, log_d):
    N, D, h = 10**log_n, 10**log_d, 1e-6
    loss, gradient = law.coefficient_gradient(N, D)
    assert loss == law.loss(N, D)
    assert set(gradient) == {"E", "A", "B", "alpha", "beta", "gamma"}
    rest = replace(law, E=0.0)
    for name in set(gradient) - {"E"}:
        value = getattr(law, name)
        up, down = (replace(rest, **{name: value * (1 + s * h)}).loss(N, D) for s in (1, -1))
        assert gradient[name] * value == pytest.approx((up - down) / (2 * h), abs=1e-6 * rest.loss(N, D) * 30)
    assert gradient["E"] == 1


def test_many_laws_in_one():
    """Coefficients may be arrays: the resamples of a fit are one law."""
    many = replace(PAPER, A=np.array([[3000.0], [4000.0]]), E=np.array([[1.2], [1.3]]))
    loss = many.loss(np.array([1e8, 1e9, 1e10]), 1e11)
    assert loss.shape == (2, 3)
    assert loss[1, 2] == replace(PAPER, A=4000.0, E=1.3).loss(1e10, 1e11)
    with pytest.raises(ValueError, match=r"SupervisedLaw.A must be finite and positive"):
        replace(PAPER, A=np.array([1.0, 0.0]))
