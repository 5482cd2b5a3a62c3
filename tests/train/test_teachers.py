"""Foreign teachers are exact or refused: tiny random models of many families, and folders with something wrong."""

import contextlib
import json
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from distlaw.train.config import config_of
from distlaw.train.evaluate import evaluate
from distlaw.train.loop import run
from distlaw.train.model import hidden_states
from distlaw.train.model_folder import hashes
from distlaw.train.prepare import prepare
from distlaw.train.stored import capture_targets
from distlaw.train.targets import OnlineTeacher
from distlaw.train.teacher import open_teacher

VOCABULARY = 300
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "rotary_dim": 8}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SMALL_HEAD = {"head_dim": 16}
GEMMA = {**SMALL_HEAD, "query_pre_attn_scalar": 16}

FAMILIES = {
    "apertus": {},
    "cohere": {"logit_scale": 0.25},
    "cohere2": {"logit_scale": 0.25, **SMALL_HEAD},
    "falcon": {"new_decoder_architecture": True},
    "gemma": SMALL_HEAD,
    "gemma2": {**GEMMA, "final_logit_softcapping": 30.0},
    "gemma3_text": GEMMA,
    "gpt2": GPT2,
    "gpt_neox": {},
    "gpt_oss": {**SMALL_HEAD, **EXPERTS},
    "gptj": GPT2,  # its output layer has a bias
    "granite": {"logits_scaling": 8.0},
    "granitemoe": {"logits_scaling": 6.0, **EXPERTS},
    "helium": SMALL_HEAD,
    "hyperclovax": {"logits_scaling": 5.0, **SMALL_HEAD},  # multiplies where Granite divides
    "llama": {},
    "mistral": {},
    "mixtral": EXPERTS,
    "nanochat": {},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {},
    "olmoe": EXPERTS,
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 64},
    "phi": {},  # its output layer has a bias
    "phi3": {},
    "qwen2": {},
    "qwen2_moe": {"shared_expert_intermediate_size": 32, **EXPERTS},
    "qwen3": SMALL_HEAD,
    "qwen3_moe": {**SMALL_HEAD, **EXPERTS},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "vaultgemma": GEMMA,
}
DATA = {"source": "synthetic", "synthetic_tokens": 40_000, "vocab_size": VOCABULARY, "context": 32}


def build(family: str, folder: Path, **changes):
    """A random model of a family, its logits as wide as a trained one's, and its folder."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **{**SHAPE, **FAMILIES.get(family, {}), **changes})
        model = AutoModelForCausalLM.from_config(config).float().eval()
        with torch.no_grad():
            layer = model.get_output_embeddings()
            layer.weight.normal_(std=2.0)
            if getattr(layer, "bias", None) is not None:
                layer.bias.normal_(std=2.0)
    model.save_pretrained(folder)
    return model


def own_log_probs(model, tokens):
    with torch.no_grad():
        return torch.log_softmax(model(input_ids=tokens, use_cache=False).logits.flatten(0, 1), -1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_teachers_distribution_is_the_models_own(family, tmp_path):
    model = build(family, tmp_path)
    teacher = open_teacher(tmp_path)
    tokens = torch.arange(64).view(2, 32) * 3
    with torch.no_grad():
        hidden = hidden_states(teacher.model, tokens).flatten(0, 1)
    seen = OnlineTeacher(hidden, teacher.head, VOCABULARY)
    own = own_log_probs(model, tokens)
    torch.testing.assert_close(seen.log_probs(slice(None)), own, rtol=1e-5, atol=1e-5)
    # A chunk at a time, and a vocabulary that is cut.
    torch.testing.assert_close(seen.log_probs(slice(5, 9)), own[5:9], rtol=1e-5, atol=1e-5)
    cut = OnlineTeacher(hidden, teacher.head, 200).log_probs(slice(None))
    torch.testing.assert_close(cut, torch.log_softmax(own[:, :200], -1), rtol=1e-5, atol=1e-5)


def test_the_documented_families_are_the_tested_ones():
    """Those whose costs are counted, and none else."""
    from transformers import AutoConfig

    from distlaw.costs import architecture_from_config

    counted = []
    for family in sorted(FAMILIES):
        config = AutoConfig.for_model(family, **{**SHAPE, **FAMILIES[family]})
        with contextlib.suppress(ValueError):
            architecture_from_config(config.to_dict(), n_ctx=32)
            counted.append(family)
    page = " ".join((Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8").split())
    assert ", ".join(f"`{family}`" for family in counted) in page
    assert f"with {len(FAMILIES) - len(counted)} families more" in page


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(config_of({"data": DATA}, distill=False).data, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("family", ["gemma2", "granite", "phi", "llama"])
def test_a_foreign_model_is_measured_as_it_measures_itself(family, data, tmp_path):
    """As model and as teacher."""
    model = build(family, tmp_path)
    teacher = open_teacher(tmp_path)
    blocks = data.split("validation")
    found = evaluate(teacher.model, blocks, vocab_size=VOCABULARY, tokens=256, teacher=teacher, head=teacher.head)
    tokens = torch.from_numpy(blocks.read(np.arange(8)))
    own = own_log_probs(model, tokens[:, :-1]).gather(1, tokens[:, 1:].reshape(-1, 1))
    assert found.cross_entropy == pytest.approx(-float(own.mean()), rel=1e-5)
    assert found.teacher_cross_entropy == pytest.approx(found.cross_entropy, rel=1e-6)
    assert found.kl == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("bert", "depends on the tokens after it: it is no causal language model"),
        ("modernbert-decoder", "cannot be had from its last hidden states and output layer"),
    ],
)
def test_what_cannot_be_exact_is_refused(family, message, tmp_path):
    build(family, tmp_path)
    with pytest.raises(ValueError, match=f"^teacher '.*' is refused: .*{message}"):
        open_teacher(tmp_path)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    build("llama", folder)
    return folder


def edited(folder: Path, **changes):
    """A change of config.json; None drops an entry."""
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def reheaded(folder: Path, change):
    """A change of the header of the safetensors file, its length kept by spaces."""
    file = folder / "model.safetensors"
    content = file.read_bytes()
    [size] = struct.unpack("<Q", content[:8])
    header = change(content[8 : 8 + size].rstrip()).ljust(size)
    file.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + size :])


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def quantised(method):
    return lambda folder: edited(folder, quantization_config={"quant_method": method, "bits": 4})


def renamed(name, to):
    return lambda folder: reheaded(folder, lambda header: header.replace(name, to))


FAULTS = {
    "gptq": (quantised("gptq"), "it is quantised .*gptq"),
    "bitsandbytes": (quantised("bitsandbytes"), "it is quantised .*bitsandbytes"),
    "awq": (quantised("awq"), "it is quantised .*awq"),
    "mlx": (lambda f: edited(f, quantization={"group_size": 64, "bits": 4}), "it is quantised .*'quantization'"),
    "quantised, unknown": (
        lambda f: edited(f, model_type="novel", quantization_config={"quant_method": "hqq"}),
        "it is quantised .*hqq",
    ),
    "quantised text part": (
        lambda f: edited(f, text_config={"quantization_config": {"quant_method": "fp8"}}),
        "it is quantised .*fp8",
    ),
    "old gptq": (lambda f: (f / "quantize_config.json").write_text("{}"), r"it is quantised \(quantize_config.json"),
    "integers": (renamed(b'"dtype":"F32"', b'"dtype":"I32"'), "in model.safetensors is I32: it is quantised"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "merge the adapter"),
    "missing": (renamed(b"q_proj", b"q_prox"), "it lacks the tensor 'model.layers.0.self_attn.q_proj.weight' and 1"),
    "unexpected": (lambda f: edited(f, num_hidden_layers=1), "it has, and the model does not, the tensor"),
    "shape": (lambda f: edited(f, intermediate_size=60), "it cannot be opened .*"),
    "huge width": (lambda f: edited(f, hidden_size=10**6), "config.json is of .* parameters, and the weight files"),
    "many layers": (lambda f: edited(f, num_hidden_layers=10**9), "'num_hidden_layers' in config.json is 1000000000"),
    "layers, type": (lambda f: edited(f, num_hidden_layers="two"), "'num_hidden_layers' in config.json is two"),
    "width, type": (lambda f: edited(f, hidden_size="wide"), "it cannot be opened .*hidden_size"),
    "negative": (lambda f: edited(f, intermediate_size=-1), "it cannot be opened"),
    "unknown": (lambda f: edited(f, model_type="novel"), "it cannot be opened .*novel"),
    "no type": (lambda f: edited(f, model_type=None), "it cannot be opened .*model_type"),
    "type, type": (lambda f: edited(f, model_type=3), "it cannot be opened"),
    "list": (lambda f: (f / "config.json").write_text("[1]"), "config.json must hold a JSON object, not list"),
    "no json": (lambda f: (f / "config.json").write_bytes(b"\xff{"), "config.json is not JSON"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json is not JSON"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config.json cannot be read \(No such file"),
    "cut weights": (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 100), "cannot be read as safetensors"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "cannot be read as safetensors"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "it has no weights"),
    "index": (
        lambda f: [
            (f / "model.safetensors").rename(f / "a.safetensors"),
            (f / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../a.safetensors"}}'),
        ],
        "index.json names 'a.safetensors', which is not in the folder",
    ),
    "tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "is not a tokenizer.json"),
    "not finite": (lambda f: spoilt(f, float("nan")), "its logits are not finite"),
}


def spoilt(folder: Path, value: float):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_with_something_wrong_is_refused_with_one_line(fault, llama, tmp_path, capfd, caplog):
    change, message = FAULTS[fault]
    folder = copied(llama, tmp_path / "model")
    change(folder)
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match=message) as refusal:
        open_teacher(folder)
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)
    said = capfd.readouterr()
    assert said.out + said.err == ""
    assert not caplog.records


@pytest.mark.parametrize("what", ["missing", "a file.txt"])
def test_what_is_no_folder_is_no_teacher(what, tmp_path):
    (tmp_path / "a file.txt").write_text("dear")
    with pytest.raises(ValueError, match=r"is not there: name a run directory, a model folder or a .gguf file"):
        open_teacher(tmp_path / what)


def test_a_damaged_gguf_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(ValueError, match="is refused: it cannot be opened"):
        open_teacher(tmp_path / "model.gguf")


def test_no_code_of_a_folder_is_run(llama, tmp_path, monkeypatch):
    """Whatever one would answer to the question whether to trust it."""
    folder = copied(llama, tmp_path / "model")
    ran = tmp_path / "ran"
    for name in ("configuration_novel", "modeling_novel", "tokenization_novel"):
        (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'w')\nclass Novel: pass\n")
    classes = {
        "AutoConfig": "configuration_novel.Novel",
        "AutoModelForCausalLM": "modeling_novel.Novel",
        "AutoTokenizer": ["tokenization_novel.Novel", None],
    }
    edited(folder, model_type="novel", auto_map=classes)
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": classes, "tokenizer_class": "Novel"}))
    monkeypatch.setattr("builtins.input", lambda *_: "yes")
    with pytest.raises(ValueError, match="it cannot be opened"):
        open_teacher(folder)
    edited(folder, model_type="llama")
    open_teacher(folder)
    assert not ran.exists()


def test_a_teacher_is_all_of_its_files(llama, tmp_path):
    """Shape, settings and tokenizer are part of what it is; where it lies and a read-me are not."""
    whole = open_teacher(llama).hash
    changes = {
        "config.json": lambda f: edited(f, rms_norm_eps=0.1),
        "generation_config.json": lambda f: (f / "generation_config.json").write_text("{}"),
        "tokenizer_config.json": lambda f: (f / "tokenizer_config.json").write_text('{"eos_token": "x"}'),
        "model.safetensors": lambda f: spoilt(f, 0.5),
    }
    found = set()
    for name, change in changes.items():
        folder = copied(llama, tmp_path / name)
        (folder / "README.md").write_text("about it")
        assert hashes(folder)["model_hash"] == whole
        change(folder)
        found.add(open_teacher(folder).hash)
    assert len(found | {whole}) == 1 + len(changes)


def student(teacher: Path, **changes):
    training = {"tokens": 1024, "batch_tokens": 512, "validation_tokens": 512, "checkpoint_every": 1}
    content = {"data": DATA, "model": {"layers": 1, "head_size": 8}, "training": training}
    return config_of({**content, "teacher": {"path": str(teacher), **changes}}, distill=True)


@pytest.fixture(scope="module")
def knowing(tmp_path_factory):
    """Folder of a cache, and a teacher of ours that has learnt the synthetic language a little."""
    folder = tmp_path_factory.mktemp("knowing")
    training = {"tokens": 60_000, "batch_tokens": 1000 // 32 * 32, "validation_tokens": 512}
    torch.set_num_threads(1)
    content = {"data": DATA, "model": {"layers": 1, "head_size": 8}, "training": training}
    run(config_of(content, distill=False), folder / "teacher", cache=folder / "cache")
    return folder


def test_an_export_that_was_changed_is_another_teacher(knowing, tmp_path):
    """As a foreign folder, whose record nobody has: stored targets and a run that goes on refuse it."""
    original = copied(knowing / "teacher" / "export", tmp_path / "original")
    changed = copied(original, tmp_path / "changed")
    edited(changed, rms_norm_eps=0.1)
    cache = knowing / "cache"
    capture_targets(student(original), tmp_path / "targets", cache=cache)
    stored = {"targets": str(tmp_path / "targets")}
    with pytest.raises(ValueError, match=r"target cache '.*' is for something else: teacher "):
        run(student(changed, **stored), tmp_path / "stored", cache=cache)
    assert not (tmp_path / "stored").exists()

    class Stop(Exception):
        pass

    def stop(at):
        if at.step == 2:
            raise Stop

    with pytest.raises(Stop):
        run(student(original), tmp_path / "student", cache=cache, progress=stop)
    with pytest.raises(ValueError, match=r"the teacher is not what '.*' was begun with"):
        run(student(changed), tmp_path / "student", cache=cache)
    assert run(student(original), tmp_path / "student", cache=cache).finished
    edited(knowing / "teacher" / "export", rms_norm_eps=0.1)
    with pytest.raises(ValueError, match=r"the config or the tokenizer in '.*' are not what the run's record.json"):
        open_teacher(knowing / "teacher")
    edited(knowing / "teacher" / "export", rms_norm_eps=1e-6)


@pytest.mark.parametrize(
    "content",
    ["{", "[" * 100_000, "[]", '{"student_params": "many", "student_tokens": 1, "student_loss": 1}'],
    ids=["cut", "deep", "list", "type"],
)
def test_a_record_that_cannot_be_read_is_no_reason_not_to_check(content, knowing, tmp_path):
    folder = tmp_path / "run"
    copied(knowing / "teacher" / "export", (folder.mkdir(), folder / "export")[1])
    (folder / "record.json").write_text(content)
    for path in (folder, folder / "export"):
        with pytest.raises(ValueError, match=r"^record '.*record\.json' is damaged"):
            open_teacher(path)
    (folder / "record.json").unlink()
    with pytest.raises(ValueError, match="is a run that has not ended"):
        open_teacher(folder)


@pytest.mark.parametrize("what", ["run", "capture"])
def test_a_teacher_that_knows_nothing_stops_the_run(what, knowing, llama, tmp_path):
    """A foreign one with logits as wide as a trained model's, of which none has to do with the text."""
    folder = copied(llama, tmp_path / "model")
    (folder / "tokenizer.json").write_bytes((knowing / "teacher" / "export" / "tokenizer.json").read_bytes())
    config, cache, out = student(folder), knowing / "cache", tmp_path / "runs" / "out"
    with pytest.raises(ValueError, match=r"has a loss of .* nats on \d+ held-out tokens, no better than a unigram"):
        run(config, out, cache=cache) if what == "run" else capture_targets(config, out, cache=cache)
    assert not out.parent.exists()
