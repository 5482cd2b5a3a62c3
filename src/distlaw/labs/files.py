"""Findings as JSON: what pages and reports read, long after the lab was run."""

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from distlaw.labs.findings import Findings, Preset
from distlaw.labs.lab import Lab
from distlaw.labs.registry import NAMES
from distlaw.reading import Path as TreePath
from distlaw.reading import made, one_line, read_text
from distlaw.runs import written_whole
from distlaw.runs.checksum import DIGEST, UNCHECKED, sealed_text, unsealed
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
        content = unsealed(read_text(path), str(path), FORMAT, before=UNCHECKED)
        found, own = (
            {field.name: content[field.name] for field in fields(kind) if field.name in content}
            for kind in (Findings, Outcome)
        )
        outcome = made(Outcome, {**own, "findings": found}, _in_file, words=True)
        if not outcome.findings.findings:
            raise ValueError("it has no finding")
    except ValueError as error:
        raise ValueError(f"'{one_line(path)}' is no lab's findings: {one_line(error, 600)}") from None
    return outcome


def _in_file(path: TreePath) -> TreePath:
    """Findings stand beside what else a lab's file says."""
    return path[1:] if path[:1] == ("findings",) and len(path) > 1 else path


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
