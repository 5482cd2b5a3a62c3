"""Files of tables: CSV, JSONL and Parquet as columns of cells, read without taking much more memory than they hold."""

import csv
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distlaw.reading import one_line
from distlaw.spreadsheet import original

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

Cells = list[Any] | NDArray[np.number]
"""A column: texts, numbers and None; or numbers alone, NaN where a cell is empty."""

MOST_ROWS = 2_000_000
MOST_BYTES = 200_000_000
"""Most rows of a Parquet file, and most bytes that the columns that are read may unpack to: it may hold far more than
its size says."""
_BATCH = 65_536
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Sheet:
    """A file's table.

    Attributes:
        header: Names of its columns.
        rows: How many it has.
        columns: Gives the cells of the columns at these positions.
        delimiter: Between the cells of a CSV file; empty for others.
        empty: How many rows of a CSV or JSONL file have cells and nothing in any; they are no rows here.
    """

    header: list[str]
    rows: int
    columns: Callable[[list[int]], list[Cells]]
    delimiter: str = ""
    empty: int = 0


def read_csv(path: Path) -> Sheet:
    """A text whose cells are separated by commas, semicolons or tabs, whichever its header has.

    Raises:
        ValueError: A row is not as long as the header, or a quote does not close.
    """
    with path.open("rb") as raw:
        encoding = "utf-16" if raw.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with path.open(newline="", encoding=encoding) as file:
        first = file.readline()
        told = first.strip().casefold()
        delimiter = told[4:] if told.startswith("sep=") and told[4:] in tuple(_DELIMITERS) else ""  # Excel's own line
        if delimiter or (first[4:5] == "\t" and told == "sep="):
            delimiter, first = delimiter or "\t", ""
        else:
            delimiter = _delimiter(first)
        lines = csv.reader(itertools.chain([first] if first else [], file), delimiter=delimiter, skipinitialspace=True)
        header = [original(name) for name in next(lines, [])]
        rows = [row for row in lines if any(cell.strip() for cell in row) or len(row) > 1]  # no empty lines
    if rows and rows[-1][-1].endswith("\n"):
        raise ValueError(f"row {len(rows)} has a quote that does not close")
    read = len(rows)
    rows = [row for row in rows if any(cell.strip() for cell in row)]  # Excel writes `,,` below a table
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header has {len(header)}")
    return Sheet(
        header, len(rows), lambda at: [[original(row[i]) for row in rows] for i in at], delimiter, read - len(rows)
    )


def _delimiter(header: str) -> str:
    """What separates most names of a header; a comma where nothing does."""
    return max(_DELIMITERS, key=re.sub('"[^"]*"', "", header).count)


def read_jsonl(path: Path) -> Sheet:
    """A JSON object a line.

    Raises:
        ValueError: A line is something else, or names a key twice.
    """
    records: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if line.strip():
                try:
                    record = json.loads(line, object_pairs_hook=_unique_keys)
                except RecursionError:
                    raise ValueError(f"row {len(records) + 1} is nested too deep") from None
                except ValueError as error:
                    if "integer string conversion" in str(error):  # Python's limit of digits, in its own words
                        raise ValueError(f"row {len(records) + 1} has a number of thousands of digits") from None
                    raise
                if not isinstance(record, dict):
                    raise ValueError(f"row {len(records) + 1} is not a JSON object")
                records.append(record)
    header = list(dict.fromkeys(key for record in records for key in record))
    read = len(records)
    records = [record for record in records if any(value not in (None, "") for value in record.values())]
    empty = read - len(records)
    return Sheet(
        header, len(records), lambda at: [[record.get(header[i]) for record in records] for i in at], empty=empty
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"'{one_line(twice, 60)}' stands twice in one record")
    return record


def read_parquet(path: Path) -> Sheet:
    """A Parquet file, of which only the columns asked for are unpacked, batch by batch.

    Raises:
        ValueError: It is damaged, or unpacks to more than is read.
    """
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    def columns(at: list[int]) -> list[Cells]:
        try:
            return _parquet_columns(path, at)
        except ArrowException as error:
            raise ValueError(str(error)) from None

    with path.open("rb") as file:
        try:
            about = pyarrow.parquet.read_metadata(file)
            header = list(about.schema.to_arrow_schema().names)
        except ArrowException as error:
            raise ValueError(str(error)) from None
    if about.num_rows > MOST_ROWS:
        raise ValueError(f"{about.num_rows:,} rows; at most {MOST_ROWS:,} are read from a Parquet file")
    return Sheet(header, about.num_rows, columns)


def _parquet_columns(path: Path, at: list[int]) -> list[Cells]:
    import pyarrow.parquet

    if not at:
        return []
    with path.open("rb") as file:
        schema = pyarrow.parquet.read_schema(file)
        names = [schema.names[i] for i in at]
        for i in at:
            _require_plain(schema.field(i))
        texts = [schema.names[i] for i in at if _is_text(schema.field(i).type)]
        # Reading ahead and in threads: on a busy machine either may abort the process after its output is complete.
        table = pyarrow.parquet.ParquetFile(file, read_dictionary=texts, pre_buffer=False)
        _require_small(table.metadata, names)
        parts: list[list[Cells]] = [[] for _ in at]
        known: dict[str, str] = {}
        rows = 0
        for batch in table.iter_batches(_BATCH, columns=list(dict.fromkeys(names)), use_threads=False):
            if (rows := rows + batch.num_rows) > table.metadata.num_rows:
                raise ValueError("it holds more rows than it says")
            for part, name in zip(parts, names, strict=True):
                part.append(_cells(batch.column(batch.schema.names.index(name)), known))
        if rows != table.metadata.num_rows:
            raise ValueError(f"it holds {rows} rows and says {table.metadata.num_rows}")
    return [_joined(part) for part in parts]


def _is_text(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)


def _require_plain(field: "pyarrow.Field") -> None:
    """Refuse what can be neither a number nor a text before it is unpacked."""
    import pyarrow

    types = pyarrow.types
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if not (
        _is_text(kind)
        or any(
            is_kind(kind)
            for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
        )
    ):
        raise ValueError(f"column '{one_line(field.name, 60)}' holds {one_line(kind, 60)}: no numbers and no texts")


def _require_small(about: "pyarrow.parquet.FileMetaData", names: list[str]) -> None:
    """Refuse columns that unpack to more than is read, by the file's own account."""
    wanted = [i for i in range(about.num_columns) if about.schema.column(i).path in names]
    unpacked = 0
    for group in range(about.num_row_groups):
        part = about.row_group(group)
        unpacked += sum(part.column(i).total_uncompressed_size for i in wanted)
        if unpacked > MOST_BYTES:
            raise ValueError(f"its columns unpack to more than {MOST_BYTES / 1e6:,.0f} MB")


def _cells(array: "pyarrow.Array", texts: dict[str, str]) -> Cells:
    """A batch of a column; texts that are alike are one object, over all batches."""
    import pyarrow

    if isinstance(array, pyarrow.DictionaryArray):
        if len(array.dictionary) > MOST_ROWS:
            raise ValueError(f"a column has {len(array.dictionary):,} different values, more than rows are read")
        words = [texts.setdefault(word, word) for word in array.dictionary.to_pylist()]
        return [None if i is None else words[i] for i in array.indices.to_pylist()]
    if pyarrow.types.is_float32(array.type) or pyarrow.types.is_float64(array.type):
        return array.to_numpy(zero_copy_only=False).astype(np.float64)
    return array.to_pylist()


def _joined(parts: list[Cells]) -> Cells:
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [cell for part in parts for cell in (part.tolist() if isinstance(part, np.ndarray) else part)]


READERS: dict[str, Callable[[Path], Sheet]] = {
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".tsv": read_csv,
}
"""By the ending of a file's name."""
