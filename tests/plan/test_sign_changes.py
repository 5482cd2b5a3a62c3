from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from distlaw.plan.sign_changes import sign_changes, spans_above


def of(function, limits=(0.0, 10.0), levels=(0.0,)):
    return [one[0] for one in sign_changes(lambda _rows, x: function(x), 1, limits, levels)]


@given(st.lists(st.floats(0.3, 9.7), min_size=0, max_size=7, unique=True), st.sampled_from([-1.0, 1.0]))
def test_every_root_of_a_polynomial_is_found(roots, sign):
    roots = sorted(roots)
    assume(all(b - a > 0.2 for a, b in pairwise(roots)))  # more than a step of the scan

    def function(x):
        return sign * np.prod([np.sin((x - root) / 4) for root in roots], axis=0) if roots else sign + 0 * x

    [found] = of(function)
    np.testing.assert_allclose(found.at, roots, atol=1e-5)
    dense = np.linspace(0, 10, 20001)
    assert found.starts_above == (function(np.array([0.0]))[0] > 0)
    above = np.zeros(dense.shape, dtype=bool)
    for low, high in spans_above(found, np.exp(10.0)):
        above |= (dense >= np.log(low)) & (dense <= np.log(high))
    far = np.min(np.abs(dense[:, None] - np.array([*roots, -99.0])), axis=1) > 1e-3
    np.testing.assert_array_equal(above[far], (function(dense) > 0)[far])


def test_a_dip_between_two_points_of_the_scan_is_found():
    """Ahead everywhere but in a dip a tenth of a step of the scan wide."""
    centre, width = 4.321, 10 / 63 / 10

    def function(x):
        return (x - centre) ** 2 - width**2

    [found] = of(function)
    np.testing.assert_allclose(found.at, [centre - width, centre + width], atol=1e-5)
    assert found.rises.tolist() == [False, True]


def test_a_function_that_only_touches_has_no_change():
    [found] = of(lambda x: (x - 3.3) ** 2 + 1e-6)
    assert found.at.size == 0
    assert spans_above(found, np.exp(10.0)) == ((1.0, pytest.approx(np.exp(10.0))),)


def test_levels_and_rows_are_kept_apart():
    def function(rows, x):
        return np.where(rows[:, None] == 0, x - 2.0, 7.0 - x)

    zero, one = sign_changes(function, 2, (0.0, 10.0), [0.0, 1.0])
    assert [row.at.round(5).tolist() for row in zero] == [[2.0], [7.0]]
    assert [row.at.round(5).tolist() for row in one] == [[3.0], [6.0]]
    assert one[1].negated.rises.tolist() == [True]


def test_where_there_is_no_value_nothing_is_searched():
    [found] = of(lambda x: np.where(x < 4.0, np.nan, x - 6.0))
    assert found.low >= 4.0
    np.testing.assert_allclose(found.at, [6.0], atol=1e-5)
    [nothing] = of(lambda x: np.nan * x)
    assert not nothing.starts_above
    assert spans_above(nothing, np.exp(10.0)) == ()
