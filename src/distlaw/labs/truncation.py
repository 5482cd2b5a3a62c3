"""Truncation: what do students lose when only part of the teacher's distribution is kept (appendix G)?

A target is the teacher's k likeliest tokens, the fewest that hold mass p, or samples. What top-k and top-p leave out
either becomes one outcome more, a bucket, or is renormalised away, as in arXiv 2502.08606. All of it with lambda = 1
and with 0.7, where the data make up for some of what is missing.

A k means nothing without the vocabulary and the teacher: k = 128 is 0.4 % of the paper's 32168 tokens and a quarter of
512. So offers are told by the mass that they lose, which is measured on the teacher, and priced in bytes a token.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from distlaw.charts import Axis, Chart, Guide, Panel
from distlaw.labs.files import read_part, write_part
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, above, effect_series, every, over_seeds
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.predictions import predictions
from distlaw.labs.trials import Trial, by_seed, difference, scale, seeds_from, trials_of
from distlaw.sweep.protocols import Grid, Protocol, Run
from distlaw.sweep.study import Study
from distlaw.train.blocks import token_dtype
from distlaw.train.targets import IMPOSSIBLE, Offer, PointTargets, TailTargets, uniforms

if TYPE_CHECKING:
    from torch import Tensor

MIXINGS = (1.0, 0.7)
DENSE = Offer()
P = 0.9  # the paper's
OFFERS = "offers.json"


def study(preset: Preset, seed: int) -> Study:
    """Every offer with either lambda, all from the good teacher."""
    s = scale(preset)
    return s.study(
        Protocol(
            name=f"{name_of(offer)}, lambda {mixing:g}",
            teachers=s.teachers["good"],
            students=Grid(params=(s.students[1 if preset == "quick" else 0],), tokens=(s.tokens,)),
            seeds=seeds_from(seed, s.seeds),
            loss={"mixing": mixing} | {name: value for name, value in asdict(offer).items() if value is not None},
        )
        for offer in (DENSE, *_offers(preset))
        for mixing in MIXINGS
    )


def _offers(preset: Preset) -> list[Offer]:
    kept = (4, 16, 64) if preset == "quick" else (4, 16, 32, 64)
    tops = [Offer(targets="top-k", top_k=k) for k in kept] + [Offer(targets="top-p", top_p=P)]
    sampled = [Offer(targets="sampled", samples=n) for n in (4, 16)]
    return [replace(offer, tail=tail) for offer in tops for tail in ("renormalise", "bucket")] + sampled


def name_of(offer: Offer) -> str:
    """An offer in words.

    >>> name_of(Offer(targets="top-k", top_k=8))
    'top-k 8, bucket'
    """
    size = offer.top_k or offer.top_p or offer.samples
    if offer.targets in ("top-k", "top-p"):
        return f"{offer.targets} {size:g}, {'renormalised' if offer.tail == 'renormalise' else 'bucket'}"
    return "dense" if size is None else f"{size} samples"


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What an offer holds of the teacher, and takes to store.

    Attributes:
        kept: Tokens kept, mean over positions.
        lost_mass: The teacher's probability of all others; 0 for samples, which leave none out in expectation.
    """

    kept: float
    lost_mass: float

    def bytes_a_token(self, offer: Offer, vocabulary: int) -> float:
        """Bytes a position, before compression.

        A token and 16 bits for each that is kept, 16 bits for the mass of the rest or the entropy, and 16 for the
        number kept where it varies, as `distlaw targets` stores them; whole distributions in float32.
        """
        if offer == DENSE:
            return 4.0 * vocabulary
        varies = offer.targets != "top-k"
        return self.kept * (token_dtype(vocabulary).itemsize + 2) + (4 if varies else 2)


def worth(offers: Iterable[Offer], batches: "Iterable[Tensor]", seed: int = 0) -> dict[Offer, Worth]:
    """Measure offers on log p_T of shape (n, V), a batch at a time."""
    sums = {offer: np.zeros(3) for offer in offers}
    for number, log_probs in enumerate(batches):
        at = uniforms(seed, [number], len(log_probs))
        for offer, total in sums.items():
            targets = offer.of(log_probs, at)
            if isinstance(targets, TailTargets):
                kept, lost = targets.log_probs > IMPOSSIBLE, targets.log_tail.exp()
            elif isinstance(targets, PointTargets):
                kept, lost = targets.weights > 0, targets.lost_mass
            else:
                kept, lost = targets.probs >= 0, log_probs.new_zeros(len(log_probs))
            total += [float(kept.sum()), float(lost.sum()), len(log_probs)]
    return {offer: Worth(kept=total[0] / total[2], lost_mass=total[1] / total[2]) for offer, total in sums.items()}


def measured_worth(bench: Bench, offers: Sequence[Offer], teacher: Run) -> dict[Offer, Worth]:
    """Measure offers on the tokens that runs are evaluated on; kept in the lab's folder."""
    file = bench.out / OFFERS
    names = [name_of(offer) for offer in offers]
    held = read_part(file)
    if held is None or held.get("teacher") != teacher.id or list(held["offers"]) != names:
        found = worth(offers, (log_probs for _, [log_probs] in predictions(bench, [teacher])))
        held = {"teacher": teacher.id, "offers": {name_of(offer): asdict(one) for offer, one in found.items()}}
        write_part(file, held)
    return {offer: Worth(**held["offers"][name]) for offer, name in zip(offers, names, strict=True)}


Costs = Mapping[tuple[Offer, float], Effect]


def examine(bench: Bench) -> Findings:
    """Find what each offer costs against dense targets with lambda = 1."""
    assert bench.study is not None
    trials = [trial for trial in trials_of(bench.study, bench.records) if trial.run.teacher is not None]
    by_setting: dict[tuple[Offer, float], list[Trial]] = {}
    for trial in trials:
        mixing = trial.setup.loss.mixing
        assert isinstance(mixing, float)
        by_setting.setdefault((trial.setup.loss.offer, mixing), []).append(trial)
    losses = {setting: by_seed(found) for setting, found in by_setting.items()}
    teacher = trials[0].run.teacher
    assert teacher is not None
    offers = [DENSE, *_offers(bench.preset)]
    worths = measured_worth(bench, offers, teacher)
    costs = {setting: difference(loss, losses[DENSE, 1.0]) for setting, loss in losses.items()}
    return Findings(
        findings=_findings(losses, costs, worths),
        tables=(_table(losses, costs, worths, bench.study.data.vocab_size),),
        charts=(_chart(costs, worths, bench.study.data.vocab_size),),
        notes=(
            "the paper, with 32168 tokens: renormalised with lambda = 1, k = 128 costs 0.11 nats and p = 0.9 0.13;"
            " k = 128 with lambda = 0.7 costs 0.01",
            "bytes a token: a token and 16 bits for each that is kept and 16 bits for what is not, before compression;"
            " float32 for dense targets",
            "of a claim of several parts the one that decides is shown; one that fails it has an interval that allows"
            " for their number",
            "intervals are over seeds of the students; the teacher was trained once",
        ),
    )


def _findings(
    losses: Mapping[tuple[Offer, float], Mapping[int, float]], costs: Costs, worths: Mapping[Offer, Worth]
) -> tuple[Finding, ...]:
    renormalised = [offer for offer in worths if offer.tail == "renormalise"]
    of_mass = next(offer for offer in renormalised if offer.targets == "top-p")
    top_k = [offer for offer in renormalised if offer.targets == "top-k"]
    alike = min(top_k, key=lambda offer: abs(worths[offer].lost_mass - worths[of_mass].lost_mass))
    found = []
    for offer in (alike, of_mass):
        name, lost = name_of(offer).partition(",")[0], worths[offer].lost_mass
        left = {seed: losses[offer, 0.7][seed] - losses[DENSE, 1.0][seed] for seed in losses[offer, 0.7]}
        whole = {seed: losses[offer, 1.0][seed] - losses[DENSE, 1.0][seed] for seed in losses[offer, 1.0]}
        spared = over_seeds([whole[seed] / 2 - left[seed] for seed in whole], "nats")
        found += [
            Finding(
                claim=f"Renormalised {name}, which loses {lost:.0%} of the mass, costs loss with lambda = 1",
                effect=costs[offer, 1.0],
                verdict=above(costs[offer, 1.0]),
                measured="loss over that of dense targets",
            ),
            Finding(
                claim=f"With lambda = 0.7, renormalised {name} costs less than half of that",
                effect=spared,
                verdict=above(spared),
                measured=f"half the cost with lambda = 1, minus the cost with 0.7, which is {costs[offer, 0.7]};"
                f" dense targets with lambda = 0.7 cost {costs[DENSE, 0.7]}",
            ),
        ]
    buckets = {
        name_of(offer).partition(",")[0]: difference(losses[offer, 1.0], losses[replace(offer, tail="bucket"), 1.0])
        for offer in renormalised
    }
    samples = {
        f"n = {offer.samples}": difference(
            losses[Offer(targets="top-k", top_k=offer.samples, tail="renormalise"), 1.0], losses[offer, 1.0]
        )
        for offer in worths
        if offer.targets == "sampled"
    }
    seeds = len(losses[DENSE, 1.0])
    return (
        *found,
        _everywhere("A bucket for the tail costs less than renormalising", buckets, seeds, "renormalised minus bucket"),
        _everywhere(
            "n samples cost less than the n likeliest tokens renormalised", samples, seeds, "top-k minus samples"
        ),
    )


def _everywhere(claim: str, effects: Mapping[str, Effect], seeds: int, what: str) -> Finding:
    """The claim that all of these are above 0."""
    where, effect, verdict = every(effects, seeds)
    measured = f"loss with lambda = 1, {what}, for {where}, which decides"
    return Finding(claim=claim, effect=effect, verdict=verdict, measured=measured)


def _table(
    losses: Mapping[tuple[Offer, float], Mapping[int, float]],
    costs: Costs,
    worths: Mapping[Offer, Worth],
    vocabulary: int,
) -> Table:
    rows = []
    for (offer, mixing), loss in losses.items():
        one, cost = worths[offer], costs[offer, mixing]
        price = None if (offer, mixing) == (DENSE, 1.0) else (cost.value, *cost.interval)
        size = (one.kept / vocabulary, one.lost_mass, one.bytes_a_token(offer, vocabulary))
        mean = float(np.mean(list(loss.values())))
        rows.append((name_of(offer), mixing, *size, mean, *(price or (None, None, None)), len(loss)))
    return Table(
        title="Loss and size by what the teacher offers",
        columns=(
            "targets",
            "lambda",
            "kept, share of vocabulary",
            "lost mass",
            "bytes a token",
            "loss, nats",
            "over dense with lambda = 1, nats",
            "from",
            "to",
            "seeds",
        ),
        rows=tuple(rows),
    )


def _chart(costs: Costs, worths: Mapping[Offer, Worth], vocabulary: int) -> Chart:
    kinds = {
        "dense": lambda offer: offer == DENSE,
        "top-k, renormalised": lambda offer: (offer.targets, offer.tail) == ("top-k", "renormalise"),
        "top-k, bucket": lambda offer: (offer.targets, offer.tail) == ("top-k", "bucket"),
        f"top-p {P:g}, renormalised": lambda offer: (offer.targets, offer.tail) == ("top-p", "renormalise"),
        f"top-p {P:g}, bucket": lambda offer: (offer.targets, offer.tail) == ("top-p", "bucket"),
        "samples": lambda offer: offer.targets == "sampled",
    }
    panels = []
    for mixing in MIXINGS:
        series = []
        for number, (name, belongs) in enumerate(kinds.items()):
            offers = sorted(filter(belongs, worths), key=lambda offer: worths[offer].kept)
            series.append(
                effect_series(
                    name,
                    [worths[offer].bytes_a_token(offer, vocabulary) for offer in offers],
                    [costs[offer, mixing] for offer in offers],
                    kind="line-points" if len(offers) > 1 else "points",
                    colour=None if name == "dense" else number - 1,
                )
            )
        panels.append(
            Panel(
                title=f"lambda = {mixing:g}",
                x=Axis(label="stored targets, bytes a token", scale="log"),
                y=Axis(label="loss over dense, lambda = 1, nats"),
                series=tuple(series),
                guides=(Guide(axis="y", at=0.0),),
            )
        )
    return Chart(name="truncation", title="Loss against the size of stored targets", panels=tuple(panels), columns=2)


LAB = Lab(
    name="truncation",
    about="truncated targets cost loss, and less of it with a bucket for the tail, samples, or some of the data",
    source="appendix G; arXiv 2503.16870",
    examine=examine,
    study=study,
)
