"""Findings as JSON: what pages and reports read, long after the lab was run."""

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.evidence.answer import Verdict
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table
from distlaw.labs.lab import Lab
from distlaw.labs.registry import NAMES
from distlaw.runs import one_line, written_whole
from distlaw.runs.checksum import DIGEST, NUMBER, UNCHECKED, sealed_text, typed, unsealed
from distlaw.runs.checksum import FORMAT as DESCRIBED

FINDINGS, FORMAT = "findings.json", "distlaw-findings-1"
_PART = "distlaw-part-1"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A lab that was run.

    Attributes:
        lab: Its name.
        about: Its claim, in a line.
        source: Where the claim is from.
        preset: quick or full.
        seed: First of its seeds.
        command: What runs it again.
        findings: What it found.
        runs: Runs that were trained for it.
        core_seconds: CPU time of those runs and of what the lab did itself, on `machine`.
        machine: Where that was.
    """

    lab: str
    about: str
    source: str
    preset: Preset
    seed: int
    command: str
    findings: Findings
    runs: int
    core_seconds: float
    machine: str

    @classmethod
    def of(cls, lab: Lab, findings: Findings, **how: Any) -> "Outcome":  # noqa: ANN401
        """What a lab found, and how it was run."""
        return cls(lab=lab.name, about=lab.about, source=lab.source, findings=findings, **how)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the main claim on top, as `lab`, `claim`, `effect`, `interval`, `unit` and `verdict`."""
        main = self.findings.findings[0]
        effect = main.effect
        top = {"lab": self.lab, "claim": main.claim, "effect": effect.value, "interval": effect.interval}
        top |= {"unit": effect.unit, "verdict": main.verdict}
        rest = {name: value for name, value in vars(self).items() if name not in ("lab", "findings")}
        return _plain(top | rest | asdict(self.findings))


def write_outcome(outcome: Outcome, folder: Path) -> None:
    """Write findings.json into a lab's folder."""
    with written_whole(folder / FINDINGS, "findings") as temporary:
        temporary.write_text(sealed_text(outcome.as_dict(), FORMAT), encoding="utf-8")


def read_outcome(folder: Path) -> Outcome:
    """Read what `write_outcome` wrote.

    Raises:
        ValueError: It is not there or not whole.
    """
    path = folder / FINDINGS
    try:
        content = unsealed(path.read_bytes(), str(path), FORMAT, before=UNCHECKED)
        findings = Findings(
            findings=tuple(_finding(entry) for entry in content["findings"]),
            tables=tuple(_table(entry) for entry in content["tables"]),
            charts=tuple(_chart(entry) for entry in content["charts"]),
            notes=tuple(map(str, typed(content, "notes", list))),
        )
        if not findings.findings:
            raise ValueError("it has no finding")
        words = {name: typed(content, name, str) for name in ("lab", "about", "source", "preset", "command", "machine")}
        numbers = {"seed": typed(content, "seed", int), "runs": typed(content, "runs", int)}
        return Outcome(findings=findings, core_seconds=typed(content, "core_seconds", NUMBER), **words, **numbers)
    except OSError as error:
        raise ValueError(f"findings '{one_line(path)}' cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"'{one_line(path)}' is no lab's findings ({one_line(error, 600)})") from None


def write_part(path: Path, content: Mapping[str, Any]) -> None:
    """Keep what a lab has measured, for an interrupted lab to go on from."""
    with written_whole(path, "part of a lab") as temporary:
        temporary.write_text(sealed_text(content, _PART), encoding="utf-8")


def read_part(path: Path) -> dict[str, Any] | None:
    """Read what `write_part` kept; None where there is nothing, or nothing sound: that is set aside, and said."""
    if not path.exists():
        return None
    try:
        content = unsealed(path.read_bytes(), str(path), _PART)
    except (OSError, ValueError) as error:
        set_aside(path, error)
        return None
    return {key: value for key, value in content.items() if key not in (DIGEST, DESCRIBED)}


def set_aside(path: Path, why: Exception) -> None:
    """Rename a damaged part of a lab, which is made again, and say so on standard error."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    reason = one_line(why, 200)
    print(f"'{one_line(path)}' is damaged ({reason}): it is now '{aside.name}', and is made again", file=sys.stderr)


def outcomes_in(folder: Path) -> list[Outcome]:
    """What was found by all labs that were run into a folder, in the order of the registry."""
    return [read_outcome(folder / name) for name in NAMES if (folder / name / FINDINGS).is_file()]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Arrays as lists; a number that is not finite as its name, since JSON has none."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _finding(entry: Mapping[str, Any]) -> Finding:
    effect = entry["effect"]
    low, high = effect["interval"]
    measured = Effect(value=float(effect["value"]), interval=(float(low), float(high)), unit=typed(effect, "unit", str))
    verdict = typed(entry, "verdict", str)
    if verdict not in get_args(Verdict):
        raise ValueError(f"'{one_line(verdict, 40)}' is no verdict")
    words = {name: typed(entry, name, str) for name in ("claim", "measured")}
    return Finding(effect=measured, verdict=cast(Verdict, verdict), **words)


def _table(entry: Mapping[str, Any]) -> Table:
    rows = tuple(tuple(row) for row in entry["rows"])
    return Table(title=entry["title"], columns=tuple(entry["columns"]), rows=rows)


def _chart(entry: Mapping[str, Any]) -> Chart:
    return Chart(**{**entry, "panels": tuple(_panel(panel) for panel in entry["panels"])})


def _panel(entry: Mapping[str, Any]) -> Panel:
    axes = {"x": _axis(entry["x"]), "y": _axis(entry["y"])}
    series = tuple(Series(**{**one, **_arrays(one, "x", "y", "low", "high")}) for one in entry["series"])
    field = None if entry["field"] is None else _field(entry["field"])
    return Panel(**{**entry, **axes, "series": series, "field": field, "guides": _guides(entry["guides"])})


def _field(entry: Mapping[str, Any]) -> Field:
    return Field(**{**entry, **_arrays(entry, "x", "y", "z"), "levels": tuple(entry["levels"])})


def _guides(entries: list[Any]) -> tuple[Guide, ...]:
    return tuple(Guide(**entry) for entry in entries)


def _axis(entry: Mapping[str, Any]) -> Axis:
    limits = entry["limits"]
    return Axis(**{**entry, "limits": None if limits is None else (float(limits[0]), float(limits[1]))})


def _arrays(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: None if entry[name] is None else np.array(entry[name], dtype=np.float64) for name in names}
