import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.evidence.chance import deviation_interval, f_quantile, f_tail, t_quantile

# Published tables: upper 5 % of F, of chi-square over its degrees of freedom, two-sided 5 % of t.


@pytest.mark.parametrize(
    ("chance", "top", "bottom", "value"),
    [
        (0.95, 1, 1, 161.448),
        (0.95, 3, 20, 3.0984),
        (0.95, 10, 5, 4.7351),
        (0.99, 2, 8, 8.6491),
        (0.95, 4, np.inf, 9.487729 / 4),
        (0.05, 4, np.inf, 0.710723 / 4),
    ],
)
def test_quantiles_are_those_of_the_tables(chance, top, bottom, value):
    assert f_quantile(chance, top, bottom) == pytest.approx(value, rel=1e-4)
    assert f_tail(value, top, bottom) == pytest.approx(1 - chance, rel=1e-3)


@pytest.mark.parametrize(("freedom", "value"), [(1, 12.7062), (5, 2.5706), (30, 2.0423)])
def test_t_is_that_of_the_tables(freedom, value):
    assert t_quantile(0.95, freedom) == pytest.approx(value, rel=1e-4)


def test_nothing_is_below_zero():
    assert f_tail(0.0, 3, 7) == f_tail(-1.0, 3, 7) == 1.0


@given(st.floats(0.01, 0.99), st.sampled_from([1, 2, 5, 40]), st.sampled_from([1, 3, 12, 200]))
def test_tail_inverts_the_quantile(chance, top, bottom):
    assert f_tail(f_quantile(chance, top, bottom), top, bottom) == pytest.approx(1 - chance, abs=1e-6)


def test_interval_of_a_deviation_covers_it():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, 6)).std(axis=1, ddof=1)
    ends = np.array([deviation_interval(std, 5, 0.9) for std in drawn])
    assert np.mean((ends[:, 0] < 1) & (ends[:, 1] > 1)) == pytest.approx(0.9, abs=0.015)
