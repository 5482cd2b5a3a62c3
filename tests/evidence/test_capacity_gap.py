from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence.answer import CannotSay
from distlaw.evidence.capacity_gap import capacity_gap
from distlaw.evidence.cells import gather
from distlaw.evidence.noise import seed_noise


def gap_of(runs):
    cells, _ = gather(runs)
    return capacity_gap(cells.select(cells.distilled), seed_noise(cells), seed=0)


def test_a_planted_gap_is_found(study):
    for seed in range(4):
        found = gap_of(study.simulate(study.PEAKED, seed=seed))
        assert found.verdict == "holds"
        smallest = found.students[0]
        assert (smallest.student_params, smallest.student_tokens) == (14e3, 1e6)
        assert smallest.verdict == "holds"
        assert smallest.best_teacher_loss > 2.45
        truth = study.PEAKED.student_loss(14e3, 1e6, np.array([smallest.strongest_teacher_loss, 2.8]))
        assert smallest.interval[0] < truth[0] - truth[1] < smallest.interval[1]


def test_an_absent_gap_is_not_claimed(study):
    claims = 0
    for seed in range(30):
        found = gap_of(study.simulate(study.CONSTANT, noise=0.003, seed=seed))
        claims += found.verdict == "holds"
        assert found.adjusted <= 1
    assert claims <= 3


def test_an_absent_gap_is_ruled_out_where_seeds_allow(study):
    cells, _ = gather(study.simulate(study.CONSTANT, noise=0.003, seeds=6))
    taught, noise = cells.select(cells.distilled), seed_noise(cells)
    exact = study.CONSTANT.student_loss(taught.student_params, taught.student_tokens, taught.teacher_loss)
    found = capacity_gap(replace(taught, loss=exact), noise, seed=0)
    assert all(student.verdict == "does not hold" for student in found.students)
    assert found.verdict == "does not hold"


def test_intervals_cover_all_rises_at_once(study):
    """Students that are all alike: 90 % of the intervals hold the true rise, 0, though the best of them is chosen."""
    cells, _ = gather(study.simulate(seeds=2))
    cells = cells.select(cells.distilled)
    first = cells.select(cells.students()[0][2])
    noise = seed_noise(cells)
    std, rng, above = noise.pooled.relative_std, np.random.default_rng(0), 0
    for _ in range(150):
        drawn = replace(first, loss=3.0 * np.exp(std / np.sqrt(first.runs) * rng.normal(size=len(first))))
        above += capacity_gap(drawn, noise, seed=0).students[0].interval[0] > 0
    assert above <= 15  # one side of 90 %, with 150 draws


def test_more_seeds_narrow_the_interval(study):
    width = [np.ptp(gap_of(study.simulate(study.PEAKED, seeds=n)).students[0].interval) for n in (2, 8)]
    assert width[1] < 0.6 * width[0]


def test_without_seeds_or_teachers_it_cannot_say(peaked):
    cells, _ = gather(peaked)
    taught = cells.select(cells.distilled)
    assert "second seed" in capacity_gap(taught, None, seed=0).because
    two = taught.select(np.isin(taught.teacher_params, [390e3, 900e3]))
    found = capacity_gap(two, seed_noise(cells), seed=0)
    assert isinstance(found, CannotSay)
    assert "3 teachers" in found.because


def test_the_same_seed_gives_the_same_answer(peaked):
    assert gap_of(peaked) == gap_of(peaked)
    assert gap_of(peaked).students[0].rise == pytest.approx(gap_of(peaked).students[0].rise)
