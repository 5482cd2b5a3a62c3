import json
import re

import numpy as np
import pytest

from distlaw.train.data import Data, DataConfig, hash_of, read_manifest
from distlaw.train.prepare import prepare


@pytest.fixture
def folder(tmp_path):
    return prepare(DataConfig(source="synthetic", vocab_size=32, context=16, synthetic_tokens=20_000), tmp_path).folder


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"source": "wiki"}, "source='wiki' is not one of stdlib, debian, text, jsonl, parquet, datasets, synthetic"),
        ({"paths": ("a",)}, "paths: source='stdlib' reads no files"),
        ({"source": "text"}, "paths is empty: source='text' needs at least one"),
        ({"source": "synthetic", "tokenizer": "t"}, "tokenizer: source='synthetic' has one of its own"),
        ({"source": "synthetic", "limit_bytes": 5}, "limit_bytes=5: source='synthetic' goes by synthetic_tokens"),
        ({"source": "synthetic", "context": 8}, "context=8: source='synthetic' needs 16 or more"),
        ({"source": "synthetic", "vocab_size": 4}, "vocab_size=4"),
        ({"vocab_size": 256}, "vocab_size=256: a byte-level BPE has at least 257 tokens"),
        ({"context": 0}, "context=0 must be 1 or more"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"limit_bytes": -1}, "limit_bytes=-1 must be 0 or more"),
        ({"synthetic_tokens": 0}, "synthetic_tokens=0 must be 1 or more"),
        ({"validation_share": 0.0}, "validation_share=0 must lie between 0 and 1"),
        ({"validation_share": float("nan")}, "validation_share=nan"),
        ({"student_share": 0.97}, r"student_share=0.97 must lie between 0 and 1 - validation_share, 0.96"),
        ({"student_share": -0.1}, "student_share=-0.1"),
        ({"student_share": float("nan")}, "student_share=nan"),
    ],
)
def test_bad_configurations_are_refused(bad, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DataConfig(**bad)


def test_a_folder_opens_by_itself(folder):
    data = Data(folder)
    assert (data.vocab_size, data.context, data.end_of_text) == (32, 16, "<|endoftext|>")
    assert data.split("validation").read([0]).shape == (1, 17)
    data.verify()
    with pytest.raises(ValueError, match="split 'test' is not one of teacher, student, validation"):
        data.split("test")


def test_the_hash_covers_tokens_context_and_tokenizer(folder):
    data = Data(folder)
    manifests = [json.loads(json.dumps(data.manifest)) for _ in range(4)]
    manifests[1]["config"]["context"] = 17
    manifests[2]["tokenizer_sha256"] = "0"
    manifests[3]["splits"]["teacher"]["pages"][0] = "0"
    seen = set()
    for manifest in manifests:
        data.manifest = manifest
        vars(data).pop("hash", None)
        seen.add(data.hash)
    assert len(seen) == 4


@pytest.mark.parametrize("file", ["teacher.blocks", "student.blocks", "validation.blocks"])
def test_damaged_blocks_are_named(folder, file):
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 16
    (folder / file).write_bytes(data)
    opened = Data(folder)
    with pytest.raises(ValueError, match=rf"{file}' is damaged.*delete '{folder}'"):
        opened.verify()
    blocks = opened.split(file.removesuffix(".blocks"))
    with pytest.raises(ValueError, match=rf"{file}' is damaged"):
        blocks.read(np.arange(len(blocks)))
    (folder / file).write_bytes(data[:-2])
    with pytest.raises(ValueError, match=rf"{file}' has {len(data) - 2} bytes where its manifest says {len(data)}"):
        Data(folder)
    (folder / file).unlink()
    with pytest.raises(ValueError, match=rf"{file}' cannot be read"):
        Data(folder)


def test_every_flipped_byte_of_a_manifest_is_found_or_does_not_matter(folder):
    file = folder / "manifest.json"
    sound = read_manifest(file)
    data = file.read_bytes()
    refused = 0
    for at in range(0, len(data), 7):
        file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        try:
            assert read_manifest(file) == sound  # white space
        except ValueError as error:
            refused += 1
            assert f"manifest '{file}' is damaged; delete '{folder}'" in str(error)  # noqa: PT017
    assert refused > len(data) / 7 * 0.7
    for content in (b"", b"[]", b"{}", data[:-40], b'{"sha256": "0"}'):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"manifest.json' is damaged"):
            Data(folder)
    file.unlink()
    with pytest.raises(ValueError, match=r"manifest.json' cannot be read \(No such file"):
        Data(folder)


def test_another_tokenizer_is_not_used(folder):
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"5":5', '"5":6').replace('"6":6', '"6":5'))
    with pytest.raises(ValueError, match=r"tokenizer.json' is not the tokenizer of its manifest; delete"):
        Data(folder)
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json' is not a tokenizer.json"):
        Data(folder)


def test_a_hash_does_not_depend_on_the_order_of_keys():
    assert hash_of({"a": 1, "b": [1, 2]}) == hash_of({"b": [1, 2], "a": 1}) != hash_of({"a": 1, "b": [2, 1]})
