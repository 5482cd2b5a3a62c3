"""`distlaw study`: many runs from one file, on this machine or on a cluster."""

import json as json_module
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from distlaw.apps.commands.train import CACHE, require_training
from distlaw.apps.options import Hardware, WholeNumber
from distlaw.apps.output import console, plain, print_json, print_warnings

if TYPE_CHECKING:
    from distlaw.runs import Runs
    from distlaw.sweep.drive import Outcome
    from distlaw.sweep.local import Executor
    from distlaw.sweep.protocols import Run
    from distlaw.sweep.state import State
    from distlaw.sweep.study import Study

study = App(name="study", help="Many runs from one study file, ending in a table and a law.")

ExecutorName = Literal["local", "ray"]
_LINE_EVERY = 30.0  # seconds between lines of progress where there is no terminal


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
    found = outlook(read_study(name), workers=workers or _cores())
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
    executor: ExecutorName = "local",
    workers: WholeNumber = 0,
    address: str = "auto",
    cache: Path = CACHE,
    json: bool = False,
) -> int:
    """Run a study, from the start or from where it stopped.

    All state is in the study's folder: killed and started again, it goes on. The same command given twice, on one
    machine or on several that see the folder, shares the work.

    Args:
        name: Study file, or a preset: nano, tiny, small or paper.
        out: Folder of the study, or any URL that fsspec opens, as s3://bucket/study.
        executor: local (processes of this machine) or ray (a cluster that is running).
        workers: Jobs at a time; 0: one a core of this machine or, under Ray, of the cluster.
        address: Of the Ray cluster; auto finds the one of this machine, local starts one.
        cache: Folder of tokenised data, on every machine.
        json: Print how it ended as JSON.
    """
    require_training()
    from distlaw.sweep.study import read_study

    return _run(read_study(name), out, executor, workers, address, cache, json)


@study.command
def resume(
    out: str,
    *,
    executor: ExecutorName = "local",
    workers: WholeNumber = 0,
    address: str = "auto",
    cache: Path = CACHE,
    json: bool = False,
) -> int:
    """Go on with a study that was begun: `study run` with the study that the folder holds.

    Args:
        out: Folder or URL of the study.
        executor: local or ray.
        workers: Jobs at a time; 0: one a core.
        address: Of the Ray cluster.
        cache: Folder of tokenised data.
        json: Print how it ended as JSON.
    """
    require_training()
    from distlaw.sweep.drive import open_study

    return _run(open_study(out)[0], out, executor, workers, address, cache, json)


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
        text = f"{content['runs']} runs ({content['distilled']} distilled) written to {out}"
        console().print(text, markup=False, soft_wrap=True)
    print_warnings(notes)


@study.command
def report(
    source: Annotated[str, Parameter(name="DIR")],
    *,
    out: Path,
    resamples: WholeNumber = 400,
    seed: int = 0,
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
    from distlaw.report.evidence_figures import evidence_figures
    from distlaw.report.evidence_tables import evidence_markdown, evidence_tables
    from distlaw.report.figures import save_figure
    from distlaw.runs import read_runs, write_runs, written_whole

    name = Path(source).name
    if Path(source).is_file():
        runs, notes, about = read_runs(Path(source)), [], name
    else:
        require_training()
        runs, notes, about = _table(source)
    tell = (lambda stage: print(stage, file=sys.stderr, flush=True)) if sys.stderr.isatty() else None
    found = examine(runs, seed=seed, resamples=resamples, progress=tell)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out '{out}' cannot be made ({error.strerror})") from None
    text = [evidence_markdown(found, title=f"Study: {about}").rstrip(), ""]
    for figure_name, figure in evidence_figures(found).items():
        save_figure(figure, out / f"{figure_name}.png")
        text.append(f"![{figure_name}]({figure_name}.png)")
    with written_whole(out / "report.md", "report") as temporary:
        temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
    with written_whole(out / "evidence.json", "evidence") as temporary:
        temporary.write_text(json_module.dumps(plain(found.as_dict()), indent=1) + "\n", encoding="utf-8")
    write_runs(runs, out / "runs.csv")
    notes += _write_law(runs, found.form, out / "law.json", about, seed)
    if json:
        print_json(found.as_dict())
    else:
        console().print(evidence_tables(found))
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
    write_law(fit, path, name=path.stem, source=f"fitted to all {len(runs)} runs of the study", data=about)
    return []


def _table(source: str) -> tuple["Runs", list[str], str]:
    from distlaw.sweep.collect import collect
    from distlaw.sweep.drive import open_study
    from distlaw.sweep.state import State

    found, store = open_study(source)
    state = State(store=store).look()
    return collect(found, state.records), state.notes, found.about or source


def _run(found: "Study", out: str, executor: ExecutorName, workers: int, address: str, cache: Path, json: bool) -> int:
    from distlaw.sweep.adaptive import choose_and_run
    from distlaw.sweep.drive import Driver, begin, require_data

    cache = cache.expanduser().resolve()
    _ = found.runs  # refused before anything starts
    require_data(found, cache, _preparing())
    store = begin(found, out)
    with _asked_to_stop() as asked, _showing(store, out) as looking:
        hands = _executor(executor, workers, address, out, found.limits.processes_per_run)
        try:
            driver = Driver(study=found, store=store, executor=hands, cache=cache, looking=looking, asked=asked)
            outcome: Outcome | None = None
            choices = None
            if found.adaptive is None:
                outcome = driver.run(found.runs)
            else:

                def do(runs: "Collection[Run]") -> Mapping[str, Mapping[str, Any]] | None:
                    nonlocal outcome
                    outcome = driver.run(runs)
                    return None if outcome.ended == "stopped" else driver.state.records

                choices = choose_and_run(found, do, telling=_tell)
        finally:
            hands.close()
    assert outcome is not None
    content = {"study": out, **vars(outcome), "adaptive": choices}
    if json:
        print_json(content)
    else:
        from distlaw.report.study_tables import choices_table, outcome_lines

        for line in outcome_lines(outcome, study=out):
            console().print(line, markup=False, soft_wrap=True)
        if choices is not None:
            console().print(choices_table(choices))
    print_warnings(outcome.notes)
    return 1 if outcome.failed else 0


def _executor(name: ExecutorName, workers: int, address: str, out: str, processes: int) -> "Executor":
    if name == "ray":
        from distlaw.sweep.cluster import RayCluster

        return RayCluster(address, workers=workers, processes_per_run=processes)
    from distlaw.sweep.local import LocalPool
    from distlaw.sweep.store import Store

    folder = Store(out).local
    return LocalPool(
        workers or max(_cores() // processes, 1),
        log=None if folder is None else folder / "workers.log",
        processes_per_run=processes,
    )


def _tell(step: Any) -> None:  # noqa: ANN401
    known = "" if step.deviation is None else f", target {step.prediction:.4f} ± {step.deviation:.4f} nats"
    print(f"{step.done} runs, {step.flops:.3g} FLOPs{known}: {step.chosen} more", file=sys.stderr, flush=True)


def _preparing() -> Callable[[str, int], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda stage, done: print(f"\r{stage} {done:,}", end="", file=sys.stderr, flush=True)


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came: workers write checkpoints first. A second SIGINT does not wait for them."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _showing(store: Any, out: str) -> Iterator[Callable[["State"], None]]:  # noqa: ANN401
    """A live table on a terminal; elsewhere a line now and then."""
    from distlaw.sweep.lease import Watch
    from distlaw.sweep.status import INDEX
    from distlaw.sweep.status import status as look

    watch, last = Watch(), [0.0, 0.0]

    def due(every: float) -> bool:
        now = time.monotonic()
        if now - last[0] < max(every, 10 * last[1]) or store.read(INDEX) is None:
            return False
        last[0] = now
        return True

    if not sys.stderr.isatty():

        def line(_state: "State") -> None:
            if due(_LINE_EVERY):
                at = look(store, watch)
                left = "" if at.seconds_left is None else f", about {at.seconds_left / 60:.0f} min left"
                text = f"{at.done}/{at.runs} runs, {len(at.active)} jobs under way{left}"
                print(text, file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.live import Live

    from distlaw.report.study_tables import status_table

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:

        def draw(_state: "State") -> None:
            if due(1.0):
                live.update(status_table(look(store, watch), study=out), refresh=True)
                last[1] = time.monotonic() - last[0]  # a large study is looked at less often

        yield draw


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
