import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.labs.kernel_regression import (
    FUNCTIONS,
    LAB,
    STUDENTS,
    D,
    T,
    nearest_in_ball,
    numerical_error,
    student_error,
    student_scale,
    teacher_error,
    teacher_scale,
)
from distlaw.labs.lab import Bench

RADII = st.floats(0.01, 20.0)


@st.composite
def problems(draw):
    """alpha, T, D, and a student of n functions."""
    alpha = np.array(draw(st.lists(st.floats(-3.0, 3.0, allow_subnormal=False), min_size=2, max_size=40)))
    return alpha, draw(RADII), draw(RADII), draw(st.integers(1, len(alpha)))


def distance(alpha, model):
    return np.linalg.norm(alpha - np.pad(model, (0, len(alpha) - len(model))))


@given(problems())
def test_the_student_improves_with_the_teacher_up_to_its_own_size_and_never_after(problem):
    alpha, radius, ball, n = problem
    step = np.diff(student_error(alpha, np.arange(1, len(alpha) + 1), n, radius, ball))
    slack = 1e-12 * np.linalg.norm(alpha)
    assert (step[: n - 1] <= slack).all()
    assert (step[n - 1 :] >= -slack).all()


@given(problems())
def test_the_teacher_improves_with_every_function(problem):
    alpha, radius, _, _ = problem
    error = teacher_error(alpha, np.arange(len(alpha) + 1), radius)
    assert (np.diff(error) <= 1e-12 * np.linalg.norm(alpha)).all()


@given(problems(), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_no_other_student_in_the_ball_is_nearer_to_the_teacher(problem, m, seed):
    """And none at all where the teacher is in the student's ball and span; the teacher likewise is nearest to f*."""
    alpha, radius, ball, n = problem
    m = min(m, len(alpha))
    teacher = np.zeros(len(alpha))
    teacher[:m] = teacher_scale(alpha, m, radius) * alpha[:m]
    student = np.zeros(len(alpha))
    student[: min(m, n)] = student_scale(alpha, m, n, radius, ball) * alpha[: min(m, n)]
    assert np.linalg.norm(teacher) <= radius * (1 + 1e-12)
    assert np.linalg.norm(student) <= ball * (1 + 1e-12)
    rng = np.random.default_rng(seed)
    for model, size, limit, target in ((teacher, m, radius, alpha), (student, n, ball, teacher)):
        for spread in (1e-3, 0.1, 10.0):
            other = model.copy()
            other[:size] += spread * rng.normal(size=size)
            other *= limit / max(limit, np.linalg.norm(other))
            assert np.linalg.norm(target - other) >= np.linalg.norm(target - model) * (1 - 1e-12)


@given(problems(), st.integers(1, 40))
def test_errors_are_distances_of_the_models_that_the_scales_make(problem, m):
    alpha, radius, ball, n = problem
    m = min(m, len(alpha))
    k = min(m, n)
    teacher = teacher_scale(alpha, m, radius) * alpha[:m]
    student = student_scale(alpha, m, n, radius, ball) * alpha[:k]
    tolerance = {"rel": 1e-9, "abs": 1e-7 * np.linalg.norm(alpha)}
    assert teacher_error(alpha, m, radius) == pytest.approx(distance(alpha, teacher), **tolerance)
    assert student_error(alpha, m, n, radius, ball) == pytest.approx(distance(alpha, student), **tolerance)


@given(problems(), st.integers(1, 40))
def test_scales_are_those_of_the_paper(problem, m):
    """C = min(1, T / ||alpha_1..m||), Q = min(1, D / (C ||alpha_1..k||))."""
    alpha, radius, ball, n = problem
    m = min(m, len(alpha))
    whole, seen = np.linalg.norm(alpha[:m]), np.linalg.norm(alpha[: min(m, n)])
    C = min(1.0, radius / whole) if whole else 1.0
    Q = min(1.0, ball / (C * seen)) if seen else 1.0
    assert teacher_scale(alpha, m, radius) == pytest.approx(C)
    assert student_scale(alpha, m, n, radius, ball) == pytest.approx(Q * C)


def test_the_minimum_is_at_m_equal_n_in_the_paper_s_own_setting():
    m = np.arange(1, FUNCTIONS + 1)
    for seed in range(5):
        alpha = np.random.default_rng(seed).uniform(-1, 1, FUNCTIONS)
        for n in STUDENTS:
            error = student_error(alpha, m, n, T, D)
            assert m[error.argmin()] == n
            assert error[-1] > 1.001 * error[n - 1]


def test_gradient_descent_solves_least_squares_with_and_without_the_ball():
    rng = np.random.default_rng(0)
    values, target = rng.normal(size=(200, 6)), rng.normal(size=200)
    free = np.linalg.lstsq(values, target)[0]
    assert nearest_in_ball(values, target, 10.0) == pytest.approx(free, abs=1e-9)
    bound = nearest_in_ball(values, target, 0.5 * float(np.linalg.norm(free)))
    assert np.linalg.norm(bound) == pytest.approx(0.5 * np.linalg.norm(free))
    # At the optimum in a ball the gradient points to the centre.
    gradient = values.T @ (values @ bound - target)
    assert gradient @ bound == pytest.approx(-np.linalg.norm(gradient) * np.linalg.norm(bound), rel=1e-9)


def test_students_found_from_values_alone_have_the_error_of_the_closed_form():
    rng = np.random.default_rng(0)
    alpha = rng.uniform(-1, 1, 12)
    sizes = tuple((m, n) for m in (3, 6, 12) for n in (3, 6))
    closed = [student_error(alpha, m, n, 1.0, 0.8) for m, n in sizes]
    assert numerical_error(alpha, sizes, 1.0, 0.8, 40_000, rng) == pytest.approx(closed, rel=0.015)


def test_the_lab(tmp_path):
    found = LAB.examine(Bench(preset="quick", out=tmp_path, cache=tmp_path))
    assert [finding.verdict for finding in found.findings] == ["holds"] * 4
    assert found.findings[0].effect.value == 0
    again = LAB.examine(Bench(preset="quick", out=tmp_path, cache=tmp_path))
    assert again.tables == found.tables
    other = LAB.examine(Bench(preset="quick", seed=1, out=tmp_path, cache=tmp_path))
    assert other.tables != found.tables
