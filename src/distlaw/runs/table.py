"""Read and write tables of runs and of teachers: CSV, Parquet or JSONL, every bad cell named."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.runs.files import written_whole
from distlaw.runs.quantity import one_line, parse_quantity

_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column that a table may have.

    Attributes:
        name: Its name, with the unit in words (`student_params`, `student_tokens`, losses in nats per token).
        aliases: Other names that mean the same; upper and lower case are told apart (`N` is not `n`).
        required: Whether the table must have it, filled in every row.
        read: Turns the text of a cell into a value, or raises ValueError.
    """

    name: str
    aliases: tuple[str, ...] = ()
    required: bool = False
    read: Callable[[str], float] | Callable[[str], str] = parse_quantity


@dataclass(frozen=True)
class Table:
    """Columns by name. An optional column that the file lacks is absent; an empty cell is None.

    Attributes:
        path: Where it was read.
        rows: Number of rows.
        cells: The values of each column that was asked for.
    """

    path: Path
    rows: int
    cells: dict[str, list[Any]]

    def __contains__(self, name: str) -> bool:
        return name in self.cells

    def text(self, name: str) -> list[str | None]:
        """A column of words; all None where the file lacks it."""
        return self.cells.get(name, [None] * self.rows)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where a cell is empty or the file lacks the column."""
        values = self.cells.get(name, [None] * self.rows)
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def read_table(
    path: Path, columns: Sequence[Column], *, why_refused: Callable[[str], str | None] | None = None
) -> Table:
    """Read a table and check every cell of the columns that are known; others are ignored.

    Args:
        path: A .csv, .parquet, .jsonl or .ndjson file.
        columns: What the table may and must have.
        why_refused: Given the name of a column of the file, says why no table may have it; None: it may.

    Returns:
        The table, with at least one row.

    Raises:
        ValueError: The file cannot be read, a required column is missing or named twice, or cells are bad; one line
            that names the file and each bad row (counted from 1, the header not included) and column.
    """
    shown = one_line(path)
    try:
        header, rows = _READERS[path.suffix.lower()](path)
    except KeyError:
        raise ValueError(f"{shown}: the name must end in {', '.join(_READERS)}") from None
    except FileNotFoundError:
        raise ValueError(f"{shown}: no such file") from None
    except OSError as error:  # of the system; pyarrow's own failures are OSErrors without a number
        reason = f"cannot be read ({error.strerror})" if error.errno else f"is not a Parquet file ({one_line(error)})"
        raise ValueError(f"{shown}: {reason}") from None
    except (ValueError, ArithmeticError, RecursionError, csv.Error) as error:
        raise ValueError(f"{shown}: cannot be read as a table ({one_line(error)})") from None
    if not rows:
        raise ValueError(f"{shown}: the table has no rows")
    for reason in map(why_refused, header) if why_refused else ():
        if reason is not None:
            raise ValueError(f"{shown}: {reason}")
    found = _match_columns(shown, header, columns)
    problems: list[str] = []
    cells: dict[str, list[Any]] = {}
    for column in columns:
        if (at := found.get(column.name)) is not None:
            cells[column.name] = [
                _read_cell(row[at], number, column, problems) for number, row in enumerate(rows, start=1)
            ]
    if problems:
        raise ValueError(f"{shown}: {first_few(problems)}")
    return Table(path=path, rows=len(rows), cells=cells)


def first_few(problems: Sequence[str]) -> str:
    """Problems on one line: five, and the number of those left out."""
    more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    return "; ".join(problems[:_SHOWN_PROBLEMS]) + more


Rows = tuple[list[str], list[list[Any]]]


def _read_csv(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, skipinitialspace=True)
        header = next(lines, [])
        rows = [row for row in lines if any(cell.strip() for cell in row) or len(row) > 1]  # no empty lines
    if rows and rows[-1][-1].endswith("\n"):
        raise ValueError(f"row {len(rows)} has a quote that does not close")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header has {len(header)}")
    return header, rows


def _read_jsonl(path: Path) -> Rows:
    records: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if line.strip():
                record = json.loads(line, object_pairs_hook=_unique_keys)
                if not isinstance(record, dict):
                    raise ValueError(f"row {len(records) + 1} is not a JSON object")
                records.append(record)
    header = list(dict.fromkeys(key for record in records for key in record))
    return header, [[record.get(key) for key in header] for record in records]


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"'{twice}' stands twice in one record")
    return record


def _read_parquet(path: Path) -> Rows:
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    with path.open("rb") as file:
        try:
            table = pyarrow.parquet.ParquetFile(file).read()
            columns = [column.to_pylist() for column in table.columns]
        except ArrowException as error:
            raise ValueError(str(error)) from None
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}


def _match_columns(path: str, header: list[str], columns: Sequence[Column]) -> dict[str, int]:
    """Position of each known column."""
    found: dict[str, int] = {}
    for column in columns:
        positions = [i for i, name in enumerate(header) if name.strip() in (column.name, *column.aliases)]
        if len(positions) > 1:
            names = " and ".join(f"'{one_line(header[i])}'" for i in positions)
            raise ValueError(f"{path}: columns {names} both mean {column.name}; keep one")
        if positions:
            found[column.name] = positions[0]
    missing = [column for column in columns if column.required and column.name not in found]
    if missing:
        wanted = ", ".join(f"{c.name} (or {', '.join(c.aliases)})" if c.aliases else c.name for c in missing)
        raise ValueError(
            f"{path}: missing column {wanted}; the table has {one_line(', '.join(header)) or 'no columns'}"
        )
    return found


def _read_cell(cell: Any, row: int, column: Column, problems: list[str]) -> Any:  # noqa: ANN401
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        cell = ""
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float, Decimal)):
        problems.append(f"row {row}, column {column.name}: {one_line(repr(cell), 40)} is no number or text")
        return None
    text = str(cell).strip()
    if not text:
        if column.required:
            problems.append(f"row {row}, column {column.name}: the cell is empty")
        return None
    try:
        return column.read(text)
    except ValueError as error:
        problems.append(f"row {row}, column {column.name}: {one_line(error)}")
        return None


def write_table(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Write columns of numbers and words, None for an empty cell, under a temporary name that is then renamed.

    Args:
        columns: Values by column name, all of one length.
        path: Ends in .csv, .parquet, .jsonl or .ndjson.

    Raises:
        ValueError: The name has another ending, or the file cannot be written; one line that names it.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise ValueError(f"{one_line(path)}: the name must end in {', '.join(_READERS)}")
    with written_whole(path, "table") as temporary:
        try:
            _write(columns, temporary, suffix)
        except UnicodeEncodeError as error:
            raise ValueError(f"{one_line(path)}: a text cannot be written as UTF-8 ({error.reason})") from None


def _write(columns: Mapping[str, Sequence[Any]], path: Path, suffix: str) -> None:
    rows = list(zip(*columns.values(), strict=True))
    if suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), path)
    elif suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(columns)
            # repr gives the shortest digits that read back to the same number
            lines.writerows(
                [["" if v is None else repr(v) if isinstance(v, float) else v for v in row] for row in rows]
            )
    else:
        with path.open("w", encoding="utf-8") as file:
            for row in rows:
                record = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
