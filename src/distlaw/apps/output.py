"""How commands speak: JSON with stable keys, or tables; warnings on standard error."""

import json
import math
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console

_PIPED = 120  # columns where no terminal says how many
_NARROWEST = 20


def plain(value: Any) -> Any:  # noqa: ANN401
    """Turn results into what JSON can hold; a number that is not finite becomes null."""
    if type(value) in (str, int, bool, type(None)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(result: Mapping[str, Any]) -> str:
    """One JSON object."""
    return json.dumps(plain(result), indent=2, ensure_ascii=False)


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json_text(result))


def console() -> "Console":
    """Where tables go: as wide as COLUMNS says, else as the terminal, else 120 columns."""
    from rich.console import Console

    return Console(width=_given_width() or (None if sys.stdout.isatty() else _PIPED), highlight=False)


def print_sentences(*sentences: str, bullets: bool = False) -> None:
    """Print sentences, each from a line of its own, broken at words where they are wider than `console()`.

    Args:
        sentences: What is said; a word that is longer than a line, as a path is, stays whole.
        bullets: Begin each with a dash, its further lines indented.
    """
    width = console().width
    first, further = ("- ", "  ") if bullets else ("", "")
    for sentence in sentences:
        broken = textwrap.wrap(
            sentence,
            width,
            initial_indent=first,
            subsequent_indent=further,
            break_long_words=False,
            break_on_hyphens=False,
        )
        print("\n".join(broken))


def _given_width() -> int | None:
    columns = os.environ.get("COLUMNS", "")
    return max(int(columns), _NARROWEST) if columns.isascii() and columns.isdigit() and 0 < len(columns) < 6 else None


_noted: set[str] = set()


def print_notes(notes: Sequence[str]) -> None:
    """Print how input was read on standard error, before any answer; the same is no warning after it."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    _noted.update(notes)


def print_warnings(warnings: Sequence[str]) -> None:
    """Print each warning on a line of standard error."""
    for warning in warnings:
        if warning not in _noted:
            print(f"warning: {warning}", file=sys.stderr)


@contextmanager
def progress_bar(what: str, wanted: bool = True) -> Iterator[Callable[[int, int], None] | None]:
    """A callback for what is done and its total: a bar on a terminal, None and silence elsewhere."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
