import hashlib
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.train import blocks as module
from distlaw.train.blocks import Blocks, BlockWriter, token_dtype


def write(path, documents, *, context=4, vocab_size=512):
    with BlockWriter(path, context=context, vocab_size=vocab_size) as writer:
        for document in documents:
            writer.add(document)
        return writer.index()


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(module, "_PAGE_BYTES", 64)


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 511), max_size=60), max_size=20), st.integers(1, 9), st.sampled_from([1, 32, 4096])
)
def test_blocks_predict_every_token_of_the_stream_once(tmp_path_factory, documents, context, page_bytes):
    path = tmp_path_factory.mktemp("blocks") / "b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PAGE_BYTES", page_bytes)
        index = write(path, documents, context=context)
    stream = list(itertools.chain(*documents))
    number = max(0, (len(stream) - 1) // context)
    assert index.blocks == number
    if number:
        read = Blocks(path, index, context=context, vocab_size=512).read(range(number))
        assert read.tolist() == [stream[i * context : (i + 1) * context + 1] for i in range(number)]
        assert read[:, 1:].ravel().tolist() == stream[1 : number * context + 1]


@pytest.mark.usefixtures("small_pages")
def test_whole_blocks_are_written_as_they_are(tmp_path):
    given_blocks = np.arange(100).reshape(20, 5)
    with BlockWriter(tmp_path / "b", context=4, vocab_size=512) as writer:
        for some in np.split(given_blocks, [3, 4, 15]):
            writer.add_blocks(some)
        index = writer.index()
    blocks = Blocks(tmp_path / "b", index, context=4, vocab_size=512)
    assert np.array_equal(blocks.read(np.arange(20)), given_blocks)
    assert len(index.pages) == 4  # of 6 blocks, of 10 bytes each
    assert index.pages[0] == hashlib.sha256(given_blocks[:6].astype("<u2").tobytes()).hexdigest()


def test_blocks_are_read_in_any_order_and_counted(tmp_path):
    index = write(tmp_path / "b", [range(101)], context=10)
    blocks = Blocks(tmp_path / "b", index, context=10, vocab_size=512)
    read = blocks.read(np.array([7, 0, 7]))
    assert read.dtype == np.int64
    assert read.flags.writeable
    assert read[:, 0].tolist() == [70, 0, 70]
    assert blocks.read([]).shape == (0, 11)
    assert (len(blocks), blocks.tokens) == (10, 100)
    assert blocks.epochs_used(250) == 2.5
    for outside in (10, -1):
        with pytest.raises(ValueError, match=f"has blocks 0 to 9, not {outside}"):
            blocks.read([3, outside])


def test_large_vocabularies_take_four_bytes(tmp_path):
    assert token_dtype(1 << 16) == np.dtype("<u2")
    index = write(tmp_path / "b", [[65_535, 65_536, 100_000]], context=2, vocab_size=100_001)
    assert (tmp_path / "b").stat().st_size == 12
    blocks = Blocks(tmp_path / "b", index, context=2, vocab_size=100_001)
    assert blocks.read([0]).tolist() == [[65_535, 65_536, 100_000]]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("at", [0, 63, 500, 999])
def test_a_flipped_byte_is_found_before_its_page_is_used_and_named(tmp_path, at):
    index = write(tmp_path / "b", [np.arange(401) % 500])
    data = bytearray((tmp_path / "b").read_bytes())
    data[at] ^= 1
    (tmp_path / "b").write_bytes(data)
    blocks = Blocks(tmp_path / "b", index, context=4, vocab_size=512)
    bad = at // 10
    sound = [number for number in range(100) if number // 6 != bad // 6]
    assert len(blocks.read(sound)) == len(sound)
    named = f"'{tmp_path / 'b'}' is damaged: blocks {bad // 6 * 6} to "
    for _ in range(2):  # a caller that goes on in spite of it is told again
        with pytest.raises(ValueError, match=re.escape(named)):
            blocks.read([bad])
    with pytest.raises(ValueError, match=re.escape(named)):
        blocks.verify()


@pytest.mark.usefixtures("small_pages")
def test_a_page_is_hashed_once_and_only_when_it_is_needed(tmp_path, monkeypatch):
    index = write(tmp_path / "b", [np.arange(401) % 500])
    blocks = Blocks(tmp_path / "b", index, context=4, vocab_size=512)
    hashed = []
    monkeypatch.setattr(module.hashlib, "sha256", lambda data: hashed.append(len(data)) or hashlib.new("sha256", data))
    for _ in range(3):
        blocks.read([0, 5, 99])
    assert hashed == [6, 4]
    blocks.verify()
    assert sum(hashed) == 100


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_a_file_of_the_wrong_size_is_not_opened(tmp_path, change):
    index = write(tmp_path / "b", [range(401)])
    (tmp_path / "b").write_bytes(change((tmp_path / "b").read_bytes()))
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path / 'b'))}' has \d+ bytes .* 1000; delete"):
        Blocks(tmp_path / "b", index, context=4, vocab_size=512)


def test_a_missing_file_is_named(tmp_path):
    index = write(tmp_path / "b", [range(401)])
    with pytest.raises(ValueError, match=r"no-such' cannot be read \(No such file"):
        Blocks(tmp_path / "no-such", index, context=4, vocab_size=512)


def test_ids_beyond_the_vocabulary_do_not_wrap_around(tmp_path):
    with BlockWriter(tmp_path / "b", context=4, vocab_size=512) as writer, pytest.raises(OverflowError):
        writer.add([65_536])
