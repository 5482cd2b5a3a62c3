"""Figures of training: the coordinate check and reliability diagrams."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from distlaw.report.matplotlib_charts import tidy
from distlaw.report.palette import NAMED
from distlaw.runs import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distlaw.train.coordinate_check import CoordinateCheck
    from distlaw.train.evaluate import Evaluation

_MARKERS = ("o", "s", "^", "D", "v", "P")
_PALEST = 0.85  # the end of viridis is too pale for lines
_LEAST_RANGE = 4.0  # of an axis, top over bottom: what is flat shall look flat
_POINT, _GAP = NAMED[0], NAMED[3]
_LARGEST = 420.0  # marker of a bin that holds every token, square points
_PANELS_A_ROW = 4
_LONGEST = 36  # name over a panel


def coordinate_check_figure(check: "CoordinateCheck") -> "Figure":
    """Activation sizes over width, a panel for each kind and a line for each step, and the margin of the first step.

    Blocks of one kind share a panel, told apart by their markers. Flat lines are what muP promises.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    kinds: dict[str, list[str]] = {}
    for name in check.sizes:
        kinds.setdefault(name.split(" ")[-1], []).append(name)
    n_steps = len(next(iter(check.sizes.values())))
    colours = matplotlib.colormaps["viridis"](np.linspace(0, _PALEST, n_steps))

    figure = Figure(figsize=(3 * (len(kinds) + 1), 3.6), layout="constrained")
    panels = figure.subplots(1, len(kinds) + 1, sharex=True)
    for axes, (kind, names) in zip(panels, kinds.items(), strict=False):
        for i, name in enumerate(names):
            for step, sizes in enumerate(check.sizes[name]):
                if np.all(sizes == 0):  # logits of an output layer that starts at zero
                    continue
                axes.plot(
                    check.widths,
                    sizes,
                    color=colours[step],
                    marker=_MARKERS[i % len(_MARKERS)],
                    markersize=4,
                    label=f"step {step}" if axes is panels[1] and i == 0 else None,
                )
        axes.set_title(kind, loc="left", fontsize=10)
    for i, name in enumerate(next(iter(kinds.values()))):
        block = " ".join(name.split(" ")[:-1])
        panels[0].plot([], [], color="0.4", marker=_MARKERS[i % len(_MARKERS)], linestyle="none", label=block)
    panels[-1].plot(check.widths, check.margins, color="black", marker="o", markersize=4)
    panels[-1].set_title("margin after step 1, nats", loc="left", fontsize=10)
    for axes in panels:
        axes.set_xscale("log")
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        widen = max(_LEAST_RANGE * low / high, 1.0) ** 0.5
        axes.set_ylim(low / widen, high * widen)
        axes.set_xticks(check.widths, [str(width) for width in check.widths])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        tidy(axes)
    for axes in panels[:2]:
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("root mean square")
    figure.supxlabel("width", fontsize=10)
    verdict = "passed" if check.passed else "failed"
    figure.suptitle(f"Coordinate check of {check.parametrisation}: {verdict}", fontsize=11)
    return figure


def reliability_figure(evaluations: Mapping[str, "Evaluation"]) -> "Figure":
    """Reliability diagrams against the data (appendix E.8 of arXiv 2502.08606), a panel for each model.

    A point is a bin of the 21: accuracy over mean confidence, its area the share of tokens in it. The distance from the
    diagonal, weighted by that share and summed, is the expected calibration error in the title. Above the diagonal a
    model is right more often than it claims.

    Args:
        evaluations: What was measured, by the name to show.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(len(evaluations), _PANELS_A_ROW)
    rows = -(-len(evaluations) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.5, 3.5 * rows + 0.6), layout=ConstrainedLayoutEngine(h_pad=0.12))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for axes, (name, evaluation) in zip(panels, evaluations.items(), strict=False):
        confidence, accuracy, counts = np.array(evaluation.reliability).T
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
        axes.vlines(confidence, confidence, accuracy, color=_GAP, linewidth=1, alpha=0.7)
        areas = _LARGEST * counts / counts.sum()
        axes.scatter(confidence, accuracy, s=areas + 6, color=_POINT, edgecolor="white", linewidth=0.5, zorder=2)
        shown = one_line(name)
        shown = shown if len(shown) <= _LONGEST else "..." + shown[3 - _LONGEST :]  # paths differ at their ends
        axes.set_title(f"{shown}\nECE {evaluation.ece:.2%}", loc="left", fontsize=10, parse_math=False)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))
        tidy(axes)
    for axes in panels[len(evaluations) :]:
        axes.set_visible(False)
    panels[0].text(0.03, 0.95, "underconfident", color="0.45", fontsize=8, va="top")
    panels[0].text(0.97, 0.03, "overconfident", color="0.45", fontsize=8, ha="right")
    figure.supxlabel("confidence (area of a point: share of the tokens)", fontsize=10)
    figure.supylabel("accuracy", fontsize=10)
    return figure
