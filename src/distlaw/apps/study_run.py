"""Running a study from the command line: where jobs are done, what is shown meanwhile, and how it is stopped."""

import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from distlaw.apps.commands.train import CACHE
from distlaw.apps.options import WholeNumber
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.runs import counted

if TYPE_CHECKING:
    from distlaw.sweep.adaptive import Choices
    from distlaw.sweep.drive import Outcome
    from distlaw.sweep.local import Executor
    from distlaw.sweep.protocols import Run
    from distlaw.sweep.state import State
    from distlaw.sweep.study import Study

_LINE_EVERY = 30.0  # seconds between lines of progress where there is no terminal


@Parameter(name="*", group="Workers")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Where jobs are done.

    Attributes:
        executor: local (processes of this machine) or ray (a cluster that is running).
        workers: Jobs at a time; 0: one a core of this machine or, under Ray, of the cluster.
        address: Of the Ray cluster; auto finds the one of this machine, local starts one.
        cache: Folder of tokenised data, on every machine.
    """

    executor: Literal["local", "ray"] = "local"
    workers: WholeNumber = 0
    address: str = "auto"
    cache: Path = CACHE


def run_study(found: "Study", out: str, where: Where, *, json: bool) -> int:
    """Run a study and print how it ended; gives the exit status.

    Args:
        found: The study.
        out: Its folder or URL.
        where: Where jobs are done.
        json: Print JSON.
    """
    outcome, _, choices = do_study(found, out, where)
    if json:
        print_json({"study": out, **vars(outcome), "adaptive": choices})
    else:
        from distlaw.report.study_tables import choices_table, outcome_lines

        print_sentences(*outcome_lines(outcome, study=out))
        if choices is not None:
            console().print(choices_table(choices))
    print_warnings(outcome.notes)
    return 1 if outcome.failed else 0


def do_study(
    found: "Study", out: str, where: Where, *, shared: bool = False
) -> "tuple[Outcome, State, Choices | None]":
    """Run a study, showing how far it is; gives how it ended, its state, and how runs were chosen if they were.

    Args:
        found: The study.
        out: Its folder or URL.
        where: Where jobs are done.
        shared: Whether the folder is one of several studies, whose runs need no word.

    Raises:
        ValueError: The study, its data or its folder will not do.
    """
    from distlaw.sweep.adaptive import CHOICES, choose_and_run, read_choices, write_choices
    from distlaw.sweep.collect import others_than, said_of_others
    from distlaw.sweep.drive import Driver, begin, require_data

    cache = where.cache.expanduser().resolve()
    _ = found.runs  # refused before anything starts
    require_data(found, cache, _preparing())
    notes: list[str] = []
    store = begin(found, out, note=notes.append)
    print_warnings(notes)
    with _asked_to_stop() as asked, _showing(store, out) as looking:
        hands = _executor(where, out, found.limits.processes_per_run)
        try:
            driver = Driver(study=found, store=store, executor=hands, cache=cache, looking=looking, asked=asked)
            if not shared and (others := others_than(found, driver.state.look().records)):
                driver.state.notes.append(f"the folder has {said_of_others(others)}; they stay in its table")
            outcome: Outcome | None = None
            choices = None
            if found.adaptive is None:
                outcome = driver.run(found.runs)
            else:

                def do(runs: "Collection[Run]") -> Mapping[str, Mapping[str, Any]] | None:
                    nonlocal outcome
                    outcome = driver.run(runs)
                    return None if outcome.ended == "stopped" else driver.state.records

                def tell(so_far: "Choices") -> None:
                    write_choices(store, so_far)
                    _tell(so_far)

                def damaged(wrong: str) -> None:
                    store.set_aside(CHOICES)
                    print_warnings([f"{wrong}: it is in quarantine, and {CHOICES} is written again"])

                choices = choose_and_run(found, do, before=read_choices(store, damaged), telling=tell)
        finally:
            hands.close()
    assert outcome is not None
    return outcome, driver.state, choices


def _executor(where: Where, out: str, processes: int) -> "Executor":
    if where.executor == "ray":
        from distlaw.sweep.cluster import RayCluster

        return RayCluster(where.address, workers=where.workers, processes_per_run=processes)
    from distlaw.sweep.local import LocalPool
    from distlaw.sweep.store import Store

    folder = Store(out).local
    return LocalPool(
        where.workers or max(cores() // processes, 1),
        log=None if folder is None else folder / "workers.log",
        processes_per_run=processes,
    )


def _tell(so_far: "Choices") -> None:
    step = so_far.rounds[-1]
    known = "" if step.deviation is None else f", target {step.prediction:.4f} ± {step.deviation:.4f} nats"
    done = counted(step.done, "run")
    print(f"{done}, {step.flops:.3g} FLOPs{known}: {step.chosen} more", file=sys.stderr, flush=True)


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
        from distlaw.report.study_tables import time_left

        def line(_state: "State") -> None:
            if due(_LINE_EVERY):
                at = look(store, watch)
                left = "" if at.seconds_left is None else f", {time_left(at.seconds_left)}"
                text = f"{at.done} of {counted(at.runs, 'run')} done, {counted(len(at.active), 'job')} under way{left}"
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


def cores() -> int:
    """Cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
