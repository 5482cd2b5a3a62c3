"""Calibration: is a student as sure as it is right (appendix E.8 of arXiv 2502.08606)?

A student that learns the teacher's distribution is compared with one that learns the teacher's likeliest token as if it
were the truth. Confidence is the probability of the likeliest token, and what it should be is how often that token is
right: by the data, or by the teacher's likeliest token. ECE_dist (eq. 39) compares with the confidence of another model
instead, here student and teacher, with the bins of either.

Everything is measured on the exported models and the tokens that runs are evaluated on; what a run gave is kept in the
lab's folder.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from distlaw.charts import Axis, Chart, Guide, Panel, Series
from distlaw.labs.files import read_part, write_part
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, above, below, every, over_seeds
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.predictions import predictions
from distlaw.labs.trials import difference, scale, seeds_from, trials_of
from distlaw.runs import format_quantity
from distlaw.sweep.protocols import Grid, Protocol, Run
from distlaw.sweep.study import Study
from distlaw.train.calibration import Calibration, Reliability

TARGETS = {"dense": "the teacher's distribution", "top-1": "the teacher's top-1"}
BUDGETS = (1, 4)  # times the tokens that students train on elsewhere
CALIBRATED = 0.02
_FEWEST = 50  # predictions in a bin that is drawn


def study(preset: Preset, seed: int) -> Study:
    """One student of the good teacher with either target at two budgets."""
    s = scale(preset)
    return s.study(
        Protocol(
            name=name,
            teachers=s.teachers["good"],
            students=Grid(params=s.students[1:], tokens=tuple(s.tokens * times for times in BUDGETS)),
            seeds=seeds_from(seed, s.seeds),
            loss={"targets": targets},
        )
        for targets, name in TARGETS.items()
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How sure a student is and how right it is to be.

    Attributes:
        data: Outcome: its likeliest token is the next one.
        teacher: Outcome: it is the teacher's likeliest.
        distribution: Outcome: the teacher's confidence, in bins of the student's.
        reverse: Outcome: the student's confidence, in bins of the teacher's.
    """

    data: Reliability
    teacher: Reliability
    distribution: Reliability
    reverse: Reliability

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(**{name: one + getattr(other, name) for name, one in vars(self).items()})


def overconfidence(found: Reliability) -> float:
    """Mean confidence minus share of outcomes."""
    count, confidence, outcome = found.sums.sum(axis=1)
    return float((confidence - outcome) / count)


def measured(bench: Bench, run: Run) -> Measured:
    """Measure a student, or read what was measured of it."""
    file = bench.out / "reliability" / f"{run.id}.json"
    sums = read_part(file)
    if sums is None:
        assert run.teacher is not None
        own = other = None
        for labels, (student, teacher) in predictions(bench, [run, run.teacher]):
            ours, theirs = Calibration.of(student, labels, teacher), Calibration.of(teacher, labels, student)
            own = ours if own is None else own + ours
            other = theirs if other is None else other + theirs
        assert own is not None
        assert other is not None
        parts = {
            "data": own.data,
            "teacher": own.teacher,
            "distribution": own.distribution,
            "reverse": other.distribution,
        }
        file.parent.mkdir(exist_ok=True)
        sums = {name: part.sums.tolist() for name, part in parts.items() if part is not None}
        write_part(file, sums)
    return Measured(**{name: Reliability(np.array(part)) for name, part in sums.items()})


Students = Mapping[tuple[str, int], Mapping[int, Measured]]
"""By targets and tokens, and by seed."""


def examine(bench: Bench) -> Findings:
    """Measure every student, and compare those of either target at equal seed."""
    assert bench.study is not None
    trials = [trial for trial in trials_of(bench.study, bench.records) if trial.run.teacher is not None]
    students: dict[tuple[str, int], dict[int, Measured]] = {}
    for trial in trials:
        key = (trial.setup.loss.targets, trial.run.tokens)
        students.setdefault(key, {})[trial.run.seed] = measured(bench, trial.run)
    teacher = trials[0].run.teacher
    assert teacher is not None
    return Findings(
        findings=_findings(students),
        tables=(_table(students, bench.records[teacher.id]["evaluation"]["ece"]),),
        charts=(_chart(students),),
        notes=(
            "ECE has 21 bins of equal width, and confidence is the probability of the likeliest token",
            f"diagrams are of all seeds together, without bins of fewer than {_FEWEST} predictions",
            "of a claim of several parts the one that decides is shown; one that fails it has an interval that allows"
            " for their number",
            "intervals are over seeds of the students; the teacher was trained once",
        ),
    )


Measure = Callable[[Measured], float]


def _of(students: Students, targets: str, tokens: int, measure: Measure) -> dict[int, float]:
    return {seed: measure(found) for seed, found in students[targets, tokens].items()}


def _findings(students: Students) -> tuple[Finding, ...]:
    few, many = sorted({tokens for _, tokens in students})

    at = {tokens: f"at {format_quantity(tokens)} tokens" for tokens in (few, many)}

    def lead(measure: Measure, over: str, of: str, where: str = "") -> dict[str, Effect]:
        """How much more of it students of one target have than of the other, at each budget."""
        return {
            place + where: difference(_of(students, over, tokens, measure), _of(students, of, tokens, measure), "")
            for tokens, place in at.items()
        }

    def growth(targets: str) -> Effect:
        return difference(_of(students, targets, many, _ece), _of(students, targets, few, _ece), "")

    def everywhere(claim: str, effects: Mapping[str, Effect], what: str) -> Finding:
        """The claim that all of these are above 0."""
        where, effect, verdict = every(effects, seeds=len(students["dense", few]))
        return Finding(claim=claim, effect=effect, verdict=verdict, measured=f"{what}, {where}, which decides")

    ece = over_seeds(list(_of(students, "dense", many, _ece).values()))
    sure = {
        place: over_seeds(list(_of(students, "top-1", tokens, lambda found: overconfidence(found.data)).values()))
        for tokens, place in at.items()
    }
    improved, worsened = growth("dense"), growth("top-1")
    budgets = f"from {format_quantity(few)} to {format_quantity(many)} tokens"
    return (
        everywhere(
            "A student of the teacher's distribution is better calibrated against the data than one of its top-1",
            lead(_ece, "top-1", "dense"),
            "ECE of the latter minus of the former",
        ),
        Finding(
            claim=f"A student of the distribution is calibrated against the data: ECE below {CALIBRATED:g}",
            effect=ece,
            verdict=below(ece, CALIBRATED),
            measured=f"ECE {at[many]}",
        ),
        everywhere(
            "A student of the top-1 is overconfident against the data",
            sure,
            "mean confidence minus accuracy",
        ),
        everywhere(
            "A student of the top-1 is better calibrated against the teacher's top-1 than one of the distribution",
            lead(lambda found: found.teacher.ece, "dense", "top-1"),
            "ECE against the teacher's top-1, of the latter minus of the former",
        ),
        everywhere(
            "A student of the distribution is nearer to its teacher in confidence than one of the top-1, in the bins of"
            " either",
            lead(lambda found: found.distribution.ece, "top-1", "dense", " in the student's bins")
            | lead(lambda found: found.reverse.ece, "top-1", "dense", " in the teacher's bins"),
            "ECE_dist (eq. 39) of the latter minus of the former",
        ),
        Finding(
            claim="More tokens improve calibration against the data of a student of the distribution",
            effect=improved,
            verdict=below(improved),
            measured=f"change of ECE {budgets}",
        ),
        Finding(
            claim="More tokens worsen calibration against the data of a student of the top-1",
            effect=worsened,
            verdict=above(worsened),
            measured=f"change of ECE {budgets}",
        ),
    )


def _ece(found: Measured) -> float:
    return found.data.ece


def _table(students: Students, teacher_ece: float) -> Table:
    rows: list[tuple[str | int | float | bool | None, ...]] = [
        ("(the teacher)", None, None, None, teacher_ece, *(None,) * 6)
    ]
    for (targets, tokens), found in students.items():
        ece = over_seeds([_ece(one) for one in found.values()])
        whole = _pooled(found)
        count, confidence, right = whole.data.sums.sum(axis=1)
        rest = [
            float(np.mean([measure(one) for one in found.values()]))
            for measure in (
                lambda one: one.teacher.ece,
                lambda one: one.distribution.ece,
                lambda one: one.reverse.ece,
            )
        ]
        sure = (float(confidence / count), float(right / count))
        rows.append((TARGETS[targets], tokens, *sure, ece.value, *ece.interval, *rest, len(found)))
    return Table(
        title="Calibration by targets and tokens",
        columns=(
            "targets",
            "tokens",
            "mean confidence",
            "accuracy",
            "ECE against data",
            "from",
            "to",
            "ECE against teacher's top-1",
            "ECE_dist, student's bins",
            "ECE_dist, teacher's bins",
            "seeds",
        ),
        rows=tuple(rows),
    )


def _pooled(found: Mapping[int, Measured]) -> Measured:
    first, *others = found.values()
    return sum(others, first)


def _chart(students: Students) -> Chart:
    """Reliability diagrams: targets side by side, what outcomes are against below one another."""
    outcomes: dict[str, Callable[[Measured], Reliability]] = {
        "share right": lambda found: found.data,
        "share of teacher's top-1": lambda found: found.teacher,
        "teacher's confidence": lambda found: found.distribution,
    }
    budgets = sorted({tokens for _, tokens in students})
    panels = []
    for outcome, part in outcomes.items():
        for targets, name in TARGETS.items():
            series = []
            for number, tokens in enumerate(budgets):
                diagram = part(_pooled(students[targets, tokens]))
                filled = diagram.counts >= _FEWEST
                series.append(
                    Series(
                        name=f"{format_quantity(tokens)} tokens",
                        x=diagram.confidence[filled],
                        y=diagram.outcome[filled],
                        kind="line-points",
                        colour=number,
                    )
                )
            panels.append(
                Panel(
                    title=f"student of {name}",
                    x=Axis(label="confidence", limits=(0.0, 1.0)),
                    y=Axis(label=outcome, limits=(0.0, 1.0)),
                    series=tuple(series),
                    guides=(Guide(axis="diagonal"),),
                )
            )
    return Chart(name="calibration", title="Reliability of students", panels=tuple(panels), columns=len(TARGETS))


LAB = Lab(
    name="calibration",
    about="students of the teacher's distribution are calibrated, those of its top-1 overconfident",
    source="appendix E.8",
    examine=examine,
    study=study,
)
