"""Training in bf16: matrix products in 16 bits, and nothing that has to last."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from distlaw.train import loop
from distlaw.train.config import config_of
from distlaw.train.loop import run
from distlaw.train.model import hidden_states
from distlaw.train.prepare import prepare
from distlaw.train.students import Students, optimizers
from distlaw.train.teacher import open_teacher

DATA = {"source": "synthetic", "synthetic_tokens": 200_000, "vocab_size": 64, "context": 32}
TRAINING = {"tokens": 30_720, "batch_tokens": 512, "log_every": 1, "checkpoint_every": 10, "validation_tokens": 8192}
BOTH = pytest.mark.parametrize("precision", ["bf16", "fp32"])


def config(precision, *, distill=False, tokens=30_720, **changes):
    training = {**TRAINING, "precision": precision, "tokens": tokens}
    return config_of(
        {"data": DATA, "model": {"layers": 1, "head_size": 8}, "training": training, **changes}, distill=distill
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    for precision in ("bf16", "fp32"):
        assert run(config(precision), folder / precision, cache=cache).finished
    return folder


def losses(folder, name="cross_entropy"):
    return np.array([json.loads(line)[name] for line in (folder / "metrics.jsonl").read_text().splitlines()])


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "export" / "model.safetensors")


def test_a_run_learns_as_in_fp32(trained):
    """Step by step; 0.004 seen."""
    ours, theirs = losses(trained / "bf16"), losses(trained / "fp32")
    assert ours[0] > np.log(64)
    assert ours[-5:].mean() < 0.7 * ours[0]
    assert np.abs(ours - theirs).max() < 0.03
    assert not np.array_equal(ours, theirs)  # something was in 16 bits
    a, b = (json.loads((trained / name / "record.json").read_text()) for name in ("bf16", "fp32"))
    assert a["student_loss"] == pytest.approx(b["student_loss"], abs=0.01)
    assert a["run"] != b["run"]


def test_a_distilled_student_learns_as_in_fp32(trained, cache, tmp_path):
    for precision in ("bf16", "fp32"):
        student = config(precision, distill=True, teacher={"path": str(trained / "fp32")}, seed=1)
        run(student, tmp_path / precision, cache=cache)
    for name in ("cross_entropy", "kl"):
        assert np.abs(losses(tmp_path / "bf16", name) - losses(tmp_path / "fp32", name)).max() < 0.03
    e = json.loads((tmp_path / "bf16" / "record.json").read_text())["evaluation"]
    teacher = json.loads((trained / "fp32" / "record.json").read_text())
    assert e["teacher_cross_entropy"] == pytest.approx(teacher["student_loss"], rel=1e-6)  # measured in fp32


@pytest.fixture
def students(trained, cache):
    """A student and its teacher, not trained, and what they read."""
    teacher, data = open_teacher(trained / "fp32"), prepare(config("bf16").data, cache)
    blocks = torch.from_numpy(data.split("student").read(np.arange(16)))

    def build(precision, **loss):
        c = config(precision, distill=True, teacher={"path": "unused"}, loss=loss, seed=1)
        return Students(c.students, c.training, vocab_size=64, context=32, teacher=teacher), blocks

    return build


@BOTH
def test_what_lasts_is_in_fp32(students, precision):
    module, blocks = students(precision)
    seen = []
    module.models[0].model.layers[0].mlp.down_proj.register_forward_hook(lambda *words: seen.append(words[-1].dtype))
    [optimizer] = optimizers(module)
    for _ in range(2):
        [loss] = module(blocks, [0.5])
        loss.objective.backward()
        assert {p.grad.dtype for p in module.models[0].parameters()} == {torch.float32}
        optimizer.step()
    if precision == "bf16":
        assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    kept = [value for state in optimizer.state.values() for value in state.values()]
    assert len(kept) > 20
    assert {value.dtype for value in kept} == {torch.float32}


def test_checkpoints_and_exports_are_in_fp32(trained):
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    assert {w.dtype for w in weights(trained / "bf16").values()} == {torch.float32}
    entries = (
        HuggingFaceStorageReader(trained / "bf16" / "checkpoints" / "step-00000060").read_metadata().state_dict_metadata
    )
    types = {
        entry.properties.dtype
        for name, entry in entries.items()
        if name.startswith(("models.", "optimizers."))
        if hasattr(entry, "properties")
    }
    assert types == {torch.float32}


def test_losses_are_summed_in_64_bits_and_taken_in_32(students):
    """From 16-bit logits on, the loss is what one gets from them in float64."""
    module, blocks = students("bf16")
    model = module.models[0]
    [loss] = module(blocks, [0.5])
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = hidden_states(model, blocks[:, :-1]).flatten(0, 1) @ model.lm_head.weight.T
    assert logits.dtype == torch.bfloat16
    expected = F.cross_entropy(logits.double(), blocks[:, 1:].flatten(), reduction="sum")
    assert float(loss.cross_entropy) == pytest.approx(float(expected), rel=1e-6)
    assert float(loss.z) == pytest.approx(float(logits.double().logsumexp(-1).square().sum()), rel=1e-6)
    assert {value.dtype for value in vars(loss).values()} == {torch.float64}


@pytest.mark.parametrize(
    "loss",
    [
        {},
        {"mixing": 0.0},
        {"temperature": 2.0},
        {"divergence": "jsd"},
        {"divergence": "reverse-kl"},
        {"targets": "top-k", "top_k": 8},
        {"targets": "top-p", "top_p": 0.8},
        {"targets": "sampled", "samples": 8},
        {"targets": "top-1"},
    ],
    ids=str,
)
def test_every_loss_has_the_gradient_of_fp32(students, loss):
    """Up to the rounding of 16 bits, which is 1 part in 256 a product; choices fall otherwise where it is close."""
    found = {}
    for precision in ("bf16", "fp32"):
        module, blocks = students(precision, **loss)
        [sums] = module(blocks, [loss.get("mixing", 1.0)], np.arange(16))
        sums.objective.backward()
        found[precision] = torch.cat([p.grad.flatten() for p in module.models[0].parameters()]), sums.detached()
    (ours, our_sums), (theirs, their_sums) = found["bf16"], found["fp32"]
    assert float((ours - theirs).norm() / theirs.norm()) < (0.1 if "targets" in loss else 0.02)
    torch.testing.assert_close(our_sums, their_sums, rtol=0.01, atol=2.0, equal_nan=True)


class Stop(Exception):
    pass


@pytest.mark.parametrize("step", [7, 13])
def test_goes_on_bit_for_bit(trained, cache, tmp_path, step):
    def progress(at):
        if at.step == step:
            raise Stop

    with pytest.raises(Stop):
        run(config("bf16"), tmp_path / "run", cache=cache, progress=progress)
    assert run(config("bf16"), tmp_path / "run", cache=cache).finished
    assert np.array_equal(losses(tmp_path / "run"), losses(trained / "bf16"))
    for name, weight in weights(tmp_path / "run").items():
        assert torch.equal(weight, weights(trained / "bf16")[name])


def test_speed_is_held_against_products_of_the_same_precision(cache, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(loop, "matmul_peak", lambda _device, dtype: asked.append(dtype) or 1.0)
    for precision in ("bf16", "fp32"):
        run(config(precision, tokens=512), tmp_path / precision, cache=cache, progress=lambda _: None)
    assert asked == [torch.bfloat16, torch.float32]


def test_a_run_does_not_change_its_precision_on_the_way(trained, cache):
    other = replace(config("bf16"), training=replace(config("bf16").training, precision="fp32"))
    with pytest.raises(ValueError, match=r"its training.precision differs"):
        run(other, trained / "bf16", cache=cache)
