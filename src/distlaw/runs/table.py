"""Tables of runs and of teachers: which column is which, and every bad cell by its row; and how they are written."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.reading import one_line
from distlaw.runs.columns import Column, match_columns, require_columns
from distlaw.runs.commas import Comma, comma_of, with_point
from distlaw.runs.files import written_whole
from distlaw.runs.formats import READERS, Cells, Sheet
from distlaw.runs.quantity import LEAST, MOST, parse_quantity
from distlaw.spreadsheet import inert

_SHOWN_PROBLEMS = 5
_MOST_TEXT, _MOST_DIGITS = 10_000, 64


@dataclass(frozen=True)
class Table:
    """Columns by name. An optional column that the file lacks is absent.

    Attributes:
        path: Where it was read.
        rows: Number of rows.
        cells: The values of each column that was asked for; an empty cell is None, in an array NaN.
        header: What the file calls each of them.
        notes: How cells were read that could be read in two ways.
        empty: How many wholly empty rows were left out.
    """

    path: Path
    rows: int
    cells: dict[str, list[Any] | NDArray[np.float64]]
    header: Mapping[str, str]
    notes: tuple[str, ...] = ()
    empty: int = 0

    def __contains__(self, name: str) -> bool:
        return name in self.cells

    def text(self, name: str) -> list[Any]:
        """A column of words; all None where the file lacks it."""
        return list(self.cells.get(name, [None] * self.rows))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where a cell is empty or the file lacks the column."""
        values = self.cells.get(name, [None] * self.rows)
        if isinstance(values, np.ndarray):
            return values
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def read_table(
    path: Path,
    columns: Sequence[Column],
    *,
    said: Mapping[str, str] | None = None,
    choose: str = "",
    why_refused: Callable[[str], str | None] | None = None,
) -> Table:
    """Read a table and check every cell of the columns that are known; others are ignored.

    Args:
        path: A .csv, .tsv, .parquet, .jsonl or .ndjson file.
        columns: What the table may and must have.
        said: What the file calls some of them, or `-` where it shall not have one; the others go by their names.
        choose: How a user says so, for messages, as `--columns`; empty: not at all.
        why_refused: Given the name of a column of the file, says why no table may have it; None: it may.

    Returns:
        The table, with at least one row.

    Raises:
        ValueError: The file cannot be read, a required column is missing or named twice, or cells are bad; one line
            that names the file and each bad row (counted from 1, the header not included) and column.
    """
    shown = one_line(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{shown}: the name must end in {', '.join(READERS)}")
    with _named(shown):
        sheet = READERS[path.suffix.lower()](path)
    if not sheet.rows:
        raise ValueError(f"{shown}: the table has no rows")
    try:
        for reason in map(why_refused, sheet.header) if why_refused else ():
            if reason is not None:
                raise ValueError(reason)
        found = match_columns(sheet.header, columns, said or {}, choose)
        require_columns(sheet.header, columns, found, choose)
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    known = [column for column in columns if column.name in found]
    called = {name: found[name] if name in (said or {}) else name for name in found}
    with _named(shown):
        cells = sheet.columns([sheet.header.index(found[column.name]) for column in known])
    problems: list[str] = []
    # A user who said what the file calls a column is answered in that name.
    called = [replace(column, name=found[column.name]) if column.name in (said or {}) else column for column in known]
    commas, notes = _commas(sheet, called, cells, problems)
    values = {
        column.name: _values(one, name, comma, column.required and column.unless not in found, problems)
        for column, name, one, comma in zip(known, called, cells, commas, strict=True)
    }
    if problems:
        raise ValueError(f"{shown}: {first_few(problems)}")
    return Table(path, sheet.rows, values, found, tuple(notes), sheet.empty)


def first_few(problems: Sequence[str]) -> str:
    """Problems on one line: five, and the number of those left out."""
    more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    return "; ".join(problems[:_SHOWN_PROBLEMS]) + more


@contextmanager
def _named(shown: str) -> Iterator[None]:
    """Turn what can go wrong with a file into one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{shown}: no such file") from None
    except OSError as error:  # of the system; pyarrow's own failures are OSErrors without a number
        reason = f"cannot be read ({error.strerror})" if error.errno else f"is not a Parquet file ({one_line(error)})"
        raise ValueError(f"{shown}: {reason}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown}: is not UTF-8 text (byte {error.start + 1})") from None
    except (ValueError, ArithmeticError, RecursionError, csv.Error) as error:
        raise ValueError(f"{shown}: cannot be read as a table ({one_line(error)})") from None
    except MemoryError:
        raise ValueError(f"{shown}: cannot be read as a table (it needs more memory than there is)") from None


def _commas(
    sheet: Sheet, columns: Sequence[Column], cells: Sequence[Cells], problems: list[str]
) -> tuple[list[Comma], list[str]]:
    """What a comma stands for in each column, by those of its numbers that can be read in one way only, and notes.

    Where they leave it open, another column with decimal commas decides, or a file separated by semicolons, whose
    commas are decimal.
    """
    kinds = [{} if column.words else _kinds_of_commas(one) for column, one in zip(columns, cells, strict=True)]
    for column, kind in zip(columns, kinds, strict=True):
        if {"decimal", "thousands"} <= set(kind):
            both = " and ".join(f"'{one_line(kind[name], 40)}'" for name in ("decimal", "thousands"))
            problems.append(f"column {column.name} has commas before decimals and between thousands: {both}")
    semicolons = sheet.delimiter == ";" and any(kinds)
    usual: Comma = "decimal" if semicolons or any("decimal" in kind for kind in kinds) else "either"
    found: list[Comma] = ["thousands" if "thousands" in kind else usual for kind in kinds]
    notes = []
    for column, kind, comma in zip(columns, kinds, found, strict=True):
        if kind and comma == "decimal":
            text = min(kind.values())
            notes.append(
                f"{column.name} has decimal commas: '{one_line(text, 40)}' is read as {with_point(text, comma)}"
            )
    return found, notes


def _kinds_of_commas(cells: Cells) -> dict[Comma, str]:
    """For each kind of comma in a column the first number that has it."""
    found: dict[Comma, str] = {}
    if not isinstance(cells, np.ndarray):
        for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str) and len(cell) <= _MOST_DIGITS):
            if "," in cell and (kind := comma_of(cell.strip())) is not None:
                found.setdefault(kind, cell.strip())
    return found


def _values(
    cells: Cells, column: Column, comma: Comma, required: bool, problems: list[str]
) -> list[Any] | NDArray[np.float64]:
    """Cells as values: sizes at once where all are plain numbers, else each by its own, those that are alike once."""
    if column.read is parse_quantity and comma != "decimal" and (numbers := _plain_numbers(cells)) is not None:
        if required:
            empty = np.flatnonzero(np.isnan(numbers))
            problems += [f"row {i + 1}, column {column.name}: the cell is empty" for i in empty]
        return numbers
    known: dict[str, Any] = {"": "the cell is empty" if required else None}
    bad = {""} if required else set[str]()
    values = []
    for row, cell in enumerate(cells.tolist() if isinstance(cells, np.ndarray) else cells, start=1):
        text = _text_of(cell)
        if text is None:
            problems.append(f"row {row}, column {column.name}: {one_line(repr(cell), 40)} is no number or text")
            continue
        if text not in known:
            try:
                if len(text) > _MOST_TEXT:
                    raise ValueError(f"a text of {len(text):,} characters is no number and no label")
                known[text] = column.read(text if column.words else with_point(text, comma))
            except ValueError as error:
                known[text] = one_line(error)
                bad.add(text)
        if text in bad:
            problems.append(f"row {row}, column {column.name}: {known[text]}")
        values.append(known[text])
    return values


def _text_of(cell: Any) -> str | None:  # noqa: ANN401
    """A cell as text, empty where there is nothing in it; None for what is no number or text."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    return None if isinstance(cell, bool) or not isinstance(cell, (int, float, Decimal)) else str(cell)


def _plain_numbers(cells: Cells) -> NDArray[np.float64] | None:
    """Cells as sizes, NaN where they are empty; None where any is written in another way than digits, or is none."""
    kinds = {cells.dtype.type} if isinstance(cells, np.ndarray) else set(map(type, cells))
    try:
        if kinds <= {str, type(None)}:
            if max(len(cell or "") for cell in cells) > _MOST_DIGITS:
                return None
            texts = [(cell or "").strip() for cell in cells]
            joined = "".join(f"\0{text}" for text in texts)
            # What float() reads as a number and `parse_quantity` does not: nan, infinity, signs, other alphabets.
            if not joined.isascii() or "_" in joined or "\0+" in joined or "n" in joined.lower():
                return None
            numbers = np.fromiter((float(text) if text else np.nan for text in texts), np.float64, len(texts))
        elif kinds <= {int, float, type(None), np.float64}:
            numbers = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return numbers if (np.isnan(numbers) | ((numbers >= LEAST) & (numbers <= MOST))).all() else None


def write_table(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Write columns of numbers and words, None for an empty cell, under a temporary name that is then renamed.

    Args:
        columns: Values by column name, all of one length.
        path: Ends in .csv, .tsv, .parquet, .jsonl or .ndjson.

    Raises:
        ValueError: The name has another ending, or the file cannot be written; one line that names it.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"{one_line(path)}: the name must end in {', '.join(READERS)}")
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
    elif suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
            lines.writerow(map(inert, columns))
            lines.writerows([[_csv_cell(value) for value in row] for row in rows])
    else:
        with path.open("w", encoding="utf-8") as file:
            for row in rows:
                record = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _csv_cell(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return repr(value)  # the shortest digits that read back to the same number
    return inert(value) if isinstance(value, str) else value
