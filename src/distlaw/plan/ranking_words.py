"""What a ranking of the teachers at hand comes to, in words."""

from collections.abc import Sequence

import numpy as np

from distlaw.costs import Scenario
from distlaw.plan.comparison import DISTILL, TOO_CLOSE
from distlaw.plan.confidence import percent
from distlaw.plan.problem import Problem
from distlaw.plan.ranking import NO_TEACHER, RankedTeacher
from distlaw.plan.verdict import loss_in_words, nats, within
from distlaw.runs import format_quantity, one_line


def best_teacher_of(ranked: Sequence[RankedTeacher]) -> RankedTeacher | None:
    """The teacher that leaves the student the lowest loss, of those it can learn from; None where there is none."""
    return next((row for row in ranked if row.teacher_loss is not None and not row.other_tokenizer), None)


def ranking_headline(ranked: Sequence[RankedTeacher], problem: Problem, scenario: Scenario) -> str:
    """Whether to distill from one of the teachers at hand, and from which, in one sentence.

    Args:
        ranked: From `rank_teachers`.
        problem: Its question.
        scenario: What was charged.
    """
    student = f"a student of {format_quantity(problem.student_params)} parameters"
    none, row = next(one for one in ranked if one.name == NO_TEACHER), best_teacher_of(ranked)
    alone = loss_in_words(none.student_loss, none.student_loss_interval, none.resolution)
    if row is None:
        which = "every teacher has another tokenizer" if len(ranked) > 1 else "no teacher can be run on this budget"
        return f"Train from scratch: {student} ends at {alone}; {which}."
    paid = "paying for its logits" if scenario.teacher_logits else "its logits being free"
    name = f"'{one_line(row.name, 60)}'"
    teacher = f"{name} ({_teacher(row)})"
    if row.decision == TOO_CLOSE:
        ends = f"about {alone} with {teacher} or from scratch"
        if abs(row.gain) >= row.resolution:
            taught = loss_in_words(row.student_loss, row.student_loss_interval, row.resolution)
            ends = f"{taught} with {teacher}, and at {alone} from scratch"
        return f"Too close to call: {student} ends at {ends}, {paid}: {_doubt(row)}."
    size = f"{nats(abs(row.gain), row.resolution)} nats{_between(row)}"
    agree = "" if row.probability is None else f"; {_sure(row)}"
    if row.decision == DISTILL:
        ends = loss_in_words(row.student_loss, row.student_loss_interval, row.resolution)
        return f"Distill from {teacher}: {student} ends at {ends}, {size} better than from scratch, {paid}{agree}."
    return (
        f"Train from scratch: {student} ends at {alone}; the best of the teachers at hand, {teacher}, would leave it"
        f" {size} worse, {paid}{agree}."
    )


def ranking_sentences(ranked: Sequence[RankedTeacher]) -> list[str]:
    """At which teacher loss the answer would change, and which other teachers are as good."""
    row = best_teacher_of(ranked)
    if row is None or row.teacher_loss is None:
        return []
    below, above = row.turns_at
    turns = [f"{word} {value:.3f}" for word, value in (("below", below), ("above", above)) if value is not None]
    ahead = "ahead of" if row.gain > 0 else "behind"
    change = f"would turn if the teacher's loss were {' or '.join(turns)} nats" if turns else "turns at no likely loss"
    found = [
        f"The student of '{one_line(row.name, 60)}' is {ahead} supervised training at the teacher's {_loss(row)}; that"
        f" {change}."
        if row.decision != TOO_CLOSE
        else f"At the teacher's {_loss(row)}, the two are too close to call; under this law they would be level"
        f" {'at a loss of ' + ' and of '.join(turn.split(' ')[1] for turn in turns) if turns else 'at no likely loss'}."
    ]
    level = [
        f"'{one_line(one.name, 60)}'"
        for one in ranked
        if one.teacher_loss is not None
        and one is not row
        and not one.other_tokenizer
        and one.student_loss - row.student_loss < row.resolution
    ]
    if level:
        names = ", ".join(level)
        found.append(f"As good to {row.resolution:g} nats, which is all that the law can tell: {names}.")
    return found


def compared_in_words(row: RankedTeacher) -> str:
    """A student with a teacher against the same student without, on the same tokens."""
    if row.decision == TOO_CLOSE:
        return f"too close to call against training from scratch ({_doubt(row)})"
    size = f"{nats(abs(row.gain), row.resolution)} nats{_between(row)}"
    agree = "" if row.probability is None else f"; {_sure(row)}"
    return f"{size} {'better' if row.decision == DISTILL else 'worse'} than from scratch{agree}"


def _teacher(row: RankedTeacher) -> str:
    assert row.teacher_params is not None
    return f"{format_quantity(row.teacher_params)} parameters, {_loss(row)}"


def _loss(row: RankedTeacher) -> str:
    return f"loss of {row.teacher_loss:.3f} ± {row.teacher_loss_error:.3f} nats, {row.loss_from}"


def _between(row: RankedTeacher) -> str:
    if row.gain_interval is None or not np.isfinite(row.gain_interval).all():
        return ""
    low, high = row.gain_interval
    if row.gain < 0 and row.decision != TOO_CLOSE:  # said as how much worse
        low, high = -high, -low
    return f" (90 % interval {nats(low, row.resolution)} to {nats(high, row.resolution)})"


def _sure(row: RankedTeacher) -> str:
    assert row.probability is not None
    share = percent(row.probability if row.decision == DISTILL else 1 - row.probability)
    forms = f" and all {len(row.by_form)} laws" if len(row.by_form) > 1 else ""
    return f"{share} of the resamples{forms} agree"


def _doubt(row: RankedTeacher) -> str:
    reasons = []
    if min(abs(row.gain), abs(row.mean_gain)) < row.resolution:
        reasons.append(within(row.resolution, over_all=abs(row.gain) >= row.resolution))
    if row.forms_disagree:
        each = ", ".join(f"{name} {nats(value, row.resolution, sign=True)}" for name, value in row.by_form.items())
        reasons.append(f"laws that fit the same runs disagree (nats that distilling gains: {each})")
    if row.probability is not None:
        reasons.append(
            f"distilling is ahead in {percent(row.probability, certain=False)} of the resamples{_between(row)}"
        )
    return "; ".join(reasons)
