"""Figures of fits: law and runs with intervals and extrapolation, IsoFLOP profiles, fits side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.fit import Allocation, FitResult, Profile
from distlaw.fit.compare import Report
from distlaw.fit.isoflop import OK
from distlaw.report.matplotlib_charts import tidy
from distlaw.report.palette import NAMED
from distlaw.runs import Runs, format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Okabe and Ito's palette for names. What has an order (sizes, tokens, compute) runs along viridis, which keeps that
# order for colour-blind readers and in grey; its end is too pale for lines.
_BLUE, _ORANGE, _GREY = NAMED[0], NAMED[3], "0.6"
_PALEST = 0.85
_MOST_CURVES = 16
_MOST_LEVELS = 8
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
_SAME_LEVEL = 0.1  # in the logarithm


def fit_figure(fit: FitResult, runs: Runs, *, held_out: Mask | None = None) -> "Figure":
    """A law with its runs and intervals, and its predictions against what was measured (after figures 1 and 5).

    On the left, losses over teacher loss for each student, or over size for a supervised law at fixed tokens (or
    compute, where the runs lie on IsoFLOP profiles), with the law's interval as a band. Curves are solid where runs of
    theirs were fitted and dashed beyond; runs are filled where they were fitted and hollow where they were held out. On
    the right, predictions with the interval for one new run.

    Args:
        fit: A fit that converged.
        runs: The runs that it saw and those held out; those of the other kind are left out.
        held_out: Which of the runs were held out, shape (runs,); none by default.
    """
    from matplotlib.figure import Figure

    distilled = fit.form.kind == "distillation"
    out = np.zeros(len(runs), dtype=bool) if held_out is None else np.asarray(held_out)
    own = runs.distilled == distilled
    runs, out = runs.select(own), out[own]
    x = runs.teacher_loss if distilled else runs.student_params
    values, curves, title = _student_curves(runs) if distilled else _size_curves(runs)
    colours = _Colours(values)

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    labelled = set()
    for curve in curves:
        colour = colours(curve.value)
        middle, low, high = fit.predict(*curve.arguments)
        seen = x[curve.members & ~out]
        inside = (curve.x >= seen.min()) & (curve.x <= seen.max()) if seen.size else np.zeros(curve.x.size, dtype=bool)
        label = None if curve.label in labelled else curve.label
        labelled.add(curve.label)
        left.plot(curve.x, middle, color=colour, linestyle=(0, (3, 2)), linewidth=1.0)
        left.plot(curve.x, np.where(inside, middle, np.nan), color=colour, linewidth=1.4, label=label)
        left.fill_between(curve.x, low, high, color=colour, alpha=0.2, linewidth=0)
    shown = np.any([curve.members for curve in curves], axis=0)
    _scatter(left, x, runs.student_loss, out, colours(values), shown)
    margin = 0.05 * float(np.ptp(runs.student_loss[shown]))
    left.set_ylim(runs.student_loss[shown].min() - margin, runs.student_loss[shown].max() + 2 * margin)
    left.set_xlabel("teacher loss, nats per token" if distilled else "parameters N")
    left.set_ylabel(f"{'student ' if distilled else ''}loss, nats per token")
    left.set_title(title, loc="left", fontsize=10)
    if not distilled:
        left.set_xscale("log")
    left.legend(frameon=False, fontsize=8)

    arguments = (runs.student_params, runs.student_tokens) + ((runs.teacher_loss,) if distilled else ())
    predicted, low, high = fit.predict(*arguments, noise=True)
    _against_measured(right, runs.student_loss, predicted, low, high, out, fit.spec.level)
    for axes in (left, right):
        tidy(axes)
    return figure


def isoflop_figure(profiles: Sequence[Profile], allocation: Allocation | None) -> "Figure":
    """IsoFLOP profiles with their curves, and the best size over compute with the power law through it.

    Minima have their intervals. A profile that was refused is grey and has no curve. The power law is dashed, and
    its interval wider, beyond the profiles.

    Args:
        profiles: At least one.
        allocation: Through the minima; None where there are too few.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = _Colours(np.array([profile.compute for profile in profiles]))
    good = [profile for profile in profiles if profile.status == OK]
    for profile in profiles:
        ok = profile.status == OK
        colour = colours(profile.compute) if ok else _GREY
        label = f"{profile.compute:.2g} FLOPs" + ("" if ok else f": {profile.status}")
        left.plot(
            profile.params,
            profile.losses,
            color=colour,
            marker="o",
            markersize=4,
            markerfacecolor=colour if ok else "white",
            linestyle="none" if ok else "dotted",
            linewidth=0.8,
            label=label if len(profiles) <= _MOST_LEVELS or ok else None,
        )
        if profile.interval is None or not ok:
            continue
        near = profile.params[profile.near]
        grid = np.geomspace(near[0], near[-1], 80)
        left.plot(grid, profile.loss(grid), color=colour, linewidth=1.2)
        low, high = np.exp(profile.interval)
        left.hlines(profile.best_loss, low, high, color=colour, linewidth=4, alpha=0.5)
        left.plot(profile.best_params, profile.best_loss, color=colour, marker="D", markersize=6)
        right.vlines(profile.compute, low, high, color=colour, linewidth=2.5, alpha=0.5)
        right.plot(profile.compute, profile.best_params, color=colour, marker="D", markersize=5)
    left.set_xlabel("parameters N")
    left.set_ylabel("loss, nats per token")
    left.set_title("loss at equal compute, and the best size with its interval", loc="left", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    if allocation is not None:
        first, last = good[0].compute, good[-1].compute
        compute = np.geomspace(first / 3, last * 10, 80)
        inside = (compute >= first) & (compute <= last)
        line, _ = allocation.at(compute)
        right.plot(compute, line, color=_BLUE, linestyle=(0, (3, 2)), linewidth=1.0, zorder=0)
        label = f"N* ~ C^{allocation.a:.3f}"
        right.plot(compute, np.where(inside, line, np.nan), color=_BLUE, linewidth=1.4, zorder=0, label=label)
        if len(allocation.draws):
            low, high = np.percentile(allocation.resampled(compute)[0], [5, 95], axis=0)
            right.fill_between(compute, low, high, color=_BLUE, alpha=0.15, linewidth=0)
        right.legend(frameon=False, fontsize=8)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("compute C, FLOPs")
    right.set_ylabel("best size N*")
    left.set_xscale("log")
    for axes in (left, right):
        tidy(axes)
    return figure


def comparison_figure(report: Report) -> "Figure":
    """What the fits of a report say, one line each, with 90 % intervals.

    For a supervised law tokens per parameter at each compute, under every loss, with free and tied exponents, and by
    IsoFLOP profiles. For a distillation law the held-out error of every form, one panel for each kind of folds.

    Args:
        report: From `distlaw.fit.compare.compare`.
    """
    from matplotlib.figure import Figure

    if report.kind == "supervised":
        panels = []
        for i, compute in enumerate(report.computes):
            rows = [(v.name, v.answers[i], v.answer_intervals[i]) for v in (*report.losses, *report.exponents)]
            for split in report.isoflop.splits[:-1] if report.isoflop else ():
                rows.append((split.name, split.tokens_per_param[i], split.tokens_per_param_intervals[i]))
            panels.append((f"at {compute:.3g} FLOPs", rows))
        label = "tokens per parameter"
    else:
        panels = [
            (f"folds: {kind}", [(row.form, 100 * row.mean_error, 100 * np.array(row.interval)) for row in rows])
            for kind, rows in report.forms.items()
        ]
        label = "mean held-out error, %"
    height = 1.2 + 0.28 * max(len(rows) for _, rows in panels)
    figure = Figure(figsize=(4.6 * len(panels), height), layout="constrained")
    for axes, (title, rows) in zip(figure.subplots(1, len(panels), sharex=True, squeeze=False)[0], panels, strict=True):
        for i, (_, value, (low, high)) in enumerate(rows):
            axes.hlines(i, low, high, color=_BLUE, linewidth=2.5, alpha=0.4)
            axes.plot(value, i, color=_BLUE, marker="o", markersize=5)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.set_title(title, loc="left", fontsize=10)
        tidy(axes)
    return figure


class _Curve(NamedTuple):
    """A curve of the law and the runs that lie on it.

    Attributes:
        label: For the legend.
        value: What its colour says.
        x: Where it is drawn.
        arguments: Of the law there.
        members: Its runs.
    """

    label: str
    value: float
    x: Array
    arguments: tuple[Array, ...]
    members: Mask


class _Colours:
    """Colours for values on a logarithmic scale."""

    def __init__(self, values: Array) -> None:
        self.low, self.high = float(np.log(values.min())), float(np.log(values.max()))

    def __call__(self, values: ArrayLike) -> Array:
        """RGBA, shape (..., 4)."""
        from matplotlib import colormaps

        at = (np.log(values) - self.low) / max(self.high - self.low, 1e-9)
        return np.asarray(colormaps["viridis"](_PALEST * at))


def _student_curves(runs: Runs) -> tuple[Array, list[_Curve], str]:
    """What colours each run (its size), one curve over teacher loss for each student, and a title."""
    label = runs.student_of_each()
    chosen = np.unique(np.linspace(0, label.max(), min(_MOST_CURVES, int(label.max()) + 1)).astype(int))
    grid = np.linspace(runs.teacher_loss.min() * 0.98, runs.teacher_loss.max() * 1.02, 80)
    curves = []
    for i in chosen:
        members = label == i
        N, D = runs.student_params[members][0], runs.student_tokens[members][0]
        arguments = (np.full(grid.size, N), np.full(grid.size, D), grid)
        curves.append(_Curve(format_quantity(N), N, grid, arguments, members))
    left_out = int(label.max()) + 1 - chosen.size
    title = "a curve for each student (size and tokens)" + (f"; {left_out} more are not drawn" if left_out else "")
    return runs.student_params, curves, title


def _size_curves(runs: Runs) -> tuple[Array, list[_Curve], str]:
    """What colours each run (tokens or compute), curves over size at a few levels of that, and a title."""
    N, D = runs.student_params, runs.student_tokens
    by_compute = False
    levels = _levels(D)
    if levels is None and (levels := _levels(6 * N * D)) is not None:
        by_compute = True
    values = 6 * N * D if by_compute else D
    spread = levels is None
    if levels is None:
        levels = np.quantile(D, _QUANTILES)
    nearest = np.argmin(np.abs(np.log(values)[:, None] - np.log(levels)), axis=1)
    curves = []
    for i, level in enumerate(levels):
        members = nearest == i
        grid = np.geomspace(N[members].min() / 2, N[members].max() * 2, 80)
        tokens = level / (6 * grid) if by_compute else np.full(grid.size, level)
        label = f"{level:.2g} FLOPs" if by_compute else f"{format_quantity(level)} tokens"
        curves.append(_Curve(label, level, grid, (grid, tokens), members))
    title = f"a curve for each {'compute' if by_compute else 'number of tokens'}"
    return values, curves, "curves at five numbers of tokens; the colour of a run tells its own" if spread else title


def _levels(values: Array) -> Array | None:
    """The few levels that values take, to a tenth; None where they are spread out."""
    logs = np.sort(np.log(values))
    groups = np.split(logs, np.flatnonzero(np.diff(logs) > _SAME_LEVEL) + 1)
    if len(groups) > _MOST_LEVELS or max(np.ptp(group) for group in groups) > 2 * _SAME_LEVEL:
        return None
    return np.exp([group.mean() for group in groups])


def _scatter(axes: "Axes", x: Array, y: Array, out: Mask, colours: Array, shown: Mask) -> None:
    for held, name in ((False, "fitted"), (True, "held out")):
        chosen = np.flatnonzero(shown & (out == held))
        if chosen.size:
            edge = colours[chosen].tolist()
            face = "white" if held else edge
            axes.scatter(x[chosen], y[chosen], s=16, facecolors=face, edgecolors=edge, linewidths=0.9, zorder=3)
            axes.scatter([], [], s=16, facecolors="white" if held else "0.3", edgecolors="0.3", label=name)


def _against_measured(
    axes: "Axes", measured: Array, predicted: Array, low: Array, high: Array, out: Mask, level: float
) -> None:
    """Relative error of predictions over what was measured, with the interval for one new run."""
    for held, colour in ((False, _BLUE), (True, _ORANGE)):
        chosen = out == held
        if not chosen.any():
            continue
        error, ends = (
            100 * (value[..., chosen] / measured[chosen] - 1) for value in (predicted, np.stack([low, high]))
        )
        name = f"{'held out' if held else 'fitted'}: mean error {np.abs(error).mean():.2f} %"
        if np.isfinite(ends).all():
            inside = ((ends[0] <= 0) & (ends[1] >= 0)).mean()
            name += f", {inside:.0%} in their {level:.0%} interval"
            axes.vlines(measured[chosen], *ends, color=colour, alpha=0.25, linewidth=0.8)
        face = "white" if held else colour
        axes.scatter(measured[chosen], error, s=14, facecolors=face, edgecolors=colour, zorder=3, label=name)
    axes.axhline(0.0, color=_GREY, linewidth=0.8)
    axes.set_xlabel("measured loss, nats per token")
    axes.set_ylabel("predicted / measured - 1, %")
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.15 * (top - bottom))  # room for the legend
    axes.legend(frameon=False, fontsize=8, loc="upper right")
