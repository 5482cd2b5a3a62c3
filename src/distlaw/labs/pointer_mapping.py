"""The pointer mapping: the capacity gap in small networks (appendix C.2 of arXiv 2502.08606).

Networks with two hidden layers learn to point (`distlaw.labs.pointer_task`): teachers from answers, students from a
teacher's distribution. Teachers grow in width, and those of the largest width in samples. There is a capacity gap if a
student's loss falls as its teacher's does, and then rises again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Panel, Series, shades
from distlaw.evidence.answer import LEVEL
from distlaw.evidence.chance import t_quantile
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, above, all_of, effect_series, over_seeds
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.pointer_networks import TRIALS, Network, Trained, student, teacher, trained

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is trained.

    Attributes:
        students: Widths of students, each with its teachers.
        subject: The student that two findings are about.
    """

    students: Mapping[int, tuple[Network, ...]]
    subject: int

    @property
    def widest(self) -> int:
        """Width of the widest teachers."""
        return max(one.width for one in self.students[self.subject])

    def by_width(self, width: int) -> list[Network]:
        """A student's teachers that read what is due to their width, narrow ones first."""
        return sorted((t for t in self.students[width] if t == teacher(t.width)), key=lambda t: t.width)

    def by_samples(self, width: int) -> list[Network]:
        """A student's widest teachers, those of few samples first."""
        return sorted((t for t in self.students[width] if t.width == self.widest), key=lambda t: t.samples)

    def networks(self) -> list[Network]:
        """All of them, teachers before their students."""
        teachers = dict.fromkeys(one for all_of_one in self.students.values() for one in all_of_one)
        return [*teachers, *(student(width, of) for width, own in self.students.items() for of in (None, *own))]


def grid_of(preset: Preset) -> Grid:
    """What a preset trains: a minute on one core, or a quarter of an hour."""
    if preset == "quick":
        teachers = (*map(teacher, (32, 64, 128, 256)), teacher(256, 1 / 4), teacher(256, 1 / 2))
        return Grid(students=dict.fromkeys((32, 64), teachers), subject=32)
    due = tuple(map(teacher, (32, 64, 128, 256, 512)))
    teachers = (*due, *(teacher(512, share) for share in (1 / 8, 1 / 4, 1 / 2)))
    return Grid(students={**dict.fromkeys((32, 64, 128, 256), teachers), 512: due[2:]}, subject=256)


def examine(bench: Bench) -> Findings:
    """Train teachers and students, and look whether stronger teachers have worse students."""
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    grid = grid_of(bench.preset)
    wanted = grid.networks()
    costs = np.cumsum([0.0, *(network.samples * network.width**2 for network in wanted)])
    at: dict[Network, Trained] = {}
    for network, done in zip(wanted, costs.tolist(), strict=False):
        bench.progress(str(network), done, float(costs[-1]))
        at[network] = trained(network, bench)
    return report(grid, at)


def report(grid: Grid, at: Mapping[Network, Trained]) -> Findings:
    """Read the gap off losses.

    Args:
        grid: What was trained.
        at: What came of each network.
    """
    rises = {width: _rise(at, width, teachers) for width, teachers in grid.students.items()}
    leads = [over_seeds(_lead(at, width, teachers), "nats") for width, teachers in grid.students.items()]
    clearest = max((_widened(values, len(rises)) for values in rises.values()), key=lambda effect: effect.interval[0])
    least = min(leads, key=lambda effect: effect.value)
    subject, widest = grid.subject, grid.widest
    by_width = over_seeds(_rise(at, subject, grid.by_width(subject)), "nats")
    by_samples = over_seeds(_rise(at, subject, grid.by_samples(subject)), "nats")
    return Findings(
        findings=(
            Finding(
                claim="a student ends worse under the strongest teacher than under a weaker one",
                effect=clearest,
                verdict=above(clearest),
                measured="loss under the strongest teacher less that under the best of the others, for the student that"
                f" rises most clearly; the interval allows for the choice among {len(rises)} students",
            ),
            Finding(
                claim=f"the loss of a student of width {subject} rises again with the width of its teacher",
                effect=by_width,
                verdict=above(by_width),
                measured=f"the same for that student and teachers of widths up to {widest}",
            ),
            Finding(
                claim=f"the loss of a student of width {subject} rises again with the samples of its teacher",
                effect=by_samples,
                verdict=above(by_samples),
                measured=f"the same for that student and teachers of width {widest}",
            ),
            Finding(
                claim="every student of its best teacher ends below one that learns from answers",
                effect=least,
                verdict=all_of([above(lead) for lead in leads]),
                measured="loss of a supervised student less that of its twin under the best teacher, for the width with"
                " the least lead",
            ),
        ),
        tables=(_gaps(grid, at, rises), _losses(grid, at)),
        charts=(_chart(grid, at),),
        notes=(*_NOTES, *((_SCALED,) if widest > 256 else ())),
    )


_NOTES = (
    f"Intervals are over {TRIALS} trials. In each trial the best teacher is the one that is best in the others, so that"
    " choosing it makes no rise and no lead.",
    "The paper leaves open how contexts are drawn. Here a third of them point at a 0, and each answer is as frequent as"
    " any other. Losses are exact means over all 24,664 inputs.",
)
_SCALED = (
    "Networks read max(500 x 512, 20 N) samples, as in the paper, but those of width 512 a quarter of that, 5 N; and"
    " students of width 512 have the teachers of widths 128, 256 and 512 only. With all of it as in the paper, the lab"
    " would be five times as much work."
)


def _rise(at: Mapping[Network, Trained], width: int, teachers: Sequence[Network]) -> Array:
    """Loss of a student under the strongest of teachers less that under the best of the others, one a trial."""
    *weaker, strongest = sorted(teachers, key=lambda one: -at[one].loss.mean())
    return at[student(width, strongest)].loss - _under_the_best(at, width, weaker)


def _lead(at: Mapping[Network, Trained], width: int, teachers: Sequence[Network]) -> Array:
    """Loss of a supervised student less that under the best of teachers, one a trial."""
    return at[student(width, None)].loss - _under_the_best(at, width, teachers)


def _under_the_best(at: Mapping[Network, Trained], width: int, teachers: Sequence[Network]) -> Array:
    """Loss of a student under the teacher that is best in the other trials, one a trial."""
    from distlaw.labs.trials import chosen_by_others  # imports torch

    losses = [at[student(width, one)].loss for one in teachers]
    chosen = chosen_by_others({i: dict(enumerate(loss.tolist())) for i, loss in enumerate(losses)})
    return np.array([losses[int(i)][trial] for trial, i in sorted(chosen.items())])


def _widened(values: Array, choices: int) -> Effect:
    """Mean over trials with an interval that holds for the clearest of several at once (Bonferroni)."""
    effect = over_seeds(values, "nats")
    wider = t_quantile(1 - (1 - LEVEL) / choices, values.size - 1) / t_quantile(LEVEL, values.size - 1)
    half = wider * (effect.interval[1] - effect.value)
    return Effect(value=effect.value, interval=(effect.value - half, effect.value + half), unit=effect.unit)


def _gaps(grid: Grid, at: Mapping[Network, Trained], rises: Mapping[int, Array]) -> Table:
    rows = []
    for width, values in rises.items():
        best = min(grid.students[width], key=lambda one: at[student(width, one)].loss.mean())
        strongest = min(grid.students[width], key=lambda one: at[one].loss.mean())
        of = (best, student(width, best), student(width, strongest), student(width, None))
        losses = [float(at[one].loss.mean()) for one in of]
        rise = over_seeds(values)
        rows.append((width, best.width, best.samples, *losses, rise.value, *rise.interval, above(rise)))
    return Table(
        title="Students under their best teacher and under the strongest",
        columns=(
            "student width",
            "best teacher's width",
            "best teacher's samples",
            "best teacher's loss, nats",
            "loss under it, nats",
            "loss under the strongest, nats",
            "supervised, nats",
            "rise, nats",
            "from",
            "to",
            "it rises",
        ),
        rows=tuple(rows),
    )


def _losses(grid: Grid, at: Mapping[Network, Trained]) -> Table:
    rows = []
    for width, teachers in grid.students.items():
        for one in sorted(teachers, key=lambda one: -at[one].loss.mean()):
            taught = at[student(width, one)]
            loss = over_seeds(taught.loss)
            means = (float(at[one].loss.mean()), loss.value, *loss.interval, float(taught.error.mean()))
            rows.append((width, one.width, one.samples, *means))
    return Table(
        title="Every student, under weaker teachers first",
        columns=(
            "student width",
            "teacher width",
            "teacher samples",
            "teacher's loss, nats",
            "loss, nats",
            "from",
            "to",
            "error rate",
        ),
        rows=tuple(rows),
    )


def _chart(grid: Grid, at: Mapping[Network, Trained]) -> Chart:
    """Losses of students above, and below what they owe to their teachers, where the rise can be seen."""
    colours = dict(zip(grid.students, shades(len(grid.students)), strict=True))

    def curve(name: str, x: list[int], y: list[Array], colour: float | None) -> Series:
        return effect_series(name, x, [over_seeds(values) for values in y], colour=colour)

    top, bottom = [], []
    for teachers, what, title in (
        (grid.by_width, "width", "teachers of growing width"),
        (grid.by_samples, "samples", f"teachers of width {grid.widest}"),
    ):
        x = Axis(label=f"teacher's {what}", scale="log")
        own = teachers(grid.subject)
        losses = [curve("teacher", [getattr(one, what) for one in own], [at[one].loss for one in own], None)]
        leads = []
        for width, colour in colours.items():
            if len(own := teachers(width)) > 1:
                taught = [at[student(width, one)].loss for one in own]
                name, places = f"student of width {width}", [getattr(one, what) for one in own]
                losses.append(curve(name, places, taught, colour))
                leads.append(curve(name, places, [loss - at[student(width, None)].loss for loss in taught], colour))
        # Weak teachers cost far more than good ones give.
        least = min(min(float(one.y.min()) for one in leads), -1e-3)
        y = Axis(label="loss over a supervised twin's, nats", limits=(1.2 * least, -0.8 * least))
        top.append(Panel(title=title, x=x, y=Axis(label="cross-entropy, nats"), series=tuple(losses)))
        bottom.append(Panel(title=title, x=x, y=y, series=tuple(leads), guides=(Guide(axis="y", at=0.0),)))
    return Chart(
        name="pointer-mapping",
        title="Students of the pointer mapping under teachers of growing strength",
        columns=2,
        panels=(*top, *bottom),
    )


LAB = Lab(
    name="pointer-mapping",
    about="in small networks a student ends worse under the strongest teacher than under a weaker one",
    source="appendix C.2",
    examine=examine,
)
