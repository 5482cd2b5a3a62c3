import pytest

from distlaw.reading import DEEPEST, json_object, read_json, read_toml, toml_table

DEEP = "is nested more than 100 deep"


def nested(depth, start="[", middle="", end="]"):
    return start * depth + middle + end * depth


@pytest.mark.parametrize("depth", [101, 5000, 200_000])
def test_what_is_nested_too_deep_is_refused_in_no_time(depth):
    for text in (nested(depth), nested(depth, '{"a":', "1", "}"), nested(depth, '{"a":[', "", "]}")):
        with pytest.raises(ValueError, match=DEEP):
            json_object(f'{{"x": {text}}}')
    dotted = ".".join(["a"] * depth)
    for text in (f"x = {nested(depth)}", f"x = {nested(depth, '{a=', '1', '}')}", f"{dotted} = 1", f"[{dotted}]"):
        with pytest.raises(ValueError, match=DEEP):
            toml_table(text)
    with pytest.raises(ValueError, match=DEEP):
        toml_table("x = {" + dotted.replace("a", "'a'") + " = 1}")


def test_what_people_nest_is_read():
    assert json_object(nested(DEEPEST - 1, '{"a":', "1", "}"))
    assert toml_table("a.b.c = [[[1]]]\nd = 'www.a.b.c'") == {"a": {"b": {"c": [[[1]]]}}, "d": "www.a.b.c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [0, 1e400]}', r"has a number that is not finite or too large: a\.1"),
        ('{"a": {"b": NaN}}', r"has a number that is not finite or too large: a\.b"),
        ('{"a": -Infinity}', r"has a number that is not finite or too large: a$"),
        ('{"a": ' + "9" * 400 + "}", "has a number that is not finite or too large: a"),
        ('{"a": ' + "9" * 10_000 + "}", "has a number that is not finite or too large: a"),
        ('{"a": {"b": 1, "b": 2}}', "has the key 'b' twice in one object"),
        ('{"a": "\\ud800"}', "has text that is not Unicode: a"),
        ('{"\\ud800": 1}', "has text that is not Unicode"),
        ("[1]", "is not a JSON object"),
        ('{"a": ', "is not JSON"),
        ("", "is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8 text"),
    ],
)
def test_json_of_ours_is_strict(text, message):
    with pytest.raises(ValueError, match=message) as error:
        json_object(text)
    assert "\n" not in str(error.value)


def test_json_of_others_may_have_what_python_writes():
    assert json_object('{"a": Infinity, "a": [1, 1e400]}', foreign=True) == {"a": [1, float("inf")]}
    with pytest.raises(ValueError, match=DEEP):
        json_object(f'{{"x": {nested(5000)}}}', foreign=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nb = 2020-01-01", r"has a date or time: a\.b"),
        ("a = nan", "has nan where a number should stand: a"),
        ("a = 1e400", "is not TOML .1e400 is too large"),
        ("a = [1, 9223372036854775808]", r"has a whole number beyond 64 bits: a\.1"),
        ("\na = " + "9" * 10_000, "has a whole number beyond 64 bits in line 2"),
        ("a = 0x" + "f" * 10_000, "has a whole number beyond 64 bits: a"),
        ("a = ", "is not TOML"),
        ("a = 1\na = 2", "is not TOML"),
    ],
)
def test_toml_is_strict(text, message):
    with pytest.raises(ValueError, match=message) as error:
        toml_table(text)
    assert "\n" not in str(error.value)
    assert toml_table("a = [1, inf, 0.5]") == {"a": [1, float("inf"), 0.5]}


def test_a_file_is_named_with_what_is_wrong_with_it(tmp_path):
    file = tmp_path / "a\nb.json"
    with pytest.raises(ValueError, match=r"^law file '.*/a b.json' cannot be read \(No such file or directory\)$"):
        read_json(file, "law file")
    file.mkdir()
    with pytest.raises(ValueError, match=r"^law file '.*/a b.json' cannot be read \(Is a directory\)$"):
        read_json(file, "law file")
    for name in ("a\0b", "a" * 300):
        with pytest.raises(ValueError, match="cannot be read"):
            read_json(tmp_path / name, "law file")
    large = tmp_path / "large.toml"
    large.write_text("#" * (2**20 + 1))
    with pytest.raises(ValueError, match=r"^config '.*large.toml' is larger than 1 MiB$"):
        read_toml(large, "config")
    large.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(large, "config") == {"a": 1}
    large.write_bytes(b"a = '\xff'")
    with pytest.raises(ValueError, match=r"^config '.*large.toml' is not UTF-8 text \(byte 6\)$"):
        read_toml(large, "config")
