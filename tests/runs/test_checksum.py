import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.apps.cli import main
from distlaw.runs.checksum import digest_of, sealed, sealed_text, unsealed

FORM = "test-1"
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(_PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
CONTENTS = st.dictionaries(st.text().filter(lambda key: key not in ("format", "sha256")), _VALUES)


@given(content=CONTENTS)
def test_what_is_written_is_read(content):
    found = unsealed(sealed_text(content, FORM), "x.json", FORM)
    assert found == sealed(content, FORM)
    assert {key: value for key, value in found.items() if key not in ("format", "sha256")} == content


@settings(max_examples=300, deadline=None)
@given(content=CONTENTS, data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(content, data):
    whole = sealed_text(content, FORM).encode()
    flipped = bytearray(whole)
    flipped[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = unsealed(bytes(flipped), "x.json", FORM, before=(None,))
    except ValueError:
        return
    assert digest_of(found) == digest_of(json.loads(whole))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"\x00" * 20, "it is not JSON"),
        (b"", "it is not JSON"),
        (b"[1]", "it is not a JSON object"),
        (b'{"a": 1, "a": 1}', "it has the key 'a' twice"),
        (b'{"a": NaN}', "it has a number that is not finite or too large: a"),
        (b'{"a": 1e999}', "it has a number that is not finite or too large: a"),
        (b"[" * 100_000, "it is nested more than 100 deep"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "it has a number that is not finite or too large: a"),
        (b'{"format": 3}', "it does not say"),
        (b'{"format": "other"}', "it does not say"),
        (b'{"format": "test-1"}', 'it has no "sha256"'),
        (b'{"format": "test-1", "sha256": null}', "damaged or edited"),
        (b'{"sha256": "00"}', "it does not say"),
    ],
)
def test_what_is_no_such_file_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        unsealed(text, "x.json", FORM, before=(None,))


def test_files_of_older_formats_are_read_as_they_are():
    assert unsealed('{"a": 1}', "x.json", FORM, before=(None,)) == {"a": 1}
    assert unsealed('{"format": "test-0"}', "x.json", FORM, before=("test-0",)) == {"format": "test-0"}
    with pytest.raises(ValueError, match="it does not say"):
        unsealed('{"a": 1}', "x.json", FORM)


def test_layout_and_order_of_keys_are_free():
    content = sealed({"b": [1, 2.5], "a": {"ä": None}}, FORM)
    turned = json.dumps(dict(reversed(content.items())), indent=7, ensure_ascii=True)
    assert unsealed(turned, "x.json", FORM) == content


def test_keys_that_are_numbers_become_names_before_they_are_summed():
    assert unsealed(sealed_text({"a": {10: 1, 9: (1, 2)}}, FORM), "x.json", FORM)["a"] == {"9": [1, 2], "10": 1}


@pytest.mark.parametrize("text", [b"", b"\xff", b"{}", b"[]", b'{"format": "theirs"}', b'{"format": [1]}'])
def test_the_command_refuses_what_has_no_checksum(tmp_path, capsys, text):
    file = tmp_path / "x.json"
    file.write_bytes(text)
    for words in (["checksum", str(file)], ["checksum", str(file), "--accept"], ["checksum"]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert file.read_bytes() == text
