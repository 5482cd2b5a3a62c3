import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distlaw.train.targets import (
    IMPOSSIBLE,
    DenseTargets,
    KnownTeacher,
    Offer,
    OnlineTeacher,
    PointTargets,
    TailTargets,
    drawn,
    sampled,
    top_1,
    top_k,
    top_p,
    uniforms,
)


def some_log_probs(rows=6, vocabulary=300, seed=0, scale=2.0):
    g = torch.Generator().manual_seed(seed)
    return torch.log_softmax(scale * torch.randn(rows, vocabulary, generator=g, dtype=torch.float64), -1)


def test_dense_targets_are_the_distribution():
    log_probs = some_log_probs()
    dense = DenseTargets.of(log_probs)
    torch.testing.assert_close(dense.probs, log_probs.exp())
    torch.testing.assert_close(dense.entropy, torch.distributions.Categorical(logits=log_probs).entropy())


@pytest.mark.parametrize("k", [1, 7, 300, 1000])
def test_top_k_keeps_the_likeliest(k):
    log_probs = some_log_probs()
    top = top_k(log_probs, k)
    ordered = log_probs.sort(-1, descending=True)
    torch.testing.assert_close(top.ids, ordered.indices[:, :k])
    torch.testing.assert_close(top.log_probs, ordered.values[:, :k])
    torch.testing.assert_close(top.log_tail.exp(), ordered.values[:, k:].exp().sum(-1))


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.999999])
@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])  # flat ones need more than the first 64 tokens
def test_top_p_keeps_the_fewest_that_reach_p(p, scale):
    log_probs = some_log_probs(scale=scale)
    top = top_p(log_probs, p)
    for row, all_probs in enumerate(log_probs.exp().sort(-1, descending=True).values):
        kept = top.log_probs[row] > IMPOSSIBLE
        count = int(kept.sum())
        assert all_probs[: count - 1].sum() < p
        assert all_probs[:count].sum() >= p - 1e-12
        torch.testing.assert_close(top.log_probs[row, :count].exp(), all_probs[:count])
        torch.testing.assert_close(top.log_tail[row].exp(), all_probs[count:].sum(), rtol=1e-9, atol=1e-300)
        assert (top.ids[row, count:] == top.ids[row, 0]).all()
        assert len(top.ids[row, :count].unique()) == count
    assert (top.log_probs > IMPOSSIBLE).any(0).all()  # no column for nothing


def test_top_p_keeps_nothing_that_cannot_happen():
    # In float32 the three tokens there are sum to less than p.
    log_probs = torch.full((1, 9), IMPOSSIBLE)
    log_probs[0, [2, 5, 7]] = torch.tensor([0.6, 0.3, 0.1]).log() - 1e-6
    top = top_p(log_probs, 1 - 1e-7)
    assert top.ids.tolist() == [[2, 5, 7]]


def test_a_tiny_tail_keeps_its_digits():
    log_probs = torch.log_softmax(torch.tensor([[40.0, 39.0, 0.0, 0.0]]), -1)
    torch.testing.assert_close(top_k(log_probs, 2).log_tail, log_probs[:, 2] + math.log(2), rtol=1e-6, atol=0)


def test_renormalised_targets_sum_to_one_and_say_what_was_lost():
    log_probs = some_log_probs()
    for top in (top_k(log_probs, 5), top_p(log_probs, 0.6)):
        points = top.renormalised()
        torch.testing.assert_close(points.weights.sum(-1), torch.ones(6, dtype=torch.float64))
        torch.testing.assert_close(points.lost_mass, 1 - top.log_probs.exp().sum(-1))
        kept = top.log_probs.exp()
        torch.testing.assert_close(points.weights, kept / kept.sum(-1, keepdim=True))
        torch.testing.assert_close(points.entropy, torch.special.entr(points.weights).sum(-1))


def test_top_1_is_the_best_guess():
    log_probs = some_log_probs()
    points = top_1(log_probs)
    torch.testing.assert_close(points.ids[:, 0], log_probs.argmax(-1))
    assert (points.weights == 1).all()
    assert (points.entropy == 0).all()
    torch.testing.assert_close(points.lost_mass, 1 - log_probs.exp().max(-1).values)


@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0, 1, exclude_max=True), st.floats(0.1, 6))
def test_each_token_is_drawn_as_often_as_it_should_to_within_one(seed, samples, u, scale):
    log_probs = some_log_probs(rows=3, vocabulary=50, seed=seed, scale=scale)
    ids, counts = drawn(log_probs, samples, torch.full((3,), u, dtype=torch.float64))
    assert (counts.sum(-1) == samples).all()
    of_each = torch.zeros(3, 50, dtype=torch.int64).scatter_add(1, ids, counts)
    assert ((of_each - samples * log_probs.exp()).abs() < 1 + 1e-9).all()
    for row in range(3):
        present = ids[row][counts[row] > 0]
        assert (present.diff() > 0).all()


def test_samples_are_unbiased():
    # Mean weight over 40000 independent u against p: a chi-square of z-scores with the exact variance of each count.
    n, samples, vocabulary = 40_000, 5, 30
    log_probs = some_log_probs(rows=1, vocabulary=vocabulary, scale=1.5)
    u = uniforms(3, range(n), 1)
    points = sampled(log_probs.expand(n, -1), samples, u)
    mean = torch.zeros(vocabulary, dtype=torch.float64).scatter_add_(0, points.ids.ravel(), points.weights.ravel()) / n
    expected = samples * log_probs[0].exp()
    fraction = expected - expected.floor()
    deviation = (fraction * (1 - fraction) / n).sqrt() / samples
    z = (mean - log_probs[0].exp()) / deviation
    assert z.abs().max() < 4
    assert z.square().mean() < 2
    torch.testing.assert_close(points.entropy, DenseTargets.of(log_probs).entropy.expand(n))


def test_the_comb_varies_less_than_independent_draws():
    log_probs = some_log_probs(rows=1, vocabulary=30).expand(2000, -1)
    comb = sampled(log_probs, 10, uniforms(0, range(2000), 1))
    weights = torch.zeros(2000, 30, dtype=torch.float64).scatter_add_(1, comb.ids, comb.weights)
    p = log_probs[0].exp()
    assert weights.var(0).sum() < 0.7 * (p * (1 - p) / 10).sum()


def test_no_draw_falls_on_an_impossible_token():
    log_probs = torch.full((2, 6), IMPOSSIBLE, dtype=torch.float64)
    log_probs[:, 2] = 0.0
    ids, counts = drawn(log_probs, 9, torch.tensor([0.0, 1 - 1e-16], dtype=torch.float64))
    assert ids.tolist() == [[2], [2]]
    assert counts.tolist() == [[9], [9]]


def test_uniforms_depend_on_seed_block_and_position_alone():
    together = uniforms(0, [5, 2, 9], 16).view(3, 16)
    torch.testing.assert_close(uniforms(0, np.array([2]), 16), together[1], rtol=0, atol=0)
    torch.testing.assert_close(uniforms(0, [2], 4), together[1, :4], rtol=0, atol=0)
    assert len(torch.cat([together.ravel(), uniforms(1, [5, 2, 9], 16)]).unique()) == 96
    many = uniforms(0, range(1000), 20)
    assert many.dtype == torch.float64
    assert 0 <= many.min() < 1e-3
    assert 1 - 1e-3 < many.max() < 1
    assert abs(many.mean() - 0.5) < 0.01
    assert uniforms(0, [], 7).shape == (0,)
    assert uniforms(0, [0], 2).tolist() == [0.011546754286331562, 0.24154919656271812]  # the same on every machine


@pytest.mark.parametrize(
    "offer",
    [
        Offer(),
        Offer(targets="top-k", top_k=4),
        Offer(targets="top-k", top_k=4, tail="renormalise"),
        Offer(targets="top-p", top_p=0.5),
        Offer(targets="sampled", samples=3),
        Offer(targets="top-1"),
    ],
    ids=str,
)
def test_targets_of_rows_are_rows_of_targets(offer):
    g = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(12, 5, generator=g), torch.randn(30, 5, generator=g)
    teacher = OnlineTeacher(hidden, head, 30, offer=offer, uniforms=uniforms(0, [0], 12))
    whole = teacher.at(slice(None))
    for rows in (slice(3, 8), torch.tensor([11, 0, 4])):
        some, there = teacher.at(rows), whole.at(rows)
        assert type(some) is type(there)
        for name, value in vars(some).items():
            expected = getattr(there, name)
            if value.ndim == 2:  # the whole may need wider rows
                expected = expected[:, : value.shape[1]]
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


def test_a_known_teacher_offers_what_an_online_one_does():
    g = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(12, 5, generator=g), torch.randn(30, 5, generator=g)
    for offer in (Offer(), Offer(targets="top-k", top_k=4, tail="renormalise")):
        online = OnlineTeacher(hidden, head, 30, offer=offer)
        known = KnownTeacher(online.log_probs(slice(None)), offer)
        for rows in (slice(3, 8), torch.tensor([11, 0, 4])):
            for mine, theirs in zip(vars(known.at(rows)).values(), vars(online.at(rows)).values(), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_offers_are_of_the_kind_they_say():
    log_probs = some_log_probs()
    u = torch.zeros(6, dtype=torch.float64)
    assert isinstance(Offer().of(log_probs), DenseTargets)
    assert isinstance(Offer(targets="top-p", top_p=0.5).of(log_probs), TailTargets)
    assert isinstance(Offer(targets="top-p", top_p=0.5, tail="renormalise").of(log_probs), PointTargets)
    assert Offer(targets="sampled", samples=3).of(log_probs, u).weights.sum() == pytest.approx(6)


def test_a_teacher_has_a_temperature_and_no_gradient():
    hidden = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    head = torch.randn(30, 5, generator=torch.Generator().manual_seed(1))
    log_probs = OnlineTeacher(hidden, head, 30, temperature=2.0).log_probs(slice(None))
    torch.testing.assert_close(log_probs, torch.log_softmax(hidden.detach() @ head.T / 2, -1))
    assert not log_probs.requires_grad


@pytest.mark.parametrize("teacher_vocabulary", [25, 30, 40])
def test_vocabularies_meet_at_the_students(teacher_vocabulary):
    g = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(4, 5, generator=g), torch.randn(teacher_vocabulary, 5, generator=g)
    dense = OnlineTeacher(hidden, head, 30).at(slice(None))
    logits = torch.full((4, 30), -torch.inf)
    logits[:, :teacher_vocabulary] = (hidden @ head.T)[:, :30]
    torch.testing.assert_close(dense.probs, torch.softmax(logits, -1))
    torch.testing.assert_close(dense.entropy, torch.special.entr(dense.probs).sum(-1))
    assert dense.log_probs.isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": "all"}, "targets 'all' is unknown; choose dense"),
        ({"tail": "drop"}, "tail 'drop' is unknown; choose bucket, renormalise"),
        ({"targets": "top-k"}, "top_k is missing, targets 'top-k' need it"),
        ({"targets": "top-p"}, "top_p is missing"),
        ({"targets": "sampled"}, "samples is missing"),
        ({"top_k": 3}, "top_k is 3, but it is for targets 'top-k' and they are 'dense'"),
        ({"targets": "top-k", "top_k": 0}, "top_k must be 1 or more, got 0"),
        ({"targets": "sampled", "samples": 0}, "samples must be 1 or more, got 0"),
        ({"targets": "top-p", "top_p": 1.0}, r"top_p must be above 0 and below 1, got 1\.0"),
    ],
)
def test_offers_that_mean_nothing_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Offer(**change)
