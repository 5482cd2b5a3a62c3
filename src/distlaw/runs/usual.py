"""What is usual of language models: how many tokens there are to a parameter, and at what loss they end."""

import math

import numpy as np
from numpy.typing import NDArray

from distlaw.laws import DEFAULT_LAW, published

Array = NDArray[np.float64]

NATS_IN_A_BIT = math.log(2)
USUAL_COMPUTE = (-1.0, 3.0)
"""Log10 of compute over 6 N D: small models, embeddings, attention and teachers cost more."""
BYTES_IN_A_TOKEN = 4.0
"""On English web text and with tokenizers in use, between three and six."""


def impossible(params: Array, tokens: Array) -> bool:
    """Whether numbers cannot be counts of the parameters and tokens of language models.

    Args:
        params: Of models, at least one.
        tokens: That they were trained on.
    """
    ratio = np.median(np.log10(tokens / params))
    return bool(params.max() < 1e3 or tokens.max() < 1e4 or not -2 <= ratio <= 5.5)


def strangeness(params: Array, tokens: Array) -> float:
    """How unusual sizes and tokens are: away from 40 tokens to a parameter, 10M to 300B and 100M to 30T of them.

    Args:
        params: Of models.
        tokens: That they were trained on.

    Returns:
        About a log likelihood.
    """
    N, D = np.log10(params), np.log10(tokens)
    ratio = abs(float(np.median(D - N)) - math.log10(40))
    size = max(7 - float(np.median(N)), 2 * (float(N.max()) - 11.5), 0)
    data = max(8 - float(np.median(D)), 2 * (float(D.max()) - 13.5), 0)
    return 2 * (ratio + size + data)


def usual_ratio(params: Array, tokens: Array, losses: Array) -> Array:
    """Losses over those that the default law gives models of these sizes without a teacher, in nats per token."""
    return losses / published(DEFAULT_LAW).supervised.loss(params, tokens)


def distance(params: Array, tokens: Array, losses: Array, unit: str | None = None) -> tuple[float, str]:
    """How far losses are from what is usual, the middle one, in log loss.

    Args:
        params: Of models.
        tokens: That they were trained on.
        losses: At which they ended.
        unit: `nats`, `bits`, `per-byte` or `perplexity`; None: that which brings them nearest.

    Returns:
        The distance, 0.1 more where the unit is not said to be another than nats, and the unit.
    """
    off = np.log(usual_ratio(params, tokens, losses))
    shifts: dict[str, float | Array] = {"nats": 0.0, "bits": math.log(NATS_IN_A_BIT)}
    # In nats or bits, a token of three to six bytes.
    shifts["per-byte"] = -float(np.clip(np.median(off), -math.log(7), -math.log(2.5)))
    if losses.min() > 1:
        shifts["perplexity"] = np.log(np.log(losses) / losses)
    far = {name: float(np.median(np.abs(off + shift))) for name, shift in shifts.items()}
    if unit is not None:
        return far.get(unit, math.inf), unit
    return min((value if name == "nats" else value + 0.1, name) for name, value in far.items())
