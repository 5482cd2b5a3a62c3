import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY, SCENARIOS
from distlaw.plan import (
    budget_grid,
    compute_crossovers,
    distilled_optimum,
    ratios_to_supervised,
    supervised_optimum,
    teacher_grid,
    token_crossover,
    token_grid,
)
from distlaw.plan.crossover import ALWAYS_AHEAD, CROSSES, NEVER_AHEAD

SIZES = np.array([3e8, 1e9, 1e10])


def lead(law, N_S, scenario, compute):
    return (
        supervised_optimum(law.supervised, N_S, compute=compute).student_loss
        - distilled_optimum(
            law,
            N_S,
            teacher_logits=scenario.teacher_logits,
            teacher_pretraining=scenario.teacher_pretraining,
            compute=compute,
        ).student_loss
    )


def test_the_lead_changes_sign_at_the_crossing_and_not_after(law):
    names = ["best-case", "teacher-inference"]
    found = compute_crossovers(law, SIZES, [SCENARIOS[name] for name in names])
    for name in names:
        crossing = found[name]
        assert crossing.status == (CROSSES,) * 3
        for N_S, at in zip(SIZES, crossing.at, strict=True):
            assert lead(law, N_S, SCENARIOS[name], 0.99 * at) > 0
            assert (lead(law, N_S, SCENARIOS[name], at * np.geomspace(1.01, 1e6, 30)) <= 0).all()
        np.testing.assert_allclose(crossing.student_tokens, crossing.at / (3 * PAPER_FAMILY.forward_flops(SIZES)))
        assert (crossing.distilled_tokens <= crossing.student_tokens * (1 + 1e-9)).all()


def test_one_search_for_all_scenarios_equals_one_each(law):
    together = compute_crossovers(law, SIZES, list(SCENARIOS.values()))
    for name, scenario in SCENARIOS.items():
        alone = compute_crossovers(law, SIZES, [scenario])[name]
        np.testing.assert_array_equal(together[name].at, alone.at)


def test_a_law_in_which_distilling_never_loses_or_never_wins(other_law):
    class Worse:
        supervised = other_law.supervised

        def student_loss(self, N_S, D_S, L_T):
            return self.supervised.loss(N_S, D_S) + 0.01 + 0 * np.asarray(L_T)

    free = [SCENARIOS["best-case"]]
    # Worth 2.2 times the tokens from a free teacher of any strength: ahead by more than the margin throughout.
    always = compute_crossovers(other_law, 1e9, free, compute_range=(1e18, 1e22))["best-case"]
    assert always.status == (ALWAYS_AHEAD,)
    assert np.isnan(always.at[0])
    never = compute_crossovers(Worse(), 1e9, free)["best-case"]
    assert never.status == (NEVER_AHEAD,)
    assert np.isnan(never.student_loss[0])


def test_margin_moves_the_crossing_down(law):
    exact, early = (
        compute_crossovers(law, 1e9, [SCENARIOS["best-case"]], margin=m)["best-case"].at[0] for m in (0.0, 0.01)
    )
    assert early < exact
    assert lead(law, 1e9, SCENARIOS["best-case"], early) == pytest.approx(0.01, abs=1e-6)


def test_tokens(law):
    crossing = token_crossover(law, SIZES)
    for N_S, at in zip(SIZES, crossing.at, strict=True):
        best = law.student_loss(N_S, at, law.optimal_teacher_loss(N_S, at))
        assert best == pytest.approx(law.supervised.loss(N_S, at), abs=1e-7)
    # With the teacher free, equal compute is equal tokens.
    by_compute = compute_crossovers(law, SIZES, [SCENARIOS["best-case"]])["best-case"]
    np.testing.assert_allclose(crossing.at, by_compute.student_tokens, rtol=1e-3)


def test_ratios(law):
    scenario = SCENARIOS["teacher-inference"]
    at = compute_crossovers(law, 1e9, [scenario])["teacher-inference"]
    ratios = ratios_to_supervised(law, 1e9, at.student_loss[0] + np.array([0.02, 0.0, -0.02]), scenario)
    assert ratios.compute[0] < 1 < ratios.compute[2]
    assert ratios.compute[1] == pytest.approx(1, rel=1e-3)
    assert (ratios.data <= ratios.compute).all()  # the teacher's logits come on top
    # 2.0785 is just below what supervised training of 1B parameters can reach, 2.0788, and distilling cannot either.
    out = ratios_to_supervised(law, 1e9, 2.0785, scenario)
    assert np.isnan(out.data)


def test_grids_agree_with_the_law_and_the_planner(law):
    grid = budget_grid(law, SIZES, [1e21, 1e23])
    assert grid.supervised.student_loss.shape == (3, 2)
    assert set(grid.distilled) == set(SCENARIOS)
    assert grid.lead("best-case")[1, 0] == lead(law, 1e9, SCENARIOS["best-case"], 1e21)
    tokens = token_grid(law, SIZES, [1e10, 1e12])
    np.testing.assert_allclose(
        tokens.distilled_loss,
        law.student_loss(SIZES[:, None], [1e10, 1e12], law.optimal_teacher_loss(SIZES[:, None], [1e10, 1e12])),
        atol=1e-7,
    )
    teachers = teacher_grid(law, SIZES, [1.9, 2.1, 2.5], 20 * SIZES)
    assert teachers.student_loss[2, 1] == law.student_loss(1e10, 2e11, 2.1)
    np.testing.assert_allclose(teachers.best_teacher_loss, law.optimal_teacher_loss(SIZES, 20 * SIZES), rtol=1e-4)
    np.testing.assert_allclose(teachers.supervised_loss, law.supervised.loss(SIZES, 20 * SIZES))
