from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distlaw.train.calibration import BINS, Calibration, Reliability


def by_definition(confidence, outcome, bins):
    """ECE and the means of each bin, one bin at a time."""
    ece, means = 0.0, []
    edges = np.linspace(0, 1, bins + 1)
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high) | (low == 0) & (confidence == 0)
        if inside.any():
            means.append((confidence[inside].mean(), outcome[inside].mean()))
            ece += inside.mean() * abs(outcome[inside].mean() - confidence[inside].mean())
        else:
            means.append((np.nan, np.nan))
    return ece, np.array(means).T


@given(
    hnp.arrays(np.float64, st.shared(st.integers(1, 60), key="n"), elements=st.floats(0, 1)),
    hnp.arrays(np.float64, st.shared(st.integers(1, 60), key="n"), elements=st.floats(0, 1)),
    st.integers(1, 30),
)
def test_it_is_the_definition(confidence, outcome, bins):
    ours = Reliability.of(confidence, outcome, bins)
    ece, (x, y) = by_definition(confidence, outcome, bins)
    assert ours.ece == pytest.approx(ece, abs=1e-12)
    np.testing.assert_allclose(ours.confidence, x, atol=1e-12)
    np.testing.assert_allclose(ours.outcome, y, atol=1e-12)
    assert ours.counts.sum() == len(confidence)
    assert ours.sums.shape == (3, bins)


def test_ends_of_bins_belong_to_the_lower_one():
    edges = np.linspace(0, 1, BINS + 1)
    counts = Reliability.of(edges, np.zeros(BINS + 1)).counts
    assert counts.tolist() == [2] + [1] * (BINS - 1)


def test_batches_and_ranks_add_up():
    rng = np.random.default_rng(0)
    confidence, outcome = rng.random(1000), rng.random(1000) < 0.4
    whole = Reliability.of(confidence, outcome)
    parts = [Reliability.of(confidence[i : i + 77], outcome[i : i + 77]) for i in range(0, 1000, 77)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    np.testing.assert_allclose(total.sums, whole.sums, rtol=1e-12)
    assert total.ece == pytest.approx(whole.ece)


def test_a_calibrated_model_and_an_overconfident_one():
    rng = np.random.default_rng(0)
    confidence = rng.random(200_000)
    calibrated = Reliability.of(confidence, rng.random(200_000) < confidence)
    assert calibrated.ece < 0.01
    overconfident = Reliability.of(confidence, rng.random(200_000) < confidence - 0.2)
    assert overconfident.ece == pytest.approx(0.18, abs=0.01)  # below 0.2 there is less to be wrong by


def test_nothing_measured_is_not_zero():
    nothing = Reliability.of([], [])
    assert np.isnan(nothing.ece)
    assert np.isnan(nothing.confidence).all()
    assert (nothing + Reliability.of([0.3], [1])).ece == pytest.approx(0.7)


def some_log_probs(seed, rows=400, vocabulary=9):
    return torch.log_softmax(3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)), -1)


def test_student_against_data_and_teacher():
    student, teacher = some_log_probs(0), some_log_probs(1)
    labels = torch.multinomial(student.exp(), 1, generator=torch.Generator().manual_seed(2))[:, 0]
    found = Calibration.of(student, labels, teacher)
    p, q = teacher.double().exp().numpy(), student.double().exp().numpy()
    confidence, best = q.max(-1), q.argmax(-1)
    assert found.data.ece == pytest.approx(by_definition(confidence, best == labels.numpy(), BINS)[0], abs=1e-6)
    assert found.teacher.ece == pytest.approx(by_definition(confidence, best == p.argmax(-1), BINS)[0], abs=1e-6)
    # Eq. 39 in full: |Conf(B_m; A) - Conf(B_m; B)|, bins of B.
    member = np.ceil(confidence * BINS).astype(int)
    gap = sum(
        (member == m).mean() * abs(p.max(-1)[member == m].mean() - confidence[member == m].mean())
        for m in np.unique(member)
    )
    assert found.distribution.ece == pytest.approx(gap, abs=1e-6)
    assert found.data.ece < found.teacher.ece


def test_a_model_is_its_own_teacher():
    student = some_log_probs(0)
    found = Calibration.of(student, torch.zeros(400, dtype=torch.int64), student)
    assert found.distribution.ece == 0
    np.testing.assert_array_equal(found.teacher.outcome[found.teacher.counts > 0], 1)


def test_calibrations_add_up():
    student, teacher, labels = some_log_probs(0), some_log_probs(1), torch.arange(400) % 9
    whole = Calibration.of(student, labels, teacher)
    sum_of_parts = Calibration.of(student[:150], labels[:150], teacher[:150]) + Calibration.of(
        student[150:], labels[150:], teacher[150:]
    )
    for name in ("data", "teacher", "distribution"):
        np.testing.assert_allclose(getattr(sum_of_parts, name).sums, getattr(whole, name).sums, rtol=1e-12)
    alone = Calibration.of(student, labels)
    assert alone.teacher is None
    assert (alone + alone).distribution is None
    assert (alone + alone).data.counts.sum() == 800
