import numpy as np
import pytest
from tests.labs.simulate import findings_of, noise

from distlaw.labs.trials import chosen_by_others, scale
from distlaw.labs.weak_to_strong import LAB, MULTIPLES, dip

FIRST = round(scale("quick").tokens / 8)
TEACHER = 3.5


def loss_of(over, scatter=0.001):
    """Student's loss over the teacher's as a function of the multiple of the fewest tokens."""

    def loss(_study, run):
        return TEACHER if run.teacher is None else TEACHER + over(run.tokens / FIRST) + scatter * noise(run.id)

    return loss


def dipping(times):
    return 0.5 / times**2 - 0.03 * (times >= 4) + 0.02 * (times >= 16)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (loss_of(dipping), ["holds", "holds"]),
        (loss_of(lambda times: 0.5 / times), ["does not hold", "undecided"]),  # it comes down and is still on its way
        (loss_of(lambda times: 0.5 / times - 0.1), ["holds", "undecided"]),
        (loss_of(lambda _times: 0.0), ["undecided", "undecided"]),
    ],
)
def test_verdicts_are_those_of_the_planted_course(loss, expected, tmp_path):
    assert [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings] == expected


def test_effects_are_the_depth_of_the_dip_and_the_rise_from_it(tmp_path):
    found = findings_of(LAB, tmp_path, loss_of(dipping, scatter=0.0))
    least = dipping(8)
    assert found.findings[0].effect.value == pytest.approx(least)
    assert found.findings[1].effect.value == pytest.approx(dipping(32) - least)


def test_choosing_among_noisy_lengths_makes_no_dip():
    generator = np.random.default_rng(0)
    leads = []
    for _ in range(400):
        course = {D: dict(enumerate(generator.normal(TEACHER, 0.01, 3))) for D in range(1, 7)}
        leads.append(dip(course, TEACHER).lead.value)
    assert abs(np.mean(leads)) < 4 * 0.01 / np.sqrt(3 * 400)


def test_a_seed_has_no_say_in_its_own_choice():
    assert chosen_by_others({1.0: {0: 0.0, 1: 5.0}, 2.0: {0: 1.0, 1: 1.0}}) == {0: 2.0, 1: 1.0}
    assert chosen_by_others({1.0: {0: 2.0}, 2.0: {0: 1.0}}) == {0: 2.0}  # alone, it chooses for itself


def test_students_are_larger_than_their_teachers():
    study = LAB.study("full", 0)
    students = [run for run in study.runs if run.teacher is not None]
    assert all(study.shape(run).n_params > study.shape(run.teacher).n_params for run in students if run.teacher)
    assert len({(run.teacher, run.layers) for run in students}) == 3
    assert len({(run.teacher, run.layers, run.tokens) for run in students}) == 3 * len(MULTIPLES)
