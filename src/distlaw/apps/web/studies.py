"""Studies and labs on disk, below the folders named at start: nothing outside them is opened, whatever is asked for."""

import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.labs.files import FINDINGS, Outcome, read_outcome
from distlaw.runs import one_line, read_runs, record_of
from distlaw.sweep.lease import Watch
from distlaw.sweep.status import INDEX, RECORDS, Status, status
from distlaw.sweep.store import Store

TABLE, REPORT, JOBS, METRICS = "runs.csv", "report.md", "jobs", "metrics.jsonl"
_DEPTH, _MOST_PLACES, _MOST_ENTRIES = 3, 200, 5000
_MOST_RECORDS = 5000
_MOST_FILE, _MOST_METRICS, _MOST_REPORT = 8_000_000, 40_000_000, 300_000
_MOST_POINTS = 400


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder with something to look at.

    Attributes:
        key: In an address: the name of its root, and the path below it.
        path: Where it is, links followed.
        root: Which it must not leave.
        live: Whether it is a study that was begun.
        table: Whether it has the table of a study that was reported on.
        lab: Whether it is what a lab found.
    """

    key: str
    path: Path
    root: Path
    live: bool
    table: bool
    lab: bool


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run, as its record or its row of the table has it; NaN where it does not say.

    Attributes:
        id: Its name in the study, or its row.
        job: What it was part of; empty where that is not known.
        student_params: N_S.
        student_tokens: D_S.
        student_loss: L_S.
        teacher_params: N_T.
        teacher_tokens: D_T.
        teacher_loss: L_T.
        compute: FLOPs.
        seed: Seed.
    """

    id: str
    job: str = ""
    student_params: float
    student_tokens: float
    student_loss: float
    teacher_params: float
    teacher_tokens: float
    teacher_loss: float
    compute: float
    seed: float

    @property
    def distilled(self) -> bool:
        """Whether it had a teacher."""
        return not math.isnan(self.teacher_loss)


_NUMBERS = tuple(name for name in Run.__dataclass_fields__ if name not in ("id", "job"))


@dataclass(kw_only=True, eq=False)
class _Seen:
    """What was read of a study before: records do not change, and leases are told alive by watching them."""

    watch: Watch = field(default_factory=Watch)
    runs: dict[str, Run | None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Studies:
    """The studies and labs of a server."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Below some folders.

        Raises:
            ValueError: One of them is none.
        """
        self._roots: dict[str, Path] = {}
        for root in roots:
            if not root.is_dir():
                raise ValueError(f"--studies '{one_line(root)}' is not a folder")
            found = root.resolve()
            name = found.name or "root"
            while name in self._roots and self._roots[name] != found:
                name += "'"
            self._roots[name] = found
        self._seen: dict[Path, _Seen] = {}
        self._lock = threading.Lock()

    @property
    def roots(self) -> tuple[str, ...]:
        """Names of the folders named at start."""
        return tuple(self._roots)

    def places(self) -> list[Place]:
        """What there is to look at, in order."""
        found: list[Place] = []
        for name, root in self._roots.items():
            waiting, looked = [(name, root, 0)], 0
            while waiting and len(found) < _MOST_PLACES and looked < _MOST_ENTRIES:
                key, path, depth = waiting.pop(0)
                place = self._place(key, path, root)
                if place.live or place.table or place.lab:
                    found.append(place)
                if depth < _DEPTH and not place.live:
                    below = _folders(path, root)
                    looked += len(below)
                    waiting += [(f"{key}/{one.name}", one, depth + 1) for one in below]
        return found

    def find(self, key: str) -> Place:
        """The folder of a key.

        Raises:
            ValueError: There is nothing to look at under it.
        """
        name, _, below = key.partition("/")
        root = self._roots.get(name)
        if root is not None and "\0" not in below:
            path = root / below
            try:
                inside = ".." not in path.parts and path.is_dir() and _inside(path, root)
            except OSError:
                inside = False
            if inside:
                place = self._place(key, path.resolve(), root)
                if place.live or place.table or place.lab:
                    return place
        raise ValueError(f"Study: there is no study or lab '{one_line(key, 80)}' below the folders named at start")

    def status(self, place: Place) -> Status:
        """Where a study stands.

        Raises:
            ValueError: It was not begun.
        """
        seen = self._of(place)
        with seen.lock:
            return status(_Confined(place), seen.watch)

    def runs(self, place: Place) -> list[Run]:
        """Its finished runs."""
        if place.live:
            seen = self._of(place)
            store = _Confined(place)
            with seen.lock:
                for name in store.names(RECORDS)[:_MOST_RECORDS]:
                    if name not in seen.runs:
                        seen.runs[name] = _read_record(store.read(f"{RECORDS}/{name}"))
                return [run for run in seen.runs.values() if run is not None]
        return _read_table(place) if place.table else []

    def curve(self, place: Place, run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Tokens and training cross-entropy of a run, thinned; None where they are not there."""
        path = place.path / JOBS / run.job / METRICS
        if not run.job or not _readable(path, place.path, _MOST_METRICS):
            return None
        tokens, losses = [], []
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if run.id not in line:  # of several students on one pass each has lines of its own
                    continue
                try:
                    said = json.loads(line)
                    x, y = float(said["tokens"]), float(said["cross_entropy"])
                except (ValueError, KeyError, TypeError):
                    continue  # the last line may be half written
                tokens.append(x)
                losses.append(y)
        if not tokens:
            return None
        step = max(len(tokens) // _MOST_POINTS, 1)
        return np.array(tokens)[::step], np.array(losses)[::step]

    def lab(self, place: Place) -> Outcome:
        """What a lab found.

        Raises:
            ValueError: Its findings cannot be read.
        """
        if not _readable(place.path / FINDINGS, place.path, _MOST_FILE):
            raise ValueError(f"the findings of '{one_line(place.key, 80)}' are too large, or a link to elsewhere")
        try:
            return read_outcome(place.path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(place.path), one_line(place.key, 80))) from None

    def report(self, place: Place) -> str | None:
        """The report that `distlaw study report` wrote there, as Markdown; None where there is none, or too long a one.

        Without its pictures, whose files the page does not serve, and its links, which lead to files as well.
        """
        path = place.path / REPORT
        if not _readable(path, place.path, _MOST_REPORT):
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
        text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
        return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)

    def _of(self, place: Place) -> _Seen:
        with self._lock:
            return self._seen.setdefault(place.path, _Seen())

    def _place(self, key: str, path: Path, root: Path) -> Place:
        def has(name: str) -> bool:
            return _readable(path / name, root, _MOST_FILE)

        # A name with a colon could be taken for an address by what opens the store.
        sound = ":" not in str(path)
        return Place(key=key, path=path, root=root, live=sound and has(INDEX), table=has(TABLE), lab=has(FINDINGS))


class _Confined(Store):
    """A study's store that opens nothing outside its folder, and nothing large."""

    def __init__(self, place: Place) -> None:
        super().__init__(str(place.path))
        self._place = place

    def read(self, name: str) -> bytes | None:
        """Content of a file; None if it is not there, or not for us."""
        return super().read(name) if _readable(self._place.path / name, self._place.path, _MOST_FILE) else None

    def names(self, folder: str) -> list[str]:
        """Names in a folder; none if it is not there, or not for us."""
        return super().names(folder) if _inside(self._place.path / folder, self._place.path) else []


def _inside(path: Path, root: Path) -> bool:
    """Whether a path, links followed, is in a folder."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        return False


def _readable(path: Path, root: Path, most: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= most and _inside(path, root)
    except (OSError, ValueError):
        return False


def _folders(path: Path, root: Path) -> list[Path]:
    try:
        found = sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
    except OSError:
        return []
    return [one.resolve() for one in found[:_MOST_ENTRIES] if _inside(one, root) and not one.is_symlink()]


def _read_record(content: bytes | None) -> Run | None:
    try:
        record = record_of(content or b"", "record.json")
        numbers = {name: _number(record.get(name)) for name in _NUMBERS}
        sound = all(math.isfinite(numbers[name]) for name in ("student_params", "student_tokens", "student_loss"))
        return Run(id=_word(record["name"]), job=_word(record["job"]), **numbers) if sound else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _read_table(place: Place) -> list[Run]:
    runs = read_runs(place.path / TABLE)
    columns: Mapping[str, Any] = {name: getattr(runs, name).tolist() for name in _NUMBERS}
    return [Run(id=f"row {i + 1}", **{name: values[i] for name, values in columns.items()}) for i in range(len(runs))]


def _number(value: Any) -> float:  # noqa: ANN401
    return float("nan") if value is None else float(value)


def _word(value: Any) -> str:  # noqa: ANN401
    """A name that is a part of a path; a record that says another is not taken."""
    if not (isinstance(value, str) and value.replace("-", "").replace("_", "").isalnum() and len(value) <= 80):
        raise ValueError(f"'{one_line(value, 40)}' is no name")
    return value
