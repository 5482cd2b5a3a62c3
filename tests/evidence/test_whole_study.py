import pytest

from distlaw.evidence.study import examine


@pytest.mark.slow
def test_everything_with_eq_8(constant):
    found = examine(constant)
    assert found.token_worth.constancy.verdict == "holds"
    assert found.capacity_gap.verdict != "holds"
    assert found.through_loss["teacher_params"].verdict != "does not hold"
    low, high = found.token_worth.constancy.interval
    assert low < 2.3 < high
