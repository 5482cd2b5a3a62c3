"""Figures of training: the coordinate check."""

from typing import TYPE_CHECKING

import numpy as np

from distlaw.report.figures import tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distlaw.train.coordinate_check import CoordinateCheck

_MARKERS = ("o", "s", "^", "D", "v", "P")
_PALEST = 0.85  # the end of viridis is too pale for lines
_LEAST_RANGE = 4.0  # of an axis, top over bottom: what is flat shall look flat


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
