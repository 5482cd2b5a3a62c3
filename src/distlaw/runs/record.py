"""One run's schema: the paper's letters in maths, these words in tables."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.reading import one_line
from distlaw.runs.columns import Column, column_named
from distlaw.runs.doubts import Caution, cautions
from distlaw.runs.labels import same_labels
from distlaw.runs.quantity import LEAST, MOST
from distlaw.runs.table import Table, first_few, read_table, write_table

_SEEDS = 2**63
_WHOLE = re.compile(r"\+?\d+(?:\.\d*)?(?:e\+?\d{1,3})?", re.IGNORECASE | re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,4})?", re.IGNORECASE | re.ASCII)
_ABSENT: Any = None  # what an optional column is given as; __post_init__ makes a column of it


def _parse_seed(text: str) -> int:
    """A seed: 0 is one; `7.0` is what other tools write when some runs have none."""
    whole = Decimal(text) if _WHOLE.fullmatch(text) else Decimal(-1)
    if not 0 <= whole < _SEEDS or whole != whole.to_integral_value():
        raise ValueError(f"'{one_line(text, 40)}' is not a whole number from 0 to 2^63 - 1")
    seed = int(whole)
    if int(float(seed)) != seed:
        raise ValueError(f"'{seed}' cannot be kept exactly: above 2^53 = {2**53} not every whole number can")
    return seed


def _parse_weight(text: str) -> float:
    weight = float(text) if _DECIMAL.fullmatch(text) else 0.0
    if not (weight > 0 and math.isfinite(weight)):
        raise ValueError(f"'{one_line(text, 40)}' is not a finite number above 0")
    return weight


def _parse_label(text: str) -> str:
    return " ".join(text.split())


_WITHOUT_EMBEDDINGS = r"non_?emb|no_emb|without_emb|w_o_emb|excl\w*_emb|minus_emb|_ne$"
RUN_COLUMNS = (
    Column(
        name="student_params",
        aliases=("n_student", "N_S", "N", "params", "n_params"),
        required=True,
        rival=rf"^(?!.*teacher)(?!.*_t_).*(?:{_WITHOUT_EMBEDDINGS})",
    ),
    Column(
        name="student_tokens", aliases=("d_student", "D_S", "D", "tokens", "n_tokens"), required=True, unless="compute"
    ),
    Column(name="student_loss", aliases=("l_student", "L_S", "loss", "L"), required=True),
    Column(name="teacher_loss", aliases=("l_teacher", "L_T")),
    Column(
        name="teacher_params",
        aliases=("n_teacher", "N_T"),
        rival=rf"^(?=.*teacher|.*_t_).*(?:{_WITHOUT_EMBEDDINGS})",
    ),
    Column(name="teacher_tokens", aliases=("d_teacher", "D_T")),
    Column(name="compute", aliases=("C", "flops", "FLOPs", "training_flops")),
    Column(name="unique_tokens", aliases=("U", "D_U", "unique")),
    Column(name="seed", read=_parse_seed),
    Column(name="weight", aliases=("w",), read=_parse_weight),
    Column(name="group", aliases=("cluster", "study"), read=_parse_label, words=True),
)
_SIZES_AND_LOSSES = tuple(column.name for column in RUN_COLUMNS[:8])
_TEACHER = ("teacher_params", "teacher_tokens", "teacher_loss")


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Finished runs, one entry each, in the order of the table; rows are counted from 1 in messages.

    Sizes and losses lie between 1e-9 and 1e40. Of the optional columns, None or NaN means unknown.

    Attributes:
        student_params: N_S, non-embedding parameters.
        student_tokens: D_S.
        student_loss: L_S, nats per token.
        teacher_loss: L_T, nats per token; NaN for a supervised run.
        teacher_params: N_T, non-embedding parameters; NaN when unknown.
        teacher_tokens: D_T; NaN when unknown.
        compute: Training FLOPs of the whole run, whatever it paid for; NaN when unknown.
        unique_tokens: How much distinct text the student's tokens were drawn from; NaN when unknown.
        seed: Whole number, 0 included; NaN when unknown.
        weight: Above 0, of the run in a fit; 1 when not given.
        group: A label, such as the study a run is from; None when not given.
        row: Where each run stands in its table, from 1; `select` keeps it.
        tokens_from_compute: Whose tokens were taken as C / (6 N), as the table has none.
        units: What columns of the table were multiplied with, as they were not in counts.
        notes: How the table was read, where it could be read in another way.

    Raises:
        ValueError: The columns are not equally long, or a run cannot be; names its row.
    """

    student_params: NDArray[np.float64]
    student_tokens: NDArray[np.float64]
    student_loss: NDArray[np.float64]
    teacher_loss: NDArray[np.float64] = _ABSENT
    teacher_params: NDArray[np.float64] = _ABSENT
    teacher_tokens: NDArray[np.float64] = _ABSENT
    compute: NDArray[np.float64] = _ABSENT
    unique_tokens: NDArray[np.float64] = _ABSENT
    seed: NDArray[np.float64] = _ABSENT
    weight: NDArray[np.float64] = _ABSENT
    group: NDArray[np.object_] = _ABSENT
    row: NDArray[np.intp] = _ABSENT
    tokens_from_compute: NDArray[np.bool_] = _ABSENT
    units: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Caution, ...] = ()

    def __post_init__(self) -> None:
        length = np.size(self.student_params)
        for name, values in self.columns().items():
            column = _labels(values, length) if name == "group" else _numbers(values, length)
            if column.shape != (length,):
                raise ValueError(f"{name} has the shape {column.shape}, student_params has {length} runs")
            object.__setattr__(self, name, column)
        for name, default in (("row", np.arange(1, length + 1)), ("tokens_from_compute", np.zeros(length, dtype=bool))):
            object.__setattr__(self, name, default if getattr(self, name) is None else getattr(self, name))
        object.__setattr__(self, "weight", np.where(np.isnan(self.weight), 1.0, self.weight))
        if problems := [*_impossible_values(self), *_contradictions(self)]:
            raise ValueError(first_few(problems))

    def __len__(self) -> int:
        return self.student_params.size

    @property
    def distilled(self) -> NDArray[np.bool_]:
        """Which runs had a teacher."""
        return ~np.isnan(self.teacher_loss)

    def select(self, mask: ArrayLike | slice) -> "Runs":
        """The runs where `mask` (one truth value a run) is true; or those at the positions or slice given."""
        chosen = mask if isinstance(mask, slice) else np.asarray(mask)
        if isinstance(chosen, np.ndarray) and not chosen.size:
            chosen = chosen.astype(np.intp)  # an empty list has no type of its own
        columns = {**self.columns(), "row": self.row, "tokens_from_compute": self.tokens_from_compute}
        return replace(self, **{name: values[chosen] for name, values in columns.items()})

    def columns(self) -> dict[str, Any]:
        """The columns by name, in the order of `RUN_COLUMNS`."""
        return {column.name: getattr(self, column.name) for column in RUN_COLUMNS}

    def teacher_of_each(self) -> NDArray[np.intp]:
        """A label of each run's teacher, from 0; -1 for a supervised run.

        Runs share a teacher when its parameters and tokens are the same or, where these are not both given, its loss.
        """
        by_size = ~np.isnan(self.teacher_params + self.teacher_tokens)
        sized = [np.where(by_size, getattr(self, name), np.nan) for name in ("teacher_params", "teacher_tokens")]
        labels = np.full(len(self), -1, dtype=np.intp)
        teacher = same_labels(*sized, np.where(by_size, np.nan, self.teacher_loss))
        labels[self.distilled] = same_labels(teacher[self.distilled])
        return labels

    def student_of_each(self) -> NDArray[np.intp]:
        """A label of each run's student, from 0: the same parameters and tokens."""
        return same_labels(self.student_params, self.student_tokens)

    def cautions(self) -> list[Caution]:
        """How the table was read, and what is possible but seldom meant: see `distlaw.runs.doubts`."""
        return [*self.notes, *cautions(self)]

    def warnings(self) -> list[str]:
        """The same in words."""
        return [caution.text for caution in self.cautions()]


def read_runs(path: Path, columns: Mapping[str, str] | None = None, units: Collection[str] = ()) -> Runs:
    """Read a table of runs, its numbers as they are written (`distlaw.runs.units` finds in what units).

    Args:
        path: CSV, Parquet or JSONL with the columns of `RUN_COLUMNS` or their aliases. Tokens that are missing are
            taken as C / (6 N) where a supervised run's compute is given.
        columns: What the table calls some of them, by name or alias, or `-` where it shall not have one.
        units: Names of the columns whose units are said: a loss may then be in bits.

    Raises:
        ValueError: See `read_table`; or a column holds bits, or a row contradicts itself.
    """
    said = columns_said(columns or {})
    table = read_table(path, RUN_COLUMNS, said=said, choose="--columns", why_refused=None if said else why_bits)
    try:
        for name in (table.header[column] for column in said if column in table and column not in units):
            if (why := why_bits(name)) is not None:
                raise ValueError(why)
        return _runs_of(table)
    except ValueError as error:
        raise ValueError(f"{one_line(path)}: {error}") from None


def columns_said(columns: Mapping[str, str]) -> dict[str, str]:
    """What a user says of columns, by the names of `RUN_COLUMNS`.

    >>> columns_said({"loss": "val_loss"})
    {'student_loss': 'val_loss'}

    Raises:
        ValueError: There is no such column, one is said twice, or one that a table must have shall be left out.
    """
    found: dict[str, str] = {}
    for text, name in columns.items():
        column = column_named(text, RUN_COLUMNS)
        if column is None:
            known = ", ".join(column.name for column in RUN_COLUMNS)
            raise ValueError(f"'{one_line(text, 40)}' is no column of a table of runs; they are {known}")
        if column in found:
            raise ValueError(f"{column} is said to be '{one_line(found[column], 60)}' and '{one_line(name, 60)}'")
        found[column] = name
    return found


def _runs_of(table: Table) -> Runs:
    columns: dict[str, Any] = {
        column.name: table.numbers(column.name) for column in RUN_COLUMNS if column.name != "group"
    }
    notes = [Caution("numbers", text) for text in table.notes]
    if table.empty:
        rows = "1 empty row is" if table.empty == 1 else f"{table.empty} empty rows are"
        notes.append(Caution("empty-rows", f"{rows} left out and not counted in the numbers of rows"))
    tokens, alone = columns["student_tokens"], np.isnan(columns["teacher_loss"])
    missing = np.isnan(tokens)
    if missing.any():
        if (bad := np.flatnonzero(missing & ~(alone & (columns["compute"] > 0)))).size:
            why = "and no compute of a supervised run to take it from (C / 6N)"
            raise ValueError(first_few([f"row {i + 1}, column student_tokens: the cell is empty, {why}" for i in bad]))
        columns["student_tokens"] = np.where(missing, columns["compute"] / (6 * columns["student_params"]), tokens)
        text = f"tokens are missing in {missing.sum()} of {table.rows} runs: taken as compute / (6 x params)"
        notes.append(Caution("tokens-from-compute", text))
    columns["group"] = np.array(table.text("group"), dtype=object)
    return Runs(**columns, tokens_from_compute=missing, notes=tuple(notes))


def write_runs(runs: Runs, path: Path) -> None:
    """Write a table that `read_runs` reads back as it was.

    Columns have their full names; those that are empty, and weights that are all 1, are left out. The file is written
    under a temporary name and renamed.

    Args:
        runs: At least one.
        path: A .csv, .parquet, .jsonl or .ndjson file.

    Raises:
        ValueError: There are no runs, or the file cannot be written; one line that names it.
    """
    if not len(runs):
        raise ValueError(f"{one_line(path)}: there are no runs to write")
    columns: dict[str, list[Any]] = {}
    for column in RUN_COLUMNS:
        values = [None if v is None or v != v else v for v in getattr(runs, column.name).tolist()]
        plain_weight = column.name == "weight" and all(v == 1.0 for v in values)
        if any(v is not None for v in values) and not plain_weight:
            columns[column.name] = [int(v) if column.name == "seed" and v is not None else v for v in values]
    write_table(columns, path)


def _numbers(values: ArrayLike | None, length: int) -> NDArray[np.float64]:
    return np.full(length, np.nan) if values is None else np.asarray(values, dtype=np.float64)


def _labels(values: Iterable[object] | None, length: int) -> NDArray[np.object_]:
    given = [None] * length if values is None else list(values)
    labels = np.full(len(given), None, dtype=object)
    known: dict[str, str | None] = {}
    for i, value in enumerate(given):
        if value is not None and not (isinstance(value, float) and math.isnan(value)):
            text = str(value)
            if text not in known:
                known[text] = _parse_label(text) or None
            labels[i] = known[text]
    return labels


def _impossible_values(runs: Runs) -> list[str]:
    """Values outside the domain of their column, by row."""
    required = {column.name for column in RUN_COLUMNS if column.required}
    checks = []
    for name in _SIZES_AND_LOSSES:
        values = getattr(runs, name)
        sound = (values >= LEAST) & (values <= MOST) | (np.isnan(values) & (name not in required))
        if name == "student_tokens":  # those that follow from compute are so once its unit is known
            sound |= runs.tokens_from_compute & (values > 0) & np.isfinite(values)
        checks.append((name, values, sound, f"lie between {LEAST:g} and {MOST:g}"))
    seed, weight = runs.seed, runs.weight
    sound = np.isnan(seed) | ((seed >= 0) & (seed < _SEEDS) & (seed == np.floor(seed)))
    checks.append(("seed", seed, sound, "be a whole number from 0 to 2^63 - 1"))
    checks.append(("weight", weight, (weight > 0) & np.isfinite(weight), "be a finite number above 0"))
    return [
        f"row {i + 1}, column {name}: {values[i]:g} must {what}"
        for name, values, sound, what in checks
        for i in np.flatnonzero(~sound)
    ]


def _contradictions(runs: Runs) -> list[str]:
    """Teachers of runs that have none, by row."""
    return [
        f"row {i + 1}: {name} is given without teacher_loss; give the teacher's loss, or leave {name} empty"
        for name in ("teacher_params", "teacher_tokens")
        for i in np.flatnonzero(~np.isnan(getattr(runs, name)) & ~runs.distilled)
    ]


def why_bits(name: str) -> str | None:
    """Why a column is refused whose name says that its losses are in bits; None where it says no such thing.

    >>> [why_bits(name) is None for name in ("loss", "loss_bits", "bpb")]
    [True, False, False]

    Args:
        name: Of a column, as the table has it.
    """
    if not re.search(r"_bits$|bits_per_(?:token|byte)$|bpb$", name.strip(), re.IGNORECASE):
        return None
    return (
        f"column '{one_line(name, 60)}' is in bits; losses here are nats per token: multiply bits per token by"
        " ln 2 = 0.6931, and rename or drop the column"
    )
