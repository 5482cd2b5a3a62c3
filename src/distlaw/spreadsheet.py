"""CSV that a spreadsheet may open: no text in it is taken for a formula."""

import re

_FORMULA = re.compile(r"'*(?:\s*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]|[\t\r\n])")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def inert(text: str) -> str:
    """A text as a cell of a CSV file: with an apostrophe before what a spreadsheet would take for a formula.

    >>> inert("=HYPERLINK(A1)"), inert("plain"), inert("-0.5")
    ("'=HYPERLINK(A1)", 'plain', '-0.5')

    Args:
        text: Of the cell. A number written as text stays as it is.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def original(cell: str) -> str:
    """The text that `inert` was given.

    >>> original(inert("=1+1")), original("'plain'")
    ('=1+1', "'plain'")

    Args:
        cell: Of a CSV file.
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
