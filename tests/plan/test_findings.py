"""Findings 1 to 5 of the paper (section 5) as inequalities, over the grid of figure 8.

They are stated for the coefficients as printed and, where the printed row contradicts the paper's own finding, with the
exception and its size. Most exceptions come from the printed B': with B' re-estimated on the published runs (about 2e6,
all else as printed) those marked "as printed" disappear. docs/findings.md has the numbers.
"""

from dataclasses import replace

import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY, SCENARIOS
from distlaw.laws import DEFAULT_LAW, optimal_teacher_loss, published
from distlaw.plan import PAPER_BOUNDS, budget_grid, compute_crossovers, token_crossover

SIZES = np.array([3e8, 1e9, 3e9, 1e10])
COMPUTE = np.geomspace(1e20, 1e26, 13)


@pytest.fixture(params=["printed", "B' re-estimated"])
def named_law(request, law):
    return request.param, law if request.param == "printed" else replace(law, B=2e6)


@pytest.fixture
def grid(named_law):
    return named_law[0], budget_grid(named_law[1], SIZES, COMPUTE, bounds=PAPER_BOUNDS)


def test_finding_1_supervised_wins_in_the_end(grid):
    _, found = grid
    for scenario in SCENARIOS:
        assert (found.lead(scenario)[:, -1] < 0).all()


def test_finding_1_the_crossing_grows_with_the_student(named_law):
    name, law = named_law
    paid = compute_crossovers(law, SIZES, [SCENARIOS["teacher-inference"]], bounds=PAPER_BOUNDS)["teacher-inference"]
    assert paid.status == ("crosses",) * 4
    assert (np.diff(paid.at[1:]) > 0).all()  # 1B, 3B, 10B
    # Exception: 300M crosses later than 1B, by less than a factor of two in compute.
    expected = [6.47e21, 3.66e21, 1.61e22, 1.81e23] if name == "printed" else [2.96e21, 1.91e21, 9.26e21, 1.14e23]
    np.testing.assert_allclose(paid.at, expected, rtol=0.01)


def test_finding_1_also_in_tokens(named_law):
    assert token_crossover(named_law[1], SIZES, bounds=PAPER_BOUNDS).status == ("crosses",) * 4


def test_finding_2_a_teacher_trained_for_one_student_does_not_pay(grid):
    name, found = grid
    pretraining, both = found.lead("teacher-pretraining"), found.lead("teacher-pretraining-and-inference")
    # Exception 1: the 300M student with logits free, ahead by up to 0.003 nats between 3e21 and 3e22 FLOPs.
    small = pretraining[0] > 0
    np.testing.assert_array_equal(COMPUTE[small], COMPUTE[3:6])
    assert pretraining[0].max() < 0.0031
    if name == "printed":
        # Exception 2: as printed, the 10B student at 1e20 FLOPs, on 1.4e8 tokens of its own, by 0.1 nats.
        assert (pretraining[1:] > 0).sum() == 1
        assert pretraining[3, 0] == pytest.approx(0.105, abs=1e-3)
        assert (both > 0).sum() == 1
        assert both[3, 0] == pytest.approx(0.104, abs=1e-3)
    else:
        assert (pretraining[1:] < 0).all()
        assert (both < 0).all()


def test_finding_3_a_teacher_at_hand_pays_at_modest_budgets(grid):
    _, found = grid
    for scenario in ("best-case", "teacher-inference"):
        modest = found.lead(scenario)[:, :3]  # up to 1e21 FLOPs
        assert (modest > 0).all()
        assert (modest[:, 0] > modest[:, 2]).all()  # the more modest, the more
    assert (found.lead("best-case") >= found.lead("teacher-inference") - 1e-9).all()


def test_finding_4_best_teacher_falls_as_a_power_law_until_the_student_meets_it(named_law):
    _, law = named_law
    sizes = np.geomspace(1e8, 1e10, 9)
    log_loss = np.log(law.optimal_teacher_loss(sizes, 1e13))
    line = np.polyfit(np.log(sizes), log_loss, 1)
    assert -0.1 < line[0] < -0.07
    assert np.abs(np.polyval(line, np.log(sizes)) - log_loss).max() < 0.012
    # Far beyond, the best loss that the data allow bounds it from below, and student and teacher draw level.
    gap = law.student_loss(1e8, 1e13, law.optimal_teacher_loss(1e8, 1e13)) - law.optimal_teacher_loss(1e8, 1e13)
    wide = law.student_loss(1e14, 1e13, law.optimal_teacher_loss(1e14, 1e13)) - law.optimal_teacher_loss(1e14, 1e13)
    assert wide < gap


def test_finding_4_inference_paid_overtrained_and_only_slightly_larger(grid):
    name, found = grid
    best = found.distilled["teacher-inference"]
    ratio = best.teacher_params / SIZES[:, None]
    assert (best.teacher_tokens / best.teacher_params > 1e5).all()
    if name == "printed":
        # Exception: as printed, up to about a hundred times larger where the budget is small for the student.
        assert (ratio[COMPUTE[None, :] > 1e13 * SIZES[:, None] * np.ones((1, 13))] < 3).all()
        assert ratio.max() == pytest.approx(83.5, rel=0.01)
    else:
        assert (ratio < 3).all()


def test_finding_4_pretraining_paid_the_teacher_is_compute_optimal(named_law, grid):
    _, law = named_law
    _, found = grid
    best = found.distilled["teacher-pretraining"]
    cost = 3 * PAPER_FAMILY.forward_flops(best.teacher_params) * best.teacher_tokens
    sizes = np.geomspace(1e6, 1e14, 4001)
    for c, L_T in zip(cost.ravel(), best.teacher_loss.ravel(), strict=True):
        lowest = law.supervised.loss(sizes, c / (3 * PAPER_FAMILY.forward_flops(sizes))).min()
        assert lowest - 1e-5 < L_T < lowest + 1e-5


def test_finding_5_allocation(grid):
    name, found = grid
    flops = found.distilled["teacher-pretraining-and-inference"].flops
    student, logits, pretraining = (
        part / flops.total for part in (flops.student_training, flops.teacher_logits, flops.teacher_training)
    )
    # Small student, small budget: mostly teacher pretraining.
    assert pretraining[0, 0] > 0.5
    # Small student, large budget: student training and teacher inference about equal, little pretraining.
    assert pretraining[0, -1] < 0.01
    assert 0.4 < logits[0, -1] < student[0, -1] < 0.6
    # Large student, large budget: about three equal parts.
    at = np.argmin(np.abs(COMPUTE - 1e24))
    for part in (student, logits, pretraining):
        assert 0.25 < part[3, at] < 0.45
    # Large student, small budget: mostly student training. As printed it is the other way round.
    if name == "printed":
        assert student[3, 0] == pytest.approx(0.18, abs=0.01)
        assert pretraining[3, 0] == pytest.approx(0.81, abs=0.01)
    else:
        assert student[3, 0] > 0.7


def test_the_default_law():
    """Findings 1 to 5 under the default law, which was not tuned to them; the 300M student is the exception."""
    law = published(DEFAULT_LAW).law
    found = budget_grid(law, SIZES, COMPUTE, bounds=PAPER_BOUNDS)
    leads = {scenario: found.lead(scenario) for scenario in SCENARIOS}
    for lead in leads.values():
        assert (lead[1:, -1] < 0).all()  # 1
        assert 0.003 < lead[0, -1] < 0.004  # the exception: less than the law can tell
    paid = compute_crossovers(law, SIZES[1:], [SCENARIOS["teacher-inference"]], bounds=PAPER_BOUNDS)[
        "teacher-inference"
    ]
    np.testing.assert_allclose(paid.at, [5.36e21, 1.585e22, 1.464e23], rtol=0.01)
    for scenario in ("teacher-pretraining", "teacher-pretraining-and-inference"):  # 2
        assert (leads[scenario][1:] < 0).all()
        assert (leads[scenario][0, :3] < 0).all()
        assert leads[scenario][0].max() < 0.009
    for scenario in ("best-case", "teacher-inference"):  # 3
        assert (leads[scenario][:, :3] > 0).all()
    sizes = np.geomspace(1e8, 1e10, 9)
    log_loss = np.log(optimal_teacher_loss(law, sizes, 1e13, lowest=1.22))
    line = np.polyfit(np.log(sizes), log_loss, 1)
    assert np.abs(np.polyval(line, np.log(sizes)) - log_loss).max() < 0.006  # 4
    best = found.distilled["teacher-inference"]
    assert (best.teacher_params / SIZES[:, None]).max() < 3.4
    assert (best.teacher_tokens / best.teacher_params).min() > 1e5
    flops = found.distilled["teacher-pretraining-and-inference"].flops
    student, logits, pretraining = (
        part / flops.total for part in (flops.student_training, flops.teacher_logits, flops.teacher_training)
    )
    assert pretraining[0, 0] > 0.5  # 5
    assert pretraining[0, -1] < 0.01
    assert student[3, 0] > 0.75
    assert [round(float(part[3, 8]), 2) for part in (student, logits, pretraining)] == [0.27, 0.31, 0.42]
