"""JSON and TOML of users: one reader for each, with limits, that turns whatever is wrong into one sentence.

Python's own readers recurse as deeply as a file is nested, take numbers that nothing here can hold (`1e400` is read as
infinity, a whole number may have thousands of digits) and say what is wrong in words of their own. What comes out of
these readers is nested `DEEPEST` deep at most, has numbers that a float can hold, and text that can be printed.
"""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distlaw.reading.words import one_line

DEEPEST = 100
"""Most levels of lists and tables."""
MOST_BYTES = 64 * 2**20
"""Of a JSON file: a law file with 100,000 resamples has half as many. In memory it takes up to fifty times as much."""
MOST_TOML_BYTES = 2**20
"""Of a TOML file: tomllib takes seconds for more."""
_TOO_DEEP = f"is nested more than {DEEPEST} deep"
_MOST_DIGITS = 300  # of a whole number: a float has at most 309
# tomllib takes the square of the parts of a dotted key in time.
_LONG_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEEPEST}}}""")


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file.

    Raises:
        ValueError: It cannot be read, is larger than `most` bytes, or is not UTF-8; does not name the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except ValueError:  # of Python, for a name with a NUL
        raise ValueError("cannot be read (no file can have that name)") from None
    if len(data) > most:
        raise ValueError(f"is larger than {most / 2**20:.0f} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start + 1})") from None


def read_json(path: Path, what: str, *, foreign: bool = False) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: The file.
        what: What the file is, for messages, as `law file`.
        foreign: See `json_object`.

    Raises:
        ValueError: It cannot be read or is no such file; one line that names it, and the field where there is one.
    """
    try:
        return json_object(read_text(path), foreign=foreign)
    except ValueError as error:
        raise ValueError(f"{what} '{one_line(path)}' {error}") from None


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.
        what: What the file is, for messages, as `config`.

    Raises:
        ValueError: It cannot be read or is not TOML; one line that names it, and the field where there is one.
    """
    try:
        return toml_table(read_text(path, MOST_TOML_BYTES))
    except ValueError as error:
        raise ValueError(f"{what} '{one_line(path)}' {error}") from None


def json_object(text: str | bytes, *, foreign: bool = False) -> dict[str, Any]:
    """A JSON object from text.

    Args:
        text: The text.
        foreign: Whether other programs write such files: keys that stand twice, NaN and infinities are then taken as
            Python takes them, and whole numbers that are too long as infinity.

    Raises:
        ValueError: It is no JSON object, or holds what no file of ours does; says what and in which field.

    >>> json_object('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) <= _MOST_DIGITS else math.inf

    once = None if foreign else _once
    try:
        content = json.loads(
            text.decode() if isinstance(text, bytes) else text, parse_int=whole, object_pairs_hook=once
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({one_line(error)})") from None
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")

    def why(value: object) -> str | None:
        if isinstance(value, float) and not foreign and not math.isfinite(value):
            return "has a number that is not finite or too large"
        return None

    _check(content, why)
    return content


def toml_table(text: str) -> dict[str, Any]:
    r"""Tables from TOML text.

    Raises:
        ValueError: It is not TOML, or holds a date, NaN, or a number that is too large; says what and in which field.

    >>> toml_table("[a]\nb = 1")
    {'a': {'b': 1}}
    """
    if _LONG_KEY.search(text):
        raise ValueError(_TOO_DEEP)
    try:
        content = tomllib.loads(text, parse_float=_toml_float)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML ({one_line(error)})") from None
    except ValueError:  # of int, for thousands of digits
        digits = re.search(r"\d[\d_]{4000}", text)
        line = text.count("\n", 0, digits.start() if digits else 0) + 1
        raise ValueError(f"has a whole number beyond 64 bits in line {line}") from None

    def why(value: object) -> str | None:
        if isinstance(value, float) and math.isnan(value):
            return "has nan where a number should stand"
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return "has a whole number beyond 64 bits"
        if not isinstance(value, str | int | float | dict | list):
            return "has a date or time"
        return None

    _check(content, why)
    return content


def _toml_float(text: str) -> float:
    value = float(text)
    if math.isinf(value) and "inf" not in text:
        raise tomllib.TOMLDecodeError(f"{one_line(text, 40)} is too large for a number")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"has the key '{one_line(twice, 40)}' twice in one object")
    return found


def _check(content: Any, why: Callable[[object], str | None]) -> None:  # noqa: ANN401
    """Go through a tree, a level at a time on a stack of our own.

    Raises:
        ValueError: It is nested too deep, has text that nothing can be written with, or `why` says what is wrong with a
            value; names the field.
    """
    at: list[str | int] = []
    levels = [_items(content)]
    while levels:
        try:
            step, value = next(levels[-1])
        except StopIteration:
            levels.pop()
            if at:
                at.pop()
            continue
        reason = why(value) or _why_no_text(step) or _why_no_text(value)
        if reason is not None:
            raise ValueError(f"{reason}: {one_line('.'.join(map(str, (*at, step))), 80)}")
        if isinstance(value, dict | list):
            if len(levels) == DEEPEST:
                raise ValueError(_TOO_DEEP)
            at.append(step)
            levels.append(_items(value))


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:  # noqa: ANN401
    return iter(value.items()) if isinstance(value, dict) else iter(enumerate(value))


def _why_no_text(value: object) -> str | None:
    """Half of a pair of surrogates is no text: it can be written nowhere."""
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        return "has text that is not Unicode"
    return None
