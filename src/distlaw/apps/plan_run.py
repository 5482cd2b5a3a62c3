"""A plan as `distlaw plan`, the page and a report make it: solved, judged, with its uncertainty and its warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from distlaw.costs import Bill, Machine, Scenario
from distlaw.laws import PublishedLaw, StudentLaw, SupervisedLaw
from distlaw.plan import (
    SUPERVISED,
    Confidence,
    Crossover,
    Lead,
    Option,
    OptionUncertainty,
    Plan,
    Problem,
    RankedTeacher,
    Teacher,
    TeacherRange,
    Verdict,
    confidence_of,
    crossovers_of,
    equally_good_teachers,
    judge,
    plan_uncertainty,
    rank_teachers,
    recipe,
    solve,
)
from distlaw.plan.comparison import DISTILL, NEGLIGIBLE_NATS, TOO_CLOSE, TRAIN
from distlaw.plan.ranking_words import best_teacher_of, ranking_headline, ranking_sentences
from distlaw.plan.sanity import require_plausible, require_student, require_teacher_loss
from distlaw.runs import format_quantity

DEFAULT_SCENARIO = "teacher-inference"
"""The user's own situation unless they say otherwise: a teacher exists and its logits are paid for."""

_DRAWS = 64  # resamples of each law: a probability to within 0.03 over four laws, in some hundredths of a second


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanRun:
    """A plan and all that is said of it.

    Attributes:
        law: Its law, as a command names it.
        found: The law with its provenance.
        plan: The plan.
        scenario: The user's own situation.
        confidence: How sure the lead of each scenario is.
        verdict: What the plan comes to.
        spread: How far its choices move under the resamples of its law, by scenario; empty where nobody asked.
        teachers: Range of equally good teachers by scenario.
        own: The user's own teachers, best first, and training without one among them; empty without any.
        machine: What the FLOPs run on; None where nobody said.
        warnings: What to know before trusting it.
    """

    law: str
    found: PublishedLaw
    plan: Plan
    scenario: str
    confidence: Mapping[str, Confidence]
    verdict: Verdict
    spread: Mapping[str, OptionUncertainty]
    teachers: Mapping[str, TeacherRange | None]
    own: tuple[RankedTeacher, ...]
    machine: Machine | None
    warnings: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The answer for the user's own situation, with their own teachers where they have some: one sentence."""
        if self.own:
            return ranking_headline(self.own, self.plan.problem, self.charged)
        return self.verdict.headlines[self.scenario]

    @property
    def bills(self) -> list[Bill | None]:
        """Hours, energy and money of each option; None where no machine is known."""
        return [self.machine and self.machine.bill(option.flops.total) for option in self.plan.options]

    @property
    def charged(self) -> Scenario:
        """What the user's situation is charged with, shared and cached as the problem says."""
        return next(one for one in self.plan.problem.scenarios if one.name == self.scenario)

    @property
    def advice(self) -> str:
        """What the headline advises: `distill`, `train supervised` or `too close to call`."""
        return advice_of(self.own) if self.own else self.verdict[self.scenario].decision

    @property
    def option(self) -> Option:
        """The option of the headline: what is written down as a config. Where it is too close to call, the cheaper."""
        option, baseline = self.plan[self.scenario], self.plan[SUPERVISED]
        if self.advice == TOO_CLOSE or not option.feasible or not baseline.feasible:
            return baseline if baseline.feasible else option
        return option if self.advice == DISTILL else baseline

    def recipe(self, scenario: str | None = None) -> str:
        """A config for `distlaw train` or `distlaw distill`: the option of the headline, or of another scenario.

        Raises:
            ValueError: There is no such scenario, or it is not feasible.
        """
        own = best_teacher_of(self.own) if scenario is None and self.advice == DISTILL else None
        return recipe(self.plan, law=self.law, scenario=scenario or self.option.scenario, own=own)

    @property
    def sentences(self) -> list[str]:
        """What stands below the headline: the teacher it assumes, own teachers, then every situation and why."""
        first = ranking_sentences(self.own) if self.own else self.teacher_sentences()
        if self.own:
            first.append("What follows is about teachers of the planner's choice, not about yours.")
        return [*first, *(f"{text[0].upper()}{text[1:]}" for text in self.verdict.sentences)]

    def teacher_sentences(self) -> list[str]:
        """What the answer assumes about the teacher; empty where it is not feasible."""
        found, option = self.teachers.get(self.scenario), self.plan[self.scenario]
        if found is None or not option.feasible:
            return []
        low, high = found.loss
        named = (("smallest", found.smallest), ("cheapest to train", found.cheapest), ("largest", found.largest))
        points = [
            f"{name} {format_quantity(one.params)} parameters on {format_quantity(one.tokens)} tokens"
            for name, one in named
        ]
        most = format_quantity(self.plan.problem.bounds.teacher_tokens[1])
        return [
            f"The teacher is assumed to have a loss of {low:.3f} to {high:.3f} nats on the law's data, any of which"
            f" gives the student the same loss to 0.001 nats: {'; '.join(points)}. No teacher is assumed to have seen"
            f" more than {most} tokens."
        ]

    def content(self) -> dict[str, Any]:
        """All about the plan, as `distlaw plan --json` prints it."""
        problem = self.plan.problem
        goals = {name: getattr(problem, name) for name in ("compute", "student_tokens", "target_loss")}
        return {
            "answer": self.headline,
            "advice": self.advice,
            "scenario": self.scenario,
            "law": self.law,
            "resolution": self.verdict.comparisons[0].resolution,
            "student_params": problem.student_params,
            **{name: value for name, value in goals.items() if value is not None},
            "options": [self._row(option) for option in self.plan.options],
            "best": self.verdict.best,
            "own_teachers": [ranked_content(row) for row in self.own],
            "verdict": self.sentences,
            "warnings": list(self.warnings),
        }

    def _row(self, option: Option) -> dict[str, Any]:
        bill = None if self.machine is None else self.machine.bill(option.flops.total)
        row = asdict(option) | {"student_params": self.plan.problem.student_params, "bill": bill}
        if option.scenario != SUPERVISED:
            comparison = self.verdict[option.scenario]
            row |= {name: value for name, value in asdict(comparison).items() if name != "over_compute"}
            row["by_form"] = forms_content(comparison.by_form)
            row |= lead_content(comparison.over_compute, self.found)
            found = self.teachers.get(option.scenario)
            row["equally_good_teachers"] = None if found is None else asdict(found)
        if option.scenario in self.spread:
            row["uncertainty"] = asdict(self.spread[option.scenario])
        return row


def run_plan(
    found: PublishedLaw,
    problem: Problem,
    *,
    law: str,
    scenario: str = DEFAULT_SCENARIO,
    own: Sequence[Teacher] = (),
    machine: Machine | None = None,
    vocabulary: float = 32768,
    student_vocabulary: float | None = None,
    crossovers: Mapping[str, Crossover] | None = None,
    warnings: Sequence[str] = (),
) -> PlanRun:
    """Make a plan and judge it.

    Args:
        found: A law that can be planned with.
        problem: The question.
        law: The law, as a command names it.
        scenario: The user's own situation.
        own: Their own teachers.
        machine: What the FLOPs run on.
        vocabulary: Entries of the vocabulary, for the loss of a uniform guess.
        student_vocabulary: Of the student's own tokenizer, where it is known.
        crossovers: From `crossovers_of`, where they are at hand.
        warnings: More to know, put first.

    Raises:
        ValueError: The student, a loss or the budget makes no sense; one sentence that names it.
    """
    student_law = found.law
    assert not isinstance(student_law, SupervisedLaw)
    require_student(problem.student_params)
    plan = solve(student_law, problem)
    notes = require_plausible(plan, vocabulary)
    forms, draws = forms_of(found)
    confidence = confidence_of(problem, forms, draws)
    resolution = max(found.resolution, NEGLIGIBLE_NATS)
    if crossovers is None:
        crossovers = crossovers_of(student_law, problem, resolution=resolution, forms=forms)
    verdict = judge(
        student_law,
        plan,
        crossovers=crossovers,
        confidence=confidence,
        resolution=resolution,
        fitted_range=found.fitted_range,
    )
    ranked = rank_own(found, problem, own, scenario, vocabulary=vocabulary, student_vocabulary=student_vocabulary)
    return PlanRun(
        law=law,
        found=found,
        plan=plan,
        scenario=scenario,
        confidence=confidence,
        verdict=verdict,
        spread=choices_spread(found, problem, confidence),
        teachers={option.scenario: equally_good_teachers(student_law, problem, option) for option in plan.options},
        own=tuple(ranked),
        machine=machine,
        warnings=(
            *warnings,
            *found.cautions,
            *notes,
            *extrapolations(found, plan),
            *tokenizer_warnings(ranked, student_vocabulary),
        ),
    )


def forms_of(found: PublishedLaw) -> tuple[dict[str, StudentLaw], dict[str, StudentLaw]]:
    """The laws that fit the same runs about as well, by name, and the resamples of those that have some."""
    forms: dict[str, StudentLaw] = {}
    draws: dict[str, StudentLaw] = {}
    for name, one in found.forms.items():
        if isinstance(one.law, SupervisedLaw):
            continue
        forms[name] = one.law
        many = one.thinned(_DRAWS)
        if many is not None and not isinstance(many, SupervisedLaw):
            draws[name] = many
    return forms, draws


def rank_own(
    found: PublishedLaw,
    problem: Problem,
    own: Sequence[Teacher],
    scenario: str,
    *,
    vocabulary: float = 32768,
    student_vocabulary: float | None = None,
) -> list[RankedTeacher]:
    """Rank the user's own teachers under a law and those that fit as well; empty where there are none.

    Raises:
        ValueError: A teacher's loss makes no sense, or teachers cannot be ranked for this problem.
    """
    if not own:
        return []
    assert not isinstance(found.law, SupervisedLaw)
    for teacher in own:
        loss, what = teacher.loss, "loss"
        if loss is None:
            loss, what = (
                float(found.supervised.loss(teacher.params, teacher.tokens or 1.0)),
                "loss by its size and tokens",
            )
        require_teacher_loss(loss, found.supervised, vocabulary, f"teacher '{teacher.name}': {what}")
    charged = next(one for one in problem.scenarios if one.name == scenario)
    forms, draws = forms_of(found)
    return rank_teachers(
        found.law,
        problem,
        own,
        charged,
        forms=forms,
        draws=draws,
        resolution=found.resolution,
        vocabulary=student_vocabulary,
    )


def choices_spread(
    found: PublishedLaw, problem: Problem, confidence: Mapping[str, Confidence]
) -> dict[str, OptionUncertainty]:
    """How far the plan's choices move under the resamples of its law, its losses and odds over all laws.

    Empty where the law has no resamples.
    """
    many = found.thinned(_DRAWS)
    if many is None or isinstance(many, SupervisedLaw):
        return {}
    spread, target = plan_uncertainty(many, problem), problem.target_loss is not None
    for name, row in spread.items():
        if name == SUPERVISED:
            losses = next(iter(confidence.values())).supervised_loss
            spread[name] = replace(row, student_loss=losses if losses and not target else row.student_loss)
        else:
            sure = confidence[name]
            spread[name] = replace(
                row,
                student_loss=sure.student_loss if sure.student_loss and not target else row.student_loss,
                token_worth=sure.token_worth or row.token_worth,
                probability=sure.probability,
            )
    return spread


def advice_of(ranked: Sequence[RankedTeacher]) -> str:
    """What a ranking of own teachers advises: `distill`, `train supervised` or `too close to call`."""
    best = best_teacher_of(ranked)
    return TRAIN if best is None or best.decision is None else best.decision


def lead_content(lead: Lead | None, found: PublishedLaw) -> dict[str, Any]:
    """Spans and crossings of a lead, as JSON has them, each crossing with what lies outside the fitted range."""
    if lead is None:
        return {}
    crossings = [
        asdict(one)
        | {
            "warnings": found.range_warnings(
                student_params=lead.student_params,
                student_tokens=[one.student_tokens, one.distilled_tokens],
                teacher_params=one.teacher_params,
                teacher_tokens=one.teacher_tokens,
                teacher_loss=one.teacher_loss,
            )
        }
        for one in lead.crossings
    ]
    return {
        "crossings": crossings,
        "ahead": lead.ahead,
        "clearly_ahead": lead.clearly_ahead,
        "clearly_behind": lead.clearly_behind,
        "laws": [
            {"law": name, "ahead": one.ahead, "crossings": [crossing.at for crossing in one.crossings]}
            for name, one in lead.by_form.items()
        ],
        "searched": lead.searched,
    }


def forms_content(by_form: Mapping[str, float]) -> list[dict[str, Any]]:
    """The lead under each law, as JSON has it."""
    return [{"law": name, "lead": lead} for name, lead in by_form.items()]


def ranked_content(row: RankedTeacher) -> dict[str, Any]:
    """A ranked teacher, as JSON has it."""
    return asdict(row) | {"by_form": forms_content(row.by_form)}


def extrapolations(found: PublishedLaw, plan: Plan) -> list[str]:
    """A sentence for each quantity of the plan that lies outside the range its law was fitted on."""
    feasible = [option for option in plan.options if option.feasible]
    chosen = {
        name: [value for option in feasible if (value := getattr(option, name)) is not None]
        for name in ("student_tokens", "teacher_params", "teacher_tokens", "teacher_loss")
    }
    return found.range_warnings(student_params=plan.problem.student_params, **chosen)


def tokenizer_warnings(ranked: Sequence[RankedTeacher], vocabulary: float | None = None) -> list[str]:
    """Teachers with another tokenizer than the student's, of so many entries, and what that means."""
    students = "" if vocabulary is None else f", the student {vocabulary:,.0f}"
    known = sorted({row.vocabulary for row in ranked if row.vocabulary is not None})
    if vocabulary is None and known:
        entries = ", ".join(f"{value:,.0f}" for value in known)
        return [
            f"the teachers have vocabularies of {entries} entries, and the student's is not known (--vocabulary):"
            " `distlaw distill` needs the same tokenizer, and losses per token of two tokenizers do not compare (bits"
            " per byte do)"
        ]
    return [
        f"teacher '{row.name}' has a vocabulary of {row.vocabulary:,.0f} entries{students}: another tokenizer, so that"
        " `distlaw distill` refuses it, and losses per token of two tokenizers do not compare (bits per byte do);"
        " it is put last"
        for row in ranked
        if row.other_tokenizer
    ]
