"""JSON files that check themselves: each holds the SHA-256 of its own content.

The digest is of the content, not of the bytes: keys may be reordered and lines laid out anew, but no value may change.
A format that has a digest is never written without one, so a file that names such a format and has none is damaged.
Only files of older formats, which never had one, are read as they are.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from distlaw.reading import json_object, toml_table

DIGEST, FORMAT = "sha256", "format"
RECORD_FORMAT = "distlaw-record-1"
"""Of the record of a run."""
UNCHECKED: Collection[str | None] = (None,)
"""What an older file says of its format: nothing."""
_HEAD = re.compile(rf'\A(?:(?:{FORMAT}|{DIGEST}) = "[^"\n]*"\n)*')


def digest_of(content: object) -> str:
    """SHA-256 of a value as canonical JSON: keys in order, no spaces; a date of TOML as its text.

    >>> digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def sealed(content: Mapping[str, Any], form: str) -> dict[str, Any]:
    """Content with the name of its format and its digest, which come first.

    Args:
        content: What JSON can hold; a format or digest in it is replaced.
        form: Name of the format.
    """
    plain: dict[str, Any] = json.loads(json.dumps(content))  # as a reader will have it: lists, names of keys
    whole = {FORMAT: form, **{key: value for key, value in plain.items() if key not in (FORMAT, DIGEST)}}
    return {FORMAT: form, DIGEST: digest_of(whole), **whole}


def sealed_text(content: Mapping[str, Any], form: str, *, indent: int | None = 1) -> str:
    """Content as the text of a JSON file that checks itself."""
    return json.dumps(sealed(content, form), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def unsealed(text: str | bytes, name: str, form: str, *, before: Collection[str | None] = ()) -> dict[str, Any]:
    """Read a JSON file that checks itself.

    Args:
        text: Of the file.
        name: What to call the file in a message.
        form: Name of the format that it must have.
        before: Older formats that had no digest and are read as they are; `None` among them: files without a format.

    Returns:
        The content, with its format and digest.

    Raises:
        ValueError: It is not JSON, of another format, or not as it was written; says so without naming the file, but
            for the command that accepts an edit.
    """
    content = parsed(text)
    require_sealed(content, name, form, before=before)
    return content


def require_sealed(
    content: Mapping[str, Any], name: str, form: str, *, before: Collection[str | None] = UNCHECKED
) -> None:
    """Check that content is what its digest says, if it has one or must have one.

    Raises:
        ValueError: See `unsealed`.
    """
    said = content.get(FORMAT)
    if said != form:
        old = said is None or isinstance(said, str)
        if DIGEST in content or not (old and said in before):
            raise ValueError(f'it does not say "{FORMAT}": "{form}"')
        return
    if DIGEST not in content:
        raise ValueError(f'it has no "{DIGEST}", which a file of format {form} has')
    if digest_of({key: value for key, value in content.items() if key != DIGEST}) != content[DIGEST]:
        raise ValueError(
            f'its content is not what its "{DIGEST}" says: it was damaged or edited; to accept an edit of your own,'
            f" run `distlaw checksum {shlex.quote(str(name))} --accept`"
        )


def without_seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content without its format and digest."""
    return {key: value for key, value in content.items() if key not in (FORMAT, DIGEST)}


def sealed_toml(text: str, form: str) -> str:
    """A TOML file with its format and digest as its first lines; those that it had are replaced, all else stays.

    Raises:
        ValueError: It is not TOML.
    """
    bare = _HEAD.sub("", text)
    content = {FORMAT: form, **_tables(bare)}
    return f'{FORMAT} = "{form}"\n{DIGEST} = "{digest_of(content)}"\n{bare}'


def unsealed_toml(text: str, name: str, form: str) -> dict[str, Any]:
    """Content of a TOML file without its format and digest; one that has neither is a user's own and is not checked.

    Args:
        text: Of the file.
        name: What to call the file in a message.
        form: Name of the format.

    Raises:
        ValueError: It is not TOML, of another format, or not as it was written.
    """
    content = _tables(text)
    require_sealed(content, name, form, before=UNCHECKED)
    return without_seal(content)


def parsed(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object, strictly: no number that is not finite, and no key twice.

    Raises:
        ValueError: It is none; says why, without naming the file.
    """
    try:
        return json_object(text)
    except ValueError as error:
        raise ValueError(f"it {error}") from None


def _tables(text: str) -> dict[str, Any]:
    try:
        return toml_table(text)
    except ValueError as error:
        raise ValueError(f"it {error}") from None
