"""Weak to strong: does a student larger than its teacher dip below the teacher's loss, and come back (section 8)?

On few tokens a larger student has learned what its weak teacher says everywhere and not yet where it errs by chance:
its loss can be below the teacher's. On more tokens it learns the errors too, and ends as the teacher's copy. The dip is
looked for against the number of tokens, each length a run with a schedule of its own. Student and teacher are measured
on the same held-out tokens, so that even small differences count.

Where loss is least is chosen, for each seed, by the other seeds: the least of noisy numbers is lower than what it is
the least of, and a dip must not be made by choosing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from distlaw.charts import Axis, Chart, Guide, Panel, Series
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, above, below, effect_series, over_seeds
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.trials import Trial, by_seed, chosen_by_others, scale, seeds_from, trials_of
from distlaw.runs import format_quantity
from distlaw.sweep.protocols import Grid, Protocol
from distlaw.sweep.study import Study

MULTIPLES = (1, 2, 4, 8, 16, 32)
BRIEF = 4  # times fewer tokens than the weak teacher
STUDENTS: dict[Preset, tuple[float, ...]] = {"quick": (6e3, 20e3), "full": (83e3, 201e3)}

Course = Mapping[float, Mapping[int, float]]
"""Loss by tokens and seed, nats per token."""
Pair = tuple[str, int]
"""Name of the teacher, and N of the student."""


def study(preset: Preset, seed: int) -> Study:
    """A student larger than the weak teacher, and under a more briefly trained one a still larger one as well."""
    s = scale(preset)
    return s.study(
        Protocol(
            name=f"{name} teacher",
            teachers=teacher,
            students=Grid(
                params=STUDENTS[preset][: 2 if name == "brief" else 1],
                tokens=tuple(s.tokens / 8 * times for times in MULTIPLES),
            ),
            seeds=seeds_from(seed, s.seeds),
        )
        for name, teacher in _teachers(preset).items()
    )


@dataclass(frozen=True, kw_only=True)
class Dip:
    """How far a student gets below its teacher, and how far it comes back.

    Attributes:
        lead: L_S - L_T where loss is least; below 0 the student is ahead.
        rise: Loss on the most tokens minus that.
        end: L_S - L_T on the most tokens.
    """

    lead: Effect
    rise: Effect
    end: Effect


def dip(course: Course, teacher_loss: float) -> Dip:
    """Read a course of loss.

    Args:
        course: Loss by tokens and seed, nats per token; all lengths have the same seeds.
        teacher_loss: L_T.
    """
    last = max(course)
    least = chosen_by_others(course)
    return Dip(
        lead=over_seeds([course[D][seed] - teacher_loss for seed, D in least.items()], "nats"),
        rise=over_seeds([course[last][seed] - course[D][seed] for seed, D in least.items()], "nats"),
        end=over_seeds([loss - teacher_loss for loss in course[last].values()], "nats"),
    )


def examine(bench: Bench) -> Findings:
    """Find the dip and the way back of every pair; the main pair is the briefly trained teacher's largest student."""
    assert bench.study is not None
    names = _names(bench.preset)
    courses: dict[Pair, dict[float, list[Trial]]] = {}
    teacher_loss: dict[str, float] = {}
    for trial in trials_of(bench.study, bench.records):
        if trial.run.teacher is None:
            continue
        assert trial.teacher_loss is not None
        name = names[trial.run.teacher.layers, trial.run.teacher.tokens]
        teacher_loss[name] = trial.teacher_loss
        courses.setdefault((name, trial.params), {}).setdefault(trial.run.tokens, []).append(trial)
    losses = {pair: {D: by_seed(course[D]) for D in sorted(course)} for pair, course in courses.items()}
    dips = {pair: dip(course, teacher_loss[pair[0]]) for pair, course in losses.items()}
    main = max(pair for pair in dips if pair[0] == "brief")
    found = dips[main]
    where = f"student of {format_quantity(main[1])} under the briefly trained teacher"
    return Findings(
        findings=(
            Finding(
                claim="A student larger than its weak teacher gets below the teacher's loss",
                effect=found.lead,
                verdict=below(found.lead),
                measured=f"student's minus teacher's loss where it is least, {where}",
            ),
            Finding(
                claim="On more tokens its loss comes back up",
                effect=found.rise,
                verdict=above(found.rise),
                measured=f"loss on the most tokens minus the least, {where}",
            ),
        ),
        tables=(_dip_table(dips, teacher_loss), _table(losses, teacher_loss)),
        charts=(_chart(losses, teacher_loss, dips),),
        notes=("one teacher of each kind; seeds are the students'",),
    )


def _over(losses: Mapping[int, float], teacher_loss: float) -> Effect:
    return over_seeds([loss - teacher_loss for loss in losses.values()], "nats")


def _dip_table(dips: Mapping[Pair, Dip], teacher_loss: Mapping[str, float]) -> Table:
    columns = ("teacher", "teacher's loss, nats", "student params")
    columns += ("least over teacher, nats", "from", "to", "below", "rise, nats", "rise from", "rise to", "rises")
    return Table(
        title="Dip below the teacher and rise from it",
        columns=columns,
        rows=tuple(
            (name, teacher_loss[name], N, *_flat(one.lead), below(one.lead), *_flat(one.rise), above(one.rise))
            for (name, N), one in dips.items()
        ),
    )


def _table(losses: Mapping[Pair, Course], teacher_loss: Mapping[str, float]) -> Table:
    return Table(
        title="Loss over the teacher's by tokens",
        columns=("teacher", "student params", "tokens", "over teacher, nats", "from", "to", "seeds"),
        rows=tuple(
            (name, N, D, *_flat(_over(at, teacher_loss[name])), len(at))
            for (name, N), course in losses.items()
            for D, at in course.items()
        ),
    )


def _chart(losses: Mapping[Pair, Course], teacher_loss: Mapping[str, float], dips: Mapping[Pair, Dip]) -> Chart:
    # Dips are small beside what the briefest students lack.
    deepest = -min(one.lead.value for one in dips.values())
    limits = (-2 * deepest, 4 * deepest) if deepest > 0 else None
    sizes = sorted({N for _, N in losses})
    panels: dict[str, list[Series]] = {}
    for (name, N), course in losses.items():
        effects = [_over(at, teacher_loss[name]) for at in course.values()]
        series = effect_series(f"{format_quantity(N)} student", list(course), effects, colour=sizes.index(N))
        panels.setdefault(f"{name} teacher", []).append(series)
    return Chart(
        name="weak-to-strong",
        title="Loss of larger students over their teacher's",
        columns=2,
        panels=tuple(
            Panel(
                title=title,
                x=Axis(label="distillation tokens", scale="log"),
                y=Axis(label="loss over the teacher's, nats", limits=limits),
                series=tuple(series),
                guides=(Guide(axis="y", at=0.0),),
            )
            for title, series in panels.items()
        ),
    )


def _teachers(preset: Preset) -> dict[str, Grid]:
    weak = scale(preset).teachers["weak"]
    return {"weak": weak, "brief": Grid(params=weak.params, tokens=tuple(D / BRIEF for D in weak.tokens))}


def _names(preset: Preset) -> dict[tuple[int, int], str]:
    """Names of teachers by layers and tokens."""
    kind = scale(preset).base.kind()
    return {model: name for name, grid in _teachers(preset).items() for model in kind.models(grid)}


def _flat(effect: Effect) -> tuple[float, float, float]:
    return effect.value, *effect.interval


LAB = Lab(
    name="weak-to-strong",
    about="a student larger than its teacher dips below the teacher's loss and comes back to it",
    source="section 8",
    examine=examine,
    study=study,
)
