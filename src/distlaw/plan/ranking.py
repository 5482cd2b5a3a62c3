"""Teachers at hand, ranked for a student, with training without one among them; how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import Scenario, student_cost
from distlaw.laws import PublishedLaw, StudentLaw, SupervisedLaw, laws_in
from distlaw.plan.comparison import NEGLIGIBLE_NATS, decide
from distlaw.plan.confidence import pooled_interval
from distlaw.plan.options import SUPERVISED
from distlaw.plan.problem import Problem
from distlaw.plan.teachers import ESTIMATED, RELATIVE_ERROR, Teacher, same_tokenizer

Array = NDArray[np.float64]
Interval = tuple[float, float]

NO_TEACHER = f"none: train {SUPERVISED}"

_DRAWS = 200  # resamples of a law that is asked for one loss
_SCAN = np.linspace(-0.5, 0.5, 2001)  # log L_T over its own, where the verdict may turn


@dataclass(frozen=True, kw_only=True)
class RankedTeacher:
    """What a student becomes with one teacher, or with none.

    Attributes:
        name: The teacher's name; `none: train supervised` for the baseline.
        student_loss: L_S, nats per token.
        student_tokens: D_S.
        teacher_params: N_T; None for the baseline.
        teacher_loss: L_T; None for the baseline.
        teacher_loss_error: Standard deviation of L_T, nats per token; None for the baseline.
        loss_from: How L_T was come by; None for the baseline.
        vocabulary: Entries of the teacher's vocabulary, where they are known.
        other_tokenizer: Whether that cannot be the student's tokenizer, so that `distlaw distill` refuses it.
        total_flops: FLOPs of the student, with the teacher's logits where the scenario charges for them.
        gain: Nats by which it is below supervised training.
        limit: L_S with this teacher after the most tokens that the bounds allow: patience does not help below it.
        decision: `distill`, `train supervised` or `too close to call`; None for the baseline.
        student_loss_interval: 90 % interval of L_S over resamples, forms and L_T's error; None without resamples.
        gain_interval: That of the gain.
        probability: Share of the resamples in which the student beats supervised training; None without.
        by_form: The gain under each form that fits the runs about as well.
        turns_at: Losses of the teacher, below and above its own, at which the student would be as good without it; None
            at a side where no loss within a factor e^0.5 turns it.
        resolution: Nats that the law can tell.
    """

    name: str
    student_loss: float
    student_tokens: float
    teacher_params: float | None
    teacher_loss: float | None
    teacher_loss_error: float | None
    loss_from: str | None
    vocabulary: float | None
    other_tokenizer: bool
    total_flops: float
    gain: float
    limit: float
    decision: str | None
    student_loss_interval: Interval | None
    gain_interval: Interval | None
    probability: float | None
    by_form: Mapping[str, float]
    turns_at: tuple[float | None, float | None]
    resolution: float

    @property
    def mean_gain(self) -> float:
        """The gain averaged over the laws."""
        return float(np.mean(list(self.by_form.values()))) if self.by_form else self.gain

    @property
    def forms_disagree(self) -> bool:
        """Whether forms that fit the runs about as well differ in who is ahead."""
        return len({value > 0 for value in self.by_form.values()}) > 1


def rank_teachers(
    law: StudentLaw,
    problem: Problem,
    teachers: Sequence[Teacher],
    scenario: Scenario,
    *,
    forms: Mapping[str, StudentLaw] | None = None,
    draws: Mapping[str, StudentLaw] | None = None,
    resolution: float = NEGLIGIBLE_NATS,
    vocabulary: float | None = None,
) -> list[RankedTeacher]:
    """Rank existing teachers for a student, and training without one among them, best first.

    Teachers with another tokenizer than the student's come last, whatever their loss: it cannot learn from them token
    by token.

    Args:
        law: Distillation law.
        problem: Student and budget, in compute or in student tokens.
        teachers: Teachers at hand; one that the budget cannot run for the fewest tokens is left out.
        scenario: `teacher-inference` charges for logits, `best-case` does not; the teachers exist, so pretraining is
            not charged.
        forms: Laws that fit the same runs about as well, by name.
        draws: Resamples of each as one law, by name.
        resolution: Nats that the law can tell.
        vocabulary: Entries of the student's vocabulary, where they are known.

    Raises:
        ValueError: No teachers, a target loss instead of a budget, a scenario that pays for pretraining, or a budget
            too small.
    """
    if not teachers:
        raise ValueError("no teachers given: the table needs at least one row")
    if problem.target_loss is not None:
        raise ValueError("teachers are ranked for a budget in compute or in student tokens, not for a target loss")
    if scenario.teacher_pretraining:
        raise ValueError(
            f"scenario '{scenario.name}' pays for teacher pretraining, but these teachers exist already;"
            " use best-case or teacher-inference"
        )
    ranking = _Ranking(law, problem, scenario, forms or {}, draws or {}, max(resolution, NEGLIGIBLE_NATS), vocabulary)
    none = ranking.alone()
    if none is None:
        fewest = problem.bounds.student_tokens[0]
        raise ValueError(
            f"the budget is too small: it leaves fewer than {fewest:g} student tokens (the least allowed) even without"
            " a teacher"
        )
    rows = [none, *(row for teacher in teachers if (row := ranking.under(teacher, none)) is not None)]
    return sorted(rows, key=lambda row: (row.other_tokenizer, row.student_loss))


def supervised_row(found: PublishedLaw, N: float, D: float) -> RankedTeacher:
    """The baseline of a ranking by itself: N parameters trained on D tokens without a teacher, with its interval.

    Args:
        found: A law of either kind.
        N: Parameters.
        D: Tokens.
    """
    losses = {}
    for name, one in found.forms.items():
        many = one.thinned(_DRAWS)
        if many is not None:
            losses[name] = (many if isinstance(many, SupervisedLaw) else many.supervised).loss(N, D)
    losses = {name: np.atleast_1d(values) for name, values in losses.items()}
    spread = any(values.size > 1 for values in losses.values())  # a law held while another was fitted has none
    return _none(
        student_loss=float(found.supervised.loss(N, D)),
        student_tokens=D,
        total_flops=float("nan"),
        limit=float("nan"),
        interval=pooled_interval(losses) if spread else None,
        resolution=max(found.resolution, NEGLIGIBLE_NATS),
    )


def _none(
    *,
    student_loss: float,
    student_tokens: float,
    total_flops: float,
    limit: float,
    interval: Interval | None,
    resolution: float,
) -> RankedTeacher:
    return RankedTeacher(
        name=NO_TEACHER,
        student_loss=student_loss,
        student_tokens=student_tokens,
        teacher_params=None,
        teacher_loss=None,
        teacher_loss_error=None,
        loss_from=None,
        vocabulary=None,
        other_tokenizer=False,
        total_flops=total_flops,
        gain=0.0,
        limit=limit,
        decision=None,
        student_loss_interval=interval,
        gain_interval=None,
        probability=None,
        by_form={},
        turns_at=(None, None),
        resolution=resolution,
    )


@dataclass(frozen=True)
class _Ranking:
    """One question about several teachers."""

    law: StudentLaw
    problem: Problem
    scenario: Scenario
    forms: Mapping[str, StudentLaw]
    draws: Mapping[str, StudentLaw]
    resolution: float
    vocabulary: float | None

    def tokens(self, F_T: float) -> float:
        """D_S that the budget leaves beside a teacher of so many forward FLOPs a token."""
        problem, most = self.problem, self.problem.bounds.student_tokens[1]
        if problem.compute is None:
            assert problem.student_tokens is not None
            return min(problem.student_tokens, most)
        F_S = float(problem.costs.student_flops(problem.student_params))
        per_token = 3 * F_S + self.scenario.teacher_logits * F_T
        return min((problem.compute - F_S * problem.costs.serving_tokens) / per_token, most)

    def total(self, D_S: float, F_T: float) -> float:
        """FLOPs of the student and of what its teacher is charged with."""
        costs = self.problem.costs
        return float(
            student_cost(
                F_S=costs.student_flops(self.problem.student_params),
                D_S=D_S,
                F_T=F_T,
                teacher_logits=self.scenario.teacher_logits,
                serving_tokens=costs.serving_tokens,
            ).total
        )

    def alone(self) -> RankedTeacher | None:
        """The baseline; None where the budget is too small for it."""
        N_S, (fewest, most) = self.problem.student_params, self.problem.bounds.student_tokens
        D_S = self.tokens(0.0)
        if fewest > D_S:
            return None
        losses = {name: many.supervised.loss(N_S, D_S) for name, many in self.draws.items()}
        return _none(
            student_loss=float(self.law.supervised.loss(N_S, D_S)),
            student_tokens=D_S,
            total_flops=self.total(D_S, 0.0),
            limit=float(self.law.supervised.loss(N_S, most)),
            interval=pooled_interval({name: np.atleast_1d(values) for name, values in losses.items()}),
            resolution=self.resolution,
        )

    def under(self, teacher: Teacher, none: RankedTeacher) -> RankedTeacher | None:
        """The student with this teacher; None where the budget cannot run it for the fewest tokens."""
        problem, N_S, (fewest, most) = self.problem, self.problem.student_params, self.problem.bounds.student_tokens
        F_T = teacher.forward_flops
        F_T = float(problem.costs.forward_flops(teacher.params)) if F_T is None else F_T
        D_S, D = self.tokens(F_T), none.student_tokens
        if fewest > D_S:
            return None
        L_T = float(self.loss_of(teacher, self.law))
        loss_from = ESTIMATED if teacher.loss is None else teacher.loss_from
        error = RELATIVE_ERROR.get(loss_from, 0.005) * L_T if teacher.loss_error is None else teacher.loss_error

        def gain(law: StudentLaw, teacher_loss: float | Array) -> Array:
            return law.supervised.loss(N_S, D) - law.student_loss(N_S, D_S, teacher_loss)

        losses, gains = {}, {}
        for name, many in self.draws.items():
            own = self.loss_of(teacher, many)
            of_draw = np.maximum(own + error * _normals(laws_in(many)[0]), 0.5 * np.asarray(own))
            losses[name], gains[name] = many.student_loss(N_S, D_S, of_draw), gain(many, of_draw)
        by_form = {name: float(gain(form, self.loss_of(teacher, form))) for name, form in self.forms.items()}
        probability = float(np.mean([np.mean(values > 0) for values in gains.values()])) if gains else None
        ahead = float(gain(self.law, L_T))
        return RankedTeacher(
            name=teacher.name,
            student_loss=float(self.law.student_loss(N_S, D_S, L_T)),
            student_tokens=D_S,
            teacher_params=teacher.params,
            teacher_loss=L_T,
            teacher_loss_error=error,
            loss_from=loss_from,
            vocabulary=teacher.vocabulary,
            other_tokenizer=not same_tokenizer(teacher.vocabulary, self.vocabulary),
            total_flops=self.total(D_S, F_T),
            gain=ahead,
            limit=float(self.law.student_loss(N_S, most, L_T)),
            decision=decide(ahead, self.resolution, probability, by_form),
            student_loss_interval=pooled_interval(losses),
            gain_interval=pooled_interval(gains),
            probability=probability,
            by_form=by_form,
            turns_at=_turns(gain(self.law, L_T * np.exp(_SCAN)), L_T),
            resolution=self.resolution,
        )

    @staticmethod
    def loss_of(teacher: Teacher, law: StudentLaw) -> Array:
        """L_T under a law; an array under many, where it is estimated."""
        if teacher.loss is not None:
            return np.asarray(teacher.loss, dtype=np.float64)
        assert teacher.tokens is not None
        return law.supervised.loss(teacher.params, teacher.tokens)


def _normals(count: int) -> Array:
    """Values that a standard normal takes at equal steps of probability, in an order that has no trend."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    return np.random.default_rng(0).permutation(values)


def _turns(gains: Array, L_T: float) -> tuple[float | None, float | None]:
    """The nearest losses below and above L_T at which the gain changes sign."""
    middle = _SCAN.size // 2
    changes = np.flatnonzero((gains[1:] > 0) != (gains[:-1] > 0))
    below, above = changes[changes < middle], changes[changes >= middle]

    def at(i: int) -> float:
        share = gains[i] / (gains[i] - gains[i + 1])
        return float(L_T * np.exp(_SCAN[i] + share * (_SCAN[i + 1] - _SCAN[i])))

    return at(int(below[-1])) if below.size else None, at(int(above[0])) if above.size else None
