"""Records of finished runs, collected into a table."""

from pathlib import Path
from typing import Any

import numpy as np

from distlaw.reading import one_line
from distlaw.runs.files import require_folder
from distlaw.runs.record import RUN_COLUMNS, Runs
from distlaw.runs.record_file import RECORD, read_record


def collect_records(folder: Path) -> tuple[Runs, list[str]]:
    """All records below a folder as a table of runs, in the order of their paths.

    Args:
        folder: Folder of run directories, or one.

    Returns:
        The runs, and what is wrong with each record that is left out.

    Raises:
        ValueError: There is no such folder, there are no records, or one contradicts itself.
    """
    require_folder(folder, "runs")
    rows: list[dict[str, Any]] = []
    unread: list[str] = []
    for file in sorted(folder.rglob(RECORD)):
        try:
            record = read_record(file)
            if "student_loss" in record:  # a run of several students has one that lists them, beside theirs
                row = {column.name: record.get(column.name) for column in RUN_COLUMNS}
                rows.append({n: v if n == "group" else float("nan" if v is None else v) for n, v in row.items()})
        except ValueError as error:
            unread.append(str(error))
    if not rows:
        raise ValueError(f"there is no {RECORD} of a finished run below '{one_line(folder)}'")
    columns: dict[str, Any] = {c.name: np.array([row[c.name] for row in rows], dtype=object) for c in RUN_COLUMNS}
    return Runs(**columns), unread
