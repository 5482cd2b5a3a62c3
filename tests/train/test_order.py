import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.train.order import Order, mixed

SEEDS = st.integers(0, 2**64 - 1)


@given(st.integers(1, 3000), SEEDS, st.integers(0, 10**6))
def test_an_epoch_reads_every_block_once(blocks, seed, epoch):
    read = Order(blocks, seed).at(np.arange(blocks) + epoch * blocks)
    assert np.array_equal(np.sort(read), np.arange(blocks))


def test_epochs_and_seeds_give_other_orders():
    orders = [tuple(Order(1000, seed).at(np.arange(1000) + 1000 * epoch)) for seed in range(4) for epoch in range(4)]
    assert len(set(orders)) == 16
    # Unrelated permutations agree in one place on average.
    agreements = [np.equal(orders[a], orders[b]).sum() for a in range(16) for b in range(a)]
    assert np.mean(agreements) < 2


@given(st.integers(1, 500), SEEDS, st.integers(0, 1000), st.integers(1, 12), st.integers(1, 6))
def test_ranks_share_the_step_that_one_process_reads(blocks, seed, step, part, world):
    order = Order(blocks, seed)
    parts = [order.indices(step, part * world, rank, world) for rank in range(world)]
    assert all(len(read) == part for read in parts)
    assert np.array_equal(np.concatenate(parts), order.indices(step, part * world))


def test_steps_follow_each_other_across_epochs():
    order, batch = Order(10, seed=3), 4  # the third step ends one epoch and begins the next
    steps = np.concatenate([order.indices(step, batch) for step in range(10)])
    for epoch in range(4):
        assert sorted(steps[10 * epoch : 10 * (epoch + 1)]) == list(range(10))


def test_the_order_is_the_same_for_ever():
    # Written down once: a run that was started under another version must resume in the same order.
    assert Order(10, 0).at(np.arange(20)).tolist() == [3, 6, 7, 1, 5, 4, 8, 0, 9, 2, 6, 9, 2, 1, 7, 4, 3, 8, 0, 5]
    assert Order(10**9, 7).indices(10**7, 4).tolist() == [718832913, 296480283, 327839015, 732583605]
    # The first outputs of SplitMix64 with seed 0, from its reference implementation.
    assert [int(x) for x in mixed(np.array([0], np.uint64))] == [0xE220A8397B1DCDAF]


def test_a_thousand_million_blocks_need_no_table():
    read = Order(10**9, seed=1).at(np.arange(10**5) + 10**9 - 50_000)
    assert read.min() >= 0
    assert read.max() < 10**9
    assert len(set(read[:50_000].tolist())) == len(set(read[50_000:].tolist())) == 50_000
    assert abs(read.mean() / 10**9 - 0.5) < 0.005


@pytest.mark.parametrize("blocks", [3, 10, 33, 100])
def test_every_block_is_as_likely_at_every_place(blocks):
    seeds = 2000
    counts = np.zeros((blocks, blocks))
    for seed in range(seeds):
        counts[np.arange(blocks), Order(blocks, seed).at(np.arange(blocks))] += 1
    freedom = (blocks - 1) ** 2
    chi_squared = ((counts - seeds / blocks) ** 2 / (seeds / blocks)).sum()
    assert abs(chi_squared - freedom) < 5 * np.sqrt(2 * freedom)


def test_what_cannot_be_ordered_is_refused():
    with pytest.raises(ValueError, match="blocks=0"):
        Order(0, 0)
    with pytest.raises(ValueError, match="seed=-1"):
        Order(1, -1)
    order = Order(10, 0)
    with pytest.raises(ValueError, match=r"batch=5 .*world=2.*multiple"):
        order.indices(0, 5, 0, 2)
    for step, batch, rank, world in ((-1, 1, 0, 1), (0, 0, 0, 1), (0, 2, 2, 2), (0, 2, -1, 2), (0, 2, 0, 0)):
        with pytest.raises(ValueError, match="rank between 0 and world - 1"):
            order.indices(step, batch, rank, world)
