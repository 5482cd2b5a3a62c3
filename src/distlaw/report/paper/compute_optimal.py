"""Figures 8, 9, 23, 26 and 29: the best student of a budget, its teacher, and where the compute goes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Kind, Panel, Series, shades
from distlaw.costs import SCENARIOS
from distlaw.laws import StudentLaw
from distlaw.plan import SUPERVISED, BudgetGrid, Optimum, budget_grid, compute_crossovers
from distlaw.report.palette import OPTION_STYLE
from distlaw.report.paper.scope import Scope
from distlaw.runs import format_quantity

Array = NDArray[np.float64]

_BOTH = "teacher-pretraining-and-inference"
_PARTS = {
    "student_training": "student training",
    "teacher_logits": "teacher logits",
    "teacher_training": "teacher training",
}
_COMPUTE = Axis(label="total compute, FLOPs", scale="log")
_LOSS = Axis(label="student loss L_S, nats per token")


def loss_over_compute(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 8: the lowest student loss over total compute, supervised and in the four scenarios of table 2.

    A panel for each student size. Hollow points: from here on supervised training is at least as good.

    Args:
        law: Distillation law.
        scope: Sizes and budgets.
    """
    grid = _grid(law, scope, np.array(scope.students))
    low, high = grid.compute[0], grid.compute[-1]
    crossings = compute_crossovers(
        law,
        grid.student_params,
        list(SCENARIOS.values()),
        compute_range=(low, high),
        bounds=scope.bounds,
        costs=scope.costs,
    )
    panels = []
    for i, N in enumerate(grid.student_params):
        overtaken = [
            Series(
                name="supervised overtakes",
                x=found.at[i : i + 1],
                y=found.student_loss[i : i + 1],
                kind="hollow",
            )
            for found in crossings.values()
            if np.isfinite(found.at[i])
        ]
        panels.append(
            Panel(
                x=_COMPUTE,
                y=_LOSS,
                title=f"{format_quantity(N)} student",
                series=(*option_lines(grid, i), *overtaken),
            )
        )
    return Chart(
        name="figure-8-loss-over-compute",
        title="Compute-optimal distillation and supervised training",
        panels=tuple(panels),
        columns=2,
    )


def configuration(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 9: the best tokens and teacher over total compute, teacher pretraining and inference paid for.

    A panel for each student size.

    Args:
        law: Distillation law.
        scope: Sizes and budgets.
    """
    grid = _grid(law, scope, np.array(scope.students), _BOTH)
    best = grid.distilled[_BOTH]
    panels = []
    for i, N in enumerate(grid.student_params):
        rows: list[tuple[str, Array, Kind, int | None]] = [
            ("student tokens D_S", best.student_tokens[i], "line", 0),
            ("teacher tokens D_T", best.teacher_tokens[i], "dashdot", 2),
            ("teacher parameters N_T", best.teacher_params[i], "dashed", 3),
            ("student parameters N_S", np.full(grid.compute.size, N), "dotted", None),
        ]
        panels.append(
            Panel(
                x=_COMPUTE,
                y=Axis(label="tokens, parameters", scale="log"),
                title=f"{format_quantity(N)} student",
                series=tuple(
                    Series(name=name, x=grid.compute, y=y, kind=kind, colour=colour) for name, y, kind, colour in rows
                ),
            )
        )
    return Chart(
        name="figure-9-configuration",
        title="Best tokens and teacher, pretraining and inference of the teacher paid for",
        panels=tuple(panels),
        columns=2,
    )


def losses_of_all_sizes(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 23: the lowest loss over total compute of eight student sizes, a panel for each way to make them.

    Args:
        law: Distillation law.
        scope: Sizes and budgets.
    """
    grid = _grid(law, scope, scope.many_students)
    optima = {SUPERVISED: grid.supervised} | grid.distilled
    panels = [
        Panel(x=_COMPUTE, y=_LOSS, title=name, series=tuple(_sizes(grid, optimum.student_loss)))
        for name, optimum in optima.items()
    ]
    return Chart(
        name="figure-23-losses-of-all-sizes",
        title="Compute-optimal student loss by student size",
        panels=tuple(panels),
    )


def best_teacher(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 26: the best teacher over total compute, for each student size.

    Its size over the student's, its tokens per parameter, and its loss; a column for each scenario that pays for it.
    Where pretraining costs nothing its tokens are as many as the bounds allow: such a teacher is overtrained. Where it
    is all that is paid for, the teacher is a compute-optimal supervised model.

    Args:
        law: Distillation law.
        scope: Sizes and budgets.
    """
    names = [name for name, scenario in SCENARIOS.items() if scenario.teacher_logits or scenario.teacher_pretraining]
    grid = _grid(law, scope, np.array(scope.students), *names)
    N_S = grid.student_params[:, None]

    def size(best: Optimum) -> Array:
        return best.teacher_params / N_S

    def tokens(best: Optimum) -> Array:
        return best.teacher_tokens / best.teacher_params

    def loss(best: Optimum) -> Array:
        return best.teacher_loss

    rows = (
        (Axis(label="teacher size / student size", scale="log"), size),
        (Axis(label="teacher tokens per parameter", scale="log"), tokens),
        (Axis(label="teacher loss, nats per token"), loss),
    )
    panels = [
        Panel(
            x=_COMPUTE,
            y=axis,
            title=name if row == 0 else "",
            series=tuple(_sizes(grid, quantity(grid.distilled[name]))),
            guides=(Guide(axis="y", at=1.0),) if row == 0 else (),
        )
        for row, (axis, quantity) in enumerate(rows)
        for name in names
    ]
    return Chart(name="figure-26-best-teacher", title="Best teacher over compute", panels=tuple(panels))


def allocation(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 29: shares of the total compute, teacher pretraining and inference paid for (cf. table 3).

    A panel for each student size.

    Args:
        law: Distillation law.
        scope: Sizes and budgets.
    """
    grid = _grid(law, scope, np.array(scope.students), _BOTH)
    best = grid.distilled[_BOTH]
    panels = tuple(
        Panel(
            x=Axis(label=_COMPUTE.label, scale="log", limits=(grid.compute[0], grid.compute[-1])),
            y=Axis(label="share of compute", limits=(0.0, 1.0)),
            title=f"{format_quantity(N)} student",
            series=tuple(
                Series(
                    name=name,
                    x=grid.compute,
                    y=getattr(best.flops, part)[i] / best.flops.total[i],
                    kind="area",
                    colour=colour,
                )
                for colour, (part, name) in enumerate(_PARTS.items())
            ),
        )
        for i, N in enumerate(grid.student_params)
    )
    return Chart(
        name="figure-29-allocation",
        title="Where the compute goes, pretraining and inference of the teacher paid for",
        panels=panels,
        columns=2,
    )


def _grid(law: StudentLaw, scope: Scope, sizes: Array, *scenarios: str) -> BudgetGrid:
    chosen = [SCENARIOS[name] for name in scenarios or SCENARIOS]
    return budget_grid(law, sizes, scope.budgets(), scenarios=chosen, bounds=scope.bounds, costs=scope.costs)


def option_lines(grid: BudgetGrid, i: int = 0) -> Iterator[Series]:
    """Losses of the student at position i over compute, a line for every way to make it."""
    for name, optimum in ({SUPERVISED: grid.supervised} | grid.distilled).items():
        kind, colour = OPTION_STYLE[name]
        yield Series(name=name, x=grid.compute, y=optimum.student_loss[i], kind=kind, colour=colour)


def _sizes(grid: BudgetGrid, values: Array) -> Iterator[Series]:
    """One quantity, a line for each size."""
    for shade, N, row in zip(shades(len(values)), grid.student_params, values, strict=True):
        yield Series(name=format_quantity(N), x=grid.compute, y=row, colour=shade)
