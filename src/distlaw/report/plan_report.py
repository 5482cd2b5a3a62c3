"""The report of a plan: the answer in a sentence, what it rests on, the options, loss and allocation over compute."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from distlaw.costs import Bill
from distlaw.laws import PublishedLaw, SupervisedLaw
from distlaw.plan import OptionUncertainty, Plan, RankedTeacher, Verdict
from distlaw.report.page import Page, Section, table_of
from distlaw.report.page_charts import budgets_around, loss_chart, spending_chart
from distlaw.report.plan_tables import plan_table, teachers_table
from distlaw.runs import format_quantity


class PlanShown(Protocol):
    """What the report shows of a plan; `distlaw.apps.plan_run.PlanRun` has it."""

    @property
    def law(self) -> str:
        """Its law, as a command names it."""
        ...

    @property
    def found(self) -> PublishedLaw:
        """The law with its provenance."""
        ...

    @property
    def plan(self) -> Plan:
        """The plan."""
        ...

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        ...

    @property
    def scenario(self) -> str:
        """The user's own situation."""
        ...

    @property
    def spread(self) -> Mapping[str, OptionUncertainty]:
        """Intervals of its options by scenario."""
        ...

    @property
    def own(self) -> Sequence[RankedTeacher]:
        """The user's own teachers, best first; empty without any."""
        ...

    @property
    def bills(self) -> Sequence[Bill | None]:
        """Hours, energy and money of its options."""
        ...

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        ...

    @property
    def sentences(self) -> Sequence[str]:
        """What stands below it."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What to know before trusting it."""
        ...


def plan_page(shown: PlanShown, *, command: str = "") -> Page:
    """The report of a plan.

    Args:
        shown: The plan and all that is said of it.
        command: What writes the report, and so each of its charts.
    """
    plan, law, own = shown.plan, shown.found.law, shown.own
    assert not isinstance(law, SupervisedLaw)
    grid = budgets_around(law, plan)
    options = plan_table(
        plan,
        shown.verdict,
        law=shown.law,
        bills=shown.bills,
        spread=shown.spread,
        scenario=None if own else shown.scenario,
    )
    loss, spending = loss_chart(grid, plan, intervals=shown.spread), spending_chart(grid, plan, shown.scenario)
    sections = [
        Section(
            title="What the answer rests on",
            text=("The first points are about your own situation, the others about every way to come by a teacher.",),
            points=tuple(shown.sentences),
        ),
        Section(title="Options", tables=(table_of(options),)),
        Section(title="Loss over compute", charts=(replace(loss, command=command),)),
        Section(title="Where the compute goes", charts=(replace(spending, command=command),)),
    ]
    if own:
        ranked = table_of(teachers_table(own, law=shown.law, scenario=shown.scenario))
        sections.insert(1, Section(title="Your own teachers", tables=(ranked,)))
    if shown.warnings:
        sections.append(Section(title="Before you trust this", points=tuple(shown.warnings)))
    return Page(
        title=f"Plan for a student of {format_quantity(plan.problem.student_params)} parameters",
        lead=(shown.headline,),
        sections=tuple(sections),
        command=command,
    )
