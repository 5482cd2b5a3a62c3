import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import zlib
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distlaw.train.losses import LossConfig, distillation_loss
from distlaw.train.target_cache import TargetReader, capture, describe, faults
from distlaw.train.target_records import CacheKey, decode, encode, raw_bytes
from distlaw.train.targets import (
    IMPOSSIBLE,
    DenseTargets,
    Offer,
    OnlineTeacher,
    PointTargets,
    TailTargets,
    top_k,
    uniforms,
)

CONTEXT, VOCABULARY, BLOCKS, WIDTH = 16, 60, 11, 8
KEY = CacheKey(tokenizer="t0", data="d0", split="train", teacher="m0", context=CONTEXT, vocabulary=VOCABULARY)
KEYS = {
    "dense": KEY,
    "dense-16": replace(KEY, kind="dense-16"),
    "top-k": replace(KEY, kind="top-k", top_k=5),
    "sampled": replace(KEY, kind="sampled", samples=7, seed=0),
}


class Blocks:
    def __init__(self, blocks=BLOCKS, context=CONTEXT):
        self.tokens = np.random.default_rng(0).integers(0, VOCABULARY, (blocks, context + 1))

    def __len__(self):
        return len(self.tokens)

    def read(self, indices):
        return self.tokens[np.asarray(indices)]


class Teacher:
    """Embeds each token; enough for a cache."""

    def __init__(self, vocabulary=VOCABULARY):
        g = torch.Generator().manual_seed(1)
        self.embedding = torch.randn(VOCABULARY, WIDTH, generator=g)
        self.head = torch.randn(vocabulary, WIDTH, generator=g)
        self.calls = 0

    def __call__(self, tokens):
        self.calls += 1
        return self.embedding[tokens], self.head

    def online(self, key, indices):
        hidden, head = self(torch.from_numpy(Blocks().read(indices)[:, :-1]))
        numbers = None if key.seed is None else uniforms(key.seed, indices, CONTEXT)
        return OnlineTeacher(hidden.flatten(0, 1), head, VOCABULARY, key.temperature, key.offer, numbers)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    for kind, key in KEYS.items():
        capture(folder / kind, key, Blocks(), Teacher(), batch=3, shard_blocks=4)
    return folder


@pytest.fixture
def cache(tmp_path):
    capture(tmp_path / "cache", KEYS["top-k"], Blocks(), Teacher(), shard_blocks=4)
    return tmp_path / "cache"


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


ORDER = [7, 0, 10, 3, 3]


def test_dense_targets_are_the_online_ones_bit_for_bit(caches):
    cached = TargetReader(caches / "dense", KEY).read(ORDER).at(slice(None))
    online = Teacher().online(KEY, ORDER).at(slice(None))
    assert isinstance(cached, DenseTargets)
    for name in ("log_probs", "probs", "entropy"):
        torch.testing.assert_close(getattr(cached, name), getattr(online, name), rtol=0, atol=0)


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_a_loss_on_a_dense_cache_is_the_online_loss_bit_for_bit(tmp_path, tau):
    key = replace(KEY, temperature=tau)
    capture(tmp_path, key, Blocks(), Teacher())
    g = torch.Generator().manual_seed(5)
    hidden = torch.randn(len(ORDER) * CONTEXT, 6, generator=g, requires_grad=True)
    head = torch.randn(VOCABULARY, 6, generator=g, requires_grad=True)
    labels = torch.from_numpy(Blocks().read(ORDER)[:, 1:]).flatten()
    results = []
    for teacher in (Teacher().online(key, ORDER), TargetReader(tmp_path, key).read(ORDER)):
        sums = distillation_loss(hidden, head, labels, teacher, LossConfig(chunk=32, temperature=tau), 0.7)
        results.append((sums.detached(), *torch.autograd.grad(sums.objective, (hidden, head))))
    for cached, online in zip(*results, strict=True):
        torch.testing.assert_close(cached, online, rtol=0, atol=0)


def test_sixteen_bits_are_within_a_step(caches):
    cached = TargetReader(caches / "dense-16", KEYS["dense-16"]).read(ORDER).at(slice(None))
    online = Teacher().online(KEYS["dense-16"], ORDER).at(slice(None))
    assert (cached.log_probs - online.log_probs).abs().max() < 2**-11
    torch.testing.assert_close(cached.probs.sum(-1), torch.ones(len(cached.probs)))


def test_top_tokens_are_the_online_ones_to_16_bits(caches):
    cached = TargetReader(caches / "top-k", KEYS["top-k"]).read(ORDER).at(slice(None))
    online = Teacher().online(KEYS["top-k"], ORDER).at(slice(None))
    assert isinstance(cached, TailTargets)
    assert (cached.ids == online.ids).all()
    assert (cached.log_probs - online.log_probs).abs().max() < 2**-11
    assert (cached.log_tail - online.log_tail).abs().max() < 2**-11
    total = cached.log_probs.exp().sum(-1) + cached.log_tail.exp()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_samples_are_the_online_ones(caches):
    cached = TargetReader(caches / "sampled", KEYS["sampled"]).read(ORDER).at(slice(None))
    online = Teacher().online(KEYS["sampled"], ORDER).at(slice(None))
    assert isinstance(cached, PointTargets)
    for name in ("ids", "weights", "lost_mass"):
        torch.testing.assert_close(getattr(cached, name), getattr(online, name), rtol=0, atol=0)
    assert (cached.entropy - online.entropy).abs().max() < 2**-12 + 1e-6


@pytest.mark.parametrize("kind", KEYS)
def test_any_order_of_blocks_gives_the_same_targets(caches, kind):
    reader = TargetReader(caches / kind, KEYS[kind])
    assert len(reader) == BLOCKS
    together = reader.read(np.array(ORDER)).at(slice(None))
    for place, block in enumerate(ORDER):
        alone = reader.read([block]).at(slice(None))
        for name, value in vars(alone).items():
            there = getattr(together.at(slice(place * CONTEXT, (place + 1) * CONTEXT)), name)
            if value.ndim == 2:
                there = there[:, : value.shape[1]]
            torch.testing.assert_close(value, there, rtol=0, atol=0)


def test_top_tokens_of_a_teacher_that_knows_fewer():
    log_probs = torch.full((CONTEXT, VOCABULARY), IMPOSSIBLE)
    log_probs[:, :3] = torch.tensor([0.5, 0.3, 0.2]).log()
    top = top_k(log_probs, 5)
    back = decode(KEYS["top-k"], [encode(KEYS["top-k"], [top])], 1)
    assert (back.ids == top.ids).all()
    assert (back.log_probs[:, 3:] == IMPOSSIBLE).all()
    torch.testing.assert_close(back.log_probs, top.log_probs, rtol=0, atol=5e-4)


def test_kept_tokens_that_16_bits_cannot_tell_from_nothing_go_to_the_tail():
    log_probs = torch.full((CONTEXT, VOCABULARY), -50.0)
    log_probs[:, 7:10] = torch.tensor([0.5, 0.3, 0.2]).log()
    back = decode(KEYS["top-k"], [encode(KEYS["top-k"], [top_k(log_probs, 5)])], 1)
    assert (back.ids == torch.tensor([7, 8, 9, 7, 7])).all()
    assert (back.log_probs[:, 3:] == IMPOSSIBLE).all()


@given(st.integers(1, 40), st.sampled_from([3, 255, 256, 70_000]), st.integers(1, 300), st.integers(0, 99))
def test_samples_survive_bytes_at_every_size(context, vocabulary, samples, seed):
    key = replace(KEYS["sampled"], context=context, vocabulary=vocabulary, samples=samples, seed=seed)
    g = torch.Generator().manual_seed(seed)
    log_probs = torch.log_softmax(3 * torch.randn(context, vocabulary, generator=g), -1)
    targets = key.offer.of(log_probs, uniforms(seed, [0], context))
    data = encode(key, [targets.at(slice(0, context // 2)), targets.at(slice(context // 2, context))])
    back = decode(key, [data], 1)
    torch.testing.assert_close(back.ids, targets.ids, rtol=0, atol=0)
    torch.testing.assert_close(back.weights, targets.weights, rtol=0, atol=0)
    assert len(data) <= raw_bytes(key)


@pytest.mark.parametrize("kind", KEYS)
def test_sizes_are_as_announced(kind):
    key = KEYS[kind]
    targets = Teacher().online(key, [0]).at(slice(None))
    assert len(encode(key, [targets])) <= raw_bytes(key)
    if kind != "sampled":
        assert len(encode(key, [targets])) == raw_bytes(key)


@pytest.mark.parametrize(
    ("kind", "offer", "expected"),
    [
        ("dense", Offer(targets="top-1"), PointTargets),
        ("dense", Offer(targets="top-p", top_p=0.5), TailTargets),
        ("dense-16", Offer(targets="top-k", top_k=3, tail="renormalise"), PointTargets),
        ("top-k", Offer(targets="top-k", top_k=5), TailTargets),
        ("top-k", Offer(targets="top-k", top_k=5, tail="renormalise"), PointTargets),
        ("sampled", Offer(targets="sampled", samples=7), PointTargets),
        ("dense", Offer(targets="sampled", samples=7), None),
        ("top-k", Offer(targets="top-k", top_k=4), None),
        ("top-k", Offer(), None),
        ("sampled", Offer(targets="sampled", samples=8), None),
    ],
)
def test_a_cache_serves_what_it_can_and_refuses_the_rest(caches, kind, offer, expected):
    if expected is None:
        with pytest.raises(ValueError, match=f"of kind '{kind}' .* cannot serve targets '{offer.targets}'"):
            TargetReader(caches / kind, KEYS[kind], offer)
    else:
        assert isinstance(TargetReader(caches / kind, KEYS[kind], offer).read([1]).at(slice(None)), expected)


@pytest.mark.parametrize("field", [name for name in asdict(KEY) if name not in ("kind", "samples", "seed")])
def test_a_mismatch_is_refused_and_names_both(cache, field):
    value = getattr(KEYS["top-k"], field)
    other = value + "x" if isinstance(value, str) else value * 2
    wanted = replace(KEYS["top-k"], **{field: other})
    for use in (
        lambda: TargetReader(cache, wanted),
        lambda: capture(cache, wanted, Blocks(), Teacher()),
    ):
        with pytest.raises(ValueError, match=f"{field} {value!r}, wanted {other!r}"):
            use()


def test_a_mismatch_of_kind_and_seed_is_refused(caches):
    with pytest.raises(ValueError, match="kind 'dense', wanted 'dense-16'"):
        TargetReader(caches / "dense", KEYS["dense-16"])
    with pytest.raises(ValueError, match="seed 0, wanted 1"):
        TargetReader(caches / "sampled", replace(KEYS["sampled"], seed=1))


def test_data_of_another_size_is_refused(cache):
    with pytest.raises(ValueError, match="is for 11 blocks, the data has 12"):
        capture(cache, KEYS["top-k"], Blocks(12), Teacher())
    with pytest.raises(ValueError, match="context of 15, the target cache's key 16"):
        capture(cache.parent / "other", KEYS["top-k"], Blocks(context=15), Teacher())
    with pytest.raises(ValueError, match="no blocks to capture"):
        capture(cache.parent / "none", KEYS["top-k"], Blocks(0), Teacher())


def test_a_capture_that_failed_resumes_and_ends_bit_identically(cache, tmp_path):
    seen = []

    class Dies(Teacher):
        def __call__(self, tokens):
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().__call__(tokens)

    with pytest.raises(KeyboardInterrupt):
        capture(tmp_path / "again", KEYS["top-k"], Blocks(), Dies(), batch=2, shard_blocks=4)
    summary = describe(tmp_path / "again")
    assert (summary.captured_blocks, summary.blocks) == (4, 11)
    with pytest.raises(ValueError, match=r"shard-000001\.targets.*cannot be read .*capture again to complete"):
        TargetReader(tmp_path / "again", KEYS["top-k"])
    [missing] = faults(tmp_path / "again")
    assert "shard-000001.targets' is not there, nor those up to number 2; capture again to complete it" in missing
    teacher = Teacher()
    capture(tmp_path / "again", KEYS["top-k"], Blocks(), teacher, batch=2, progress=lambda *done: seen.append(done))
    assert seen == [(4, 11), (8, 11), (11, 11)]
    assert teacher.calls == 4  # of 6: the first shard was kept
    assert contents(tmp_path / "again") == contents(cache)


def test_a_capture_that_was_killed_resumes_and_ends_bit_identically(cache, tmp_path):
    script = """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        import test_target_cache as t
        class Dies(t.Teacher):
            def __call__(self, tokens):
                if self.calls == 7:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().__call__(tokens)
        t.capture(Path(sys.argv[1]), t.KEYS["top-k"], t.Blocks(), Dies(), batch=1, shard_blocks=4)
    """
    folder = os.path.dirname(__file__)  # noqa: PTH120
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "again"), folder]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert describe(tmp_path / "again").captured_blocks == 4
    capture(tmp_path / "again", KEYS["top-k"], Blocks(), Teacher(), batch=1)
    assert contents(tmp_path / "again") == contents(cache)


@pytest.mark.parametrize("kind", KEYS)
def test_ranks_and_batches_do_not_change_the_files(caches, tmp_path, kind):
    for rank in (1, 0):
        capture(tmp_path, KEYS[kind], Blocks(), Teacher(), batch=5, shard_blocks=4, rank=rank, world=2)
    assert contents(tmp_path) == contents(caches / kind)


def test_every_flipped_byte_is_found(cache):
    def read_all():
        reader = TargetReader(cache, KEYS["top-k"])
        for block in range(BLOCKS):
            reader.read([block])

    read_all()
    for file in sorted(cache.iterdir()):
        data = bytearray(file.read_bytes())
        for place in range(0, len(data), 5):
            data[place] ^= 0x04
            file.write_bytes(data)
            with pytest.raises(ValueError, match=r"damaged|does not belong|is for something else"):
                read_all()
            data[place] ^= 0x04
        file.write_bytes(data)
    read_all()
    assert faults(cache) == []


def test_damage_is_named(cache):
    file = cache / "shard-000001.targets"
    data = bytearray(file.read_bytes())
    data[-3] ^= 0xFF
    file.write_bytes(data)
    reader = TargetReader(cache, KEYS["top-k"])
    reader.read([4, 5, 6, 8])  # other blocks stay usable
    with pytest.raises(ValueError, match=r"block 7 in target shard '.*shard-000001\.targets' is damaged.*delete the"):
        reader.read([4, 7])
    assert [fault.split(" in ")[0] for fault in faults(cache)] == ["block 7"]
    (cache / "shard-000000.targets").write_bytes(b"")
    seen = []
    assert len(faults(cache, lambda *done: seen.append(done))) == 2
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("keep", [0, 1, 50, 200, -1])
def test_a_truncated_shard_is_refused_by_readers_and_by_resuming(cache, keep):
    file = cache / "shard-000002.targets"
    file.write_bytes(file.read_bytes()[:keep])
    message = r"shard-000002\.targets' (is truncated to \d+ bytes|has \d+ bytes where its index says \d+)"
    with pytest.raises(ValueError, match=message):
        TargetReader(cache, KEYS["top-k"])
    with pytest.raises(ValueError, match=message):
        capture(cache, KEYS["top-k"], Blocks(), Teacher())
    before = describe(cache).captured_blocks
    file.unlink()
    capture(cache, KEYS["top-k"], Blocks(), Teacher())
    assert before == describe(cache).captured_blocks == BLOCKS
    assert faults(cache) == []


def test_shards_of_another_cache_are_refused(cache, tmp_path):
    capture(tmp_path / "other", replace(KEYS["top-k"], teacher="m1"), Blocks(), Teacher(), shard_blocks=4)
    (tmp_path / "other" / "shard-000001.targets").replace(cache / "shard-000001.targets")
    with pytest.raises(ValueError, match=r"shard-000001\.targets.* does not belong to the manifest beside it"):
        TargetReader(cache, KEYS["top-k"])
    (cache / "shard-000001.targets").write_bytes((cache / "shard-000000.targets").read_bytes())
    with pytest.raises(ValueError, match=r"shard-000001\.targets.* does not belong to the manifest beside it"):
        TargetReader(cache, KEYS["top-k"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=2), "format 2, this version reads 1"),
        (lambda m: m.update(blocks=0), "is damaged"),
        (lambda m: m.update(unknown=1), "is damaged"),
        (lambda m: m.pop("shard_blocks"), "is damaged"),
        (lambda m: m.pop("teacher"), "is damaged"),
        (lambda m: m.update(vocabulary="many"), "is damaged"),
        (lambda m: m.update(blocks=10), "does not belong to the manifest"),
    ],
)
def test_damaged_manifests_are_refused(cache, change, message):
    manifest = json.loads((cache / "manifest.json").read_text())
    change(manifest)
    (cache / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=message):
        TargetReader(cache, KEYS["top-k"])


def test_what_is_no_cache_is_refused(tmp_path):
    for use in (describe, faults, lambda path: TargetReader(path, KEY)):
        with pytest.raises(ValueError, match=r"is not a target cache: no manifest\.json"):
            use(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match=r"manifest of target cache .* is damaged"):
        describe(tmp_path)


def test_blocks_out_of_range_are_refused(cache):
    reader = TargetReader(cache, KEYS["top-k"])
    for block in (-1, BLOCKS):
        with pytest.raises(ValueError, match=f"has blocks 0 to 10, not {block}"):
            reader.read([0, block])


def test_a_summary_says_what_a_token_takes(cache):
    summary = describe(cache)
    files = sum(file.stat().st_size for file in cache.glob("*.targets"))
    assert summary.key == KEYS["top-k"]
    assert (summary.blocks, summary.captured_blocks, summary.bytes) == (BLOCKS, BLOCKS, files)
    assert summary.bytes_per_token == files / (BLOCKS * CONTEXT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "top-p"}, "kind 'top-p' is unknown; choose dense, dense-16, top-k, sampled"),
        ({"context": 0}, "context and vocabulary must be 1 or more, got 0 and 60"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"kind": "sampled", "samples": 3}, "seed is None for targets of kind 'sampled'"),
        ({"seed": 0}, "seed is 0 for targets of kind 'dense'"),
        ({"kind": "top-k"}, "top_k is missing"),
        ({"kind": "top-k", "top_k": 61}, "top_k is 61, more than the vocabulary of 60"),
        ({"kind": "sampled", "seed": 0, "samples": 70_000}, "samples must be 65535 or fewer"),
        ({"samples": 3}, "samples is 3, but it is for targets 'sampled'"),
    ],
)
def test_keys_that_mean_nothing_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(KEY, **change)


MANIFESTS = {
    "blocks": [10**12, 1e12, 0, -1, True, "11", None, 10**30, [], float("nan")],
    "shard_blocks": [0, 1.5, "4", {}],
    "format": [2, None, "1", [1]],
    "context": [10**30, "16", 1.5, None],
    "vocabulary": [-1, True],
    "temperature": [0, "1", float("inf"), True, None],
    "top_k": ["5", 10**9, -1],
    "teacher": [5, None, ["m"]],
    "kind": ["none", 3],
    "novel": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MANIFESTS.items() for value in values])
def test_a_manifest_of_nonsense_is_refused_or_found_wanting(name, value, cache):
    """In no time: a cache of 1e12 blocks is described, and what it lacks is one line."""
    file = cache / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    if value is MANIFESTS["blocks"][0]:
        assert describe(cache).captured_blocks == 3 * 4  # as many as its files could hold
        *damaged, missing = faults(cache)
        assert len(damaged) == 3  # they belong to another manifest
        assert "shard-000003.targets' is not there, nor those up to number 249999999999" in missing
        return
    with pytest.raises(ValueError, match=r"^manifest of target cache '.*' is damaged"):
        describe(cache)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "3", "", '{"format": 1}', b"\xff"])
def test_a_manifest_that_is_none_is_refused(content, cache):
    (cache / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"^manifest of target cache '.*' is damaged"):
        describe(cache)


def test_an_index_that_asks_for_more_than_there_is_is_refused(cache):
    """Its checksum is right: whoever exchanges a file can write that too."""
    file = cache / "shard-000000.targets"
    whole, at = file.read_bytes(), 48  # where the first entry begins
    for field, value in ((0, 2**63), (8, 2**62), (16, 2**62)):
        content = bytearray(whole)
        content[at + field : at + field + 8] = struct.pack("<Q", value)
        end = at + 4 * 28
        content[end : end + 4] = zlib.crc32(bytes(content[:end])).to_bytes(4, "little")
        file.write_bytes(content)
        assert any("names more than can be in it" in line for line in faults(cache))
