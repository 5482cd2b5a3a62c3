"""One case of a fuzzer: what the command makes of an input, and whether that is a fault of ours."""

import io
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType, TracebackType

CPU_SECONDS = 10.0
_OURS = str(Path(__file__).parents[2] / "src" / "distlaw")
# What Python says of its own; a message for a user never does.
_RAW = (
    *("invalid literal for int", "could not convert string", "to unpack", "unsupported operand", "math domain error"),
    *("embedded null", "Exceeds the limit", "codec can't", "object is not", "has no attribute", "cannot convert float"),
    *("expected a", "must be real number", "is not iterable", "not subscriptable", "unexpected keyword", "NoneType"),
    *(
        "maximum recursion",
        "broadcast",
        "positional argument",
        "list index out",
        "required positional",
        "not supported between",
    ),
    *("Expected object", "<class ", "must be str", "Invalid argument"),
)


class OverTime(BaseException):
    """A case that took too much CPU time."""


@dataclass(frozen=True)
class Fault:
    """What went wrong.

    Attributes:
        kind: traceback, hang, lines (not one line), nameless (the file is not named) or raw (Python's own words).
        site: Where: the last line of ours, and the kind of error.
        said: The error or what stood on standard error.
    """

    kind: str
    site: str
    said: str


@dataclass(frozen=True)
class Case:
    """An input, ready to be tried.

    Attributes:
        call: Gives an exit status, as `main` does.
        shown: The input in words, for a report.
        names: What a message must name, where the input is refused; empty: anything will do.
    """

    call: Callable[[], int]
    shown: str
    names: tuple[str, ...] = ()


class Target:
    """A kind of input. `prepare` makes sound inputs once; `case` makes one case of a random stream."""

    name: str
    cost: float = 1.0
    """Share of cases, relative to others."""

    def prepare(self, folder: Path) -> None:
        """Make what all cases share."""

    def case(self, rng: Random, folder: Path) -> Case:
        """A case whose files are made in an empty folder."""
        raise NotImplementedError


def numbered(target: Target, seed: int, number: int, folder: Path) -> Case:
    """The case of a number: always the same."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return target.case(Random(f"{seed}/{target.name}/{number}"), folder)


def attempt(case: Case, *, cpu_seconds: float = CPU_SECONDS) -> Fault | None:
    """Try a case; None if it went as it should."""
    return outcome(case, cpu_seconds)[1]


def outcome(case: Case, cpu_seconds: float = CPU_SECONDS) -> tuple[int | None, Fault | None]:
    """The exit status of a case, and what was wrong with how it ended."""
    # As a terminal has them: what is not UTF-8 fails on standard output and is escaped on standard error.
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    try:
        with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err), _limited(cpu_seconds):
            warnings.simplefilter("error")
            status = case.call()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except OverTime as error:
        return None, Fault("hang", _site(error.__traceback__, "hang"), f"over {cpu_seconds:g} s of CPU time")
    except BaseException as error:  # whatever it is, it was not for the user
        return None, Fault("traceback", _site(error.__traceback__, type(error).__name__), _first(error))
    text = err.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return status, _fault_of(case, status, text)


def _fault_of(case: Case, status: int, text: str) -> Fault | None:
    lines = [line for line in text.splitlines() if not line.startswith(("warning: ", "note: "))]
    if status not in (0, 1, 2):
        return Fault("traceback", f"exit {status}", text[:300])
    if status != 2:
        return None if "Traceback" not in text else Fault("traceback", "printed", text[-500:])
    if len(lines) != 1 or not lines[0].startswith("distlaw: error: ") or len(lines[0]) > 1100:
        return Fault("lines", f"{len(lines)} lines", text[:500])
    if any(raw in lines[0] for raw in _RAW):
        found = next(raw for raw in _RAW if raw in lines[0])
        return Fault("raw", f"says '{found}'", lines[0])
    if case.names and not any(name in lines[0] for name in case.names):
        return Fault("nameless", " ".join(lines[0][:80].split()[2:6]), lines[0])
    return None


def _site(trace: TracebackType | None, kind: str) -> str:
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
    if not ours:
        return f"{kind} in {Path(frames[-1].filename).name if frames else '?'}"
    last = ours[-1]
    return f"{kind} in {Path(last.filename).relative_to(_OURS)}:{last.name}"


def _first(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return type(error).__name__


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `OverTime` after so much CPU time of this process, however busy the machine is."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise OverTime

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def command(words: list[str], *names: str) -> Case:
    """A case that calls `distlaw`."""
    from distlaw.apps.cli import main

    return Case(call=lambda: main(words), shown=" ".join(map(repr, words)), names=names)


def in_command(function: Callable[[], object], shown: str, *names: str) -> Case:
    """A case that calls a function whose ValueErrors the command would print."""
    from distlaw.runs import one_line

    def call() -> int:
        try:
            function()
        except (ValueError, OSError) as error:
            print(f"distlaw: error: {one_line(error, 1000)}", file=sys.stderr)
            return 2
        return 0

    return Case(call=call, shown=shown, names=names)
