"""`distlaw targets capture`, killed."""

import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from distlaw.apps.cli import main

torch = pytest.importorskip("torch")

DATA = {"source": "synthetic", "synthetic_tokens": 330_000, "vocab_size": 256, "context": 32}
MODEL = {"layers": 1, "head_size": 8}
TRAINING = {"tokens": 30_000, "batch_tokens": 512, "validation_tokens": 512}


HELD = """
import sys, threading
from pathlib import Path
from distlaw.apps.cli import main
from distlaw.train import target_cache

folder, file, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
records = target_cache._records

def held(*words):
    for each in records(*words):
        yield each
        if (folder / file).exists() and (folder / file).stat().st_size > size:
            print("here", flush=True)
            threading.Event().wait()  # until it is killed

target_cache._records = held
main(sys.argv[4:])
"""


def killed_at(folder, file, size, words):
    """Start the command, which stands still as soon as a file has more than so many bytes, and kill it there."""
    command = [sys.executable, "-c", HELD, str(folder), file, str(size), *words, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.kill()
    assert process.returncode == -9


def contents(folder: Path):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


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
    for file, size, finished in (
        ("shard-000000.part", 100_000, 0),
        (first, 0, 1),
        (last.replace(".targets", ".part"), 100_000, len(shards) - 1),
    ):
        killed_at(folder, file, size, words)
        whole = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.targets")}
        assert len(whole) == finished
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
