import numpy as np
import pytest

from distlaw.costs import SCENARIOS
from distlaw.laws import DEFAULT_LAW, published
from distlaw.plan import NO_TEACHER, Problem, Teacher, rank_teachers
from distlaw.plan.ranking import supervised_row
from distlaw.plan.ranking_words import ranking_headline, ranking_sentences
from distlaw.plan.teachers import ESTIMATED, FROM_BITS, same_tokenizer

FOUND = published(DEFAULT_LAW)
PAID = SCENARIOS["teacher-inference"]
SMALL, LARGE = Problem(student_params=1e9, compute=1e20), Problem(student_params=1e9, compute=3e23)
OWN = [Teacher(name="near", params=1e9, loss=2.15), Teacher(name="far", params=7e10, loss=1.9)]


def ranked(problem, teachers, **named):
    forms = {k: f.law for k, f in FOUND.forms.items()}
    draws = {k: f.thinned(48) for k, f in FOUND.forms.items()}
    return rank_teachers(
        FOUND.law, problem, teachers, PAID, forms=forms, draws=draws, resolution=FOUND.resolution, **named
    )


def test_a_teacher_that_pays_a_teacher_that_does_not_and_one_that_nobody_can_tell():
    rows = {row.name: row for row in ranked(SMALL, OWN)}
    assert rows["near"].decision == "distill"
    assert rows["far"].decision == "train supervised"  # its logits cost far more than they are worth
    assert rows[NO_TEACHER].decision is None
    level = ranked(Problem(student_params=1e9, compute=1e21), [OWN[0]])
    assert {row.name: row.decision for row in level}["near"] == "too close to call"
    low, high = rows["near"].gain_interval
    assert low < rows["near"].gain < high
    assert set(rows["near"].by_form) == set(FOUND.forms)


def test_the_error_of_the_teachers_loss_is_carried():
    errors = [0.08, 0.001, 0.3]
    rows = [ranked(SMALL, [Teacher(name="t", params=1e9, loss=2.15, loss_error=e)]) for e in errors]
    widths = [float(np.diff(next(r for r in row if r.name == "t").gain_interval)[0]) for row in rows]
    assert widths[1] < widths[0] < widths[2]
    taken = {"measured": 0.005, FROM_BITS: 0.01, ESTIMATED: 0.02}
    teachers = [
        Teacher(name="measured", params=1e9, loss=2.15),
        Teacher(name=FROM_BITS, params=1e9, loss=2.15, loss_from=FROM_BITS),
        Teacher(name=ESTIMATED, params=1e9, tokens=1e12),
    ]
    for row in ranked(SMALL, teachers):
        if row.name != NO_TEACHER:
            assert row.teacher_loss_error == pytest.approx(taken[row.name] * row.teacher_loss)


def test_the_answer_turns_where_it_says():
    row = next(r for r in ranked(SMALL, OWN) if r.name == "near")
    _, above = row.turns_at
    assert above > row.teacher_loss
    for factor, sign in ((0.999, 1), (1.001, -1)):
        at = ranked(SMALL, [Teacher(name="near", params=1e9, loss=above * factor)])
        assert np.sign(next(r for r in at if r.name == "near").gain) == sign
    assert f"above {above:.3f}" in ranking_sentences(ranked(SMALL, OWN))[0]


def test_in_words():
    text = ranking_headline(ranked(SMALL, OWN), SMALL, PAID)
    assert text.startswith("Distill from 'near' (1B parameters, loss of 2.150 ± 0.011 nats, measured): ")
    assert "90 % interval" in text
    text = ranking_headline(ranked(SMALL, OWN[1:]), SMALL, PAID)
    assert text.startswith("Train from scratch: a student of 1B parameters ends at 2.419 nats (")
    assert "'far'" in text
    assert "worse" in text
    level = Problem(student_params=1e9, compute=1e21)
    text = ranking_headline(ranked(level, OWN[:1]), level, PAID)
    assert text.startswith("Too close to call: ")
    assert "all that the law can tell" in text
    twins = [Teacher(name=name, params=1e9, loss=2.15) for name in ("one", "two")]
    assert "As good to 0.02 nats, which is all that the law can tell: 'two'." in ranking_sentences(ranked(SMALL, twins))


def test_a_teacher_with_another_tokenizer_comes_last_and_is_never_the_answer():
    other = Teacher(name="other", params=1e9, loss=2.1, vocabulary=151_936)
    rows = ranked(SMALL, [other], vocabulary=49_152)
    assert [row.name for row in rows] == [NO_TEACHER, "other"]
    assert rows[1].other_tokenizer
    assert "every teacher has another tokenizer" in ranking_headline(rows, SMALL, PAID)
    assert ranked(SMALL, [other], vocabulary=152_064)[0].name == "other"  # padding apart, one tokenizer
    assert ranked(SMALL, [other])[0].name == "other"  # nobody knows the student's


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(151_936, 152_064, True), (50_257, 50_304, True), (151_936, 49_152, False), (512, 1024, False), (None, 512, True)],
)
def test_padding_is_no_other_tokenizer(one, other, same):
    assert same_tokenizer(one, other) == same_tokenizer(other, one) == same


@pytest.mark.parametrize("name", ["besiroglu2024", "busbridge2025", DEFAULT_LAW])
def test_one_loss_without_a_teacher_has_an_interval(name):
    row = supervised_row(published(name), 1e9, 1e11)
    low, high = row.student_loss_interval
    assert low < row.student_loss < high
    assert high / low - 1 == pytest.approx(2 * 1.645 * 0.005, rel=0.1)
