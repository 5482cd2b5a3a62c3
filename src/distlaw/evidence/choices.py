"""The planner's choice of a teacher, or of none, for students that its law has not seen, and what the choice cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import SCENARIOS, CostModel
from distlaw.evidence.alone import LAW, Alone
from distlaw.evidence.answer import LEVEL, CannotSay
from distlaw.evidence.cells import Cells
from distlaw.evidence.left_out import with_form
from distlaw.evidence.prices import Prices
from distlaw.fit import NOT_CONVERGED, FitSpec, fit_law
from distlaw.laws import StudentLaw, SupervisedLaw
from distlaw.plan import Bounds, Problem, Teacher, rank_teachers
from distlaw.plan.ranking import NO_TEACHER
from distlaw.runs import Runs

Array = NDArray[np.float64]

_FEWEST_TEACHERS = 3
POLICIES = ("planner", "strongest teacher", "no teacher")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One student at one number of tokens, for which the planner chose among the study's teachers and none.

    Attributes:
        student_params: N_S.
        student_tokens: D_S, the budget.
        teachers: How many there were to choose from.
        chosen: Loss of the teacher chosen; NaN: none.
        best: Loss of the teacher under which the student ended best; NaN: none.
        predicted: L_S that the planner promised.
        loss: L_S that came of its choice.
        best_loss: L_S of the best choice.
        regret: The difference, in nats; by policy, see `POLICIES`.
        interval: 90 % interval of the planner's regret, from seed noise.
    """

    student_params: float
    student_tokens: float
    teachers: int
    chosen: float
    best: float
    predicted: float
    loss: float
    best_loss: float
    regret: Mapping[str, float]
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """All students.

    Attributes:
        form: Form of the distillation law, fitted without the student's size, as the supervised law was.
        choices: One for each student with three teachers or more.
        mean_regret: By policy, nats.
        intervals: 90 % intervals of these, from seed noise.
    """

    form: str
    choices: tuple[Choice, ...]
    mean_regret: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


def choose_teachers(
    runs: Runs, cells: Cells, alone: Alone, losses: Array, *, prices: Prices | CannotSay, form: str, spec: FitSpec
) -> Choices | CannotSay:
    """Let the planner choose for every student of the study, under laws fitted without runs of that size.

    Budget and choice are at equal student tokens, as the runs were; the teacher is not charged for.

    Args:
        runs: The study's runs.
        cells: Its distilled cells.
        alone: What students reach alone.
        losses: Losses of the cells and draws of them, shape (1 + draws, cells).
        prices: Forward FLOPs per token, which the planner reports.
        form: Form of the distillation law.
        spec: How to fit.
    """
    costs = CostModel() if isinstance(prices, CannotSay) else CostModel(forward_flops=prices.forward_flops)
    laws: dict[float, StudentLaw | CannotSay] = {}
    choices, regrets = [], {policy: [] for policy in POLICIES}
    for N, D, members in cells.students():
        own = cells.select(members)
        if np.unique(own.teacher_loss).size < _FEWEST_TEACHERS or alone.method(N, D) == LAW:
            continue
        law = laws.setdefault(N, _law_without(runs, N, form, spec))
        if isinstance(law, CannotSay):
            return law
        problem = Problem(student_params=N, student_tokens=D, costs=costs, bounds=Bounds(student_tokens=(1.0, 1e17)))
        teachers = [
            Teacher(name=str(i), params=float(own.teacher_params[i]), loss=float(own.teacher_loss[i]))
            for i in range(len(own))
        ]
        first = rank_teachers(law, problem, teachers, SCENARIOS["best-case"])[0]
        # The last column is no teacher.
        outcomes = np.concatenate([losses[:, members], alone.loss([N], [D])], axis=1)
        picks = {
            "planner": len(own) if first.name == NO_TEACHER else int(first.name),
            "strongest teacher": int(np.argmin(own.teacher_loss)),
            "no teacher": len(own),
        }
        best = int(np.argmin(outcomes[0]))
        for policy, pick in picks.items():
            regrets[policy].append(outcomes[:, pick] - outcomes[:, best])
        named = np.append(own.teacher_loss, np.nan)
        choices.append(
            Choice(
                student_params=N,
                student_tokens=D,
                teachers=len(own),
                chosen=float(named[picks["planner"]]),
                best=float(named[best]),
                predicted=first.student_loss,
                loss=float(outcomes[0, picks["planner"]]),
                best_loss=float(outcomes[0, best]),
                regret={policy: float(values[-1][0]) for policy, values in regrets.items()},
                interval=_interval(regrets["planner"][-1]),
            )
        )
    if not choices:
        return CannotSay(because=f"no student with supervised runs of its size has {_FEWEST_TEACHERS} teachers")
    means = {policy: np.mean(values, axis=0) for policy, values in regrets.items()}
    return Choices(
        form=form,
        choices=tuple(choices),
        mean_regret={policy: float(values[0]) for policy, values in means.items()},
        intervals={policy: _interval(values) for policy, values in means.items()},
    )


def _interval(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values[1:], [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _law_without(runs: Runs, N: float, form: str, spec: FitSpec) -> StudentLaw | CannotSay:
    """The law of all runs but those of one student size."""
    others = runs.select(runs.student_params != N)
    where = f"without students of {N:,.0f} parameters"
    try:
        alone = fit_law(
            others.select(~others.distilled), replace(spec, form="supervised", resamples=0), open_ends=False
        )
        assert isinstance(alone.law, SupervisedLaw)
        taught = others.select(others.distilled)
        fit = fit_law(taught, with_form(spec, form), supervised=alone.law, open_ends=False)
    except ValueError as error:
        return CannotSay(because=f"{where} the law is not determined ({error})")
    if NOT_CONVERGED in (alone.status, fit.status) or isinstance(fit.law, SupervisedLaw):
        return CannotSay(because=f"{where} the fit did not converge")
    return fit.law
