"""What a lab is: a claim, the runs that it needs if any, and a function from a place to work in to findings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distlaw.labs.findings import Findings, Preset

if TYPE_CHECKING:
    from distlaw.sweep.study import Study


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a lab works, and with what.

    Attributes:
        preset: quick, a few minutes, or full, about an hour.
        seed: First of its seeds.
        out: The lab's own folder, in which it may keep what an interrupted lab goes on from.
        cache: Folder of prepared data.
        study: The lab's study, if it has one.
        records: Records of its runs, by `Run.id`.
        models: Where a run's model lies, by `Run.id`, as `distlaw evaluate` takes it.
        progress: Called with what is being done, how much of it is done, and of how much.
        before: CPU seconds of each part that an earlier call has done and this one reads, by name; 0 of its own parts.
    """

    preset: Preset
    seed: int = 0
    out: Path
    cache: Path
    study: "Study | None" = None
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Path] = field(default_factory=dict)
    progress: Callable[[str, float, float], None] = lambda _what, _done, _all: None
    before: dict[str, float] = field(default_factory=dict)


def core_seconds(record: Mapping[str, Any]) -> float:
    """CPU time of a run; of a pass that several shared, its share."""
    return record["cpu_seconds"] / record["students_on_one_pass"]


@dataclass(frozen=True, kw_only=True)
class Lab:
    """An experiment.

    Attributes:
        name: As the command knows it.
        about: The claim, in a line.
        source: Section, figure or table of arXiv 2502.08606, or another paper, that the claim is from.
        examine: Does what needs no study, and says what was found.
        study: The runs that it reads, by preset and first seed; None: it has none.
    """

    name: str
    about: str
    source: str
    examine: Callable[[Bench], Findings]
    study: "Callable[[Preset, int], Study] | None" = None
