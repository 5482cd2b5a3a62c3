import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from distlaw.train.tokenizer import (
    END_OF_TEXT,
    export_tokenizer,
    find_end_of_text,
    identity_tokenizer,
    load_tokenizer,
    tokenizer_hash,
    train_tokenizer,
    uniform_sample,
    vocabulary_size,
)

TEXTS = [f"def f{i}(x):\n    return x + {i}  # größer, 更大, 🙂\n" for i in range(200)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 300)


@given(st.text())
def test_any_text_comes_back(tokenizer, text):
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert all(0 < token < 300 for token in ids)


def test_the_size_is_as_asked_and_the_end_of_text_comes_first(tokenizer):
    assert vocabulary_size(tokenizer) == 300
    assert tokenizer.token_to_id(END_OF_TEXT) == 0
    assert vocabulary_size(train_tokenizer([], 300)) == 257
    with pytest.raises(ValueError, match="vocab_size=256"):
        train_tokenizer(TEXTS, 256)


def test_training_depends_neither_on_order_nor_on_threads_nor_on_hash_seeds(tokenizer):
    code = (
        "import sys, json; from distlaw.train.tokenizer import *;"
        "print(tokenizer_hash(train_tokenizer(json.load(sys.stdin), 300)))"
    )
    hashes = {tokenizer_hash(tokenizer), tokenizer_hash(train_tokenizer(TEXTS[::-1], 300))}
    for threads in "13":
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(TEXTS),
            env=os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(done.stdout.strip())
    assert len(hashes) == 1


def test_an_export_loads_here_and_in_transformers(tmp_path, tokenizer):
    from transformers import AutoTokenizer

    export_tokenizer(tokenizer, tmp_path / "model")
    again = load_tokenizer(tmp_path / "model")
    assert tokenizer_hash(again) == tokenizer_hash(tokenizer)
    assert find_end_of_text(again, tmp_path / "model") == END_OF_TEXT
    theirs = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert theirs.eos_token == END_OF_TEXT
    assert theirs(TEXTS[0]).input_ids == tokenizer.encode(TEXTS[0]).ids
    assert theirs.decode(theirs(TEXTS[0]).input_ids) == TEXTS[0]


def test_the_hash_goes_by_content(tmp_path, tokenizer):
    (tmp_path / "pretty.json").write_text(tokenizer.to_str(pretty=True))
    assert tokenizer_hash(load_tokenizer(tmp_path / "pretty.json")) == tokenizer_hash(tokenizer)
    assert tokenizer_hash(train_tokenizer(TEXTS, 301)) != tokenizer_hash(tokenizer)


def test_a_file_that_truncates_and_pads_does_neither_here(tmp_path, tokenizer):
    cutting = Tokenizer.from_str(tokenizer.to_str())
    cutting.enable_truncation(2)
    cutting.enable_padding(length=8)
    cutting.save(str(tmp_path / "tokenizer.json"))
    opened = load_tokenizer(tmp_path / "tokenizer.json")
    assert opened.encode(TEXTS[0]).ids == tokenizer.encode(TEXTS[0]).ids
    assert tokenizer_hash(opened) == tokenizer_hash(tokenizer)


@pytest.mark.parametrize("eos", ["<done>", {"content": "<done>", "lstrip": False}])
def test_the_end_of_text_of_another_vocabulary_is_found(tmp_path, eos):
    ours = identity_tokenizer(8)
    other = Tokenizer.from_str(ours.to_str().replace(END_OF_TEXT, "<done>"))
    with pytest.raises(ValueError, match="no token that ends a document"):
        find_end_of_text(other, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}))
    assert find_end_of_text(other, tmp_path) == "<done>"
    # A chat model's eos_token ends a turn; its vocabulary has an end of text as well.
    assert find_end_of_text(ours, tmp_path) == END_OF_TEXT
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"tokenizer_config.json' cannot be read"):
        find_end_of_text(other, tmp_path)


def test_what_is_no_tokenizer_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer '.*nowhere' cannot be read \(No such file.*leave it empty"):
        load_tokenizer(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"tokenizer '.*tokenizer.json' cannot be read"):
        load_tokenizer(tmp_path)
    for content in (b"{}", b"\xff", b"not json"):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"tokenizer.json' is not a tokenizer.json") as caught:
            load_tokenizer(tmp_path)
        assert len(str(caught.value).splitlines()) == 1


def test_the_synthetic_tokenizer_is_the_identity():
    tokenizer = identity_tokenizer(64)
    assert vocabulary_size(tokenizer) == 64
    assert tokenizer.encode("5 63 1").ids == [5, 63, 1]
    assert tokenizer.decode([5, 63, 1]) == "5 63 1"
    assert tokenizer.token_to_id(END_OF_TEXT) == 0


def test_a_sample_is_fair_and_of_the_size_that_was_asked():
    texts = [f"{i:04d}" * 25 for i in range(1000)]  # 100 bytes each
    sample = uniform_sample(texts, 20_000)
    assert sum(map(len, sample)) == 20_000
    assert set(sample) <= set(texts)
    assert len(set(sample)) == len(sample)
    places = [int(text[:4]) for text in sample]
    assert abs(sum(places) / len(places) - 499.5) < 4 * 289 / len(places) ** 0.5  # not the first ones
    assert sorted(uniform_sample(texts[::-1], 20_000)) == sorted(sample)
    assert sorted(uniform_sample(texts, 10**6)) == texts


def test_no_text_outweighs_a_sample():
    sample = uniform_sample(["ü" * 10**6, *(str(i) * 50 for i in range(100))], 1600)
    assert max(len(text.encode()) for text in sample) <= 200
    assert uniform_sample(["ü" * 10**6], 1616) == ["ü" * 50]  # not half a character
