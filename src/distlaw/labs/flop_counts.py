"""FLOPs of a real model, counted as torch sees them and by the shapes of its modules, and the time that it takes.

Torch sees attention if it is computed as two products. Its counter does not know the fused kernel for CPUs, which is
what models take by default there, and then sees none of it; for those of GPUs it counts the whole square, and 2.5 times
that on the way back, since scores are computed again. So here attention is asked for as products.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import Architecture

if TYPE_CHECKING:
    from distlaw.train.model import ModelConfig

BATCH_TOKENS = 1024
"""Tokens of a batch that is timed."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model.

    Attributes:
        family: The study whose family it is of.
        config: Its shape.
        vocab_size: Entries of its vocabulary.
        context: Context length in tokens.
    """

    family: str
    config: "ModelConfig"
    vocab_size: int
    context: int

    @property
    def architecture(self) -> Architecture:
        """The shape as `costs` counts it."""
        return self.config.architecture(vocab_size=self.vocab_size, context=self.context)

    def build(self, device: str) -> Any:  # noqa: ANN401
        """The model itself."""
        import torch

        from distlaw.train.model import build_model

        with torch.device(device):
            return build_model(
                self.config, vocab_size=self.vocab_size, context=self.context, seed=0, parametrisation="standard"
            )


@dataclass(frozen=True, kw_only=True)
class Counts:
    """FLOPs per token at full context.

    Attributes:
        forward: Of a forward pass, by torch.
        backward: Of a backward pass, by torch.
        linear: Of all layers with weights, by the shapes of the weights.
        attention: Of scores and values over the whole square, by the shapes of the projections.
    """

    forward: float
    backward: float
    linear: float
    attention: float


def count(shape: Shape, device: str) -> Counts:
    """Count the FLOPs of one sequence of a whole context, and divide by its tokens.

    Args:
        shape: The model.
        device: cpu, or meta, on which nothing is computed.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = shape.build(device)
    tokens = torch.zeros(1, shape.context, dtype=torch.long, device=device)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            logits = _logits(model, tokens)
        with FlopCounterMode(display=False) as backward:
            logits.backward(torch.ones_like(logits))
    weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
    queries = [layer.self_attn.q_proj.out_features for layer in model.model.layers]
    return Counts(
        forward=forward.get_total_flops() / shape.context,
        backward=backward.get_total_flops() / shape.context,
        linear=sum(2.0 * weight.numel() for weight in weights),
        attention=sum(2.0 * 2 * query * shape.context for query in queries),
    )


def _logits(model: Any, tokens: Any) -> Any:  # noqa: ANN401
    """Of every position: on a CPU the way that models are trained, elsewhere the model's own."""
    from distlaw.train.model import hidden_states

    if tokens.device.type == "cpu":
        return model.lm_head(hidden_states(model, tokens))
    # No mask is looked for in numbers that do not exist; attention without one is causal.
    return model(input_ids=tokens, attention_mask={"full_attention": None}, use_cache=False).logits


def seconds_per_token(shape: Shape, repeats: int) -> NDArray[np.float64]:
    """CPU time of one thread for forward and backward, (repeats,), in batches as the study trains them."""
    import torch

    model = shape.build("cpu")
    tokens = torch.zeros(BATCH_TOKENS // shape.context, shape.context, dtype=torch.long)

    def step() -> None:
        logits = _logits(model, tokens)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()

    step()
    found = []
    for _ in range(repeats):
        begun, steps = time.process_time(), 0
        while (spent := time.process_time() - begun) < 0.1 or steps < 2:
            step()
            steps += 1
        found.append(spent / steps / tokens.numel())
    return np.array(found)
