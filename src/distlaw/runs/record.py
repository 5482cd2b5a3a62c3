"""One run's schema: the paper's letters in maths, these words in tables."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.runs.quantity import one_line
from distlaw.runs.table import Column, read_table, write_table

Array = NDArray[np.float64]


def _seed(text: str) -> float:
    if not (text.isascii() and text.removesuffix(".0").isdigit() and float(text) < 2**53):
        raise ValueError(f"'{one_line(text, 40)}' is not a seed: a whole number of 0 or more")
    return float(text)


def _weight(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"'{one_line(text, 40)}' is not a weight: a finite number above 0")
    return value


RUN_COLUMNS = (
    Column(name="student_params", aliases=("n_student", "N_S", "N", "params", "n_params"), required=True),
    Column(name="student_tokens", aliases=("d_student", "D_S", "D", "tokens", "n_tokens"), required=True),
    Column(name="student_loss", aliases=("l_student", "L_S", "loss", "L"), required=True),
    Column(name="teacher_loss", aliases=("l_teacher", "L_T")),
    Column(name="teacher_params", aliases=("n_teacher", "N_T")),
    Column(name="teacher_tokens", aliases=("d_teacher", "D_T")),
    Column(name="compute", aliases=("C", "flops", "FLOPs", "training_flops")),
    Column(name="seed", read=_seed),
    Column(name="weight", aliases=("w",), read=_weight),
    Column(name="group", aliases=("cluster", "study"), read=str),
)

_WORSE_THAN_A_GUESS = 12.0  # nats: a uniform guess over 160 thousand entries


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Finished runs, one entry each; what is not known is NaN (None for a group).

    Attributes:
        student_params: N_S, non-embedding parameters.
        student_tokens: D_S.
        student_loss: L_S, nats per token.
        teacher_loss: L_T, nats per token; NaN for a supervised run.
        teacher_params: N_T.
        teacher_tokens: D_T.
        compute: FLOPs that the run took.
        seed: Seed of the run; 0 is a seed.
        weight: Weight in a fit, 1 where none is given.
        group: Label of what belongs together.
    """

    student_params: Array
    student_tokens: Array
    student_loss: Array
    teacher_loss: Array
    teacher_params: Array = None  # pyright: ignore[reportAssignmentType]
    teacher_tokens: Array = None  # pyright: ignore[reportAssignmentType]
    compute: Array = None  # pyright: ignore[reportAssignmentType]
    seed: Array = None  # pyright: ignore[reportAssignmentType]
    weight: Array = None  # pyright: ignore[reportAssignmentType]
    group: NDArray[np.object_] = None  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        count = len(self.student_loss)
        unknown: dict[str, Any] = {"weight": np.ones(count), "group": np.full(count, None, dtype=object)}
        for field in fields(self):
            if getattr(self, field.name) is None:
                object.__setattr__(self, field.name, unknown.get(field.name, np.full(count, np.nan)))

    def __len__(self) -> int:
        return len(self.student_loss)

    @property
    def distilled(self) -> NDArray[np.bool_]:
        """Which runs had a teacher."""
        return ~np.isnan(self.teacher_loss)

    def select(self, mask: NDArray) -> "Runs":
        """The runs where the mask holds."""
        return Runs(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    def teacher_of_each(self) -> NDArray[np.intp]:
        """A label for the teacher of each run: its size, tokens and loss; supervised runs share one label."""
        return _labels(self.teacher_params, self.teacher_tokens, self.teacher_loss)

    def student_of_each(self) -> NDArray[np.intp]:
        """A label for the student of each run: its size and tokens."""
        return _labels(self.student_params, self.student_tokens)

    def warnings(self) -> list[str]:
        """What looks wrong but may be meant: rows pasted twice, one seed with two outcomes, losses beyond a guess."""
        found = []
        setting = _labels(self.student_of_each(), self.teacher_of_each(), self.seed)
        with_loss = _labels(setting, self.student_loss)
        twice = len(self) - np.unique(with_loss).size
        if twice:
            found.append(f"{twice} rows repeat another in every column that matters: pasted twice?")
        # Runs without a seed may be several of one setting; one seed should have one outcome.
        seeded = ~np.isnan(self.seed)
        clashing = np.unique(with_loss[seeded]).size - np.unique(setting[seeded]).size
        if clashing:
            found.append(f"{clashing} runs have the setting and seed of another run but a different loss")
        if len(self) and np.median(self.student_loss) > _WORSE_THAN_A_GUESS:
            found.append(
                f"the median loss is {np.median(self.student_loss):.3g}, worse than a uniform guess: are these nats per"
                " token?"
            )
        return found


def read_runs(path: Path) -> Runs:
    """Read a table of runs.

    Args:
        path: CSV, Parquet or JSONL with the columns of `RUN_COLUMNS` or their aliases.

    Raises:
        ValueError: See `read_table`; also a teacher's size or tokens without its loss, and losses in bits.
    """
    table = read_table(path, RUN_COLUMNS)
    in_bits = [name for name in table.header if "bits" in name.lower() or "bpb" in name.lower()]
    if in_bits:
        raise ValueError(
            f"{one_line(path)}: column '{one_line(in_bits[0])}' is in bits; losses here are nats per token: multiply"
            " bits per token by 0.693147, and rename or drop the column"
        )
    numbers = {c.name: table.numbers(c.name) for c in RUN_COLUMNS if c.name in table and c.name != "group"}
    if "weight" in numbers:
        numbers["weight"] = np.where(np.isnan(numbers["weight"]), 1.0, numbers["weight"])
    numbers.setdefault("teacher_loss", np.full(table.rows, np.nan))
    group = np.array(table.text("group"), dtype=object)
    runs = Runs(**numbers, group=group)
    half = np.flatnonzero(~runs.distilled & ~(np.isnan(runs.teacher_params) & np.isnan(runs.teacher_tokens)))
    if half.size:
        raise ValueError(
            f"{one_line(path)}: row {half[0] + 1} has a teacher's size or tokens but no teacher_loss"
            + (f"; and {half.size - 1} more such rows" if half.size > 1 else "")
        )
    return runs


def write_runs(runs: Runs, path: Path) -> None:
    """Write runs so that `read_runs` gives them back exactly; columns in which nothing is known are left out.

    Args:
        runs: Runs.
        path: Ends in .csv, .parquet, .jsonl or .ndjson.

    Raises:
        ValueError: See `write_table`.
    """
    columns: dict[str, list[Any]] = {}
    for field in fields(runs):
        values = [None if v is None or v != v else v for v in getattr(runs, field.name).tolist()]
        plain_weight = field.name == "weight" and all(v == 1.0 for v in values)
        if any(v is not None for v in values) and not plain_weight:
            columns[field.name] = [int(v) if field.name == "seed" and v is not None else v for v in values]
    write_table(columns, path)


def _labels(*columns: NDArray) -> NDArray[np.intp]:
    """The same whole number for rows that agree in every column; NaN agrees with NaN."""
    filled = np.stack([np.where(np.isnan(np.asarray(c, dtype=float)), -1.0, c) for c in columns], axis=1)
    return np.unique(filled, axis=0, return_inverse=True)[1].reshape(-1)
