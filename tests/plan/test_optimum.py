from dataclasses import replace

import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY, SCENARIOS, CostModel
from distlaw.plan import PAPER_BOUNDS, Bounds, distilled_optimum, supervised_optimum

F = PAPER_FAMILY.forward_flops


def brute_force(law, N_S, compute, logits, pretraining, bounds, points=300):
    """Lowest loss over a dense grid of teachers, with all that is left of the budget spent on the student."""
    N_T = np.geomspace(*bounds.teacher_params, points)[:, None]
    D_T = np.geomspace(*bounds.teacher_tokens, points)[None, :]
    D_S = (compute - 3 * pretraining * F(N_T) * D_T) / (3 * F(N_S) + logits * F(N_T))
    D_S = np.minimum(D_S, bounds.student_tokens[1])
    feasible = bounds.student_tokens[0] <= D_S
    loss = law.student_loss(N_S, np.where(feasible, D_S, 1.0), law.supervised.loss(N_T, D_T))
    return np.where(feasible, loss, np.inf).min()


def random_cases(count):
    rng = np.random.default_rng(0)
    shares = [(0, 0), (1, 0), (0, 1), (1, 1)]
    for i in range(count):
        N_S = 10 ** rng.uniform(7.5, 11)
        compute = 10 ** rng.uniform(np.log10(N_S) + 11.5, 26.5)
        logits, pretraining = shares[i % 4] if i % 5 else rng.uniform(size=2)
        if i % 2:
            bounds = Bounds()
        else:
            low = 10 ** rng.uniform(6, 9, 3)
            high = low * 10 ** rng.uniform(0, 6, 3)
            bounds = Bounds(
                student_tokens=(1e6, high[0]), teacher_params=(low[1], high[1]), teacher_tokens=(low[2], high[2])
            )
        changes = {
            "A": rng.uniform(500, 5000),
            "B": 10 ** rng.uniform(4, 7),
            "c0": rng.uniform(0, 4),
            "c1": rng.uniform(1, 600),
            "f1": rng.uniform(0.03, 0.5),
            "d1": rng.uniform(0.8, 1.8),
        }
        yield N_S, compute, logits, pretraining, bounds, changes if i % 3 == 0 else {}


def test_never_above_brute_force(law, other_law):
    """200 random cases over all scenarios, fractional shares, tight and loose bounds, and three kinds of law."""
    solved = 0
    for i, (N_S, compute, logits, pretraining, bounds, changes) in enumerate(random_cases(200)):
        this = other_law if i % 7 == 0 else replace(law, **changes)
        best = distilled_optimum(
            this, N_S, teacher_logits=logits, teacher_pretraining=pretraining, compute=compute, bounds=bounds
        )
        expected = brute_force(this, N_S, compute, logits, pretraining, bounds)
        if not best.feasible:
            assert np.isinf(expected)
            continue
        solved += 1
        assert best.student_loss <= expected + 1e-6  # the issue of this planner's bar is 1e-4
        # The plan is one that can be carried out: within budget and bounds, and its numbers belong together.
        assert best.flops.total <= compute * (1 + 1e-9)
        for name in ("student_tokens", "teacher_params", "teacher_tokens"):
            low, high = getattr(bounds, name)
            assert low * (1 - 1e-9) <= getattr(best, name) <= high * (1 + 1e-9)
        assert best.teacher_loss == this.supervised.loss(best.teacher_params, best.teacher_tokens)
        assert best.student_loss == this.student_loss(N_S, best.student_tokens, best.teacher_loss)
    assert solved > 180


@pytest.mark.parametrize("N_S", [1e7, 1e9])
def test_two_basins_in_teacher_loss(law, N_S):
    """A law with two separate good teachers, the better of which changes with the budget."""

    class TwoBasins:
        supervised = law.supervised

        def student_loss(self, N_S, D_S, L_T):
            own = law.supervised.loss(N_S, D_S)
            return own - 0.3 * np.exp(-(((L_T - 1.6) / 0.02) ** 2)) - 0.25 * np.exp(-(((L_T - 3.0) / 0.1) ** 2))

    best = distilled_optimum(TwoBasins(), N_S, teacher_logits=0, teacher_pretraining=1, compute=np.array([1e21, 1e26]))
    for i, compute in enumerate([1e21, 1e26]):
        expected = brute_force(TwoBasins(), N_S, compute, 0, 1, Bounds(), points=1500)
        assert best.student_loss[i] <= expected + 1e-6
    assert best.teacher_loss[1] == pytest.approx(1.6, abs=0.01)


def test_a_batch_is_its_problems_one_by_one(law):
    N_S = np.geomspace(1e8, 1e10, 5)[:, None]
    compute = np.geomspace(1e20, 1e24, 60)
    batch = distilled_optimum(law, N_S, teacher_logits=1, teacher_pretraining=1, compute=compute)  # crosses chunks
    assert batch.student_loss.shape == (5, 60)
    for i, j in [(0, 0), (2, 17), (4, 59)]:
        alone = distilled_optimum(law, N_S[i, 0], teacher_logits=1, teacher_pretraining=1, compute=compute[j])
        assert batch.student_loss[i, j] == alone.student_loss
        assert batch.flops.total[i, j] == alone.flops.total


def test_supervised_spends_everything_on_the_student(law):
    best = supervised_optimum(law.supervised, 1e9, compute=1e22)
    assert best.student_tokens == pytest.approx(1e22 / (3 * F(1e9)))
    assert best.student_loss == law.supervised.loss(1e9, best.student_tokens)
    assert best.flops.total == pytest.approx(1e22)
    assert np.isnan(best.teacher_loss)


def test_serving_tokens_are_paid_for(law):
    costs = CostModel(serving_tokens=1e12)
    for best in (
        supervised_optimum(law.supervised, 1e9, compute=1e22, costs=costs),
        distilled_optimum(law, 1e9, teacher_logits=1, teacher_pretraining=0, compute=1e22, costs=costs),
    ):
        assert best.flops.student_serving == pytest.approx(F(1e9) * 1e12)
        assert best.flops.total == pytest.approx(1e22)


def test_students_own_flops_are_used(law):
    costs = CostModel(student_forward_flops=1e9)
    assert supervised_optimum(law.supervised, 1e9, compute=3e18, costs=costs).student_tokens == pytest.approx(1e9)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
@pytest.mark.parametrize("target", [2.15, 2.3, 2.6])
def test_target_loss_is_the_budget_turned_round(law, scenario, target):
    """The least compute for a loss, spent as a budget, gives that loss; and a little less gives a worse one."""
    shares = {"teacher_logits": scenario.teacher_logits, "teacher_pretraining": scenario.teacher_pretraining}
    plan = distilled_optimum(law, 1e9, target_loss=target, **shares)
    assert plan.student_loss == pytest.approx(target, abs=1e-6)
    again = distilled_optimum(law, 1e9, compute=plan.flops.total * np.array([0.99, 1.0]), **shares)
    assert again.student_loss[1] == pytest.approx(target, abs=1e-5)
    assert again.student_loss[0] > target - 1e-7


def test_target_out_of_reach_is_not_feasible_and_just_within_is(law):
    shares = {"teacher_logits": 0, "teacher_pretraining": 0}
    lowest = distilled_optimum(law, 1e9, **shares).student_loss  # 1e17 tokens and any teacher
    assert not distilled_optimum(law, 1e9, target_loss=lowest - 1e-4, **shares).feasible
    assert distilled_optimum(law, 1e9, target_loss=lowest + 1e-4, **shares).feasible


def test_tokens_as_the_budget_take_the_best_teacher_and_make_it_cheaply(law):
    shares = np.array([(s.teacher_logits, s.teacher_pretraining) for s in SCENARIOS.values()]).T
    best = distilled_optimum(
        law, 1e9, teacher_logits=shares[0], teacher_pretraining=shares[1], student_tokens=2e11, bounds=PAPER_BOUNDS
    )
    np.testing.assert_allclose(best.student_tokens, 2e11)
    np.testing.assert_allclose(best.teacher_loss, law.optimal_teacher_loss(1e9, 2e11), rtol=1e-4)
    np.testing.assert_allclose(best.student_loss, best.student_loss[0], atol=1e-9)
    for i in range(4):
        N_T = np.geomspace(1e6, 1e13, 4001)
        N_T = N_T[law.supervised.tokens_to_reach(best.teacher_loss[i], N_T) <= 1e17]
        D_T = law.supervised.tokens_to_reach(best.teacher_loss[i], N_T)
        logits, pretraining = shares[:, i] if shares[:, i].any() else (0, 1)
        cost = F(N_T) * (logits * 2e11 + 3 * pretraining * D_T)
        ours = F(best.teacher_params[i]) * (logits * 2e11 + 3 * pretraining * best.teacher_tokens[i])
        assert ours <= cost.min() * (1 + 1e-6)


def test_budget_below_the_least_is_not_feasible(law):
    least = 3 * F(1e9) * 1e6
    assert not supervised_optimum(law.supervised, 1e9, compute=0.99 * least).feasible
    assert supervised_optimum(law.supervised, 1e9, compute=1.01 * least).feasible
    none = distilled_optimum(law, 1e9, teacher_logits=1, teacher_pretraining=1, compute=0.99 * least)
    assert not none.feasible
    assert np.isnan(none.student_loss)
    assert np.isnan(none.flops.total)
    # Just enough for the student, the least teacher's logits and the least teacher.
    enough = least + F(1e6) * 1e6 * (1 + 3)
    assert distilled_optimum(law, 1e9, teacher_logits=1, teacher_pretraining=1, compute=1.001 * enough).feasible


def test_a_fixed_teacher_is_a_bound_of_no_width(law):
    bounds = Bounds(teacher_params=(3e9, 3e9), teacher_tokens=(1e11, 1e11))
    best = distilled_optimum(law, 1e9, teacher_logits=1, teacher_pretraining=0, compute=1e21, bounds=bounds)
    assert (best.teacher_params, best.teacher_tokens) == (pytest.approx(3e9), pytest.approx(1e11))
    D_S = 1e21 / (3 * F(1e9) + F(3e9))
    assert best.student_tokens == pytest.approx(D_S)
    assert best.student_loss == pytest.approx(law.student_loss(1e9, D_S, law.supervised.loss(3e9, 1e11)))
