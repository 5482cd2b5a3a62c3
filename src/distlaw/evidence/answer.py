"""What an answer may be besides a number: a verdict, or that the runs do not tell."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "does not hold", "undecided"]

LEVEL = 0.9
"""Coverage of every interval in this room."""


@dataclass(frozen=True, kw_only=True)
class CannotSay:
    """A question that the runs cannot answer.

    Attributes:
        because: What is missing, in words.
    """

    because: str
