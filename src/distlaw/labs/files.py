"""Findings as JSON: what pages and reports read, long after the lab was run."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table
from distlaw.labs.lab import Lab
from distlaw.labs.registry import NAMES
from distlaw.runs import one_line, written_whole

FINDINGS = "findings.json"


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
        temporary.write_text(json.dumps(outcome.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_outcome(folder: Path) -> Outcome:
    """Read what `write_outcome` wrote.

    Raises:
        ValueError: It is not there or not whole.
    """
    path = folder / FINDINGS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        findings = Findings(
            findings=tuple(_finding(entry) for entry in content["findings"]),
            tables=tuple(_table(entry) for entry in content["tables"]),
            charts=tuple(_chart(entry) for entry in content["charts"]),
            notes=tuple(content["notes"]),
        )
        names = set(Outcome.__dataclass_fields__) - {"findings"}
        return Outcome(findings=findings, **{name: content[name] for name in names})
    except OSError as error:
        raise ValueError(f"findings '{one_line(path)}' cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"'{one_line(path)}' is no lab's findings ({one_line(error, 200)})") from None


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
    measured = Effect(value=float(effect["value"]), interval=(float(low), float(high)), unit=effect["unit"])
    return Finding(**{**entry, "effect": measured})


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
