"""Learning rate: does the best one stay over widths under muP, and is it the same for distilling (appendix G)?

Models of one depth and several widths, and of one width and several depths, are trained at every rate. Near the minimum
loss is a parabola in the logarithm of the rate; through the rate of least mean loss over seeds and its two neighbours
each seed has one, and its vertex is that seed's best rate. How it moves with width is the slope of its log2 over log2
of the width: 0 where it stays, -1 where it halves as width doubles. muP divides the rates of matrices by the width
itself, so that the one rate that is set should stay; the standard parametrisation leaves them, so that it should fall.
Depth is not covered by muP.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from distlaw.charts import Axis, Chart, Panel, Series
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, all_of, below, over_seeds, within
from distlaw.labs.lab import Bench, Lab
from distlaw.labs.trials import Trial, by_seed, scale, seeds_from, trials_of
from distlaw.sweep.protocols import Grid, Protocol
from distlaw.sweep.study import Study
from distlaw.train.mup import ParametrisationName

Learning = Literal["supervised", "distilled"]

RATES: dict[Preset, dict[ParametrisationName, tuple[float, ...]]] = {
    "quick": {"mup": (0.015, 0.03, 0.06, 0.12), "standard": (0.0075, 0.015, 0.03, 0.06, 0.12, 0.24)},
    "full": {"mup": (0.0075, 0.015, 0.03, 0.06, 0.12), "standard": (0.00375, 0.0075, 0.015, 0.03, 0.06, 0.12)},
}
STAYS = 0.25
"""Octaves a doubling that a best rate may move and still be said to stay: a factor of 1.19."""
SAME = 0.5
"""Octaves between two best rates that are called one: a factor of 1.41."""
KINDS: tuple[tuple[ParametrisationName, Learning], ...] = (
    ("mup", "supervised"),
    ("mup", "distilled"),
    ("standard", "supervised"),
)
WIDTHS: dict[Preset, tuple[int, ...]] = {"quick": (16, 64), "full": (32, 64, 128)}
DEPTHS: dict[Preset, tuple[int, ...]] = {"quick": (1, 4), "full": (1, 2, 4)}
DEPTH = 2  # of the models whose width is varied
WIDTH: dict[Preset, int] = {"quick": 32, "full": 64}  # of those whose depth is


@dataclass(frozen=True, kw_only=True, order=True)
class Curve:
    """Models that differ in rate and seed alone.

    Attributes:
        parametrisation: mup or standard.
        learning: supervised or distilled.
        layers: Depth.
        width: d_model.
    """

    parametrisation: ParametrisationName
    learning: Learning
    layers: int
    width: int

    def __str__(self) -> str:
        return f"{self.parametrisation}, {self.learning}"


def study(preset: Preset, seed: int) -> Study:
    """Every rate at every width, of every kind; depths under muP alone."""
    s = scale(preset)
    protocols = []
    for parametrisation, learning in KINDS:
        for layers, width in _shapes(preset, depths=parametrisation == "mup"):
            aspect_ratio = width // layers
            shape = replace(s.base.family, layers=layers, aspect_ratio=aspect_ratio)
            N = shape.architecture(vocab_size=s.base.data.vocab_size, context=s.base.data.context).n_params
            protocols += [
                Protocol(
                    name=f"{parametrisation}, {learning}, rate {rate:g}, width {width}, {layers} layers",
                    teachers=s.teachers["good"] if learning == "distilled" else None,
                    students=Grid(params=(N,), tokens=(s.tokens / 2,)),
                    seeds=seeds_from(seed, s.seeds),
                    training={"rate": rate, "parametrisation": parametrisation},
                    family={"aspect_ratio": aspect_ratio},
                )
                for rate in RATES[preset][parametrisation]
            ]
    return s.study(protocols)


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best rate of a curve.

    Attributes:
        log2_rate: Of each seed.
        bracketed: Whether the least loss lies between others; if not, the rate is the end of those tried.
    """

    log2_rate: Mapping[int, float]
    bracketed: bool


def optimum(losses: Mapping[float, Mapping[int, float]]) -> Optimum:
    """The vertex of each seed's parabola through the rate of least mean loss and its neighbours.

    It is kept between the neighbours; where a seed's parabola opens downwards it is that seed's best of the three.

    Args:
        losses: By rate and seed.

    >>> round(2 ** optimum({0.01: {0: 3.1}, 0.02: {0: 3.0}, 0.04: {0: 3.1}}).log2_rate[0], 4)
    0.02
    """
    rates = sorted(losses)
    seeds = sorted(losses[rates[0]])
    means = [np.mean([losses[rate][seed] for seed in seeds]) for rate in rates]
    least = int(np.argmin(means))
    if least in (0, len(rates) - 1):
        return Optimum(log2_rate=dict.fromkeys(seeds, float(np.log2(rates[least]))), bracketed=False)
    near = rates[least - 1 : least + 2]
    x = np.log2(near)
    found = {}
    for seed in seeds:
        y = np.array([losses[rate][seed] for rate in near])
        a, b, _ = np.polyfit(x - x[1], y, 2)
        vertex = x[1] - b / (2 * a) if a > 0 else x[np.argmin(y)]
        found[seed] = float(np.clip(vertex, x[0], x[2]))
    return Optimum(log2_rate=found, bracketed=True)


def shift(optima: Mapping[int, Optimum]) -> Effect:
    """Slope of log2 of the best rate in log2 of a size, over seeds; without an interval if one is not bracketed.

    Args:
        optima: By width or depth.
    """
    x = np.log2(list(optima))
    seeds = next(iter(optima.values())).log2_rate
    slopes = [np.polyfit(x, [one.log2_rate[seed] for one in optima.values()], 1)[0] for seed in seeds]
    return _if_bracketed(over_seeds(slopes, "octaves a doubling"), optima.values())


def examine(bench: Bench) -> Findings:
    """Find the best rate of every curve, how it moves, and whether distilling has one of its own."""
    assert bench.study is not None
    courses = _courses(trials_of(bench.study, bench.records))
    optima = {curve: optimum(losses) for curve, losses in courses.items()}
    over_width = {
        kind: shift({curve.width: one for curve, one in optima.items() if _of(curve, kind) and curve.layers == DEPTH})
        for kind in KINDS
    }
    over_depth = {
        kind: shift(
            {
                curve.layers: one
                for curve, one in optima.items()
                if _of(curve, kind) and curve.width == WIDTH[bench.preset]
            }
        )
        for kind in KINDS
        if kind[0] == "mup"
    }
    mup = {kind: effect for kind, effect in over_width.items() if kind[0] == "mup"}
    standard = over_width["standard", "supervised"]
    apart = _apart(optima)
    ends = sum(not one.bracketed for one in optima.values())
    return Findings(
        findings=(
            _stays("Under muP the best learning rate stays as width grows", "width", mup),
            Finding(
                claim="In the standard parametrisation it falls as width grows",
                effect=standard,
                verdict=below(standard, -STAYS),
                measured=f"change of the best rate as width doubles, supervised; falls means by more than {STAYS}",
            ),
            _stays(
                "Under muP the best learning rate stays as depth grows, which muP does not promise", "depth", over_depth
            ),
            Finding(
                claim="Under muP the best learning rate of distilling is the supervised one",
                effect=apart,
                verdict=within(apart, SAME),
                measured=f"distilled over supervised best rate, mean over sizes; the same means within {SAME}",
            ),
        ),
        tables=(_table(optima, courses), _shift_table(over_width, over_depth)),
        charts=(_chart(courses, WIDTH[bench.preset]),),
        notes=(
            f"the best of {ends} of {len(optima)} curves is at the end of the rates tried, so that theirs is a bound",
            "standard is tried supervised only, and over widths only",
        ),
    )


def _shapes(preset: Preset, *, depths: bool) -> list[tuple[int, int]]:
    """Layers and width of every model."""
    shapes = [(DEPTH, width) for width in WIDTHS[preset]]
    return list(dict.fromkeys(shapes + [(layers, WIDTH[preset]) for layers in DEPTHS[preset] if depths]))


def _of(curve: Curve, kind: tuple[ParametrisationName, Learning]) -> bool:
    return (curve.parametrisation, curve.learning) == kind


def _courses(trials: Iterable[Trial]) -> dict[Curve, dict[float, dict[int, float]]]:
    """Losses by curve, rate and seed."""
    found: dict[Curve, dict[float, list[Trial]]] = {}
    for trial in trials:
        if trial.run.split == "student":
            curve = Curve(
                parametrisation=trial.setup.training.parametrisation,
                learning="distilled" if trial.run.teacher else "supervised",
                layers=trial.run.layers,
                width=trial.run.layers * trial.setup.family.aspect_ratio,
            )
            found.setdefault(curve, {}).setdefault(trial.setup.training.rate, []).append(trial)
    return {curve: {rate: by_seed(at[rate]) for rate in sorted(at)} for curve, at in sorted(found.items())}


def _if_bracketed(effect: Effect, optima: Iterable[Optimum]) -> Effect:
    """An effect of optima of which some are mere bounds has no interval: their seeds agree for no good reason."""
    return effect if all(one.bracketed for one in optima) else replace(effect, interval=(-np.inf, np.inf))


def _apart(optima: Mapping[Curve, Optimum]) -> Effect:
    """Octaves from the supervised to the distilled best rate, a mean over all sizes of muP."""
    pairs = [
        (optima[curve], optima[replace(curve, learning="distilled")])
        for curve in optima
        if _of(curve, ("mup", "supervised"))
    ]
    seeds = pairs[0][0].log2_rate
    moves = [float(np.mean([d.log2_rate[seed] - s.log2_rate[seed] for s, d in pairs])) for seed in seeds]
    return _if_bracketed(over_seeds(moves, "octaves"), [one for pair in pairs for one in pair])


def _stays(claim: str, size: str, shifts: Mapping[tuple[ParametrisationName, Learning], Effect]) -> Finding:
    furthest = max(shifts, key=lambda kind: abs(shifts[kind].value))
    return Finding(
        claim=claim,
        effect=shifts[furthest],
        verdict=all_of([within(effect, STAYS) for effect in shifts.values()]),
        measured=f"change of the best rate as {size} doubles, {furthest[1]}, where largest; stays means within {STAYS}",
    )


def _table(optima: Mapping[Curve, Optimum], courses: Mapping[Curve, Mapping[float, Mapping[int, float]]]) -> Table:
    rows = []
    for curve, one in optima.items():
        effect = over_seeds(list(one.log2_rate.values()))
        ends = tuple(float(2**end) for end in effect.interval) if one.bracketed else (None, None)
        losses = courses[curve]
        least = min(float(np.mean(list(at.values()))) for at in losses.values())
        model = (curve.parametrisation, curve.learning, curve.width, curve.layers)
        rows.append((*model, 2**effect.value, *ends, "yes" if one.bracketed else "no", least, len(one.log2_rate)))
    columns = ("parametrisation", "learning", "width", "layers", "best rate", "from", "to", "bracketed", "loss, nats")
    return Table(title="Best learning rate", columns=(*columns, "seeds"), rows=tuple(rows))


def _shift_table(
    over_width: Mapping[tuple[ParametrisationName, Learning], Effect],
    over_depth: Mapping[tuple[ParametrisationName, Learning], Effect],
) -> Table:
    rows = [
        (size, *kind, effect.value, *effect.interval)
        for size, shifts in (("width", over_width), ("depth", over_depth))
        for kind, effect in shifts.items()
    ]
    columns = ("as this doubles", "parametrisation", "learning", "best rate moves by, octaves", "from", "to")
    return Table(title="How the best rate moves", columns=columns, rows=tuple(rows))


def _chart(courses: Mapping[Curve, Mapping[float, Mapping[int, float]]], width: int) -> Chart:
    """Loss over the least of its curve, so that curves of all sizes fit one panel."""
    panels = []
    for size, fixed in (("width", "layers"), ("layers", "width")):
        for kind in KINDS:
            held = DEPTH if fixed == "layers" else width
            chosen = [curve for curve in courses if _of(curve, kind) and getattr(curve, fixed) == held]
            if len(chosen) < 2:
                continue
            chosen.sort(key=lambda curve: getattr(curve, size))
            panels.append(
                Panel(
                    title=f"{chosen[0]}, by {size}",
                    x=Axis(label="learning rate at the base width", scale="log"),
                    y=Axis(label="loss over the curve's least, nats per token"),
                    series=tuple(
                        _series(f"{size} {getattr(curve, size)}", courses[curve], number / (len(chosen) - 1))
                        for number, curve in enumerate(chosen)
                    ),
                )
            )
    return Chart(name="learning-rate", title="Loss against learning rate", panels=tuple(panels))


def _series(name: str, losses: Mapping[float, Mapping[int, float]], colour: float) -> Series:
    means = np.array([float(np.mean(list(at.values()))) for at in losses.values()])
    return Series(name=name, x=np.array(list(losses)), y=means - means.min(), kind="line-points", colour=colour)


LAB = Lab(
    name="learning-rate",
    about="under muP the best learning rate stays over width, and distilling has the supervised one",
    source="section 5, appendix G",
    examine=examine,
    study=study,
)
