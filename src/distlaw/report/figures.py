"""Figures of laws and plans (matplotlib), in one colour-blind-safe style."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distlaw.costs import CostModel, Scenario
from distlaw.laws import StudentLaw
from distlaw.plan import SUPERVISED, Bounds, Plan, budget_grid
from distlaw.runs import format_quantity, one_line, written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; lines differ in dash too.
_STYLE = {
    SUPERVISED: ("#000000", "solid", "o"),
    "best-case": ("#009E73", "dotted", "s"),
    "teacher-inference": ("#0072B2", "dashed", "^"),
    "teacher-pretraining": ("#E69F00", "dashdot", "D"),
    "teacher-pretraining-and-inference": ("#D55E00", (0, (5, 1, 1, 1, 1, 1)), "v"),
}
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


def loss_against_compute(law: StudentLaw, plan: Plan, *, law_name: str) -> "Figure":
    """Student loss over compute for supervised training and every scenario (figure 8), with the plan's own point.

    Args:
        law: The law of the plan.
        plan: The plan; its student size, bounds and costs are used.
        law_name: For the title.
    """
    problem = plan.problem
    centre = problem.compute or plan[plan.best.scenario].flops.total
    compute = np.geomspace(centre / 300, centre * 300, 61)
    grid = budget_grid(
        law,
        problem.student_params,
        compute,
        bounds=problem.bounds,
        costs=problem.costs,
        scenarios=problem.scenarios,
    )
    figure, axes = _new_figure()
    curves = {SUPERVISED: grid.supervised} | grid.distilled
    for name, optimum in curves.items():
        colour, dash, marker = _STYLE[name]
        axes.plot(compute, optimum.student_loss[0], color=colour, linestyle=dash, label=name)
        option = plan[name]
        if option.feasible:
            axes.plot(option.flops.total, option.student_loss, color=colour, marker=marker, linestyle="none")
    if problem.compute is not None:
        axes.axvline(problem.compute, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xlabel("total compute, FLOPs")
    axes.set_ylabel("student loss, nats per token")
    axes.set_title(f"{format_quantity(problem.student_params)} student, law {law_name}", loc="left")
    axes.legend(frameon=False)
    return figure


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
    """Nats by which distillation is ahead of supervised training over compute, a panel for each scenario.

    Args:
        law: Distillation law.
        student_params: Student sizes.
        law_name: For the title.
        scenarios: What distillation is charged with, four of them.
        bounds: Bounds of the search.
        costs: What a token costs, for each student.
        compute_range: FLOPs shown.
    """
    from matplotlib.figure import Figure

    compute = np.geomspace(*compute_range, 61)
    grids = [
        budget_grid(law, size, compute, scenarios=scenarios, bounds=bounds, costs=cost)
        for size, cost in zip(student_params, costs, strict=True)
    ]
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    styles = list(_STYLE.values())
    for axes, scenario in zip(panels.flat, scenarios, strict=True):
        for i, size in enumerate(student_params):
            colour, dash, _ = styles[i % len(styles)]
            axes.plot(
                compute, grids[i].lead(scenario.name)[0], color=colour, linestyle=dash, label=format_quantity(size)
            )
        axes.axhline(0.0, color="0.6", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_title(scenario.name, loc="left", fontsize=10)
        tidy(axes)
    panels[0, 0].legend(title="student", frameon=False)
    figure.supxlabel("total compute, FLOPs")
    figure.supylabel("lead of distillation, nats per token")
    figure.suptitle(f"Distillation against supervised training at equal compute, law {law_name}")
    return figure


def _new_figure() -> "tuple[Figure, Axes]":
    # Figure without pyplot: no global state, no display, safe in threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    return figure, axes


def tidy(axes: "Axes") -> None:
    """Axes in this package's style."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
