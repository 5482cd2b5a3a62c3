"""Prepare data: tokenise a source once into blocks of three splits, whole or not at all."""

import hashlib
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from filelock import FileLock
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distlaw.runs import one_line
from distlaw.train.blocks import BlockWriter
from distlaw.train.data import SPLITS, Data, DataConfig, Split, block_file, hash_of, write_durably, write_manifest
from distlaw.train.grammar import Grammar
from distlaw.train.sources import Cut, Source, open_source
from distlaw.train.tokenizer import (
    END_OF_TEXT,
    find_end_of_text,
    identity_tokenizer,
    load_tokenizer,
    tokenizer_hash,
    train_tokenizer,
    uniform_sample,
    vocabulary_size,
)

Progress = Callable[[str, int], None]

_FORMAT = 1  # of the folder; another one is another cache
_BATCH_BYTES = 1 << 21  # text that is tokenised at a time
_BATCH_TOKENS = 1 << 20  # tokens that are drawn at a time
_BYTES_PER_TOKEN = 1 << 14  # text that a tokenizer is trained on, for each token of its vocabulary


def prepare(config: DataConfig, cache: Path, *, progress: Progress | None = None) -> Data:
    """Tokenise a source into a folder of the cache, or open the folder if it is there.

    The folder's name is a hash of the configuration, the tokenizer, and names, sizes and times of the source's files.
    It is built beside its place and renamed, under a lock: it is whole or not there, of several callers one builds it,
    and what a killed one left behind is removed by the next. The same text gives the same folder, byte for byte.

    Args:
        config: What to read.
        cache: Folder of prepared data; made if need be.
        progress: Called with what is being done, its unit the last word (`tokenising bytes`), and how much is done.

    Returns:
        The data.

    Raises:
        ValueError: The source or the tokenizer cannot be read, there is too little text, the cache cannot be written
            to or is damaged; one line that says which and what would be right.
    """
    given = load_tokenizer(Path(config.tokenizer)) if config.tokenizer else None
    end = find_end_of_text(given, Path(config.tokenizer)) if given else END_OF_TEXT
    source = None if config.source == "synthetic" else _open_source(config)
    key = {
        "format": _FORMAT,
        "config": asdict(config),
        "tokenizer": given and [tokenizer_hash(given), end],
        "source": source and source.fingerprint,
    }
    folder = cache / hash_of(key)[:32]
    try:
        if not folder.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                if not folder.is_dir():
                    _build_cut(folder, config, source, given, end, progress or (lambda _stage, _done: None))
    except OSError as error:
        raise ValueError(
            f"the cache '{one_line(cache)}' cannot be written ({error.strerror or one_line(error)})"
        ) from None
    return Data(folder)


class _TooLittleText(ValueError):
    """A split that was given a share has got no block."""


def _build_cut(
    folder: Path, config: DataConfig, source: Source | None, given: Tokenizer | None, end: str, progress: Progress
) -> None:
    """Build; text files too few to be a document each are cut into paragraphs, and if those are too few into lines."""
    cuts: list[Cut] = ["", "paragraphs", "lines"] if config.source == "text" and not config.separator else [""]
    for cut in cuts:
        try:
            _build(folder, config, source if cut == "" else _open_source(config, cut), given, end, progress)
        except _TooLittleText:
            if cut == cuts[-1]:
                raise
        else:
            return


def _build(
    folder: Path, config: DataConfig, source: Source | None, given: Tokenizer | None, end: str, progress: Progress
) -> None:
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)  # of a caller that was killed: we hold the lock
    partial.mkdir()
    try:
        if source is None:
            grammar = Grammar(vocab_size=config.vocab_size, seed=config.seed)
            tokenizer = identity_tokenizer(config.vocab_size)
            splits = _write_synthetic(partial, config, grammar, progress)
        else:
            grammar = None
            tokenizer = given or _trained_tokenizer(config, source, progress)
            splits = _write_text(partial, config, source, tokenizer, end, progress)
            if _open_source(config).fingerprint != source.fingerprint:
                raise ValueError(f"source='{config.source}': files changed while they were read; prepare them again")
        write_durably(partial / "tokenizer.json", tokenizer.to_str())
        manifest = {
            "format": _FORMAT,
            "config": asdict(config),
            "source": source.description if source else {},
            "tokenizers_version": tokenizers.__version__,
            "tokenizer_sha256": tokenizer_hash(tokenizer),
            "vocab_size": vocabulary_size(tokenizer),
            "end_of_text": end,
            "entropy_rate": grammar.entropy_rate if grammar else None,
            "splits": splits,
        }
        write_manifest(partial / "manifest.json", manifest)
        partial.rename(folder)
    except BaseException:  # an interrupt too must not leave gigabytes behind
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_synthetic(folder: Path, config: DataConfig, grammar: Grammar, progress: Progress) -> dict[str, Any]:
    """Documents of `context` symbols, a block each."""
    generator = np.random.default_rng([config.seed, 2])
    wanted = math.ceil(config.synthetic_tokens / config.context)
    done = 0
    with _SplitWriter(folder, config, config.vocab_size) as writer:
        while done < wanted:
            count = min(wanted - done, max(1, _BATCH_TOKENS // config.context))
            blocks = grammar.documents(count, config.context, generator)
            owners = np.array([_split(config, block.tobytes()) for block in blocks])
            for name in SPLITS:
                writer.add_blocks(name, blocks[owners == name])
            done += count
            progress("drawing tokens", done * config.context)
        return writer.entries()


def _write_text(
    folder: Path, config: DataConfig, source: Source, tokenizer: Tokenizer, end: str, progress: Progress
) -> dict[str, Any]:
    """Documents end to end, an end of text after each, cut into blocks."""
    end_id = tokenizer.token_to_id(end)
    assert end_id is not None
    # The characters of a special token in a document are text: a document cannot end itself.
    tokenizer.encode_special_tokens = True
    done = 0
    with _SplitWriter(folder, config, vocabulary_size(tokenizer)) as writer:
        for texts in _batches(_documents(config, source)):
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            for text, encoding in zip(texts, encoded, strict=True):
                data = text.encode()
                writer.add(_split(config, data), [*encoding.ids, end_id], len(data))
                done += len(data)
            progress("tokenising bytes", done)
        if not done:
            raise ValueError(f"source='{config.source}' has no text: every document is blank, or there is none")
        return writer.entries()


class _SplitWriter(ExitStack):
    """The three block files, and what went into them."""

    def __init__(self, folder: Path, config: DataConfig, vocab_size: int) -> None:
        super().__init__()
        self._config = config
        self._documents = dict.fromkeys(SPLITS, 0)
        self._text_bytes = dict.fromkeys(SPLITS, 0)
        self._writers = {
            name: self.enter_context(
                BlockWriter(folder / block_file(name), context=config.context, vocab_size=vocab_size)
            )
            for name in SPLITS
        }

    def add(self, name: Split, tokens: Sequence[int], text_bytes: int) -> None:
        """A document of text."""
        self._documents[name] += 1
        self._text_bytes[name] += text_bytes
        self._writers[name].add(tokens)

    def add_blocks(self, name: Split, blocks: NDArray[np.int64]) -> None:
        """Documents that are a block each."""
        self._documents[name] += len(blocks)
        self._writers[name].add_blocks(blocks)

    def entries(self) -> dict[str, Any]:
        """What the manifest says of each split; every split that has a share must have a block."""
        config = self._config
        entries = {
            name: {"documents": self._documents[name], "text_bytes": self._text_bytes[name]}
            | asdict(self._writers[name].index())
            for name in SPLITS
        }
        shares = {
            "validation": config.validation_share,
            "student": config.student_share,
            "teacher": 1 - config.validation_share - config.student_share,
        }
        for name, share in shares.items():
            if share > 1e-9 and not entries[name]["blocks"]:
                raise _TooLittleText(
                    f"too little text: a share of {share:g} of it gave {name} {entries[name]['documents']} documents"
                    f" and no block of context={config.context}; give more or shorter documents"
                    " (separator cuts text files), a larger share, or a smaller context"
                )
        return entries


def _trained_tokenizer(config: DataConfig, source: Source, progress: Progress) -> Tokenizer:
    """BPE of a sample of the training documents, teacher's and student's; validation has no say in it."""

    def training_texts() -> Iterator[str]:
        done = 0
        for number, text in enumerate(_documents(config, source)):
            data = text.encode()
            done += len(data)
            if number % 1024 == 0:
                progress("sampling bytes", done)
            if _split(config, data) != "validation":
                yield text

    sample = uniform_sample(training_texts(), config.vocab_size * _BYTES_PER_TOKEN)
    progress("training a tokenizer on bytes", sum(map(len, sample)))
    return train_tokenizer(sample, config.vocab_size)


def _open_source(config: DataConfig, cut: Cut = "") -> Source:
    return open_source(config.source, config.paths, field=config.field, separator=config.separator, cut=cut)


def _documents(config: DataConfig, source: Source) -> Iterator[str]:
    """Documents that are not blank, up to the limit."""
    read = 0
    for text in source.documents():
        if config.limit_bytes and read >= config.limit_bytes:
            return
        if text and not text.isspace():
            read += len(text.encode())
            yield text


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _split(config: DataConfig, document: bytes) -> Split:
    """Where a document belongs, by its content."""
    digest = hashlib.sha256(f"{config.seed}\0".encode() + document).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    if place < config.validation_share:
        return "validation"
    return "student" if place < config.validation_share + config.student_share else "teacher"
