"""Students and teachers: the fixed-aspect-ratio family at any scale, as models that `transformers` opens."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distlaw.costs import Architecture, Family
from distlaw.train.mup import BASE_WIDTH, ParametrisationName, initialise

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM

_EMBEDDING_NAMES = ("embed_tokens", "lm_head")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a model, but for its vocabulary and context, which come from the data.

    Attributes:
        layers: Blocks.
        aspect_ratio: Width per layer, rho = d_model / n_layers; the paper's models have 128.
        width: d_model itself, for models outside the fixed-aspect-ratio family; None takes aspect_ratio x layers.
        head_size: Size of an attention head; the width is a multiple of it.
        ffn_ratio: d_ff / d_model, before rounding.
        ffn_multiple: What d_ff is rounded up to.
        rope_theta: Base of the rotary positions.
        norm_eps: Added to the mean square in a norm.

    >>> ModelConfig(layers=4).architecture(vocab_size=512, context=128).n_params
    201408
    """

    layers: int = 2
    aspect_ratio: int = 16
    width: int | None = None
    head_size: int = 16
    ffn_ratio: float = 8 / 3
    ffn_multiple: int = 16
    rope_theta: float = 500_000.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in (
            "layers",
            "aspect_ratio",
            "head_size",
            "ffn_multiple",
            *(["width"] if self.width is not None else []),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        for name in ("ffn_ratio", "rope_theta", "norm_eps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value!r}")
        if self.head_size % 2:
            raise ValueError(f"head_size must be even, since rotary positions turn pairs, got {self.head_size}")
        if self.d_model % self.head_size:
            what = "aspect_ratio x layers" if self.width is None else "width"
            raise ValueError(f"{what} must be a multiple of head_size ({self.head_size}), got {self.d_model}")

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.aspect_ratio * self.layers if self.width is None else self.width

    def architecture(self, *, vocab_size: int, context: int) -> Architecture:
        """The shape as `costs` counts it, with an output layer of its own.

        The paper ties the output layer to the embedding (section 5); muP scales the two apart, so here they are two
        matrices. N counts neither, so it is the paper's N.
        """
        family = Family(
            aspect_ratio=self.d_model,
            d_head=self.head_size,
            ffn_ratio=self.ffn_ratio,
            ffn_multiple=self.ffn_multiple,
            n_vocab=vocab_size,
            n_ctx=context,
        )
        return replace(family.member(1), n_layers=self.layers, tied=False)


def build_model(
    config: ModelConfig,
    *,
    vocab_size: int,
    context: int,
    seed: int,
    parametrisation: ParametrisationName = "mup",
    base_width: int = BASE_WIDTH,
) -> Qwen3ForCausalLM:
    """Build a model in float32; the same arguments give the same bits, and no global generator is touched.

    Args:
        config: Shape.
        vocab_size: Entries of the vocabulary.
        context: Context length in tokens.
        seed: Of the initial weights.
        parametrisation: See `distlaw.train.mup`.
        base_width: Width at which muP and the standard parametrisation are the same.

    Raises:
        ValueError: The vocabulary or the context is not positive, or `base_width` is no multiple of the head size.
    """
    # Seconds to import, so not at the top: what reads a config need not wait for it.
    from transformers.models.qwen3 import Qwen3Config
    from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM

    shape = config.architecture(vocab_size=vocab_size, context=context)
    described = Qwen3Config(
        vocab_size=shape.n_vocab,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_ff,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv_heads,
        head_dim=shape.d_head,
        max_position_embeddings=shape.n_ctx,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=shape.tied,
        use_cache=False,
    )
    with torch.random.fork_rng(devices=[]):  # the constructor draws weights that are drawn anew below
        model = Qwen3ForCausalLM(described)
    model.float()
    initialise(model, config, seed=seed, parametrisation=parametrisation, base_width=base_width)
    return model


def non_embedding_params(model: torch.nn.Module) -> int:
    """Parameters N of a model: all but the token embedding and the output layer (tables 9 and 10)."""
    return sum(p.numel() for name, p in model.named_parameters() if name.split(".")[-2] not in _EMBEDDING_NAMES)


def hidden_states(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    """Hidden states after the last norm, of which the output layer makes logits: (batch, time) to (batch, time, width).

    Every position sees itself and those before it; blocks of tokens are full, so there is no padding mask. A model
    that `build_model` made takes a shorter way through the same weights where that pays, which is in float32 on a CPU:
    the memory that elementwise operations pass through is a third of the time there. Any other model, and sharded
    weights, take the model's own forward pass.
    """
    if _takes_the_short_way(model):
        return _short_way(model, tokens)
    return model.base_model(input_ids=tokens, use_cache=False).last_hidden_state


def _takes_the_short_way(model: Any) -> bool:  # noqa: ANN401
    c = model.config
    if c.model_type != "qwen3" or torch.is_autocast_enabled("cpu") or model.base_model.gradient_checkpointing:
        return False
    weight = model.base_model.layers[-1].mlp.down_proj.weight
    return (
        type(weight) is torch.nn.Parameter  # not a shard of one
        and weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and c.num_key_value_heads == c.num_attention_heads
        and c.rope_parameters["rope_type"] == "default"
        and c.hidden_act == "silu"
        and not (c.attention_bias or c.attention_dropout or c.use_sliding_window)
    )


def _short_way(model: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401
    c = model.config
    batch, time = tokens.shape
    heads, head_size, eps = c.num_attention_heads, c.head_dim, c.rms_norm_eps
    turns = _rotations(time, heads, head_size, c.rope_parameters["rope_theta"])

    def rotated(y: Tensor, weight: Tensor, gain: Tensor) -> Tensor:
        # A rotation is a product of complex numbers once the two halves of a head lie in pairs; a dot product of
        # queries and keys does not mind the order of what it sums.
        pairs = weight.view(heads, 2, head_size // 2, -1).transpose(1, 2).reshape(weight.shape)
        unit = _normalised(F.linear(y, pairs).view(batch, time, heads, head_size), eps)
        # Flat, since a loop over rows of 16 costs more than the products in them.
        scaled = unit.view(batch, time, -1) * gain.view(2, -1).t().reshape(-1).repeat(heads)
        turned = torch.view_as_complex(scaled.view(batch, time, heads, head_size // 2, 2)) * turns
        return torch.view_as_real(turned).view(batch, time, heads, head_size).transpose(1, 2)

    x = F.embedding(tokens, model.model.embed_tokens.weight)
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        y = _normalised(x, eps) * layer.input_layernorm.weight
        query = rotated(y, attention.q_proj.weight, attention.q_norm.weight)
        key = rotated(y, attention.k_proj.weight, attention.k_norm.weight)
        value = attention.v_proj(y).view(batch, time, heads, head_size).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + attention.o_proj(mixed.transpose(1, 2).reshape(batch, time, -1))
        y = _normalised(x, eps) * layer.post_attention_layernorm.weight
        x = x + mlp.down_proj(F.silu(mlp.gate_proj(y)) * mlp.up_proj(y))
    return _normalised(x, eps) * model.model.norm.weight


@lru_cache(maxsize=16)
def _rotations(time: int, heads: int, head_size: int, theta: float) -> Tensor:
    """Unit complex numbers (time, heads, head_size / 2), the same for every head."""
    with torch.inference_mode(False):  # the table outlives its first caller and must be fit for training
        rates = 1.0 / theta ** (torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
        angles = torch.outer(torch.arange(time, dtype=torch.float32), rates)
        return torch.polar(torch.ones_like(angles), angles)[:, None].expand(-1, heads, -1).contiguous()


class _Normalised(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) over the last axis; by hand it is half the passes of what autograd makes of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:  # noqa: ANN401
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        [grad] = grads
        y, scale = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, y).unsqueeze(-1).div_(y.shape[-1])
        return torch.addcmul(grad, y, along, value=-1).mul_(scale), None


def _normalised(x: Tensor, eps: float) -> Tensor:
    return _Normalised.apply(x, eps)  # pyright: ignore[reportReturnType]
