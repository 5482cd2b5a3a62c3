"""`distlaw suggest`: which run to do next."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

from distlaw.apps.options import Quantity, TableOptions, WholeNumber
from distlaw.apps.output import console, print_json, print_warnings
from distlaw.runs import one_line, parse_quantity

if TYPE_CHECKING:
    from distlaw.fit import FitResult, FitSpec
    from distlaw.fit.suggest import Candidates, Points
    from distlaw.laws import SupervisedLaw
    from distlaw.runs import Runs

_EXAMPLE = "student_params=1B student_tokens=100B teacher_loss=2.1"


def suggest(
    table: Path,
    *,
    rows: TableOptions = TableOptions(),
    candidates: Path,
    at: Annotated[tuple[str, ...], Parameter(negative=())],
    target: Literal["prediction", "verdict"] = "prediction",
    batch: WholeNumber = 1,
    budget: Quantity | None = None,
    form: str | None = None,
    supervised_law: str | None = None,
    starts: WholeNumber = 128,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Choose what to run next: of the candidates, those that tell most per FLOP about a prediction or a verdict.

    A law is fitted to the runs done; each suggestion comes with the standard deviation of the target that is expected
    after it, and what the same FLOPs would bring if spent on the cheapest candidates. Where the runs are too few for a
    fit, the error says which candidates to begin with. A fit that does not converge exits with status 1.

    Args:
        table: CSV, Parquet or JSONL of the runs done (see `distlaw check`).
        candidates: Table of runs that could be done, with the same columns but student_loss. A row costs its compute
            or, where that is empty, 3 F(N_S) D_S and, with teacher_params, the teacher's logits; the training of a
            teacher that does not exist yet goes into compute.
        at: Where the target is, as "student_params=1B student_tokens=100B teacher_loss=2.1"; may be given again.
        target: prediction (the student's loss there), or verdict (whether distilling beats training without a teacher
            there).
        batch: Runs to suggest; each takes account of those before it.
        budget: Most FLOPs that they may cost together.
        form: Functional form of the law: distillation (eq. 8), exponential, effective-tokens,
            effective-tokens-best-teacher, peaked-tokens or supervised; by default the one that `fit` chooses.
        supervised_law: What a distillation law rests on: the supervised part of a law or law file, taken as exact,
            `first` for one fitted to the supervised runs of the table, or `joint` for one fitted to them at once; then
            supervised candidates count too. By default joint where these runs determine a law.
        starts: Starts of the search.
        seed: Of the starts.
        json: Print JSON.
    """
    from distlaw.apps.fit_run import law_under, wanted_law
    from distlaw.fit import AT_BOUND, NOT_CONVERGED, Caution, FitSpec, choose, description, require_described
    from distlaw.fit.suggest import read_candidates
    from distlaw.fit.suggest import suggest as next_runs

    points = _points(at)
    runs = rows.read(table)
    possible = read_candidates(candidates, columns=rows.said, units=runs.units)
    budget = float("inf") if budget is None else budget
    kind = None if form is not None else "supervised" if np.isnan(points.teacher_loss).all() else "distillation"
    asked = FitSpec(starts=starts, resamples=0, seed=seed)
    choice = choose(runs, asked, wanted_law(kind, form, supervised_law))
    spec, (supervised, under) = choice.spec, law_under(choice.rests_on, runs)
    result = _fit(runs, spec, supervised, possible, budget)
    require_described(result)
    if result.status == NOT_CONVERGED:
        print("distlaw: the fit did not converge: no start came to rest, and nothing can be suggested", file=sys.stderr)
        return 1
    found = next_runs(result, runs, possible, points, target=target, batch=batch, budget=budget)
    cautions = [*description(result), *under, *result.warnings, *possible.warnings]
    if result.status == AT_BOUND:
        text = (
            f"on a bound of the search: {', '.join(result.at_bound)}; the deviations are those near this fit, and fits"
            " that are nearly as good may lie farther off"
        )
        cautions.append(Caution("at-bound", text))
    if target == "verdict" and supervised is not None:
        text = "the verdict takes the supervised law as exact: --supervised-law joint does not"
        cautions.append(Caution("law-taken-as-exact", text))
    content: dict[str, Any] = {
        "choice": choice.content(),
        "table": table.name,
        "candidates": candidates.name,
        "runs": result.residuals.size,
        "form": spec.form,
        "joint": spec.joint,
        "target": target,
        "at": [_place(points, i) for i in range(len(points))],
        "before": asdict(found[0].before),
        "suggestions": [
            {
                "row": one.position + 1,
                **_place(possible, one.position),
                "flops": one.flops,
                "total_flops": one.total_flops,
                "after": asdict(one.after),
                "cheapest_first": asdict(one.cheapest),
            }
            for one in found
        ],
        "warnings": [asdict(caution) for caution in cautions],
    }
    content = {"answer": _answer(content), **content}
    if json:
        print_json(content)
    else:
        for line in (content["answer"], *choice.sentences):
            console().print(line, markup=False, soft_wrap=True)
        from distlaw.report.tables import suggest_table

        console().print(suggest_table(content))
        print_warnings([str(caution) for caution in cautions])
    return 0


def _fit(
    runs: "Runs", spec: "FitSpec", supervised: "SupervisedLaw | None", candidates: "Candidates", budget: float
) -> "FitResult":
    """The fit; runs that cannot determine it are refused with the candidates to begin with."""
    from distlaw.fit import fit_law
    from distlaw.fit.suggest import space_filling
    from distlaw.fit.trials import free_in

    try:
        return fit_law(runs, spec, supervised=supervised)
    except ValueError as error:
        distilled = spec.form != "supervised"
        of_use = np.flatnonzero(spec.joint | (np.isnan(candidates.teacher_loss) != distilled))
        done = runs.select(spec.joint | (runs.distilled == distilled))
        count = max(free_in(spec) + 3 - len(done), 3)
        chosen = space_filling(candidates.select(of_use), count, done=done, budget=budget)
        if not chosen:
            raise ValueError(f"{error}; and no candidate is of its kind and affordable") from None
        rows = ", ".join(str(of_use[i] + 1) for i in chosen)
        total = candidates.flops[of_use][chosen].sum()
        hint = f"begin with candidates that lie far apart: rows {rows}, {total:.3g} FLOPs together"
        raise ValueError(f"{error}; {hint}") from None


def _answer(content: dict[str, Any]) -> str:
    """Which runs to do next, and what is expected of them."""
    runs, before = content["suggestions"], content["before"]
    last = runs[-1]
    rows = ", ".join(str(one["row"]) for one in runs)
    if content["target"] == "verdict":
        what, key = "the probability of reading the verdict wrongly", "wrong_verdict"
    else:
        what, key = "the standard deviation of the predicted loss", "deviation"
    candidates = f"candidate{'s' if len(runs) > 1 else ''} {rows}"
    return (
        f"Run {candidates} next ({last['total_flops']:.3g} FLOPs): {what} is expected to fall from {before[key]:.3%} to"
        f" {last['after'][key]:.3%}, and to {last['cheapest_first'][key]:.3%} with as many FLOPs spent on the cheapest"
        " candidates instead."
    )


def _points(at: tuple[str, ...]) -> "Points":
    from distlaw.fit.suggest import Points

    names = ("student_params", "student_tokens", "teacher_loss")
    rows = []
    for text in at:
        parts = [part.partition("=") for part in text.split()]
        given = {name: parse_quantity(value) for name, sign, value in parts if sign}
        if len(given) < len(parts) or not set(names[:2]) <= set(given) <= set(names):
            raise ValueError(f"--at '{one_line(text, 80)}' does not say where, as '{_EXAMPLE}'")
        rows.append([given.get(name, float("nan")) for name in names])
    N, D, L_T = np.array(rows).T
    return Points(student_params=N, student_tokens=D, teacher_loss=L_T)


def _place(points: "Points", i: int) -> dict[str, float]:
    return {name: float(getattr(points, name)[i]) for name in ("student_params", "student_tokens", "teacher_loss")}
