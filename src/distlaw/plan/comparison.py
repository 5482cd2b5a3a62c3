"""Every way to distill against supervised training, in numbers: who is ahead, by how much, and how sure that is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import Scenario
from distlaw.laws import StudentLaw
from distlaw.plan.confidence import Confidence
from distlaw.plan.crossover import Crossover, Lead, compute_crossovers
from distlaw.plan.lead import on_equal_terms
from distlaw.plan.optimum import Optimum, distilled_optimum
from distlaw.plan.options import SUPERVISED, Option, Plan
from distlaw.plan.problem import Problem
from distlaw.plan.worth import token_worth

NEGLIGIBLE_NATS = 0.001  # below what two seeds of one run differ by (0.1 % of a loss of about 2)
SURE = 0.9  # probability from which a lead counts as known, if all forms agree on it

DISTILL, TRAIN, TOO_CLOSE, NOT_FEASIBLE = "distill", "train supervised", "too close to call", "not feasible"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One distillation scenario against supervised training.

    Attributes:
        scenario: Which.
        decision: `distill`, `train supervised`, `too close to call`, or `not feasible` where neither can be done.
        lead: Nats by which distilling is ahead, from `distlaw.plan.lead`: for a budget the gain, for a target what the
            dearer way would miss it by on the compute of the cheaper one.
        lead_interval: Its interval over the resamples of all forms; None without resamples.
        probability: Share of the resamples in which distilling is ahead, averaged over the forms; None without.
        by_form: The lead under each form that fits the runs about as well.
        resolution: Nats that the law can tell.
        gain: Nats by which distilling is below supervised training (for a target loss: NaN, both reach it).
        supervised_compute_ratio: Compute that supervised training of the same student needs for the same loss, over
            what the option costs. inf: no amount of data, or none within the cap on tokens, gets it there.
        crossover_compute: FLOPs from which supervised training stays ahead; None where it never does.
        crossover_status: What the search for the crossover found.
        over_compute: Every span and crossing of the lead over budgets; None where none was asked for.
        students_to_flip: Students that must share the teacher's pretraining for distilling to be ahead by more than the
            resolution, if it is not and pretraining is charged; None where no number does.
        token_worth: kappa, the supervised tokens that one distilled token replaces; see `distlaw.plan.worth`.
        token_cost: What a distilled token costs, in supervised tokens.
        most_teacher_params: Largest teacher whose logits are worth their cost at this kappa; None where they are free
            or the teacher's training is charged too.
    """

    scenario: str
    decision: str
    lead: float
    lead_interval: tuple[float, float] | None
    probability: float | None
    by_form: Mapping[str, float]
    resolution: float
    gain: float
    supervised_compute_ratio: float
    crossover_compute: float | None
    crossover_status: str
    over_compute: Lead | None
    students_to_flip: float | None
    token_worth: float
    token_cost: float
    most_teacher_params: float | None

    @property
    def mean_lead(self) -> float:
        """The lead averaged over the laws."""
        return float(np.nanmean(list(self.by_form.values()))) if self.by_form else self.lead

    @property
    def forms_disagree(self) -> bool:
        """Whether forms that fit the runs about as well differ in who is ahead."""
        return len({value > 0 for value in self.by_form.values()}) > 1


def compare(
    law: StudentLaw,
    plan: Plan,
    *,
    crossovers: Mapping[str, Crossover],
    confidence: Mapping[str, Confidence] | None = None,
    resolution: float = NEGLIGIBLE_NATS,
    scenarios: Collection[str] | None = None,
) -> tuple[Comparison, ...]:
    """Compare scenarios of a plan with supervised training.

    Args:
        law: The law that the plan was made with.
        plan: The plan.
        crossovers: Leads over compute by scenario; those that are missing are left out.
        confidence: From `confidence_of`; None compares under the law alone.
        resolution: Nats that the law can tell.
        scenarios: Names of those that are asked about; all by default.
    """
    problem, baseline = plan.problem, plan[SUPERVISED]
    asked = [one for one in problem.scenarios if scenarios is None or one.name in scenarios]
    leads, comparisons = _leads(law, plan, asked), []
    for i, scenario in enumerate(asked):
        option, sure = plan[scenario.name], (confidence or {}).get(scenario.name)
        over = crossovers[scenario.name].leads[0] if scenario.name in crossovers else None
        lost = None if over is None else over.last_lost
        worth = token_worth(law, problem, option) if option.feasible else None
        by_form = {} if sure is None else sure.by_form
        probability = None if sure is None else sure.probability
        decision = decide(float(leads[i]), resolution, probability, by_form)
        flip = scenario.teacher_pretraining and decision != DISTILL
        comparisons.append(
            Comparison(
                scenario=scenario.name,
                decision=decision,
                lead=float(leads[i]),
                lead_interval=None if sure is None else sure.lead,
                probability=probability,
                by_form=by_form,
                resolution=resolution,
                gain=float("nan") if problem.target_loss is not None else baseline.student_loss - option.student_loss,
                supervised_compute_ratio=_supervised_compute_ratio(law, plan, option),
                crossover_compute=None if lost is None else lost.at,
                crossover_status="not searched" if over is None else over.status,
                over_compute=over,
                students_to_flip=_students_to_flip(law, plan, option, resolution) if flip else None,
                token_worth=worth.worth if worth else float("nan"),
                token_cost=worth.cost if worth else float("nan"),
                most_teacher_params=worth.most_teacher_params if worth else None,
            )
        )
    return tuple(comparisons)


def _leads(law: StudentLaw, plan: Plan, scenarios: Sequence[Scenario]) -> list[float]:
    """Nats by which distilling is ahead in each scenario, read off the plan where its budget is the same for all."""
    if plan.problem.target_loss is not None:
        return [float(lead) for lead in on_equal_terms(law, plan.problem, scenarios).lead]
    baseline, leads = plan[SUPERVISED], []
    for scenario in scenarios:
        option = plan[scenario.name]
        if option.feasible and baseline.feasible:
            leads.append(baseline.student_loss - option.student_loss)
        else:
            leads.append(np.inf if option.feasible else -np.inf if baseline.feasible else np.nan)
    return leads


def decide(ahead: float, resolution: float, probability: float | None, by_form: Mapping[str, float]) -> str:
    """Distill, train, or too close to call.

    Args:
        ahead: Nats by which distilling is ahead.
        resolution: Nats that the law can tell.
        probability: Share of the resamples in which it is ahead; None without resamples.
        by_form: The lead under each form that fits the runs about as well.
    """
    if np.isnan(ahead):
        return NOT_FEASIBLE
    if np.isinf(ahead):  # only one of the two can be done
        return DISTILL if ahead > 0 else TRAIN
    mean = float(np.nanmean(list(by_form.values()))) if by_form else ahead
    agreed = {value > 0 for value in by_form.values() if not np.isnan(value)} <= {ahead > 0}
    sure = probability is None or (probability if ahead > 0 else 1 - probability) >= SURE
    if min(abs(ahead), abs(mean)) < resolution or not agreed or not sure:
        return TOO_CLOSE
    return DISTILL if ahead > 0 else TRAIN


def crossovers_of(
    law: StudentLaw,
    problem: Problem,
    *,
    resolution: float = NEGLIGIBLE_NATS,
    forms: Mapping[str, StudentLaw] | None = None,
) -> dict[str, Crossover]:
    """Leads over compute of a problem's student by scenario, clear where they are under all laws that fit as well."""
    return compute_crossovers(
        law,
        problem.student_params,
        problem.scenarios,
        resolution=resolution,
        forms=forms,
        bounds=problem.bounds,
        costs=problem.costs,
    )


def distilling_wins(plan: Plan, option: Option) -> bool:
    """Whether an option of a plan beats supervised training."""
    return bool(beats(plan.problem, option, plan[SUPERVISED]))


def beats(problem: Problem, distilled: Option | Optimum, supervised: Option | Optimum) -> NDArray[np.bool_]:
    """Whether distilling wins by what the problem asks for: loss, or compute for a target; one option or a batch.

    What is not feasible does not win, and loses to anything that is.
    """
    if problem.target_loss is not None:
        better = np.less(distilled.flops.total, supervised.flops.total)
    else:
        better = np.less(distilled.student_loss, supervised.student_loss)
    return distilled.feasible & (np.logical_not(supervised.feasible) | better)


def _supervised_compute_ratio(law: StudentLaw, plan: Plan, option: Option) -> float:
    if not option.feasible:
        return float("nan")
    problem = plan.problem
    loss = option.student_loss if problem.target_loss is None else problem.target_loss
    tokens = float(law.supervised.tokens_to_reach(loss, problem.student_params))
    if tokens > problem.bounds.student_tokens[1] * (1 + 1e-9):
        return float("inf")
    F_S = float(problem.costs.student_flops(problem.student_params))
    return (3 * F_S * tokens + F_S * problem.costs.serving_tokens) / option.flops.total


def _students_to_flip(law: StudentLaw, plan: Plan, option: Option, resolution: float) -> float | None:
    """Smallest whole K >= K of the problem, up to 10000, with which distilling wins by more than the resolution."""
    problem = plan.problem
    compute, baseline = problem.compute, plan[SUPERVISED]
    if compute is None or not baseline.feasible:
        return None
    scenario = next(s for s in problem.scenarios if s.name == option.scenario)

    def wins(students: np.ndarray) -> np.ndarray:
        share = problem.students / students
        best = distilled_optimum(
            law,
            problem.student_params,
            teacher_logits=scenario.teacher_logits * (share if problem.shared_logits else 1.0),
            teacher_pretraining=scenario.teacher_pretraining * share,
            compute=compute,
            bounds=problem.bounds,
            costs=problem.costs,
        )
        return best.student_loss < baseline.student_loss - resolution  # False where not feasible (NaN)

    low, high = problem.students, 1e4
    if not wins(np.array([high]))[0]:
        return None
    while high - low > 1:  # two rounds on a grid of 64 find any whole number up to 10000
        grid = np.unique(np.round(np.geomspace(low, high, 64)))
        enough = wins(grid)
        first = int(np.argmax(enough))
        low, high = (grid[first - 1], grid[first]) if first else (grid[0], grid[0])
    return float(high)
