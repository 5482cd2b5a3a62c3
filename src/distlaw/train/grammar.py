"""A language whose irreducible loss E is known: a seeded stochastic grammar over token ids."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

START = 0  # the token that every document begins with
_SMALLEST_VOCABULARY = 8
# By rank: how many constituents a symbol opens. One before none before two, over weights that fall with rank, makes the
# mean less than one, so that every sentence ends.
_CHILDREN = (1, 0, 2)


@dataclass(frozen=True, kw_only=True)
class Grammar:
    r"""A probabilistic grammar in Greibach normal form, every rule `kind -> symbol kind*`.

    A constituent of some kind is a symbol followed by the constituents that the symbol opens: one, none or two, whose
    kinds belong to the symbol. A document is sentences, constituents of kind 0, one after another, cut at its length.
    So what may follow a symbol that opens something depends on that symbol, and what follows the end of a constituent
    on a symbol any distance back that has a second one to come: long-range structure, as in text.

    Every kind gives the same probabilities, Zipf's :math:`p_r \propto r^{-s}`, to its own ranking of all symbols.
    Read from the document's first token, the past fixes which kind comes next, so the next symbol has the same
    entropy at *every* position, and the least mean cross-entropy of any model is, exactly, at any context length,

    .. math:: E = -\sum_r p_r \log p_r

    nats per symbol. This holds for blocks that start where documents do. A model that saw a document from the middle
    would also pay for not knowing what is open there.

    The rankings are a table of kinds x symbols, whose rows are needed with Zipf-like frequencies: a larger model holds
    more of it, and more tokens show more of it, which is why loss falls smoothly towards E with both.

    Attributes:
        vocab_size: Token ids: 0, which starts a document, and the symbols 1 to vocab_size - 1.
        seed: 0 or more; fixes rankings and kinds.
        kinds: Number of kinds.
        exponent: s, of Zipf's law: larger, and E is lower.
        popularity: How far the rankings agree: 0 not at all; the larger, the more a symbol's frequency alone tells.

    >>> grammar = Grammar(vocab_size=512)
    >>> round(grammar.entropy_rate, 4)
    2.8299
    """

    vocab_size: int
    seed: int = 0
    kinds: int = 256
    exponent: float = 1.5
    popularity: float = 0.5

    def __post_init__(self) -> None:
        if self.vocab_size < _SMALLEST_VOCABULARY:
            raise ValueError(f"vocab_size={self.vocab_size}: a grammar needs at least {_SMALLEST_VOCABULARY} token ids")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must be 0 or more")
        if self.kinds < 1:
            raise ValueError(f"kinds={self.kinds}: a grammar needs at least one kind")
        for name in ("exponent", "popularity"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value:g} must be a finite number, 0 or more")

    @property
    def entropy_rate(self) -> float:
        """E in nats per symbol: what a perfect model reaches, at every position of a document."""
        return float(-(self._weights * np.log(self._weights)).sum())

    def documents(self, count: int, length: int, generator: np.random.Generator) -> Ints:
        """Draw documents.

        Args:
            count: Number of documents.
            length: Symbols of each.
            generator: Source of chance.

        Returns:
            Token ids, (count, length + 1); the first of each document is `START`.
        """
        cumulative = np.cumsum(self._weights)
        ranks = np.searchsorted(cumulative, generator.random((count, length)) * cumulative[-1], side="right")
        tokens = np.full((count, length + 1), START, dtype=np.int64)

        def draw(kind: Ints, position: int) -> Ints:
            tokens[:, position + 1] = self._by_rank[kind, ranks[:, position]]
            return tokens[:, position + 1]

        self._parse(count, length, draw)
        return tokens

    def log_probabilities(self, tokens: Ints) -> NDArray[np.float64]:
        """Log-probability of each symbol given the document up to it.

        Args:
            tokens: Documents from their start, (count, length + 1), as `documents` gives them.

        Returns:
            Nats, (count, length).

        Raises:
            ValueError: A document does not begin with `START`, or holds an id that is no symbol.
        """
        symbols = tokens[:, 1:]
        if (tokens[:, 0] != START).any() or ((symbols <= START) | (symbols >= self.vocab_size)).any():
            raise ValueError(f"a document is {START} and then symbols between 1 and {self.vocab_size - 1}")
        count, length = symbols.shape
        result = np.empty((count, length))

        def look_up(kind: Ints, position: int) -> Ints:
            result[:, position] = np.log(self._weights[self._rank_of[kind, symbols[:, position]]])
            return symbols[:, position]

        self._parse(count, length, look_up)
        return result

    def _parse(self, count: int, length: int, read: Callable[[Ints, int], Ints]) -> None:
        """Go through documents from left to right; `read(kind, position)` gives the symbols there."""
        row = np.arange(count)
        open_kinds = np.zeros((count, length + 2), dtype=np.int64)  # stacks; at the bottom the sentence to come
        depth = np.zeros(count, dtype=np.int64)
        for position in range(length):
            symbol = read(open_kinds[row, depth], position)
            children = self._children[symbol]
            depth = np.maximum(depth - 1, 0)
            for least, child in ((2, 1), (1, 0)):  # the second child lies below the first
                has = children >= least
                depth += has
                open_kinds[row[has], depth[has]] = self._child_kinds[symbol[has], child]

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        weights = np.arange(1.0, self.vocab_size) ** -self.exponent
        return weights / weights.sum()

    @cached_property
    def _children(self) -> Ints:
        """Constituents that a token opens, by its id."""
        return np.concatenate([[0], np.resize(_CHILDREN, self.vocab_size - 1)]).astype(np.int64)

    @cached_property
    def _child_kinds(self) -> Ints:
        return np.random.default_rng([self.seed, 1]).integers(0, self.kinds, (self.vocab_size, 2))

    @cached_property
    def _by_rank(self) -> Ints:
        """Each kind's symbols from its likeliest on, (kinds, symbols).

        A rank is taken by a symbol with as many children as `_CHILDREN` says, so that the shape of sentences is
        the same for all kinds; among those, symbols are drawn one by one with weights (1, 2, ...)^-popularity.
        """
        generator = np.random.default_rng([self.seed, 0])
        result = np.empty((self.kinds, self.vocab_size - 1), dtype=np.int64)
        for start in range(len(_CHILDREN)):
            symbols = np.arange(1 + start, self.vocab_size, len(_CHILDREN))
            gumbel = generator.gumbel(size=(self.kinds, symbols.size))
            keys = gumbel - self.popularity * np.log(np.arange(1, symbols.size + 1))
            result[:, start :: len(_CHILDREN)] = symbols[np.argsort(-keys, axis=1, kind="stable")]
        return result

    @cached_property
    def _rank_of(self) -> Ints:
        """Rank of each symbol under each kind, (kinds, vocab_size); column 0 means nothing."""
        result = np.zeros((self.kinds, self.vocab_size), dtype=np.int64)
        np.put_along_axis(result, self._by_rank, np.arange(self.vocab_size - 1)[None, :], axis=1)
        return result
