"""Temperature: is tau = 1 best for every teacher and student (appendix G of arXiv 2502.08606)?

Each student is distilled from each teacher at every tau, teacher and student both softened by it and the loss
multiplied by tau^2 (eq. 6). Losses are compared at equal seed: such runs start from the same weights and read the same
tokens.
"""

import numpy as np

from distlaw.charts import Axis, Chart, Guide, Panel
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, effect_series, every
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.trials import Trial, by_seed, difference, scale, seeds_from, trials_of
from distlaw.runs import format_quantity
from distlaw.sweep.protocols import Grid, Protocol
from distlaw.sweep.study import Study

TEMPERATURES: dict[Preset, tuple[float, ...]] = {
    "quick": (0.5, 1.0, 2.0, 4.0),
    "full": (0.5, 0.7, 1.0, 1.5, 2.0, 4.0, 10.0),
}


def study(preset: Preset, seed: int) -> Study:
    """Every tau under every teacher; the larger student under the good one only."""
    s = scale(preset)
    return s.study(
        Protocol(
            name=f"{name} teacher, tau {tau:g}",
            teachers=teacher,
            students=Grid(params=s.students if name == "good" else s.students[:1], tokens=(s.tokens,)),
            seeds=seeds_from(seed, s.seeds),
            loss={"temperature": tau},
        )
        for name, teacher in s.teachers.items()
        for tau in TEMPERATURES[preset]
    )


def examine(bench: Bench) -> Findings:
    """Find the best tau of each pair, and what others cost against 1."""
    s = scale(bench.preset)
    assert bench.study is not None
    pairs: dict[tuple[str, int], dict[float, list[Trial]]] = {}
    for trial in trials_of(bench.study, bench.records):
        if trial.run.teacher is not None:
            pair = pairs.setdefault((s.name_of(trial.run.teacher), trial.params), {})
            pair.setdefault(trial.setup.loss.temperature, []).append(trial)
    rows, series, parts = [], [], {}
    for number, ((teacher, N), at) in enumerate(pairs.items()):
        name = f"{format_quantity(N)}, {teacher} teacher"
        losses = {tau: by_seed(at[tau]) for tau in sorted(at)}
        over = {tau: difference(losses[tau], losses[1.0]) for tau in losses}
        parts |= {f"tau = {tau:g}, {name}": effect for tau, effect in over.items() if tau != 1.0}
        series.append(effect_series(name, list(losses), over.values(), colour=number))
        for tau, effect in over.items():
            mean = float(np.mean(list(losses[tau].values())))
            rows.append((name, tau, mean, None if tau == 1.0 else effect.value, *_ends(effect, tau), len(losses[tau])))
    closest, effect, verdict = every(parts, s.seeds)
    panel = Panel(
        x=Axis(label="temperature tau", scale="log"),
        y=Axis(label="student loss over that at tau = 1, nats per token"),
        series=tuple(series),
        guides=(Guide(axis="y", at=0.0),),
    )
    return Findings(
        findings=(
            Finding(
                claim="tau = 1 is best for every pair of teacher and student",
                effect=effect,
                verdict=verdict,
                measured=f"loss over that at tau = 1, {closest}, which comes closest",
            ),
        ),
        tables=(
            Table(
                title="Student loss by temperature",
                columns=("pair", "tau", "loss, nats", "over tau = 1, nats", "from", "to", "seeds"),
                rows=tuple(rows),
            ),
        ),
        charts=(Chart(name="temperature", title="Student loss against temperature", panels=(panel,)),),
    )


def _ends(effect: Effect, tau: float) -> tuple[float | None, float | None]:
    return (None, None) if tau == 1.0 else effect.interval


LAB = Lab(
    name="temperature",
    about="a temperature of 1 is best for every pair of teacher and student",
    source="appendix G",
    examine=examine,
    study=study,
)
