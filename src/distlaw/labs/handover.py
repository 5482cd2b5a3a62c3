"""Handover: is it worth while to distill first and switch to supervised learning later (the paper's open question)?

A student that asks its teacher for a share f of its tokens and learns from the data alone from there on pays, per token
trained, ``3 F_S + f F_T`` FLOPs: backward is twice forward, the teacher is asked forward only (eq. 9, teacher inference
scenario). At compute C it trains on ``D(f) = C / (3 F_S + f F_T)`` tokens, more the earlier it switches. C is what pure
distillation on D tokens costs, ``C = D (3 F_S + F_T)``.

What the law says: short of the teacher's own loss a distilled token is worth kappa supervised ones
(`distlaw.laws.effective_tokens`), so the student ends like a supervised one on

``D_eff(f) = D(f) (1 + f (kappa - 1)) = C / (3 F_S) (1 + f (kappa - 1)) / (1 + f F_T / (3 F_S))``

tokens. That rises with f throughout if ``kappa > 1 + F_T / (3 F_S)``, the price of a distilled token in supervised
ones, and falls throughout if not: with one kappa the best switch is at an end, 1 or 0, never between. Where kappa falls
as the student comes near its teacher, the best moment is when it has fallen to the price. Kappa is measured here: what
pure distillation reached, read on the line through the two supervised runs, loss against log tokens.

The loop asks the teacher only in steps whose lambda is above 0, so the compute is really saved; the charge is of those
steps. Asking it to measure the student at the end is charged to nobody. Students of one pass would have it asked as
long as one of them needs it; each is charged as if alone. `Study.flops` charges the teacher for the whole run, so it is
not used.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distlaw.charts import Axis, Chart, Panel, Series
from distlaw.labs.findings import (
    Effect,
    Finding,
    Findings,
    Preset,
    Table,
    above,
    all_of,
    effect_series,
    every,
    minus,
    over_seeds,
    within,
)
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.trials import Scale, Trial, by_seed, chosen_by_others, scale, seeds_from, trials_of
from distlaw.sweep.protocols import Grid, Protocol, Run
from distlaw.sweep.study import Study

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TEACHERS = ("good", "strong")
MARGIN = 0.02  # nats, between what one kappa predicts and what is measured


def tokens_at(share: float, C: float, F_S: float, F_T: float) -> float:
    """D(f), tokens that compute C pays for when the teacher is asked for this share of them.

    Args:
        share: f, in [0, 1].
        C: FLOPs, > 0.
        F_S: Forward FLOPs per token of the student, > 0.
        F_T: Of the teacher, > 0.

    >>> tokens_at(0.5, C=12e6, F_S=1.0, F_T=6.0)
    2000000.0
    """
    return C / (3 * F_S + share * F_T)


def effective_tokens(share: float, kappa: float, C: float, F_S: float, F_T: float) -> float:
    """D_eff(f), supervised tokens that a switch at this share is worth, if a distilled token is always worth kappa.

    >>> [effective_tokens(f, kappa=3.0, C=12e6, F_S=1.0, F_T=3.0) for f in (0.0, 0.5, 1.0)]
    [4000000.0, 5333333.333333333, 6000000.0]
    """
    return tokens_at(share, C, F_S, F_T) * (1 + share * (kappa - 1))


def study(preset: Preset, seed: int) -> Study:
    """One student under two teachers, switching at every share, all at the compute of pure distillation."""
    s = scale(preset)
    kind = s.base.kind()
    student = kind.nearest(_student(preset))
    F_S = kind.shape(student).forward_flops
    protocols = []
    for name in TEACHERS:
        teacher = s.teachers[name]
        [(layers, _)] = kind.models(teacher)
        F_T = kind.shape(layers).forward_flops
        for share in SHARES:
            D = tokens_at(share, s.tokens * (3 * F_S + F_T), F_S, F_T)
            protocols.append(
                Protocol(
                    name=f"{name} teacher, switch at {share:g}",
                    teachers=teacher if share else None,
                    students=Grid(params=(_student(preset),), tokens=(D,)),
                    seeds=seeds_from(seed, s.seeds),
                    baselines=("tokens",) if share == 1.0 else (),
                    loss={"mixing": ((share, 1.0), (share, 0.0))} if 0 < share < 1 else {},
                )
            )
    return s.study(protocols)


@dataclass(frozen=True, kw_only=True)
class Course:
    """One teacher's runs at equal compute.

    Attributes:
        teacher: Its name.
        F_S: Forward FLOPs per token of the student.
        F_T: Of the teacher.
        tokens: D of pure distillation.
        alone: Loss of supervised training on D tokens, by seed.
        losses: Loss by share and seed.
        trials: One run of each share.
    """

    teacher: str
    F_S: float
    F_T: float
    tokens: int
    alone: Mapping[int, float]
    losses: Mapping[float, Mapping[int, float]]
    trials: Mapping[float, Trial]

    @property
    def price(self) -> float:
        """What a distilled token costs in supervised ones, 1 + F_T / (3 F_S)."""
        return 1 + self.F_T / (3 * self.F_S)

    def worth(self) -> Effect:
        """Kappa, from pure distillation and the line through the supervised runs on D and on D(0) tokens."""
        step = math.log(self.trials[0.0].run.tokens / self.tokens)
        fall = _mean(self.alone) - _mean(self.losses[0.0])
        gains = over_seeds([self.alone[seed] - self.losses[1.0][seed] for seed in self.alone])
        value, low, high = (math.exp(step * x / fall) for x in (gains.value, *gains.interval))
        return Effect(value=value, interval=(low, high))

    def predicted(self, share: float) -> float:
        """Loss at a share by one kappa, on the same line."""
        C = self.tokens * (3 * self.F_S + self.F_T)
        top, bottom = _mean(self.alone), _mean(self.losses[0.0])
        slope = (bottom - top) / math.log(self.trials[0.0].run.tokens / self.tokens)
        D_eff = effective_tokens(share, self.worth().value, C, self.F_S, self.F_T)
        return top + slope * math.log(D_eff / self.tokens)

    def charge(self, share: float) -> float:
        """FLOPs of a run, the teacher's only in the steps that ask it."""
        run, training = self.trials[share].run, self.trials[share].setup.training
        asked = math.ceil(share * run.tokens / training.batch_tokens) * training.batch_tokens
        return 3 * self.F_S * run.tokens + self.F_T * asked

    def lead(self, candidates: tuple[float, ...], over: float) -> Effect:
        """By how much the best of some shares beats another one."""
        best = chosen_by_others({share: self.losses[share] for share in candidates})
        return over_seeds([self.losses[over][seed] - self.losses[share][seed] for seed, share in best.items()], "nats")

    def best(self, candidates: tuple[float, ...] = SHARES) -> float:
        """The share of least mean loss."""
        return min(candidates, key=lambda share: _mean(self.losses[share]))

    def law(self) -> float:
        """The share that one kappa calls best."""
        return 1.0 if self.worth().value > self.price else 0.0


def examine(bench: Bench) -> Findings:
    """Compare the shares at equal compute, with each other and with what one kappa says."""
    assert bench.study is not None
    courses = _courses(scale(bench.preset), bench.study, trials_of(bench.study, bench.records))
    inside = SHARES[1:-1]
    gains, rivals, misses = {}, {}, {}
    for course in courses:
        gains[course.teacher] = course.lead(inside, over=course.best((0.0, 1.0)))
        law = course.law()
        rivals[course.teacher] = course.lead(tuple(share for share in SHARES if share != law), over=law)
        seeds = course.alone
        off = [np.mean([course.losses[share][seed] - course.predicted(share) for share in inside]) for seed in seeds]
        misses[course.teacher] = over_seeds(off, "nats")
    others = {name: minus(effect) for name, effect in rivals.items()}
    closest, margin, best_all = every(others, len(courses[0].alone))
    furthest = max(misses, key=lambda name: abs(misses[name].value))
    return Findings(
        findings=(
            *(
                Finding(
                    claim=f"At equal compute, under the {name} teacher, a switch part of the way beats both"
                    " pure distillation and pure supervised training",
                    effect=gain,
                    verdict=above(gain),
                    measured="lead of the best switch over the better of the two",
                )
                for name, gain in gains.items()
            ),
            Finding(
                claim="The switch that the law with one kappa calls best is best",
                effect=margin,
                verdict=best_all,
                measured=f"by how much it beats the best other share, {closest} teacher, where that comes closest",
            ),
            Finding(
                claim=f"Part of the way, loss is within {MARGIN} nats of what the law with one kappa says",
                effect=misses[furthest],
                verdict=all_of([within(effect, MARGIN) for effect in misses.values()]),
                measured=f"measured minus predicted loss, mean over switches, {furthest} teacher, where it is largest",
            ),
        ),
        tables=(_table(courses), _law_table(courses, gains)),
        charts=(_chart(courses),),
        notes=(
            "every run has a schedule of its own length, so that the rate of learning at a switch depends on the share",
            "tokens are whole steps, so that compute is equal within a step",
        ),
    )


def _student(preset: Preset) -> float:
    return scale(preset).students[1]


def _mean(losses: Mapping[int, float]) -> float:
    return float(np.mean(list(losses.values())))


def _share(trial: Trial) -> float:
    """The share of a student that has a teacher."""
    mixing = trial.setup.loss.mixing
    return 1.0 if isinstance(mixing, int | float) else mixing[0][0]


def _courses(s: Scale, study: Study, trials: tuple[Trial, ...]) -> list[Course]:
    alone: dict[int, list[Trial]] = {}
    taught: dict[Run, dict[float, list[Trial]]] = {}
    for trial in trials:
        if trial.run.teacher is not None:
            taught.setdefault(trial.run.teacher, {}).setdefault(_share(trial), []).append(trial)
        elif trial.run.split == "student":
            alone.setdefault(trial.run.tokens, []).append(trial)
    found = []
    for teacher, by_share in taught.items():
        one = by_share[1.0][0].run
        F_S, F_T = study.shape(one).forward_flops, study.shape(teacher).forward_flops
        supervised = alone[study.kind().steps(tokens_at(0.0, s.tokens * (3 * F_S + F_T), F_S, F_T))]
        by_share = {0.0: supervised, **{share: by_share[share] for share in sorted(by_share)}}
        found.append(
            Course(
                teacher=s.name_of(teacher),
                F_S=F_S,
                F_T=F_T,
                tokens=one.tokens,
                alone=by_seed(alone[one.tokens]),
                losses={share: by_seed(at) for share, at in by_share.items()},
                trials={share: at[0] for share, at in by_share.items()},
            )
        )
    return found


def _table(courses: list[Course]) -> Table:
    rows = []
    for course in courses:
        C = course.charge(1.0)
        for share, losses in course.losses.items():
            lead = over_seeds([course.losses[1.0][seed] - loss for seed, loss in losses.items()])
            ends = (None, None, None) if share == 1.0 else (lead.value, *lead.interval)
            run = course.trials[share].run
            where = (course.teacher, share, run.tokens, course.charge(share) / C)
            rows.append((*where, _mean(losses), course.predicted(share), *ends, len(losses)))
        rows.append((f"{course.teacher}: supervised, D tokens", 0.0, course.tokens, 3 * course.F_S * course.tokens / C))
        rows[-1] += (_mean(course.alone), None, None, None, None, len(course.alone))
    against = "pure distillation minus this, nats"
    columns = (
        "teacher",
        "switch at",
        "tokens",
        "compute / C",
        "loss, nats",
        "law, nats",
        against,
        "from",
        "to",
        "seeds",
    )
    return Table(title="Loss at equal compute by the share of tokens distilled", columns=columns, rows=tuple(rows))


def _law_table(courses: list[Course], gains: Mapping[str, Effect]) -> Table:
    rows = []
    for course in courses:
        worth, gain = course.worth(), gains[course.teacher]
        law = (course.teacher, worth.value, *worth.interval, course.price, course.law(), course.best())
        rows.append((*law, gain.value, *gain.interval))
    return Table(
        title="Worth and price of a distilled token in supervised ones, and where to switch",
        columns=(
            *("teacher", "worth kappa", "from", "to", "price", "best switch by the law", "best switch measured"),
            *("lead of the best switch between the ends over the better end, nats", "lead from", "lead to"),
        ),
        rows=tuple(rows),
    )


def _chart(courses: list[Course]) -> Chart:
    panels = []
    for course in courses:
        effects = [over_seeds(list(losses.values())) for losses in course.losses.values()]
        measured = effect_series("measured", list(course.losses), effects, colour=0)
        shares = np.linspace(0, 1, 51)
        law = Series(
            name="law with one kappa",
            x=shares,
            y=np.array([course.predicted(float(share)) for share in shares]),
            kind="dashed",
        )
        panels.append(
            Panel(
                title=f"{course.teacher} teacher",
                x=Axis(label="share of tokens distilled before the switch"),
                y=Axis(label="loss, nats per token"),
                series=(law, measured),
            )
        )
    return Chart(name="handover", title="Loss at equal compute", panels=tuple(panels), columns=2)


LAB = Lab(
    name="handover",
    about="distilling first and switching to supervised learning later, at equal compute",
    source="the open question of the paper; section 4, teacher inference",
    examine=examine,
    study=study,
)
