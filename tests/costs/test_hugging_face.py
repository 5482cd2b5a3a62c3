import json
from pathlib import Path

import pytest

from distlaw.costs import architecture_from_config, read_architecture

# Counts of the models that transformers 5 builds from these configs (on the meta device): name, config, parameters
# without embeddings, and parameters of embedding, untied output layer and position table.
MODELS = [
    (
        "llama",
        {
            "model_type": "llama",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "vocab_size": 128256,
            "tie_word_embeddings": True,
            "max_position_embeddings": 131072,
        },
        973146112,
        262668288,
    ),
    (
        "llama_untied",
        {
            "model_type": "llama",
            "hidden_size": 512,
            "intermediate_size": 1376,
            "num_hidden_layers": 3,
            "num_attention_heads": 8,
            "vocab_size": 32000,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "mlp_bias": True,
        },
        9505856,
        32768000,
    ),
    (
        "mistral",
        {
            "model_type": "mistral",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 32000,
            "tie_word_embeddings": False,
        },
        6979588096,
        262144000,
    ),
    (
        "qwen2",
        {
            "model_type": "qwen2",
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        357898112,
        136134656,
    ),
    (
        "qwen3",
        {
            "model_type": "qwen3",
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        440467456,
        155582464,
    ),
    (
        "qwen3_default_head",
        {
            "model_type": "qwen3",
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 2,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "vocab_size": 1000,
            "tie_word_embeddings": True,
        },
        31462912,
        1024000,
    ),
    (
        "gemma",
        {
            "model_type": "gemma",
            "hidden_size": 2048,
            "intermediate_size": 16384,
            "num_hidden_layers": 18,
            "num_attention_heads": 8,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "vocab_size": 256000,
        },
        1981884416,
        524288000,
    ),
    (
        "gemma2",
        {
            "model_type": "gemma2",
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "vocab_size": 256000,
        },
        2024517888,
        589824000,
    ),
    (
        "gemma3_text",
        {
            "model_type": "gemma3_text",
            "hidden_size": 640,
            "intermediate_size": 2048,
            "num_hidden_layers": 18,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "vocab_size": 262144,
        },
        100326016,
        167772160,
    ),
    (
        "phi3",
        {
            "model_type": "phi3",
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 32064,
            "tie_word_embeddings": False,
        },
        3624078336,
        197001216,
    ),
    (
        "olmo2",
        {
            "model_type": "olmo2",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "vocab_size": 100352,
            "tie_word_embeddings": False,
        },
        1073874944,
        411041792,
    ),
    (
        "gpt2",
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
        85056000,
        39383808,
    ),
    (
        "gpt_neox",
        {
            "model_type": "gpt_neox",
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "vocab_size": 50304,
        },
        18915328,
        51511296,
    ),
    (
        "smollm3",
        {
            "model_type": "smollm3",
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "vocab_size": 128256,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
        },
        2812430336,
        262668288,
    ),
    (
        "granite",
        {
            "model_type": "granite",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 4,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 49155,
            "tie_word_embeddings": True,
        },
        243288064,
        100669440,
    ),
]
LLAMA = MODELS[0][1]


@pytest.mark.parametrize(("config", "n_params", "n_embedding"), [m[1:] for m in MODELS], ids=[m[0] for m in MODELS])
def test_counts_equal_those_of_the_real_models(config, n_params, n_embedding):
    shape = architecture_from_config(config)
    assert (shape.n_params, shape.n_embedding) == (n_params, n_embedding)
    assert shape.n_total == n_params + n_embedding


def test_well_known_totals():
    totals = {name: n_params + n_embedding for name, _, n_params, n_embedding in MODELS}
    assert totals["gpt2"] == 124_439_808
    assert totals["mistral"] == 7_241_732_096
    assert totals["qwen2"] == 494_032_768


def test_context_is_the_callers():
    assert architecture_from_config(LLAMA).n_ctx == 4096  # not the 131072 that serving allows
    long, short = (architecture_from_config(LLAMA, n_ctx=n).forward_flops for n in (8192, 4096))
    assert long > short


def test_grouped_query_attention_and_untied_head_are_counted():
    shape = architecture_from_config(LLAMA)
    assert (shape.n_heads, shape.n_kv_heads, shape.d_head, shape.tied) == (32, 8, 64, True)
    untied = architecture_from_config(LLAMA | {"tie_word_embeddings": False})
    assert untied.n_embedding == 2 * shape.n_embedding
    assert untied.forward_flops == shape.forward_flops


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_local_experts": 8}, "mixture of experts"),
        ({"model_type": "qwen3_moe", "num_experts": 128}, "mixture of experts"),
        ({"model_type": "mamba"}, "model_type 'mamba' in config.json is not supported; supported are gemma, "),
        ({"model_type": None}, "model_type None"),
        ({"model_type": ["llama"]}, "is not supported"),
        ({"hidden_size": None}, "config.json has no 'hidden_size'"),
        ({"hidden_size": "2048"}, "'hidden_size' in config.json must be a whole number of at least 1, got '2048'"),
        ({"num_hidden_layers": 0}, "'num_hidden_layers' in config.json must be a whole number"),
        ({"num_hidden_layers": True}, "'num_hidden_layers' in config.json must be a whole number"),
        ({"num_key_value_heads": 5}, r"n_kv_heads must divide n_heads \(32\)"),
        ({"head_dim": None, "num_attention_heads": 3}, "'num_attention_heads' 3 does not divide 'hidden_size' 2048"),
    ],
)
def test_what_cannot_be_read(changes, message):
    with pytest.raises(ValueError, match=message):
        architecture_from_config(LLAMA | changes)


def test_files(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert read_architecture(tmp_path) == read_architecture(tmp_path / "config.json") == architecture_from_config(LLAMA)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "Expecting property name"), (b"[1]", "JSON object"), (b"\xff\xfe", "is not UTF-8 text")],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"config.json: .*{message}"):
        read_architecture(file)


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nothing.json: cannot be read \(No such file"):
        read_architecture(tmp_path / "nothing.json")
