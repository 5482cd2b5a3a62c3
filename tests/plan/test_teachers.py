import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY, SCENARIOS
from distlaw.plan import NO_TEACHER, Problem, Teacher, loss_from_bits_per_byte, rank_teachers

F = PAPER_FAMILY.forward_flops
PAID, FREE = SCENARIOS["teacher-inference"], SCENARIOS["best-case"]
TEACHERS = [
    Teacher(name="strong", params=7e9, loss=1.95),
    Teacher(name="weak", params=2e8, loss=2.6),
    Teacher(name="estimated", params=3e9, tokens=6e10),
    Teacher(name="sparse", params=7e9, loss=1.95, forward_flops=1e9),
]


def test_each_row_is_the_law(law):
    ranked = {r.name: r for r in rank_teachers(law, Problem(student_params=1e9, compute=1e21), TEACHERS, PAID)}
    assert set(ranked) == {"strong", "weak", "estimated", "sparse", NO_TEACHER}
    D_S = 1e21 / (3 * F(1e9) + F(7e9))
    strong = ranked["strong"]
    assert strong.student_tokens == pytest.approx(D_S)
    assert strong.student_loss == pytest.approx(law.student_loss(1e9, D_S, 1.95))
    assert strong.total_flops == pytest.approx(1e21)
    assert strong.limit == pytest.approx(law.student_loss(1e9, 1e17, 1.95))
    assert ranked["estimated"].teacher_loss == law.supervised.loss(3e9, 6e10)
    assert ranked["estimated"].loss_from == "estimated from size and tokens"
    assert ranked["sparse"].student_tokens > strong.student_tokens  # its logits cost less
    supervised = law.supervised.loss(1e9, 1e21 / (3 * F(1e9)))
    assert ranked[NO_TEACHER].student_loss == pytest.approx(supervised)
    for row in ranked.values():
        assert row.gain == pytest.approx(supervised - row.student_loss, abs=1e-12)


def test_order_and_the_place_of_no_teacher(law):
    ranked = rank_teachers(law, Problem(student_params=1e9, compute=3e20), TEACHERS, FREE)
    losses = [row.student_loss for row in ranked]
    assert losses == sorted(losses)
    assert ranked[0].name != NO_TEACHER
    assert ranked[-1].name == "weak"
    # At a large budget nothing beats training without a teacher.
    assert rank_teachers(law, Problem(student_params=1e9, compute=1e24), TEACHERS, PAID)[0].name == NO_TEACHER


def test_token_budget_gives_every_teacher_the_same_tokens(law):
    ranked = rank_teachers(law, Problem(student_params=1e9, student_tokens=5e10), TEACHERS, PAID)
    assert {row.student_tokens for row in ranked} == {5e10}
    cost = {row.name: row.total_flops for row in ranked}
    assert cost["strong"] == pytest.approx((3 * F(1e9) + F(7e9)) * 5e10)
    assert cost[NO_TEACHER] == pytest.approx(3 * F(1e9) * 5e10)


def test_a_teacher_that_the_budget_cannot_run_is_left_out(law):
    huge = Teacher(name="huge", params=1e16, loss=1.3)
    ranked = rank_teachers(law, Problem(student_params=1e9, compute=1e18), [*TEACHERS, huge], PAID)
    assert "huge" not in {row.name for row in ranked}
    assert len(ranked) == 5


def test_bits_per_byte():
    assert loss_from_bits_per_byte(1.0, 1.0) == pytest.approx(np.log(2))
    assert loss_from_bits_per_byte(0.8, 4.5) == pytest.approx(0.8 * 4.5 * np.log(2))
    with pytest.raises(ValueError, match="bits_per_byte must be a finite number above 0, got 0"):
        loss_from_bits_per_byte(0, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda law: rank_teachers(law, Problem(student_params=1e9, compute=1e21), [], PAID), "no teachers given"),
        (
            lambda law: rank_teachers(law, Problem(student_params=1e9, target_loss=2.2), TEACHERS, PAID),
            "ranked for a budget in compute or in student tokens",
        ),
        (
            lambda law: rank_teachers(
                law, Problem(student_params=1e9, compute=1e21), TEACHERS, SCENARIOS["teacher-pretraining"]
            ),
            "pays for teacher pretraining, but these teachers exist",
        ),
        (
            lambda law: rank_teachers(law, Problem(student_params=1e9, compute=1e12), TEACHERS, PAID),
            "budget is too small",
        ),
        (lambda _law: Teacher(name="x", params=1e9), "teacher 'x': give its loss, or its tokens"),
        (lambda _law: Teacher(name="x", params=1e9, loss=-1), "teacher 'x': loss must be a finite number above 0"),
    ],
)
def test_refusals(law, call, message):
    with pytest.raises(ValueError, match=message):
        call(law)
