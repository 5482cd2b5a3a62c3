"""An adaptive study over the runs of studies/tiny, as they were measured: what it asks for, knows and saves.

python benchmarks/adaptive.py

A run of a study depends on its config alone, so a study that chooses its runs would have trained the very runs that the
full grid holds; here they are taken from its table. The target and whatever is trained on as much compute are kept out.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from distlaw.fit import FitSpec, fit_law
from distlaw.runs import read_runs
from distlaw.sweep.adaptive import Choices, choose_and_run
from distlaw.sweep.collect import collect
from distlaw.sweep.protocols import Run
from distlaw.sweep.study import Adaptive, Study, read_study

FOLDER = Path(__file__).parents[1] / "studies" / "tiny"
TARGETS = ("held out", "held out, strongest teacher")
DEVIATION = 0.02


def records_of(study: Study) -> dict[str, dict[str, Any]]:
    """The table's rows by run: it lists them in the study's order."""
    table = read_runs(FOLDER / "runs.csv")
    assert len(table) == len(study.runs), "studies/tiny/runs.csv and study.toml differ"
    names = ("student_params", "student_tokens", "student_loss", "teacher_loss", "seed")
    return {
        run.id: {name: float(getattr(table, name)[i]) for name in names} | {"name": run.id}
        for i, run in enumerate(study.runs)
    }


def main() -> None:
    """Choose runs for each target, and compare with what the full grid says and with what was measured."""
    whole = read_study(str(FOLDER / "study.toml"))
    records = records_of(whole)
    pool = replace(whole, protocols=tuple(p for p in whole.protocols if p.name not in TARGETS))
    print("target: student, tokens, teacher | runs, FLOPs, saved | predicted | full grid | measured")
    for run, names in whole.runs.items():
        if run.teacher is None or not set(names) & set(TARGETS):
            continue
        N, D, L_T = whole.shape(run).n_params, run.tokens, records[run.teacher.id]["student_loss"]
        goal = Adaptive(student_params=N, student_tokens=D, teacher_loss=L_T, deviation=DEVIATION)
        study = replace(pool, adaptive=goal)
        done: dict[str, dict[str, Any]] = {}

        def take(runs: Collection[Run], done: dict[str, dict[str, Any]] = done) -> dict[str, dict[str, Any]]:
            for one in runs:
                for wanted in (one.teacher, one):
                    if wanted is not None:
                        done[wanted.id] = records[wanted.id]
            return done

        def tell(so_far: Choices) -> None:
            step = so_far.rounds[-1]
            known = "" if step.deviation is None else f" {step.prediction:.4f} ± {step.deviation:.4f}"
            print(f"    {step.done} runs, {step.flops:.3g} FLOPs{known}")

        found = choose_and_run(study, take, telling=tell)
        assert found is not None
        last = found.rounds[-1]
        table = collect(pool, {run.id: records[run.id] for run in pool.runs})
        full = fit_law(table, FitSpec(form=goal.form, joint=True, resamples=0)).law
        says = float(full.student_loss(N, D, L_T))  # pyright: ignore[reportAttributeAccessIssue]
        print(
            f"{N:,} on {D:,} under {L_T:.3f} | {last.done} of {len(pool.runs)}, {found.flops:.3g},"
            f" {1 - found.flops / found.all_flops:.0%} | {last.prediction:.4f} ± {last.deviation:.4f} | {says:.4f} |"
            f" {records[run.id]['student_loss']:.4f}"
        )


if __name__ == "__main__":
    main()
