"""Charts of a study: predictions against runs, students under their teachers, worth of tokens, compute."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Panel, Series, shades
from distlaw.evidence import CannotSay, Cells, CellWorth, Duel, Evidence
from distlaw.evidence.against_supervised import Comparison
from distlaw.runs import format_quantity

Array = NDArray[np.float64]
T = TypeVar("T")

_BLUE, _RED = 0, 3  # of the palette
_MOST_PANELS = 9


def prediction_chart(evidence: Evidence) -> Chart:
    """Predicted over measured losses of every law that was extrapolated, a panel each (after figures 1 and 5).

    Cells that were fitted are filled, those of several times their compute hollow.

    Raises:
        ValueError: No law was extrapolated.
    """
    laws = {form: x for form, x in evidence.extrapolation.items() if not isinstance(x, CannotSay)}
    if not laws:
        raise ValueError("no law was extrapolated: there is nothing to draw")
    furthest = max(float(np.abs(x.predicted / x.measured - 1).max()) for x in laws.values())
    panels = []
    for form, x in laws.items():
        error, out = 100 * (x.predicted / x.measured - 1), x.held_out
        far = f"{x.times:g}x the compute or more"
        panels.append(
            Panel(
                x=Axis(label="measured loss, nats per token"),
                y=Axis(label="predicted / measured - 1, %", limits=(-110 * furthest, 110 * furthest)),
                title=f"{form}: {np.abs(error[~out]).mean():.2f} %, {np.abs(error[out]).mean():.2f} %",
                series=(
                    Series(name="fitted", x=x.measured[~out], y=error[~out], kind="points", colour=_BLUE),
                    Series(name=far, x=x.measured[out], y=error[out], kind="hollow", colour=_RED),
                ),
                guides=(Guide(axis="y", at=0.0),),
            )
        )
    return Chart(
        name="predictions",
        title="Laws of the weaker runs on the stronger ones (mean errors of fitted cells, and of those beyond)",
        panels=tuple(panels),
    )


def teacher_chart(evidence: Evidence) -> Chart:
    """Student loss against teacher loss, one panel for each student (after figures 1 and 4).

    Bars are two standard errors of the seed noise. The dashed line is the supervised loss of the same student on as
    many tokens, the dotted one the teacher's own loss.

    Raises:
        ValueError: No student has two teachers.
    """
    cells = evidence.cells.select(evidence.cells.distilled)
    students = [(N, D, members) for N, D, members in cells.students() if members.size > 1]
    if not students:
        raise ValueError("no student has two teachers: there is nothing to draw")
    alone = {(d.student_params, d.student_tokens): d.supervised_loss for d in _duels(evidence, "equal tokens")}
    panels = []
    for N, D, members in _spread_over(students):
        own = cells.select(members)
        error, best = _errors(evidence, own), int(np.argmin(own.loss))
        ends = own.teacher_loss[[0, -1]]
        series = [
            Series(
                name="distilled",
                x=own.teacher_loss,
                y=own.loss,
                low=own.loss - error,
                high=own.loss + error,
                kind="line-points",
                colour=_BLUE,
            ),
            Series(name="best teacher", x=own.teacher_loss[[best]], y=own.loss[[best]], kind="hollow", colour=_RED),
        ]
        if (N, D) in alone:
            same = np.full(2, alone[N, D])
            series.append(Series(name="the student alone, as many tokens", x=ends, y=same, kind="dashed"))
        panels.append(
            Panel(
                x=Axis(label="teacher loss, nats per token"),
                y=Axis(label="student loss, nats per token"),
                title=f"{format_quantity(N)}, {format_quantity(D)} tokens",
                series=tuple(series),
                guides=(Guide(axis="diagonal", name="the teacher's own loss"),),
            )
        )
    return Chart(name="teachers", title="Students under their teachers", panels=tuple(panels))


def worth_chart(evidence: Evidence) -> Chart:
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
    series: list[Series] = []
    for i, ((N, D), colour) in enumerate(zip(students, shades(len(students)), strict=True)):
        own = sorted((c for c in known if (c.student_params, c.student_tokens) == (N, D)), key=lambda c: c.teacher_loss)
        # Intervals of several students are kept apart.
        series += _worth_curve(own, colour, 1 + 0.0008 * (i - len(students) / 2))
    guides = [Guide(axis="y", at=1.0, name="a supervised token")]
    if not isinstance(worth.constancy, CannotSay):
        low, high = worth.constancy.interval
        guides.append(Guide(axis="y", at=low, to=high, name="mean, 90 %"))
    panel = Panel(
        x=Axis(label="teacher loss, nats per token"),
        y=Axis(label="kappa, supervised tokens per distilled token", scale="log"),
        series=tuple(series),
        guides=tuple(guides),
    )
    return Chart(
        name="token-worth",
        title="What a distilled token is worth; hollow where the teacher is too weak to tell",
        panels=(panel,),
    )


def compute_chart(evidence: Evidence, *, basis: str = "teacher inference paid") -> Chart:
    """Loss against compute of each student size, distilled and supervised (after figure 8), one panel for each size.

    Supervised cells are joined; of the distilled cells the lower envelope is, those that no cheaper one beats.

    Args:
        evidence: What a study says.
        basis: What distilled students are charged with, a key of `distlaw.evidence.against_supervised.BASES`.

    Raises:
        ValueError: There is no comparison on this basis.
    """
    duels = _duels(evidence, basis)
    if not duels or np.isnan([d.compute for d in duels]).all():
        raise ValueError(f"there is no comparison at '{basis}' with its compute: there is nothing to draw")
    alone = evidence.cells.select(~evidence.cells.distilled & ~np.isnan(evidence.cells.compute))
    panels = []
    for N in _spread_over(sorted({d.student_params for d in duels})):
        own = alone.select(alone.student_params == N)
        own = own.select(np.argsort(own.compute))
        error = _errors(evidence, own)
        taught = sorted((d for d in duels if d.student_params == N), key=lambda d: d.compute)
        C, loss = np.array([d.compute for d in taught]), np.array([d.loss for d in taught])
        best = loss <= np.minimum.accumulate(loss)
        panels.append(
            Panel(
                x=Axis(label="compute, FLOPs" if basis == "equal tokens" else f"compute, FLOPs, {basis}", scale="log"),
                y=Axis(label="loss, nats per token"),
                title=format_quantity(N),
                series=(
                    Series(
                        name="supervised",
                        x=own.compute,
                        y=own.loss,
                        low=own.loss - error,
                        high=own.loss + error,
                        kind="line-points",
                    ),
                    Series(name="best of the distilled", x=C[best], y=loss[best], kind="dashed", colour=_BLUE),
                    Series(name="distilled", x=C, y=loss, kind="hollow", colour=_BLUE),
                ),
            )
        )
    return Chart(name="compute", title="Distilled and supervised students over compute", panels=tuple(panels))


def evidence_charts(evidence: Evidence) -> dict[str, Chart]:
    """All charts that this study has runs for, by name."""
    found = {}
    for make in (prediction_chart, teacher_chart, worth_chart, compute_chart):
        try:
            chart = make(evidence)
        except ValueError:  # it cannot be drawn; the tables say why
            continue
        found[chart.name] = chart
    return found


def _worth_curve(own: list[CellWorth], colour: float, shift: float) -> list[Series]:
    """One student's kappa."""
    x = np.array([c.teacher_loss for c in own]) * shift
    kappa, (low, high) = np.array([c.kappa for c in own]), np.array([c.interval for c in own]).T
    name = f"{format_quantity(own[0].student_params)}, {format_quantity(own[0].student_tokens)} tokens"
    weak = np.array([c.held_back for c in own])
    curve = Series(name=name, x=x, y=kappa, low=low, high=high, kind="line-points", colour=colour)
    if not weak.any():
        return [curve]
    return [curve, Series(name=name, x=x[weak], y=kappa[weak], kind="hollow", colour=colour)]


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


def _spread_over(values: Sequence[T]) -> list[T]:
    """As many as there are panels for, spread over all."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_PANELS)).astype(int))
    return [values[i] for i in chosen]
