import numpy as np
import pytest

from distlaw.laws import published
from distlaw.plan import Problem, solve
from distlaw.plan.sanity import implausible, require_loss, require_plausible, require_student, require_teacher_loss

FOUND = published("busbridge2025-consistent")


@pytest.mark.parametrize("params", [7, 999.0, 1e-3])
def test_students_of_no_size_are_refused(params):
    with pytest.raises(ValueError, match=f"student_params {params:g} is no size of a language model"):
        require_student(params)
    require_student(3400)


def test_teachers_that_no_model_can_be_are_refused():
    with pytest.raises(ValueError, match=r"teacher_loss 1.2 is at or below E = 1.22"):
        require_teacher_loss(1.2, FOUND.supervised, 32768)
    with pytest.raises(ValueError, match=r"above 10.40 nats, the loss of a uniform guess"):
        require_teacher_loss(10.5, FOUND.supervised, 32768)
    require_teacher_loss(2.0, FOUND.supervised, 32768)


def test_losses_above_a_uniform_guess_are_named():
    uniform = np.log(512)
    plan = solve(FOUND.law, Problem(student_params=3e5, student_tokens=1e7))
    assert plan["supervised"].student_loss > uniform
    assert set(implausible(plan, 512)) >= {"supervised"}
    with pytest.raises(ValueError, match="it does not hold for a student of 300000 parameters"):
        require_plausible(plan, 512)
    fine = solve(FOUND.law, Problem(student_params=1e9, compute=1e21))
    assert require_plausible(fine, 32768) == []
    with pytest.raises(ValueError, match="it does not hold there"):
        require_loss(11.0, 1e6, 1e6, 32768)
