"""Data of a study: what to read, and the splits that were prepared from it."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from distlaw.runs import one_line
from distlaw.train.blocks import BlockIndex, Blocks
from distlaw.train.grammar import Grammar
from distlaw.train.sources import TEXT_SOURCES, WITHOUT_PATHS
from distlaw.train.tokenizer import SMALLEST_BPE, load_tokenizer, tokenizer_hash

Split = Literal["teacher", "student", "validation"]

SPLITS: tuple[Split, ...] = get_args(Split)
_SHORTEST_SYNTHETIC = 16  # below, chance writes the same document twice, and a split by content is not a fair sample
_DAMAGED = "delete '{}' to prepare the data again"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a study reads.

    Attributes:
        source: stdlib (Python's own library), debian (English of two Debian packages), synthetic (a grammar whose
            irreducible loss is known), text, jsonl, parquet or datasets.
        paths: Files, folders or globs of text, jsonl and parquet; for datasets the name that `load_dataset` takes,
            and the name of a configuration if there are several.
        field: Column or key that holds the text, in jsonl, parquet and datasets.
        separator: What stands between documents in text files; empty: a file is a document, or where these are too few,
            a paragraph or a line.
        tokenizer: A tokenizer.json or a folder that holds one; empty: train a byte-level BPE on the training text.
        vocab_size: Tokens of the BPE that is trained, or token ids of the synthetic language.
        context: Tokens that a block predicts.
        validation_share: Share of the documents that only validation reads.
        student_share: Share of the documents that only students train on; teachers get the rest.
        limit_bytes: Read whole documents until there are so many bytes; 0: read all. Not for synthetic.
        synthetic_tokens: Tokens that the synthetic language is written down for, all splits together.
        seed: Assigns documents to splits; fixes the synthetic language.
    """

    source: str = "stdlib"
    paths: tuple[str, ...] = ()
    field: str = "text"
    separator: str = ""
    tokenizer: str = ""
    vocab_size: int = 512
    context: int = 128
    validation_share: float = 0.04
    student_share: float = 0.48
    limit_bytes: int = 0
    synthetic_tokens: int = 8_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.source not in (known := (*TEXT_SOURCES, "synthetic")):
            raise ValueError(f"source='{one_line(self.source)}' is not one of {', '.join(known)}")
        if self.source in (*WITHOUT_PATHS, "synthetic"):
            if self.paths:
                raise ValueError(f"paths: source='{self.source}' reads no files; leave paths empty")
        elif not self.paths:
            raise ValueError(f"paths is empty: source='{self.source}' needs at least one")
        if self.source == "synthetic":
            if self.tokenizer:
                raise ValueError("tokenizer: source='synthetic' has one of its own; leave tokenizer empty")
            if self.limit_bytes:
                raise ValueError(f"limit_bytes={self.limit_bytes}: source='synthetic' goes by synthetic_tokens")
            if self.context < _SHORTEST_SYNTHETIC:
                raise ValueError(f"context={self.context}: source='synthetic' needs {_SHORTEST_SYNTHETIC} or more")
            Grammar(vocab_size=self.vocab_size)
        elif not self.tokenizer and self.vocab_size < SMALLEST_BPE:
            raise ValueError(f"vocab_size={self.vocab_size}: a byte-level BPE has at least {SMALLEST_BPE} tokens")
        for name, least in (("context", 1), ("limit_bytes", 0), ("synthetic_tokens", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be {least} or more")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share={self.validation_share:g} must lie between 0 and 1, both excluded")
        if not 0 <= self.student_share <= 1 - self.validation_share + 1e-9:
            raise ValueError(
                f"student_share={self.student_share:g} must lie between 0 and 1 - validation_share,"
                f" {1 - self.validation_share:g}"
            )


class Data:
    """A prepared folder: three splits, the tokenizer they share, and the manifest that fixes them byte by byte.

    Splits are disjoint by document: a hash of the document's content and the seed says where it goes, so copies of a
    document stay together and no order of files matters. Validation does not change when `student_share` does.

    In text, a document follows the previous one after an end-of-text token, and blocks are cut from that stream; what
    is before a block is not seen. In the synthetic language every block is the beginning of one document, so its
    irreducible loss holds exactly.
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder that `prepare` made.

        Args:
            folder: The folder.

        Raises:
            ValueError: Something is missing, cut short or altered; names the file. Pages of blocks are checked when
                they are first read (`verify` checks all).
        """
        self.folder = folder
        self.manifest = read_manifest(folder / "manifest.json")
        file = folder / "tokenizer.json"
        self.tokenizer = load_tokenizer(file)
        if tokenizer_hash(self.tokenizer) != self.tokenizer_hash:
            raise ValueError(
                f"'{one_line(file)}' is not the tokenizer of its manifest; {_DAMAGED.format(one_line(folder))}"
            )
        self._splits = {name: self._open(name) for name in SPLITS if self.manifest["splits"][name]["blocks"]}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what a model can see: tokens, their split and block, and the tokenizer. Not of where it lay."""
        seen = {
            "tokenizer": self.tokenizer_hash,
            "context": self.context,
            "splits": {name: self.manifest["splits"][name]["pages"] for name in SPLITS},
        }
        return hash_of(seen)

    @property
    def tokenizer_hash(self) -> str:
        """SHA-256 of the tokenizer."""
        return self.manifest["tokenizer_sha256"]

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        return self.manifest["vocab_size"]

    @property
    def context(self) -> int:
        """Tokens that a block predicts."""
        return self.manifest["config"]["context"]

    @property
    def end_of_text(self) -> str:
        """The token that stands between documents."""
        return self.manifest["end_of_text"]

    @property
    def notes(self) -> list[str]:
        """What of its preparation whoever trains on it should know."""
        cut = self.manifest["source"].get("documents")
        if not cut:
            return []
        return [
            f"the text is cut into {cut}, each a document of its own; data.separator would say what stands between"
            " documents"
        ]

    @property
    def entropy_rate(self) -> float | None:
        """E in nats per token, the least loss that any model can have; None where nobody knows it."""
        return self.manifest["entropy_rate"]

    def split(self, name: Split) -> Blocks:
        """Blocks of a split.

        Raises:
            ValueError: There is no such split, or it was given no share.
        """
        if name not in SPLITS:
            raise ValueError(f"split '{one_line(name)}' is not one of {', '.join(SPLITS)}")
        if name not in self._splits:
            shares = self.manifest["config"]
            raise ValueError(
                f"the {name} split has no blocks: student_share={shares['student_share']:g} and"
                f" validation_share={shares['validation_share']:g} leave it none"
            )
        return self._splits[name]

    def verify(self) -> None:
        """Check every byte now.

        Raises:
            ValueError: A page is damaged; names the file and the blocks.
        """
        for blocks in self._splits.values():
            blocks.verify()

    def _open(self, name: Split) -> Blocks:
        entry = self.manifest["splits"][name]
        index = BlockIndex(blocks=entry["blocks"], page_blocks=entry["page_blocks"], pages=tuple(entry["pages"]))
        return Blocks(self.folder / block_file(name), index, context=self.context, vocab_size=self.vocab_size)


def write_manifest(file: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest that carries its own hash."""
    write_durably(file, json.dumps(manifest | {"sha256": hash_of(manifest)}, indent=1))


def read_manifest(file: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        ValueError: It is not there, or not as it was written.
    """
    shown, again = one_line(file), _DAMAGED.format(one_line(file.parent))
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        expected = manifest.pop("sha256")
    except OSError as error:
        raise ValueError(f"manifest '{shown}' cannot be read ({error.strerror}); {again}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        expected = manifest = None
    if manifest is None or hash_of(manifest) != expected:
        raise ValueError(f"manifest '{shown}' is damaged; {again}")
    return manifest


def write_durably(file: Path, text: str) -> None:
    """Write a new file and wait until it is on the disk."""
    with file.open("x", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def block_file(split: Split) -> str:
    """Name of a split's file."""
    return f"{split}.blocks"


def hash_of(value: object) -> str:
    """SHA-256 of a value as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
