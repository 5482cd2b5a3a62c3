"""Model types against transformers: defaults of absent keys, counts on the meta device, and which layers are local."""

import json
from pathlib import Path
from typing import Any

import pytest

from distlaw.costs import Architecture, architecture_from_config, read_architecture
from distlaw.costs.model_types import MODEL_TYPES, TEXT_PARTS

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
    "pad_token_id": 0,
}
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def as_transformers_has_it(config: dict):
    """The config of transformers that a `config.json` stands for, its text part where there are parts."""
    family, rest = config["model_type"], {k: v for k, v in config.items() if k != "model_type"}
    return transformers.AutoConfig.for_model(family, **rest).get_text_config()


def counted_by_transformers(config) -> tuple[int, int]:
    """Parameters without and of the embeddings, of the model on the meta device."""
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config)
    embedding = model.get_input_embeddings().weight.numel()
    return sum(p.numel() for p in model.parameters()) - embedding, embedding


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_defaults_are_those_of_transformers(family):
    """An empty text part is the model that the config class stands for."""
    config = as_transformers_has_it({"model_type": family})
    shape = architecture_from_config({"model_type": "any", "text_config": {"model_type": family}})
    assert [getattr(config, key) for key in SIZES] == [getattr(MODEL_TYPES[family], key) for key in SIZES]
    assert shape.n_kv_heads == config.num_key_value_heads
    assert shape.d_head == (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    if not family.endswith("vl_text"):  # whose output layer belongs to the whole
        assert shape.tied == config.tie_word_embeddings
    assert (shape.n_local, shape.window) == local_layers(config)


def local_layers(config) -> tuple[int, int | None]:
    """What transformers does: `layer_types` where the config has them, else a window is of every layer."""
    window = getattr(config, "sliding_window", None)
    if window is None:
        return 0, None
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    return kinds.count("sliding_attention"), window


@pytest.mark.parametrize("family", [f for f in MODEL_TYPES if not f.endswith("vl_text")])
def test_counts_are_those_of_the_model(family):
    config = {"model_type": family, **SMALL}
    shape = architecture_from_config(config)
    n_params, n_embedding = counted_by_transformers(as_transformers_has_it(config))
    assert shape.n_params == n_params
    assert shape.n_vocab * shape.d_model == n_embedding


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gemma3_text", "sliding_window": 512},
        {"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 3},
        {"model_type": "gemma2", "sliding_window": 32},
        {"model_type": "olmo3", "sliding_window": 32},
        {"model_type": "olmo3", "layer_types": ["sliding_attention"] * 5 + ["full_attention"] * 2},
        {"model_type": "mistral", "sliding_window": 32},
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "phi3", "sliding_window": 2047},
        {"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": True, "max_window_layers": 3},
        {"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": True, "max_window_layers": 0},
        {"model_type": "qwen2", "sliding_window": 32, "use_sliding_window": False, "max_window_layers": 3},
        {"model_type": "qwen3", "sliding_window": 32, "use_sliding_window": True, "max_window_layers": 28},
        {"model_type": "smollm3", "sliding_window": 32, "use_sliding_window": True},
        {"model_type": "llama"},
    ],
    ids=lambda config: "-".join(map(str, list(config.values())[:3]))[:60],
)
def test_local_layers_are_those_of_the_model(config):
    config = SMALL | config
    n_local, window = local_layers(as_transformers_has_it(config))
    shape = architecture_from_config(config)
    assert shape.n_local == n_local
    if n_local:
        assert shape.window == window


def test_the_text_part_of_a_model_that_sees(tmp_path: Path):
    """A published form: the keys that equal the defaults of the part's type are left out."""
    text = {"model_type": "gemma3_text", "hidden_size": 1152, "num_hidden_layers": 13, "sliding_window": 512}
    config = {"model_type": "gemma3", "text_config": text, "vision_config": {"num_experts": 8}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = read_architecture(tmp_path)
    assert (shape.d_model, shape.d_ff, shape.n_layers, shape.n_vocab) == (1152, 9216, 13, 262208)
    assert (shape.n_heads, shape.n_kv_heads, shape.d_head, shape.n_local, shape.window) == (8, 4, 256, 11, 512)
    assert shape.n_params == counted_by_transformers(as_transformers_has_it(text))[0]
    part, assumed = shape.notes
    assert part == "the text part (gemma3_text) of gemma3 is counted, not its other parts"
    for default in ("num_attention_heads 8", "num_key_value_heads 4", "head_dim 256", "vocab_size 262208"):
        assert default in assumed
    assert "hidden_size" not in assumed


@pytest.mark.parametrize("family", TEXT_PARTS)
def test_a_text_part_without_a_type_has_that_of_the_whole(family):
    text = {key: value for key, value in SMALL.items() if key != "pad_token_id"}
    shape = architecture_from_config({"model_type": family, "text_config": text})
    assert shape.n_params == architecture_from_config({"model_type": TEXT_PARTS[family], **text}).n_params
    assert f"({TEXT_PARTS[family]}) of {family}" in shape.notes[0]
    flat = architecture_from_config({"model_type": family, "vision_config": {}, **text})
    assert (flat.n_params, len(flat.notes)) == (shape.n_params, 1)
    assert architecture_from_config({"model_type": family, "text_config": text} | {"tie_word_embeddings": True}).tied


def test_a_part_in_a_part():
    config = {"model_type": "x", "thinker_config": {"model_type": "y", "text_config": {"model_type": "llama"}}}
    assert architecture_from_config(config).n_total == 6_738_415_616  # Llama 7B


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gemma3"}, "config.json has no 'hidden_size'"),
        ({"model_type": "gemma3_text"}, "config.json has no 'hidden_size'"),
        ({"model_type": "x", "text_config": {"model_type": "y"}}, "model_type 'y' in config.json is not supported"),
        ({"model_type": "gemma3", "text_config": {"hidden_size": 0}}, "'hidden_size' in config.json must be a whole"),
        (SMALL | {"model_type": "mistral", "sliding_window": 0}, "'sliding_window' in config.json must be a whole"),
        (SMALL | {"model_type": "gemma3_text", "sliding_window_pattern": "LLG"}, "'sliding_window_pattern' in"),
        (SMALL | {"model_type": "gemma2", "layer_types": ["full_attention"]}, "'layer_types' in config.json must be a"),
        (SMALL | {"model_type": "gemma2", "layer_types": ["mamba"] * 7}, "layer 0 is 'mamba'"),
        (
            {k: v for k, v in SMALL.items() if k != "num_key_value_heads"} | {"model_type": "qwen2"},
            "has no 'num_key_value_heads', and the default of its model type, 32, does not divide the 4 heads",
        ),
        ({**SMALL, "model_type": "llama", "hidden_size": 1, "num_hidden_layers": 1, "intermediate_size": 1,
          "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 1}, "at least 1,000 parameters"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(config, message):
    with pytest.raises(ValueError, match=message):
        architecture_from_config(config)


@pytest.mark.parametrize(
    "experts",
    [
        {"num_experts": 128},
        {"num_local_experts": 8},
        {"n_routed_experts": 64},
        {"moe_intermediate_size": 768},
        {"moe_num_experts": 64},
        {"num_experts_per_tok": 2},
        {"n_shared_experts": 1},
        {"ffn_config": {"moe_num_experts": 16}},
        {"model_type": "mixtral"},
        {"model_type": "gpt_oss"},
        {"model_type": "granitemoe"},
        {"model_type": "qwen3_vl_moe", "text_config": {"model_type": "qwen3_vl_moe_text"}},
        {"model_type": "llama4", "text_config": {"model_type": "llama4_text"}},
        {"model_type": "deepseek_vl_v2", "language_config": {"n_routed_experts": 64}},
    ],
    ids=str,
)
def test_a_mixture_of_experts_names_the_way_out(experts):
    with pytest.raises(ValueError, match="mixture of experts") as refusal:
        architecture_from_config({"model_type": "llama", **SMALL, **experts})
    for words in ("in a table `params` with `flops_per_token`", "`loss`", "on the page parameters"):
        assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_no_experts_is_dense():
    none = {"num_experts": 0, "num_local_experts": None, "moe_intermediate_size": None, "output_router_logits": False}
    assert architecture_from_config({"model_type": "llama", **SMALL, **none}).n_params > 0


@pytest.mark.parametrize(("n_ctx", "window"), [(4096, 512), (512, 512), (256, 512), (32768, 1), (1000, 999)])
def test_a_window_counts_the_positions_that_are_seen(n_ctx, window):
    """Against the sum over positions, from which the half of the context (tables 11-12) differs by half a position."""
    shape: dict[str, Any] = {"n_layers": 3, "d_model": 8, "n_heads": 4, "n_kv_heads": 4, "d_head": 2, "d_ff": 16}
    local = Architecture(**shape, n_vocab=50, n_ctx=n_ctx, n_local=2, window=window)
    full = Architecture(**shape, n_vocab=50, n_ctx=n_ctx)
    per_position = 2 * 8 + 5 * 4 + 2 * 8
    seen = sum(min(t + 0.5, window) for t in range(n_ctx)) / n_ctx  # the mean over each interval of one position
    # Between two whole positions min(t, window) is linear, so the middle of each is exact.
    assert full.forward_flops - local.forward_flops == pytest.approx(2 * per_position * (n_ctx / 2 - seen), abs=1e-6)
    if window >= n_ctx:
        assert local.forward_flops == full.forward_flops
