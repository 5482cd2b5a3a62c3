"""What a lab found: verdicts on claims, with the effect and its interval over seeds, tables and charts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from distlaw.charts import Chart, Kind, Series
from distlaw.evidence.answer import LEVEL, Verdict
from distlaw.evidence.chance import t_quantile

Preset = Literal["quick", "full"]
Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A measured number with its interval.

    Attributes:
        value: The number.
        interval: 90 % interval over seeds.
        unit: Of both; empty for a ratio.
    """

    value: float
    interval: tuple[float, float]
    unit: str = ""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:.3g}{unit} ({self.interval[0]:.3g} to {self.interval[1]:.3g})"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim and what was measured.

    Attributes:
        claim: The claim, a sentence.
        effect: What was measured of it.
        verdict: holds, does not hold, or undecided at this scale.
        measured: What the effect is of, a sentence.
    """

    claim: str
    effect: Effect
    verdict: Verdict
    measured: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a lab.

    Attributes:
        title: What it shows.
        columns: Names with units.
        rows: Numbers as numbers and words as words; None where there is none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table '{self.title}': a row has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a lab found.

    Attributes:
        findings: The lab's main claim first.
        tables: In the order in which they are read.
        charts: Likewise.
        notes: What a reader should know: what was left out, or differs from the paper.
    """

    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()


def over_seeds(values: ArrayLike, unit: str = "") -> Effect:
    """Mean of one number a seed, with its 90 % interval by Student's t; one seed alone has an infinite interval.

    >>> str(over_seeds([1.0, 1.2, 1.1], "nats"))
    '1.1 nats (0.931 to 1.27)'
    """
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    mean = float(x.mean())
    if x.size < 2:
        return Effect(value=mean, interval=(-math.inf, math.inf), unit=unit)
    half = t_quantile(LEVEL, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return Effect(value=mean, interval=(mean - half, mean + half), unit=unit)


def effect_series(
    name: str, x: ArrayLike, effects: Iterable[Effect], *, colour: float | None, kind: Kind = "line-points"
) -> Series:
    """Effects with their intervals over x, as a chart shows them.

    Args:
        name: What the legend says.
        x: Abscissae, shape (n,).
        effects: As many.
        colour: As in `distlaw.charts.Series`.
        kind: Likewise.
    """
    found = list(effects)
    low, high = (np.array([effect.interval[end] for effect in found]) for end in (0, 1))
    values = np.array([effect.value for effect in found])
    return Series(name=name, x=np.asarray(x, dtype=np.float64), y=values, low=low, high=high, kind=kind, colour=colour)


def minus(effect: Effect) -> Effect:
    """The same effect the other way round."""
    low, high = effect.interval
    return replace(effect, value=-effect.value, interval=(-high, -low))


def above(effect: Effect, bound: float = 0.0) -> Verdict:
    """Verdict on the claim that an effect is above a bound."""
    low, high = effect.interval
    return "holds" if low > bound else "does not hold" if high < bound else "undecided"


def below(effect: Effect, bound: float = 0.0) -> Verdict:
    """Verdict on the claim that an effect is below a bound."""
    low, high = effect.interval
    return "holds" if high < bound else "does not hold" if low > bound else "undecided"


def within(effect: Effect, margin: float) -> Verdict:
    """Verdict on the claim that an effect is no larger than a margin, either way."""
    low, high = effect.interval
    if -margin <= low and high <= margin:
        return "holds"
    return "does not hold" if low > margin or high < -margin else "undecided"


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Verdict on a claim of several parts: one that fails fails it, one that is undecided leaves it open."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "undecided" if "undecided" in verdicts or not verdicts else "holds"


def every(effects: Mapping[Part, Effect], seeds: int) -> tuple[Part, Effect, Verdict]:
    """Verdict on the claim that all of these are above 0, with the part that decides it and that part's effect.

    Of many parts one is below 0 by chance. So a part fails the claim only if it is below 0 with an interval that allows
    for their number (Bonferroni), which is then the effect's. For the claim to hold nothing need be allowed for, since
    every part must be above 0.

    Args:
        effects: The parts; at least one.
        seeds: Over how many seeds each was taken.

    >>> every({"a": over_seeds([1.0, 1.1, 0.9]), "b": over_seeds([9.0, 1.0, 2.0])}, 3)[::2]
    ('b', 'undecided')
    """
    order: tuple[Verdict, ...] = ("does not hold", "undecided", "holds")
    shown = {
        part: _for_one_of(len(effects), effect, seeds) if above(effect) == "does not hold" else effect
        for part, effect in effects.items()
    }
    part = min(shown, key=lambda part: (order.index(above(shown[part])), shown[part].value))
    return part, shown[part], above(shown[part])


def _for_one_of(parts: int, effect: Effect, seeds: int) -> Effect:
    """The effect with the interval that one of several needs for all of them to be covered."""
    wider = t_quantile(1 - (1 - LEVEL) / parts, seeds - 1) / t_quantile(LEVEL, seeds - 1)
    low, high = (effect.value + wider * (end - effect.value) for end in effect.interval)
    return replace(effect, interval=(low, high))
