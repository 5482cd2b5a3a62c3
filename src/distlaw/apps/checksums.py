"""Every kind of file that checks itself: which format a file is of, whether it is sound, and its checksum made anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distlaw.fit import lawfile
from distlaw.reading import json_object, one_line, read_text, toml_table
from distlaw.runs import RECORD, written_whole
from distlaw.runs.checksum import FORMAT, RECORD_FORMAT, require_sealed, sealed_text, sealed_toml

_STUDY = "distlaw-study-1"
_NOW = {"distlaw-law-1": lawfile.FORMAT}
_BY_NAME = {
    RECORD: RECORD_FORMAT,
    "findings.json": "distlaw-findings-1",
    "choices.json": "distlaw-choices-1",
    "index.json": "distlaw-index-1",
}
_BY_FOLDER = {"records": RECORD_FORMAT}
_KNOWN = {*_NOW.values(), *_BY_NAME.values(), *_BY_FOLDER.values(), _STUDY}


def looked_at(path: Path) -> str:
    """What is wrong with a file; nothing if it is as it was written.

    Raises:
        ValueError: It cannot be read, or is of no format that has a checksum.
    """
    _, content, form = _read(path)
    if content.get(FORMAT) != form:
        return "has no checksum: an older version, or a person, wrote it; --accept gives it one"
    try:
        require_sealed(content, str(path), form)
    except ValueError as error:
        return str(error)
    return ""


def accepted(path: Path) -> str:
    """Give a file the checksum of what it holds; gives what `looked_at` does.

    Raises:
        ValueError: It cannot be read or written, or is of no format that has a checksum.
    """
    text, content, form = _read(path)
    text = sealed_toml(text, form) if form == _STUDY else sealed_text(content, form)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return looked_at(path)


def _read(path: Path) -> tuple[str, Mapping[str, Any], str]:
    """Text, content and format of a file."""
    try:
        text = read_text(path)
        content = toml_table(text) if path.suffix == ".toml" else json_object(text)
    except ValueError as error:
        raise ValueError(f"'{one_line(path)}' {error}") from None
    said = content.get(FORMAT)
    if isinstance(said, str):
        form = _NOW.get(said, said)
    elif path.suffix == ".toml":
        form = _STUDY if "protocols" in content else None
    else:
        form = _BY_NAME.get(path.name) or _BY_FOLDER.get(path.resolve().parent.name)
    if form is None or form not in _KNOWN:
        raise ValueError(
            f"'{one_line(path)}' is no file with a checksum: those are law files, records, findings and a study's files"
        )
    return text, content, form
