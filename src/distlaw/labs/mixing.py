"""Mixing: how much of the teacher, how much of the data (appendix G of arXiv 2502.08606, and arXiv 2605.23857)?

Lambda of eq. 7 goes from 0, supervised, to 1, pure distillation, under teachers from weak to strong. The second paper
says that with the right lambda even small and undertrained teachers help larger students. The right lambda is not
known beforehand, so each seed takes the one that is best on the other seeds: choosing the least of several noisy losses
would make a gain where there is none.

Gains are against supervised runs of the same first weights: on the same tokens, and on the tokens that the student's
training and its teacher's forward passes would have paid for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distlaw.charts import Axis, Chart, Guide, Panel
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, above, all_of, effect_series, within
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.trials import (
    Trial,
    by_protocol,
    by_seed,
    chosen_by_others,
    difference,
    scale,
    seeds_from,
    trials_of,
)
from distlaw.runs import format_quantity
from distlaw.sweep.protocols import Grid, Protocol
from distlaw.sweep.study import Study

MIXINGS: dict[Preset, tuple[float, ...]] = {
    "quick": (0.03, 0.1, 0.3, 0.5, 1.0),
    "full": (0.03, 0.1, 0.3, 0.5, 0.7, 1.0),
}
FLAT_FROM = 0.5
_LARGER = "larger student, "
_WEAK = {"small": "a small teacher", "middling": "a middling teacher", "undertrained": "an undertrained teacher"}


def study(preset: Preset, seed: int) -> Study:
    """Every lambda for every pair, and supervised runs of equal tokens and of equal compute."""
    s = scale(preset)
    return s.study(
        Protocol(
            name=pair,
            teachers=teacher,
            students=Grid(params=(student,), tokens=(s.tokens,)),
            seeds=seeds_from(seed, s.seeds),
            baselines=("tokens", "compute"),
            loss={"mixing": mixing},
        )
        for pair, (teacher, student) in _pairs(preset).items()
        for mixing in MIXINGS[preset]
    )


def _pairs(preset: Preset) -> dict[str, tuple[Grid, float]]:
    """Teacher and student by name.

    The small teacher is the smallest member of the family; the middling one is smaller than the larger student and
    reads twice its tokens; the undertrained one is as large as that student and reads a quarter of its tokens.
    """
    s = scale(preset)
    student, larger = s.students
    undertrained = Grid(params=(larger,), tokens=(s.tokens / 4,))
    if preset == "quick":
        weak = {"small": s.teachers["weak"], "undertrained": undertrained}
    else:
        small = Grid(params=(3.4e3,), tokens=(1e6,))
        weak = {"small": small, "middling": s.teachers["weak"], "undertrained": undertrained}
    of_small = {"small": weak["small"], "good": s.teachers["good"], "strong": s.teachers["strong"]}
    of_larger = weak | {"good": s.teachers["good"]}
    pairs = {f"small student, {name} teacher": (teacher, student) for name, teacher in of_small.items()}
    return pairs | {f"{_LARGER}{name} teacher": (teacher, larger) for name, teacher in of_larger.items()}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A student under a teacher.

    Attributes:
        params: N_S.
        teacher_loss: L_T, nats per token.
        losses: L_S by lambda and seed; lambda 0 is the supervised run on the same tokens.
        equal_compute: Loss of the supervised run of equal compute, by seed.
        tokens: D_S.
        compute_tokens: D of the supervised run of equal compute.
    """

    params: int
    teacher_loss: float
    losses: Mapping[float, Mapping[int, float]]
    equal_compute: Mapping[int, float]
    tokens: int
    compute_tokens: int

    @property
    def alone(self) -> Mapping[int, float]:
        """Loss of the supervised run on the same tokens, by seed."""
        return self.losses[0.0]

    @property
    def chosen(self) -> Mapping[int, float]:
        """Lambda of each seed, above 0: the best on the other seeds."""
        return chosen_by_others({mixing: losses for mixing, losses in self.losses.items() if mixing > 0})

    def gain(self, over: Mapping[int, float]) -> Effect:
        """Supervised loss minus distilled loss at the chosen lambda."""
        return difference(over, {seed: self.losses[mixing][seed] for seed, mixing in self.chosen.items()})

    @property
    def better_teacher(self) -> bool:
        """Whether the teacher is better than the student is alone."""
        return self.teacher_loss < _mean(self.alone)


def examine(bench: Bench) -> Findings:
    """Find the best lambda of each pair, what it gains, and whether loss is flat above one half."""
    assert bench.study is not None
    asked = by_protocol(bench.study, trials_of(bench.study, bench.records))
    pairs = {name: _pair(asked[name]) for name in _pairs(bench.preset)}
    noise = seed_noise(list(pairs.values()))
    claims = [
        (
            f"With the best lambda even {words} helps a larger student, against supervised training of equal {budget}",
            pair.gain(pair.alone if budget == "tokens" else pair.equal_compute),
            pair,
        )
        for kind, words in _WEAK.items()
        if (pair := pairs.get(f"{_LARGER}{kind} teacher")) is not None
        for budget in ("tokens", "compute")
    ]
    return Findings(
        findings=(
            *(
                Finding(
                    claim=claim,
                    effect=effect,
                    verdict=above(effect),
                    measured=f"supervised minus distilled loss of {_sizes(pair)}",
                )
                for claim, effect, pair in claims
            ),
            *_flat(pairs, noise),
        ),
        tables=(_best_table(pairs), _loss_table(pairs)),
        charts=(_chart(pairs),),
        notes=(
            "a seed's lambda is the one that is best on the other seeds",
            f"flat: within {noise:.3g} nats of the loss at lambda = 1, the standard deviation of a run over seeds",
            "equal compute counts the teacher's forward passes and not its training",
            "intervals are over seeds of the students; each teacher was trained once",
            "losses are on the text that models train on; what a teacher does for other text is not measured",
        ),
    )


def _pair(trials: list[Trial]) -> Pair:
    taught = [trial for trial in trials if trial.run.teacher is not None]
    alone = [trial for trial in trials if trial.run.teacher is None and trial.run.split == "student"]
    equal_tokens = taught[0].run.tokens
    most = max(trial.run.tokens for trial in alone)
    losses = {0.0: by_seed(trial for trial in alone if trial.run.tokens == equal_tokens)}
    by_mixing: dict[float, list[Trial]] = {}
    for trial in taught:
        mixing = trial.setup.loss.mixing
        assert isinstance(mixing, float)
        by_mixing.setdefault(mixing, []).append(trial)
    losses |= {mixing: by_seed(by_mixing[mixing]) for mixing in sorted(by_mixing)}
    teacher_loss = taught[0].teacher_loss
    assert teacher_loss is not None
    return Pair(
        params=taught[0].params,
        teacher_loss=teacher_loss,
        losses=losses,
        equal_compute=by_seed(trial for trial in alone if trial.run.tokens == most),
        tokens=equal_tokens,
        compute_tokens=most,
    )


def seed_noise(pairs: list[Pair]) -> float:
    """Standard deviation of a run's loss over seeds, pooled over lambdas and pairs."""
    groups = [np.array(list(losses.values())) for pair in pairs for losses in pair.losses.values()]
    return float(np.sqrt(np.mean([group.var(ddof=1) for group in groups])))


def _flat(pairs: Mapping[str, Pair], noise: float) -> list[Finding]:
    """Flatness above one half, of pairs whose teacher is better than the student alone, and of the others."""
    found = []
    for better, whose in ((True, "better than the student alone"), (False, "no better than the student alone")):
        over = {
            (name, mixing): difference(pair.losses[mixing], pair.losses[1.0])
            for name, pair in pairs.items()
            if pair.better_teacher == better
            for mixing in pair.losses
            if FLAT_FROM <= mixing < 1
        }
        if not over:
            continue
        verdict = all_of([within(effect, noise) for effect in over.values()])
        deciding = [key for key, effect in over.items() if within(effect, noise) == verdict]
        name, mixing = furthest = max(deciding, key=lambda key: abs(over[key].value))
        found.append(
            Finding(
                claim=f"Loss is flat for lambda of {FLAT_FROM} and above under every teacher that is {whose}",
                effect=over[furthest],
                verdict=verdict,
                measured=f"loss at lambda = {mixing:g} minus that at 1, in the pair that decides, {name};"
                f" flat is within {noise:.2g} nats",
            )
        )
    return found


def _sizes(pair: Pair) -> str:
    alone = f"a student of {format_quantity(pair.params)} parameters that reaches {_mean(pair.alone):.3g} nats alone"
    return f"{alone}, under a teacher of {pair.teacher_loss:.3g} nats"


def _mean(losses: Mapping[int, float]) -> float:
    return float(np.mean(list(losses.values())))


def _best_table(pairs: Mapping[str, Pair]) -> Table:
    rows = []
    for name, pair in pairs.items():
        means = {mixing: _mean(losses) for mixing, losses in pair.losses.items()}
        best = min((mixing for mixing in means if mixing > 0), key=lambda mixing: means[mixing])
        chosen = ", ".join(f"{mixing:g}" for mixing in pair.chosen.values())
        gains = (pair.gain(pair.alone), pair.gain(pair.equal_compute))
        ends = (number for gain in gains for number in (gain.value, *gain.interval))
        more = pair.compute_tokens / pair.tokens
        rows.append((name, pair.params, pair.teacher_loss, means[0.0], best, means[best], chosen, *ends, more))
    return Table(
        title="Best lambda and what it gains over supervised training",
        columns=(
            "pair",
            "N_S",
            "teacher's loss, nats",
            "supervised, nats",
            "best lambda",
            "loss there, nats",
            "lambda of each seed",
            *("gain at equal tokens, nats", "from", "to"),
            *("gain at equal compute, nats", "from", "to"),
            "equal compute, times the tokens",
        ),
        rows=tuple(rows),
    )


def _loss_table(pairs: Mapping[str, Pair]) -> Table:
    rows = []
    for name, pair in pairs.items():
        for mixing, losses in pair.losses.items():
            over = difference(losses, pair.alone)
            against = (None, None, None) if mixing == 0 else (over.value, *over.interval)
            rows.append((name, mixing, _mean(losses), *against, len(losses)))
    columns = ("pair", "lambda", "loss, nats", "over lambda = 0, nats", "from", "to", "seeds")
    return Table(title="Student loss by lambda", columns=columns, rows=tuple(rows))


def _chart(pairs: Mapping[str, Pair]) -> Chart:
    teachers = list(dict.fromkeys(name.partition(", ")[2] for name in pairs))
    panels = []
    for student in dict.fromkeys(name.partition(", ")[0] for name in pairs):
        series = []
        for name, pair in pairs.items():
            who, _, teacher = name.partition(", ")
            if who == student:
                over = [difference(losses, pair.alone) for losses in pair.losses.values()]
                series.append(effect_series(teacher, list(pair.losses), over, colour=teachers.index(teacher)))
        panels.append(
            Panel(
                title=student,
                x=Axis(label="mixing lambda"),
                y=Axis(label="loss over supervised, nats"),
                series=tuple(series),
                guides=(Guide(axis="y", at=0.0),),
            )
        )
    return Chart(name="mixing", title="Student loss against lambda", panels=tuple(panels), columns=2)


LAB = Lab(
    name="mixing",
    about="with the right mixing even a weak teacher helps a larger student; loss is flat for lambda above 0.5",
    source="appendix G; arXiv 2605.23857",
    examine=examine,
    study=study,
)
