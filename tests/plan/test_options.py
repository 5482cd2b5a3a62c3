import pytest

from distlaw.costs import SCENARIOS, CostModel
from distlaw.plan import SUPERVISED, Bounds, Problem, solve


def test_five_options_in_order(law):
    plan = solve(law, Problem(student_params=1e9, compute=1e22))
    assert [option.scenario for option in plan.options] == [SUPERVISED, *SCENARIOS]
    for option in plan.options:
        flops = option.flops
        assert flops.total == pytest.approx(
            flops.student_training + flops.teacher_logits + flops.teacher_training + flops.student_serving
        )
        assert flops.total == pytest.approx(1e22, rel=1e-6)
        assert (option.teacher_loss is None) == (option.scenario == SUPERVISED)
    assert plan["best-case"].flops.teacher_logits == 0 == plan["best-case"].flops.teacher_training
    assert plan["teacher-inference"].flops.teacher_logits > 0 == plan["teacher-inference"].flops.teacher_training


def test_paying_for_less_is_never_worse(law):
    for compute in (1e20, 1e22, 1e24):
        loss = {o.scenario: o.student_loss for o in solve(law, Problem(student_params=1e9, compute=compute)).options}
        assert loss["best-case"] <= loss["teacher-inference"] <= loss["teacher-pretraining-and-inference"]
        assert loss["best-case"] <= loss["teacher-pretraining"] <= loss["teacher-pretraining-and-inference"]


def test_best_is_the_lowest_loss_or_the_least_compute(law):
    plan = solve(law, Problem(student_params=1e9, compute=1e21))
    assert plan.best.student_loss == min(option.student_loss for option in plan.options)
    plan = solve(law, Problem(student_params=1e9, target_loss=2.2))
    assert plan.best.flops.total == min(option.flops.total for option in plan.options)
    assert all(option.student_loss == pytest.approx(2.2, abs=1e-6) for option in plan.options)


def test_sharing_reaches_the_plan(law):
    alone, shared = (
        solve(law, Problem(student_params=1e9, compute=1e22, students=k))["teacher-pretraining"] for k in (1, 20)
    )
    assert shared.student_loss < alone.student_loss
    cached = solve(law, Problem(student_params=1e9, compute=1e22, cached_fraction=1.0))
    assert cached["teacher-inference"].student_loss == pytest.approx(cached["best-case"].student_loss, abs=1e-7)
    few = solve(law, Problem(student_params=1e9, compute=1e22, students=4, shared_logits=True))
    assert (
        few["teacher-inference"].student_loss
        < solve(law, Problem(student_params=1e9, compute=1e22, students=4))["teacher-inference"].student_loss
    )


def test_bounds_that_bind_are_named(law):
    plan = solve(law, Problem(student_params=1e9, compute=1e22, bounds=Bounds(student_tokens=(1e6, 1e11))))
    assert plan[SUPERVISED].at_bounds == ("student_tokens (most)",)
    assert plan[SUPERVISED].flops.total < 1e22  # the text ran out before the budget
    assert "teacher_tokens (most)" in plan["teacher-inference"].at_bounds
    assert solve(law, Problem(student_params=1e9, compute=1e22))["best-case"].at_bounds == ()


def test_one_option_may_be_out_of_reach(law):
    """A supervised 1B student cannot reach its own limit, but a teacher helps it to within reach (by this law)."""
    bounds = Bounds(student_tokens=(1e6, 3e10))
    supervised = float(law.supervised.loss(1e9, 3e10))
    plan = solve(law, Problem(student_params=1e9, target_loss=supervised - 0.01, bounds=bounds))
    assert not plan[SUPERVISED].feasible
    assert plan["best-case"].feasible
    assert plan.best.scenario == "best-case"


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem(student_params=1e9, compute=1e10), r"compute 1e\+10 FLOPs is too small .* take 7.36e\+15 FLOPs"),
        (
            Problem(student_params=1e9, compute=1e18, costs=CostModel(serving_tokens=1e12)),
            r"is too small for any plan",
        ),
        (Problem(student_params=1e9, target_loss=1.5), r"target_loss 1.5 nats is out of reach .* the lowest is 2\.079"),
    ],
)
def test_nothing_feasible_says_what_would_be(law, problem, message):
    with pytest.raises(ValueError, match=message):
        solve(law, problem)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give exactly one of compute, student_tokens, target_loss; got none of them"),
        ({"compute": 1e20, "target_loss": 2.0}, "got compute and target_loss"),
        ({"compute": 0.0}, "compute must be a finite number above 0, got 0"),
        ({"compute": float("inf")}, "compute must be a finite number above 0, got inf"),
        ({"student_tokens": 1e5}, r"student_tokens 100000 is below the least allowed, 1e\+06"),
        ({"compute": 1e20, "student_params": -1.0}, "student_params must be a finite number above 0, got -1"),
        ({"compute": 1e20, "students": 0.0}, "students must be 1 or more, got 0"),
    ],
)
def test_problems_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        Problem(**({"student_params": 1e9} | arguments))


def test_bounds_that_make_no_sense():
    with pytest.raises(ValueError, match=r"teacher_params: the least, 1e\+10, is above the most, 1e\+09"):
        Bounds(teacher_params=(1e10, 1e9))
    with pytest.raises(ValueError, match="most teacher_tokens must be a finite number above 0, got inf"):
        Bounds(teacher_tokens=(1e6, float("inf")))
