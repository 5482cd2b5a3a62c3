from dataclasses import replace

import numpy as np
import pytest

from distlaw.costs import SCENARIOS
from distlaw.laws import PeakedTokensLaw, map_coefficients
from distlaw.plan import SUPERVISED, Problem, plan_uncertainty, solve
from distlaw.plan.comparison import distilling_wins
from distlaw.plan.worth import token_worth

PROBLEMS = [
    Problem(student_params=1e9, compute=1e21),
    Problem(student_params=1e9, compute=3e23, students=10, shared_logits=True),
    Problem(student_params=3e8, student_tokens=3e11),
    Problem(student_params=1e9, target_loss=2.3),
]


@pytest.fixture(scope="module")
def draws():
    """Resamples as a fit has them: some coefficients spread, also of the supervised law, and one held."""
    from distlaw.laws import published

    law = published("busbridge2025-peaked").law
    assert isinstance(law, PeakedTokensLaw)
    rng = np.random.default_rng(0)

    def spread(value, by):
        return value * np.exp(by * rng.standard_normal(12))

    supervised = replace(law.supervised, E=spread(law.supervised.E, 0.01), beta=spread(law.supervised.beta, 0.02))
    return replace(law, supervised=supervised, kappa=spread(law.kappa, 0.3), lead=spread(law.lead, 0.1))


@pytest.mark.parametrize("problem", PROBLEMS, ids=["compute", "shared", "tokens", "target"])
def test_all_at_once_is_one_plan_under_each_resample(draws, problem):
    laws = [map_coefficients(draws, lambda values, i=i: float(values[i])) for i in range(12)]
    plans = [solve(law, problem) for law in laws]
    found = plan_uncertainty(draws, problem, level=0.8)
    assert list(found) == [SUPERVISED, *SCENARIOS]
    for name, one in found.items():
        options = [plan[name] for plan in plans]
        for field in ("student_loss", "student_tokens", *(["teacher_params"] if name != SUPERVISED else [])):
            values = [getattr(option, field) for option in options if option.feasible]
            np.testing.assert_allclose(getattr(one, field), np.percentile(values, [10, 90]), rtol=1e-7)
        if name != SUPERVISED:
            assert one.probability == np.mean([distilling_wins(plan, plan[name]) for plan in plans])
            worth = sorted(token_worth(law, problem, option).worth for law, option in zip(laws, options, strict=True))
            np.testing.assert_allclose(one.token_worth, (worth[1], worth[10]), rtol=1e-6)


def test_resamples_that_cannot_reach_the_target_do_not_win_and_are_left_out(draws):
    laws = [map_coefficients(draws, lambda values, i=i: float(values[i])) for i in range(12)]
    lowest = sorted(solve(law, Problem(student_params=1e9, student_tokens=1e17)).best.student_loss for law in laws)
    target = (lowest[6] + lowest[7]) / 2  # within the reach of seven
    found = plan_uncertainty(draws, Problem(student_params=1e9, target_loss=target))
    assert all(one.probability <= 7 / 12 for name, one in found.items() if name != SUPERVISED)
    assert found["best-case"].probability > 0
    assert np.isfinite(found["best-case"].student_tokens).all()
    with pytest.raises(ValueError, match="no resample of the law can do this problem"):
        plan_uncertainty(draws, Problem(student_params=1e9, target_loss=0.5))
