"""The answer of the Plan tab: pure functions from a question and a law to words, numbers and charts.

What takes long is computed once for equal questions, whoever asks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from distlaw.apps.output import plain
from distlaw.apps.plan_run import (
    PlanRun,
    advice_of,
    extrapolations,
    forms_of,
    rank_own,
    run_plan,
    tokenizer_warnings,
)
from distlaw.apps.web.aside import Aside
from distlaw.apps.web.lane import Lane
from distlaw.apps.web.laws import Law
from distlaw.apps.web.memory import remembered
from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.charts import Chart
from distlaw.costs import Bill, Machine
from distlaw.laws import StudentLaw
from distlaw.plan import (
    BudgetGrid,
    Comparison,
    Confidence,
    Crossover,
    Option,
    OptionUncertainty,
    Plan,
    RankedTeacher,
    TeacherRange,
    Verdict,
    budgets_of,
    compute_crossovers,
    confidence_of,
    crossovers_of,
    equally_good_teachers,
    solve,
)
from distlaw.plan.comparison import NEGLIGIBLE_NATS, compare
from distlaw.plan.ranking_words import ranking_headline
from distlaw.plan.sanity import require_plausible, require_student
from distlaw.plan.verdict import headline as headline_of
from distlaw.report.page_charts import crossover_chart, gain_chart, loss_chart, sizes_chart, spending_chart
from distlaw.runs import format_quantity

_LANE, _ASIDE = Lane(2), Aside()
_WORDS, _CURVES = range(2)  # by urgency
_PER_DECADE = 4  # points of a curve


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """A plan, and what it was made from.

    Attributes:
        question: The question.
        law: Its law.
        plan: The plan.
        scenario: The situation that is answered: the user's own, in which their own teachers are not trained.
        headline: The answer in one sentence.
        advice: `distill`, `train supervised` or `too close to call`.
        own: The user's own teachers, best first, and training without one among them; empty without any.
        own_problem: Why they are left out of the answer; None where they are not.
        teachers: The range of equally good teachers; None where distilling is not feasible.
        machine: What the FLOPs run on.
        warnings: Of the law, and of going beyond its range.
    """

    question: PlanQuestion
    law: Law
    plan: Plan
    scenario: str
    headline: str
    advice: str
    own: tuple[RankedTeacher, ...]
    own_problem: str | None
    teachers: TeacherRange | None
    machine: Machine
    warnings: tuple[str, ...]

    @property
    def option(self) -> Option:
        """The option of the user's situation."""
        return self.plan[self.scenario]

    @property
    def resolution(self) -> float:
        """Nats that the law can tell."""
        return max(self.law.found.resolution, NEGLIGIBLE_NATS)

    def bill(self, option: Option) -> Bill:
        """Hours, energy and money of an option."""
        return self.machine.bill(option.flops.total)


def answer(question: PlanQuestion, law: Law) -> Answer:
    """Plan.

    Raises:
        ValueError: An input is wrong, or nothing is feasible; a sentence that names the input or says what would do.
    """
    plan, notes = _solve(law, _asked(question))
    own, own_problem = _own(question, law, plan)
    comparison, sure = _compared(law, _asked(question), question.scenario)
    if own:
        charged = next(one for one in plan.problem.scenarios if one.name == question.scenario)
        headline, advice = ranking_headline(own, plan.problem, charged), advice_of(own)
    else:
        headline, advice = headline_of(plan, comparison, sure), comparison.decision
    warnings = (*law.found.cautions, *notes, *extrapolations(law.found, plan), *tokenizer_warnings(own))
    return Answer(
        question=question,
        law=law,
        plan=plan,
        scenario=question.scenario,
        headline=headline,
        advice=advice,
        own=own,
        own_problem=own_problem,
        teachers=equally_good_teachers(law.student_law, plan.problem, plan[question.scenario]),
        machine=question.machine,
        warnings=warnings,
    )


def budget_in(found: Answer, unit: str) -> str:
    """The budget of an answer in another unit, as people write it: what its own way costs, takes or reaches."""
    option = found.option if found.option.feasible else found.plan.best
    if unit == "tokens":
        return format_quantity(option.student_tokens, 2)
    if unit == "loss":
        return f"{option.student_loss:.3f}"
    bill = found.bill(option)
    value = {"gpu-hours": bill.gpu_hours, "dollars": bill.dollars}.get(unit, option.flops.total)
    return f"{value:.3g}".replace("+", "")


def warm(law: Law) -> None:
    """Work out what the first visitors will ask for."""
    curves(answer(PlanQuestion(), law))
    for size in ("1B", "300M", "3B", "100M", "10B"):
        crossover(answer(PlanQuestion(student=size), law))


def reasons(question: PlanQuestion, law: Law) -> tuple[str, ...]:
    """What stands below the answer, as `distlaw plan` prints it: its teacher, each situation, and why."""
    return tuple(whole(question, law).sentences)


def spread(question: PlanQuestion, law: Law) -> Mapping[str, OptionUncertainty]:
    """Intervals of the plan's numbers by scenario; empty where the law has no resamples."""
    return whole(question, law).spread


def verdict(question: PlanQuestion, law: Law) -> Verdict:
    """Every situation against training from scratch."""
    return whole(question, law).verdict


def curves(found: Answer, intervals: Mapping[str, OptionUncertainty] | None = None) -> dict[str, Chart]:
    """Charts over compute by name: loss, gain, and of the user's situation spending and sizes.

    Args:
        found: The answer.
        intervals: Of the plan's points, from `spread`.
    """
    plan, scenario = found.plan, found.scenario
    total = plan.problem.compute or plan.best.flops.total
    decade = int(np.floor(np.log10(total)))
    grid = _grid(found.law.student_law, _without_goal(found.question), decade)
    return {
        "loss": loss_chart(grid, plan, intervals=intervals),
        "gain": gain_chart(grid, plan),
        "spending": spending_chart(grid, plan, scenario),
        "sizes": sizes_chart(grid, plan, scenario),
    }


def crossover(found: Answer) -> Chart:
    """Compute from which supervised training is as good, over student sizes, with the user's point."""
    size = found.plan.problem.student_params
    centre = int(np.floor(2 * np.log10(size) + 0.5)) / 2
    question = replace(_without_goal(found.question), student="1B", situation=found.scenario)
    return crossover_chart(_crossings(found.law, question, centre), found.plan, found.scenario)


def content(found: Answer) -> dict[str, Any]:
    """Everything about the plan, with the keys of `distlaw plan --json`.

    Raises:
        ValueError: An own teacher is wrong.
    """
    question, law = found.question, found.law
    if found.own_problem is not None:
        raise ValueError(found.own_problem)
    return plain(whole(question, law).content() | {"command": question.command(law.command)})


def rows(found: Answer) -> Iterator[dict[str, Any]]:
    """The options as rows of a table, in plain numbers."""
    intervals = spread(found.question, found.law)
    for option in found.plan.options:
        row: dict[str, Any] = {
            field.name: getattr(option, field.name)
            for field in fields(option)
            if field.name not in ("flops", "at_bounds")
        }
        row |= {f"{name}_flops": value for name, value in vars(option.flops).items()}
        row |= vars(found.bill(option))
        if (one := intervals.get(option.scenario)) is not None:
            low, high = one.student_loss
            row |= {"student_loss_low_90": low, "student_loss_high_90": high, "probability": one.probability}
        yield row


def whole(question: PlanQuestion, law: Law) -> PlanRun:
    """The plan with all that is said of it, as `distlaw plan` makes it."""
    return _whole(law, replace(question, law=""))


def _own(question: PlanQuestion, law: Law, plan: Plan) -> tuple[tuple[RankedTeacher, ...], str | None]:
    """The own teachers, ranked, or what is wrong with them: a row that is being typed leaves the plan as it is."""
    try:
        ranked = rank_own(law.found, plan.problem, question.teachers, question.scenario, vocabulary=question.entries)
    except ValueError as error:
        return (), str(error)
    return tuple(ranked), None


def _asked(question: PlanQuestion) -> PlanQuestion:
    """The question without what the plan does not depend on, so that equal plans are computed once."""
    return replace(question, situation="teacher-inference", teacher=(), law="")


def _without_goal(question: PlanQuestion) -> PlanQuestion:
    return replace(_asked(question), budget="1e22", unit="flops", accelerator="h100", utilisation="0.4", price="")


@remembered(1024)
def _solve(law: Law, question: PlanQuestion) -> tuple[Plan, tuple[str, ...]]:
    with _LANE.turn(_WORDS):
        require_student(question.problem.student_params)
        plan = solve(law.student_law, question.problem)
        return plan, tuple(require_plausible(plan, question.entries))


@remembered(1024)
def _compared(law: Law, question: PlanQuestion, scenario: str) -> tuple[Comparison, Confidence]:
    plan, _ = _solve(law, question)
    with _LANE.turn(_WORDS):
        sure = confidence_of(plan.problem, *forms_of(law.found), scenarios=[scenario])
        resolution = max(law.found.resolution, NEGLIGIBLE_NATS)
        [comparison] = compare(
            law.student_law, plan, crossovers={}, confidence=sure, resolution=resolution, scenarios=[scenario]
        )
        return comparison, sure[scenario]


@remembered(64)  # fewer, as their keys hold the resamples of laws that users brought along
def _whole(law: Law, question: PlanQuestion) -> PlanRun:
    return _ASIDE.do(
        run_plan,
        law.found,
        question.problem,
        law=law.command,
        scenario=question.scenario,
        own=question.teachers if not _own(question, law, _solve(law, _asked(question))[0])[1] else (),
        machine=question.machine,
        vocabulary=question.entries,
        crossovers=_own_crossovers(law, _without_goal(question)),
    )


@remembered(512)
def _own_crossovers(law: Law, question: PlanQuestion) -> dict[str, Crossover]:
    resolution = max(law.found.resolution, NEGLIGIBLE_NATS)
    return _ASIDE.do(
        crossovers_of, law.student_law, question.problem, resolution=resolution, forms=forms_of(law.found)[0]
    )


@remembered(256)
def _grid(law: StudentLaw, question: PlanQuestion, decade: int) -> BudgetGrid:
    compute = np.logspace(decade - 2, decade + 3, 5 * _PER_DECADE + 1)
    with _LANE.turn(_CURVES):
        return budgets_of(law, question.problem, compute)


@remembered(256)
def _crossings(law: Law, question: PlanQuestion, centre: float) -> Crossover:
    problem = question.problem
    scenario = next(one for one in problem.scenarios if one.name == question.situation)
    sizes = np.logspace(centre - 1, centre + 1, 9)
    found = _ASIDE.do(
        compute_crossovers,
        law.student_law,
        sizes,
        [scenario],
        resolution=max(law.found.resolution, NEGLIGIBLE_NATS),
        bounds=problem.bounds,
        costs=problem.costs,
    )
    return found[scenario.name]
