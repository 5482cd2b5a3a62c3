"""Which column of a file is which: as a user says, else by name or alias, in any case."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from distlaw.reading import one_line
from distlaw.runs.quantity import parse_quantity

NONE = "-"
"""Said of a column: the table shall not have it."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column that a table may have.

    Attributes:
        name: Its name, with the unit in words (`student_params`, `student_tokens`, losses in nats per token).
        aliases: Other names that mean the same. A name in another case counts where none is in this one.
        required: Whether the table must have it, filled in every row.
        unless: A column that makes up for it where it is missing.
        read: Turns the text of a cell into a value, or raises ValueError.
        words: Whether cells are words, in which a comma is no part of a number.
        rival: What another column is called that may be meant instead, lower case with underscores.
    """

    name: str
    aliases: tuple[str, ...] = ()
    required: bool = False
    unless: str = ""
    read: Callable[[str], float] | Callable[[str], str] = parse_quantity
    words: bool = False
    rival: str = ""


def match_columns(
    header: Sequence[str], columns: Sequence[Column], said: Mapping[str, str], choose: str = ""
) -> dict[str, str]:
    """What a file calls each of the columns that it has.

    >>> columns = (Column(name="student_params", aliases=("N",)), Column(name="student_loss", aliases=("loss",)))
    >>> match_columns(["n", "Loss", "val_loss"], columns, {"student_loss": "val_loss"})
    {'student_loss': 'val_loss', 'student_params': 'n'}

    Args:
        header: Names in the file.
        columns: What is looked for, required or not.
        said: What a user says that the file calls some of them, or `-` where it shall not have one.
        choose: How a user says so, for messages; empty: not at all.

    Raises:
        ValueError: A column that was said is not there, or two may be meant; names them.
    """
    found = {column.name: _said(header, column.name, said[column.name]) for column in columns if column.name in said}
    free = [name for name in header if name not in found.values()]
    for column in columns:
        if column.name in found:
            continue
        named = _named(free, (column.name, *column.aliases))
        rivals = [name for name in free if name not in named and column.rival and re.search(column.rival, plain(name))]
        how = f", or say which with {choose} {column.name}=NAME" if choose else ""
        if named and rivals:
            raise ValueError(
                f"columns {_listed([named[0], rivals[0]])} may both be {column.name}, parameters without embeddings;"
                f" keep the one that is{how}"
            )
        named = named or rivals
        if len(named) > 1:
            raise ValueError(f"columns {_listed(named)} both mean {column.name}; keep one{how}")
        if named:
            found[column.name] = named[0]
    return {name: column for name, column in found.items() if column != NONE}


def require_columns(header: Sequence[str], columns: Sequence[Column], found: Mapping[str, str], choose: str) -> None:
    """Check that a file has what it must have.

    Raises:
        ValueError: It has not; names what is missing with its aliases, and what there is.
    """
    missing = [c for c in columns if c.required and c.name not in found and c.unless not in found]
    if missing:
        wanted = ", ".join(f"{c.name} (or {', '.join(c.aliases)})" if c.aliases else c.name for c in missing)
        how = f"; say which it is with {choose} {missing[0].name}=NAME" if choose and any(header) else ""
        raise ValueError(f"missing column {wanted}; the table has {one_line(', '.join(header)) or 'no columns'}{how}")


def column_named(text: str, columns: Sequence[Column]) -> str | None:
    """The name of the column that a name or alias in any case means; None where there is none.

    >>> column_named("n", (Column(name="student_params", aliases=("N",)),))
    'student_params'
    """
    exact = [column.name for column in columns if text.strip() in (column.name, *column.aliases)]
    alike = [c.name for c in columns if plain(text) in {plain(name) for name in (c.name, *c.aliases)}]
    return next(iter([*exact, *alike]), None)


def plain(name: str) -> str:
    """A name in lower case, with underscores for spaces and hyphens."""
    return re.sub(r"[\s\-_]+", "_", name.strip()).casefold()


def _named(header: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names of a header that are among these: as they stand or, where none is, in any case."""
    exact = [name for name in header if name.strip() in names]
    alike = {plain(name) for name in names}
    return exact or [name for name in header if plain(name) in alike]


def _said(header: Sequence[str], column: str, name: str) -> str:
    if name == NONE:
        return NONE
    found = [one for one in header if one == name] or _named(header, (name.strip(),))
    if len(found) != 1:
        what = "is not in this table" if not found else "stands in this table more than once"
        raise ValueError(
            f"column '{one_line(name, 60)}' for {column} {what}; it has {one_line(', '.join(header)) or 'no columns'}"
        )
    return found[0]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"'{one_line(name, 60)}'" for name in names[:_SHOWN])
