"""Read tables of runs and of teachers: CSV, Parquet or JSONL, every bad cell named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distlaw.runs.quantity import parse_quantity

if TYPE_CHECKING:
    import pandas as pd

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
        cells: The values of each column.
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


def read_table(path: Path, columns: Sequence[Column]) -> Table:
    """Read a table and check every cell of the columns that are known; others are ignored.

    Args:
        path: A .csv, .parquet, .jsonl or .ndjson file.
        columns: What the table may and must have.

    Returns:
        The table, with at least one row.

    Raises:
        ValueError: The file cannot be read, a required column is missing or named twice, or cells are bad; one line
            that names the file and each bad row (counted from 1, the header not included) and column.
    """
    try:
        frame = _read_frame(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:  # pandas' and pyarrow's parsing errors, bad encodings
        raise ValueError(f"{path}: cannot be read as a table ({' '.join(str(error).split())})") from None
    if frame.shape[0] == 0:
        raise ValueError(f"{path}: the table has no rows")
    found = _match_columns(path, [str(name) for name in frame.columns], columns)
    problems: list[str] = []
    cells: dict[str, list[Any]] = {}
    for column in columns:
        if column.name in found:
            source = frame.iloc[:, found[column.name]].tolist()
            cells[column.name] = [_read_cell(cell, row, column, problems) for row, cell in enumerate(source, start=1)]
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise ValueError(f"{path}: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")
    return Table(path=path, rows=frame.shape[0], cells=cells)


def _read_frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix == ".csv":
        # index_col=False keeps a row with one field too many from turning the first column into labels.
        return pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True, index_col=False)
    if suffix == ".parquet":
        return pd.read_parquet(path)
    if suffix in (".jsonl", ".ndjson"):
        return pd.read_json(path, lines=True, dtype=False, convert_dates=False)
    raise ValueError("the name must end in .csv, .parquet, .jsonl or .ndjson")


def _match_columns(path: Path, header: list[str], columns: Sequence[Column]) -> dict[str, int]:
    """Position of each known column."""
    found: dict[str, int] = {}
    for column in columns:
        positions = [i for i, name in enumerate(header) if name.strip() in (column.name, *column.aliases)]
        if len(positions) > 1:
            names = " and ".join(f"'{header[i]}'" for i in positions)
            raise ValueError(f"{path}: columns {names} both mean {column.name}; keep one")
        if positions:
            found[column.name] = positions[0]
    missing = [column for column in columns if column.required and column.name not in found]
    if missing:
        wanted = ", ".join(f"{c.name} (or {', '.join(c.aliases)})" if c.aliases else c.name for c in missing)
        raise ValueError(f"{path}: missing column {wanted}; the table has {', '.join(header) or 'no columns'}")
    return found


def _read_cell(cell: Any, row: int, column: Column, problems: list[str]) -> Any:  # noqa: ANN401
    text = "" if cell is None or (isinstance(cell, float) and np.isnan(cell)) else str(cell).strip()
    if not text:
        if column.required:
            problems.append(f"row {row}, column {column.name}: the cell is empty")
        return None
    try:
        return column.read(text)
    except ValueError as error:
        problems.append(f"row {row}, column {column.name}: {error}")
        return None
