"""What the Fit tab has done in processes of its own: look at a table, check its runs, fit a law."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distlaw.apps.fit_run import FitRun, run_fit
from distlaw.apps.options import said_of_columns
from distlaw.apps.output import plain
from distlaw.apps.web.fit_question import NONE, FitQuestion, mapped
from distlaw.apps.web.workers import Tell
from distlaw.charts import Chart
from distlaw.laws import SupervisedLaw
from distlaw.report.fit_charts import error_chart, profile_chart
from distlaw.report.paper.fits import extrapolation
from distlaw.report.paper.scope import Scope
from distlaw.runs import RUN_COLUMNS, Column, Runs, columns_said, in_counts, one_line, read_runs, read_table

MOST_ROWS, MOST_COLUMNS = 20_000, 100
MOST_UNPACKED = 200_000_000
"""Bytes of a Parquet file's columns, unpacked."""
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_PREVIEW = 6


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a table looks like.

    Attributes:
        columns: Names.
        rows: How many.
        preview: The first rows as texts.
    """

    columns: tuple[str, ...]
    rows: int
    preview: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Runs that can be fitted.

    Attributes:
        runs: How many.
        distilled: Of them, with a teacher.
        ranges: Lowest and highest of each quantity.
        warnings: What is possible but seldom meant.
    """

    runs: int
    distilled: int
    ranges: Mapping[str, tuple[float, float]]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fit.

    Attributes:
        content: With the keys of `distlaw fit --json`.
        charts: By name.
        law: Text of its law file; None where it did not converge.
    """

    content: dict[str, Any]
    charts: dict[str, Chart]
    law: str | None


def look(path: Path, name: str, tell: Tell) -> Looked:
    """Look at a table without asking what its columns mean.

    Args:
        path: Its file.
        name: What the user calls it.
        tell: Unused.

    Raises:
        ValueError: It cannot be read, or is too large; a sentence that names it.
    """
    del tell
    with _named(path, name):
        _require_small(path)
        columns: list[str] = []
        read_table(path, (), why_refused=columns.append)  # is asked about every column and refuses none
        if len(columns) > MOST_COLUMNS:
            raise ValueError(f"{path}: {len(columns)} columns; at most {MOST_COLUMNS} are read")
        table = read_table(path, [Column(name=column, read=str, words=True) for column in dict.fromkeys(columns)])
        _require_rows(path, table.rows)
        shown = [[one_line(cell or "", 40) for cell in table.text(column)[:_PREVIEW]] for column in columns]
    return Looked(columns=tuple(columns), rows=table.rows, preview=tuple(zip(*shown, strict=True)))


def units_said(text: str) -> dict[str, str]:
    """What the user said of units, by column.

    Raises:
        ValueError: The text cannot be read, or there is no such column.
    """
    return columns_said(said_of_columns([text], "Units", "tokens=B, loss=bits") if text.strip() else {})


def read(path: Path, name: str, columns: tuple[str, ...], said: dict[str, str], units: str = "") -> Runs:
    """Read runs from a table whose columns the user has named.

    Args:
        path: Its file.
        name: What the user calls it.
        columns: Names of its columns.
        said: What the user said of them.
        units: What the user said of their units.

    Raises:
        ValueError: A column is missing, a unit unknown or cells are bad; names each.
    """
    found = mapped(columns, said)
    needed = [column for column in RUN_COLUMNS if column.required and column.unless not in found]
    if missing := [column.name for column in needed if column.name not in found]:
        raise ValueError(f"choose the column of {', '.join(missing)}")
    with _named(path, name):
        _require_small(path)
        given = units_said(units)
        runs = read_runs(path, {column.name: found.get(column.name, NONE) for column in RUN_COLUMNS}, given)
        _require_rows(path, len(runs))
        return in_counts(runs, given)


def check(
    path: Path, name: str, columns: tuple[str, ...], said: dict[str, str], tell: Tell, *, units: str = ""
) -> Checked:
    """Read runs, and say what there is.

    Raises:
        ValueError: See `read`.
    """
    del tell
    runs = read(path, name, columns, said, units)
    quantities = (
        "student_params",
        "student_tokens",
        "student_loss",
        "teacher_loss",
        "teacher_params",
        "teacher_tokens",
    )
    known = {key: values[np.isfinite(values)] for key in quantities if (values := getattr(runs, key)) is not None}
    return Checked(
        runs=len(runs),
        distilled=int(runs.distilled.sum()),
        ranges={key: (float(values.min()), float(values.max())) for key, values in known.items() if values.size},
        warnings=tuple(runs.warnings()),
    )


def fit(path: Path, name: str, columns: tuple[str, ...], question: FitQuestion, tell: Tell) -> Fitted:
    """Fit a law, as `distlaw fit` does.

    Raises:
        ValueError: See `read`; or the runs cannot determine the law.
    """
    runs = read(path, name, columns, question.columns, question.units)
    spec = question.spec
    holdout = question.holdout if question.holdout.strip() else None
    done = run_fit(runs, spec, question.wanted, resamples=spec.resamples, holdout=holdout, progress=tell)
    result, law = done.result, None
    charts: dict[str, Chart] = {}
    if done.ok:
        law = _law_text(done, path.with_suffix(".json"), name)
        if not isinstance(result.law, SupervisedLaw):
            charts["extrapolation"] = extrapolation(result.law, Scope(fitted_range=result.fitted_range), runs)
        charts["errors"] = error_chart(result, runs, held_out=done.kept_out)
    if result.profiles:
        charts["profiles"] = profile_chart(result)
    return Fitted(content=plain(done.content()), charts=charts, law=law)


def _law_text(done: FitRun, file: Path, table: str) -> str:
    """Text of a fit's law file, which is written beside the table and removed again."""
    try:
        done.write(file, name=Path(table).stem, table=table, data="as in the fitted runs")
        return file.read_text(encoding="utf-8")
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _named(path: Path, name: str) -> Iterator[None]:
    """What is raised inside calls the file as the user does."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), one_line(name, 80))) from None


def _require_small(path: Path) -> None:
    """Look at a Parquet file's own account of itself before it is unpacked."""
    if path.suffix != ".parquet":
        return
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    try:
        about = pyarrow.parquet.read_metadata(path)
        unpacked = sum(about.row_group(i).total_byte_size for i in range(min(about.num_row_groups, 10_000)))
        rows, columns = about.num_rows, about.num_columns
    except (ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path}: is not a Parquet file ({one_line(error, 100)})") from None
    _require_rows(path, rows)
    if unpacked > MOST_UNPACKED or columns > MOST_COLUMNS:
        raise ValueError(f"{path}: {columns} columns that unpack to {unpacked / 1e6:,.0f} MB are more than are read")


def _require_rows(path: Path, rows: int) -> None:
    if rows > MOST_ROWS:
        raise ValueError(f"{path}: {rows:,} rows; at most {MOST_ROWS:,} are read")
