"""The question of the Law tab, and its answer: a law around one student."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from distlaw.apps.web.laws import Law
from distlaw.apps.web.memory import remembered
from distlaw.apps.web.query import Question
from distlaw.charts import Axis, Chart
from distlaw.fit.lawfile import FittedLaw
from distlaw.laws import DEFAULT_LAW, PublishedLaw, StudentLaw, SupervisedLaw
from distlaw.plan import TeacherGrid, teacher_grid
from distlaw.report.page_charts import slice_chart, supervised_chart, teacher_chart
from distlaw.runs import format_quantity, parse_quantity

Array = NDArray[np.float64]
Curve = tuple[Array, Array | None, Array | None]

LABELS = {
    "law": "Law",
    "student": "Student parameters",
    "tokens": "Student tokens",
    "teacher": "Teacher loss, nats",
}
_POINTS = 61
_MOST_DRAWS = 400  # of a law file's resamples, for the bands


@dataclass(frozen=True, kw_only=True)
class LawQuestion(Question):
    """A law, and the student around which it is looked at; an empty number is the middle of the law's range.

    Attributes:
        law: Key of a law.
        student: Parameters.
        tokens: Its tokens.
        teacher: Loss of its teacher; empty: the best one.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {}

    law: str = DEFAULT_LAW
    student: str = ""
    tokens: str = ""
    teacher: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class LawView:
    """A law around one student.

    Attributes:
        law: The law.
        N_S: Parameters.
        D_S: Tokens.
        L_T: Loss of the teacher; the best one where none was given; NaN under a supervised law.
        best: Whether it is the best one.
        loss: Loss of the student under that teacher, and both ends of its interval (NaN without resamples).
        alone: The same of the student trained from scratch.
        warnings: Of the law, and of going beyond its range.
    """

    law: Law
    N_S: float
    D_S: float
    L_T: float
    best: bool
    loss: tuple[float, float, float]
    alone: tuple[float, float, float]
    warnings: tuple[str, ...]

    @property
    def found(self) -> PublishedLaw:
        """The law with its range."""
        return self.law.found

    @property
    def distills(self) -> bool:
        """Whether it is a law of distilled students."""
        return self.found.kind == "distillation"


def view(question: LawQuestion, law: Law) -> LawView:
    """Look at a law.

    Raises:
        ValueError: An input is wrong; names it.
    """
    found = law.found
    N_S = _number(question, "student", _middle(found, "student_params", 1e9))
    D_S = _number(question, "tokens", _middle(found, "student_tokens", 2e10))
    L_T, best = float("nan"), not question.teacher.strip()
    if found.kind == "distillation":
        L_T = float("nan") if best else _number(question, "teacher", 1.0)
        if best:
            L_T = float(_grid(law.student_law, (N_S, N_S, 1), (1.0, 1.0, 1), D_S).best_teacher_loss[0])
    one = np.array([1.0])
    alone = _supervised(found, N_S * one, D_S * one)
    loss = alone if np.isnan(L_T) else _distilled(found, N_S * one, D_S * one, L_T * one)
    beyond = found.range_warnings(student_params=N_S, student_tokens=D_S, teacher_loss=None if np.isnan(L_T) else L_T)
    return LawView(
        law=law,
        N_S=N_S,
        D_S=D_S,
        L_T=L_T,
        best=best,
        loss=_first(loss),
        alone=_first(alone),
        warnings=(*found.cautions, *beyond),
    )


def charts(shown: LawView) -> dict[str, Chart]:
    """Charts by name: a map, and slices through it at the student that is asked about."""
    found, N_S, D_S = shown.found, shown.N_S, shown.D_S
    N = _range(found, "student_params", N_S)
    D = _range(found, "student_tokens", D_S)
    size, tokens = format_quantity(N_S), format_quantity(D_S)
    result = {}
    if shown.distills:
        L_T = _teacher_losses(found, shown.L_T)
        grid = _grid(shown.law.student_law, (N[0], N[-1], 48), (L_T[0], L_T[-1], _POINTS), D_S)
        title = f"Student loss after {tokens} tokens"
        result["map"] = teacher_chart(grid, found, student_params=N_S, title=title)
        at = np.full(L_T.size, N_S), np.full(L_T.size, D_S)
        curves = {"distilled": _distilled(found, *at, L_T), "from scratch": _supervised(found, *at)}
        axis = Axis(label="teacher loss, nats per token")
        title = f"A student of {size} on {tokens} tokens, by its teacher"
        result["teachers"] = slice_chart(found, "teacher_loss", L_T, curves, axis=axis, at=shown.L_T, title=title)
    else:
        result["map"] = supervised_chart(found, N, D, title="Loss by size and tokens")
    for name, quantity, x, at, label, title in (
        (
            "tokens",
            "student_tokens",
            D,
            (np.full(D.size, N_S), D),
            "student tokens",
            f"A student of {size}, by its tokens",
        ),
        (
            "sizes",
            "student_params",
            N,
            (N, np.full(N.size, D_S)),
            "student parameters",
            f"On {tokens} tokens, by its size",
        ),
    ):
        curves: dict[str, Curve] = {}
        if shown.distills:
            curves["distilled"] = _distilled(found, *at, np.full(x.size, shown.L_T))
        curves["from scratch"] = _supervised(found, *at)
        asked = D_S if quantity == "student_tokens" else N_S
        axis = Axis(label=label, scale="log")
        result[name] = slice_chart(found, quantity, x, curves, axis=axis, at=asked, title=title)
    return result


def coefficients(found: PublishedLaw) -> list[list[Any]]:
    """Rows of a table: name, value, interval."""
    rows = []
    for name, value in found.coefficients.items():
        interval = found.intervals.get(name)
        rows.append(
            [name, f"{float(value):.5g}", "" if interval is None else f"{interval[0]:.5g} to {interval[1]:.5g}"]
        )
    return rows


def content(shown: LawView) -> dict[str, Any]:
    """The law around the student, in numbers."""
    found = shown.found
    return {
        "law": shown.law.command,
        "student_params": shown.N_S,
        "student_tokens": shown.D_S,
        "teacher_loss": shown.L_T,
        "student_loss": shown.loss[0],
        "student_loss_interval_90": shown.loss[1:],
        "supervised_loss": shown.alone[0],
        "coefficients": found.coefficients,
        "intervals": dict(found.intervals),
        "fitted_range": dict(found.fitted_range),
        "source": found.source,
        "data": found.data,
        "warnings": shown.warnings,
    }


def _number(question: LawQuestion, name: str, otherwise: float) -> float:
    text = getattr(question, name).strip()
    if not text:
        return otherwise
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise ValueError(f"{LABELS[name]}: {error}") from None


def _middle(found: PublishedLaw, quantity: str, otherwise: float) -> float:
    """The middle of a range, in two digits."""
    if quantity not in found.fitted_range:
        return otherwise
    return float(f"{np.sqrt(np.prod(found.fitted_range[quantity])):.2g}")


def _range(found: PublishedLaw, quantity: str, value: float) -> Array:
    """What is drawn of a quantity: the law's range with some beyond, and the value asked about."""
    low, high = found.fitted_range.get(quantity, (value / 10, value * 10))
    return np.geomspace(min(low / 3, value / 1.5), max(high * 3, value * 1.5), _POINTS)


def _teacher_losses(found: PublishedLaw, value: float) -> Array:
    low, high = found.fitted_range.get("teacher_loss", (value / 1.2, value * 1.2))
    lowest = 1.001 * float(found.supervised.E)  # no teacher is below it
    return np.linspace(
        max(min(low - 0.15 * (high - low), 0.99 * value), lowest), max(high + 0.3 * (high - low), 1.01 * value), _POINTS
    )


def _distilled(found: PublishedLaw, N: Array, D: Array, L_T: Array) -> Curve:
    assert not isinstance(found.law, SupervisedLaw)
    many = None
    if (draws := _draws(found)) is not None and not isinstance(draws, SupervisedLaw):
        many = draws.student_loss(N[:, None], D[:, None], L_T[:, None])
    return _band(found.law.student_loss(N, D, L_T), many)


def _supervised(found: PublishedLaw, N: Array, D: Array) -> Curve:
    many = None
    if (draws := _draws(found)) is not None:
        under = draws if isinstance(draws, SupervisedLaw) else draws.supervised
        if np.ndim(under.E):  # a law that the fit held has no resamples
            many = under.loss(N[:, None], D[:, None])
    return _band(found.supervised.loss(N, D), many)


def _draws(found: PublishedLaw) -> Any:  # noqa: ANN401
    """The resamples as one law of arrays, thinned; None where there are none."""
    return found.thinned(_MOST_DRAWS) if isinstance(found, FittedLaw) else None


def _band(middle: Array, many: Array | None) -> Curve:
    if many is None:
        return middle, None, None
    low, high = np.percentile(many, [5, 95], axis=1)
    return middle, low, high


def _first(curve: Curve) -> tuple[float, float, float]:
    low, high = (float("nan") if end is None else float(end[0]) for end in curve[1:])
    return float(curve[0][0]), low, high


@remembered(256)
def _grid(
    law: StudentLaw, sizes: tuple[float, float, int], losses: tuple[float, float, int], tokens: float
) -> TeacherGrid:
    return teacher_grid(law, np.geomspace(*sizes), np.linspace(*losses), tokens)
