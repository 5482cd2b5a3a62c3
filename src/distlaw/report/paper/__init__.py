"""The figures of arXiv 2502.08606, drawn from any law."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import getdoc
from types import MappingProxyType
from typing import Literal

from distlaw.charts import Chart
from distlaw.laws import StudentLaw
from distlaw.report.paper.compute_optimal import (
    allocation,
    best_teacher,
    configuration,
    loss_over_compute,
    losses_of_all_sizes,
)
from distlaw.report.paper.fits import extrapolation, predicted_and_measured
from distlaw.report.paper.fixed_tokens import lead_map, teacher_map
from distlaw.report.paper.profiles import capacity_gap, student_profiles, teacher_profiles
from distlaw.report.paper.ratios import compute_ratios, data_ratios
from distlaw.report.paper.scope import Scope
from distlaw.runs import Runs

__all__ = ["FIGURES", "PaperFigure", "Scope", "paper_figure"]


@dataclass(frozen=True, kw_only=True)
class PaperFigure:
    """A figure of the paper.

    Attributes:
        title: What it shows, in a few words.
        about: What is drawn after it, in paragraphs.
        draw: From a law, its scope and, perhaps, runs.
        runs: Whether it shows runs: never, where there are some, or always.
    """

    title: str
    about: tuple[str, ...]
    draw: Callable[[StudentLaw, Scope, Runs | None], Chart]
    runs: Literal["never", "optional", "always"]


def _of_law(title: str, draw: Callable[[StudentLaw, Scope], Chart]) -> PaperFigure:
    return PaperFigure(title=title, about=_about(draw), draw=lambda law, scope, _runs: draw(law, scope), runs="never")


def _of_runs(
    title: str,
    draw: Callable[[StudentLaw, Scope, Runs | None], Chart],
    runs: Literal["optional", "always"] = "optional",
) -> PaperFigure:
    return PaperFigure(title=title, about=_about(draw), draw=draw, runs=runs)


def _about(draw: Callable[..., Chart]) -> tuple[str, ...]:
    """The docstring as far as its arguments."""
    text = (getdoc(draw) or "").partition("\nArgs:")[0]
    return tuple(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())


FIGURES: Mapping[int, PaperFigure] = MappingProxyType(
    {
        1: _of_runs("extrapolation", extrapolation),
        4: _of_runs("capacity gap", capacity_gap),
        5: _of_runs("predicted and measured", predicted_and_measured, "always"),
        6: _of_law("distillation over supervised training", lead_map),
        7: _of_law("student loss and the best teacher", teacher_map),
        8: _of_law("loss over compute", loss_over_compute),
        9: _of_law("best configuration", configuration),
        16: _of_runs("students of equal compute", student_profiles),
        17: _of_runs("teachers of equal compute", teacher_profiles),
        23: _of_law("loss over compute by size", losses_of_all_sizes),
        26: _of_law("best teacher over compute", best_teacher),
        29: _of_law("where the compute goes", allocation),
        33: _of_law("compute to reach a loss", compute_ratios),
        34: _of_law("data to reach a loss", data_ratios),
    }
)
"""By number in the paper. What is drawn for each is after the paper's own, as its `about` says."""


def paper_figure(
    number: int, law: StudentLaw, scope: Scope | None = None, *, runs: Runs | None = None, command: str = ""
) -> Chart:
    """Draw a figure of the paper from any law.

    Args:
        number: A key of `FIGURES`.
        law: Distillation law: any object with the methods of `distlaw.laws.StudentLaw`.
        scope: Sizes, tokens and budgets shown; those of the paper by default.
        runs: Runs to show with the law, where the figure does.
        command: What makes it, for the chart.

    Raises:
        ValueError: There is no such figure, or it needs runs that are not there.
    """
    try:
        figure = FIGURES[number]
    except KeyError:
        raise ValueError(f"figure {number} is not drawn; choose {', '.join(map(str, FIGURES))}") from None
    chart = figure.draw(law, scope or Scope(), None if figure.runs == "never" else runs)
    return replace(chart, title=f"{chart.title} (after figure {number})", command=command)
