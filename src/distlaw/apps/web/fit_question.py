"""The question of the Fit tab: a table that was dropped, what its columns mean, and how to fit."""

import shlex
from dataclasses import dataclass
from typing import ClassVar

from distlaw.apps.fit_run import wanted_law
from distlaw.apps.web.query import Question
from distlaw.fit import FORMS, FitSpec, Wanted
from distlaw.laws import published, published_names
from distlaw.runs import RUN_COLUMNS, one_line, parse_quantity
from distlaw.runs.columns import NONE as NONE
from distlaw.runs.columns import match_columns

JOINT, FIRST = "joint", "first"
CHOSEN = ""
"""A word that is left to the runs."""

RESTS_ON = (JOINT, FIRST, *(name for name in published_names() if published(name).kind == "distillation"))
LOSSES = ("huber", "lad", "log-squared", "squared")
CLUSTERS = ("runs", "teacher", "student", "seed", "group")
MOST_RESAMPLES = 4096

LABELS = {
    "kind": "Law of",
    "form": "Functional form",
    "rests": "Supervised law under it",
    "holdout": "Keep out of the fit, and predict",
    "loss": "Loss of the fit",
    "delta": "Huber's delta, log loss",
    "consistency": "Hold to infinite-data consistency",
    "resamples": "Resamples, for intervals",
    "clusters": "Resample together",
    "seed": "Seed",
    "units": "Units, where they are not those found",
}


@dataclass(frozen=True, kw_only=True)
class FitQuestion(Question):
    """How to fit what.

    Attributes:
        table: Key of a table of the session.
        kind: Which runs: those with a teacher, or those without; empty: by the table.
        form: Functional form; empty: chosen by held-out error. One of the other kind than is asked for is not used.
        rests: What a distillation law rests on: `joint` and `first` as `distlaw fit` has them, or a published law;
            empty: by the table.
        holdout: Runs to keep out, as `student_loss <= 2.3`; empty: none.
        loss: Of the fit.
        delta: Where the Huber loss turns linear.
        consistency: Whether the law is held to infinite-data consistency.
        resamples: For intervals; 0 gives none.
        clusters: What is resampled together.
        seed: Of starts and resamples.
        units: In what columns of the table are, as `tokens=B, loss=bits`; empty: as found from their values.
        column_student_params: Column of the table, and so on: empty: by its name, `-`: none.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "kind": (CHOSEN, "distillation", "supervised"),
        "form": (CHOSEN, *FORMS),
        "rests": (CHOSEN, *RESTS_ON),
        "loss": LOSSES,
        "consistency": ("", "yes"),
        "clusters": CLUSTERS,
    }

    table: str = ""
    kind: str = CHOSEN
    form: str = CHOSEN
    rests: str = CHOSEN
    holdout: str = ""
    loss: str = "huber"
    delta: str = "1e-3"
    consistency: str = ""
    resamples: str = "1000"
    clusters: str = "runs"
    seed: str = "0"
    units: str = ""
    column_student_params: str = ""
    column_student_tokens: str = ""
    column_student_loss: str = ""
    column_teacher_loss: str = ""
    column_teacher_params: str = ""
    column_teacher_tokens: str = ""
    column_compute: str = ""
    column_unique_tokens: str = ""
    column_seed: str = ""
    column_weight: str = ""
    column_group: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """What the user said of columns, by the name of `RUN_COLUMNS`."""
        named = {column.name: getattr(self, f"column_{column.name}") for column in RUN_COLUMNS}
        return {name: text for name, text in named.items() if text}

    @property
    def spec(self) -> FitSpec:
        """How to fit.

        Raises:
            ValueError: A number is wrong; names its field.
        """
        resamples = self._whole("resamples", MOST_RESAMPLES)
        return FitSpec(
            loss=self.loss,
            delta=self._quantity("delta"),
            consistency=1.0 if self.consistency and self.kind != "supervised" else 0.0,
            resamples=resamples,
            clusters=self.clusters,
            seed=self._whole("seed", 2**31),
        )

    @property
    def wanted(self) -> Wanted:
        """What the user says of the law."""
        return wanted_law(self.kind or None, self._form, self.rests or None)

    @property
    def _form(self) -> str | None:
        fits = self.form and self.kind in (CHOSEN, FORMS[self.form].kind)
        return self.form if fits else None

    def command(self, table: str) -> str:
        """The command line that gives the same fit.

        Args:
            table: Name of the table's file.
        """
        words = ["distlaw", "fit", table]
        for name, text in self.columns.items():
            words += ["--columns", f"{name}={text}"]
        words += ["--units", self.units] if self.units.strip() else []
        words += ["--kind", self.kind] if self.kind else []
        words += ["--form", self._form] if self._form else []
        if self.kind != "supervised":
            words += ["--supervised-law", self.rests] if self.rests else []
            words += ["--consistency"] if self.consistency else []
        words += ["--holdout", self.holdout] if self.holdout.strip() else []
        words += ["--loss", self.loss, "--delta", self.delta, "--clusters", self.clusters]
        words += ["--bootstrap", self.resamples, "--seed", self.seed, "--out", "law.json"]
        return shlex.join(words)

    def _whole(self, name: str, most: int) -> int:
        text = getattr(self, name).strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
            raise ValueError(f"{LABELS[name]}: '{one_line(text, 40)}' is not a whole number from 0 to {most}")
        return int(text)

    def _quantity(self, name: str) -> float:
        try:
            return parse_quantity(getattr(self, name))
        except ValueError as error:
            raise ValueError(f"{LABELS[name]}: {error}") from None


def mapped(columns: tuple[str, ...], said: dict[str, str]) -> dict[str, str]:
    """The table's column for each of `RUN_COLUMNS` that it has.

    Args:
        columns: Names in the table.
        said: What the user said, see `FitQuestion.columns`.

    Raises:
        ValueError: The table has no such column, or two that may be meant; names them.
    """
    return match_columns(columns, RUN_COLUMNS, said)
