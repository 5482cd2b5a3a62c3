"""Figures 1 and 5: a law and the runs that it is held against."""

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Kind, Panel, Series, shades
from distlaw.laws import StudentLaw
from distlaw.report.paper.lines import Curve, drawn, fitted, spread, students_of, taught
from distlaw.report.paper.scope import Scope
from distlaw.runs import Runs, accuracy, format_quantity, predict_runs

_RATIOS = (20.0, 80.0, 320.0)  # tokens per parameter of figure 1, without runs


def extrapolation(law: StudentLaw, scope: Scope, runs: Runs | None = None) -> Chart:
    """After figure 1: student loss over teacher loss, a panel for each student size, a curve for each D_S.

    The law is solid where it was fitted and dashed beyond, runs are filled there and hollow beyond. On the dotted
    diagonal the student is as good as its teacher.

    Args:
        law: Distillation law.
        scope: Sizes, and where the law was fitted.
        runs: Runs to show; their students are those drawn.
    """
    shown = taught(runs, 1)
    if shown is None:
        students = [(N, N * ratio) for N in scope.students for ratio in _RATIOS]
        ends = [float(law.supervised.loss(N, D)) for N, D in students]
    else:
        students = students_of(shown)
        ends = [float(shown.teacher_loss.min()), float(shown.teacher_loss.max())]
    x = scope.teacher_losses(*ends)
    sizes = spread(sorted({N for N, _ in students}))
    panels = []
    for N in sizes:
        curves = []
        for D in spread([D for n, D in students if n == N]):
            own = None
            if shown is not None:
                own = shown.select((shown.student_params == N) & (shown.student_tokens == D))
            curves.append(
                Curve(
                    name=f"{format_quantity(D)} tokens" if shown else f"{D / N:g} tokens per parameter",
                    value=D if shown else D / N,
                    loss=law.student_loss(N, D, x),
                    inside=scope.fitted(student_params=N, student_tokens=D, teacher_loss=x),
                    runs=own,
                    x=None if own is None else own.teacher_loss,
                )
            )
        panels.append(curves)
    return Chart(
        name="figure-1-extrapolation",
        title="Student loss over teacher loss; dashed and hollow beyond where the law was fitted",
        panels=tuple(
            Panel(
                x=Axis(label="teacher loss L_T, nats per token", limits=(x[0], x[-1])),
                y=Axis(label="student loss L_S, nats per token"),
                title=f"{format_quantity(N)} student",
                series=series,
                guides=(Guide(axis="diagonal", name="L_S = L_T"),),
            )
            for N, series in zip(sizes, drawn(panels, x, scope), strict=True)
        ),
        columns=3 if len(sizes) > 4 else 2,
    )


def predicted_and_measured(law: StudentLaw, scope: Scope, runs: Runs | None) -> Chart:
    """After figure 5: predicted against measured losses, supervised (a) and distilled (b), and the errors below.

    Args:
        law: Distillation law.
        scope: Where the law was fitted.
        runs: Runs to predict.

    Raises:
        ValueError: No runs are given.
    """
    if runs is None:
        raise ValueError("figure 5 lays predictions beside runs: give a table of runs with --runs")
    predicted, inside = predict_runs(law, runs), fitted(runs, scope)
    sizes = np.unique(runs.student_params).tolist()
    measured = Axis(label="measured loss, nats per token")
    above, below = [], []
    for kind, chosen in (("supervised", ~runs.distilled), ("distilled", runs.distilled)):
        if not chosen.any():
            continue
        losses, errors = [], []
        for N, colour in zip(sizes, shades(len(sizes)), strict=True):
            own = chosen & (runs.student_params == N)
            shapes: tuple[tuple[NDArray[np.bool_], Kind], ...] = ((own & inside, "points"), (own & ~inside, "hollow"))
            for mask, shape in shapes:
                if mask.any():
                    x, y = runs.student_loss[mask], predicted[mask]
                    name = format_quantity(N)
                    losses.append(Series(name=name, x=x, y=y, kind=shape, colour=colour))
                    errors.append(Series(name=name, x=x, y=100 * (y / x - 1), kind=shape, colour=colour))
        found = accuracy(predicted[chosen], runs.student_loss[chosen])
        above.append(
            Panel(
                x=measured,
                y=Axis(label="predicted loss, nats per token"),
                title=f"{kind}: mean error {100 * found.mean_abs_rel_error:.2f} %",
                series=tuple(losses),
                guides=(Guide(axis="diagonal", name="predicted = measured"),),
            )
        )
        zero = (Guide(axis="y", at=0.0),)
        below.append(Panel(x=measured, y=Axis(label="predicted / measured - 1, %"), series=tuple(errors), guides=zero))
    return Chart(
        name="figure-5-predicted-and-measured",
        title="Predicted and measured losses by student size; hollow beyond where the law was fitted",
        panels=(*above, *below),
        columns=len(above),
    )
