"""Tables of a TOML file as a tree of dataclasses."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from distlaw.reading import Path, TypeCheck, shown

_T = TypeVar("_T")


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

    types = TypeCheck(written)
    types.check(content, owner)  # pydantic would take unknown keys, `true` for 1, and "3" for 3
    try:
        return TypeAdapter(owner).validate_python(dict(content))
    except ValidationError as errors:
        first = errors.errors()[0]
        path = _path(first["loc"], content)
        where = types.name(path)
        if first["type"] == "missing":
            raise ValueError(f"{where} is missing") from None
        message = first["msg"].removeprefix("Value error, ")
        if message == first["msg"]:  # pydantic's own
            raise ValueError(f"{where}: {message[0].lower()}{message[1:]}, got {shown(first['input'])}") from None
        named = re.match(r"\w*", message)
        inside = named is not None and named[0] in types.fields_at(path)
        raise ValueError(f"{where}{'.' if inside else ': '}{message}" if where else message) from None


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
