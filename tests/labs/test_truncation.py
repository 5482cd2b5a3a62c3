from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from tests.labs.simulate import findings_of, noise

from distlaw.labs import truncation
from distlaw.labs.truncation import DENSE, LAB, Worth, name_of, worth
from distlaw.train.target_records import CacheKey, raw_bytes
from distlaw.train.targets import Offer

LOG_P = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.97, 0.01, 0.01, 0.01]], dtype=torch.float64).log()


@pytest.fixture
def teacher(monkeypatch):
    """Instead of a trained teacher, one that says something at random."""
    log_probs = torch.log_softmax(3 * torch.randn(512, 256, generator=torch.Generator().manual_seed(0)), -1)
    monkeypatch.setattr(truncation, "predictions", lambda _bench, _runs: iter([(None, [log_probs])]))


def loss_with(renormalised, bucket, samples, *, left=0.1, scatter=0.002):
    """Loss by what the teacher offers.

    Args:
        renormalised: Cost of renormalised targets with lambda = 1, nats.
        bucket: Cost with a bucket.
        samples: Cost of samples.
        left: Share of the cost that is left with lambda = 0.7.
        scatter: Noise of a run; seeds share more than that.
    """

    def loss(study, run):
        own = 3.2 + 0.02 * noise(run.seed) + scatter * noise(run.id)
        if run.teacher is None:
            return own
        asked = study.setup(run).loss
        cost = {"dense": 0.0, "sampled": samples}.get(
            asked.targets, renormalised if asked.tail == "renormalise" else bucket
        )
        return own + cost * (1.0 if asked.mixing == 1 else left)

    return loss


def verdicts(loss, tmp_path):
    return [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings]


@pytest.mark.usefixtures("teacher")
def test_costs_are_found_where_they_were_planted(tmp_path):
    assert verdicts(loss_with(0.1, 0.03, 0.01), tmp_path) == ["holds"] * 6


@pytest.mark.usefixtures("teacher")
def test_what_is_the_other_way_does_not_hold(tmp_path):
    assert verdicts(loss_with(-0.1, 0.03, 0.02, left=2.0), tmp_path) == [
        "does not hold",  # top-k costs
        "holds",  # half of less than nothing is more than twice as little
        "does not hold",
        "holds",
        "does not hold",
        "does not hold",
    ]
    assert verdicts(loss_with(0.1, 0.1, 0.1, left=0.9), tmp_path)[1:4:2] == ["does not hold"] * 2


@pytest.mark.usefixtures("teacher")
def test_no_difference_is_undecided(tmp_path):
    assert verdicts(loss_with(0.0, 0.0, 0.0), tmp_path) == ["undecided"] * 6


@pytest.mark.usefixtures("teacher")
def test_effects_are_the_planted_costs(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(0.1, 0.03, 0.01, left=0.2, scatter=0.0))
    effects = [finding.effect.value for finding in found.findings]
    assert effects == pytest.approx([0.1, 0.03, 0.1, 0.03, 0.07, 0.09])
    [table] = found.tables
    costs = {(row[0], row[1]): row[6] for row in table.rows}
    assert costs["dense", 1.0] is None
    assert costs["dense", 0.7] == pytest.approx(0.0)
    assert costs["top-k 4, renormalised", 0.7] == pytest.approx(0.02)
    assert costs["top-p 0.9, bucket", 1.0] == pytest.approx(0.03)
    assert [len(panel.series) for panel in found.charts[0].panels] == [6, 6]


@pytest.mark.usefixtures("teacher")
def test_the_k_of_the_claim_loses_about_the_mass_that_top_p_loses(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(0.1, 0.03, 0.01))
    lost = {row[0]: row[3] for row in found.tables[0].rows}
    claimed = found.findings[0].claim.split()[1:3]
    of_mass = lost["top-p 0.9, renormalised"]
    nearest = min((4, 16, 64), key=lambda k: abs(lost[f"top-k {k}, renormalised"] - of_mass))
    assert claimed == ["top-k", f"{nearest},"]


def test_worth_of_a_known_distribution():
    offers = {
        DENSE: (4.0, 0.0),
        Offer(targets="top-k", top_k=2): (2.0, (0.2 + 0.02) / 2),
        Offer(targets="top-k", top_k=2, tail="renormalise"): (2.0, (0.2 + 0.02) / 2),
        Offer(targets="top-p", top_p=0.9): (2.0, (0.05 + 0.03) / 2),  # three tokens and one
    }
    found = worth(offers, [LOG_P[:1], LOG_P[1:]])
    for offer, (kept, lost) in offers.items():
        assert found[offer].kept == kept
        assert found[offer].lost_mass == pytest.approx(lost)
    [samples] = worth([Offer(targets="sampled", samples=1)], [LOG_P]).values()
    assert samples == Worth(kept=1.0, lost_mass=0.0)


@pytest.mark.parametrize(("kind", "offer"), [("dense", DENSE), ("top-k", Offer(targets="top-k", top_k=8))])
def test_bytes_are_those_of_stored_targets(kind, offer):
    key = CacheKey(tokenizer="", data="", split="", teacher="", context=1, vocabulary=512, kind=kind, top_k=offer.top_k)
    assert Worth(kept=8.0, lost_mass=0.1).bytes_a_token(offer, 512) == raw_bytes(key)


def test_offers_that_differ_have_names_that_differ():
    for preset in ("quick", "full"):
        offers = [DENSE, *truncation._offers(preset)]
        assert len({name_of(offer) for offer in offers}) == len(offers)
    assert name_of(replace(DENSE, targets="sampled", samples=4)) == "4 samples"
    assert np.isfinite(worth(offers, [torch.log_softmax(torch.zeros(2, 512), -1)])[DENSE].kept)
