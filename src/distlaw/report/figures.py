"""Figures of the commands as files, and those of plans and crossovers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distlaw.costs import CostModel, Scenario
from distlaw.laws import StudentLaw
from distlaw.plan import Bounds, OptionUncertainty, Plan, budget_grid
from distlaw.report.matplotlib_charts import draw
from distlaw.report.page_charts import budgets_around, lead_chart, loss_chart
from distlaw.runs import one_line, written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = (".png", ".svg", ".pdf")


def require_figure_path(path: Path) -> None:
    """Check that a figure can be written, before anything is computed.

    Raises:
        ValueError: The format is not known or the folder does not exist.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"figure '{path}' must end in {', '.join(_FORMATS)}")
    try:
        if not path.parent.is_dir():
            raise ValueError(f"figure '{path}': there is no folder '{path.parent}'")
        if path.is_dir():
            raise ValueError(f"figure '{path}' is a folder")
    except OSError as error:  # a name that is too long
        raise ValueError(f"figure '{one_line(path, 60)}' cannot be written ({error.strerror})") from None


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure under a temporary name and rename it, so that no half-written file is left.

    Raises:
        ValueError: See `require_figure_path`, or the file cannot be written.
    """
    require_figure_path(path)
    import matplotlib

    kind = path.suffix.lower()[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # the same input, the same bytes
    with written_whole(path, "figure") as temporary, matplotlib.rc_context({"svg.hashsalt": "distlaw"}):
        figure.savefig(temporary, format=kind, dpi=160, metadata=metadata)


def loss_against_compute(
    law: StudentLaw, plan: Plan, *, law_name: str, intervals: Mapping[str, OptionUncertainty] | None = None
) -> "Figure":
    """Draw `loss_chart`: student loss over compute in every option (figure 8), with the plan's own points.

    Args:
        law: The law of the plan.
        plan: The plan; its student size, bounds and costs are used.
        law_name: For the title.
        intervals: Of the plan's losses.
    """
    chart = loss_chart(budgets_around(law, plan), plan, intervals=intervals)
    return draw(replace(chart, title=f"{chart.title}, law {law_name}"))


def lead_against_compute(
    law: StudentLaw,
    student_params: Sequence[float],
    *,
    law_name: str,
    scenarios: Sequence[Scenario],
    bounds: Bounds,
    costs: Sequence[CostModel],
    compute_range: tuple[float, float] = (1e19, 1e26),
) -> "Figure":
    """Draw `lead_chart`: how far distillation is ahead of supervised training over compute, by scenario and student.

    Args:
        law: Distillation law.
        student_params: Student sizes.
        law_name: For the title.
        scenarios: What distillation is charged with.
        bounds: Bounds of the search.
        costs: What a token costs, for each student.
        compute_range: FLOPs shown.
    """
    compute = np.geomspace(*compute_range, 61)
    chart = lead_chart(
        [
            budget_grid(law, size, compute, scenarios=scenarios, bounds=bounds, costs=cost)
            for size, cost in zip(student_params, costs, strict=True)
        ]
    )
    return draw(replace(chart, title=f"{chart.title}, law {law_name}"))
