"""The file that a finished run leaves: a JSON object that checks itself, its numbers in their ranges."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distlaw.runs.checksum import RECORD_FORMAT, UNCHECKED, sealed_text, unsealed
from distlaw.runs.quantity import LEAST, MOST, one_line

RECORD = "record.json"
"""Its name in a run directory."""
MOST_LOSS = 100.0
"""Nats a token, six times the loss of a uniform guess over the largest vocabulary: beyond, it is no loss."""

_RANGES = {
    **dict.fromkeys(("student_params", "student_tokens", "teacher_params", "teacher_tokens", "compute"), (LEAST, MOST)),
    **dict.fromkeys(("student_loss", "teacher_loss"), (LEAST, MOST_LOSS)),
    **dict.fromkeys(("wall_seconds", "cpu_seconds", "job_seconds"), (0.0, MOST)),
    "students_on_one_pass": (1, 1e6),
    "seed": (0, 2**63),
    "weight": (LEAST, MOST),
}
_ALWAYS = ("student_params", "student_tokens", "student_loss")


def record_text(record: Mapping[str, Any]) -> str:
    """A record as the text of its file; a number that is not known, NaN, is null."""
    plain = {k: (None if isinstance(v, float) and math.isnan(v) else v) for k, v in record.items()}
    return sealed_text(plain, RECORD_FORMAT)


def record_of(text: str | bytes, name: str) -> dict[str, Any]:
    """Read a record; one that an older version wrote has no checksum.

    Args:
        text: Of its file.
        name: What to call the file in a message.

    Raises:
        ValueError: It is not as it was written, or no run can have such a number; one line without the file's name.
    """
    record = unsealed(text, name, RECORD_FORMAT, before=UNCHECKED)
    if "student_loss" not in record and isinstance(record.get("students"), list):
        return record  # of a run of several students, each of which has a record of its own
    for key, (low, high) in _RANGES.items():
        value = record.get(key)
        if value is None and key not in _ALWAYS:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"its {key} must be a number from {low:g} to {high:g}, got {one_line(value, 40)}")
    if (seed := record.get("seed")) is not None and int(seed) != seed:
        raise ValueError(f"its seed must be a whole number, got {one_line(seed, 40)}")
    return record


def read_record(path: Path) -> dict[str, Any]:
    """Read a record's file.

    Raises:
        ValueError: It cannot be read, or see `record_of`; names the file.
    """
    try:
        return record_of(path.read_bytes(), str(path))
    except OSError as error:
        raise ValueError(f"record '{one_line(path)}' cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"record '{one_line(path)}' is damaged: {one_line(error, 600)}") from None
