import numpy as np
import pytest

pytest.importorskip("torch")

from tests.labs.simulate import findings_of, noise

from distlaw.labs.mixing import LAB, MIXINGS, Pair, seed_noise
from distlaw.labs.trials import scale

TOKENS, COMPUTE = slice(0, 4, 2), slice(1, 4, 2)  # claims on the small and on the undertrained teacher


def loss_with(change, *, teacher=3.0, longer=0.0, scatter=0.003):
    """Loss of students: 3.2 nats alone, changed by lambda, and by `longer` a nat of tokens.

    Args:
        change: What lambda adds, nats.
        teacher: Loss of every teacher.
        longer: What supervised students gain by e times the tokens.
        scatter: Noise of a run; seeds share more than that.
    """

    def loss(study, run):
        if run.split == "teacher":
            return teacher
        own = 3.2 + 0.02 * noise(run.seed) + scatter * noise(run.id)
        if run.teacher is None:
            return own - longer * np.log(run.tokens / scale("quick").tokens)
        return own + change(study.setup(run).loss.mixing)

    return loss


def verdicts(loss, tmp_path):
    return [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings]


def valley(mixing):
    return (mixing - 0.3) ** 2 - 0.1


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(valley, "holds"), (lambda mixing: 0.05 + 0.1 * mixing, "does not hold"), (lambda _mixing: 0.0, "undecided")],
)
def test_help_of_weak_teachers_is_found_where_it_was_planted(change, verdict, tmp_path):
    assert verdicts(loss_with(change), tmp_path)[:4] == [verdict] * 4


def test_help_at_equal_tokens_may_be_none_at_equal_compute(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(valley, longer=1.0, scatter=0.0)).findings
    assert [finding.verdict for finding in found[TOKENS]] == ["holds"] * 2
    assert [finding.verdict for finding in found[COMPUTE]] == ["holds", "does not hold"]  # F_T / (3 F_S) is 4 and 33 %
    assert [finding.effect.value for finding in found[TOKENS]] == pytest.approx([0.1] * 2)
    assert found[3].effect.value == pytest.approx(0.1 - np.log(1 + 1 / 3), abs=0.01)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda mixing: 0.5 * max(0.3 - mixing, 0.0), "holds"),
        (lambda mixing: 0.5 * abs(mixing - 0.5), "does not hold"),
    ],
)
@pytest.mark.parametrize("teacher", [3.0, 3.5])
def test_flatness_above_one_half_is_of_the_planted_course(change, verdict, teacher, tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(change, teacher=teacher)).findings
    assert len(found) == 5  # all teachers are better than the students alone, or none is
    assert ("no better" in found[4].claim) == (teacher == 3.5)
    assert found[4].verdict == verdict


def test_flatness_is_undecided_where_noise_is_of_runs_and_not_shared(tmp_path):
    assert verdicts(loss_with(lambda _mixing: 0.0, scatter=0.1), tmp_path)[4] == "undecided"


def test_choosing_lambda_makes_no_gain():
    rng = np.random.default_rng(0)

    def pair():
        losses = {mixing: dict(enumerate(rng.normal(size=3))) for mixing in (0.0, *MIXINGS["full"])}
        return Pair(params=1, teacher_loss=3.0, losses=losses, equal_compute=losses[0.0], tokens=1, compute_tokens=1)

    pairs = [pair() for _ in range(2000)]
    gains = [one.gain(one.alone) for one in pairs]
    assert np.mean([gain.value for gain in gains]) == pytest.approx(0.0, abs=0.05)
    assert np.mean([gain.interval[0] > 0 for gain in gains]) == pytest.approx(0.05, abs=0.025)
    assert all(one.chosen.keys() == {0, 1, 2} and 0.0 not in one.chosen.values() for one in pairs)


def test_seed_noise_is_what_seeds_differ_by():
    losses = {0.5: {0: 1.0, 1: 3.0}, 1.0: {0: 11.0, 1: 11.0}}
    pair = Pair(params=1, teacher_loss=3.0, losses=losses, equal_compute={}, tokens=1, compute_tokens=1)
    assert seed_noise([pair]) == pytest.approx(1.0)


def test_table_names_the_best_lambda_and_every_loss(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(valley, scatter=0.0))
    best, losses = found.tables
    assert [row[4] for row in best.rows] == [0.3] * 6
    assert [row[6] for row in best.rows] == ["0.3, 0.3, 0.3"] * 6
    assert best.rows[-2][-1] == pytest.approx(1 + 1 / 3, abs=0.01)  # the teacher is as large as its student
    assert [row[1] for row in losses.rows] == [0.0, *MIXINGS["quick"]] * 6
    assert [len(panel.series) for panel in found.charts[0].panels] == [3, 3]


def test_full_tries_one_more_weak_teacher(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(valley), preset="full").findings
    assert [finding.verdict for finding in found[:6]] == ["holds"] * 6
    assert "middling" in found[2].claim
