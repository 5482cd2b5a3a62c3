"""Where text comes from: documents, one by one, and a fingerprint that tells when they may have changed."""

import glob
import gzip
import hashlib
import json
import os
import platform
import re
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from distlaw.runs import one_line

# Patterns of the files that a folder stands for.
_IN_FOLDERS = {"text": "*.txt", "jsonl": "*.jsonl", "parquet": "*.parquet"}
TEXT_SOURCES = ("stdlib", "debian", *_IN_FOLDERS, "datasets")
WITHOUT_PATHS = ("stdlib", "debian")
_ESSAYS, _DICTIONARY = Path("/usr/share/doc/anarchism/html"), Path("/usr/share/dictd/gcide.dict.dz")
_DICTIONARY_PIECE = 1 << 14  # characters of a document that entries are put together to
_CHUNK = 1 << 20

Cut = Literal["", "paragraphs", "lines"]
_BETWEEN = {"paragraphs": re.compile(r"\n[ \t\r]*\n"), "lines": re.compile(r"\n")}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Text, not yet read.

    Attributes:
        description: What a manifest says of it; the same on any machine that has the same files.
        fingerprint: Hash of names, sizes and times of change: another one means that the text may be another.
        documents: Reads it from the start, always in the same order. Raises ValueError that names the file and place
            where it cannot.
    """

    description: dict[str, Any]
    fingerprint: str
    documents: Callable[[], Iterator[str]]


def open_source(
    kind: str, paths: Sequence[str] = (), *, field: str = "text", separator: str = "", cut: Cut = ""
) -> Source:
    """Find the files of a source.

    Args:
        kind: One of `TEXT_SOURCES`:
            `stdlib`: every .py file of Python's own library, its tests included (two thirds of the text), installed
            packages and build settings excluded; a file is a document, in an order given by a hash of its relative
            path; the few that are not UTF-8 on purpose are left out.
            `debian`: English of the Debian packages `anarchism` (essays, GPL-2) and `dict-gcide` (a dictionary, GPL),
            about 50 MB; an essay, or some 16 kB of entries, is a document, in an order given by its hash.
            `text`: UTF-8 files; a file is a document, or the pieces between separators.
            `jsonl`: one JSON object a line, one document each. `parquet`: one document a row.
            `datasets`: the train split of what `datasets.load_dataset` opens, fetched whole on first use.
        paths: Files, folders (`**/*.txt`, `*.jsonl` or `*.parquet` in them) or globs; each in order of name, none
            twice. For `datasets` a name or folder, and the name of a configuration if it has several.
        field: Column or key of the text.
        separator: What stands between documents in a text file.
        cut: Where text files are cut that no separator is given for; a file alone is never a document, since one
            document cannot be split, and is cut into paragraphs at least.

    Raises:
        ValueError: A path that is not there or matches nothing, a column that is missing.
    """
    if kind == "stdlib":
        return _stdlib()
    if kind == "debian":
        return _debian()
    if kind == "datasets":
        return _hub(paths, field)
    files = _find(kind, paths)
    if kind == "text" and not separator and (cut or len(files) == 1):
        between = _BETWEEN[cut := cut or "paragraphs"]
        return _of_files(files, lambda file: _pieces(file, between), documents=cut)
    if kind == "text":
        return _of_files(files, lambda file: _pieces(file, re.compile(re.escape(separator)) if separator else None))
    return _of_files(files, lambda file: (_jsonl if kind == "jsonl" else _parquet)(file, field))


def _of_files(files: Sequence[Path], read: Callable[[Path], Iterator[str]], **more: object) -> Source:
    digest = hashlib.sha256()
    size = 0
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise ValueError(f"'{one_line(file)}' cannot be read ({error.strerror})") from None
        size += status.st_size
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))

    def documents() -> Iterator[str]:
        for file in files:
            try:
                yield from read(file)
            except OSError as error:
                reason = error.strerror or one_line(error)
                raise ValueError(f"'{one_line(file)}' cannot be read ({reason})") from None

    description = {"files": len(files), "bytes": size, **more}
    return Source(description=description, fingerprint=digest.hexdigest(), documents=documents)


def _find(kind: str, paths: Sequence[str]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if Path(path).is_dir():
            matches = Path(path).rglob(_IN_FOLDERS[kind])
            missing = f"the folder '{one_line(path)}' in paths holds no {_IN_FOLDERS[kind]}"
        elif Path(path).exists():
            matches, missing = [Path(path)], ""
        else:
            matches = map(Path, glob.glob(path, recursive=True))  # noqa: PTH207, absolute patterns
            missing = f"'{one_line(path)}' in paths: no such file or folder, and no file matches it as a pattern"
        files = sorted((match for match in matches if not match.is_dir()), key=lambda file: file.as_posix())
        if not files:
            raise ValueError(missing)
        found |= dict.fromkeys(files)
    return list(found)


def _stdlib() -> Source:
    root = Path(sysconfig.get_path("stdlib"))
    files: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in ("site-packages", "dist-packages", "__pycache__")]
        # _sysconfigdata holds the paths and flags of the machine that Python was built on.
        names = (name for name in names if name.endswith(".py") and not name.startswith("_sysconfigdata"))
        files += (Path(folder, name) for name in names)
    if not files:
        raise ValueError(f"source='stdlib': this Python has no .py files of its library in '{one_line(root)}'")
    # Not by name: a limit shall give a fair sample, and _pydecimal.py alone is 230 kB.
    files.sort(key=lambda file: hashlib.sha256(file.relative_to(root).as_posix().encode()).digest())

    def read(file: Path) -> Iterator[str]:
        try:
            yield file.read_bytes().decode()
        except UnicodeDecodeError:
            return

    return _of_files(files, read, python=platform.python_version())


def _debian() -> Source:
    if not (_ESSAYS.is_dir() and _DICTIONARY.is_file()):
        raise ValueError(
            "source='debian': the packages are not installed; `apt-get install anarchism dict-gcide`, or"
            " source='stdlib', which is always there"
        )
    files = [*sorted(_ESSAYS.glob("*.html")), _DICTIONARY]

    def read(file: Path) -> Iterator[str]:
        if file != _DICTIONARY:
            page = _Prose()
            page.feed(file.read_text(encoding="utf-8"))
            yield page.text
            return
        with gzip.open(file, "rt", encoding="utf-8", errors="replace") as stream:
            entries = stream.read().split("\n\n")
        piece: list[str] = []
        size = 0
        for entry in entries:
            piece.append(entry)
            size += len(entry)
            if size >= _DICTIONARY_PIECE:
                yield "\n\n".join(piece)
                piece, size = [], 0
        yield "\n\n".join(piece)

    whole = _of_files(files, read)

    def shuffled() -> Iterator[str]:
        # Essays and dictionary mixed: whoever reads a part reads a fair sample.
        return iter(sorted(whole.documents(), key=lambda text: hashlib.sha256(text.encode()).digest()))

    return Source(description=whole.description, fingerprint=whole.fingerprint, documents=shuffled)


class _Prose(HTMLParser):
    """Text of a page, a line for each block, without its head, scripts and styles."""

    _BLOCKS = frozenset(("p", "br", "li", "div", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "hr"))
    _HIDDEN = frozenset(("head", "script", "style"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._hidden = 0

    @property
    def text(self) -> str:
        """What was read, blank lines and runs of spaces removed."""
        lines = (" ".join(line.split()) for line in "".join(self._parts).splitlines())
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._hidden += tag in self._HIDDEN
        if tag in self._BLOCKS:
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN
        if tag in self._BLOCKS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(" ".join(data.split("\n")))


def _pieces(file: Path, between: re.Pattern[str] | None) -> Iterator[str]:
    rest = ""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            if between is None:
                yield stream.read()
                return
            while chunk := stream.read(_CHUNK):
                *whole, rest = between.split(rest + chunk)
                yield from whole
    except UnicodeDecodeError as error:
        raise ValueError(f"'{one_line(file)}' is not UTF-8 text ({error.reason})") from None
    yield rest


def _jsonl(file: Path, field: str) -> Iterator[str]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            where = f"'{one_line(file)}' line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where} is not JSON ({one_line(error)})") from None
            if not isinstance(record, dict) or field not in record:
                keys = one_line(", ".join(record), 100) if isinstance(record, dict) else type(record).__name__
                raise ValueError(f"{where} has no field '{field}', only {keys or 'no keys'}")
            yield _text(record[field], where, field)


def _parquet(file: Path, field: str) -> Iterator[str]:
    try:
        with pq.ParquetFile(file) as table:
            _require_column(field, table.schema_arrow.names, file)
            number = 0
            for batch in table.iter_batches(columns=[field], batch_size=1024):
                for value in batch.column(0):
                    number += 1
                    yield _text(value.as_py(), f"'{one_line(file)}' row {number}", field)
    except pa.ArrowException as error:
        raise ValueError(f"'{one_line(file)}' cannot be read as Parquet ({one_line(error)})") from None


def _hub(paths: Sequence[str], field: str) -> Source:
    import datasets

    name = one_line(" ".join(paths))
    try:
        dataset = datasets.load_dataset(*paths, split="train", trust_remote_code=False)
    except Exception as error:  # a connection, a builder, a file: whatever it is, it is about this name
        raise ValueError(f"datasets cannot load '{name}' ({one_line(error)})") from None
    assert isinstance(dataset, datasets.Dataset)
    _require_column(field, dataset.column_names, name)

    def documents() -> Iterator[str]:
        number = 0
        for batch in dataset.select_columns([field]).iter(batch_size=1024):
            assert isinstance(batch, dict)
            for value in batch[field]:
                number += 1
                yield _text(value, f"'{name}' row {number}", field)

    # The Arrow files lie under a hash of the source's own files; they are what is read.
    of_files = _of_files([Path(entry["filename"]) for entry in dataset.cache_files], lambda _: iter(()))
    description = {"rows": dataset.num_rows}
    return Source(description=description, fingerprint=of_files.fingerprint, documents=documents)


def _require_column(field: str, names: Sequence[str], where: object) -> None:
    if field not in names:
        raise ValueError(f"'{one_line(where)}' has no column '{field}', only {one_line(', '.join(names), 100)}")


def _text(value: object, where: str, field: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: '{field}' must be text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: '{field}' holds half a surrogate pair, which is no character") from None
    return value
