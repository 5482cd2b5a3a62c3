"""Figures 33 and 34: what reaching a loss by distillation takes, over what supervised training takes."""

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Panel, Series, shades
from distlaw.costs import SCENARIOS
from distlaw.laws import StudentLaw
from distlaw.plan import ratios_to_supervised
from distlaw.report.paper.scope import Scope
from distlaw.runs import format_quantity

_TOKENS_PER_PARAM = np.geomspace(2, 5000, 17)  # of the supervised students whose losses are the targets


def compute_ratios(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 33: total compute to reach a student loss, distilled over supervised, by student size.

    A panel for each scenario. Below 1 distilling is cheaper; no point where it does not get there.

    Args:
        law: Distillation law.
        scope: Sizes.
    """
    return _ratios(law, scope, "compute", "figure-33-compute-ratio")


def data_ratios(law: StudentLaw, scope: Scope) -> Chart:
    """After figure 34: the student's tokens to reach a loss, distilled over supervised, by student size.

    Distilled students are those of figure 33, which take the least compute.

    Args:
        law: Distillation law.
        scope: Sizes.
    """
    return _ratios(law, scope, "data", "figure-34-data-ratio")


def _ratios(law: StudentLaw, scope: Scope, what: str, name: str) -> Chart:
    sizes = np.array(scope.students)[:, None]
    targets = law.supervised.loss(sizes, sizes * _TOKENS_PER_PARAM)
    panels = []
    for scenario in SCENARIOS.values():
        found = ratios_to_supervised(law, sizes, targets, scenario, bounds=scope.bounds, costs=scope.costs)
        values: NDArray[np.float64] = getattr(found, what)
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        panels.append(
            Panel(
                x=Axis(label="student loss to reach, nats per token"),
                y=Axis(label=f"{what} to reach it, distilled / supervised", scale="log"),
                title=scenario.name,
                series=tuple(
                    Series(name=format_quantity(N), x=target, y=row, colour=shade)
                    for shade, N, target, row in zip(shades(len(sizes)), sizes[:, 0], targets, values, strict=True)
                ),
                guides=(Guide(axis="y", at=1.0, name="as supervised"),),
            )
        )
    title = f"{what.capitalize()} that distillation takes for a target loss, over that of supervised training"
    return Chart(name=name, title=title, panels=tuple(panels), columns=2)
