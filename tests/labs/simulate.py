"""Records of runs that nobody trained: a function says what each run's loss is, and a lab reads them as its own."""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

from distlaw.labs.findings import Findings, Preset
from distlaw.labs.lab import Bench, Lab
from distlaw.sweep.protocols import Run
from distlaw.sweep.study import Study

Loss = Callable[[Study, Run], float]
Measured = Callable[[Study, Run], Mapping[str, Any]]


def bench_of(
    lab: Lab, out: Path, loss: Loss, *, measured: Measured = lambda _study, _run: {}, preset: Preset = "quick"
) -> Bench:
    """A bench with a record of every run of a lab's study.

    Args:
        lab: The lab.
        out: Folder.
        loss: Loss of a run, nats per token.
        measured: What else its evaluation holds.
        preset: quick or full.
    """
    study = _study(lab, preset)
    records = {run.id: record_of(study, run, loss, measured) for run in study.runs}
    models = {run.id: out / run.id for run in study.runs}
    return Bench(preset=preset, out=out, cache=out, study=study, records=records, models=models)


@lru_cache
def _study(lab: Lab, preset: Preset) -> Study:
    assert lab.study is not None
    return lab.study(preset, 0)


def findings_of(lab: Lab, out: Path, loss: Loss, **more: Any) -> Findings:
    """What a lab finds in such records; arguments as those of `bench_of`."""
    return lab.examine(bench_of(lab, out, loss, **more))


def record_of(study: Study, run: Run, loss: Loss, measured: Measured = lambda _study, _run: {}) -> dict[str, Any]:
    """The record of one run."""
    own = loss(study, run)
    return {
        "name": run.id,
        "job": run.id,
        "student_params": study.shape(run).n_params,
        "student_tokens": run.tokens,
        "student_loss": own,
        "teacher_loss": None if run.teacher is None else loss(study, run.teacher),
        "seed": run.seed,
        "cpu_seconds": 1.0,
        "students_on_one_pass": 1,
        "evaluation": {"tokens": 65_536, "cross_entropy": own, **measured(study, run)},
    }


def noise(*of: object) -> float:
    """A standard normal number, the same for the same arguments: of a run, `noise(run.id)`; of a seed, `noise(seed)`.

    Runs of one seed share what their first weights and their data do to them, so that their difference has less noise.
    """
    digest = hashlib.sha256(repr(of).encode()).digest()
    return NormalDist().inv_cdf((int.from_bytes(digest[:8], "big") + 0.5) / 2**64)
