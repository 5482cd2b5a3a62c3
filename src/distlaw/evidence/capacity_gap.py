"""The capacity gap: whether a student of the strongest teacher ends worse than one of a weaker teacher."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence.answer import LEVEL, CannotSay, Verdict
from distlaw.evidence.cells import Cells
from distlaw.evidence.noise import SeedNoise

Array = NDArray[np.float64]

_FEWEST_TEACHERS = 3
_DRAWS = 20_000
MATTERS = 2.0
"""Standard deviations of the seed noise of one run: a rise below this is none that one would see."""


@dataclass(frozen=True, kw_only=True)
class StudentGap:
    """One student (size and tokens) under its teachers.

    Attributes:
        student_params: N_S.
        student_tokens: D_S.
        teachers: Number of teachers.
        runs: Runs under them.
        best_teacher_loss: L_T of the teacher whose student ended lowest, nats per token.
        strongest_teacher_loss: Least L_T tried.
        best_loss: L_S under the best teacher.
        rise: L_S under the strongest teacher less that under the best one, nats; 0 where they are the same.
        interval: 90 % interval of the rise over whichever teacher is best, simultaneous over the teachers (max-t), so
            that choosing the best one is paid for. The lower end is above 0 only where some weaker teacher is better
            beyond seed noise; the upper end bounds the rise over every weaker teacher.
        p_value: Chance of a rise like this if no teacher were better than the strongest.
        noise: Seed noise of one run, nats.
        verdict: Whether there is a gap: `holds` where the interval lies above 0, `does not hold` where it lies below
            `MATTERS` times the seed noise, otherwise `undecided`.
    """

    student_params: float
    student_tokens: float
    teachers: int
    runs: int
    best_teacher_loss: float
    strongest_teacher_loss: float
    best_loss: float
    rise: float
    interval: tuple[float, float]
    p_value: float
    noise: float
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class CapacityGap:
    """All students.

    Attributes:
        students: Each with at least three teachers.
        adjusted: p-value of the clearest gap times the number of students (Bonferroni), at most 1.
        verdict: Over all students: `holds` where the adjusted p-value is below 5 %, `does not hold` where it does for
            no student, otherwise `undecided`.
    """

    students: tuple[StudentGap, ...]
    adjusted: float
    verdict: Verdict


def capacity_gap(cells: Cells, noise: SeedNoise | None, *, seed: int) -> CapacityGap | CannotSay:
    """Compare the strongest teacher of every student with all weaker ones.

    Differences of cell means are divided by the pooled seed noise, as in Dunnett's test of many against one: their
    largest is compared with that of as many means of equal students, drawn with the noise's own degrees of freedom.
    Runs under two teachers are taken as independent: where one seed moves both alike, this errs on the careful side.

    Args:
        cells: Distilled cells.
        noise: Seed noise, from seeds.
        seed: Of the draws.
    """
    if noise is None:
        return CannotSay(because="no student was trained with a second seed: a rise has nothing to be measured against")
    rng = np.random.default_rng([seed, 5])
    found = tuple(
        _one(cells.select(members), noise, rng)
        for _, _, members in cells.students()
        if np.unique(cells.teacher_loss[members]).size >= _FEWEST_TEACHERS
    )
    if not found:
        return CannotSay(because=f"no student has {_FEWEST_TEACHERS} teachers")
    adjusted = min(1.0, len(found) * min(student.p_value for student in found))
    if adjusted < (1 - LEVEL) / 2:
        verdict: Verdict = "holds"
    else:
        verdict = "does not hold" if all(s.verdict == "does not hold" for s in found) else "undecided"
    return CapacityGap(students=found, adjusted=adjusted, verdict=verdict)


def _one(cells: Cells, noise: SeedNoise, rng: np.random.Generator) -> StudentGap:
    """One student; its cells stand weakest teacher first."""
    weaker, strongest = slice(0, -1), -1
    std = float(noise.relative(cells.student_tokens[:1])[0] * np.exp(np.log(cells.loss).mean()))
    best = int(np.argmin(cells.loss))
    rises = cells.loss[strongest] - cells.loss[weaker]
    errors = std * np.sqrt(1 / cells.runs[strongest] + 1 / cells.runs[weaker])
    # Students that are all alike: what choosing among as many teachers does by itself.
    means = rng.normal(size=(_DRAWS, len(cells))) / np.sqrt(cells.runs)
    own = np.sqrt(rng.chisquare(noise.pooled.freedom, size=_DRAWS) / noise.pooled.freedom)
    t = (means[:, strongest:] - means[:, weaker]) / (errors / std) / own[:, None]
    largest = t.max(axis=1)
    critical = float(np.quantile(np.abs(t).max(axis=1), LEVEL))
    return StudentGap(
        student_params=float(cells.student_params[0]),
        student_tokens=float(cells.student_tokens[0]),
        teachers=len(cells),
        runs=int(cells.runs.sum()),
        best_teacher_loss=float(cells.teacher_loss[best]),
        strongest_teacher_loss=float(cells.teacher_loss[strongest]),
        best_loss=float(cells.loss[best]),
        rise=float(cells.loss[strongest] - cells.loss[best]),
        interval=(
            low := float((rises - critical * errors).max()),
            high := float((rises + critical * errors).max()),
        ),
        p_value=float((1 + (largest >= (rises / errors).max()).sum()) / (1 + _DRAWS)),
        noise=std,
        verdict="holds" if low > 0 else "does not hold" if high < MATTERS * std else "undecided",
    )
