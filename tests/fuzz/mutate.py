"""Mutations of values in a tree, of bytes, and of where a file lies."""

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import hostile
from tests.fuzz.hostile import Pairs, Writer

Step = str | int


def paths(content: Any, at: tuple[Step, ...] = ()) -> list[tuple[Step, ...]]:
    """Where every value of a tree stands, the root first."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [at, *(path for key, item in items for path in paths(item, (*at, key)))]


def changed(content: Any, path: tuple[Step, ...], new: Any) -> Any:
    """A copy of a tree with another value somewhere."""
    if not path:
        return new
    copy = list(content) if isinstance(content, list) else dict(content)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)  # type: ignore[index]
    return copy


def tree(rng: Random, content: Any) -> Any:
    """One to three changes: a value of another type, a key that is gone, new or renamed, a list cut or grown."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = paths(content) if isinstance(content, dict | list) else [()]
        path = rng.choice(places)
        old = content
        for step in path:
            old = old[step]
        content = changed(content, path, _other(rng, old))
        if isinstance(content, Pairs):  # nothing below it can be found any more
            break
    return content


def _other(rng: Random, old: Any) -> Any:
    way = rng.random()
    if isinstance(old, dict) and old and way < 0.5:
        key = rng.choice(list(old))
        rest = {name: item for name, item in old.items() if name != key}
        if way < 0.2:
            return rest
        if way < 0.3:
            return {**old, rng.choice(hostile.TEXTS): hostile.value(rng)}
        if way < 0.4:
            return {**rest, rng.choice((key.upper(), key + "_", "", "." + key)): old[key]}
        return {**old, key: hostile.value(rng)}
    if isinstance(old, list) and old and way < 0.5:
        return rng.choice((old[:-1], old + old, old[:1], [*old, hostile.value(rng)], [old], old * 40))
    if isinstance(old, int | float) and not isinstance(old, bool) and way < 0.4:
        new = max(min(old, 1e200), -1e200) * rng.choice((0, -1, 10, 1e-3, 1e6, 1e12, 1e30, 1.0001))
        return new if isinstance(old, float) or rng.random() < 0.3 else int(new)
    if isinstance(old, str) and way < 0.2:
        return old[: rng.randrange(len(old) + 1)] + rng.choice(hostile.TEXTS)
    return hostile.value(rng)


def document(rng: Random, content: Any, write: Writer) -> bytes:
    """A document whose values were changed, or the document's bytes."""
    if rng.random() < 0.75:
        other = tree(rng, content)
        if isinstance(other, dict) and other and rng.random() < 0.03:  # a key twice
            key = rng.choice(list(other))
            other = Pairs((*other.items(), (key, hostile.value(rng))))
        return write(other).encode("utf-8", "surrogatepass")
    return raw(rng, write(content).encode())


def sealed(rng: Random, data: bytes) -> bytes:
    """A JSON file of ours, mostly with the checksum that its content has now, so that what is behind it is reached."""
    from distlaw.runs.checksum import DIGEST, FORMAT, sealed_text

    try:
        content = json.loads(data)
        if (
            rng.random() < 0.8
            and isinstance(content, dict)
            and isinstance(content.get(FORMAT), str)
            and DIGEST in content
        ):
            return sealed_text(content, content[FORMAT]).encode()
    except (ValueError, RecursionError):
        pass
    return data


def raw(rng: Random, data: bytes) -> bytes:
    """Bytes with some flipped, cut, doubled, spliced, or replaced by others."""
    way = rng.randrange(10)
    if way < 3 and data:
        found = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 5, 50))):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
        return bytes(found)
    at, to = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    if way == 3:
        return data[:at]
    if way == 4:
        return data[:at] + data[to:]
    if way == 5:
        return data[:to] + data[at:]
    if way == 6:
        odd = (
            b"\x00",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"[",
            b"{",
            b'"',
            b"\r",
            b"\n\n",
            b",",
            b";",
            b"=",
            b"1e999",
            b"-",
            b"#",
        )
        return data[:at] + rng.choice(odd) * rng.choice((1, 1, 3, 5000)) + data[at:]
    if way == 7:
        return rng.choice(
            (b"", b"\n", b"\xef\xbb\xbf", b"\x00" * 100, b"null", b"[]", b"{}", b"0", b'"x"', b"\xff" * 64)
        )
    if way == 8:
        return rng.randbytes(rng.choice((1, 10, 1000)))
    return rng.choice(
        (data.decode("utf-8", "replace").encode("utf-16"), data.replace(b"\n", b"\r\n"), data + data, data.upper())
    )


def place(rng: Random, file: Path, data: bytes) -> Path:
    """Write a file; or a folder, a link to itself or nothing in its place. Gives its path."""
    way = rng.random()
    if way < 0.96:
        if way > 0.95:
            file = file.with_name(rng.choice(("a b", "x\ny", "\udcff", "-x", "[red]", "é")) + file.suffix)
        file.write_bytes(data)
        return file
    if way < 0.97:
        file.mkdir()
    elif way < 0.98:
        file.symlink_to(file)
    elif way < 0.99:
        return file.with_name("n" * 300 + file.suffix)
    return file
