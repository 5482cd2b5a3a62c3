"""Which of the teachers at hand, if any."""

from dataclasses import dataclass

import numpy as np

from distlaw.plan.problem import require_quantity

MEASURED, FROM_BITS, ESTIMATED = "measured", "from bits per byte", "estimated from size and tokens"

FEWEST_PARAMS = 1000.0
"""Of a language model: nothing smaller has been fitted."""

RELATIVE_ERROR = {MEASURED: 0.005, FROM_BITS: 0.01, ESTIMATED: 0.02}
"""Standard deviation of L_T over L_T, by how it was come by, where nobody gives one."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A teacher that exists.

    Attributes:
        name: How the user calls it.
        params: N_T, non-embedding parameters.
        loss: L_T in nats per token on the law's data with the law's tokenizer; None estimates it from `tokens`.
        tokens: D_T it was trained on.
        forward_flops: Forward FLOPs per token; None takes the planner's F(N_T).
        loss_error: Standard deviation of L_T in nats per token; None takes 2 % of a loss that is estimated, 1 % of one
            from bits per byte and 0.5 % of one that was measured.
        loss_from: How L_T was come by, for the report.
        vocabulary: Entries of its vocabulary, where they are known.
    """

    name: str
    params: float
    loss: float | None = None
    tokens: float | None = None
    forward_flops: float | None = None
    loss_error: float | None = None
    loss_from: str = MEASURED
    vocabulary: float | None = None

    def __post_init__(self) -> None:
        require_quantity(self.params, f"teacher '{self.name}': params")
        if self.params < FEWEST_PARAMS:
            raise ValueError(
                f"teacher '{self.name}': params {self.params:g} is no size of a language model; give"
                f" {FEWEST_PARAMS:,.0f} or more, such as 7B"
            )
        for field in ("loss", "tokens", "forward_flops", "loss_error", "vocabulary"):
            value = getattr(self, field)
            if value is not None:
                require_quantity(value, f"teacher '{self.name}': {field}")
        if self.loss is None and self.tokens is None:
            raise ValueError(f"teacher '{self.name}': give its loss, or its tokens to estimate the loss from")


def loss_from_bits_per_byte(bits_per_byte: float, bytes_per_token: float) -> float:
    """Cross-entropy in nats per token from bits per byte: `bpb x bytes per token x ln 2`.

    Bits per byte is the same for any tokenizer, so a teacher with another tokenizer can be placed on a law's scale.
    This assumes that the teacher would predict the law's text as well through the law's tokenizer as through its own,
    and `bytes_per_token` must be that of the *law's* tokenizer on the *law's* data, where bits per byte was measured.

    Args:
        bits_per_byte: The teacher's bits per byte on the law's data.
        bytes_per_token: Mean bytes per token of the law's tokenizer on that data.

    >>> round(loss_from_bits_per_byte(0.75, 4.2), 3)
    2.183
    """
    require_quantity(bits_per_byte, "bits_per_byte")
    require_quantity(bytes_per_token, "bytes_per_token")
    return float(bits_per_byte * bytes_per_token * np.log(2.0))


def same_tokenizer(one: float | None, other: float | None) -> bool:
    """Whether two vocabularies may be one tokenizer's: equal up to padding, or not both known.

    Models pad their embeddings to a round number, so that 151,936 and 152,064 entries are the same tokenizer.

    >>> same_tokenizer(151_936, 152_064), same_tokenizer(151_936, 49_152)
    (True, False)
    """
    if one is None or other is None:
        return True
    return abs(one - other) <= min(512.0, 0.01 * max(one, other))
