from dataclasses import replace

import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY, SCENARIOS, CostModel, Scenario, student_cost


def test_table_2():
    assert {name: (s.teacher_logits, s.teacher_pretraining) for name, s in SCENARIOS.items()} == {
        "best-case": (0, 0),
        "teacher-inference": (1, 0),
        "teacher-pretraining": (0, 1),
        "teacher-pretraining-and-inference": (1, 1),
    }
    assert all(name == scenario.name for name, scenario in SCENARIOS.items())


def test_equation_9_part_by_part():
    flops = student_cost(F_S=2.0, D_S=10.0, F_T=5.0, D_T=7.0, teacher_logits=0.5, teacher_pretraining=0.25)
    assert (flops.student_training, flops.teacher_logits, flops.teacher_training) == (60, 25, 26.25)
    assert flops.total == 3 * 2 * 10 + 5 * (0.5 * 10 + 0.25 * 3 * 7)


def test_supervised_is_the_case_without_a_teacher_and_serving_is_a_forward_pass():
    assert student_cost(F_S=2.0, D_S=10.0).total == 60
    assert student_cost(F_S=2.0, D_S=10.0, serving_tokens=100.0).total == 60 + 200


def test_broadcasts():
    assert student_cost(F_S=np.ones(3), D_S=np.ones((2, 1)), F_T=1.0, D_T=1.0).total.shape == (2, 3)


def test_sharing():
    both = SCENARIOS["teacher-pretraining-and-inference"]
    assert both.shared() == both
    assert both.shared(students=4) == replace(both, teacher_pretraining=0.25)
    assert both.shared(students=4, shared_logits=True) == replace(both, teacher_pretraining=0.25, teacher_logits=0.25)
    assert both.shared(cached_fraction=0.75).teacher_logits == 0.25
    assert both.shared(cached_fraction=1.0).teacher_logits == 0.0
    # A scenario that does not pay for something has nothing to share.
    assert SCENARIOS["best-case"].shared(students=10, cached_fraction=0.5) == SCENARIOS["best-case"]


def test_a_student_of_k_pays_a_kth_of_the_teacher():
    alone = student_cost(F_S=1.0, D_S=1.0, F_T=3.0, D_T=5.0, teacher_pretraining=1.0)
    shared = SCENARIOS["teacher-pretraining"].shared(students=8)
    part = student_cost(F_S=1.0, D_S=1.0, F_T=3.0, D_T=5.0, teacher_pretraining=shared.teacher_pretraining)
    assert 8 * part.teacher_training == alone.teacher_training
    assert part.student_training == alone.student_training


def test_cost_model_takes_the_students_own_count():
    assert CostModel().student_flops(1e9) == PAPER_FAMILY.forward_flops(1e9)
    np.testing.assert_array_equal(CostModel(student_forward_flops=7.0).student_flops(np.ones(3)), [7, 7, 7])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Scenario(name="x", teacher_logits=1.5, teacher_pretraining=0),
            "teacher_logits must be between 0 and 1",
        ),
        (lambda: Scenario(name="x", teacher_logits=0, teacher_pretraining=-1), "teacher_pretraining must be between"),
        (lambda: SCENARIOS["best-case"].shared(students=0.5), "students must be 1 or more, got 0.5"),
        (lambda: SCENARIOS["best-case"].shared(students=float("inf")), "students must be 1 or more, got inf"),
        (lambda: SCENARIOS["best-case"].shared(cached_fraction=2), "cached_fraction must be between 0 and 1, got 2"),
        (lambda: CostModel(serving_tokens=-1), "serving_tokens must be finite and 0 or more, got -1"),
        (lambda: CostModel(student_forward_flops=0), "student_forward_flops must be positive, got 0"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
