import itertools
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from distlaw.train.data import SPLITS, Data, DataConfig
from distlaw.train.grammar import START, Grammar
from distlaw.train.prepare import _split, prepare
from distlaw.train.tokenizer import END_OF_TEXT, export_tokenizer, load_tokenizer, tokenizer_hash, train_tokenizer

RNG = np.random.default_rng(0)
WORDS = ["loss", "teacher", "student", "token", "größer", "law", "of", "the", "scaling", "is", "not", "a"]
DOCUMENTS = [f"{i}: " + " ".join(RNG.choice(WORDS, RNG.integers(5, 60))) for i in range(300)]
SMALL = DataConfig(
    source="jsonl", paths=("t.jsonl",), vocab_size=300, context=16, validation_share=0.2, student_share=0.3
)
# A caller that prints the hash of what it prepared. It may write at most so many bytes to a file, and is killed at its
# n-th step: a report of progress, a file that is safe on the disk, or the final rename.
CALLER = """
import json, os, pathlib, resource, signal, sys
from distlaw.train.data import DataConfig
from distlaw.train.prepare import prepare
config, cache, most, left = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
def step(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def stepping(function):
    return lambda *args: (step(), function(*args))[1]
os.fsync, pathlib.Path.rename = stepping(os.fsync), stepping(pathlib.Path.rename)
try:
    print(prepare(DataConfig(**config | {"paths": tuple(config["paths"])}), cache, progress=step).hash)
except ValueError as error:
    sys.exit(str(error))
"""


def caller(config, cache, *, most=0, kill_at=0):
    command = [sys.executable, "-c", CALLER, json.dumps(asdict(config)), str(cache), str(most), str(kill_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write(path, documents):
    path.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
    return (str(path),)


@pytest.fixture
def config(tmp_path):
    return replace(SMALL, paths=write(tmp_path / "t.jsonl", DOCUMENTS))


def documents_of(data, name):
    """Documents of a split as text; the last one, which the last block may cut, left out."""
    read = data.split(name).read(np.arange(len(data.split(name))))
    stream = np.concatenate([read[:, :-1].ravel(), read[-1:, -1]])
    end = data.tokenizer.token_to_id(data.end_of_text)
    cuts = np.flatnonzero(stream == end)
    pieces = np.split(stream[: cuts[-1] + 1], cuts[:-1] + 1)
    assert all((piece == end).sum() == 1 for piece in pieces)
    return [data.tokenizer.decode(piece[:-1].tolist(), skip_special_tokens=False) for piece in pieces]


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# --- Splits -----------------------------------------------------------------------------------------------------------


def test_splits_share_no_document_and_miss_none(tmp_path, config):
    data = prepare(config, tmp_path / "cache")
    split = {name: documents_of(data, name) for name in SPLITS}
    found = list(itertools.chain(*split.values()))
    assert len(set(found)) == len(found)
    assert set(found) <= set(DOCUMENTS)
    assert len(found) >= 300 - 2 * 3  # what the last blocks cut
    assert sum(data.manifest["splits"][name]["documents"] for name in SPLITS) == 300
    sizes = {name: data.manifest["splits"][name]["documents"] / 300 for name in SPLITS}
    assert sizes == pytest.approx({"teacher": 0.5, "student": 0.3, "validation": 0.2}, abs=4 * (0.25 / 300) ** 0.5)
    for name in SPLITS:
        assert split[name] == [text for text in DOCUMENTS if text in split[name]]  # in the order of the source
        size = sum(len(text.encode()) for text in split[name])
        assert 0 <= data.manifest["splits"][name]["text_bytes"] - size < 1000


def test_copies_of_a_document_stay_together(tmp_path):
    doubled = replace(SMALL, paths=write(tmp_path / "t.jsonl", DOCUMENTS[:100] * 3))
    data = prepare(doubled, tmp_path / "cache")
    split = [set(documents_of(data, name)) for name in SPLITS]
    assert sum(map(len, split)) == len(set.union(*split)) > 90


def test_validation_stays_when_the_student_share_changes_but_not_when_the_seed_does(tmp_path, config):
    def validation(**changes):
        data = prepare(replace(config, tokenizer=str(tmp_path / "tokenizer.json"), **changes), tmp_path / "cache")
        return documents_of(data, "validation")

    (tmp_path / "tokenizer.json").write_text(train_tokenizer(DOCUMENTS, 300).to_str())
    assert validation() == validation(student_share=0.6)
    assert validation() != validation(seed=1)


def test_a_split_without_a_share_is_empty_and_says_so(tmp_path, config):
    data = prepare(replace(config, student_share=0.8), tmp_path / "cache")
    with pytest.raises(
        ValueError, match=r"the teacher split has no blocks: student_share=0.8 and validation_share=0.2"
    ):
        data.split("teacher")
    assert len(data.split("student")) > 100
    data.verify()


# --- Text and tokenizer -----------------------------------------------------------------------------------------------


def test_blank_documents_are_left_out_and_the_limit_cuts_between_documents(tmp_path, config):
    write(tmp_path / "t.jsonl", ["", " \n", *DOCUMENTS])
    sizes = np.cumsum([len(text.encode()) for text in DOCUMENTS]).tolist()
    for limit, number in ((sizes[99] - 1, 100), (sizes[99], 100), (sizes[99] + 1, 101), (0, 300)):
        data = prepare(replace(config, limit_bytes=limit), tmp_path / "cache")
        entries = data.manifest["splits"].values()
        assert sum(entry["documents"] for entry in entries) == number
        assert sum(entry["text_bytes"] for entry in entries) == sizes[number - 1]


def test_a_document_cannot_end_itself(tmp_path, config):
    tricky = [f"{text} {END_OF_TEXT} more" for text in DOCUMENTS]
    data = prepare(replace(config, paths=write(tmp_path / "t.jsonl", tricky)), tmp_path / "cache")
    assert set(documents_of(data, "teacher")) <= set(tricky)


def test_the_tokenizer_learns_nothing_from_validation(tmp_path, config):
    data = prepare(config, tmp_path / "cache")
    training = [text for text in DOCUMENTS if _split(config, text.encode()) != "validation"]
    assert tokenizer_hash(train_tokenizer(training, 300)) == data.tokenizer_hash
    assert tokenizer_hash(train_tokenizer(DOCUMENTS, 300)) != data.tokenizer_hash


def test_a_given_tokenizer_is_used(tmp_path, config):
    export_tokenizer(train_tokenizer(DOCUMENTS, 280), tmp_path / "model")
    data = prepare(replace(config, tokenizer=str(tmp_path / "model")), tmp_path / "cache")
    assert data.vocab_size == 280
    assert data.tokenizer_hash == tokenizer_hash(load_tokenizer(tmp_path / "model"))
    assert set(documents_of(data, "student")) <= set(DOCUMENTS)
    export_tokenizer(train_tokenizer(DOCUMENTS, 281), tmp_path / "model")
    assert prepare(replace(config, tokenizer=str(tmp_path / "model")), tmp_path / "cache").vocab_size == 281
    with pytest.raises(ValueError, match=r"tokenizer '.*none' cannot be read"):
        prepare(replace(config, tokenizer=str(tmp_path / "none")), tmp_path / "cache")


def test_an_end_of_text_of_another_name_survives(tmp_path, config):
    other = train_tokenizer(DOCUMENTS, 280).to_str().replace(END_OF_TEXT, "<done>")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text(other)
    (tmp_path / "model" / "tokenizer_config.json").write_text('{"eos_token": "<done>"}')
    data = prepare(replace(config, tokenizer=str(tmp_path / "model")), tmp_path / "cache")
    assert Data(data.folder).end_of_text == "<done>"
    assert set(documents_of(data, "student")) <= set(DOCUMENTS)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "source='jsonl' has no text"),
        (["", "  "], "source='jsonl' has no text"),
        (["one short text"], "too little text: a share of 0.[235] of it gave .* no block of context=16; give more"),
        (["one long text " * 1000], "too little text: a share of 0.[235] of it gave .* 0 documents and no block"),
    ],
)
def test_too_little_text_is_refused_and_leaves_nothing(tmp_path, config, documents, message):
    write(tmp_path / "t.jsonl", documents)
    with pytest.raises(ValueError, match=message):
        prepare(config, tmp_path / "cache")
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


# --- The synthetic language -------------------------------------------------------------------------------------------


def test_synthetic_blocks_begin_with_documents_and_cost_the_entropy_rate(tmp_path, monkeypatch):
    monkeypatch.setattr("distlaw.train.prepare._BATCH_TOKENS", 1 << 16)
    config = DataConfig(source="synthetic", vocab_size=64, context=32, synthetic_tokens=400_000, seed=5)
    data = prepare(config, tmp_path)
    grammar = Grammar(vocab_size=64, seed=5)
    assert data.entropy_rate == grammar.entropy_rate
    assert data.vocab_size == 64
    seen = [data.split(name).read(np.arange(len(data.split(name)))) for name in SPLITS]
    assert sum(map(len, seen)) == 12_500
    assert len(np.unique(np.concatenate(seen), axis=0)) == 12_500
    for blocks in seen:
        assert (blocks[:, 0] == START).all()
        nats = -grammar.log_probabilities(blocks)
        assert abs(nats.mean() - data.entropy_rate) < 4 * nats.std() / nats.size**0.5
    assert data.tokenizer.encode(data.tokenizer.decode(seen[0][0, 1:].tolist())).ids == seen[0][0, 1:].tolist()


# --- The cache --------------------------------------------------------------------------------------------------------


def test_the_same_text_gives_the_same_bytes_wherever_it_lies(tmp_path, config):
    first = prepare(config, tmp_path / "cache")
    times = {file.name: file.stat().st_mtime_ns for file in first.folder.iterdir()}
    again = prepare(config, tmp_path / "cache")
    assert again.folder == first.folder
    assert {file.name: file.stat().st_mtime_ns for file in again.folder.iterdir()} == times
    assert contents(prepare(config, tmp_path / "other").folder) == contents(first.folder)
    moved = prepare(replace(config, paths=write(tmp_path / "moved.jsonl", DOCUMENTS)), tmp_path / "cache")
    assert moved.folder != first.folder
    assert moved.hash == first.hash
    assert prepare(replace(config, context=17), tmp_path / "cache").hash != first.hash


def test_changed_files_are_prepared_anew(tmp_path, config):
    first = prepare(config, tmp_path / "cache")
    write(tmp_path / "t.jsonl", DOCUMENTS[::-1])
    os.utime(tmp_path / "t.jsonl", ns=(1, 1))
    assert prepare(config, tmp_path / "cache").hash != first.hash


def test_files_that_change_while_they_are_read_are_not_used(tmp_path, config):
    def change(stage, _done):
        if stage == "tokenising bytes":
            write(tmp_path / "t.jsonl", DOCUMENTS[:200])

    with pytest.raises(ValueError, match="files changed while they were read"):
        prepare(config, tmp_path / "cache", progress=change)
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


def test_progress_is_told(tmp_path, config):
    told = []
    prepare(config, tmp_path / "cache", progress=lambda stage, done: told.append((stage, done)))
    total = sum(len(text.encode()) for text in DOCUMENTS)
    assert told[-1] == ("tokenising bytes", total)
    assert {stage for stage, _ in told} == {"sampling bytes", "training a tokenizer on bytes", "tokenising bytes"}


def test_killed_at_any_moment_then_again_equals_undisturbed(tmp_path, config):
    undisturbed = prepare(config, tmp_path / "undisturbed")
    cache = tmp_path / "cache"
    kills = 0
    while (process := caller(config, cache, kill_at=kills + 1)).wait() == -signal.SIGKILL:
        process.communicate()
        kills += 1
        assert sorted(file.name for file in cache.iterdir()) == [
            f"{undisturbed.folder.name}.lock",
            f"{undisturbed.folder.name}.part",
        ]
    # Three reports, three block files, tokenizer, manifest, rename; the one after them ended undisturbed.
    assert kills == 9
    assert process.communicate() == (undisturbed.hash + "\n", "")
    assert contents(cache / undisturbed.folder.name) == contents(undisturbed.folder)
    assert sorted(file.suffix for file in cache.iterdir()) == ["", ".lock"]


def test_of_several_callers_one_builds_and_all_agree(tmp_path, config):
    callers = [caller(config, tmp_path / "cache") for _ in range(3)]
    answers = {process.communicate() for process in callers}
    assert answers == {(prepare(config, tmp_path / "cache").hash + "\n", "")}
    assert sorted(file.suffix for file in (tmp_path / "cache").iterdir()) == ["", ".lock"]


def test_a_disk_that_fills_up_is_named_and_leaves_nothing(tmp_path, config):
    process = caller(config, tmp_path / "cache", most=4000)
    out, message = process.communicate()
    assert process.returncode == 1
    assert not out
    assert message == f"the cache '{tmp_path / 'cache'}' cannot be written (File too large)\n"
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]
    prepare(config, tmp_path / "cache").verify()


def test_a_cache_that_cannot_be_made_is_named(tmp_path, config):
    (tmp_path / "file").write_text("")
    for cache, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "below", "Not a directory")):
        with pytest.raises(ValueError, match=re.escape(f"the cache '{cache}' cannot be written ({reason})")):
            prepare(config, cache)


def test_a_damaged_cache_is_not_silently_rebuilt(tmp_path, config):
    data = prepare(config, tmp_path / "cache")
    (data.folder / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=rf"manifest.json' is damaged; delete '{data.folder}'"):
        prepare(config, tmp_path / "cache")


@pytest.mark.parametrize(
    ("files", "between", "cut"),
    [
        (1, "\n\n", "paragraphs"),
        (1, "\r\n \r\n", "paragraphs"),
        (1, "\n", "lines"),
        (2, "\n\n", "paragraphs"),
        (2, "\n", "lines"),
        (100, "\n", None),
    ],
)
def test_text_in_few_files_is_cut_and_that_is_said(files, between, cut, tmp_path):
    each = len(DOCUMENTS) // files
    for number in range(files):
        text = between.join(DOCUMENTS[number * each : (number + 1) * each])
        (tmp_path / f"{number}.txt").write_bytes(text.encode())
    config = replace(SMALL, source="text", paths=(str(tmp_path / "*.txt"),))
    data = prepare(config, tmp_path / "cache")
    if cut is None:
        assert data.notes == []
        return
    assert f"the text is cut into {cut}, each a document of its own" in data.notes[0]
    entries = data.manifest["splits"].values()
    assert sum(entry["documents"] for entry in entries) == len(DOCUMENTS)
    assert min(entry["blocks"] for entry in entries) > 0
    assert Data(data.folder).notes == data.notes


def test_a_separator_is_taken_at_its_word(tmp_path):
    (tmp_path / "t.txt").write_text("\n\n".join(DOCUMENTS))
    config = replace(SMALL, source="text", paths=(str(tmp_path / "t.txt"),), separator="---")
    with pytest.raises(ValueError, match=r"too little text: .* 0 documents and no block"):
        prepare(config, tmp_path / "cache")
