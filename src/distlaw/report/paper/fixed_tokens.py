"""Figures 6 and 7: students of given tokens, compute being free."""

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Field, Panel, Series
from distlaw.laws import StudentLaw
from distlaw.plan import teacher_grid, token_grid
from distlaw.report.paper.scope import Scope, log_range
from distlaw.runs import format_quantity

_SIZES = (1e8, 1e10)  # of figure 6, as its tokens
_TOKENS = (1e9, 1e13)
_SLICES = (3e10, 1e11, 3e11, 1e12)  # tokens of figure 7


def lead_map(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 6: where distillation beats supervised training, over student size and tokens.

    Nats by which the student of the best teacher is below supervised training on as many tokens; blue where it is
    ahead. On the line both are equal.

    Args:
        law: Distillation law.
        scope: Sizes and tokens.
    """
    sizes, tokens = log_range(scope.size(_SIZES), 41), log_range(scope.size(_TOKENS), 49)
    grid = token_grid(law, sizes, tokens, bounds=scope.bounds)
    lead = grid.supervised_loss - grid.distilled_loss
    panel = Panel(
        x=Axis(label="tokens D_S", scale="log", limits=(tokens[0], tokens[-1])),
        y=Axis(label="student parameters N_S", scale="log", limits=(sizes[0], sizes[-1])),
        field=Field(
            name="lead of distillation, nats per token",
            x=tokens,
            y=sizes,
            z=lead,
            centre=0.0,
        ),
        series=(Series(name="as good as each other", x=np.exp(_last_fall(np.log(tokens), lead)), y=sizes),),
    )
    return Chart(
        name="figure-6-distillation-over-supervised",
        title="Lead of distillation from the best teacher over supervised training on as many tokens",
        panels=(panel,),
    )


def teacher_map(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 7: student loss over teacher loss and student size, with the best teacher of each size.

    A panel for each number of tokens. Stronger teachers than the solid line's make the student worse: the capacity gap.
    On the dotted line the teacher is as good as the student would be alone, on as many tokens.

    Args:
        law: Distillation law.
        scope: Sizes and tokens.
    """
    sizes = log_range(scope.size(_SIZES), 41)
    best = [
        teacher_grid(law, sizes, [1.0], tokens, bounds=scope.bounds).best_teacher_loss for tokens in scope.size(_SLICES)
    ]
    weakest = float(law.supervised.loss(sizes[0], 20 * sizes[0]))
    losses = scope.teacher_losses(float(np.min(best)), weakest, points=51)
    panels = []
    for tokens in scope.size(_SLICES):
        grid = teacher_grid(law, sizes, losses, tokens, bounds=scope.bounds)
        panels.append(
            Panel(
                x=Axis(label="teacher loss L_T, nats per token", limits=(losses[0], losses[-1])),
                y=Axis(label="student parameters N_S", scale="log", limits=(sizes[0], sizes[-1])),
                title=f"{format_quantity(tokens)} tokens",
                field=Field(name="student loss L_S, nats per token", x=losses, y=sizes, z=grid.student_loss),
                series=(
                    Series(name="best teacher", x=grid.best_teacher_loss, y=sizes),
                    Series(name="teacher as good as the student alone", x=grid.supervised_loss, y=sizes, kind="dotted"),
                ),
            )
        )
    return Chart(
        name="figure-7-student-loss",
        title="Student loss over teacher loss and student size",
        panels=tuple(panels),
        columns=2,
    )


def _last_fall(x: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each row of values falls through 0 for the last time; NaN where it does not."""
    found = np.full(len(values), np.nan)
    for i, row in enumerate(values):
        falls = np.flatnonzero((row[:-1] > 0) & (row[1:] <= 0))
        if falls.size:
            j = falls[-1]
            found[i] = np.interp(0.0, [-row[j], -row[j + 1]], x[j : j + 2])
    return found
