import numpy as np
import pytest

from distlaw.evidence.alone import EXTENDED, LAW, MEASURED


@pytest.fixture(scope="module")
def curves(constant, read_up):
    cells, _, noise, _, alone, losses = read_up(constant)
    return cells.select(~cells.distilled), noise, alone, losses


def test_a_curve_passes_through_its_runs(curves):
    cells, _, alone, _ = curves
    np.testing.assert_allclose(alone.loss(cells.student_params, cells.student_tokens)[0], cells.loss, rtol=1e-12)


def test_draws_scatter_as_seeds_do(curves):
    cells, noise, alone, _ = curves
    drawn = alone.loss(cells.student_params, cells.student_tokens)[1:]
    expected = noise.relative(cells.student_tokens) / np.sqrt(cells.runs)
    np.testing.assert_allclose(np.log(drawn).std(axis=0).mean(), expected.mean(), rtol=0.1)


def test_tokens_to_reach_inverts_the_curve(curves):
    _, _, alone, _ = curves
    N, D = np.array([27e3, 27e3, 27e3, 107e3, 33e3]), np.array([0.6e6, 1.7e6, 40e6, 5e6, 3e6])
    np.testing.assert_allclose(alone.tokens_to_reach(alone.loss(N, D), N)[0], D, rtol=2e-3)


def test_a_loss_below_what_the_size_can_reach_takes_endless_tokens(curves):
    _, _, alone, _ = curves
    floor = alone.laws.infinite_data_loss(14e3)
    assert np.isinf(alone.tokens_to_reach(floor - 0.1, [14e3])).all()


def test_between_runs_the_curve_bends_as_the_law_does(curves, study):
    _, _, alone, _ = curves
    D = np.geomspace(1e6, 4e6, 9)
    np.testing.assert_allclose(alone.loss(np.full(9, 27e3), D)[0], study.ALONE.loss(27e3, D), rtol=0.01)


def test_says_how_a_loss_is_known(curves):
    _, _, alone, _ = curves
    assert alone.method(27e3, 2e6) == MEASURED
    assert alone.method(27e3, 1e9) == EXTENDED
    assert alone.method(28e3, 2e6) == LAW


def test_losses_and_their_draws(read_up, constant):
    _, taught, noise, _, _, losses = read_up(constant)
    np.testing.assert_array_equal(losses[0], taught.loss)
    scatter = np.log(losses[1:] / losses[0]).std(axis=0)
    np.testing.assert_allclose(scatter, noise.pooled.relative_std / np.sqrt(2), rtol=0.25)
