"""muP (simple): initial weights and rates under which one learning rate fits every width.

With Adam, by initial weights and a rate for each group alone; no multiplier stands in the forward pass, so a checkpoint
is an ordinary one. m = fan_in / base fan_in of that weight, the base being the same shape at `base_width`:

| parameter | initial std | rate | weight decay (torch multiplies it by the rate) |
|---|---|---|---|
| embedding | constant | eta | lambda |
| q, k, v, o, gate, up, down | 1 / sqrt(fan_in) | eta / m | lambda m |
| gains of norms | 1 | eta | 0 |
| output layer | 1 / sqrt(base fan_in) / m | eta / m | lambda m |

muP asks for attention scores over d_head instead of its root. Here all widths have one head size, so the two differ by
a constant, which the gains of the query and key norms learn anyway. Depth is not covered: in a family of fixed aspect
ratio it grows with width, and the best rate may drift with it. Source: sections 5 and G of arXiv 2502.08606.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from distlaw.train.model import ModelConfig

ParametrisationName = Literal["mup", "standard"]
Role = Literal["embedding", "matrix", "norm", "head"]

BASE_WIDTH = 32
EMBEDDING_STD = 1.0

_ROLES: dict[str, Role] = {
    "embed_tokens": "embedding",
    "q_proj": "matrix",
    "k_proj": "matrix",
    "v_proj": "matrix",
    "o_proj": "matrix",
    "gate_proj": "matrix",
    "up_proj": "matrix",
    "down_proj": "matrix",
    "input_layernorm": "norm",
    "post_attention_layernorm": "norm",
    "q_norm": "norm",
    "k_norm": "norm",
    "norm": "norm",
    "lm_head": "head",
}


def role_of(name: str) -> Role:
    """What a parameter is, by its name; shapes do not tell, since a square matrix may be an embedding.

    >>> role_of("model.layers.0.mlp.down_proj.weight")
    'matrix'

    Raises:
        ValueError: The name is none of a `Qwen3ForCausalLM`.
    """
    module = name.split(".")[-2] if "." in name else name
    if module not in _ROLES:
        raise ValueError(f"parameter '{name}' has no role in muP; known are those in {', '.join(_ROLES)}")
    return _ROLES[module]


@torch.no_grad()
def initialise(
    model: torch.nn.Module,
    config: ModelConfig,
    *,
    seed: int,
    parametrisation: ParametrisationName = "mup",
    base_width: int = BASE_WIDTH,
) -> None:
    """Draw the initial weights by the table above, in the order of the model, from a generator of their own.

    Args:
        model: A `Qwen3ForCausalLM` of the shape `config`.
        config: Its shape, from which the base shape follows.
        seed: Of the generator.
        parametrisation: "mup", or "standard": std 1 / sqrt(fan_in) for the output layer too.
        base_width: Width of the base shape.

    Raises:
        ValueError: `base_width` is no multiple of the head size.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        role = role_of(name)
        if role == "norm":
            weight.fill_(1.0)
            continue
        std = EMBEDDING_STD if role == "embedding" else 1 / math.sqrt(weight.shape[1])
        if role == "head" and parametrisation == "mup":
            std /= math.sqrt(_multiplier(name, weight, config, base_width))
        weight.normal_(std=std, generator=generator)


def parameter_groups(
    model: torch.nn.Module,
    config: ModelConfig,
    *,
    rate: float,
    weight_decay: float,
    parametrisation: ParametrisationName = "mup",
    base_width: int = BASE_WIDTH,
) -> list[dict[str, Any]]:
    """Groups for `torch.optim.AdamW`, each with its name, rate and decay by the table above.

    What a step takes is rate x decay, so one is divided by m and the other multiplied, and the decoupled decay is the
    same at every width. A schedule multiplies the rates that stand here. In the standard parametrisation m is 1.

    Args:
        model: What `build_model` made of `config`.
        config: Its shape, from which the base shape follows.
        rate: eta, the rate at the base width.
        weight_decay: lambda, decoupled.
        parametrisation: "mup" or "standard".
        base_width: Width of the base shape.

    Raises:
        ValueError: `base_width` is no multiple of the head size.
    """
    groups: dict[tuple[Role, float], dict[str, Any]] = {}
    for name, weight in model.named_parameters():
        role = role_of(name)
        m = 1.0
        if parametrisation == "mup" and role in ("matrix", "head"):
            m = _multiplier(name, weight, config, base_width)
        decay = 0.0 if role == "norm" else weight_decay * m
        group = {"name": role, "params": [], "lr": rate / m, "weight_decay": decay}
        groups.setdefault((role, m), group)["params"].append(weight)
    return list(groups.values())


def _multiplier(name: str, weight: torch.Tensor, config: ModelConfig, base_width: int) -> float:
    """A matrix's fan_in over that of the same matrix in the base shape, whose d_ff is rounded by itself."""
    base = replace(config, width=base_width).architecture(vocab_size=1, context=1)
    return weight.shape[1] / (base.d_ff if "down_proj" in name else base.d_model)
