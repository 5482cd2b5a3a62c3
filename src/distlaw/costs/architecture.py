"""Transformer shapes: exact parameter counts, exact forward FLOPs, and the fixed-aspect-ratio family."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_PARAMS = 1000
"""Fewest parameters without embeddings of anything taken for a language model; one layer of width 10 has 1200."""


def require_size(N: ArrayLike) -> NDArray[np.float64]:
    """Sizes N, refused where they are no language model's.

    Raises:
        ValueError: One of them is not finite or below `FEWEST_PARAMS`.
    """
    N = np.asarray(N, dtype=np.float64)
    if (bad := N[~(np.isfinite(N) & (N >= FEWEST_PARAMS))]).size:
        raise ValueError(
            f"a language model has at least {FEWEST_PARAMS:,} parameters without embeddings, got {bad.flat[0]:.10g}"
        )
    return N


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Shape of a dense decoder-only transformer.

    The defaults are those of the paper's models: RMSNorm before attention and before the feed-forward block and one at
    the end, a norm on queries and keys per head, SwiGLU, no biases, rotary positions, embedding tied with the output.

    Attributes:
        n_layers: Blocks.
        d_model: Width of the residual stream.
        n_heads: Query heads.
        n_kv_heads: Key and value heads; fewer than `n_heads` is grouped-query attention.
        d_head: Size of a head.
        d_ff: Width of the feed-forward block.
        n_vocab: Entries of the vocabulary.
        n_ctx: Context length in tokens.
        n_ffn: Matrices of the feed-forward block: 3 gated (SwiGLU), 2 plain.
        tied: Whether the output layer shares the embedding.
        n_norms: Norms of width d_model in each block.
        norm_params: Parameters of a norm per channel: 1 (gain), 2 (gain and bias).
        qk_norm_params: Gains of the query and key norms in each block, all heads together.
        bias_params: Bias parameters in each block.
        learned_positions: Entries of a learned position table (0: rotary or none).
        n_local: Blocks with local attention, which sees the last `window` positions only.
        window: Positions that a local block sees, its own included; None where none is local.
        notes: What a reader should know of how the shape was read, a sentence each.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_ff: int
    n_vocab: int
    n_ctx: int
    n_ffn: int = 3
    tied: bool = True
    n_norms: int = 2
    norm_params: int = 1
    qk_norm_params: int = 0
    bias_params: int = 0
    learned_positions: int = 0
    n_local: int = 0
    window: int | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff", "n_vocab", "n_ctx"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads must divide n_heads ({self.n_heads}) into equal groups, got {self.n_kv_heads}"
            )
        if not 0 <= self.n_local <= self.n_layers:
            raise ValueError(f"n_local must be from 0 to n_layers ({self.n_layers}), got {self.n_local}")
        if self.n_local and (self.window is None or self.window < 1):
            raise ValueError(f"window must be at least 1 where blocks are local, got {self.window}")

    @property
    def n_params(self) -> int:
        """Non-embedding parameters N, norm gains included (tables 9 and 10)."""
        attention = (2 * self.n_heads + 2 * self.n_kv_heads) * self.d_model * self.d_head
        feed_forward = self.n_ffn * self.d_model * self.d_ff
        norms = self.n_norms * self.norm_params * self.d_model + self.qk_norm_params
        last_norm = self.norm_params * self.d_model
        return self.n_layers * (attention + feed_forward + norms + self.bias_params) + last_norm

    @property
    def n_embedding(self) -> int:
        """Parameters of the token embedding, of an untied output layer, and of learned positions."""
        return self.n_vocab * self.d_model * (1 if self.tied else 2) + self.learned_positions * self.d_model

    @property
    def n_total(self) -> int:
        """All parameters."""
        return self.n_params + self.n_embedding

    @property
    def forward_flops(self) -> float:
        """Forward FLOPs per token at full context (tables 11 and 12): a multiply and an add are two.

        Causal attention is counted at half, since a token sees half of the context on average: `n_ctx / 2` positions. A
        local block sees the mean of min(t, window) over t from 0 to n_ctx, which is `window (1 - window / (2 n_ctx))`
        for a window shorter than the context, and `n_ctx / 2` from there on.
        """
        d, query, key_value = self.d_model, self.n_heads * self.d_head, self.n_kv_heads * self.d_head
        window = min(self.window or self.n_ctx, self.n_ctx)
        local_positions = window * (1 - window / (2 * self.n_ctx))
        positions = (self.n_layers - self.n_local) * self.n_ctx / 2 + self.n_local * local_positions
        embedding = 2 * d
        projections = 2 * d * (query + 2 * key_value)
        logits = 2 * query
        softmax = 5 * self.n_heads
        values = 2 * query
        output = 2 * query * d
        feed_forward = 2 * self.n_ffn * d * self.d_ff
        head = 2 * self.n_vocab * d
        attention = (logits + softmax + values) * positions
        return embedding + self.n_layers * (projections + output + feed_forward) + attention + head

    @property
    def forward_flops_closed_form(self) -> float:
        """Forward FLOPs per token by eq. 69, with this shape's own rho and omega (the last column of table 13)."""
        attention = (2 * self.n_heads + 2 * self.n_kv_heads) * self.d_head / self.d_model
        return float(
            closed_form_forward_flops(
                self.n_params,
                rho=self.d_model / self.n_layers,
                omega=attention + self.n_ffn * self.d_ff / self.d_model,
                n_ctx=self.n_ctx,
                n_vocab=self.n_vocab,
            )
        )


def closed_form_forward_flops(
    N: ArrayLike, *, rho: float, omega: float, n_ctx: int, n_vocab: int
) -> NDArray[np.float64]:
    """Forward FLOPs per token as a function of size alone (eq. 58-69).

    ``F(N) = 2 N (1 + s1 n_ctx / N^(1/3) + s2 n_vocab / N^(2/3))`` with `s1 = (1 / (rho omega^2))^(1/3)` and
    `s2 = (rho / omega)^(1/3)`: parameters, attention, output layer. A backward pass costs twice as much.

    Args:
        N: Non-embedding parameters, > 0.
        rho: Aspect ratio d_model / n_layers.
        omega: Parameters of a block in units of d_model^2, `2 + 2/g + n_ffn rho_ffn`.
        n_ctx: Context length in tokens.
        n_vocab: Entries of the vocabulary.

    Raises:
        ValueError: N is no language model's size, see `require_size`.
    """
    N = require_size(N)
    s1 = (1 / (rho * omega**2)) ** (1 / 3)
    s2 = (rho / omega) ** (1 / 3)
    root = np.cbrt(N)
    return 2 * N * (1 + s1 * n_ctx / root + s2 * n_vocab / root**2)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models of one shape at any depth: width = `aspect_ratio` x layers (section 5, table 13).

    The defaults are the paper's family. `d_ff` is `ffn_ratio` x width rounded up to a multiple of `ffn_multiple`. The
    paper names a vocabulary of 32168, but N_total and eq. 69 in its table 13 come out to every printed digit with
    32768 and in no row with 32168, so 32768 is what its models were counted with and what stands here.

    Attributes:
        aspect_ratio: rho = d_model / n_layers.
        d_head: Size of a head; n_heads = d_model / d_head.
        ffn_ratio: rho_ffn = d_ff / d_model.
        ffn_multiple: What d_ff is rounded up to.
        n_ffn: Matrices of the feed-forward block.
        group_size: g = query heads per key-value head (1: multi-head attention).
        n_vocab: Entries of the vocabulary.
        n_ctx: Context length in tokens.

    >>> PAPER_FAMILY.member(14).n_params
    545970432
    """

    aspect_ratio: int = 128
    d_head: int = 128
    ffn_ratio: float = 8 / 3
    ffn_multiple: int = 128
    n_ffn: int = 3
    group_size: int = 1
    n_vocab: int = 32768
    n_ctx: int = 4096

    def __post_init__(self) -> None:
        for name in (
            "aspect_ratio",
            "d_head",
            "ffn_ratio",
            "ffn_multiple",
            "n_ffn",
            "group_size",
            "n_vocab",
            "n_ctx",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value}")
        if self.aspect_ratio % self.d_head:
            raise ValueError(
                f"aspect_ratio must be a multiple of d_head ({self.d_head}), got {self.aspect_ratio}:"
                " otherwise some depths have no whole number of heads"
            )

    def member(self, n_layers: int) -> Architecture:
        """The family's model of this depth.

        Raises:
            ValueError: `n_layers` is not a whole number of at least 1, or its heads do not divide into groups.
        """
        if not isinstance(n_layers, int) or n_layers < 1:
            raise ValueError(f"n_layers must be a whole number of at least 1, got {n_layers!r}")
        d_model = self.aspect_ratio * n_layers
        n_heads = d_model // self.d_head
        if n_heads % self.group_size:
            raise ValueError(f"group_size {self.group_size} does not divide the {n_heads} heads of {n_layers} layers")
        # The tolerance keeps 8/3 x 1152 = 3072 from becoming 3072.0000000000005 and rounding up.
        d_ff = self.ffn_multiple * math.ceil(d_model * self.ffn_ratio / self.ffn_multiple - 1e-9)
        return Architecture(
            n_layers=n_layers,
            d_model=d_model,
            n_heads=n_heads,
            n_kv_heads=n_heads // self.group_size,
            d_head=self.d_head,
            d_ff=d_ff,
            n_vocab=self.n_vocab,
            n_ctx=self.n_ctx,
            n_ffn=self.n_ffn,
            qk_norm_params=2 * self.d_head,
        )

    def nearest(self, N: float) -> Architecture:
        """The member whose N is nearest, by ratio, to the one asked for.

        Args:
            N: Non-embedding parameters.

        Raises:
            ValueError: N is no language model's size, see `require_size`.
        """
        require_size(N)
        step = self._depth_step
        guess = (N / (self.omega * self.aspect_ratio**2)) ** (1 / 3) / step
        members = [self.member(step * max(1, math.floor(guess) + shift)) for shift in (-1, 0, 1)]
        return min(members, key=lambda m: abs(math.log(m.n_params / N)))

    @property
    def _depth_step(self) -> int:
        """Depths that are multiples of this have heads that divide into groups."""
        heads_per_layer = self.aspect_ratio // self.d_head
        return self.group_size // math.gcd(self.group_size, heads_per_layer)

    @property
    def omega(self) -> float:
        """Omega = 2 + 2/g + n_ffn rho_ffn, so that N = omega d_model^2 n_layers (eq. 58); 12 for the paper's family."""
        return 2 + 2 / self.group_size + self.n_ffn * self.ffn_ratio

    def forward_flops(self, N: ArrayLike) -> NDArray[np.float64]:
        """Forward FLOPs per token of a family member with N parameters, at any real N (eq. 69).

        Args:
            N: Non-embedding parameters, > 0.

        >>> f"{float(PAPER_FAMILY.forward_flops(1e9)):.3e}"
        '2.454e+09'
        """
        return closed_form_forward_flops(
            N, rho=self.aspect_ratio, omega=self.omega, n_ctx=self.n_ctx, n_vocab=self.n_vocab
        )


PAPER_FAMILY = Family()
