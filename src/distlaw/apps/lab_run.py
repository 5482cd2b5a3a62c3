"""Running labs from the command line: the runs they share first, then one lab after another."""

import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distlaw.apps.study_run import Where, do_study
from distlaw.labs.files import Outcome, write_outcome
from distlaw.labs.findings import Preset
from distlaw.labs.lab import Bench, Lab, core_seconds
from distlaw.runs import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distlaw.sweep.study import Study


def run_labs(
    labs: Sequence[Lab], *, preset: Preset, seed: int, out: Path, where: Where, finished: Callable[[Outcome], None]
) -> bool:
    """Run labs, from the start or from where they stopped; each writes findings.json into its folder in `out`.

    Their runs are one study in `out`/runs, so that what two labs want is trained once.

    Args:
        labs: The labs.
        preset: quick or full.
        seed: First seed.
        out: Folder of all labs.
        where: Where runs are done.
        finished: Called with what each lab found.

    Returns:
        Whether all ended; False when they were asked to stop.

    Raises:
        ValueError: A run failed, or a folder will not do.
    """
    studies = {lab.name: lab.study(preset, seed) for lab in labs if lab.study is not None}
    records: dict[str, dict[str, Any]] = {}
    store = out / "runs" / preset
    if studies:
        outcome, state, _ = do_study(together(list(studies.values())), str(store), where, shared=True)
        if outcome.ended == "stopped":
            runs = counted(outcome.runs, "run")
            print(f"stopped: {outcome.done} of {runs} done; the same command goes on", file=sys.stderr)
            return False
        if outcome.failed:
            job, error = next(iter(outcome.failed.items()))
            raise ValueError(f"{counted(len(outcome.failed), 'job')} failed, as {job}: {error}")
        records = state.records
    for lab in labs:
        folder = out / lab.name
        folder.mkdir(parents=True, exist_ok=True)
        own = [] if lab.name not in studies else [records[run.id] for run in studies[lab.name].runs]
        begun = time.process_time()
        bench = Bench(
            preset=preset,
            seed=seed,
            out=folder,
            cache=where.cache.expanduser().resolve(),
            study=studies.get(lab.name),
            records=records,
            models={record["name"]: _model(store, record) for record in own},
        )
        try:
            with _showing(lab.name) as progress:
                findings = lab.examine(replace(bench, progress=progress))
        except KeyboardInterrupt:
            print(f"stopped within {lab.name}; the same command goes on", file=sys.stderr)
            return False
        spent = time.process_time() - begun + sum(bench.before.values())
        found = Outcome.of(
            lab,
            findings,
            preset=preset,
            seed=seed,
            command=f"distlaw lab {lab.name} --preset {preset}" + (f" --seed {seed}" if seed else ""),
            runs=len(own),
            core_seconds=spent + sum(core_seconds(record) for record in own),
            machine=f"{platform.machine()}, {platform.system()}",
        )
        write_outcome(found, folder)
        finished(found)
    return True


def together(studies: Sequence["Study"]) -> "Study":
    """One study with the protocols of several; they share all else."""
    return replace(studies[0], protocols=tuple(protocol for one in studies for protocol in one.protocols))


def _model(store: Path, record: dict[str, Any]) -> Path:
    folder = store / "jobs" / record["job"]
    return folder if record["students_on_one_pass"] == 1 else folder / "students" / record["name"]


@contextmanager
def _showing(lab: str) -> "Iterator[Callable[[str, float, float], None]]":
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(lab, total=None)
        yield lambda what, done, total: progress.update(task, description=f"{lab}: {what}", completed=done, total=total)
