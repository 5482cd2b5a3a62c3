"""Fuzz the command: `python tests/fuzz/run.py --cases 100000 --seed 0`, or `--target law-files`.

Prints faults in 100,000 cases by target, and every site of a fault with the smallest input that reached it, whose
files are kept in build/fuzz. Exits with 1 where there is a fault. `--only NUMBER` tries one case of one target again.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.fuzz import file_targets, other_targets  # noqa: E402
from tests.fuzz.harness import Case, Fault, Target, numbered, outcome  # noqa: E402

TARGETS = {kind.name: kind for kind in (*file_targets.TARGETS, *other_targets.TARGETS)}
_MEMORY = 6 * 2**30


@dataclass
class Found:
    """A site of a fault."""

    fault: Fault
    count: int = 0
    number: int = -1
    size: float = float("inf")
    shown: str = ""


@dataclass
class Tally:
    """What came of a target's cases."""

    cases: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    sites: dict[str, Found] = field(default_factory=dict)
    cpu_seconds: float = 0.0


def fuzz(target: Target, cases: range, seed: int, folder: Path, kept: Path | None = None) -> Tally:
    """Try cases of a target.

    Args:
        target: The target.
        cases: Numbers of the cases.
        seed: Of all of them.
        folder: For files of a case.
        kept: Where the files of the smallest input of each site are kept.
    """
    target.prepare(folder / "shared")
    tally, began = Tally(cases=len(cases)), time.process_time()
    for number in cases:
        case = numbered(target, seed, number, folder / "case")
        status, fault = outcome(case)
        tally.refused += status == 2
        if fault is not None:
            tally.kinds[fault.kind] += 1
            found = tally.sites.setdefault(f"{fault.kind}: {fault.site}", Found(fault))
            found.count += 1
            size = _size(case, folder / "case")
            if size < found.size:
                found.size, found.number, found.shown, found.fault = size, number, case.shown, fault
                if kept is not None:
                    place = kept / target.name / str(list(tally.sites.values()).index(found))
                    shutil.rmtree(place, ignore_errors=True)
                    shutil.copytree(folder / "case", place, symlinks=True)
    tally.cpu_seconds = time.process_time() - began
    return tally


def _size(case: Case, folder: Path) -> int:
    return len(case.shown) + sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def _print(name: str, tally: Tally) -> None:
    faults = sum(tally.kinds.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kinds.items()))
    rate = 1e5 * tally.kinds["traceback"] / tally.cases
    print(
        f"{name}: {tally.cases} cases, {rate:,.0f} tracebacks and {1e5 * faults / tally.cases:,.0f} faults in 100,000"
        f" ({kinds or 'none'}); {100 * tally.refused / tally.cases:.0f} % refused, {tally.cpu_seconds:.0f} s",
        flush=True,
    )
    for site, found in sorted(tally.sites.items(), key=lambda item: -item[1].count):
        print(f"  {found.count} x {site}\n      {found.fault.said[:240]!r}")
        print(f"      --only {found.number}: {found.shown[:240]}")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, hard))
    names = asked.target or list(TARGETS)
    total = sum(TARGETS[name].cost for name in names)
    kept, work = ROOT / "build" / "fuzz", Path(tempfile.mkdtemp(prefix="distlaw-fuzz-"))
    everything: Counter[str] = Counter()
    for name in names:
        cases = range(max(round(asked.cases * TARGETS[name].cost / total), 1))
        if asked.only is not None:
            cases = range(asked.only, asked.only + 1)
        tally = fuzz(TARGETS[name](), cases, asked.seed, work / name, kept)
        everything += tally.kinds
        everything["cases"] += tally.cases
        _print(name, tally)
    shutil.rmtree(work, ignore_errors=True)
    cases = everything.pop("cases")
    print(
        f"all: {cases} cases, {1e5 * everything['traceback'] / cases:,.0f} tracebacks and"
        f" {1e5 * sum(everything.values()) / cases:,.0f} faults in 100,000"
    )
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
