import numpy as np
import pytest

from distlaw.evidence.alone import MEASURED
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.token_worth import token_worths


def worths(runs, read_up):
    _, taught, _, _, alone, losses = read_up(runs)
    return taught, token_worths(taught, alone, losses)


def true_kappa(law, cells):
    loss = law.student_loss(cells.student_params, cells.student_tokens, cells.teacher_loss)
    return law.supervised.tokens_to_reach(loss, cells.student_params) / cells.student_tokens


@pytest.mark.parametrize("name", ["CONSTANT", "PEAKED"])
def test_kappa_lies_in_its_intervals(study, read_up, name):
    law, inside, pooled = getattr(study, name), [], 0
    for seed in range(4):
        cells, found = worths(study.simulate(law, seed=seed), read_up)
        low, high = np.array([c.interval for c in found.cells]).T
        truth = true_kappa(law, cells)
        inside.append((low <= truth) & (truth <= high))
        np.testing.assert_allclose([c.kappa for c in found.cells], truth, rtol=0.35)
        pooled += found.constancy.interval[0] < 2.3 < found.constancy.interval[1]
        assert {c.method for c in found.cells} <= {MEASURED, "extended"}
    assert np.mean(inside) > 0.8
    assert pooled >= 3 or name == "PEAKED"


def test_a_constant_kappa_is_called_constant(study, read_up):
    for seed in range(3):
        found = worths(study.simulate(study.CONSTANT, seed=seed), read_up)[1].constancy
        assert found.verdict == "holds"
        assert found.p_value > 0.05
        assert 0.5 < found.scatter < 1.6


def test_a_kappa_with_a_best_teacher_is_not(peaked, read_up):
    found = worths(peaked, read_up)[1].constancy
    assert found.verdict == "does not hold"
    assert found.p_value < 0.02
    assert found.effects["lead squared"].interval[1] < 0


def test_a_kappa_that_grows_with_size_is_told_from_one_that_grows_with_tokens(study, read_up):
    class Growing:
        supervised = study.ALONE

        def student_loss(self, N, D, L_T):
            kappa = 2.3 * (N / 3e4) ** 0.2
            own, teacher = self.supervised.loss(N, D * kappa) - 1.7, L_T - 1.7
            return 1.7 + (own**13 + teacher**13) ** (1 / 13)

    found = worths(study.simulate(Growing(), noise=0.002), read_up)[1].constancy
    assert found.verdict == "does not hold"
    low, high = found.effects["student_params"].interval
    assert low < 0.2 < high
    assert low > 0.05
    assert found.effects["student_tokens"].interval[0] < 0 < found.effects["student_tokens"].interval[1]


def test_a_teacher_near_the_student_holds_it_back(peaked, read_up):
    cells, found = worths(peaked, read_up)
    for cell, loss in zip(found.cells, cells.loss, strict=True):
        assert (
            cell.held_back == (cell.teacher_loss - 1.7 > 0.8 * (loss - 1.7))
            or abs((cell.teacher_loss - 1.7) / (loss - 1.7) - 0.8) < 0.05
        )
    assert all(cell.held_back for cell in found.cells if cell.lead < 0.1)


def test_few_cells_say_nothing(peaked, read_up):
    few = peaked.select(~peaked.distilled | (peaked.student_params == 107e3))
    found = worths(few, read_up)[1]
    assert isinstance(found.constancy, CannotSay)
    assert len(found.cells) == 5
