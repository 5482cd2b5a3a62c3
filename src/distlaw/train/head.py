"""From a model's last hidden states to its logits: the output layer, and what the model does after it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor

from distlaw.train.model import hidden_states

_NUMBERS = re.compile("logit|lm_head|output_mult")  # names of a config's entries that may act on logits
_MOST_NUMBERS = 16
_ROWS, _TIME = 2, 24  # of the tokens on which a model is tried
_RELATIVE, _ABSOLUTE = 1e-4, 1e-5  # gap in log-probabilities that rounding may leave: of their spread, and in nats


@dataclass(frozen=True, kw_only=True)
class AfterHead:
    """What a model does to the products of hidden states and output weights: scale them, cap them, or neither.

    Attributes:
        tokens: Logits that it gives, at most the rows of its output layer.
        scale: What they are multiplied by; Granite divides by 8, Cohere multiplies by 1/16.
        cap: Bound that a tanh draws them into, as Gemma 2 has; None for none.
    """

    tokens: int
    scale: float = 1.0
    cap: float | None = None


@dataclass(frozen=True, eq=False)
class Head:
    """An output layer, and what follows it.

    Attributes:
        weight: Its weights, shape (V, d).
        bias: Its bias, shape (V,); None for none.
        scale: See `AfterHead`.
        cap: See `AfterHead`.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, model: Any, after: AfterHead) -> "Head":  # noqa: ANN401
        """A model's own."""
        layer = model.get_output_embeddings()
        bias = getattr(layer, "bias", None)
        return cls(layer.weight[: after.tokens], None if bias is None else bias[: after.tokens], after.scale, after.cap)

    @property
    def vocabulary(self) -> int:
        """Tokens that there are logits of, padding included."""
        return self.weight.shape[0]

    def logits(self, hidden: Tensor, vocabulary: int | None = None) -> Tensor:
        """Logits of the first tokens of the vocabulary, in float32 or better: (n, d) to (n, V)."""
        return self.after(at_least_float32(hidden @ self.weight[:vocabulary].T))

    def after(self, products: Tensor) -> Tensor:
        """Logits from the products of hidden states and weights."""
        if self.bias is not None:
            products = products + self.bias[: products.shape[-1]]
        if self.scale != 1:
            products = products * self.scale
        return products if self.cap is None else torch.tanh(products / self.cap) * self.cap


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits in float32 or better: 16 bits are too few for a normaliser."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


@torch.no_grad()
def find_after_head(model: Any) -> AfterHead:  # noqa: ANN401
    """What a model does after its output layer, found by comparing with the logits that the model itself gives.

    Every number that its config has for logits is tried as a factor, a divisor and a cap; what gives the model's own
    distribution is taken. So a family that nobody here has heard of is read right or refused.

    Args:
        model: A `transformers` causal language model in evaluation mode.

    Raises:
        ValueError: Its distribution is not finite, cannot be had from its last hidden states and output layer, or
            depends on tokens that come later.
    """
    layer = model.get_output_embeddings()
    if layer is None or not isinstance(getattr(layer, "weight", None), Tensor):
        raise ValueError("it has no output layer")
    tokens = _tokens(model.get_input_embeddings().weight.shape[0]).to(layer.weight.device)
    logits = model(input_ids=tokens, use_cache=False).logits
    own = torch.log_softmax(logits.float(), -1)
    if not bool(own.isfinite().all()):
        raise ValueError("its logits are not finite")
    allowed = _ABSOLUTE + _RELATIVE * float(own.max() - own.min())
    early = own[:, : _TIME // 2]
    if float((early[0] - early[1]).abs().max()) > allowed:
        raise ValueError("what it says of a token depends on the tokens after it: it is no causal language model")
    hidden = hidden_states(model, tokens)
    if hidden.shape[-1] != layer.weight.shape[-1] or own.shape[-1] > layer.weight.shape[0]:
        raise ValueError(
            f"its last hidden states of width {hidden.shape[-1]} do not go into its output layer"
            f" of shape {tuple(layer.weight.shape)}"
        )
    gaps = {
        after: float((torch.log_softmax(Head.of(model, after).logits(hidden), -1) - own).abs().max())
        for after in _candidates(model, own.shape[-1])
    }
    best = min(gaps, key=lambda after: gaps[after])  # of equal ones the first, which is plain
    if not gaps[best] <= allowed:
        raise ValueError(
            "its distribution cannot be had from its last hidden states and output layer:"
            f" log-probabilities differ by {gaps[best]:.3g} nats from the model's own"
        )
    return best


def _tokens(vocabulary: int) -> Tensor:
    """Two rows that are alike in their first half, spread over the vocabulary."""
    tokens = torch.arange(_ROWS * _TIME).mul(7919).add(1).remainder(vocabulary).view(_ROWS, _TIME)
    tokens[1, : _TIME // 2] = tokens[0, : _TIME // 2]
    return tokens


def _candidates(model: Any, tokens: int) -> Iterator[AfterHead]:  # noqa: ANN401
    numbers = list(dict.fromkeys(islice(_numbers(model.config.to_dict()), _MOST_NUMBERS)))
    factors = [1.0, *numbers, *(1 / x for x in numbers)]
    for cap, scale in product([None, *numbers], factors):
        yield AfterHead(tokens=tokens, scale=scale, cap=cap)


def _numbers(config: Mapping[str, Any]) -> Iterator[float]:
    """Positive numbers that a config has for logits, those of a nested text model too."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        elif (
            _NUMBERS.search(str(name)) and isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        ):
            yield float(value)
