"""Dense model types of Hugging Face: what their configs leave out, and what tells one from another.

The sizes are the defaults of the config classes in transformers 5.24, which are what a key that `config.json` does not
hold stands for; `tests/costs/test_model_types.py` compares them.
"""

from dataclasses import dataclass
from typing import Literal

Local = Literal["none", "all", "pattern", "from max_window_layers", "without positions"]


@dataclass(frozen=True, kw_only=True)
class ModelType:
    """A type with gated feed-forward, RMSNorm and rotary positions; sizes where `config.json` does not give them.

    Attributes:
        hidden_size: Width of the model.
        intermediate_size: Width of the feed-forward block.
        num_hidden_layers: Layers.
        num_attention_heads: Query heads.
        num_key_value_heads: Key-value heads (None: as many as query heads).
        head_dim: Size of a head (None: width / heads).
        vocab_size: Entries of the vocabulary.
        tied: Whether the output layer shares the embedding.
        n_norms: Norms of the model's width in each block.
        qkv_bias: Whether queries, keys and values always have a bias.
        qk_norm: "" for none, "head" for gains shared by the heads, "width" for gains over all heads.
        sliding_window: Positions that a local layer sees (None: no window).
        local: Which layers are local where `layer_types` does not say: none, all of them, all but each
            `pattern`-th, those from `max_window_layers` on if `use_sliding_window`, or those without rotary positions
            (each `pattern`-th) if `use_sliding_window`.
        pattern: The period of `local`.
        max_window_layers: The first local layer, where `local` asks for it.
    """

    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int = 32000
    tied: bool = False
    n_norms: int = 2
    qkv_bias: bool = False
    qk_norm: Literal["", "head", "width"] = ""
    sliding_window: int | None = None
    local: Local = "none"
    pattern: int = 1
    max_window_layers: int = 28


_LLAMA = ModelType()
_GEMMA3 = ModelType(
    hidden_size=2304,
    intermediate_size=9216,
    num_hidden_layers=26,
    num_attention_heads=8,
    num_key_value_heads=4,
    head_dim=256,
    vocab_size=262208,
    tied=True,
    n_norms=4,
    qk_norm="head",
    sliding_window=4096,
    local="pattern",
    pattern=6,
)
_QWEN2_VL = ModelType(
    hidden_size=8192,
    intermediate_size=29568,
    num_hidden_layers=80,
    num_attention_heads=64,
    num_key_value_heads=8,
    vocab_size=152064,
    qkv_bias=True,
    sliding_window=4096,
    local="from max_window_layers",
    max_window_layers=80,
)
_QWEN3 = ModelType(
    intermediate_size=22016,
    num_key_value_heads=32,
    head_dim=128,
    vocab_size=151936,
    qk_norm="head",
    sliding_window=4096,
    local="from max_window_layers",
)

MODEL_TYPES: dict[str, ModelType] = {
    "gemma": ModelType(
        hidden_size=3072,
        intermediate_size=24576,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=16,
        head_dim=256,
        vocab_size=256000,
        tied=True,
    ),
    "gemma2": ModelType(
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        vocab_size=256000,
        tied=True,
        n_norms=4,
        sliding_window=4096,
        local="pattern",
        pattern=2,
    ),
    "gemma3_text": _GEMMA3,
    "granite": _LLAMA,
    "llama": _LLAMA,
    "ministral": ModelType(intermediate_size=14336, num_key_value_heads=8, sliding_window=4096, local="all"),
    "mistral": ModelType(intermediate_size=14336, num_key_value_heads=8, sliding_window=4096, local="all"),
    "olmo2": ModelType(vocab_size=50304, qk_norm="width"),
    "olmo3": ModelType(vocab_size=50304, qk_norm="width", sliding_window=4096, local="pattern", pattern=4),
    "phi3": ModelType(hidden_size=3072, intermediate_size=8192, vocab_size=32064, local="all"),
    "qwen2": ModelType(
        intermediate_size=22016,
        num_key_value_heads=32,
        vocab_size=151936,
        qkv_bias=True,
        sliding_window=4096,
        local="from max_window_layers",
    ),
    "qwen2_5_vl_text": _QWEN2_VL,
    "qwen2_vl_text": _QWEN2_VL,
    "qwen3": _QWEN3,
    "qwen3_vl_text": ModelType(
        intermediate_size=22016, num_key_value_heads=32, head_dim=128, vocab_size=151936, qk_norm="head"
    ),
    "smollm3": ModelType(
        hidden_size=2048,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=4,
        vocab_size=128256,
        tied=True,
        local="without positions",
        pattern=4,
    ),
}
"""By `model_type`."""

TEXT_PARTS = {
    "gemma3": "gemma3_text",
    "idefics2": "mistral",
    "idefics3": "llama",
    "internvl": "qwen2",
    "llava": "llama",
    "llava_next": "llama",
    "llava_onevision": "qwen2",
    "mistral3": "mistral",
    "paligemma": "gemma",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_vl": "qwen3_vl_text",
    "shieldgemma2": "gemma3_text",
    "smolvlm": "llama",
}
"""Model types of several parts: the type of the text part where the config does not name it."""

MIXTURES = frozenset(
    {
        "dbrx",
        "deepseek_v2",
        "deepseek_v3",
        "deepseek_v32",
        "dots1",
        "flex_olmo",
        "gpt_oss",
        "jamba",
        "kimi_k2",
        "kimi_k25",
        "kimi_linear",
        "kimi_vl",
        "llama4",
        "llama4_text",
        "longcat_flash",
        "minimax",
        "minimax_m2",
        "mixtral",
        "qwen3_next",
        "switch_transformers",
    }
)
"""Mixtures of experts whose name does not say so and whose config may leave the number of experts to its default."""
