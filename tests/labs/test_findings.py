import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.labs.findings import Effect, above, all_of, below, effect_series, every, over_seeds, within


def effect(low, high):
    return Effect(value=(low + high) / 2, interval=(low, high))


def test_a_series_of_effects_has_their_values_and_intervals():
    series = effect_series("a", [1, 2], (effect(*ends) for ends in ((0.0, 1.0), (2.0, 4.0))), colour=1)
    assert [series.x.tolist(), series.y.tolist()] == [[1.0, 2.0], [0.5, 3.0]]
    assert [series.low.tolist(), series.high.tolist()] == [[0.0, 2.0], [1.0, 4.0]]
    assert (series.name, series.kind, series.colour) == ("a", "line-points", 1)


def test_a_verdict_needs_the_whole_interval():
    assert [above(effect(*ends)) for ends in ((0.1, 0.3), (-0.1, 0.3), (-0.3, -0.1))] == [
        "holds",
        "undecided",
        "does not hold",
    ]
    assert [below(effect(*ends), 1.0) for ends in ((0.1, 0.3), (0.9, 1.1), (1.1, 1.2))] == [
        "holds",
        "undecided",
        "does not hold",
    ]
    assert [within(effect(*ends), 0.2) for ends in ((-0.1, 0.1), (0.1, 0.3), (0.3, 0.4), (-0.4, -0.3))] == [
        "holds",
        "undecided",
        "does not hold",
        "does not hold",
    ]


def test_one_seed_decides_nothing():
    alone = over_seeds([5.0], "nats")
    assert (alone.value, alone.unit) == (5.0, "nats")
    assert alone.interval == (-math.inf, math.inf)
    assert above(alone) == below(alone) == within(alone, 1e9) == "undecided"


def test_a_claim_of_several_parts_is_as_good_as_its_worst():
    assert all_of(["holds", "holds"]) == "holds"
    assert all_of(["holds", "undecided"]) == "undecided"
    assert all_of(["undecided", "does not hold", "holds"]) == "does not hold"
    assert all_of([]) == "undecided"


def test_the_part_that_decides_is_shown_as_it_decides():
    parts = {"sure": effect(0.2, 0.3), "open": effect(-5.0, 6.0), "less": effect(0.1, 0.2)}
    assert every(parts, 3) == ("open", parts["open"], "undecided")
    del parts["open"]
    assert every(parts, 3) == ("less", parts["less"], "holds")
    assert every({"only": effect(-0.2, -0.1)}, 3) == ("only", effect(-0.2, -0.1), "does not hold")
    part, shown, verdict = every({"less": effect(-0.2, -0.02), "sure": effect(0.2, 0.3)}, 3)
    assert (part, verdict) == ("less", "undecided")  # one of two might be so by chance
    assert shown.value == pytest.approx(-0.11)
    assert shown.interval[1] > 0


def test_chance_fails_a_claim_of_many_parts_as_seldom_as_one_of_one():
    rng = np.random.default_rng(0)
    failed = [
        every(dict(enumerate(over_seeds(part) for part in rng.normal(size=(8, 3)))), 3)[2] == "does not hold"
        for _ in range(1000)
    ]
    assert np.mean(failed) == pytest.approx(0.05, abs=0.02)


def test_intervals_over_seeds_cover_as_often_as_they_say():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(1000):
        low, high = over_seeds(rng.normal(1.0, 0.3, size=3)).interval
        inside += low < 1.0 < high
    assert 0.87 < inside / 1000 < 0.93


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6), shift=st.floats(-10, 10))
def test_an_interval_moves_with_its_values(values, shift):
    one, other = over_seeds(values), over_seeds(np.array(values) + shift)
    assert other.value == pytest.approx(one.value + shift, abs=1e-9)
    assert np.diff(other.interval)[0] == pytest.approx(np.diff(one.interval)[0], abs=1e-9)
    assert one.interval[0] <= one.value <= one.interval[1]
