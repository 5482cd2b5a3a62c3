from pathlib import Path

import numpy as np
import pytest

from distlaw.laws import DistillationLaw, SupervisedLaw, published
from distlaw.runs import Runs, accuracy, accuracy_by_student, predict_runs, read_runs

PUBLISHED_RUNS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "published-weak-students.csv"

# L(N, D) = 1 + N^-0.5 + D^-0.5, and, c0 and c1 being zero, L_S = L_T + N^-0.5 + D^-0.5: sums that can be done by head.
SUPERVISED = SupervisedLaw(E=1.0, A=1.0, B=1.0, alpha=0.5, beta=0.5)
LAW = DistillationLaw(
    supervised=SUPERVISED, A=1.0, B=1.0, alpha=0.5, beta=0.5, gamma=1.0, c0=0.0, c1=0.0, f1=0.1, d1=1.0
)


def runs_of(*rows):
    """Runs from rows of (student_params, student_tokens, student_loss, teacher_loss)."""
    params, tokens, loss, teacher = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return Runs(student_params=params, student_tokens=tokens, student_loss=loss, teacher_loss=teacher)


def test_distilled_and_supervised_rows_are_each_predicted_by_their_own_part_of_the_law():
    runs = runs_of(
        (100, 25, 9.9, 2.0),  # 2 + 0.1 + 0.2
        (100, 25, 9.9, np.nan),  # 1 + 0.1 + 0.2
        (4, 4, 9.9, 3.0),  # 3 + 0.5 + 0.5
        (4, 4, 9.9, np.nan),  # 1 + 0.5 + 0.5
    )
    assert runs.distilled.tolist() == [True, False, True, False]
    assert predict_runs(LAW, runs) == pytest.approx([2.3, 1.3, 4.0, 2.0], rel=1e-12)


def test_a_supervised_law_predicts_supervised_runs_and_refuses_distilled_ones():
    supervised = runs_of((100, 25, 1.3, np.nan), (4, 4, 2.0, np.nan))
    assert predict_runs(SUPERVISED, supervised) == pytest.approx([1.3, 2.0], rel=1e-12)
    mixed = runs_of((100, 25, 1.3, np.nan), (4, 4, 2.0, 2.0), (4, 4, 2.0, 2.5))
    with pytest.raises(ValueError, match=r"2 distilled runs .* choose a distillation law"):
        predict_runs(SUPERVISED, mixed)


def test_errors_are_relative_to_what_was_measured():
    found = accuracy(np.array([2.2, 1.8, 2.0, 3.0]), np.array([2.0, 2.0, 2.5, 3.0]))  # +10 %, -10 %, -20 %, 0
    assert found.runs == 4
    assert found.mean_abs_rel_error == pytest.approx(0.1)
    assert found.max_abs_rel_error == pytest.approx(0.2)
    assert found.bias == pytest.approx(-0.05)


def test_a_group_is_a_student_size_with_a_number_of_tokens_in_order():
    runs = runs_of(
        (2e9, 1e9, 2.0, 2.0),
        (1e9, 5e9, 2.0, 2.0),
        (1e9, 1e9, 2.0, np.nan),
        (1e9, 5e9, 4.0, 2.5),
    )
    groups = accuracy_by_student(np.array([2.0, 2.2, 1.0, 3.6]), runs)
    assert [(g.student_params, g.student_tokens) for g in groups] == [(1e9, 1e9), (1e9, 5e9), (2e9, 1e9)]
    assert [g.accuracy.runs for g in groups] == [1, 2, 1]
    assert [g.accuracy.bias for g in groups] == pytest.approx([-0.5, 0.0, 0.0])
    assert [g.accuracy.mean_abs_rel_error for g in groups] == pytest.approx([0.5, 0.1, 0.0])
    assert [g.accuracy.max_abs_rel_error for g in groups] == pytest.approx([0.5, 0.1, 0.0])


@pytest.mark.skipif(not PUBLISHED_RUNS.exists(), reason="the published runs are not shared with this checkout")
def test_the_printed_law_is_too_hopeful_about_the_published_runs():
    runs = read_runs(PUBLISHED_RUNS)
    predicted = predict_runs(published("busbridge2025").law, runs)
    found = accuracy(predicted, runs.student_loss)
    assert found.runs == 328
    assert round(100 * found.mean_abs_rel_error, 2) == 1.16
    assert round(100 * found.max_abs_rel_error, 2) == 5.92
    assert round(100 * found.bias, 2) == -1.01

    groups = accuracy_by_student(predicted, runs)
    assert sum(group.accuracy.runs for group in groups) == 328
    worst = min(groups, key=lambda group: group.accuracy.bias)
    smallest = runs.student_params.min()
    assert worst.student_params == smallest
    assert worst.student_tokens == runs.student_tokens[runs.student_params == smallest].min()
    assert round(100 * worst.accuracy.bias, 1) == -4.1
