"""Sizes as people write them: 1.5B parameters, 300M, 2T tokens, 1e22 FLOPs."""

import math
import re

from distlaw.reading import one_line
from distlaw.runs.commas import comma_of, either

_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15}
LEAST, MOST = 1e-9, 1e40
_NUMBER = re.compile(
    r"(?P<number>(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d*)?|\.\d+)(?P<exponent>e[+-]?\d{1,4})?\s*(?P<suffix>[kmbgtp]?)",
    re.IGNORECASE | re.ASCII,
)
_SIGNED_OR_SPECIAL = re.compile(r"[+-]?(?:\d.*|\.\d.*|nan|inf(?:inity)?)", re.IGNORECASE | re.ASCII)


def parse_quantity(text: str) -> float:
    """Read a positive number with an optional suffix K, M, B (or G), T or P, in either case.

    Args:
        text: As typed: `1.5B`, `300m`, `2T`, `1e22`, `1,000,000`, `32_768`.

    Returns:
        The number, between 1e-9 and 1e40: beyond, it is a slip, and arithmetic on it overflows.

    Raises:
        ValueError: The text is no such number, or may be two, as `3,876`; says what would be right.

    >>> parse_quantity("1.5B"), parse_quantity("2 T"), parse_quantity("1e22")
    (1500000000.0, 2000000000000.0, 1e+22)
    """
    stripped = text.strip()
    if comma_of(stripped) == "either":
        raise ValueError(either(stripped))
    match = _NUMBER.fullmatch(stripped)
    if match is None:
        shown = one_line(stripped, 40)
        if _SIGNED_OR_SPECIAL.fullmatch(stripped) and re.match(r"-|\+?(?:nan|inf)", stripped, re.IGNORECASE):
            raise ValueError(f"'{shown}' is not a finite number above 0")
        raise ValueError(f"'{shown}' is not a number such as 1.5B, 300M, 2T or 1e22")
    digits = match["number"].replace(",", "").replace("_", "")
    value = float(digits + (match["exponent"] or "")) * _SUFFIXES[match["suffix"].lower()]
    if value <= 0:
        raise ValueError(f"'{one_line(stripped, 40)}' is not a finite number above 0")
    if not LEAST <= value <= MOST:
        raise ValueError(
            f"'{one_line(stripped, 40)}' is too large or too small for any size:"
            f" it must lie between {LEAST:g} and {MOST:g}"
        )
    return value


def format_duration(seconds: float) -> str:
    """A time as people say it.

    >>> format_duration(3), format_duration(41.2), format_duration(131), format_duration(5e4), format_duration(1e7)
    ('a few seconds', '41 s', '2.2 min', '14 h', '2,778 h')
    """
    if seconds < 10:
        return "a few seconds"
    if seconds < 100:
        return f"{seconds:.0f} s"
    value, unit = (seconds / 60, "min") if seconds < 6000 else (seconds / 3600, "h")
    return f"{value:.2g} {unit}" if value < 10 else f"{value:,.0f} {unit}"


def format_quantity(value: float, digits: int = 3) -> str:
    """Write a size the way it is read: three significant digits and a suffix up to T, powers of ten beyond.

    >>> format_quantity(1.5e9), format_quantity(999.96e9), format_quantity(1e22)
    ('1.5B', '1T', '1e+22')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "inf"
    rounded = float(f"{value:.{digits}g}")
    if 0 < rounded < 1e15:
        for suffix, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
            if rounded >= unit:
                return f"{rounded / unit:.{digits}g}{suffix}"
    return f"{rounded:.{digits}g}"


def counted(number: int, thing: str, things: str = "") -> str:
    """A number of things, in words.

    >>> counted(1, "run"), counted(2400, "run"), counted(0, "pass", "passes")
    ('1 run', '2,400 runs', '0 passes')

    Args:
        number: How many.
        thing: One of them.
        things: Several, where that is not one with an s.
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
