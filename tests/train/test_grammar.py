import itertools
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.train.grammar import START, Grammar


@pytest.fixture(scope="module")
def grammar():
    return Grammar(vocab_size=256, seed=0, kinds=32)


def test_the_language_loses_exactly_its_entropy_rate(grammar):
    nats = -grammar.log_probabilities(grammar.documents(4000, 64, np.random.default_rng(0)))
    assert abs(nats.mean() - grammar.entropy_rate) < 4 * nats.std() / np.sqrt(nats.size)
    # At every position, not on average only: the first symbols of a block are no harder than the last.
    at_position = (nats.mean(axis=0) - grammar.entropy_rate) / (nats.std() / np.sqrt(len(nats)))
    assert np.abs(at_position).max() < 4


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_entropy_of_all_documents_is_exact(length, seed):
    grammar = Grammar(vocab_size=8, seed=seed, kinds=5, exponent=0.7)
    every = np.array([[START, *symbols] for symbols in itertools.product(range(1, 8), repeat=length)])
    log_p = grammar.log_probabilities(every).sum(axis=1)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    assert -(np.exp(log_p) * log_p).sum() == pytest.approx(length * grammar.entropy_rate, abs=1e-12)


def test_documents_are_drawn_with_the_probabilities_that_are_claimed():
    grammar = Grammar(vocab_size=8, seed=3, kinds=5, exponent=0.7)
    every = np.array([[START, *symbols] for symbols in itertools.product(range(1, 8), repeat=3)])
    expected = 50_000 * np.exp(grammar.log_probabilities(every).sum(axis=1))
    drawn = grammar.documents(50_000, 3, np.random.default_rng(0))
    assert (drawn[:, 0] == START).all()
    counts = np.bincount(np.ravel_multi_index(tuple(drawn[:, 1:].T - 1), (7, 7, 7)), minlength=343)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_squared - 342) < 4 * np.sqrt(2 * 342)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(8, 40), st.integers(1, 20), st.integers(1, 60))
def test_documents_parse_as_sentences_of_nested_constituents(seed, vocab_size, kinds, length):
    """The kinds that a plain recursive-descent reading finds are those that explain the probabilities."""
    grammar = Grammar(vocab_size=vocab_size, seed=seed, kinds=kinds)
    document = grammar.documents(1, length, np.random.default_rng(seed))
    symbols, ranks = iter(document[0, 1:].tolist()), []

    def constituent(kind):
        symbol = next(symbols)
        ranks.append(int(np.flatnonzero(grammar._by_rank[kind] == symbol)[0]))
        for child in range(grammar._children[symbol]):
            constituent(grammar._child_kinds[symbol, child])

    with suppress(StopIteration):  # the document ends in the middle of a sentence
        while True:
            constituent(0)
    expected = np.log(grammar._weights[ranks])
    assert np.array_equal(grammar.log_probabilities(document)[0], expected)


def test_every_kind_ranks_every_symbol_and_every_sentence_ends(grammar):
    assert all(sorted(row) == list(range(1, 256)) for row in grammar._by_rank)
    openings = grammar._children[grammar._by_rank]
    assert (openings == openings[0]).all()
    assert (openings @ grammar._weights < 1).all()


def test_the_past_matters_and_frequency_is_not_enough(grammar):
    tokens = grammar.documents(2000, 64, np.random.default_rng(1))[:, 1:]
    share = np.bincount(tokens.ravel(), minlength=256)[1:] / tokens.size
    unigram = -(share[share > 0] * np.log(share[share > 0])).sum()
    assert unigram > grammar.entropy_rate + 1
    # After the same leaf, what comes depends on what was left open long before it.
    leaf = grammar._by_rank[0][1]
    assert grammar._children[leaf] == 0
    after = [
        grammar.log_probabilities(np.array([[START, first, leaf, 1]]))[0, -1]
        for first in np.flatnonzero(grammar._children == 2)
    ]
    assert len(set(after)) > 5


def test_a_seed_is_a_language_and_zero_is_one():
    draws = {
        seed: Grammar(vocab_size=64, seed=seed).documents(4, 16, np.random.default_rng(0)).tolist() for seed in (0, 1)
    }
    assert draws[0] != draws[1]
    zero, one = Grammar(vocab_size=64, seed=0), Grammar(vocab_size=64, seed=1)
    assert (zero._by_rank != one._by_rank).mean() > 0.5
    assert (zero._child_kinds != one._child_kinds).mean() > 0.5
    assert draws[0] == Grammar(vocab_size=64, seed=0).documents(4, 16, np.random.default_rng(0)).tolist()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"vocab_size": 7}, "vocab_size=7"),
        ({"seed": -1}, "seed=-1"),
        ({"kinds": 0}, "kinds=0"),
        ({"exponent": float("nan")}, "exponent=nan"),
        ({"popularity": -0.5}, "popularity=-0.5"),
    ],
)
def test_bad_grammars_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Grammar(**{"vocab_size": 64} | bad)


@pytest.mark.parametrize("tokens", [[[1, 2]], [[0, 0]], [[0, 256]]])
def test_what_is_no_document_has_no_probability(grammar, tokens):
    with pytest.raises(ValueError, match="a document is 0 and then symbols between 1 and 255"):
        grammar.log_probabilities(np.array(tokens))
