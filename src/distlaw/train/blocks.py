"""Tokens on disk: fixed blocks in memory-mapped files, hashed page by page."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from distlaw.runs import one_line

_PAGE_BYTES = 1 << 22  # a damaged page is found within milliseconds of its first use


@dataclass(frozen=True, kw_only=True)
class BlockIndex:
    """What a manifest says of a block file.

    Attributes:
        blocks: Number of blocks.
        page_blocks: Blocks of a page, the last one excepted.
        pages: SHA-256 of each page.
    """

    blocks: int
    page_blocks: int
    pages: tuple[str, ...]


class Blocks:
    """Blocks of `context` + 1 tokens, memory-mapped.

    The first `context` tokens of a block are a model's inputs and the last `context` its targets. Blocks cut from a
    stream share one token, the last of one and the first of the next, so every token of the stream but the first is
    predicted once.

    The file's size is checked when it is opened; the SHA-256 of a page when this process first reads from the page.
    So opening costs nothing however large the file, a sweep over it costs one hash of it, and no byte is used that was
    not checked. What a memory error changes after that is not seen.
    """

    def __init__(self, path: Path, index: BlockIndex, *, context: int, vocab_size: int) -> None:
        """Open a block file.

        Args:
            path: The file.
            index: What it should hold.
            context: Tokens that a block predicts.
            vocab_size: Size of the vocabulary, which says how a token is stored.

        Raises:
            ValueError: The file is missing or its size is wrong.
        """
        self.path = path
        self.context = context
        self._index = index
        self._unchecked = set(range(len(index.pages)))
        dtype = token_dtype(vocab_size)
        expected = index.blocks * (context + 1) * dtype.itemsize
        try:
            size = path.stat().st_size
            if size != expected:
                raise ValueError(
                    f"'{one_line(path)}' has {size} bytes where its manifest says {expected};"
                    f" delete '{one_line(path.parent)}' to prepare the data again"
                )
            self._tokens = np.memmap(path, dtype, "r", shape=(index.blocks, context + 1)).view(np.ndarray)
        except OSError as error:
            raise ValueError(f"block file '{one_line(path)}' cannot be read ({error.strerror})") from None

    def __len__(self) -> int:
        return self._index.blocks

    @property
    def tokens(self) -> int:
        """Tokens that one epoch predicts."""
        return len(self) * self.context

    def epochs_used(self, tokens: int) -> float:
        """How often training on a number of tokens goes through the data; above 1 it repeats."""
        return tokens / self.tokens

    def read(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Copy blocks.

        Args:
            indices: Which, from 0.

        Returns:
            Tokens, (number of indices, context + 1).

        Raises:
            ValueError: An index is out of range, or a page does not have the hash that the manifest gives.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if outside.size:
            raise ValueError(f"'{one_line(self.path)}' has blocks 0 to {len(self) - 1}, not {outside[0]}")
        self._check(np.unique(wanted // self._index.page_blocks).tolist())
        return self._tokens[wanted].astype(np.int64)

    def verify(self) -> None:
        """Check every page now.

        Raises:
            ValueError: A page does not have the hash that the manifest gives.
        """
        self._check(range(len(self._index.pages)))

    def _check(self, pages: Iterable[int]) -> None:
        for page in sorted(self._unchecked.intersection(pages)):
            first = page * self._index.page_blocks
            blocks = self._tokens[first : first + self._index.page_blocks]
            if hashlib.sha256(blocks.data).hexdigest() != self._index.pages[page]:
                raise ValueError(
                    f"'{one_line(self.path)}' is damaged: blocks {first} to {first + len(blocks) - 1} do not have the"
                    f" hash that its manifest gives; delete '{one_line(self.path.parent)}' to prepare the data again"
                )
            self._unchecked.discard(page)


class BlockWriter:
    """Writes a block file. A context manager; the file is on the disk when it ends."""

    def __init__(self, path: Path, *, context: int, vocab_size: int) -> None:
        """Start a file.

        Args:
            path: Where.
            context: Tokens that a block predicts.
            vocab_size: Size of the vocabulary.
        """
        self._context = context
        self._dtype = token_dtype(vocab_size)
        self._page_blocks = max(1, _PAGE_BYTES // ((context + 1) * self._dtype.itemsize))
        self._file = path.open("xb")
        self._stream: list[NDArray[np.unsignedinteger]] = []
        self._waiting = 0
        self._blocks = 0
        self._pages: list[str] = []
        self._page = hashlib.sha256()

    def add(self, tokens: ArrayLike) -> None:
        """Append tokens to the stream that blocks are cut from; what the last block leaves over is not written."""
        new = np.asarray(tokens, dtype=self._dtype)
        self._stream.append(new)
        self._waiting += new.size
        if self._waiting > self._page_blocks * self._context:
            self._cut()

    def add_blocks(self, blocks: NDArray[np.integer]) -> None:
        """Append whole blocks, (number, context + 1)."""
        while len(blocks):
            part = blocks[: self._page_blocks - self._blocks % self._page_blocks]
            data = part.astype(self._dtype).tobytes()
            self._file.write(data)
            self._page.update(data)
            self._blocks += len(part)
            blocks = blocks[len(part) :]
            if self._blocks % self._page_blocks == 0:
                self._end_page()

    def index(self) -> BlockIndex:
        """What was written; asked for once, at the end."""
        if self._waiting:
            self._cut()
        if self._blocks % self._page_blocks:
            self._end_page()
        return BlockIndex(blocks=self._blocks, page_blocks=self._page_blocks, pages=tuple(self._pages))

    def _cut(self) -> None:
        stream = np.concatenate(self._stream)
        number = (stream.size - 1) // self._context
        if number > 0:
            self.add_blocks(sliding_window_view(stream, self._context + 1)[:: self._context][:number])
        self._stream = [stream[max(number, 0) * self._context :]]
        self._waiting = self._stream[0].size

    def _end_page(self) -> None:
        self._pages.append(self._page.hexdigest())
        self._page = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """How a token is stored: two bytes where they are enough, four otherwise, little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
