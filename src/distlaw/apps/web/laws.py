"""Laws that the page can be asked about: published ones, files of the folder named at start, and those of a session."""

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distlaw.apps.web.workers import full_disk
from distlaw.fit.lawfile import FittedLaw, read_law
from distlaw.laws import PublishedLaw, StudentLaw, SupervisedLaw, published, published_names
from distlaw.runs import one_line

OWN, FILE = "own:", "file:"
MOST_BYTES = 4_000_000
MOST_DRAWS = 10_000
"""Of a law that is brought along."""
_MOST_FILES = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Law:
    """A law as the page knows it; two are the same only where they are one object.

    Attributes:
        key: In an address: a published name, `file:NAME` of the folder, or `own:NAME` of the session.
        found: The law with its source, range and resamples.
        command: What a command calls it: its name, or the path of its file.
    """

    key: str
    found: PublishedLaw
    command: str

    @property
    def student_law(self) -> StudentLaw:
        """The law of distilled students.

        Raises:
            ValueError: It has none.
        """
        if isinstance(self.found.law, SupervisedLaw):
            raise ValueError(
                f"law '{self.found.name}' is supervised only and cannot weigh distillation: choose another"
            )
        return self.found.law

    @property
    def has_draws(self) -> bool:
        """Whether it carries the resamples of its fit, from which intervals come."""
        return isinstance(self.found, FittedLaw) and self.found.count > 0


class Laws:
    """The laws of everybody, read once and again when a file changes."""

    def __init__(self, folder: Path | None = None) -> None:
        """Of a folder of law files, or of none.

        Raises:
            ValueError: There is no such folder.
        """
        if folder is not None and not folder.is_dir():
            raise ValueError(f"--laws '{one_line(folder)}' is not a folder")
        self._folder = folder
        self._published = {name: Law(key=name, found=published(name), command=name) for name in published_names()}
        self._read: dict[str, tuple[int, Law]] = {}

    def files(self) -> list[str]:
        """Names of the law files."""
        if self._folder is None:
            return []
        return sorted(path.name for path in self._folder.glob("*.json"))[:_MOST_FILES]

    def options(self, own: Mapping[str, Law], *, distilled: bool = True) -> dict[str, dict[str, str]]:
        """What there is to choose, in groups, by key.

        Args:
            own: Laws of the session.
            distilled: Whether supervised laws are left out.
        """
        names = {key: key for key, law in self._published.items() if not (distilled and law.found.kind == "supervised")}
        files = {FILE + name: name for name in self.files()}
        groups = {"Published": names, "Law files": files, "Yours": {key: key.removeprefix(OWN) for key in own}}
        return {group: options for group, options in groups.items() if options}

    def find(self, key: str, own: Mapping[str, Law]) -> Law:
        """The law of a key.

        Raises:
            ValueError: There is none, or its file is broken; says what would be right.
        """
        if (law := self._published.get(key) or own.get(key)) is not None:
            return law
        if key.startswith(OWN):
            raise ValueError(
                f"Law: '{one_line(key.removeprefix(OWN), 60)}' was brought along by another session, or too long ago;"
                " upload its file again or choose another"
            )
        name = key.removeprefix(FILE)
        if not key.startswith(FILE) or name not in self.files():  # so that no other file is ever opened
            raise ValueError(f"Law: '{one_line(key, 60)}' is unknown; choose one of the list")
        assert self._folder is not None
        path = self._folder / name
        changed = path.stat().st_mtime_ns
        if name not in self._read or self._read[name][0] != changed:
            self._read[name] = changed, Law(key=key, found=_read(path, name), command=str(path))
        return self._read[name][1]


def law_of_text(text: str, name: str) -> Law:
    """A law of a session, from the text of a law file.

    Args:
        text: Content of the file.
        name: What the user calls the file.

    Raises:
        ValueError: It is no law file, or the disk is full; says what is wrong.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="distlaw-") as folder:
            path = Path(folder) / "law.json"
            path.write_text(text, encoding="utf-8")
            found = _read(path, name)
    except OSError as error:
        reason = full_disk(error) or error.strerror or one_line(error)
        raise ValueError(f"law file '{one_line(name, 60)}' cannot be kept ({reason})") from None
    if found.count > MOST_DRAWS:
        raise ValueError(
            f"law file '{one_line(name, 60)}' has {found.count:,} resamples; at most {MOST_DRAWS:,} are read"
        )
    return Law(key=OWN + name, found=found, command=name if name.endswith(".json") else f"{name}.json")


def _read(path: Path, name: str) -> FittedLaw:
    """A law file; errors call it as the user does."""
    try:
        return read_law(path)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), one_line(name, 60))) from None


def decoded(content: object, most: int) -> bytes:
    """Bytes of a file that came in base 64.

    Raises:
        ValueError: It is too large, or damaged.
    """
    if not isinstance(content, str) or len(content) > most * 4 // 3 + 4:
        raise ValueError(f"the file is larger than {most / 1e6:g} MB")
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        raise ValueError("the file did not arrive whole; send it again") from None
