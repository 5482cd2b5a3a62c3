"""A plan in words: what to do, by how much it wins, what that is worth, and what would turn it round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distlaw.laws import StudentLaw
from distlaw.plan.comparison import (
    DISTILL,
    NEGLIGIBLE_NATS,
    NOT_FEASIBLE,
    TOO_CLOSE,
    TRAIN,
    Comparison,
    compare,
    crossovers_of,
)
from distlaw.plan.confidence import Confidence, confidence_sentences, percent
from distlaw.plan.crossover import Crossing, Crossover
from distlaw.plan.options import SUPERVISED, Plan
from distlaw.plan.problem import Problem
from distlaw.runs import format_quantity

SITUATIONS = {
    "best-case": "if a teacher of your choice is free, logits included",
    "teacher-inference": "if the teacher exists and you pay for its logits",
    "teacher-pretraining": "if you train the teacher and its logits cost nothing (stored or shared)",
    "teacher-pretraining-and-inference": "if you train the teacher and pay for its logits",
}
"""When each scenario of table 2 is the user's own."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a plan comes to.

    Attributes:
        best: Scenario of the best option.
        sentences: The verdict in words, one sentence for each situation, and one that explains them.
        comparisons: The numbers behind them.
        headlines: By scenario, the answer for a user in that situation: one sentence.
    """

    best: str
    sentences: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    headlines: Mapping[str, str]

    def __getitem__(self, scenario: str) -> Comparison:
        return next(one for one in self.comparisons if one.scenario == scenario)


def judge(
    law: StudentLaw,
    plan: Plan,
    *,
    crossovers: Mapping[str, Crossover] | None = None,
    confidence: Mapping[str, Confidence] | None = None,
    resolution: float = NEGLIGIBLE_NATS,
    fitted_range: Mapping[str, tuple[float, float]] | None = None,
) -> Verdict:
    """Compare every scenario of a plan with supervised training and say it in words.

    Distilling or training is advised only where the lead is above the resolution, every law that fits the runs about as
    well has the same sign, and at least nine in ten of their resamples agree. All else is too close to call.

    Args:
        law: The law that the plan was made with.
        plan: The plan.
        crossovers: What `crossovers_of` finds for its student, scenarios, bounds and costs, where that is at hand: it
            takes most of the time, and no budget changes it.
        confidence: From `confidence_of`; None judges under the law alone.
        resolution: Smallest lead in nats that the law can tell.
        fitted_range: Where the law was fitted, to say which crossings lie outside.
    """
    resolution = max(resolution, NEGLIGIBLE_NATS)
    if crossovers is None:
        crossovers = crossovers_of(law, plan.problem, resolution=resolution)
    comparisons = compare(law, plan, crossovers=crossovers, confidence=confidence, resolution=resolution)
    sentences = [_sentence(plan, one, fitted_range) for one in comparisons]
    doubtful = [one.scenario for one in comparisons if one.decision == TOO_CLOSE]
    return Verdict(
        best=plan.best.scenario,
        sentences=(
            *sentences,
            *_explanation(comparisons, plan.problem),
            *confidence_sentences(confidence or {}, doubtful),
        ),
        comparisons=comparisons,
        headlines={one.scenario: headline(plan, one, (confidence or {}).get(one.scenario)) for one in comparisons},
    )


def _sentence(plan: Plan, one: Comparison, fitted: Mapping[str, tuple[float, float]] | None) -> str:
    """One situation in words: what to do, by how much, and what would turn it round."""
    situation, option = SITUATIONS[one.scenario], plan[one.scenario]
    if one.decision == NOT_FEASIBLE:
        return f"{situation}: out of reach; neither way is feasible within the budget and bounds."
    if not option.feasible and one.decision != TOO_CLOSE:
        return f"{situation}: train supervised; distilling is not feasible within the budget and bounds."
    if not plan[SUPERVISED].feasible and one.decision != TOO_CLOSE:
        return f"{situation}: distill; supervised training does not get there within the bounds."
    parts = [f"{situation}: {_answer(plan, one)}"]
    if one.students_to_flip is not None and one.decision == TRAIN:
        parts.append(f"distilling wins once {one.students_to_flip:.0f} students share the teacher")
    if one.over_compute is not None:
        paid = "if compute were paid for, " if plan.problem.student_tokens is not None else ""
        parts.append(f"{paid}at equal compute distilling is {one.over_compute.words()}")
        outside = outside_fitted(one.over_compute.crossings, fitted)
        if outside:
            parts.append(outside)
    return "; ".join(parts) + "."


def _answer(plan: Plan, one: Comparison) -> str:
    """The decision and what it rests on."""
    option, baseline, ratio = plan[one.scenario], plan[SUPERVISED], one.supervised_compute_ratio
    if one.decision == TOO_CLOSE:
        return f"too close to call: {_doubt(one, short=True)}"
    if plan.problem.target_loss is not None:
        share = option.flops.total / baseline.flops.total
        if one.decision == DISTILL:
            return f"distill: it takes {share:.3g} times the compute of supervised training"
        return f"train supervised: distilling takes {share:.3g} times the compute"
    size = f"{nats(abs(one.lead), one.resolution)} nats{_between(one)}"
    if one.decision == DISTILL:
        return f"distill: {size} better ({_needs(plan, one)})"
    text = f"train supervised: distilling ends {size} worse"
    return text + (f" (supervised training reaches that with {ratio:.0%} of the compute)" if ratio < 1 else "")


def _needs(plan: Plan, one: Comparison) -> str:
    """What supervised training would need for what distilling reaches."""
    most, ratio = plan.problem.bounds.student_tokens[1], one.supervised_compute_ratio
    if np.isinf(one.token_worth):
        return "supervised training of this size gets there on no amount of data"
    if np.isinf(ratio):
        return f"supervised training does not get there on the {format_quantity(most)} tokens allowed"
    if plan.problem.compute is None or ratio < 1.005:
        return f"supervised training would need {one.token_worth:.3g} times the tokens"
    return f"supervised training would need {ratio:.3g} times this compute"


def _doubt(one: Comparison, *, short: bool = False) -> str:
    """Why nobody can tell; in short without what each law says."""
    reasons = []
    if min(abs(one.lead), abs(one.mean_lead)) < one.resolution:
        reasons.append(within(one.resolution, over_all=abs(one.lead) >= one.resolution))
    if one.forms_disagree and short:
        reasons.append("laws that fit the same runs disagree")
    elif one.forms_disagree:
        each = ", ".join(f"{name} {nats(value, one.resolution, sign=True)}" for name, value in one.by_form.items())
        reasons.append(f"laws that fit the same runs disagree (nats that distilling gains: {each})")
    if one.probability is not None:
        share = percent(one.probability, certain=False)
        reasons.append(f"distilling is ahead in {share} of the resamples{_between(one)}")
    return "; ".join(reasons)


def _between(one: Comparison) -> str:
    if one.lead_interval is None or not np.isfinite(one.lead_interval).all():
        return ""
    low, high = (
        one.lead_interval
        if one.lead > 0 or one.decision == TOO_CLOSE
        else (-one.lead_interval[1], -one.lead_interval[0])
    )
    return f" (90 % interval {nats(low, one.resolution)} to {nats(high, one.resolution)})"


def within(resolution: float, *, over_all: bool = False) -> str:
    """That a lead is no more than the law can tell, or the lead averaged over all laws is not."""
    who = "averaged over the laws the two are" if over_all else "the two are"
    return f"{who} within {resolution:.2g} nats, which is all that the law can tell"


def nats(value: float, resolution: float, *, sign: bool = False) -> str:
    """A difference of losses with no more digits than the law can tell anything about, and one."""
    digits = int(np.clip(np.ceil(-np.log10(resolution)) + 1, 2, 4))
    rounded = round(value, digits) + 0.0  # no negative zero
    return f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}"


def headline(plan: Plan, one: Comparison, sure: Confidence | None = None) -> str:
    """The answer to a user in one situation, in one sentence.

    Args:
        plan: The plan.
        one: What was found for the situation.
        sure: How sure that is.
    """
    option, baseline = plan[one.scenario], plan[SUPERVISED]
    student = f"a student of {format_quantity(plan.problem.student_params)} parameters"
    situation = SITUATIONS[one.scenario]
    target = plan.problem.target_loss
    if one.decision == NOT_FEASIBLE:
        others = [other.scenario for other in plan.options if other.feasible]
        return (
            f"Out of reach: {situation}, {student} gets there neither distilled nor from scratch within this budget and"
            f" bounds; feasible is {' or '.join(others)}."
        )
    if not option.feasible and one.decision != TOO_CLOSE:
        return f"Train from scratch: {situation}, distilling {student} is not feasible within this budget and bounds."
    if target is not None and one.decision == TOO_CLOSE:
        share = option.flops.total / baseline.flops.total
        takes = f" ({share:.3g} times distilled, under this law)" if np.isfinite(share) else ""
        reached = f"{student} takes about as much compute to {target:.4g} nats distilled as from scratch{takes}"
        return f"Too close to call: {situation}, {reached}: {_doubt(one)}."
    if not baseline.feasible:
        agree = "" if one.probability is None else f"; {_sure(one)}"
        gets = f"{student} gets to {target:.4g} nats distilled" if target is not None else f"{student} can be distilled"
        short = (
            f", and from scratch it ends {nats(abs(one.lead), one.resolution)} nats short of that within these bounds"
        )
        return f"Distill: {situation}, {gets}{short if np.isfinite(one.lead) else ', and not trained'}{agree}."
    if one.decision == TOO_CLOSE:
        alone = loss_in_words(baseline.student_loss, sure and sure.supervised_loss, one.resolution)
        reached = f"{student} ends at about {alone} either way"
        if abs(one.lead) >= one.resolution:
            taught = loss_in_words(option.student_loss, sure and sure.student_loss, one.resolution)
            reached = f"{student} ends at {taught} distilled and at {alone} from scratch"
        return f"Too close to call: {situation}, {reached}: {_doubt(one)}."
    word = "Distill" if one.decision == DISTILL else "Train from scratch"
    agree = "" if one.probability is None else f"; {_sure(one)}"
    if target is not None:
        share = option.flops.total / baseline.flops.total
        takes = f"distilling {student} takes {share:.3g} times the compute of training it from scratch"
        return f"{word}: {situation}, {takes}{agree}."
    size = f"{nats(abs(one.lead), one.resolution)} nats{_between(one)}"
    if one.decision == DISTILL:
        ends = loss_in_words(option.student_loss, sure and sure.student_loss, one.resolution)
        return f"{word}: {situation}, {student} ends at {ends}, {size} better than from scratch{agree}."
    ends = loss_in_words(baseline.student_loss, sure and sure.supervised_loss, one.resolution)
    return f"{word}: {student} ends at {ends}; {situation}, distilling it ends {size} worse{agree}."


def _sure(one: Comparison) -> str:
    assert one.probability is not None
    ahead = one.decision == DISTILL
    share = percent(one.probability if ahead else 1 - one.probability)
    forms = f" and all {len(one.by_form)} laws" if len(one.by_form) > 1 else ""
    return f"{share} of the resamples{forms} agree"


def loss_in_words(loss: float, interval: tuple[float, float] | None, resolution: float) -> str:
    """A loss with its 90 % interval, where there is one."""
    text = f"{nats(loss, resolution)} nats"
    return text if interval is None else f"{text} ({nats(interval[0], resolution)} to {nats(interval[1], resolution)})"


def outside_fitted(crossings: Sequence[Crossing], fitted: Mapping[str, tuple[float, float]] | None) -> str:
    """Which crossings lie at numbers of student tokens that the law was not fitted on; empty where none does."""
    if not fitted or "student_tokens" not in fitted:
        return ""
    low, high = fitted["student_tokens"]
    beyond = [
        f"{one.at:.2e} FLOPs is {format_quantity(one.student_tokens)} tokens"
        for one in crossings
        if not low * (1 - 1e-3) <= one.student_tokens <= high * (1 + 1e-3)
    ]
    if not beyond:
        return ""
    return f"an extrapolation: {', '.join(beyond)}, fitted were {format_quantity(low)} to {format_quantity(high)}"


def _explanation(comparisons: Sequence[Comparison], problem: Problem) -> list[str]:
    """Why, in kappa and costs; empty where nothing is feasible."""
    feasible = [c for c in comparisons if np.isfinite(c.token_cost)]
    if not feasible:
        return []
    pairs = [
        f"{c.scenario} {f'{c.token_worth:.2f}' if np.isfinite(c.token_worth) else 'no amount'} / {c.token_cost:.2f}"
        for c in feasible
    ]
    pays = "compute is free here, so that its cost decides nothing"
    if problem.student_tokens is None:
        pays = "distilling pays where worth > cost"
    text = f"worth / cost of a distilled token, in supervised tokens ({pays}): "
    text += ", ".join(pairs)
    for c in feasible:
        if c.most_teacher_params is not None and np.isfinite(c.most_teacher_params):
            most = f"of up to {format_quantity(c.most_teacher_params)}" if c.most_teacher_params else "of no size"
            text += f"; at that worth logits pay for themselves from teachers {most} parameters"
    return [text + "."]
