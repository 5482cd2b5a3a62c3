"""The question of the Study tab: a study and which of its runs; and the answer in tables and charts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from distlaw.apps.web.query import Question
from distlaw.apps.web.studies import Place, Run, Studies
from distlaw.charts import Axis, Chart, Panel, Series, shades
from distlaw.runs import format_quantity, parse_quantity

LABELS = {
    "study": "Study or lab",
    "kind": "Runs",
    "least_params": "Parameters from",
    "most_params": "Parameters to",
    "least_tokens": "Tokens from",
    "most_tokens": "Tokens to",
    "sort": "Sorted by",
}
KINDS = {"": "all", "supervised": "trained alone", "distilled": "distilled"}
SORTS = {
    "student_loss": "loss",
    "student_params": "parameters",
    "student_tokens": "tokens",
    "teacher_loss": "teacher loss",
    "compute": "compute",
}
MOST_ROWS, MOST_CURVES = 200, 8


@dataclass(frozen=True, kw_only=True)
class StudyQuestion(Question):
    """A study, and which of its runs to look at.

    Attributes:
        study: Key of a place; empty: the first.
        kind: Which runs, a key of `KINDS`.
        least_params: Parameters from; empty: any. The same with the other three.
        most_params: Parameters to.
        least_tokens: Tokens from.
        most_tokens: Tokens to.
        sort: A key of `SORTS`.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {"kind": tuple(KINDS), "sort": tuple(SORTS)}

    study: str = ""
    kind: str = ""
    least_params: str = ""
    most_params: str = ""
    least_tokens: str = ""
    most_tokens: str = ""
    sort: str = "student_loss"

    def limit(self, name: str, otherwise: float) -> float:
        """A limit as a number.

        Raises:
            ValueError: It is none; names the field.
        """
        text = getattr(self, name).strip()
        if not text:
            return otherwise
        try:
            return parse_quantity(text)
        except ValueError as error:
            raise ValueError(f"{LABELS[name]}: {error}") from None


def place_of(question: StudyQuestion, studies: Studies) -> Place | None:
    """The place that is asked about; None where there is none at all.

    Raises:
        ValueError: There is none of this key.
    """
    if question.study:
        return studies.find(question.study)
    return next(iter(studies.places()), None)


def chosen(question: StudyQuestion, runs: Sequence[Run]) -> list[Run]:
    """The runs that pass the filters, sorted.

    Raises:
        ValueError: A limit is no number.
    """
    low, high = question.limit("least_params", 0.0), question.limit("most_params", float("inf"))
    few, many = question.limit("least_tokens", 0.0), question.limit("most_tokens", float("inf"))
    # As people write them, limits are rounded: 3.4K is meant to let 3408 pass.
    found = [
        run
        for run in runs
        if low * 0.99 <= run.student_params <= high * 1.01
        and few * 0.99 <= run.student_tokens <= many * 1.01
        and question.kind in ("", "distilled" if run.distilled else "supervised")
    ]

    def key(run: Run) -> tuple[bool, float]:
        value = getattr(run, question.sort)
        return value != value, value

    return sorted(found, key=key)


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Runs as rows of a table, nothing where a number is not known."""
    names = [field.name for field in fields(Run)]
    return [{name: None if (value := getattr(run, name)) != value else value for name in names} for run in runs]


def loss_chart(runs: Sequence[Run]) -> Chart:
    """Final losses over tokens, the size of a student by its colour."""
    sizes = sorted({round(float(np.log10(run.student_params)), 1) for run in runs})
    colour = dict(zip(sizes, shades(len(sizes)), strict=True)) if sizes else {}
    series = []
    for size in sizes:
        for distilled in (False, True):
            own = [
                run
                for run in runs
                if round(float(np.log10(run.student_params)), 1) == size and run.distilled == distilled
            ]
            if own:
                name = format_quantity(float(np.median([run.student_params for run in own])))
                series.append(
                    Series(
                        name=f"{name}, {'distilled' if distilled else 'alone'}",
                        x=np.array([run.student_tokens for run in own]),
                        y=np.array([run.student_loss for run in own]),
                        kind="points" if distilled else "hollow",
                        colour=colour[size],
                    )
                )
    panel = Panel(
        x=Axis(label="student tokens", scale="log"), y=Axis(label="student loss, nats per token"), series=tuple(series)
    )
    return Chart(name="final-losses", title="Final losses of the runs chosen", panels=(panel,))


def curve_chart(studies: Studies, place: Place, runs: Sequence[Run]) -> Chart | None:
    """Training losses over tokens of the first few runs; None where a study has kept its table alone."""
    series = []
    for number, run in enumerate(runs[:MOST_CURVES]):
        if (found := studies.curve(place, run)) is not None:
            teacher = f" under {run.teacher_loss:.3g} nats" if run.distilled else ""
            name = f"{format_quantity(run.student_params)} on {format_quantity(run.student_tokens)}{teacher}"
            kind = ("line", "dashed", "dotted", "dashdot")[number // 6 % 4]
            series.append(Series(name=name, x=found[0], y=found[1], colour=number % 6, kind=kind))
    if not series:
        return None
    panel = Panel(
        x=Axis(label="tokens", scale="log"),
        y=Axis(label="training cross-entropy, nats per token"),
        series=tuple(series),
    )
    return Chart(name="loss-curves", title=f"Training of the first {len(series)} of the runs chosen", panels=(panel,))
