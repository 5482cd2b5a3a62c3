"""Figures of a study: predictions against runs, students under their teachers, worth of tokens, compute."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence import CannotSay, Cells, CellWorth, Duel, Evidence
from distlaw.evidence.against_supervised import Comparison
from distlaw.report.figures import tidy
from distlaw.runs import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
T = TypeVar("T")

# Okabe and Ito's palette for what has no order; student sizes run along viridis, and differ in their marker too.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "0.6"
_PALEST = 0.85
_MARKERS = "osD^vP*X"
_COLUMNS = 3
_MOST_PANELS = 9


def prediction_figure(evidence: Evidence) -> "Figure":
    """Predicted over measured losses of every law that was extrapolated, in one panel each (after figures 1 and 5).

    Cells that were fitted are filled, those of several times their compute hollow.

    Raises:
        ValueError: No law was extrapolated.
    """
    laws = {form: x for form, x in evidence.extrapolation.items() if not isinstance(x, CannotSay)}
    if not laws:
        raise ValueError("no law was extrapolated: there is nothing to draw")
    figure, panels = _panels(len(laws), width=3.4, height=2.6)
    furthest = 0.0
    for axes, (form, x) in zip(panels, laws.items(), strict=True):
        error = 100 * (x.predicted / x.measured - 1)
        furthest = max(furthest, float(np.abs(error).max()))
        axes.axhline(0.0, color=_GREY, linewidth=0.8, zorder=0)
        for out, colour, name in ((False, _BLUE, "fitted"), (True, _ORANGE, f"{x.times:g}x the compute or more")):
            chosen = x.held_out == out
            axes.scatter(
                x.measured[chosen],
                error[chosen],
                s=20,
                marker="D" if out else "o",
                facecolors="white" if out else colour,
                edgecolors=colour,
                zorder=3 if out else 2,
                label=f"{name}: {np.abs(error[chosen]).mean():.2f} %",
            )
        axes.set_title(form, loc="left", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    for axes in panels:
        axes.set_ylim(-1.5 * furthest, 1.1 * furthest)  # room for the legend
    figure.supxlabel("measured loss, nats per token")
    figure.supylabel("predicted / measured - 1, %")
    return figure


def teacher_figure(evidence: Evidence) -> "Figure":
    """Student loss against teacher loss, one panel for each student, with what it reaches alone (after figures 1, 4).

    Bars are two standard errors of the seed noise; the dashed line is the supervised loss of the same student on as
    many tokens, the dotted one the teacher's own loss.

    Raises:
        ValueError: No student has two teachers.
    """
    cells = evidence.cells.select(evidence.cells.distilled)
    students = [(N, D, members) for N, D, members in cells.students() if members.size > 1]
    if not students:
        raise ValueError("no student has two teachers: there is nothing to draw")
    students = _spread_over(students)
    alone = {(d.student_params, d.student_tokens): d.supervised_loss for d in _duels(evidence, "equal tokens")}
    figure, panels = _panels(len(students), width=3.4, height=2.7)
    colours = _SizeStyle(cells.student_params)
    for axes, (N, D, members) in zip(panels, students, strict=True):
        own = cells.select(members)
        colour, marker = colours(N)
        axes.errorbar(
            own.teacher_loss,
            own.loss,
            yerr=_errors(evidence, own),
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.2,
            elinewidth=1.0,
            capsize=2,
        )
        best = int(np.argmin(own.loss))
        axes.plot(own.teacher_loss[best], own.loss[best], marker="o", markersize=11, color=_ORANGE, fillstyle="none")
        low, high = axes.get_ylim()
        if (N, D) in alone:
            axes.axhline(alone[N, D], color="black", linestyle="dashed", linewidth=1.0)
            low, high = min(low, alone[N, D]), max(high, alone[N, D])
        axes.axline((own.teacher_loss[0], own.teacher_loss[0]), slope=1, color=_GREY, linestyle="dotted", linewidth=1.0)
        margin = 0.06 * (high - low)
        axes.set_ylim(low - margin, high + margin)
        axes.set_title(f"{format_quantity(N)}, {format_quantity(D)} tokens", loc="left", fontsize=10)
    figure.supxlabel("teacher loss, nats per token")
    figure.supylabel("student loss, nats per token")
    handles = [
        ({"color": "black", "linestyle": "dashed"}, "the student alone, as many tokens"),
        ({"color": _GREY, "linestyle": "dotted"}, "the teacher's own loss"),
        ({"color": _ORANGE, "marker": "o", "markersize": 9, "fillstyle": "none", "linestyle": "none"}, "best teacher"),
    ]
    _legend(figure, handles)
    return figure


def worth_figure(evidence: Evidence) -> "Figure":
    """Kappa, the supervised tokens that one distilled token replaces, against teacher loss, a curve for each student.

    Hollow points have a teacher too weak to tell (its own loss holds the student back); the band is the mean over the
    others with its interval.

    Raises:
        ValueError: Kappa is known for no cell.
    """
    worth = evidence.token_worth
    known = (
        [] if isinstance(worth, CannotSay) else [c for c in worth.cells if np.isfinite([c.kappa, *c.interval]).all()]
    )
    if not known or isinstance(worth, CannotSay):
        raise ValueError("kappa is known for no cell: there is nothing to draw")
    students = sorted({(c.student_params, c.student_tokens) for c in known})
    colours = _SizeStyle(np.array([N for N, _ in students]))
    figure, (axes,) = _panels(1, width=7.5, height=4.8)
    for i, (N, D) in enumerate(students):
        own = sorted((c for c in known if (c.student_params, c.student_tokens) == (N, D)), key=lambda c: c.teacher_loss)
        _worth_curve(axes, own, colours(N)[0], _MARKERS[i % len(_MARKERS)], 1 + 0.0008 * (i - len(students) / 2))
    if not isinstance(worth.constancy, CannotSay):
        axes.axhspan(*worth.constancy.interval, color=_GREY, alpha=0.35, linewidth=0, zorder=0, label="mean, 90 %")
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    ticks = [t for t in (0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10) if axes.get_ylim()[0] <= t <= axes.get_ylim()[1]]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("teacher loss, nats per token")
    axes.set_ylabel("kappa, supervised tokens per distilled token")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def compute_figure(evidence: Evidence, *, basis: str = "teacher inference paid") -> "Figure":
    """Loss against compute of each student size, distilled and supervised (after figure 8), one panel for each size.

    Supervised cells are joined; of the distilled cells the lower envelope is, those that no cheaper one beats.

    Args:
        evidence: What a study says.
        basis: What distilled students are charged with, a key of `distlaw.evidence.against_supervised.BASES`.

    Raises:
        ValueError: There is no comparison on this basis.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    duels = _duels(evidence, basis)
    if not duels or np.isnan([d.compute for d in duels]).all():
        raise ValueError(f"there is no comparison at '{basis}' with its compute: there is nothing to draw")
    alone = evidence.cells.select(~evidence.cells.distilled & ~np.isnan(evidence.cells.compute))
    sizes = _spread_over(sorted({d.student_params for d in duels}))
    figure, panels = _panels(len(sizes), width=3.4, height=2.8)
    for axes, N in zip(panels, sizes, strict=True):
        own = alone.select(alone.student_params == N)
        order = np.argsort(own.compute)
        axes.errorbar(
            own.compute[order],
            own.loss[order],
            yerr=_errors(evidence, own)[order],
            color="black",
            marker="o",
            markersize=4,
            linewidth=1.2,
            elinewidth=0.8,
        )
        taught = sorted((d for d in duels if d.student_params == N), key=lambda d: d.compute)
        C, loss = np.array([d.compute for d in taught]), np.array([d.loss for d in taught])
        axes.scatter(C, loss, s=18, marker="D", facecolors="white", edgecolors=_BLUE, zorder=3)
        best = np.flatnonzero(loss <= np.minimum.accumulate(loss))
        axes.plot(C[best], loss[best], color=_BLUE, linestyle="dashed", linewidth=1.2)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(format_quantity(N), loc="left", fontsize=10)
    figure.supxlabel("compute, FLOPs" if basis == "equal tokens" else f"compute, FLOPs, {basis}")
    figure.supylabel("loss, nats per token")
    handles = [
        ({"color": "black", "marker": "o", "markersize": 4}, "supervised"),
        (
            {"color": _BLUE, "marker": "D", "markersize": 4, "linestyle": "dashed", "markerfacecolor": "white"},
            "distilled, and the best of them",
        ),
    ]
    _legend(figure, handles)
    return figure


def evidence_figures(evidence: Evidence) -> "dict[str, Figure]":
    """All figures that this study has runs for, by name."""
    makers = {
        "predictions": prediction_figure,
        "teachers": teacher_figure,
        "token-worth": worth_figure,
        "compute": compute_figure,
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make(evidence)
        except ValueError:  # it cannot be drawn; the tables say why
            continue
    return found


def _worth_curve(axes: "Axes", own: list[CellWorth], colour: Array, marker: str, shift: float) -> None:
    """One student's kappa; `shift` keeps intervals of several students apart."""
    x = np.array([c.teacher_loss for c in own]) * shift
    kappa, ends = np.array([c.kappa for c in own]), np.array([c.interval for c in own]).T
    label = f"{format_quantity(own[0].student_params)}, {format_quantity(own[0].student_tokens)} tokens"
    axes.plot(x, kappa, color=colour, marker=marker, markersize=5, linewidth=0.9, label=label)
    axes.vlines(x, *ends, color=colour, linewidth=1.2, alpha=0.7)
    weak = np.array([c.held_back for c in own])
    axes.plot(
        x[weak], kappa[weak], color=colour, marker=marker, markersize=5, markerfacecolor="white", linestyle="none"
    )


class _SizeStyle:
    """A colour and a marker for each student size."""

    def __init__(self, sizes: Array) -> None:
        self.sizes = np.unique(sizes)

    def __call__(self, size: float) -> tuple[Array, str]:
        from matplotlib import colormaps

        at = int(np.searchsorted(self.sizes, size))
        return np.asarray(colormaps["viridis"](_PALEST * at / max(self.sizes.size - 1, 1))), _MARKERS[
            at % len(_MARKERS)
        ]


def _duels(evidence: Evidence, basis: str) -> tuple[Duel, ...]:
    if isinstance(evidence.against, CannotSay):
        return ()
    found = evidence.against.comparisons.get(basis)
    return found.duels if isinstance(found, Comparison) else ()


def _errors(evidence: Evidence, cells: Cells) -> Array:
    """Two standard errors of cell means by the seed noise; 0 where that is not known."""
    if isinstance(evidence.noise, CannotSay):
        return np.zeros(len(cells))
    return 2 * cells.loss * evidence.noise.relative(cells.student_tokens) / np.sqrt(cells.runs)


def _spread_over(values: list[T]) -> list[T]:
    """As many as there are panels for, spread over all."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_PANELS)).astype(int))
    return [values[i] for i in chosen]


def _panels(count: int, *, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[:count]:
        tidy(axes)
    return figure, panels[:count]


def _legend(figure: "Figure", handles: Iterable[tuple[dict[str, Any], str]]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], label=label, **style) for style, label in handles]
    figure.legend(handles=lines, loc="outside upper left", ncols=len(lines), frameon=False, fontsize=9)
