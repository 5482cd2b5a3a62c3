"""Kernel regression: the capacity gap in closed form (appendix C.1 of arXiv 2502.08606).

The target f* = sum_i alpha_i phi_i is a sum of orthonormal functions. A model has a number of them, the first ones, and
a ball that its norm must stay in. The teacher, m functions and a ball of radius T, is the model nearest to f*:

``g* = C sum_{i <= m} alpha_i phi_i``, ``C = min(1, T / ||alpha_1..m||)``.

The student, n functions and a ball of radius D, is the model nearest to the teacher, of which it sees the first
k = min(m, n) coefficients:

``h* = Q C sum_{i <= k} alpha_i phi_i``, ``Q = min(1, D / (C ||alpha_1..k||))``.

Both follow from Pythagoras: what a model has no functions for is out of its reach, and the point of a ball that is
nearest to one outside it lies on the way to the centre. Errors are distances to f* (eq. 17 and 22). With s = Q C <= 1
and a = ||alpha_1..k|| the student's is ``err^2 = ||alpha||^2 - 2 s a^2 + s^2 a^2``. For m < n, s a = min(a, T, D) and
the error falls as a grows with m; for m >= n, a stays and s = min(C, D / a) can only fall: the error can only rise.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.charts import Axis, Chart, Guide, Panel, Series
from distlaw.labs.findings import Effect, Finding, Findings, Table, above, all_of, below, over_seeds, within
from distlaw.labs.lab import Bench, Lab

Array = NDArray[np.float64]
Counts = int | NDArray[np.integer]

FUNCTIONS, T, D = 1000, 5.0, 4.5
STUDENTS = (10, 30, 100, 300)
DRAWS = {"quick": 16, "full": 256}

# The numerical optimum is looked for in a smaller problem, in which the sums over sampled points soon settle.
SMALL = (40, 2.0, 1.8)
SIZES = (5, 10, 20, 30)
POINTS = {"quick": (1_000, 4_000, 16_000), "full": (1_000, 4_000, 16_000, 64_000, 256_000)}
SOLVED = {"quick": 4, "full": 8}
AGREES = 0.01


def teacher_scale(alpha: ArrayLike, m: Counts, T: float) -> Array:
    """C, what the coefficients of f* are multiplied by in the teacher.

    Args:
        alpha: Coefficients of f*, shape (functions,).
        m: Functions of the teacher, whole numbers up to `functions`; any shape.
        T: Radius of its ball, > 0.
    """
    return T / np.maximum(T, _norm(alpha)[m])


def teacher_error(alpha: ArrayLike, m: Counts, T: float) -> Array:
    """Distance of f* from the teacher (eq. 17): ``sqrt((1 - C)^2 ||alpha_1..m||^2 + ||alpha_m+1..||^2)``.

    Args:
        alpha: Coefficients of f*, shape (functions,).
        m: Functions of the teacher; any shape.
        T: Radius of its ball, > 0.

    >>> round(float(teacher_error([3.0, 4.0], 2, T=4.0)), 6)
    1.0
    """
    return _error(alpha, m, teacher_scale(alpha, m, T))


def student_scale(alpha: ArrayLike, m: Counts, n: Counts, T: float, D: float) -> Array:
    """Q C, what the first min(m, n) coefficients of f* are multiplied by in the student.

    Args:
        alpha: Coefficients of f*, shape (functions,).
        m: Functions of the teacher; broadcast with `n`.
        n: Functions of the student.
        T: Radius of the teacher's ball, > 0.
        D: Radius of the student's ball, > 0.
    """
    a = _norm(alpha)[np.minimum(m, n)]
    # min(C, D / a) is Q C without a product whose rounding would put ripples on the flat part of the error.
    return np.minimum(teacher_scale(alpha, m, T), D / np.maximum(D, a))


def student_error(alpha: ArrayLike, m: Counts, n: Counts, T: float, D: float) -> Array:
    """Distance of f* from the student (eq. 22): ``sqrt((1 - Q C)^2 ||alpha_1..k||^2 + ||alpha_k+1..||^2)``.

    Args:
        alpha: Coefficients of f*, shape (functions,).
        m: Functions of the teacher; broadcast with `n`.
        n: Functions of the student.
        T: Radius of the teacher's ball, > 0.
        D: Radius of the student's ball, > 0.

    >>> [round(float(student_error([3.0, 4.0, 12.0], m, 2, T=6.0, D=5.0)), 3) for m in (1, 2, 3)]
    [12.649, 12.0, 12.298]
    """
    return _error(alpha, np.minimum(m, n), student_scale(alpha, m, n, T, D))


def _norm(alpha: ArrayLike) -> Array:
    """Norm of the first 0, 1, ... coefficients."""
    return np.sqrt(np.concatenate([[0.0], np.cumsum(np.square(alpha))]))


def _error(alpha: ArrayLike, k: Counts, scale: Array) -> Array:
    """Distance of f* from its first k terms times `scale`."""
    rest = np.concatenate([np.cumsum(np.square(alpha)[::-1])[::-1], [0.0]])
    return np.sqrt((1 - scale) ** 2 * _norm(alpha)[k] ** 2 + rest[k])


def nearest_in_ball(values: Array, target: Array, radius: float, *, steps: int = 2000) -> Array:
    """Least squares in a ball, by projected gradient descent: no closed form is used.

    Minimises ``mean_j (target_j - sum_i w_i values_ji)^2`` over ``||w|| <= radius``.

    Args:
        values: Of the model's functions at points, shape (points, functions).
        target: Of the function to come near to at these points, shape (points,).
        radius: Of the ball.
        steps: At most; it ends where a step changes nothing that matters.

    Returns:
        Coefficients w, shape (functions,).
    """
    gram, slope = values.T @ values / len(values), values.T @ target / len(values)
    rate = 1 / float(np.linalg.eigvalsh(gram)[-1])
    w = np.zeros(len(slope))
    for _ in range(steps):
        ahead = w - rate * (gram @ w - slope)
        ahead *= radius / max(radius, float(np.linalg.norm(ahead)))
        if np.abs(ahead - w).max() < 1e-12 * radius:
            return ahead
        w = ahead
    return w


def numerical_error(
    alpha: Array, sizes: tuple[tuple[int, int], ...], T: float, D: float, points: int, rng: np.random.Generator
) -> Array:
    """Errors of students that were found from values at random points alone, measured at other random points.

    phi_i is ``sqrt(2) cos(pi i x)`` on [0, 1], i = 1, 2, ..., orthonormal there.

    Args:
        alpha: Coefficients of f*, shape (functions,).
        sizes: Pairs (m, n).
        T: Radius of the teacher's ball.
        D: Radius of the student's ball.
        points: Points of the two fits, and of the measurement.
        rng: Draws the points.
    """
    fitted, fresh = (
        np.sqrt(2) * np.cos(np.pi * np.outer(rng.uniform(size=points), np.arange(1, len(alpha) + 1))) for _ in range(2)
    )
    teachers = {m: nearest_in_ball(fitted[:, :m], fitted @ alpha, T) for m in {m for m, _ in sizes}}
    students = (nearest_in_ball(fitted[:, :n], fitted[:, :m] @ teachers[m], D) for m, n in sizes)
    return np.array(
        [np.sqrt(np.mean((fresh @ alpha - fresh[:, :n] @ w) ** 2)) for (_, n), w in zip(sizes, students, strict=True)]
    )


def examine(bench: Bench) -> Findings:
    """Draw alpha uniform in [-1, 1] many times, follow the error over m, and look for the optimum numerically."""
    draws = [np.random.default_rng([bench.seed, i]).uniform(-1, 1, FUNCTIONS) for i in range(DRAWS[bench.preset])]
    m = np.arange(1, FUNCTIONS + 1)
    teacher = np.array([teacher_error(alpha, m, T) for alpha in draws])
    errors = {n: np.array([student_error(alpha, m, n, T, D) for alpha in draws]) for n in STUDENTS}
    best = {n: m[error.argmin(axis=1)] for n, error in errors.items()}
    wrong = {n: _wrong_steps(error, n) for n, error in errors.items()}
    rises = {n: over_seeds(100 * (error[:, -1] / error[:, n - 1] - 1), "%") for n, error in errors.items()}
    farthest = max((over_seeds(best[n] - n, "functions") for n in STUDENTS), key=lambda off: abs(off.value))
    least = min(rises.values(), key=lambda rise: rise.value)
    apart, points = _apart(bench)
    largest = over_seeds(100 * np.abs(apart[-1]).max(axis=1), "%")
    rows = []
    for n, error in errors.items():
        flat = [float(m[row <= row.min()][-1]) for row in error]
        low = over_seeds(error[:, n - 1])
        rows.append((n, float(best[n].mean()), float(np.mean(flat)), low.value, rises[n].value, *rises[n].interval))
    return Findings(
        findings=(
            Finding(
                claim="the student's error is least with a teacher of as many functions, m = n",
                effect=farthest,
                verdict=within(farthest, 0.0),
                measured="the smallest m of least error, less n, for the n where they are farthest apart",
            ),
            Finding(
                claim="a teacher with all functions leaves every student farther from the target than that of m = n",
                effect=least,
                verdict=all_of([above(rise) for rise in rises.values()]),
                measured=f"the error at m = {FUNCTIONS} over that at m = n, for the n where it rises least",
            ),
            Finding(
                claim="from one m to the next the error falls while m < n, and never falls where m >= n",
                effect=(steps := over_seeds(sum(wrong.values()), "steps")),
                verdict=within(steps, 0.0),
                measured="steps the other way, over all n",
            ),
            Finding(
                claim="the closed form is the constrained optimum",
                effect=largest,
                verdict=below(largest, 100 * AGREES),
                measured="the largest difference, over m and n, from errors of students found by gradient descent on"
                f" values at {points[-1]:,} random points, against {AGREES:.0%}",
            ),
        ),
        tables=(
            Table(
                title="Student error over the teacher's functions",
                columns=(
                    "student's functions n",
                    "smallest best m",
                    "largest best m",
                    "error at m = n",
                    f"rise to m = {FUNCTIONS}, %",
                    "from",
                    "to",
                ),
                rows=tuple(rows),
            ),
            Table(
                title="Closed form against numerical optimum",
                columns=("random points", "rms difference, %", "largest difference, %"),
                rows=tuple(
                    (count, 100 * float(np.sqrt(np.mean(one**2))), 100 * float(np.abs(one).max()))
                    for count, one in zip(points, apart, strict=True)
                ),
            ),
        ),
        charts=(_chart(m, teacher, errors),),
        notes=(
            "The bottom of the U is flat before it rises: from m = n to the m at which the teacher's coefficients are"
            " so small that the student's ball no longer binds, ||alpha_1..m|| = T max(1, ||alpha_1..n|| / D). The"
            " smallest teacher of least error has m = n; larger ones up to there are as good.",
            f"Intervals are over {len(draws)} draws of alpha. The numerical optimum is of {SMALL[0]} functions,"
            f" T = {SMALL[1]:g}, D = {SMALL[2]:g}, and its differences are sampling error: four times the points halve"
            " them.",
        ),
    )


def _wrong_steps(error: Array, n: int) -> NDArray[np.int64]:
    """Steps in m, of each draw, that go the other way than the theorem says."""
    step = np.diff(error, axis=1)  # the first is from m = 1 to 2
    return (step[:, : n - 1] >= 0).sum(axis=1) + (step[:, n - 1 :] < 0).sum(axis=1)


def _apart(bench: Bench) -> tuple[list[Array], tuple[int, ...]]:
    """Relative differences of numerical and closed-form errors: (draws, sizes) for each number of points."""
    functions, T, D = SMALL
    points = POINTS[bench.preset]
    sizes = tuple((m, n) for m in SIZES for n in SIZES)
    apart = []
    for done, count in enumerate(points):
        bench.progress("numerical optimum", done, len(points))
        rows = []
        for draw in range(SOLVED[bench.preset]):
            rng = np.random.default_rng([bench.seed, draw, count])
            alpha = rng.uniform(-1, 1, functions)
            closed = np.array([student_error(alpha, m, n, T, D) for m, n in sizes])
            rows.append(numerical_error(alpha, sizes, T, D, count, rng) / closed - 1)
        apart.append(np.array(rows))
    return apart, points


def _chart(m: NDArray[np.int64], teacher: Array, errors: dict[int, Array]) -> Chart:
    kept = np.unique(np.concatenate([np.geomspace(1, FUNCTIONS, 120).round().astype(int), STUDENTS])) - 1

    def curve(name: str, x: Array, error: Array, colour: float | None, kept: NDArray[np.int64] = kept) -> Series:
        ends: list[Effect] = [over_seeds(column) for column in error[:, kept].T]
        low, high = np.array([effect.interval for effect in ends]).T
        y = np.array([effect.value for effect in ends])
        return Series(name=name, x=x[kept], y=y, low=low, high=high, colour=colour)

    shades = {n: i / (len(errors) - 1) for i, n in enumerate(errors)}
    students = [(f"student, n = {n}", n, error) for n, error in errors.items()]
    return Chart(
        name="kernel-regression",
        title="Error of students against the capacity of their teacher, in closed form",
        columns=2,
        panels=(
            Panel(
                title="against the teacher's size",
                x=Axis(label="teacher's functions m", scale="log"),
                y=Axis(label="distance to the target"),
                series=(
                    curve("teacher", m.astype(float), teacher, None),
                    *(curve(name, m.astype(float), error, shades[n]) for name, n, error in students),
                ),
                guides=tuple(Guide(axis="x", at=float(n)) for n in errors),
            ),
            Panel(
                title="against the teacher's error",
                x=Axis(label="teacher's distance to the target"),
                y=Axis(label="distance to the target"),
                series=tuple(curve(name, teacher.mean(axis=0), error, shades[n]) for name, n, error in students),
                guides=(Guide(axis="diagonal", name="as good as the teacher"),),
            ),
        ),
    )


LAB = Lab(
    name="kernel-regression",
    about="in kernel regression a student's error rises again once its teacher has more functions than it",
    source="appendix C.1",
    examine=examine,
)
