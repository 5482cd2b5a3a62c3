"""What `distlaw plan` and the page say of a plan: its JSON, and how far it goes beyond the fitted runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from distlaw.costs import Machine
from distlaw.laws import PublishedLaw
from distlaw.plan import OptionUncertainty, Plan, Verdict, confidence_sentences


def plan_content(
    plan: Plan,
    verdict: Verdict,
    *,
    law: str,
    machine: Machine | None,
    spread: Mapping[str, OptionUncertainty],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """All about a plan, as `distlaw plan --json` prints it.

    Args:
        plan: The plan.
        verdict: What it comes to.
        law: Its law, as a command names it.
        machine: What the FLOPs run on; None where nobody said.
        spread: Intervals of its options by scenario; empty without resamples of the law.
        warnings: What to know before trusting it.
    """
    problem = plan.problem
    comparisons = {comparison.scenario: asdict(comparison) for comparison in verdict.comparisons}
    options = []
    for option in plan.options:
        bill = None if machine is None else machine.bill(option.flops.total)
        row = asdict(option) | {"student_params": problem.student_params, "bill": bill}
        row |= comparisons.get(option.scenario, {})
        if option.scenario in spread:
            row["uncertainty"] = asdict(spread[option.scenario])
        options.append(row)
    goals = {name: getattr(problem, name) for name in ("compute", "student_tokens", "target_loss")}
    return {
        "law": law,
        "student_params": problem.student_params,
        **{name: value for name, value in goals.items() if value is not None},
        "options": options,
        "best": verdict.best,
        "verdict": [*verdict.sentences, *confidence_sentences(spread)],
        "warnings": list(warnings),
    }


def extrapolations(found: PublishedLaw, plan: Plan) -> list[str]:
    """A sentence for each quantity of the plan that lies outside the range its law was fitted on."""
    feasible = [option for option in plan.options if option.feasible]
    chosen = {
        name: [value for option in feasible if (value := getattr(option, name)) is not None]
        for name in ("student_tokens", "teacher_params", "teacher_tokens", "teacher_loss")
    }
    return found.range_warnings(student_params=plan.problem.student_params, **chosen)
