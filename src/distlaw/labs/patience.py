"""Patience: does distilling longer go on helping, and against what (section 8 of arXiv 2502.08606)?

Students are distilled for 1 to 32 times some tokens, each length a run with a schedule of its own, and beside them one
of the same first weights is trained on the same tokens without a teacher: the supervised limit at that length. Data are
fresh: nothing is read twice, and both see the same.

Beyer et al. (arXiv 2106.05237) find that patient distillation beats training on the same data by far, here supervised
training catches up; `distlaw.labs.narrow` is their setting. What differs is not distillation but what the supervised
student may read: a few documents over and over, which it soon learns by heart, where the teacher's distribution brings
what the teacher read elsewhere. So with more training the lead of distilling over supervised training on the same
tokens should shrink where they are fresh, and less or not at all where they repeat.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np

from distlaw.charts import Axis, Chart, Guide, Panel, Series
from distlaw.labs.findings import (
    Effect,
    Finding,
    Findings,
    Preset,
    Table,
    above,
    all_of,
    below,
    effect_series,
    every,
    over_seeds,
)
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.narrow import Narrow, narrow
from distlaw.labs.trials import Scale, Trial, by_seed, difference, scale, seeds_from, trials_of
from distlaw.runs import format_quantity
from distlaw.sweep.protocols import Grid, Protocol, Run
from distlaw.sweep.study import Study

MULTIPLES = (1, 2, 4, 8, 16, 32)
_LAST = 2  # doublings at the end, over which a trend is read

Course = Mapping[int, Mapping[int, float]]
"""Loss by length and seed, nats per token; lengths rise."""


def study(preset: Preset, seed: int) -> Study:
    """One student under every teacher at every length, and alone."""
    s = scale(preset)
    return s.study(
        Protocol(
            name=f"{name} teacher",
            teachers=teacher,
            students=Grid(params=(_student(s),), tokens=tuple(s.tokens / 8 * times for times in MULTIPLES)),
            seeds=seeds_from(seed, s.seeds),
            baselines=("tokens",),
        )
        for name, teacher in s.teachers.items()
    )


def examine(bench: Bench) -> Findings:
    """Read the courses of loss on fresh tokens, then train on the narrow set and read those."""
    s = scale(bench.preset)
    assert bench.study is not None
    trials = trials_of(bench.study, bench.records)
    teachers: dict[str, Run] = {
        s.name_of(trial.run.teacher): trial.run.teacher for trial in trials if trial.run.teacher
    }
    teacher_loss = {name: bench.records[run.id]["student_loss"] for name, run in teachers.items()}
    alone = _course(trial for trial in trials if trial.run.teacher is None and trial.run.split == "student")
    taught = {
        name: _course(trial for trial in trials if trial.run.teacher == teacher) for name, teacher in teachers.items()
    }
    few = narrow(bench, params=_student(s), teacher=teachers["good"], epochs=MULTIPLES)
    last = max(alone)
    others = {name: difference(course[last], taught["good"][last]) for name, course in taught.items() if name != "good"}
    closest, nearest, worse = every(others, s.seeds)
    fresh_trend, narrow_trend = trend(alone, taught["good"]), trend(few.supervised, few.distilled)
    return Findings(
        findings=(
            _improving("Distilling longer from the good teacher keeps improving", taught["good"]),
            Finding(
                claim="On the most tokens the student of the good teacher keeps up with supervised training",
                effect=(behind := difference(taught["good"][last], alone[last])),
                verdict=below(behind),
                measured=f"distilled minus supervised loss at {format_quantity(last)} tokens",
            ),
            Finding(
                claim="On the most tokens any other teacher is worse than the good one",
                effect=nearest,
                verdict=worse,
                measured=f"loss under the {closest} teacher, which comes closest, minus under the good one",
            ),
            _improving("On few data, read over and over, patient distillation keeps improving", few.distilled),
            Finding(
                claim="On few data, read over and over, patient distillation beats supervised training on the same",
                effect=(lead := difference(few.supervised[max(MULTIPLES)], few.distilled[max(MULTIPLES)])),
                verdict=above(lead),
                measured=f"supervised minus distilled loss after {max(MULTIPLES)} epochs",
            ),
            Finding(
                claim="The lead of distilling shrinks with more fresh tokens, and less or not with repeated ones",
                effect=(apart := difference(narrow_trend, fresh_trend)),
                verdict=all_of([below(over_seeds(list(fresh_trend.values()))), above(apart)]),
                measured=f"change of the lead over the last {_LAST} doublings, repeated minus fresh",
            ),
        ),
        tables=(_table(alone, taught, teacher_loss), _narrow_table(few)),
        charts=(_chart(alone, taught, teacher_loss, few),),
        notes=(
            "good means near the best for this student, of the three teachers there are; no finer search was made",
            "the narrow set of quick is a few documents of the whole language: small, not narrow"
            if bench.preset == "quick"
            else "the narrow set is essays, the teacher's text essays and a dictionary",
        ),
    )


def trend(supervised: Course, distilled: Course) -> dict[int, float]:
    """Change of the lead, supervised minus distilled loss, over the last doublings of the length; by seed, nats."""
    lengths = sorted(distilled)
    first, last = lengths[-1 - _LAST], lengths[-1]
    return {
        seed: (supervised[last][seed] - distilled[last][seed]) - (supervised[first][seed] - distilled[first][seed])
        for seed in distilled[last]
    }


def _student(s: Scale) -> float:
    return s.students[0]


def _course(trials: Iterable[Trial]) -> Course:
    found: dict[int, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.run.tokens, []).append(trial)
    return {length: by_seed(found[length]) for length in sorted(found)}


def _improving(claim: str, course: Course) -> Finding:
    """The claim that loss falls at every doubling."""
    lengths = sorted(course)
    falls = {b: difference(course[a], course[b]) for a, b in pairwise(lengths)}
    _, effect, verdict = every(falls, len(course[lengths[0]]))
    return Finding(
        claim=claim, effect=effect, verdict=verdict, measured="fall of loss at the doubling where it falls least"
    )


def _table(alone: Course, taught: Mapping[str, Course], teacher_loss: Mapping[str, float]) -> Table:
    rows = []
    for length, supervised in alone.items():
        rows.append((length, None, None, _mean(supervised), None, None, None, len(supervised)))
        for name, course in taught.items():
            lead = difference(supervised, course[length])
            mean = _mean(course[length])
            rows.append((length, name, teacher_loss[name], mean, lead.value, *lead.interval, len(course[length])))
    lead = "supervised minus distilled, nats"
    columns = ("tokens", "teacher", "teacher's loss, nats", "loss, nats", lead, "from", "to", "seeds")
    return Table(title="Loss by length, fresh tokens", columns=columns, rows=tuple(rows))


def _narrow_table(few: Narrow) -> Table:
    rows = []
    for epochs, distilled in few.distilled.items():
        lead = difference(few.supervised[epochs], distilled)
        losses = (_mean(few.supervised[epochs]), _mean(distilled))
        rows.append((epochs, epochs * few.tokens, *losses, lead.value, *lead.interval, len(distilled)))
    return Table(
        title=f"Loss by epochs of {format_quantity(few.tokens)} tokens, teacher {few.teacher_loss:.4g} nats",
        columns=("epochs", "tokens", "supervised, nats", "distilled, nats", "difference, nats", "from", "to", "seeds"),
        rows=tuple(rows),
    )


def _mean(losses: Mapping[int, float]) -> float:
    return float(np.mean(list(losses.values())))


def _series(name: str, course: Course, colour: int | None, per_length: float = 1.0) -> Series:
    effects: list[Effect] = [over_seeds(list(losses.values())) for losses in course.values()]
    return effect_series(name, np.array(list(course)) * per_length, effects, colour=colour)


def _chart(alone: Course, taught: Mapping[str, Course], teacher_loss: Mapping[str, float], few: Narrow) -> Chart:
    colours = {name: number for number, name in enumerate(taught)}
    tokens = Axis(label="training tokens", scale="log")
    loss = Axis(label="loss, nats per token")
    fresh = Panel(
        title="fresh tokens",
        x=tokens,
        y=loss,
        series=(
            _series("supervised", alone, None),
            *(_series(f"{name} teacher", course, colours[name]) for name, course in taught.items()),
        ),
        guides=tuple(
            Guide(axis="y", at=at, name="" if number else "teachers' losses")
            for number, at in enumerate(teacher_loss.values())
        ),
    )
    repeated = Panel(
        title="few documents, repeated",
        x=tokens,
        y=loss,
        series=(
            _series("supervised", few.supervised, None, few.tokens),
            _series("good teacher", few.distilled, colours["good"], few.tokens),
        ),
    )
    return Chart(name="patience", title="Loss against training tokens", panels=(fresh, repeated), columns=2)


LAB = Lab(
    name="patience",
    about="longer distillation keeps improving; with the best teacher it keeps up with supervised training",
    source="section 8; Beyer et al., arXiv 2106.05237",
    examine=examine,
    study=study,
)
