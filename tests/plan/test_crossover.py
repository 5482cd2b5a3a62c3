import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY, SCENARIOS
from distlaw.laws import published
from distlaw.plan import (
    PAPER_BOUNDS,
    budget_grid,
    compute_crossovers,
    distilled_optimum,
    ratios_to_supervised,
    supervised_optimum,
    teacher_grid,
    token_crossover,
    token_grid,
)
from distlaw.plan.crossover import ALWAYS_AHEAD, CROSSES, LOSES_LEAD, NEVER_AHEAD, TAKES_LEAD

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
    tokens = token_grid(law, SIZES, [1e10, 1e12], bounds=PAPER_BOUNDS)
    np.testing.assert_allclose(
        tokens.distilled_loss,
        law.student_loss(SIZES[:, None], [1e10, 1e12], law.optimal_teacher_loss(SIZES[:, None], [1e10, 1e12])),
        atol=1e-7,
    )
    teachers = teacher_grid(law, SIZES, [1.9, 2.1, 2.5], 20 * SIZES)
    assert teachers.student_loss[2, 1] == law.student_loss(1e10, 2e11, 2.1)
    np.testing.assert_allclose(teachers.best_teacher_loss, law.optimal_teacher_loss(SIZES, 20 * SIZES), rtol=1e-4)
    np.testing.assert_allclose(teachers.supervised_loss, law.supervised.loss(SIZES, 20 * SIZES))


def scan(law, N_S, scenario, compute):
    return lead(law, N_S, scenario, compute) > 1e-9


@pytest.mark.parametrize("name", ["busbridge2025", "busbridge2025-peaked", "busbridge2025-consistent"])
@pytest.mark.parametrize("N_S", [3e8, 1e9, 1e10])
def test_crossings_are_those_of_a_dense_scan(name, N_S):
    """Every change of sign on 1,000 budgets, with its direction, and where nothing changes nothing is said to."""
    found = published(name).law
    compute = np.geomspace(1e18, 1e28, 1000)
    for scenario in SCENARIOS.values():
        [one] = compute_crossovers(found, N_S, [scenario], compute_range=(1e18, 1e28))[scenario.name].leads
        ahead = scan(found, N_S, scenario, compute)
        changes = np.flatnonzero(ahead[1:] != ahead[:-1])
        assert len(one.crossings) == len(changes)
        for crossing, i in zip(one.crossings, changes, strict=True):
            assert compute[i] <= crossing.at <= compute[i + 1]
            assert (crossing.direction == TAKES_LEAD) == ahead[i + 1]
        inside = np.zeros(compute.shape, dtype=bool)
        for low, high in one.ahead:
            inside |= (compute >= low) & (compute <= high)
        assert (inside == ahead).mean() > 0.995


def test_ahead_at_the_end_is_not_ahead_throughout():
    """A 300M student whose teacher is trained for it: 0.15 nats behind at 1e19, level at 1e21, a little ahead after."""
    found = published("busbridge2025-consistent").law
    crossing = compute_crossovers(found, 3e8, [SCENARIOS["teacher-pretraining"]], resolution=0.02)
    [one] = crossing["teacher-pretraining"].leads
    assert lead(found, 3e8, SCENARIOS["teacher-pretraining"], 1e19) < -0.1
    assert one.status == CROSSES
    assert [c.direction for c in one.crossings] == [TAKES_LEAD]
    assert np.isnan(crossing["teacher-pretraining"].at[0])  # supervised training never takes the lead for good
    assert one.ahead_words() == f"ahead above {one.crossings[0].at:.2e} FLOPs"
    assert one.clearly_ahead == ()
    assert one.clear_words().startswith("behind by more than 0.02 nats below")


def test_a_lead_that_is_lost_before_the_grid_ends_is_told():
    """`--law busbridge2025-peaked`, 1B: ahead by 0.05 nats at 1e20 and behind at 1e22, and ahead again far beyond."""
    found = published("busbridge2025-peaked").law
    [one] = compute_crossovers(found, 1e9, [SCENARIOS["teacher-inference"]])["teacher-inference"].leads
    assert [c.direction for c in one.crossings] == [LOSES_LEAD, TAKES_LEAD]
    assert 1e20 < one.crossings[0].at < 1e22 < 1e26 < one.crossings[1].at


def test_clear_spans_are_where_the_lead_is_above_the_resolution(law):
    scenario = SCENARIOS["teacher-inference"]
    [one] = compute_crossovers(law, 1e9, [scenario], resolution=0.02)["teacher-inference"].leads
    [(_, high)] = one.clearly_ahead
    assert lead(law, 1e9, scenario, high) == pytest.approx(0.02, abs=1e-5)
    assert high < one.crossings[0].at
