"""Values that nobody expects, and how they are written in JSON and in TOML."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

DEEP = 5000


@dataclass(frozen=True)
class Raw:
    """Text that stands in a document as it is, where Python has no value for it."""

    json: str
    toml: str


@dataclass(frozen=True)
class Pairs:
    """An object whose keys may stand twice."""

    pairs: tuple[tuple[str, Any], ...]


def nested(depth: int) -> list[Raw]:
    """Lists in lists, and objects in objects."""
    lists = "[" * depth + "]" * depth
    return [
        Raw(lists, lists),
        Raw('{"a":' * depth + "1" + "}" * depth, "{a=" * depth + "1" + "}" * depth),
        Raw('{"a":[' * depth + "]}" * depth, "{a=[" * depth + "]}" * depth),
        Raw('{"a":' * depth + "1" + "}" * depth, "{" + ".".join(["a"] * depth) + "=1}"),
    ]


NUMBERS: tuple[Any, ...] = (
    *(
        0,
        1,
        -1,
        2,
        3,
        7,
        255,
        2**31,
        2**53 + 1,
        2**63 - 1,
        2**63,
        -(2**63),
        10**12,
        10**18,
        10**40,
        10**400,
        -(10**400),
    ),
    *(0.0, -0.0, 0.5, 1.5, -0.5, 1e-9, 5e-324, 1e308, -1e308, 1e18, 0.1 + 0.2),
    Raw("NaN", "nan"),
    Raw("Infinity", "inf"),
    Raw("-Infinity", "-inf"),
    Raw("1e400", "1e400"),
    Raw("9" * 5000, "9" * 5000),
    Raw("1e99999999", "1e99999999"),
    Raw("0.000000000000000000000000000000000000000000000001e-400", "1e-400"),
    Raw("-0", "-0"),
)
TEXTS: tuple[str, ...] = (
    *(
        "",
        " ",
        "x",
        "0",
        "1",
        "-1",
        "1.5",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "true",
        "null",
        "None",
        "1B",
        "300M",
        "1e22",
        "9" * 400,
    ),
    *(
        "a\nb",
        "a\tb",
        "\x1b[31mred",
        "\x00",
        "a\x00b",
        "\ud800",
        "\udcff",
        "ü𝒩",
        "‮abc",
        "{}",
        "[]",
        "[red]x[/red]",
        "[/]",
    ),
    *(
        "/",
        ".",
        "..",
        "/dev/null",
        "/proc/self/mem",
        "../../x",
        "a" * 300,
        "a/" * 3000 + "x",
        "~",
        "$HOME",
        "%s%n",
        "*",
        "a,b",
        "=",
        "a=b",
    ),
    *(
        "٣",
        "½",
        "1_000",
        "1,000",
        "0x10",
        "1e5",
        "\u0661e\u0665",
        "\u22121",
        "\uff11\uff22",
        "w" * 100_000,
        "config.json",
        "x.json",
        "s3://x/y",
        "memory://x",
    ),
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [None],
    [[]],
    {"": None},
    [1, 2],
    [1, 2, 3],
    ["a", "b"],
    [0] * 3000,
    {"a": 1},
    {"x": {"y": 1}},
    [True, "1", None, 2.0],
    Raw("{}", "2020-01-01"),
    Raw("[]", "07:32:00"),
    Raw("{}", "2020-01-01T00:00:00Z"),
)


def value(rng: Random) -> Any:
    """Some value of some type."""
    kind = rng.random()
    if kind < 0.04:
        return rng.choice(nested(rng.choice((30, 80, 200, 1000, DEEP))))
    return rng.choice(rng.choice((NUMBERS, NUMBERS, TEXTS, OTHERS)))


def json_text(content: Any) -> str:
    """JSON of values, with what is raw as it is."""
    if isinstance(content, Raw):
        return content.json
    if isinstance(content, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {json_text(item)}" for key, item in content.pairs) + "}"
    if isinstance(content, dict):
        return json_text(Pairs(tuple(content.items())))
    if isinstance(content, list | tuple):
        return "[" + ", ".join(map(json_text, content)) + "]"
    if isinstance(content, int) and not isinstance(content, bool):
        return str(content)
    return json.dumps(content)


def toml_text(content: Any, *, top: bool = True) -> str:
    """TOML of values, tables inline; what TOML has no word for is left out."""
    if isinstance(content, Raw):
        return content.toml
    if isinstance(content, dict | Pairs):
        pairs = content.pairs if isinstance(content, Pairs) else content.items()
        words = [f"{_toml_string(key)} = {toml_text(item, top=False)}" for key, item in pairs if item is not None]
        return "\n".join(words) + "\n" if top else "{" + ", ".join(words) + "}"
    if isinstance(content, list | tuple):
        return "[" + ", ".join(toml_text(item, top=False) for item in content if item is not None) + "]"
    if isinstance(content, str):
        return _toml_string(content)
    return str(content).lower() if isinstance(content, bool) else repr(content)


def _toml_string(text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(
        f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 else c for c in escaped
    )


Writer = Callable[[Any], str]
