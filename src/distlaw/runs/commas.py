"""Commas in numbers: `1,234,567` has thousands, `3,87` is a decimal, and `3,876` may be either."""

import re
from typing import Literal

from distlaw.reading import one_line

Comma = Literal["decimal", "thousands", "either"]

_TAIL = r"(?P<tail>(?:e[+-]?\d{1,4})?\s*[kmbgtp]?)"
_FLAGS = re.IGNORECASE | re.ASCII
_THOUSANDS = re.compile(rf"[1-9]\d{{0,2}}(?:(?:,\d{{3}}){{2,}}(?:\.\d*)?|,\d{{3}}\.\d*){_TAIL}", _FLAGS)
_EITHER = re.compile(rf"[1-9]\d{{0,2}},\d{{3}}{_TAIL}", _FLAGS)
_DECIMAL = re.compile(rf"(?P<whole>\d*|[1-9]\d{{0,2}}(?:\.\d{{3}})+),(?P<part>\d+){_TAIL}", _FLAGS)
_POINTS = re.compile(rf"[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}{_TAIL}", _FLAGS)
_ONE_POINT = re.compile(rf"[1-9]\d{{0,2}}\.\d{{3}}{_TAIL}", _FLAGS)


def comma_of(text: str) -> Comma | None:
    """What the commas of a number stand for; None where it has none, or is no number.

    >>> [comma_of(text) for text in ("1,234,567", "1,234.5M", "3,87", "0,876", "1.234,5", "3,876", "3.876")]
    ['thousands', 'thousands', 'decimal', 'decimal', 'decimal', 'either', None]
    """
    if "," not in text:
        return None
    if _THOUSANDS.fullmatch(text):
        return "thousands"
    if _EITHER.fullmatch(text):
        return "either"
    return "decimal" if _DECIMAL.fullmatch(text) else None


def either(text: str) -> str:
    """Why a number such as `3,876` is refused."""
    shown = one_line(text, 40)
    plain, joined = shown.replace(",", "."), shown.replace(",", "").replace(".", "")
    return f"'{shown}' may be {plain} or {joined}: write it without separators of thousands, with a decimal point"


def with_point(text: str, comma: Comma | None) -> str:
    """A number with a decimal point, and without separators of thousands where its column has decimal commas.

    >>> with_point("3,876", "decimal"), with_point("1.234,5", "decimal"), with_point("3,876", "thousands")
    ('3.876', '1234.5', '3876')

    Args:
        text: Of a cell; what is no number comes back as it is.
        comma: What a comma stands for in its column: `either` where this is not known.

    Raises:
        ValueError: The number may be two; says how to write it.
    """
    kind = comma_of(text)
    if _POINTS.fullmatch(text):
        return text.replace(".", "")
    if kind is None:
        if comma == "decimal" and _ONE_POINT.fullmatch(text):
            raise ValueError(either(text))
        return text
    if kind == "either" and comma in (None, "either"):
        raise ValueError(either(text))
    if kind == "thousands" or comma == "thousands":
        return text.replace(",", "")
    return text.replace(".", "").replace(",", ".")
