"""Losses that no model can have: where a law gives them, it does not hold."""

import numpy as np

from distlaw.laws import TeacherLaw
from distlaw.plan.options import SUPERVISED, Plan

FEWEST_STUDENT_PARAMS = 1000.0
"""Below it nothing has been fitted: the smallest students of our own studies have 3,400 parameters."""


def require_student(params: float) -> None:
    """Refuse a student of a size that no law is about.

    Raises:
        ValueError: It has fewer than a thousand parameters.
    """
    if params < FEWEST_STUDENT_PARAMS:
        raise ValueError(
            f"student_params {params:g} is no size of a language model; give {FEWEST_STUDENT_PARAMS:,.0f} or more,"
            " such as 300M or 1B"
        )


def require_teacher_loss(loss: float, law: TeacherLaw, vocabulary: float, name: str = "teacher_loss") -> None:
    """Refuse a teacher's loss that no model can have on the law's data.

    Args:
        loss: L_T in nats per token.
        law: The supervised law; one with an irreducible loss E says how low a loss can be.
        vocabulary: Entries of the vocabulary.
        name: What to call it.

    Raises:
        ValueError: It is at or below E, or above the entropy of a uniform guess.
    """
    least = float(getattr(law, "E", 0.0))
    if loss <= least:
        raise ValueError(
            f"{name} {loss:g} is at or below E = {least:g}, which no model reaches on this law's data: is it measured"
            " in nats per token, on that data, with that tokenizer?"
        )
    if loss > np.log(vocabulary):
        raise ValueError(
            f"{name} {loss:g} is above {np.log(vocabulary):.2f} nats, the loss of a uniform guess over {vocabulary:g}"
            " entries: is it measured in nats per token?"
        )


def require_loss(loss: float, params: float, tokens: float, vocabulary: float) -> None:
    """Refuse a predicted loss that no model can have.

    Raises:
        ValueError: It is above the entropy of a uniform guess over the vocabulary.
    """
    if loss > np.log(vocabulary):
        raise ValueError(
            f"the law gives a student of {params:g} parameters on {tokens:g} tokens a loss of {loss:.4g} nats, above"
            f" the {np.log(vocabulary):.4g} of a uniform guess over {vocabulary:g} entries: it does not hold there"
        )


def implausible(plan: Plan, vocabulary: float) -> dict[str, str]:
    """Options whose predicted loss is above that of a uniform guess, each with a sentence that says so.

    Args:
        plan: A plan.
        vocabulary: Entries of the vocabulary.
    """
    most = float(np.log(vocabulary))
    return {
        option.scenario: (
            f"the law gives {option.scenario} a loss of {option.student_loss:.4g} nats, above the {most:.4g} of a"
            f" uniform guess over {vocabulary:g} entries: it does not hold for a student of"
            f" {plan.problem.student_params:g} parameters on {option.student_tokens:.3g} tokens"
        )
        for option in plan.options
        if option.feasible and option.student_loss > most
    }


def require_plausible(plan: Plan, vocabulary: float) -> list[str]:
    """Sentences about options whose loss no model can have.

    Raises:
        ValueError: Supervised training, or every way to distill, has such a loss: there is nothing to compare.
    """
    found = implausible(plan, vocabulary)
    distilled = [option.scenario for option in plan.options if option.feasible and option.scenario != SUPERVISED]
    if SUPERVISED in found:
        raise ValueError(found[SUPERVISED])
    if distilled and all(name in found for name in distilled):
        raise ValueError(found[distilled[0]])
    return list(found.values())
