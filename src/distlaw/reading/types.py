"""JSON and TOML against dataclasses: every key known, every value of its type, what is wrong by its name."""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from distlaw.reading.words import one_line

_T = TypeVar("_T")
Path = tuple[str | int, ...]
"""Where something stands in a tree: keys, and positions in lists."""
_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a table"}
_NOT_FINITE = ("inf", "-inf", "nan")
_LISTS = (tuple, list, np.ndarray)


def made(
    owner: type[_T],
    content: Mapping[str, Any],
    written: Callable[[Path], Path] = lambda path: path,
    *,
    words: bool = False,
) -> _T:
    """A tree of dataclasses from what JSON holds; lists become tuples, or arrays where an array is wanted.

    Args:
        owner: The dataclass of the outermost object.
        content: The object.
        written: Where a user wrote what stands at a place, for messages.
        words: Whether numbers that are not finite are written as words, `"inf"`.

    Raises:
        ValueError: A key is unknown or missing, or a value is wrong; names it.
    """
    TypeCheck(written, words=words).check(content, owner)
    return _built(owner, content)


def shown(value: object) -> str:
    """A value for a message, as TOML has it."""
    return str(value).lower() if isinstance(value, bool) else one_line(repr(value), 60)


class TypeCheck:
    """Checks trees against the type hints of dataclasses; a truth value is no number, and text is none."""

    def __init__(self, written: Callable[[Path], Path] = lambda path: path, *, words: bool = False) -> None:
        """Check.

        Args:
            written: Where a user wrote what stands at a place, for messages.
            words: See `made`.
        """
        self._written, self._words = written, words
        self._owners: dict[Path, Any] = {}

    def name(self, path: Path) -> str:
        """What a message calls a place."""
        return one_line(".".join(map(str, self._written(path))), 80)

    def fields_at(self, path: Path) -> set[str]:
        """Keys that the table at a place may have, after `check`."""
        return {field.name for field in dataclasses.fields(self._owners[path])} if path in self._owners else set()

    def check(self, content: Any, owner: Any, at: Path = ()) -> None:  # noqa: ANN401
        """Every key is a field, and every value of its type; what is missing is not looked for.

        Raises:
            ValueError: One is not; names it.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"{self.name(at)} must be a table, got {shown(content)}")
        self._owners[at] = owner
        known, hints = self.fields_at(at), typing.get_type_hints(owner)
        for key, value in content.items():
            if key not in known:
                raise ValueError(f"{self.name((*at, key))} is unknown; known are {', '.join(sorted(known))}")
            self._value(value, hints[key], (*at, key))

    def _value(self, value: Any, hint: Any, at: Path) -> None:  # noqa: ANN401
        choices = _choices(hint)
        fitting = next((choice for choice in choices if self._fits(value, _kind(choice))), None)
        if fitting is None:
            raise ValueError(f"{self.name(at)} must be {_wanted(choices)}, got {shown(value)}")
        if dataclasses.is_dataclass(fitting):
            self.check(value, fitting, at)
        elif _kind(fitting) in _LISTS:
            self._list(value, fitting, at)
        elif _kind(fitting) is typing.Literal and value not in typing.get_args(fitting):
            raise ValueError(f"{self.name(at)} must be {_wanted(choices)}, got {shown(value)}")
        elif fitting is int and float not in choices and not float(value).is_integer():
            raise ValueError(f"{self.name(at)} must be a whole number, got {shown(value)}")

    def _fits(self, value: Any, kind: Any) -> bool:  # noqa: ANN401
        """Whether a value is of a kind, whatever is in it."""
        if kind in (int, float):
            return _is_number(value) or (kind is float and self._words and value in _NOT_FINITE)
        if kind in _LISTS:
            return isinstance(value, list | tuple)
        if kind in (dict, Mapping) or dataclasses.is_dataclass(kind):
            return isinstance(value, Mapping)
        return kind is Any or isinstance(value, str if kind is typing.Literal else kind)

    def _list(self, value: Any, hint: Any, at: Path) -> None:  # noqa: ANN401
        if typing.get_origin(hint) is np.ndarray:
            self._array(value, at)
            return
        hints = typing.get_args(hint)
        if Ellipsis not in hints and typing.get_origin(hint) is tuple and len(value) != len(hints):
            raise ValueError(f"{self.name(at)} must have {len(hints)} values, got {len(value)}")
        for number, item in enumerate(value):
            self._value(item, hints[0] if Ellipsis in hints else hints[min(number, len(hints) - 1)], (*at, number))

    def _array(self, value: Any, at: Path) -> None:  # noqa: ANN401
        """Numbers, or rows of numbers of one length."""
        width = len(value[0]) if value and isinstance(value[0], list | tuple) else None
        for number, row in enumerate(value):
            if width is not None and not (isinstance(row, list | tuple) and len(row) == width):
                raise ValueError(f"{self.name((*at, number))} must be a list of {width} numbers, got {shown(row)}")
            for cell in [row] if width is None else row:
                if not self._fits(cell, float):
                    raise ValueError(f"{self.name((*at, number))} must be a number, got {shown(cell)}")


def _built(hint: Any, value: Any) -> Any:  # noqa: ANN401
    """What a hint wants, from a value that was checked."""
    choices = _choices(hint)
    for choice in choices:
        kind = _kind(choice)
        if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
            return _table(typing.cast(type, kind), value)
        if kind in _LISTS and isinstance(value, list | tuple):
            if kind is np.ndarray:
                return np.array(value, dtype=np.float64)  # which reads "inf" as well
            hints = typing.get_args(choice)
            inner = [hints[0]] * len(value) if Ellipsis in hints or kind is list else hints
            items = [_built(part, item) for part, item in zip(inner, value, strict=True)]
            return items if kind is list else tuple(items)
    if float in choices and int not in choices and (_is_number(value) or str not in choices):
        return value if value is None else float(value)
    return int(value) if int in choices and float not in choices and isinstance(value, float) else value


def _table(owner: type, content: Mapping[str, Any]) -> Any:  # noqa: ANN401
    hints = typing.get_type_hints(owner)
    for field in dataclasses.fields(owner):
        if field.name not in content and field.default is field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{field.name} is missing")
    return owner(**{key: _built(hints[key], value) for key, value in content.items()})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(choice: Any) -> Any:  # noqa: ANN401
    return typing.get_origin(choice) or choice


def _choices(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The parts of a union, in order."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _wanted(choices: tuple[Any, ...]) -> str:
    found = []
    for choice in choices:
        kind = _kind(choice)
        inner = [part for part in typing.get_args(choice) if part is not Ellipsis]
        if kind in _LISTS:
            found.append("a list of tables" if inner and dataclasses.is_dataclass(inner[0]) else "a list")
        elif kind is typing.Literal:
            found.append("one of " + ", ".join(map(str, inner)))
        elif kind is not type(None):
            found.append(_NAMES.get(kind, "a table"))
    return " or ".join(dict.fromkeys(found))
