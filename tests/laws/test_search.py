import numpy as np
import pytest

from distlaw.laws.search import bisect_decreasing, minimise, minimise_nested


def test_finds_the_global_one_of_many_minima():
    phase = np.linspace(0, 3, 200).reshape(-1, 1, 1, 1)

    def wavy(x):
        return np.sin(25 * x + phase) + 2 * (x - 0.4) ** 2

    x, value = minimise(wavy)
    dense = wavy(np.linspace(0, 1, 200001).reshape(1, 1, -1, 1))[:, 0, :, 0].min(axis=1)
    assert x.shape == value.shape == (200,)
    assert (value <= dense + 1e-9).all()


def test_finds_minima_on_the_border():
    x, value = minimise(lambda x: x + 0 * x)
    assert (x[0], value[0]) == (0.0, 0.0)
    x, value = minimise(lambda x: -x)
    assert (x[0], value[0]) == (1.0, -1.0)


def test_nested_follows_a_slanted_valley():
    target = np.linspace(0.1, 0.9, 7).reshape(-1, 1, 1, 1)

    def inner(x, y):
        return (y - 0.5 * x - 0.2) ** 2 + 0.1 * (x - target) ** 2

    x, y, value = minimise_nested(inner, lambda _x, best: best)
    np.testing.assert_allclose(x, target.ravel(), atol=1e-4)
    np.testing.assert_allclose(y, 0.5 * target.ravel() + 0.2, atol=1e-4)
    assert (value < 1e-8).all()


def test_nothing_feasible_is_infinite():
    _, _, value = minimise_nested(lambda x, y: x + y, lambda x, best: np.full(np.broadcast(x, best).shape, np.inf))
    assert np.isinf(value).all()


def test_bisection():
    low, high = np.zeros(4), np.ones(4)
    roots = bisect_decreasing(lambda x: np.array([0.25, -0.5, 2.0, 1.0]) - x, low, high)
    assert roots[0] == pytest.approx(0.25, abs=1e-12)
    assert roots[1] == 0.0  # reached already
    assert roots[2] == np.inf  # never
    assert roots[3] == 1.0
