"""Read a model's shape from the `config.json` of a Hugging Face model, without its libraries."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distlaw.costs.architecture import Architecture

Config = Mapping[str, Any]

_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size")


def architecture_from_config(config: Config, *, n_ctx: int = 4096) -> Architecture:
    """Shape of a dense Hugging Face causal language model.

    Args:
        config: What `config.json` holds.
        n_ctx: Context length to train at, in tokens; the one in the file is the longest that serving allows and
            would overstate attention.

    Returns:
        A shape whose parameter counts equal those of the model that transformers builds.

    Raises:
        ValueError: A mixture of experts, a family that is not known here, or a missing or unusable entry.
    """
    if any(config.get(key) for key in _EXPERT_KEYS):
        raise ValueError(
            "config.json describes a mixture of experts, which the laws and costs here do not cover: give a dense model"
        )
    family = config.get("model_type")
    reader = _READERS.get(family) if isinstance(family, str) else None
    if reader is None:
        raise ValueError(
            f"model_type {family!r} in config.json is not supported; supported are {', '.join(sorted(_READERS))}"
        )
    return reader(config, n_ctx)


def read_architecture(path: Path, *, n_ctx: int = 4096) -> Architecture:
    """Read the shape from a `config.json`, or from the directory that holds it.

    Raises:
        ValueError: The file cannot be read, is not JSON, or `architecture_from_config` refuses it; names the file.
    """
    file = path
    try:
        file = path / "config.json" if path.is_dir() else path
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it does not hold a JSON object")
        return architecture_from_config(config, n_ctx=n_ctx)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise ValueError(f"{file}: its JSON is nested too deeply") from None
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise ValueError(f"{file}: {error}") from None


def _count(config: Config, key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if value is None:
        raise ValueError(f"config.json has no '{key}'")
    if isinstance(value, int) and value > 10**9:
        raise ValueError(f"'{key}' in config.json is beyond any model, at most 1e9 will do, got {value!r:.40}")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"'{key}' in config.json must be a whole number of at least 1, got {value!r:.40}")
    return value


def _head_size(config: Config, d_model: int, n_heads: int) -> int:
    given = config.get("head_dim")
    if given is None and d_model % n_heads:
        raise ValueError(f"'num_attention_heads' {n_heads} does not divide 'hidden_size' {d_model} in config.json")
    return _count(config, "head_dim", d_model // n_heads)


def _llama_like(
    *,
    tied: bool,
    n_norms: int = 2,
    qkv_bias: bool = False,
    qk_norm: str = "",
    kv_heads: int | None = None,
    head_size: int | None = None,
) -> Callable[[Config, int], Architecture]:
    """Reader of a family with gated feed-forward, RMSNorm and rotary positions.

    Args:
        tied: What the family does where the file does not say.
        n_norms: Norms of the model's width in each block.
        qkv_bias: Whether queries, keys and values always have a bias.
        qk_norm: "" for none, "head" for gains shared by the heads, "width" for gains over all heads.
        kv_heads: Key-value heads where the file does not say (None: as many as query heads).
        head_size: Size of a head where the file does not say (None: width / heads).
    """

    def read(config: Config, n_ctx: int) -> Architecture:
        d_model, n_heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
        n_kv_heads = _count(config, "num_key_value_heads", kv_heads or n_heads)
        if head_size is not None:
            d_head = _count(config, "head_dim", head_size)
        else:
            d_head = _head_size(config, d_model, n_heads)
        d_ff = _count(config, "intermediate_size")
        query, key_value = n_heads * d_head, n_kv_heads * d_head
        bias = 0
        if config.get("attention_bias"):
            bias += query + 2 * key_value + d_model
        elif qkv_bias:
            bias += query + 2 * key_value
        if config.get("mlp_bias"):
            bias += 2 * d_ff + d_model
        return Architecture(
            n_layers=_count(config, "num_hidden_layers"),
            d_model=d_model,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            d_head=d_head,
            d_ff=d_ff,
            n_vocab=_count(config, "vocab_size"),
            n_ctx=n_ctx,
            tied=bool(config.get("tie_word_embeddings", tied)),
            n_norms=n_norms,
            qk_norm_params={"": 0, "head": 2 * d_head, "width": query + key_value}[qk_norm],
            bias_params=bias,
        )

    return read


def _gpt2(config: Config, n_ctx: int) -> Architecture:
    d_model, n_heads = _count(config, "n_embd"), _count(config, "n_head")
    d_ff = _count(config, "n_inner", 4 * d_model)
    return Architecture(
        n_layers=_count(config, "n_layer"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=d_model // n_heads,
        d_ff=d_ff,
        n_vocab=_count(config, "vocab_size"),
        n_ctx=n_ctx,
        n_ffn=2,
        tied=bool(config.get("tie_word_embeddings", True)),
        norm_params=2,
        bias_params=3 * d_model + d_model + d_ff + d_model,
        learned_positions=_count(config, "n_positions", 1024),
    )


def _gpt_neox(config: Config, n_ctx: int) -> Architecture:
    d_model, n_heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
    d_ff = _count(config, "intermediate_size")
    return Architecture(
        n_layers=_count(config, "num_hidden_layers"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=_head_size(config, d_model, n_heads),
        d_ff=d_ff,
        n_vocab=_count(config, "vocab_size"),
        n_ctx=n_ctx,
        n_ffn=2,
        tied=bool(config.get("tie_word_embeddings", False)),
        norm_params=2,
        bias_params=(4 * d_model if config.get("attention_bias", True) else 0) + d_ff + d_model,
    )


_READERS: dict[str, Callable[[Config, int], Architecture]] = {
    "gemma": _llama_like(tied=True, head_size=256),
    "gemma2": _llama_like(tied=True, head_size=256, n_norms=4),
    "gemma3_text": _llama_like(tied=True, head_size=256, n_norms=4, qk_norm="head"),
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "granite": _llama_like(tied=False),
    "llama": _llama_like(tied=False),
    "mistral": _llama_like(tied=False, kv_heads=8),
    "olmo2": _llama_like(tied=False, qk_norm="width"),
    "phi3": _llama_like(tied=False),
    "qwen2": _llama_like(tied=False, qkv_bias=True),
    "qwen3": _llama_like(tied=False, qk_norm="head", head_size=128),
    "smollm3": _llama_like(tied=True),
}
