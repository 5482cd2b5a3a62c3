import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY
from distlaw.laws import published
from distlaw.plan import Problem, equally_good_teachers, solve
from distlaw.plan.teacher_range import LARGEST_TEACHER, LOSS_TOLERANCE

FOUND = published("busbridge2025-consistent")
F = PAPER_FAMILY.forward_flops


@pytest.mark.parametrize("goal", [{"compute": 1e22}, {"compute": 1e20}, {"student_tokens": 1e11}, {"target_loss": 2.2}])
def test_every_teacher_of_the_range_gives_the_same_loss(goal):
    problem = Problem(student_params=1e9, **goal)
    plan = solve(FOUND.law, problem)
    for scenario in problem.scenarios:
        option = plan[scenario.name]
        found = equally_good_teachers(FOUND.law, problem, option)
        assert found.smallest.params <= option.teacher_params <= found.largest.params
        assert found.loss[0] <= option.teacher_loss <= found.loss[1]
        for one in (found.smallest, found.largest, found.cheapest):
            assert one.loss == pytest.approx(float(FOUND.supervised.loss(one.params, one.tokens)))
            assert one.training_flops == pytest.approx(3 * float(F(one.params)) * one.tokens)
            assert one.tokens <= 2e13 * (1 + 1e-9)
            assert one.training_flops >= found.cheapest.training_flops
            D_S = option.student_tokens
            if "compute" in goal:
                left = 1e22 if goal["compute"] == 1e22 else 1e20
                left = left - 3 * scenario.teacher_pretraining * F(one.params) * one.tokens
                D_S = left / (3 * F(1e9) + scenario.teacher_logits * F(one.params))
            loss = float(FOUND.law.student_loss(1e9, D_S, one.loss))
            assert loss <= option.student_loss + LOSS_TOLERANCE + 1e-9


def test_a_free_teacher_may_be_of_nearly_any_size_but_none_that_nobody_has():
    problem = Problem(student_params=1e9, compute=1e22)
    found = equally_good_teachers(FOUND.law, problem, solve(FOUND.law, problem)["best-case"])
    assert found.largest.params == pytest.approx(LARGEST_TEACHER)
    assert found.smallest.params < 3e9
    assert np.diff(found.loss)[0] > 0.03  # the loss is hardly determined either


def test_training_alone_has_no_teacher():
    problem = Problem(student_params=1e9, compute=1e22)
    plan = solve(FOUND.law, problem)
    assert equally_good_teachers(FOUND.law, problem, plan["supervised"]) is None
