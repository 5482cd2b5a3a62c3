from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.labs.simulate import findings_of, noise

from distlaw.labs.learning_rate import DEPTHS, KINDS, LAB, RATES, WIDTHS, Optimum, optimum, shift

GRID = (0.01, 0.02, 0.04, 0.08, 0.16)


@given(st.floats(log2(0.015), log2(0.11)), st.floats(0.01, 1.0), st.lists(st.floats(-5, 5), min_size=1, max_size=3))
def test_the_vertex_of_a_parabola_is_found_exactly(best, curvature, offsets):
    losses = {
        rate: {seed: 3 + offset + curvature * (log2(rate) - best) ** 2 for seed, offset in enumerate(offsets)}
        for rate in GRID
    }
    found = optimum(losses)
    assert found.bracketed
    assert found.log2_rate == pytest.approx(dict.fromkeys(range(len(offsets)), best), abs=1e-6)


def test_a_least_loss_at_the_end_of_the_rates_is_a_bound():
    found = optimum({rate: {0: rate, 1: rate} for rate in GRID})
    assert found == Optimum(log2_rate={0: log2(0.01), 1: log2(0.01)}, bracketed=False)


def test_a_seed_of_another_shape_stays_between_the_neighbours():
    found = optimum({0.01: {0: 3.0, 1: 1.0}, 0.02: {0: 1.0, 1: 1.9}, 0.04: {0: 3.0, 1: 2.0}})
    assert found.log2_rate == pytest.approx({0: log2(0.02), 1: log2(0.01)})


def test_shift_is_octaves_a_doubling():
    halving = {
        width: Optimum(log2_rate={0: -log2(width), 1: 3 - log2(width)}, bracketed=True) for width in (16, 32, 64)
    }
    assert shift(halving).value == pytest.approx(-1.0)


def test_a_bound_leaves_the_verdict_open(tmp_path):
    found = findings_of(LAB, tmp_path, planted(standard=-2.5, scatter=0.0))
    assert [finding.verdict for finding in found.findings] == ["holds", "undecided", "holds", "holds"]
    assert "the best of 2 of 10 curves" in found.notes[0]


def planted(*, width=0.0, standard=-1.0, depth=0.0, distilled=0.0, scatter=0.001):
    """Losses whose best log2 rate moves by so many octaves as a size doubles, or for distilling."""

    def loss(study, run):
        setup = study.setup(run)
        if run.split == "teacher":
            return 2.5
        doublings = log2(run.layers * setup.family.aspect_ratio / 32)
        by_width = width if setup.training.parametrisation == "mup" else standard
        best = log2(0.04) + by_width * doublings + depth * log2(run.layers / 2) + distilled * (run.teacher is not None)
        return 3.0 + 0.05 * noise(run.seed) + scatter * noise(run.id) + 0.2 * (log2(setup.training.rate) - best) ** 2

    return loss


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (planted(), ["holds"] * 4),
        (planted(width=-0.5), ["does not hold", "holds", "holds", "holds"]),
        (planted(standard=0.0), ["holds", "does not hold", "holds", "holds"]),
        (planted(depth=-0.6), ["holds", "holds", "does not hold", "holds"]),
        (planted(distilled=0.8), ["holds", "holds", "holds", "does not hold"]),
        (planted(standard=-0.25, scatter=0.1), ["undecided"] * 3),
    ],
)
def test_verdicts_are_those_of_the_planted_optima(loss, expected, tmp_path):
    found = [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings]
    assert found[: len(expected)] == expected


def test_effects_are_the_planted_ones(tmp_path):
    found = findings_of(LAB, tmp_path, planted(width=-0.1, standard=-0.75, depth=0.2, distilled=0.3, scatter=0.0))
    assert [finding.effect.value for finding in found.findings] == pytest.approx([-0.1, -0.75, 0.2, 0.3], abs=1e-6)
    assert "the best of 0 of 10 curves" in found.notes[0]


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_every_model_is_trained_at_every_rate_with_the_width_that_is_meant(preset):
    study = LAB.study(preset, 0)
    found: dict[tuple, set[float]] = {}
    for run in study.runs:
        if run.split == "student":
            setup = study.setup(run)
            learning = "distilled" if run.teacher else "supervised"
            width = study.shape(run).d_model
            assert width == run.layers * setup.family.aspect_ratio
            kind = (setup.training.parametrisation, learning)
            found.setdefault((*kind, width, run.layers), set()).add(setup.training.rate)
    assert {kind[:2] for kind in found} == set(KINDS)
    assert all(rates == set(RATES[preset][kind[0]]) for kind, rates in found.items())
    assert {width for _, _, width, layers in found if layers == 2} == set(WIDTHS[preset])
    assert {layers for *_, layers in found} == {*DEPTHS[preset], 2}
