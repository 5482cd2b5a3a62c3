"""A teacher's targets on disk: captured once, read in any order of blocks.

A cache is a folder: `manifest.json` says what was captured, `shard-000000.targets` and on hold the blocks. A shard is

    magic, SHA-256 of the manifest, number, blocks | where each record is, its sizes and CRC-32 | CRC-32 | records

and a record one block, compressed by zstd. So any block is one read, one checksum and one decompression, a shard
belongs to its manifest and no other, and a shard is there whole or not at all, which is what a capture that was killed
resumes from.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distlaw.reading import json_object, made, one_line
from distlaw.runs import written_whole
from distlaw.train.head import Head
from distlaw.train.target_records import CacheKey, decode, encode, raw_bytes
from distlaw.train.targets import KnownTeacher, Offer, OnlineTeacher, TailTargets, TeacherTargets, uniforms

Progress = Callable[[int, int], None]
Teacher = Callable[[Tensor], tuple[Tensor, Tensor | Head]]

_FORMAT = 1
_MAGIC = b"DLTARGET"
_HEADER = struct.Struct("<8s32sII")
_ENTRY = np.dtype([("offset", "<u8"), ("size", "<u8"), ("raw", "<u8"), ("crc", "<u4")])
_CODEC = pa.Codec("zstd", compression_level=3)
_SHARD_BYTES = 2**26  # before compression: what a killed capture may lose
_LOGITS = 2**22  # at once, while capturing
_MOST = 2**53  # of any number in a manifest


class BlockSource(Protocol):
    """Blocks of tokens, as `distlaw.train.blocks` keeps them."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def read(self, indices: ArrayLike, /) -> NDArray[np.int64]:
        """Tokens of these blocks, shape (n, context + 1)."""
        ...


@dataclass(frozen=True, kw_only=True)
class CacheSummary:
    """What a folder holds.

    Attributes:
        key: What it was captured for.
        blocks: Blocks it is to hold.
        captured_blocks: Blocks it holds; fewer while a capture is under way or was killed.
        bytes: Size of its files.
    """

    key: CacheKey
    blocks: int
    captured_blocks: int
    bytes: int

    @property
    def bytes_per_token(self) -> float:
        """Size of a position's targets on disk."""
        return self.bytes / max(self.captured_blocks * self.key.context, 1)


def capture(
    path: Path,
    key: CacheKey,
    blocks: BlockSource,
    teacher: Teacher,
    *,
    batch: int = 8,
    shard_blocks: int | None = None,
    rank: int = 0,
    world: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write a teacher's targets for all blocks, or what of them is not written yet.

    Killed and called again, or split over any number of ranks, it ends in the same files.

    Args:
        path: The folder.
        key: What the targets are for.
        blocks: The tokens.
        teacher: Gives last hidden states (n, context, d_T) and output layer for inputs (n, context).
        batch: Blocks in one call of the teacher.
        shard_blocks: Blocks in a file; None makes files of about 64 MiB before compression.
        rank: Which process this is; rank r writes shards r, r + world, ...
        world: How many processes capture into this folder.
        progress: Called with blocks done and blocks to do, of this rank.

    Raises:
        ValueError: The folder holds something else, or cannot be written.
    """
    if not len(blocks):
        raise ValueError("the data has no blocks to capture targets for")
    if shard_blocks is None:
        shard_blocks = max(_SHARD_BYTES // raw_bytes(key), 1)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / "manifest.json").exists():
        written = {"format": _FORMAT, **asdict(key), "blocks": len(blocks), "shard_blocks": shard_blocks}
        with written_whole(path / "manifest.json", "manifest") as temporary:
            temporary.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    manifest = _Manifest.read(path)
    manifest.check(key)
    if manifest.blocks != len(blocks):
        raise ValueError(
            f"target cache '{one_line(path)}' is for {manifest.blocks} blocks, the data has {len(blocks)};"
            f" capture into another folder"
        )
    mine = range(rank, manifest.shards, world)
    total = sum(len(manifest.blocks_of(shard)) for shard in mine)
    done = 0
    for shard in mine:
        indices = manifest.blocks_of(shard)
        if manifest.file(shard).exists():
            _Shard(manifest, shard)
        else:
            _write_shard(manifest, shard, _records(key, blocks, teacher, indices, batch))
        done += len(indices)
        if progress is not None:
            progress(done, total)


def describe(path: Path) -> CacheSummary:
    """Say what a cache holds, from its manifest and the sizes of its files; `faults` reads them.

    Raises:
        ValueError: There is no cache, or its manifest is damaged.
    """
    manifest = _Manifest.read(path)
    there = manifest.there()
    return CacheSummary(
        key=manifest.key,
        blocks=manifest.blocks,
        captured_blocks=sum(len(manifest.blocks_of(shard)) for shard in there),
        bytes=sum(manifest.file(shard).stat().st_size for shard in there),
    )


def faults(path: Path, progress: Progress | None = None) -> list[str]:
    """Read a whole cache and name everything that is missing or damaged, a line each.

    Args:
        path: The folder.
        progress: Called with shards read and their number.
    """
    manifest = _Manifest.read(path)
    found: list[str] = []
    there = manifest.there()
    for done, number in enumerate(there, start=1):
        found += _faults_of(manifest, number)
        if progress is not None:
            progress(done, len(there))
    return found + [
        f"target shard '{one_line(manifest.file(first))}' is not there"
        + (f", nor those up to number {last}" if last > first else "")
        + "; capture again to complete it"
        for first, last in _gaps(there, manifest.shards)
    ]


def _gaps(there: list[int], count: int) -> Iterator[tuple[int, int]]:
    """First and last of each row of numbers below `count` that are not there."""
    for before, after in pairwise([-1, *there, count]):
        if after - before > 1:
            yield before + 1, after - 1


def _faults_of(manifest: "_Manifest", number: int) -> list[str]:
    try:
        shard = _Shard(manifest, number)
    except ValueError as error:
        return [str(error)]
    found = []
    for block in manifest.blocks_of(number):
        try:
            shard.record(block)
        except ValueError as error:
            found.append(str(error))
    return found


class TargetReader:
    """Targets of blocks in any order. Every byte used was checked; nothing is kept in memory but the index."""

    def __init__(self, path: Path, expected: CacheKey, offer: Offer | None = None) -> None:
        """Open a cache.

        Args:
            path: Its folder.
            expected: What the targets must have been captured for.
            offer: What to make of them; None takes them as they are.

        Raises:
            ValueError: The cache was captured for something else, cannot serve the offer, or is incomplete or damaged.
        """
        self._manifest = _Manifest.read(path)
        self._manifest.check(expected)
        self._key, self._offer = expected, expected.offer if offer is None else offer
        if not expected.serves(self._offer):
            raise ValueError(
                f"target cache '{one_line(path)}' is of kind '{expected.kind}' (top_k {expected.top_k}, samples"
                f" {expected.samples}) and cannot serve targets '{self._offer.targets}' (top_k {self._offer.top_k},"
                f" samples {self._offer.samples}); capture one for them"
            )
        self._shards = [_Shard(self._manifest, number) for number in range(self._manifest.shards)]

    def __len__(self) -> int:
        return self._manifest.blocks

    def read(self, indices: ArrayLike) -> TeacherTargets:
        """Targets of these blocks, their positions one after the other.

        Dense targets take len(indices) x context x vocabulary numbers: they are for small vocabularies.

        Raises:
            ValueError: An index is out of range, or a record is damaged.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if outside.size:
            raise ValueError(f"target cache '{self._manifest.name}' has blocks 0 to {len(self) - 1}, not {outside[0]}")
        per_shard = self._manifest.shard_blocks
        records = (self._shards[block // per_shard].record(block) for block in wanted.tolist())
        decoded = decode(self._key, records, len(wanted))
        if isinstance(decoded, Tensor):
            return KnownTeacher(decoded, self._offer)
        return self._offer.of_top(decoded) if isinstance(decoded, TailTargets) else decoded


@dataclass(frozen=True)
class _Manifest:
    path: Path
    key: CacheKey
    blocks: int
    shard_blocks: int
    digest: bytes

    @classmethod
    def read(cls, path: Path) -> "_Manifest":
        try:
            data = (path / "manifest.json").read_bytes()
        except OSError as error:
            raise ValueError(f"'{one_line(path)}' is not a target cache: no manifest.json ({error.strerror})") from None
        try:
            content = json_object(data)
            version, blocks, shard_blocks = (content.pop(name, None) for name in ("format", "blocks", "shard_blocks"))
            if version != _FORMAT:
                raise ValueError(f"format {one_line(version, 40)}, this version reads {_FORMAT}")
            for name, value in (("blocks", blocks), ("shard_blocks", shard_blocks)):
                if type(value) is not int or not 1 <= value <= _MOST:
                    raise ValueError(f"{name} must be a whole number from 1 to {_MOST}, got {one_line(value, 40)}")
            key = made(CacheKey, content)
            for name, value in vars(key).items():
                if not isinstance(value, str) and value is not None and value > _MOST:
                    raise ValueError(f"{name} must be at most {_MOST}, got {one_line(value, 40)}")
            manifest = cls(path, key, blocks, shard_blocks, hashlib.sha256(data).digest())
        except ValueError as error:
            raise ValueError(f"manifest of target cache '{one_line(path)}' is damaged ({one_line(error)})") from None
        return manifest

    @property
    def name(self) -> str:
        return one_line(self.path)

    @property
    def shards(self) -> int:
        return -(-self.blocks // self.shard_blocks)

    def file(self, shard: int) -> Path:
        return self.path / f"shard-{shard:06d}.targets"

    def there(self) -> list[int]:
        """Numbers of the shards that are there, in order."""
        names = (
            file.name.removeprefix("shard-").removesuffix(".targets") for file in self.path.glob("shard-*.targets")
        )
        numbers = {int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 12}
        return sorted(number for number in numbers if number < self.shards and self.file(number).exists())

    def blocks_of(self, shard: int) -> range:
        return range(shard * self.shard_blocks, min((shard + 1) * self.shard_blocks, self.blocks))

    def check(self, wanted: CacheKey) -> None:
        differ = [
            f"{field.name} {getattr(self.key, field.name)!r}, wanted {getattr(wanted, field.name)!r}"
            for field in fields(CacheKey)
            if getattr(self.key, field.name) != getattr(wanted, field.name)
        ]
        if differ:
            raise ValueError(
                f"target cache '{self.name}' is for something else: {'; '.join(differ)}; capture into another folder"
            )


class _Shard:
    """The index of a shard, checked; records are read from the file when they are asked for."""

    def __init__(self, manifest: _Manifest, number: int) -> None:
        self._path = manifest.file(number)
        self._blocks = manifest.blocks_of(number)
        count = len(self._blocks)
        head_bytes = _HEADER.size + count * _ENTRY.itemsize
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                head = file.read(min(head_bytes + 4, size))
        except OSError as error:
            raise ValueError(f"{self._name} cannot be read ({error.strerror}); capture again to complete it") from None
        if len(head) < head_bytes + 4:
            raise ValueError(f"{self._name} is truncated to {size} bytes; {self._remedy}")
        if zlib.crc32(head[:-4]) != int.from_bytes(head[-4:], "little"):
            raise ValueError(f"the index of {self._name} is damaged, its checksum is wrong; {self._remedy}")
        if _HEADER.unpack_from(head) != (_MAGIC, manifest.digest, number, count):
            raise ValueError(f"{self._name} does not belong to the manifest beside it; {self._remedy}")
        self._index = np.frombuffer(head, _ENTRY, count, _HEADER.size)
        end = int(self._index[-1]["offset"]) + int(self._index[-1]["size"])
        if size != end:
            raise ValueError(f"{self._name} has {size} bytes where its index says {end}; {self._remedy}")
        ends = self._index["offset"].astype(np.float64) + self._index["size"]
        if (ends > size).any() or (self._index["raw"] > raw_bytes(manifest.key)).any():
            raise ValueError(f"the index of {self._name} names more than can be in it; {self._remedy}")

    @property
    def _name(self) -> str:
        return f"target shard '{one_line(self._path)}'"

    @property
    def _remedy(self) -> str:
        return "delete the file and capture again"

    def record(self, block: int) -> bytes:
        entry = self._index[block - self._blocks.start]
        offset, size, raw, crc = entry.item()
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise ValueError(f"{self._name} cannot be read ({error.strerror})") from None
        if len(data) != size or zlib.crc32(data) != crc:
            raise ValueError(f"block {block} in {self._name} is damaged, its checksum is wrong; {self._remedy}")
        try:
            return _CODEC.decompress(data, raw)
        except (pa.ArrowException, MemoryError) as error:
            raise ValueError(
                f"block {block} in {self._name} cannot be decompressed ({one_line(error)}); {self._remedy}"
            ) from None


def _write_shard(manifest: _Manifest, number: int, records: Iterator[bytes]) -> None:
    path, count = manifest.file(number), len(manifest.blocks_of(number))
    unfinished = path.with_suffix(".part")  # always the same, so that a resumed capture leaves none behind
    index = np.zeros(count, _ENTRY)
    offset = _HEADER.size + index.nbytes + 4
    try:
        with unfinished.open("wb") as file:
            file.seek(offset)
            for entry, raw in enumerate(records):
                data = _CODEC.compress(raw, asbytes=True)
                index[entry] = (offset, len(data), len(raw), zlib.crc32(data))
                offset += file.write(data)
            head = _HEADER.pack(_MAGIC, manifest.digest, number, count) + index.tobytes()
            file.seek(0)
            file.write(head + zlib.crc32(head).to_bytes(4, "little"))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise ValueError(f"target shard '{one_line(path)}' cannot be written ({error.strerror})") from None


def _records(
    key: CacheKey,
    blocks: BlockSource,
    teacher: Teacher,
    indices: range,
    batch: int,
) -> Iterator[bytes]:
    """Encoded targets of each block in turn."""
    rows = max(_LOGITS // key.vocabulary, 32)
    for start in range(0, len(indices), batch):
        some = indices[start : start + batch]
        tokens = torch.as_tensor(blocks.read(some))
        if tokens.shape[1] != key.context + 1:
            raise ValueError(f"blocks have a context of {tokens.shape[1] - 1}, the target cache's key {key.context}")
        with torch.no_grad():
            hidden, head = teacher(tokens[:, :-1])
        for block, states in zip(some, hidden, strict=True):
            numbers = None if key.seed is None else uniforms(key.seed, [block], key.context).to(states.device)
            online = OnlineTeacher(states, head, key.vocabulary, key.temperature, key.offer, numbers)
            yield encode(key, [online.at(slice(i, i + rows)) for i in range(0, key.context, rows)])
