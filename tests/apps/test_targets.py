"""`distlaw targets capture`, killed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from distlaw.apps.cli import main

torch = pytest.importorskip("torch")

DATA = {"source": "synthetic", "synthetic_tokens": 330_000, "vocab_size": 256, "context": 32}
MODEL = {"layers": 1, "head_size": 8}
TRAINING = {"tokens": 30_000, "batch_tokens": 512, "validation_tokens": 512}


def killed_when(moment, words):
    """Start the command and kill it as soon as something is true."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distlaw", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not moment():
        time.sleep(0.001)
    process.kill()
    said = process.communicate()
    assert process.returncode == -9, said


def contents(folder: Path):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return -1


@pytest.mark.slow
def test_a_capture_that_is_killed_goes_on_to_the_same_bytes(tmp_path):
    """Within the first file, right after it, and within the last: each kill leaves whole files, and they stay."""
    torch.set_num_threads(1)
    (tmp_path / "teacher.toml").write_text(tomli_w.dumps({"data": DATA, "model": MODEL, "training": TRAINING}))
    student = {"data": DATA, "model": MODEL, "training": TRAINING, "teacher": {"path": str(tmp_path / "teacher")}}
    (tmp_path / "student.toml").write_text(tomli_w.dumps(student))
    cache = ["--cache", str(tmp_path / "cache")]
    assert main(["train", str(tmp_path / "teacher.toml"), "--out", str(tmp_path / "teacher"), *cache]) == 0
    words = ["targets", "capture", str(tmp_path / "student.toml"), *cache, "--out"]
    assert main([*words, str(tmp_path / "undisturbed")]) == 0
    expected = contents(tmp_path / "undisturbed")
    first, *_, last = shards = sorted(expected.keys() - {"manifest.json"})
    assert len(shards) >= 3
    folder, kept = tmp_path / "targets", {}
    for moment, finished in (
        (lambda: size(folder / "shard-000000.part") > 100_000, 0),
        (lambda: size(folder / first) > 0, 1),
        (lambda: size(folder / last.replace(".targets", ".part")) > 100_000, len(shards) - 1),
    ):
        killed_when(moment, [*words, str(folder)])
        whole = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.targets")}
        assert finished <= len(whole) < len(shards)  # a busy machine may come to it late
        assert kept.items() <= whole.items()  # none is written again
        assert {name: (folder / name).read_bytes() for name in whole}.items() <= expected.items()
        assert sorted(file.suffix for file in folder.iterdir() if file.name not in whole) in (
            [".json", ".lock", ".part"],
            [".json", ".lock"],
        )
        kept = whole
    assert main([*words, str(folder)]) == 0
    assert contents(folder) == expected
    assert main(["targets", "inspect", str(folder), "--verify"]) == 0
