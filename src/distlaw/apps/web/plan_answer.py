"""The answer of the Plan tab: pure functions from a question and a law to words, numbers and charts.

What takes long is computed once for equal questions, whoever asks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from distlaw.apps.options import student_draws
from distlaw.apps.output import plain
from distlaw.apps.plan_content import extrapolations, plan_content
from distlaw.apps.web.aside import Aside
from distlaw.apps.web.lane import Lane
from distlaw.apps.web.laws import Law
from distlaw.apps.web.memory import remembered
from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.charts import Chart
from distlaw.costs import Bill, Machine
from distlaw.laws import StudentLaw
from distlaw.plan import (
    SITUATIONS,
    SUPERVISED,
    BudgetGrid,
    Crossover,
    Option,
    OptionUncertainty,
    Plan,
    RankedTeacher,
    Verdict,
    budgets_of,
    compute_crossovers,
    confidence_sentences,
    judge,
    plan_uncertainty,
    rank_teachers,
    solve,
)
from distlaw.plan.verdict import NEGLIGIBLE_NATS, crossovers_of, distilling_wins
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
        machine: What the FLOPs run on.
        warnings: Of the law, and of going beyond its range.
    """

    question: PlanQuestion
    law: Law
    plan: Plan
    machine: Machine
    warnings: tuple[str, ...]

    @property
    def own(self) -> Option:
        """The option of the user's situation."""
        return self.plan[self.question.situation]

    def bill(self, option: Option) -> Bill:
        """Hours, energy and money of an option."""
        return self.machine.bill(option.flops.total)


def answer(question: PlanQuestion, law: Law) -> Answer:
    """Plan.

    Raises:
        ValueError: An input is wrong, or nothing is feasible; a sentence that names the input or says what would do.
    """
    plan = _solve(law.student_law, _asked(question))
    return Answer(
        question=question,
        law=law,
        plan=plan,
        machine=question.machine,
        warnings=(*law.found.cautions, *extrapolations(law.found, plan)),
    )


def headline(found: Answer) -> tuple[str, str]:
    """The answer in a word or two, and in a sentence."""
    plan, option, baseline = found.plan, found.own, found.plan[SUPERVISED]
    situation = SITUATIONS[option.scenario]
    situation = situation[0].upper() + situation[1:]
    student = f"a student of {format_quantity(plan.problem.student_params)} parameters"
    if not option.feasible:
        word = "Train from scratch" if baseline.feasible else "Out of reach"
        return word, f"{situation}, distilling {student} is not feasible within this budget and these bounds."
    if not baseline.feasible:
        return "Distill", f"{situation}, {student} gets there distilled, and does not from scratch within these bounds."
    wins = distilling_wins(plan, option)
    word = "Distill" if wins else "Train from scratch"
    if plan.problem.target_loss is not None:
        ratio = baseline.flops.total / option.flops.total
        compared = f"{ratio:.3g} times less" if wins else f"{1 / ratio:.3g} times more"
        return word, f"{situation}, distilling {student} takes {compared} compute than training it from scratch."
    gain = baseline.student_loss - option.student_loss
    if abs(gain) < NEGLIGIBLE_NATS:
        text = f"{situation}, {student} ends at the same loss either way, to less than what two seeds differ by."
        return "It makes no difference", text
    compared = f"{gain:.4f} nats better" if wins else f"{-gain:.4f} nats worse"
    return word, f"{situation}, {student} ends {compared} distilled than trained from scratch on the same budget."


def budget_in(found: Answer, unit: str) -> str:
    """The budget of an answer in another unit, as people write it: what its own way costs, takes or reaches."""
    option = found.own if found.own.feasible else found.plan.best
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
    """The verdict in words, as `distlaw plan` prints it: a sentence for each situation, and why."""
    return _judge(law.student_law, _asked(question)).sentences


def spread(question: PlanQuestion, law: Law) -> dict[str, OptionUncertainty]:
    """Intervals of the plan's numbers by scenario, from the resamples of the law's fit; empty where there are none."""
    return _spread(law, _asked(question)) if law.has_draws else {}


def confidence(found: dict[str, OptionUncertainty]) -> list[str]:
    """How sure the plan is, in words."""
    return confidence_sentences(found)


def curves(found: Answer, intervals: Mapping[str, OptionUncertainty] | None = None) -> dict[str, Chart]:
    """Charts over compute by name: loss, gain, and of the user's situation spending and sizes.

    Args:
        found: The answer.
        intervals: Of the plan's points, from `spread`.
    """
    plan, scenario = found.plan, found.question.situation
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
    question = replace(_without_goal(found.question), student="1B", situation=found.question.situation)
    return crossover_chart(_crossings(found.law.student_law, question, centre), found.plan, found.question.situation)


def teachers(found: Answer) -> list[RankedTeacher]:
    """The user's own teachers, best first, and training without one among them; empty where there are none.

    Raises:
        ValueError: A teacher is wrong, or teachers cannot be ranked for this budget.
    """
    own = found.question.teachers
    if not own:
        return []
    problem = found.plan.problem
    free = found.question.situation in ("best-case", "teacher-pretraining")
    names = [scenario.name for scenario in problem.scenarios]
    scenario = problem.scenarios[names.index("best-case" if free else "teacher-inference")]
    return rank_teachers(found.law.student_law, problem, own, scenario)


def content(found: Answer) -> dict[str, Any]:
    """Everything about the plan, with the keys of `distlaw plan --json`."""
    question, law = found.question, found.law
    shared = plan_content(
        found.plan,
        _judge(law.student_law, _asked(question)),
        law=law.command,
        machine=found.machine,
        spread=spread(question, law),
        warnings=found.warnings,
    )
    own = {"own_teachers": [asdict(row) for row in teachers(found)], "command": question.command(law.command)}
    return plain(shared | own)


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


def _asked(question: PlanQuestion) -> PlanQuestion:
    """The question without what the plan does not depend on, so that equal plans are computed once."""
    return replace(question, situation="teacher-inference", teacher=(), law="")


def _without_goal(question: PlanQuestion) -> PlanQuestion:
    return replace(_asked(question), budget="1e22", unit="flops", accelerator="h100", utilisation="0.4", price="")


@remembered(1024)
def _solve(law: StudentLaw, question: PlanQuestion) -> Plan:
    with _LANE.turn(_WORDS):
        return solve(law, question.problem)


@remembered(512)
def _judge(law: StudentLaw, question: PlanQuestion) -> Verdict:
    plan = _solve(law, question)
    return _ASIDE.do(judge, law, plan, crossovers=_own_crossovers(law, _without_goal(question)))


@remembered(512)
def _own_crossovers(law: StudentLaw, question: PlanQuestion) -> dict[str, Crossover]:
    return _ASIDE.do(crossovers_of, law, question.problem)


@remembered(32)  # fewer, as their keys hold the resamples of laws that users brought along
def _spread(law: Law, question: PlanQuestion) -> dict[str, OptionUncertainty]:
    draws = student_draws(law.found)
    assert draws is not None
    return _ASIDE.do(plan_uncertainty, draws, question.problem)


@remembered(256)
def _grid(law: StudentLaw, question: PlanQuestion, decade: int) -> BudgetGrid:
    compute = np.logspace(decade - 2, decade + 3, 5 * _PER_DECADE + 1)
    with _LANE.turn(_CURVES):
        return budgets_of(law, question.problem, compute)


@remembered(256)
def _crossings(law: StudentLaw, question: PlanQuestion, centre: float) -> Crossover:
    problem = question.problem
    scenario = next(one for one in problem.scenarios if one.name == question.situation)
    sizes = np.logspace(centre - 1, centre + 1, 9)
    found = _ASIDE.do(compute_crossovers, law, sizes, [scenario], bounds=problem.bounds, costs=problem.costs)
    return found[scenario.name]
