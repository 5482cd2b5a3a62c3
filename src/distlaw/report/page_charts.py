"""Charts beyond the paper's figures: one student's plan, leads of several students, and a law around one student."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series, shades
from distlaw.laws import PublishedLaw, StudentLaw
from distlaw.plan import BudgetGrid, Crossing, Crossover, Lead, OptionUncertainty, Plan, TeacherGrid, budgets_of
from distlaw.plan.crossover import LOSES_LEAD, TAKES_LEAD
from distlaw.report.palette import OPTION_STYLE
from distlaw.report.paper.compute_optimal import option_lines
from distlaw.runs import format_quantity

Array = NDArray[np.float64]

_PARTS = {
    "student_training": "student training",
    "teacher_logits": "teacher logits",
    "teacher_training": "teacher training",
    "student_serving": "student serving",
}
_COMPUTE = Axis(label="total compute, FLOPs", scale="log")
_BEYOND = "beyond the fitted runs"
_EITHER_SIDE, _POINTS = 300.0, 61  # of a plan's compute: how far charts reach, and by how many budgets


def budgets_around(law: StudentLaw, plan: Plan) -> BudgetGrid:
    """The plan's student over budgets on either side of its compute, all else as in the plan."""
    centre = plan.problem.compute or plan.best.flops.total
    return budgets_of(law, plan.problem, np.geomspace(centre / _EITHER_SIDE, centre * _EITHER_SIDE, _POINTS))


def loss_chart(grid: BudgetGrid, plan: Plan, *, intervals: Mapping[str, OptionUncertainty] | None = None) -> Chart:
    """Student loss against compute for every way to make one student (figure 8), with the plan's own points.

    Args:
        grid: One student over budgets.
        plan: Its plan.
        intervals: Of the plan's losses.
    """
    lines, points = list(option_lines(grid)), []
    for line in lines:
        if (option := plan[line.name]).feasible:
            one = None if intervals is None else intervals.get(line.name)
            low, high = (None, None) if one is None else (np.array([end]) for end in one.student_loss)
            x, y = np.array([option.flops.total]), np.array([option.student_loss])
            points.append(Series(name="", x=x, y=y, low=low, high=high, kind="points", colour=line.colour))
    guides = _budget(plan, "your budget")
    if plan.problem.target_loss is not None:
        guides = (Guide(axis="y", at=plan.problem.target_loss, name="your target"),)
    panel = Panel(x=_COMPUTE, y=Axis(label="student loss, nats per token"), series=(*lines, *points), guides=guides)
    size = format_quantity(plan.problem.student_params)
    return Chart(name="loss-against-compute", title=f"Loss of a student of {size} against compute", panels=(panel,))


def gain_chart(grid: BudgetGrid, plan: Plan) -> Chart:
    """Nats by which distillation is ahead of supervised training at equal compute, in every scenario.

    Args:
        grid: One student over budgets.
        plan: Its plan.
    """
    lines = []
    for name in grid.distilled:
        kind, colour = OPTION_STYLE[name]
        lines.append(Series(name=name, x=grid.compute, y=grid.lead(name)[0], kind=kind, colour=colour))
    guides = (Guide(axis="y", at=0.0), *_budget(plan))
    # Far below zero the answer is the same; what matters is where lines cross zero.
    most = max(float(np.nanmax(line.y, initial=0.01)) for line in lines)
    limits = (-2 * most, 1.2 * most)
    panel = Panel(
        x=_COMPUTE,
        y=Axis(label="ahead of training from scratch, nats", limits=limits),
        series=tuple(lines),
        guides=guides,
    )
    return Chart(name="gain", title="What distilling gains at equal compute", panels=(panel,))


def lead_chart(grids: Sequence[BudgetGrid]) -> Chart:
    """Nats by which distillation is ahead of supervised training at equal compute, a panel for each scenario.

    Args:
        grids: A student each, over the same budgets.
    """
    sizes, colours = [grid.student_params[0] for grid in grids], shades(len(grids))
    leads = {name: [grid.lead(name)[0] for grid in grids] for name in grids[0].distilled}
    low, high = (float(end(np.array(list(leads.values())), initial=0.0)) for end in (np.nanmin, np.nanmax))
    margin = 0.05 * (high - low)
    y = Axis(label="lead of distillation, nats per token", limits=(low - margin, high + margin) if margin else None)
    panels = tuple(
        Panel(
            title=name,
            x=_COMPUTE,
            y=y,
            series=tuple(
                Series(name=f"{format_quantity(N)} student", x=grid.compute, y=lead, colour=colour)
                for N, grid, lead, colour in zip(sizes, grids, own, colours, strict=True)
            ),
            guides=(Guide(axis="y", at=0.0),),
        )
        for name, own in leads.items()
    )
    return Chart(name="lead-against-compute", title="Lead of distillation at equal compute", panels=panels, columns=2)


def spending_chart(grid: BudgetGrid, plan: Plan, scenario: str) -> Chart:
    """Where the compute goes at the optimum of one scenario, over budgets (after figure 29).

    Args:
        grid: One student over budgets.
        plan: Its plan.
        scenario: Which.
    """
    optimum = grid.distilled[scenario]
    total = np.asarray(optimum.flops.total)[0]
    shares = []
    for i, (part, name) in enumerate(_PARTS.items()):
        flops = np.broadcast_to(getattr(optimum.flops, part), optimum.feasible.shape)[0]
        if np.nanmax(flops, initial=0.0) > 0:
            shares.append(Series(name=name, x=grid.compute, y=100 * flops / total, kind="area", colour=i))
    y = Axis(label="share of compute, %", limits=(0, 100))
    panel = Panel(x=_COMPUTE, y=y, series=tuple(shares), guides=_budget(plan))
    return Chart(name="spending", title=f"Where the compute goes, {scenario}", panels=(panel,))


def sizes_chart(grid: BudgetGrid, plan: Plan, scenario: str) -> Chart:
    """Tokens and the teacher at the optimum of one scenario, over budgets.

    Args:
        grid: One student over budgets.
        plan: Its plan.
        scenario: Which.
    """
    optimum = grid.distilled[scenario]
    series = (
        Series(name="student tokens", x=grid.compute, y=optimum.student_tokens[0], colour=0),
        Series(name="teacher tokens", x=grid.compute, y=optimum.teacher_tokens[0], colour=2, kind="dashed"),
        Series(name="teacher parameters", x=grid.compute, y=optimum.teacher_params[0], colour=3, kind="dotted"),
    )
    y = Axis(label="tokens, parameters", scale="log")
    panel = Panel(x=_COMPUTE, y=y, series=series, guides=_budget(plan))
    return Chart(name="sizes", title=f"The best tokens and teacher, {scenario}", panels=(panel,))


def crossover_chart(crossing: Crossover, plan: Plan, scenario: str) -> Chart:
    """Every compute at which the lead changes, over student sizes, where it is clear, and the plan's own point.

    Args:
        crossing: Over sizes.
        plan: The plan.
        scenario: What distillation is charged with.
    """
    series = []
    for direction, colour in ((LOSES_LEAD, 0), (TAKES_LEAD, 2)):
        points = [(lead.student_params, one.at) for lead in crossing.leads for one in _turns(lead, direction)]
        if points:
            sizes, at = np.array(points).T
            alone = len(set(sizes)) == len(sizes)  # one for each size is a line
            kind = "line-points" if alone else "points"
            series.append(Series(name=direction, x=sizes, y=at, kind=kind, colour=colour))
    clear = [
        (lead.student_params, high)
        for lead in crossing.leads
        for _, high in lead.clearly_ahead[:1]
        if high < lead.searched[1]  # else it is ahead throughout
    ]
    if clear and crossing.leads[0].resolution:
        sizes, at = np.array(clear).T
        name = f"distillation ahead by {crossing.leads[0].resolution:.3g} nats below"
        series.append(Series(name=name, x=sizes, y=at, kind="line", colour=1))
    if (compute := plan.problem.compute) is not None:
        x, y = np.array([plan.problem.student_params]), np.array([compute])
        series.append(Series(name="you", x=x, y=y, kind="points", colour=3))
    title = f"Where the lead changes, {scenario}"
    if not any(lead.crossings for lead in crossing.leads):
        title = f"No crossing at sizes near yours, {scenario}: {crossing.status[0]}"
    x, y = (Axis(label=label, scale="log") for label in ("student parameters", "total compute, FLOPs"))
    return Chart(name="crossover", title=title, panels=(Panel(x=x, y=y, series=tuple(series)),))


def _turns(lead: Lead, direction: str) -> list[Crossing]:
    return [one for one in lead.crossings if one.direction == direction]


def _budget(plan: Plan, name: str = "") -> tuple[Guide, ...]:
    compute = plan.problem.compute
    return () if compute is None else (Guide(axis="x", at=compute, name=name),)


def teacher_chart(grid: TeacherGrid, law: PublishedLaw, *, student_params: float, title: str) -> Chart:
    """Student loss over teacher loss and student size (figure 7), with the best teacher and what was fitted.

    Args:
        grid: Losses.
        law: Their law, for the range that it was fitted on; what lies beyond is shaded.
        student_params: Student that is asked about.
        title: What is drawn.
    """
    field = Field(name="student loss, nats per token", x=grid.teacher_loss, y=grid.student_params, z=grid.student_loss)
    inside = (grid.best_teacher_loss >= grid.teacher_loss[0]) & (grid.best_teacher_loss <= grid.teacher_loss[-1])
    best = np.where(inside, grid.best_teacher_loss, np.nan)
    panel = Panel(
        x=Axis(label="teacher loss, nats per token", limits=_ends(grid.teacher_loss)),
        y=Axis(label="student parameters", scale="log", limits=_ends(grid.student_params)),
        field=field,
        series=(Series(name="best teacher", x=best, y=grid.student_params, colour=3),),
        guides=(
            *_beyond(law, "teacher_loss", "x", grid.teacher_loss, name=_BEYOND),
            *_beyond(law, "student_params", "y", grid.student_params),
            Guide(axis="y", at=student_params, name="your student"),
        ),
    )
    return Chart(name="teacher-map", title=title, panels=(panel,))


def supervised_chart(law: PublishedLaw, N: Array, D: Array, *, title: str) -> Chart:
    """Loss over parameters and tokens, with what was fitted.

    Args:
        law: A supervised law, or the supervised part of another.
        N: Parameters, shape (n,).
        D: Tokens, shape (d,).
        title: What is drawn.
    """
    z = law.supervised.loss(N[:, None], D[None, :])
    panel = Panel(
        x=Axis(label="tokens", scale="log", limits=_ends(D)),
        y=Axis(label="parameters", scale="log", limits=_ends(N)),
        field=Field(name="loss, nats per token", x=D, y=N, z=z),
        guides=(
            *_beyond(law, "student_tokens", "x", D, name=_BEYOND),
            *_beyond(law, "student_params", "y", N),
        ),
    )
    return Chart(name="supervised-map", title=title, panels=(panel,))


def slice_chart(
    law: PublishedLaw,
    quantity: str,
    x: Array,
    curves: Mapping[str, tuple[Array, Array | None, Array | None]],
    *,
    axis: Axis,
    at: float,
    title: str,
) -> Chart:
    """Losses along one quantity, with intervals, solid where the law was fitted and dashed beyond.

    Args:
        law: Their law.
        quantity: Which, a name of the law's `fitted_range`.
        x: Its values, shape (k,).
        curves: By name the loss and both ends of its interval, each of shape (k,).
        axis: Of the quantity.
        at: Value that is asked about.
        title: What is drawn.
    """
    low, high = law.fitted_range.get(quantity, (-np.inf, np.inf))
    fitted = (x >= low) & (x <= high)
    series = []
    for colour, (name, (y, below, above)) in zip((0, None), curves.items(), strict=False):
        outside = ~fitted | _edge(fitted)  # dashes begin where the line ends
        series.append(Series(name="", x=x, y=np.where(outside, y, np.nan), kind="dashed", colour=colour))
        ends = {} if below is None or above is None else {"low": below, "high": above}
        if ends:
            series.append(Series(name="", x=x, y=y, **ends, kind="dotted", colour=colour))
        series.append(Series(name=name, x=x, y=np.where(fitted, y, np.nan), colour=colour))
    panel = Panel(
        x=axis,
        y=Axis(label="loss, nats per token"),
        series=tuple(series),
        guides=(*_beyond(law, quantity, "x", x, name=_BEYOND), Guide(axis="x", at=at)),
    )
    return Chart(name=f"slice-{quantity.replace('_', '-')}", title=title, panels=(panel,))


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a mask is true beside where it is not."""
    padded = np.pad(mask, 1, constant_values=True)
    return mask & ~(padded[:-2] & padded[2:])


def _beyond(law: PublishedLaw, quantity: str, axis: str, shown: Array, *, name: str = "") -> list[Guide]:
    """Shades over what lies outside the law's range, within what is shown."""
    low, high = law.fitted_range.get(quantity, (-np.inf, np.inf))
    first, last = float(shown[0]), float(shown[-1])
    spans = [(first, min(low, last)), (max(high, first), last)]
    found = [(a, b) for a, b in spans if a < b and np.isfinite(a) and np.isfinite(b)]
    return [
        Guide(axis="x" if axis == "x" else "y", at=a, to=b, name=name if not i else "")
        for i, (a, b) in enumerate(found)
    ]


def _ends(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[-1])
