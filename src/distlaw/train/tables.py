"""Tables of a TOML file as a tree of dataclasses: every key known, every value of its type."""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from distlaw.reading import one_line

_T = TypeVar("_T")
Path = tuple[str | int, ...]
"""Where something stands in nested tables: keys, and positions in lists."""


def checked(owner: type[_T], content: Mapping[str, Any], written: Callable[[Path], Path] = lambda path: path) -> _T:
    """A tree of dataclasses from nested tables.

    Args:
        owner: The dataclass of the outermost table.
        content: The tables.
        written: Where a user wrote what stands somewhere in `content`, for messages.

    Raises:
        ValueError: A key is unknown, or a value is wrong; names it.
    """
    from pydantic import TypeAdapter, ValidationError

    types_of_tables = _Types(written)
    types_of_tables.check(content, owner, ())
    try:
        return TypeAdapter(owner).validate_python(dict(content))
    except ValidationError as errors:
        first = errors.errors()[0]
        path = _path(first["loc"], content)
        where = types_of_tables.name(path)
        if first["type"] == "missing":
            raise ValueError(f"{where} is missing") from None
        message = first["msg"].removeprefix("Value error, ")
        if message == first["msg"]:  # pydantic's own
            raise ValueError(f"{where}: {message[0].lower()}{message[1:]}, got {shown(first['input'])}") from None
        named = re.match(r"\w*", message)
        inside = named is not None and named[0] in types_of_tables.fields_at(path)
        raise ValueError(f"{where}{'.' if inside else ': '}{message}" if where else message) from None


def shown(value: object) -> str:
    """A value for a message, as TOML has it."""
    return str(value).lower() if isinstance(value, bool) else one_line(repr(value), 60)


class _Types:
    """Checks what pydantic lets pass: unknown keys of dataclasses, `true` for 1, and "3" for 3."""

    def __init__(self, written: Callable[[Path], Path]) -> None:
        self._written = written
        self._owners: dict[Path, type] = {}

    def name(self, path: Path) -> str:
        """Where a user wrote what stands there."""
        return one_line(".".join(map(str, self._written(path))), 80)

    def fields_at(self, path: Path) -> set[str]:
        """Keys that the table there may have."""
        return {field.name for field in dataclasses.fields(self._owners[path])} if path in self._owners else set()

    def check(self, content: Mapping[str, Any], owner: type, at: Path) -> None:
        """Every key is a field and every value of its type.

        Raises:
            ValueError: One is not; names it.
        """
        self._owners[at] = owner
        known, hints = self.fields_at(at), typing.get_type_hints(owner)
        for key, value in content.items():
            if key not in known:
                raise ValueError(f"{self.name((*at, key))} is unknown; known are {', '.join(sorted(known))}")
            self._value(value, hints[key], (*at, key))

    def _value(self, value: Any, hint: Any, at: Path) -> None:  # noqa: ANN401
        choices = _choices(hint)
        table = next((choice for choice in choices if dataclasses.is_dataclass(choice)), None)
        items = next((choice for choice in choices if typing.get_origin(choice) is tuple), None)
        if value is None or Any in choices:
            return
        if table is not None:
            if not isinstance(value, Mapping):
                raise ValueError(f"{self.name(at)} must be a table, got {shown(value)}")
            self.check(value, typing.cast(type, table), at)
        elif items is not None and isinstance(value, list | tuple):
            hints = [part for part in typing.get_args(items) if part is not Ellipsis]
            for number, item in enumerate(value):
                self._value(item, hints[min(number, len(hints) - 1)], (*at, number))
        elif (items is not None and len(choices) == 1) or not choices & _taken(value):
            raise ValueError(f"{self.name(at)} must be {_wanted(choices)}, got {shown(value)}")


def _choices(hint: Any) -> set[Any]:  # noqa: ANN401
    """What a type hint allows: the parts of a union; of words that are given, text."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return {str if typing.get_origin(part) is typing.Literal else typing.get_origin(part) or part for part in parts} | {
        part for part in parts if typing.get_origin(part) is tuple
    }


def _taken(value: object) -> set[Any]:
    """Types that a value may stand for; a whole number with a point is one, as 1e9."""
    if isinstance(value, bool):
        return {bool}
    if isinstance(value, int | float):
        return {int, float}
    return {str} if isinstance(value, str) else {dict} if isinstance(value, Mapping) else {type(value)}


def _wanted(choices: set[Any]) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a table"}
    found = [word for kind, word in words.items() if kind in choices]
    for choice in choices:
        if typing.get_origin(choice) is tuple:
            of_tables = dataclasses.is_dataclass(typing.get_args(choice)[0])
            found.append("a list of tables" if of_tables else "a list")
    return " or ".join(found)


def _path(location: Sequence[str | int], content: Any) -> Path:  # noqa: ANN401
    """Where in the tables an error is: pydantic's location without its names of types."""
    path: list[str | int] = []
    for number, step in enumerate(location):
        if isinstance(content, Mapping) and (step in content or number == len(location) - 1):  # or missing
            content = content.get(step)
        elif isinstance(content, list | tuple) and isinstance(step, int) and step < len(content):
            content = content[step]
        else:
            continue
        path.append(step)
    return tuple(path)
