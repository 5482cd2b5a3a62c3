"""`distlaw compare`: fits of one table side by side."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from distlaw.apps.commands.isoflop import profile_content
from distlaw.apps.options import ModelSize, Quantity, TableOptions, name_value_pairs, number_of
from distlaw.apps.output import console, print_json, print_warnings, progress_bar

if TYPE_CHECKING:
    from distlaw.fit import FitSpec, Wanted
    from distlaw.fit.compare import Comparison, Report, Split, Variant
    from distlaw.fit.holdout import Fold
    from distlaw.laws import SupervisedLaw
    from distlaw.runs import Runs


def compare(
    table: Path,
    *,
    rows: TableOptions = TableOptions(),
    kind: Literal["supervised", "distillation"] | None = None,
    form: str | None = None,
    supervised_law: str | None = None,
    folds: str = "rolling,teacher,student",
    fix: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    compute: Quantity | None = None,
    student_params: ModelSize | None = None,
    student_tokens: Quantity | None = None,
    teacher_loss: Quantity | None = None,
    tolerance: float = 0.1,
    bootstrap: int = 200,
    starts: int = 128,
    seed: int = 0,
    figure: Path | None = None,
    json: bool = False,
) -> int:
    """Fit one table in every way that is in use, and lay the answers side by side.

    The losses (Huber with delta 1e-3 and 1e-4, least absolute, squared log, squared), free against tied exponents, and
    for a supervised law IsoFLOP profiles against the law; for a distillation law every functional form by its error on
    runs kept out, over the same folds. Where nothing converges the status is 1.

    Args:
        table: CSV, Parquet or JSONL of runs (see `distlaw check`).
        kind: Which law: runs without a teacher make a supervised law, runs with one a distillation law; by default what
            the table has, as in `fit`.
        form: Functional form whose losses and exponents are compared; by default the one that `fit` chooses.
        supervised_law: What a distillation law rests on: the supervised part of a law or law file, or first for one
            fitted to the supervised runs of the table; by default first where these determine a law.
        folds: What forms are compared over: rolling (by student compute), teacher, student (leave one out).
        fix: Hold a coefficient at a value in all fits, as gamma=1; may be given again.
        compute: FLOPs at which a supervised law is asked for tokens per parameter; by default ten times the largest of
            the runs, and Chinchilla's 5.76e23.
        student_params: Size of the student whose loss a distillation law is asked for; by default one of ten times the
            largest compute of the runs, with their best teacher.
        student_tokens: Its tokens.
        teacher_loss: The loss of its teacher, nats per token.
        tolerance: An IsoFLOP profile ends at a gap in log compute wider than this.
        bootstrap: Resamples of each fit, for intervals and coverage; 0 gives none.
        starts: Starts of each search.
        seed: Of starts and resamples.
        figure: Draw the answers, or the held-out errors of the forms, into this file (.png, .svg or .pdf).
        json: Print JSON.
    """
    from distlaw.apps.compare_answer import answer
    from distlaw.apps.fit_run import wanted_law
    from distlaw.fit import NOT_CONVERGED, FitSpec
    from distlaw.fit.compare import compare as side_by_side

    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    point = (student_params and student_params.params, student_tokens, teacher_loss)
    given = [value for value in point if value is not None]
    if len(given) not in (0, 3):
        raise ValueError("--student-params, --student-tokens and --teacher-loss go together")
    wanted = wanted_law(kind, form, supervised_law)
    spec = FitSpec(
        fixed={name: number_of(value, name) for name, value in name_value_pairs(fix, "--fix", "gamma=1")},
        starts=starts,
        resamples=bootstrap,
        seed=seed,
    )
    runs = rows.read(table)
    spec, compared, supervised, because = _law_compared(runs, spec, wanted)
    if compute is not None and compared == "distillation":
        raise ValueError(
            "--compute asks a supervised law; ask a distillation law about a student with --student-params"
        )
    if given and compared == "supervised":
        raise ValueError("--teacher-loss asks a distillation law; ask a supervised law about a budget with --compute")
    with progress_bar("fits") as progress:
        report = side_by_side(
            runs,
            spec,
            supervised=supervised,
            folds=tuple(part.strip() for part in folds.split(",")),
            computes=() if compute is None else (compute,),
            points=((given[0], given[1], given[2]),) if given else (),
            tolerance=tolerance,
            progress=progress,
        )
    content = {"answer": answer(report), "because": because, **report_content(report, spec.form)}
    ok = any(variant.status != NOT_CONVERGED for variant in report.losses)
    if figure is not None:
        from distlaw.report.figures import save_figure
        from distlaw.report.fit_figures import comparison_figure

        save_figure(comparison_figure(report), figure)
    if json:
        print_json(content)
    else:
        from distlaw.report.fit_tables import comparison_tables

        for line in (content["answer"], *because):
            console().print(line, markup=False, soft_wrap=True)
        for number, each in enumerate(comparison_tables(content, runs=table.name)):
            console().print(*([] if number == 0 else [""]), each, sep="\n")
        if figure is not None:
            console().print(f"Figure: {figure}", markup=False, soft_wrap=True)
        print_warnings(report.warnings)
        if not ok:
            print("distlaw: no fit converged: no start came to rest", file=sys.stderr)
    return 0 if ok else 1


def _law_compared(
    runs: "Runs", spec: "FitSpec", wanted: "Wanted"
) -> "tuple[FitSpec, str, SupervisedLaw | None, tuple[str, ...]]":
    """How to fit, the kind, the supervised law under a distillation law, and why.

    A supervised law is compared with all exponents free beside those tied and fixed, so only its kind is chosen.

    Raises:
        ValueError: The runs do not determine the law under the forms, or its fit did not converge.
    """
    from distlaw.apps.fit_run import law_under
    from distlaw.fit import choose, choose_kind

    if wanted.rests_on == "joint":
        raise ValueError("a joint fit is not compared: rest the forms on one supervised law")
    kind, because = choose_kind(runs, spec, wanted)
    if kind == "supervised":
        return replace(spec, form="supervised"), kind, None, (f"kind: {because}",) if because else ()
    choice = choose(runs, spec, wanted, joint=False)
    return choice.spec, kind, law_under(choice.rests_on, runs)[0], choice.sentences


def report_content(report: "Report", form: str) -> dict[str, Any]:
    """A report as JSON shows it."""
    names = ("student_params", "student_tokens", "teacher_loss")
    isoflop = report.isoflop
    return {
        "kind": report.kind,
        "form": form,
        "runs": report.runs,
        "computes": report.computes,
        "points": [dict(zip(names, point, strict=True)) for point in report.points],
        "losses": [_variant(variant) for variant in report.losses],
        "exponents": [_variant(variant) for variant in report.exponents],
        "isoflop": isoflop
        and {
            "compute_from": isoflop.compute_from,
            "profiles": [profile_content(profile) for profile in isoflop.profiles],
            "splits": [_split(split, report.computes) for split in isoflop.splits],
            "reason": isoflop.reason or None,
        },
        "forms": {kind: [_form(row) for row in rows] for kind, rows in report.forms.items()},
        "warnings": report.warnings,
    }


def _variant(variant: "Variant") -> dict[str, Any]:
    return {
        "name": variant.name,
        "status": variant.status,
        "coefficients": variant.coefficients,
        "free_coefficients": variant.free,
        "objective": variant.objective,
        "train_error": variant.train_error,
        "held_out_error": variant.held_out_error,
        "held_out_interval_90": variant.held_out_interval,
        "answers": [
            {"value": value, "interval_90": interval}
            for value, interval in zip(variant.answers, variant.answer_intervals, strict=True)
        ],
    }


def _split(split: "Split", computes: tuple[float, ...]) -> dict[str, Any]:
    return {
        "name": split.name,
        "a": split.a,
        "a_interval_90": split.a_interval,
        "b": split.b,
        "b_interval_90": split.b_interval,
        "at": [
            {
                "compute": compute,
                "params": split.params[i],
                "params_interval_90": split.params_intervals[i],
                "tokens_per_param": split.tokens_per_param[i],
                "tokens_per_param_interval_90": split.tokens_per_param_intervals[i],
            }
            for i, compute in enumerate(computes)
        ],
    }


def _form(row: "Comparison") -> dict[str, Any]:
    return {
        "form": row.form,
        "free_coefficients": row.coefficients,
        "mean_error": row.mean_error,
        "interval_90": row.interval,
        "behind_interval_90": row.behind,
        "max_error": row.max_error,
        "coverage_90": row.coverage,
        "worst_fold": _fold(row.worst_fold),
        "folds": [_fold(fold) for fold in row.folds],
        "consistency_error": row.consistency_error,
        "limits": vars(row.limits),
        "status": row.status,
    }


def _fold(fold: "Fold") -> dict[str, Any]:
    return {
        "name": fold.name,
        "runs": fold.errors.size,
        "mean_error": float(fold.errors.mean()),
        "max_error": float(fold.errors.max()),
        "coverage_90": fold.coverage,
        "status": fold.status,
    }
