"""Every kind of file that checks itself: which format a file is of, whether it is sound, and its checksum made anew."""

from pathlib import Path

from distlaw.fit import lawfile
from distlaw.runs import RECORD, one_line, written_whole
from distlaw.runs.checksum import FORMAT, RECORD_FORMAT, parsed, require_sealed, sealed_text

_NOW = {"distlaw-law-1": lawfile.FORMAT}
_BY_NAME = {RECORD: RECORD_FORMAT}
_BY_FOLDER = {"records": RECORD_FORMAT}


def looked_at(path: Path) -> str:
    """What is wrong with a file; nothing if it is as it was written.

    Raises:
        ValueError: It cannot be read, or is of no format that has a checksum.
    """
    content, form = _read(path)
    if content.get(FORMAT) != form:
        return "has no checksum: an older version wrote it; --accept gives it one"
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
    content, form = _read(path)
    with written_whole(path) as temporary:
        temporary.write_text(sealed_text(content, form), encoding="utf-8")
    return looked_at(path)


def _read(path: Path) -> tuple[dict[str, object], str]:
    try:
        content = parsed(path.read_bytes())
    except OSError as error:
        raise ValueError(f"'{one_line(path)}' cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"'{one_line(path)}' cannot be read: {one_line(error)}") from None
    said = content.get(FORMAT)
    form = said if isinstance(said, str) else _BY_NAME.get(path.name) or _BY_FOLDER.get(path.resolve().parent.name)
    form = _NOW.get(form or "", form)
    if form not in {*_NOW.values(), *_BY_NAME.values(), *_BY_FOLDER.values()}:
        raise ValueError(
            f"'{one_line(path)}' is no file with a checksum: those are law files, records, findings and a study's files"
        )
    assert form is not None
    return content, form
