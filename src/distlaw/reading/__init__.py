"""How text of a user's comes in: JSON and TOML within limits, and words of theirs on one line of a message.

It is below all other rooms and knows none of them.
"""

from distlaw.reading.documents import (
    DEEPEST,
    MOST_BYTES,
    MOST_TOML_BYTES,
    json_object,
    read_json,
    read_text,
    read_toml,
    toml_table,
)
from distlaw.reading.types import Path, TypeCheck, made, shown
from distlaw.reading.words import one_line

__all__ = [
    "DEEPEST",
    "MOST_BYTES",
    "MOST_TOML_BYTES",
    "Path",
    "TypeCheck",
    "json_object",
    "made",
    "one_line",
    "read_json",
    "read_text",
    "read_toml",
    "shown",
    "toml_table",
]
