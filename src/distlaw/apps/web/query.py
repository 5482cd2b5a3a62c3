"""Questions as addresses: the inputs of a tab are texts by name and stand in the query as people write them."""

import csv
import io
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlencode

from distlaw.runs import one_line

Row = tuple[str, ...]

LONGEST = 8000
"""Characters of a query that is read."""
LONGEST_TEXT = 200
MOST_ROWS = 12
_MOST_PAIRS = 100


@dataclass(frozen=True, kw_only=True)
class Question:
    """Inputs of a tab. A field is a text, or rows of texts where several things of a kind are asked about.

    Attributes:
        CHOICES: Of fields that take one of a few words, these words.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def of(cls, values: list[Any]) -> Self:
        """A question from what the page's controls hold, in the order of `names`, cut to what they let one write."""
        given = {}
        for field, value in zip(fields(cls), values, strict=True):
            if _has_rows(field):
                given[field.name] = tuple(tuple(map(_cut, row[:MOST_ROWS])) for row in (value or ())[:MOST_ROWS])
            else:
                given[field.name] = "" if value is None else _cut(value)
        return cls(**given)

    def to_query(self) -> str:
        """The question as a query, without what is as it is by default and without the question mark."""
        pairs = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            pairs += [(_key(field), text) for text in (map(_line, value) if _has_rows(field) else [value])]
        return urlencode(pairs)

    @classmethod
    def from_query(cls, query: str) -> tuple[Self, list[str]]:
        """Read a query, however old or damaged it is.

        Returns:
            The question, what could not be read being as it is by default, and a sentence for each thing that was not.
        """
        if len(query) > LONGEST:
            return cls(), [f"the link is longer than {LONGEST} characters and was not read"]
        try:
            pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True, max_num_fields=_MOST_PAIRS)
        except ValueError:
            return cls(), [f"the link has more than {_MOST_PAIRS} parts and was not read"]
        known, given, problems = {_key(field): field for field in fields(cls)}, {}, []
        for key, text in pairs:
            field = known.get(key)
            if field is None:
                problems.append(f"the link's '{one_line(key, 40)}' is not known here and was left out")
            elif len(text) > LONGEST_TEXT or not text.isprintable():
                problems.append(f"the link's '{key}' is too long or not printable and was left out")
            elif _has_rows(field):
                given.setdefault(field.name, []).append(_cells(text))
            elif field.name in given:
                problems.append(f"the link gives '{key}' twice; the first is taken")
            elif (words := cls.CHOICES.get(field.name)) is None:
                given[field.name] = text
            elif text.lower() in words:
                given[field.name] = text.lower()
            else:
                listed, taken = (
                    ", ".join(word or "nothing" for word in some) for some in (words, [str(field.default)])
                )
                problems.append(
                    f"the link's {key} '{one_line(text, 40)}' is unknown; it is one of {listed}; {taken} is taken"
                )
        for name, value in given.items():
            if isinstance(value, list):
                if len(value) > MOST_ROWS:
                    problems.append(f"the link has {len(value)} rows of {name}; the first {MOST_ROWS} are taken")
                given[name] = tuple(value[:MOST_ROWS])
        return cls(**given), problems


def _cut(value: object) -> str:
    return str(value)[:LONGEST_TEXT]


def _key(field: "Field[Any]") -> str:
    return field.name.replace("_", "-")


def _has_rows(field: "Field[Any]") -> bool:
    return isinstance(field.default, tuple)


def _line(row: Row) -> str:
    """A row as a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def _cells(line: str) -> Row:
    return tuple(next(csv.reader([line]), ()))
