"""The report of a plan: the answer in words, the five options, loss and allocation over compute."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from distlaw.costs import Bill
from distlaw.laws import StudentLaw
from distlaw.plan import SITUATIONS, OptionUncertainty, Plan, Verdict, confidence_sentences
from distlaw.plan.verdict import distilling_wins
from distlaw.report.page import Page, Section, table_of
from distlaw.report.page_charts import budgets_around, loss_chart, spending_chart
from distlaw.report.tables import plan_table
from distlaw.runs import format_quantity


def plan_page(
    law: StudentLaw,
    plan: Plan,
    verdict: Verdict,
    *,
    law_name: str,
    bills: Sequence[Bill | None],
    spread: Mapping[str, OptionUncertainty],
    warnings: Sequence[str] = (),
    command: str = "",
) -> Page:
    """The report of a plan.

    Args:
        law: The law of the plan.
        plan: The plan.
        verdict: What it comes to.
        law_name: Name of the law.
        bills: Of its options: hours, energy and money.
        spread: Intervals of its options by scenario; empty without resamples of the law.
        warnings: What to know before trusting it.
        command: What writes the report, and so each of its charts.
    """
    problem = plan.problem
    grid = budgets_around(law, plan)
    both = problem.scenarios[-1].name
    sentences = [f"{text[0].upper()}{text[1:]}" for text in verdict.sentences]
    sections = [
        Section(
            title="Answer",
            text=(
                "Which of these is yours depends on the teacher that you have, and on what of its work you pay for.",
            ),
            points=(*sentences, *confidence_sentences(spread)),
        ),
        Section(
            title="Options",
            tables=(table_of(plan_table(plan, verdict, law=law_name, bills=bills, spread=spread)),),
        ),
        Section(
            title="Loss over compute", charts=(replace(loss_chart(grid, plan, intervals=spread), command=command),)
        ),
        Section(
            title="Where the compute goes",
            charts=(replace(spending_chart(grid, plan, both), command=command),),
        ),
    ]
    if warnings:
        sections.append(Section(title="Before you trust this", points=tuple(warnings)))
    return Page(
        title=f"Plan for a student of {format_quantity(problem.student_params)} parameters",
        lead=tuple(_in_short(plan)),
        sections=tuple(sections),
        command=command,
    )


def _in_short(plan: Plan) -> Iterator[str]:
    """When to distill, and when not."""
    wins = [option.scenario for option in plan.options[1:] if distilling_wins(plan, option)]
    loses = [option.scenario for option in plan.options[1:] if option.scenario not in wins]
    for scenarios, what in ((wins, "Distill"), (loses, "Train supervised")):
        if scenarios:
            yield f"{what} {'; '.join(SITUATIONS[scenario] for scenario in scenarios)}."
