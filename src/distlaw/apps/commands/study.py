"""`distlaw study`: many runs from one file, on this machine or on a cluster."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from distlaw.apps.commands.train import require_training
from distlaw.apps.options import Hardware, TableOptions, WholeNumber
from distlaw.apps.output import console, print_json, print_warnings
from distlaw.apps.study_run import Where, cores, run_study
from distlaw.runs import counted

if TYPE_CHECKING:
    from distlaw.runs import Runs

study = App(name="study", help="Many runs from one study file, ending in a table and a law.")


@study.command
def plan(name: str, *, workers: WholeNumber = 0, hardware: Hardware = Hardware(), json: bool = False) -> None:
    """List a study's runs by protocol, with FLOPs and estimated hours; nothing is run.

    Hours are those of one thread of a CPU or, with --accelerator, of that.

    Args:
        name: Study file, or a preset: nano, tiny, small or paper.
        workers: Workers that share the work; 0: one a core of this machine.
        hardware: What it runs on.
        json: Print JSON.
    """
    require_training()
    from distlaw.sweep.outlook import outlook
    from distlaw.sweep.study import read_study

    machine = hardware.machine()
    found = outlook(read_study(name), workers=workers or cores())
    bill = None if machine is None else machine.bill(found.flops_shared)
    if json:
        print_json({"study": name, **vars(found), "bill": bill})
        return
    from distlaw.report.study_tables import outlook_table

    console().print(outlook_table(found, study=name, bill=bill))


@study.command
def run(
    name: str,
    *,
    out: str,
    where: Where = Where(),
    json: bool = False,
) -> int:
    """Run a study, from the start or from where it stopped.

    All state is in the study's folder: killed and started again, it goes on. The same command given twice, on one
    machine or on several that see the folder, shares the work.

    Args:
        name: Study file, or a preset: nano, tiny, small or paper.
        out: Folder of the study, or any URL that fsspec opens, as s3://bucket/study.
        where: Where jobs are done.
        json: Print how it ended as JSON.
    """
    require_training()
    from distlaw.sweep.study import read_study

    return run_study(read_study(name), out, where, json=json)


@study.command
def resume(
    out: str,
    *,
    where: Where = Where(),
    json: bool = False,
) -> int:
    """Go on with a study that was begun: `study run` with the study that the folder holds.

    Args:
        out: Folder or URL of the study.
        where: Where jobs are done.
        json: Print how it ended as JSON.
    """
    require_training()
    from distlaw.sweep.drive import open_study

    return run_study(open_study(out)[0], out, where, json=json)


@study.command
def status(out: str, *, watch: bool = False, json: bool = False) -> None:
    """Show where a study stands: runs done, under way and failed, and the time left.

    Args:
        out: Folder or URL of the study.
        watch: Stay, and show it anew every two seconds.
        json: Print JSON.
    """
    from distlaw.sweep.lease import Watch
    from distlaw.sweep.status import status as look
    from distlaw.sweep.store import Store

    store, seen = Store(out), Watch()
    found = look(store, seen)
    if json:
        print_json(vars(found))
        return
    from distlaw.report.study_tables import status_table

    if not (watch and sys.stdout.isatty()):
        console().print(status_table(found, study=out))
        return
    from rich.live import Live

    try:
        with Live(status_table(found, study=out), console=console(), auto_refresh=False) as live:
            while found.done < found.runs:
                time.sleep(2)
                found = look(store, seen)
                live.update(status_table(found, study=out), refresh=True)
    except KeyboardInterrupt:
        pass


@study.command
def stop(out: str) -> None:
    """Ask whoever works on a study to write checkpoints and stop.

    Args:
        out: Folder or URL of the study.
    """
    from distlaw.sweep.status import request_stop
    from distlaw.sweep.store import Store

    request_stop(Store(out))
    console().print("asked to stop; `distlaw study resume` goes on", markup=False)


@study.command
def table(source: Annotated[str, Parameter(name="DIR")], *, out: Path, json: bool = False) -> None:
    """Write the table of a study's finished runs: what `distlaw fit` reads.

    Args:
        source: Folder or URL of the study.
        out: Table to write (.csv, .parquet or .jsonl).
        json: Print JSON.
    """
    require_training()
    from distlaw.runs import write_runs

    found, notes, _ = _table(source)
    write_runs(found, out)
    content = {"table": str(out), "runs": len(found), "distilled": int(found.distilled.sum())}
    if json:
        print_json(content)
    else:
        text = f"{counted(content['runs'], 'run')} ({content['distilled']} distilled) written to {out}"
        console().print(text, markup=False, soft_wrap=True)
    print_warnings(notes)


@study.command
def report(
    source: Annotated[str, Parameter(name="DIR")],
    *,
    out: Path,
    resamples: WholeNumber = 400,
    seed: int = 0,
    rows: TableOptions = TableOptions(),
    json: bool = False,
) -> None:
    """Examine a study: how laws extrapolate, seed noise, worth of a distilled token, the capacity gap, verdicts.

    Writes report.md with its figures, evidence.json, runs.csv and, where the fit converges, law.json into a folder.

    Args:
        source: Folder or URL of the study, or a table of runs (.csv, .parquet or .jsonl).
        out: Folder to write to; made if need be.
        resamples: Of fits, and draws of seed noise, behind the intervals.
        seed: Of starts, resamples and draws.
        json: Print the evidence as JSON.
    """
    from distlaw.evidence import examine
    from distlaw.report.evidence_page import write_evidence
    from distlaw.report.evidence_tables import evidence_tables
    from distlaw.runs import write_runs

    choices = None
    if Path(source).is_file():
        runs, about = rows.read(Path(source)), Path(source).name
        notes = runs.warnings()
    else:
        require_training()
        from distlaw.sweep.adaptive import read_choices
        from distlaw.sweep.store import Store

        runs, notes, about = _table(source)
        choices = read_choices(Store(source), notes.append)
    tell = (lambda stage: print(stage, file=sys.stderr, flush=True)) if sys.stderr.isatty() else None
    found = examine(runs, seed=seed, resamples=resamples, progress=tell)
    write_evidence(found, out, title=f"Study: {about}", choices=choices)
    write_runs(runs, out / "runs.csv")
    notes += _write_law(runs, found.form, out / "law.json", about, seed)
    if json:
        print_json(found.as_dict())
    else:
        console().print(evidence_tables(found, choices))
    print_warnings(notes)


def _write_law(runs: "Runs", form: str, path: Path, about: str, seed: int) -> list[str]:
    """The law of all runs, both laws fitted together, in the form that predicted best; notes if there is none."""
    from distlaw.fit import NOT_CONVERGED, FitSpec, fit_law, write_law

    name, _, held = (form or "supervised").partition(" + ")
    joint = name != "supervised"
    spec = FitSpec(form=name, joint=joint, consistency=1.0 if held == "consistency" else 0.0, seed=seed)
    try:
        fit = fit_law(runs, spec)
    except ValueError as error:
        return [f"no law.json was written: {error}"]
    if fit.status == NOT_CONVERGED:
        return ["no law.json was written: the fit did not converge"]
    write_law(fit, path, name=path.stem, source=f"fitted to all {counted(len(runs), 'run')} of the study", data=about)
    return []


def _table(source: str) -> tuple["Runs", list[str], str]:
    from distlaw.sweep.collect import collect_all
    from distlaw.sweep.drive import open_study
    from distlaw.sweep.state import State

    found, store = open_study(source)
    state = State(store=store).look()
    runs, notes = collect_all(found, state.records)
    return runs, [*state.notes, *notes], found.about or source
