"""How sure it is who is ahead: the lead under every resample of every law that fits the runs about as well."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.laws import StudentLaw
from distlaw.plan.lead import on_equal_terms
from distlaw.plan.problem import Problem
from distlaw.plan.worth import worth_of

Array = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """One scenario against supervised training under several laws and their resamples, each law with the same weight.

    Every law makes its own best plan; its resamples then say what that plan comes to, tokens and teacher kept. To
    first order this is what a plan made anew under each resample would come to, as the plan is an optimum.

    Attributes:
        scenario: Which.
        by_form: Lead of distilling in nats under each law.
        probability: Share of the resamples in which distilling is ahead, averaged over the laws; None without any.
        lead: 90 % interval of the lead; None without resamples.
        student_loss: That of the distilled student's loss.
        supervised_loss: That of the supervised student's.
        token_worth: That of kappa; inf at an end where no amount of supervised tokens does.
    """

    scenario: str
    by_form: Mapping[str, float]
    probability: float | None
    lead: Interval | None
    student_loss: Interval | None
    supervised_loss: Interval | None
    token_worth: Interval | None


def confidence_of(
    problem: Problem,
    forms: Mapping[str, StudentLaw],
    draws: Mapping[str, StudentLaw],
    *,
    scenarios: Collection[str] | None = None,
    level: float = 0.9,
) -> dict[str, Confidence]:
    """How sure the lead of each scenario is.

    Args:
        problem: The question.
        forms: Laws that fit the same runs about as well, by name.
        draws: Resamples of these, each as one law with coefficients of shape (n,), by name.
        scenarios: Names of those that are asked about; all by default.
        level: Coverage of the intervals.
    """
    asked = [one for one in problem.scenarios if scenarios is None or one.name in scenarios]
    terms = {name: on_equal_terms(law, problem, asked) for name, law in forms.items()}
    losses = {name: terms[name].losses_under(draws[name]) for name in forms if name in draws}
    found = {}
    for i, scenario in enumerate(asked):
        supervised = {name: alone[:, i] for name, (alone, _) in losses.items()}
        distilled = {name: taught[:, i] for name, (_, taught) in losses.items()}
        leads, worth = {}, {}
        for name, taught in distilled.items():
            point, tokens = terms[name].lead[i], terms[name].distilled.student_tokens[i]
            # Where only one of the two can be done, no resample changes that.
            leads[name] = supervised[name] - taught if np.isfinite(point) else np.full(taught.shape, point)
            if np.isfinite(tokens):
                worth[name] = worth_of(draws[name], problem.student_params, tokens, np.nan_to_num(taught, nan=1e9))
        found[scenario.name] = Confidence(
            scenario=scenario.name,
            by_form={name: float(one.lead[i]) for name, one in terms.items()},
            probability=float(np.mean([np.mean(values > 0) for values in leads.values()])) if leads else None,
            lead=pooled_interval(leads, level),
            student_loss=pooled_interval(distilled, level),
            supervised_loss=pooled_interval(supervised, level),
            token_worth=pooled_interval(worth, level),
        )
    return found


def pooled_interval(by_form: Mapping[str, Array], level: float = 0.9) -> Interval | None:
    """Interval of values over the resamples of all laws, each law with the same weight; None where there are none.

    Ends are values that occur, so that they may be inf; NaN is left out.
    """
    parts = [values[~np.isnan(values)] for values in by_form.values()]
    parts = [values for values in parts if values.size]
    if not parts:
        return None
    count = max(values.size for values in parts)
    steps = (np.arange(count) + 0.5) / count
    pooled = np.concatenate([np.quantile(values, steps, method="nearest") for values in parts])
    low, high = np.quantile(pooled, [0.5 - level / 2, 0.5 + level / 2], method="nearest")
    return float(low), float(high)


def percent(probability: float, *, certain: bool = True) -> str:
    """A probability in words: 0% and 100% only where every resample of every law agrees (and `certain` says so)."""
    if certain and probability in (0.0, 1.0):
        return f"{probability:.0%}"
    return f"{min(max(round(100 * probability), 1), 99)}%"


def confidence_sentences(confidence: Mapping[str, Confidence], doubtful: Collection[str] = ()) -> list[str]:
    """How sure the verdict is, in words; empty without resamples.

    Args:
        confidence: From `confidence_of`.
        doubtful: Scenarios that are too close to call for another reason, which no 0% or 100% may hide.
    """
    rows = [row for row in confidence.values() if row.probability is not None]
    if not rows:
        return []
    parts = [
        f"{row.scenario} {percent(row.probability, certain=row.scenario not in doubtful)}"
        for row in rows
        if row.probability is not None
    ]
    worth = [
        f"{row.scenario} {_worth(row.token_worth[0])} to {_worth(row.token_worth[1])}"
        for row in rows
        if row.token_worth
    ]
    forms = len(rows[0].by_form)
    averaged = f", averaged over {forms} laws" if forms > 1 else ""
    return [
        f"distilling beats supervised training in this share of the resamples{averaged}: {', '.join(parts)}.",
        f"90 % interval of what a distilled token is worth, in supervised tokens: {', '.join(worth)}.",
    ]


def _worth(kappa: float) -> str:
    return f"{kappa:.2f}" if np.isfinite(kappa) else "no amount"
