"""Two gloo processes under torchrun against one process: the same losses, weights and records."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.waiting import LONG

from distlaw.apps.cli import main

TEACHER = """
[data]
limit_bytes = 300_000
context = 32
vocab_size = 300
validation_share = 0.2
student_share = 0.4
[model]
layers = {layers}
head_size = 8
[training]
tokens = 6_144
batch_tokens = 512
checkpoint_every = 4
log_every = 1
validation_tokens = 2048
"""
STUDENT = (
    TEACHER
    + """
[teacher]
path = "unset"
[[students]]
name = "distilled"
[[students]]
name = "sampled"
seed = 1
loss = {{ targets = "sampled", samples = 4, mixing = 0.8 }}
"""
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "teacher.toml").write_text(TEACHER.format(layers=2))
    (folder / "student.toml").write_text(STUDENT.format(layers=1))
    torch.set_num_threads(1)
    assert main(["train", str(folder / "teacher.toml"), *places(folder, "teacher")]) == 0
    words = ["distill", str(folder / "student.toml"), "--teacher", str(folder / "teacher")]
    assert main([*words, *places(folder, "alone")]) == 0
    return folder, words


def places(folder: Path, name: str) -> list[str]:
    return ["--out", str(folder / name), "--cache", str(folder / "cache")]


def torchrun(
    words: list[str], ranks: int = 2, program: tuple[str, ...] = ("-m", "distlaw")
) -> subprocess.CompletedProcess:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.run([*launch, *program, *words], env=env, capture_output=True, text=True, timeout=LONG)


def losses(folder: Path):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["cross_entropy"] for line in lines], [line.get("kl") for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(("sharding", "micro"), [("ddp", 64), ("full", 512)])
def test_two_ranks_compute_what_one_does(study, sharding, micro):
    folder, words = study
    name = f"{sharding}-{micro}"
    more = ["--sharding", sharding, "--set", f"training.micro_batch_tokens={micro}"]
    done = torchrun([*words, *places(folder, name), *more])
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(losses(folder / name), losses(folder / "alone"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    for student in ("distilled", "sampled"):
        one, two = (folder / run / "students" / student for run in ("alone", name))
        a, b = (json.loads((where / "record.json").read_text()) for where in (one, two))
        assert b["ranks"] == 2
        for key in ("student_loss", "teacher_loss", "compute", "student_params", "student_tokens"):
            assert b[key] == pytest.approx(a[key], rel=1e-4)
        weights = load_file(two / "export" / "model.safetensors")
        for key, weight in load_file(one / "export" / "model.safetensors").items():
            torch.testing.assert_close(weights[key], weight, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_a_run_goes_on_under_another_number_of_ranks(study):
    """Checkpoints know nothing of ranks: four steps by two processes, the rest by one."""
    folder, words = study
    assert torchrun([*words, *places(folder, "half"), "--sharding", "full"]).returncode == 0
    run = folder / "half"
    for left in [*run.rglob("record.json"), run / "checkpoints" / "step-00000012"]:
        if left.is_dir():
            for file in left.iterdir():
                file.unlink()
            left.rmdir()
        else:
            left.unlink()
    assert main([*words, *places(folder, "half")]) == 0
    assert losses(run)[0] == pytest.approx(losses(folder / "alone")[0], rel=1e-4)


@pytest.mark.slow
def test_ranks_that_cannot_share_a_batch_are_told_so(study):
    folder, words = study
    done = torchrun([*words, *places(folder, "three"), "--set", "training.batch_tokens=160"], ranks=2)
    assert done.returncode != 0
    assert "batch_tokens (160) hold 5 blocks, which 2 ranks cannot share" in done.stderr


LATE = """
import os, sys, time
from contextlib import contextmanager
from distlaw.apps.cli import main
from distlaw.train import loop, run_directory

rank, own, written = int(os.environ["RANK"]), loop.require_own, run_directory.write_config

def require_own(out, config):
    time.sleep(2 * rank)  # the second looks while the first is writing
    own(out, config)

def write_config(config, path):
    (path.parent / ".distlaw-half-written.toml").write_text("")
    time.sleep(4)
    (path.parent / ".distlaw-half-written.toml").unlink()
    written(config, path)

loop.require_own, run_directory.write_config = require_own, write_config
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_rank_that_comes_late_finds_its_new_directory_as_the_others_did(study):
    folder, _ = study
    (folder / "late.py").write_text(LATE)
    words = ["train", str(folder / "teacher.toml"), *places(folder, "late"), "--set", "training.tokens=512"]
    done = torchrun(words, program=(str(folder / "late.py"),))
    assert done.returncode == 0, done.stderr
    assert (folder / "late" / "record.json").exists()


HELD = """
import gc, sys
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from distlaw.apps.cli import main

destroy = dist.destroy_process_group

def after_the_models():
    held = sum(type(one) is DistributedDataParallel for one in gc.get_objects())
    print(f"<held {held}>", file=sys.stderr)
    destroy()

dist.destroy_process_group = after_the_models
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("more", "status"), [([], 0), (["--set", "training.rate=1e6"], 1)], ids=["done", "exploded"])
def test_models_go_before_the_process_group_which_would_else_wait_for_itself(study, more, status):
    folder, _ = study
    (folder / "held.py").write_text(HELD)
    words = ["train", str(folder / "teacher.toml"), *places(folder, f"held-{status}"), "--set", "training.tokens=4096"]
    done = torchrun([*words, *more], program=(str(folder / "held.py"),))
    assert done.returncode == status, done.stderr
    assert done.stderr.count("<held 0>") == 2
    assert ("went astray" in done.stderr) == bool(status)
