"""Figures 4, 16 and 17: student loss along each of the paper's protocols, with the runs of one.

The law is solid where it was fitted and dashed beyond, runs are filled there and hollow beyond. Without runs the sizes,
tokens and teachers are the paper's, or what stands for them in the law's scope.
"""

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Panel
from distlaw.laws import StudentLaw
from distlaw.report.paper.lines import (
    Curve,
    commonest,
    drawn,
    levels,
    near,
    near_any,
    profiles,
    spread,
    students_of,
    taught,
    where_defined,
    with_sized_teachers,
)
from distlaw.report.paper.scope import Scope, log_range
from distlaw.runs import Runs, format_quantity

_POINTS = 121
_STUDENTS = (1.98e8, 5.46e8, 9.75e8, 1.82e9)
_STUDENT_RATIOS = (20.0, 40.0, 80.0, 160.0, 320.0)  # M_S
_TEACHERS = (5.46e8, 9.75e8, 1.82e9, 2.72e9, 4.82e9, 7.75e9)
_RATIO = 20.0  # M_T, and M_S of figure 17
_COMPUTES = (3e19, 1e20, 3e20, 1e21)
_LOSS = Axis(label="student loss L_S, nats per token")


def capacity_gap(law: StudentLaw, scope: Scope, runs: Runs | None = None) -> Chart:
    """After figure 4: student loss over teacher size, teachers and students each of fixed tokens per parameter.

    A panel for each student size, a curve for each M_S = D_S / N_S. Loss that rises to the right is the capacity gap.

    Args:
        law: Distillation law.
        scope: Sizes, and where the law was fitted.
        runs: Runs to show; of their teachers those of one M_T = D_T / N_T are, the commonest.

    Raises:
        ValueError: No run has a teacher of known size and tokens.
    """
    shown = taught(runs, 4)
    M_T, ratios, sizes = _RATIO, list(_STUDENT_RATIOS), scope.size(_STUDENTS).tolist()
    ends = scope.size((_STUDENTS[0] / 2, 2 * _TEACHERS[-1]))
    if shown is not None:
        shown = with_sized_teachers(shown, 4)
        M_T = commonest(shown.teacher_tokens / shown.teacher_params)
        shown = shown.select(near(shown.teacher_tokens / shown.teacher_params, M_T))
        ratios = spread(levels(shown.student_tokens / shown.student_params))
        sizes = spread(sorted(set(shown.student_params.tolist())))
        ends = _around(shown.teacher_params)
    N_T = log_range(ends, _POINTS)
    L_T = law.supervised.loss(N_T, M_T * N_T)
    panels = []
    for N in sizes:
        curves = []
        for M in ratios:
            own = None
            if shown is not None:
                own = shown.select((shown.student_params == N) & near(shown.student_tokens / shown.student_params, M))
                if not len(own):
                    continue
            D = M * N
            inside = scope.fitted(student_params=N, student_tokens=D, teacher_params=N_T, teacher_loss=L_T)
            x = None if own is None else own.teacher_params
            curves.append(Curve(f"M_S = {M:.3g}", M, law.student_loss(N, D, L_T), inside, own, x))
        panels.append(curves)
    return Chart(
        name="figure-4-capacity-gap",
        title=f"Student loss over the size of teachers of {M_T:.3g} tokens per parameter",
        panels=tuple(
            Panel(
                x=Axis(label="teacher parameters N_T", scale="log"),
                y=_LOSS,
                title=f"{format_quantity(N)} student",
                series=series,
                guides=(Guide(axis="x", at=N, name="a teacher of the student's size"),)
                if ends[0] < N < ends[1]
                else (),
            )
            for N, series in zip(sizes, drawn(panels, N_T, scope), strict=True)
        ),
        columns=3 if len(sizes) > 4 else 2,
    )


def student_profiles(law: StudentLaw, scope: Scope, runs: Runs | None = None) -> Chart:
    """After figure 16: students of equal compute (IsoFLOP) under fixed-M teachers, a panel for each teacher.

    Loss over student size, a curve for each C_S = 3 F(N_S) D_S.

    Args:
        law: Distillation law.
        scope: Sizes, costs, and where the law was fitted.
        runs: Runs to show: those of a compute that three sizes or more share.
    """
    shown = taught(runs, 16)
    computes, ends = scope.flops(_COMPUTES).tolist(), scope.size((1e8, 5e9))
    teachers: list[tuple[str, float, Runs | None]]
    if shown is None:
        sizes = scope.size(_TEACHERS)
        losses = law.supervised.loss(sizes, _RATIO * sizes)
        teachers = [(format_quantity(N), float(L), None) for N, L in zip(sizes, losses, strict=True)]
    else:
        spent = _spent(scope, shown.student_params, shown.student_tokens)
        if found := profiles(spent, shown.student_params):
            computes, shown = found, shown.select(near_any(spent, found))
        members = [shown.select(shown.teacher_of_each() == i) for i in range(shown.teacher_of_each().max() + 1)]
        teachers = [(format_quantity(own.teacher_params[0]), float(own.teacher_loss.mean()), own) for own in members]
        ends = _around(shown.student_params)
    teachers = spread(sorted(teachers, key=lambda teacher: -teacher[1]))
    N_S = log_range(ends, _POINTS)
    panels = []
    for _, L_T, members in teachers:
        curves = []
        for C in computes:
            D_S = _tokens(scope, C, N_S, scope.bounds.student_tokens[0])
            own = None
            if members is not None:
                own = members.select(near(_spent(scope, members.student_params, members.student_tokens), C))
            loss = where_defined(law.student_loss, N_S, D_S, L_T)
            inside = scope.fitted(student_params=N_S, student_tokens=D_S, teacher_loss=L_T)
            x = None if own is None else own.student_params
            curves.append(Curve(f"C_S = {C:.2g} FLOPs", C, loss, inside, own, x))
        panels.append(curves)
    return Chart(
        name="figure-16-student-profiles",
        title="Students of equal compute under each teacher",
        panels=tuple(
            Panel(
                x=Axis(label="student parameters N_S", scale="log"),
                y=_LOSS,
                title=f"teacher of {L_T:.3g} nats" if size == "-" else f"{size} teacher, {L_T:.3g} nats",
                series=series,
                guides=(Guide(axis="y", at=L_T, name="the teacher's loss"),),
            )
            for (size, L_T, _), series in zip(teachers, drawn(panels, N_S, scope), strict=True)
        ),
        columns=3 if len(teachers) > 4 else 2,
    )


def teacher_profiles(law: StudentLaw, scope: Scope, runs: Runs | None = None) -> Chart:
    """After figure 17: fixed-M students under teachers of equal compute (IsoFLOP), a panel for each student.

    Student loss over teacher size, a curve for each C_T = 3 F(N_T) D_T.

    Args:
        law: Distillation law.
        scope: Sizes, costs, and where the law was fitted.
        runs: Runs to show: those whose teachers' size and tokens are known.

    Raises:
        ValueError: No run has a teacher of known size and tokens.
    """
    shown = taught(runs, 17)
    computes, ends = scope.flops(_COMPUTES).tolist(), scope.size((1e8, 5e9))
    students = [(N, _RATIO * N) for N in scope.size(_STUDENTS).tolist()]
    if shown is not None:
        shown = with_sized_teachers(shown, 17)
        spent = _spent(scope, shown.teacher_params, shown.teacher_tokens)
        if found := profiles(spent, shown.teacher_params):
            computes, shown = found, shown.select(near_any(spent, found))
        students, ends = spread(students_of(shown)), _around(shown.teacher_params)
    N_T = log_range(ends, _POINTS)
    panels = []
    for N, D in students:
        curves = []
        for C in computes:
            D_T = _tokens(scope, C, N_T, scope.bounds.teacher_tokens[0])
            L_T = where_defined(law.supervised.loss, N_T, D_T)
            own = None
            if shown is not None:
                own = shown.select((shown.student_params == N) & (shown.student_tokens == D))
                own = own.select(near(_spent(scope, own.teacher_params, own.teacher_tokens), C))
            teacher = {"teacher_params": N_T, "teacher_tokens": D_T, "teacher_loss": L_T}
            inside = scope.fitted(student_params=N, student_tokens=D, **teacher)
            loss = where_defined(law.student_loss, N, D, L_T)
            x = None if own is None else own.teacher_params
            curves.append(Curve(f"C_T = {C:.2g} FLOPs", C, loss, inside, own, x))
        panels.append(curves)
    return Chart(
        name="figure-17-teacher-profiles",
        title="Students under teachers of equal compute",
        panels=tuple(
            Panel(
                x=Axis(label="teacher parameters N_T", scale="log"),
                y=_LOSS,
                title=f"{format_quantity(N)} student, {format_quantity(D)} tokens",
                series=series,
            )
            for (N, D), series in zip(students, drawn(panels, N_T, scope), strict=True)
        ),
        columns=3 if len(students) > 4 else 2,
    )


def _spent(scope: Scope, N: NDArray[np.float64], D: NDArray[np.float64]) -> NDArray[np.float64]:
    """FLOPs of training."""
    return 3 * scope.costs.forward_flops(N) * D


def _tokens(scope: Scope, C: float, N: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Tokens that a compute buys; NaN below the fewest."""
    D = C / (3 * scope.costs.forward_flops(N))
    return np.where(least <= D, D, np.nan)


def _around(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([sizes.min() / 1.5, sizes.max() * 1.5])
