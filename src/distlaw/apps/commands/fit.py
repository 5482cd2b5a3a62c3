"""`distlaw fit`: a law from a table of runs."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from distlaw.apps.options import Quantity, TableOptions, name_value_pairs, number_of
from distlaw.apps.output import console, print_json, print_warnings, progress_bar


def fit(
    table: Path,
    *,
    rows: TableOptions = TableOptions(),
    kind: Literal["supervised", "distillation"] | None = None,
    form: str | None = None,
    supervised_law: str | None = None,
    holdout: str | None = None,
    loss: Literal["huber", "lad", "log-squared", "squared"] = "huber",
    delta: Quantity = 1e-3,
    fix: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    tie: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    below: float = 1.0,
    consistency: bool = False,
    bootstrap: int | None = None,
    clusters: Literal["runs", "teacher", "student", "seed", "group"] = "runs",
    intervals: Literal["percentile", "bca"] = "percentile",
    starts: int = 128,
    max_error: float = 0.1,
    seed: int = 0,
    out: Path | None = None,
    figure: Path | None = None,
    name: str | None = None,
    data: str = "as in the fitted runs",
    json: bool = False,
) -> int:
    """Fit a scaling law to runs, with intervals, and say what the runs do not determine.

    The law file that --out writes goes wherever a law's name goes: `plan --law law.json` then gives intervals too. A
    fit that does not converge writes nothing and exits with status 1.

    Args:
        table: CSV, Parquet or JSONL of runs (see `distlaw check`).
        kind: Which law to fit: runs without a teacher make a supervised law, runs with one a distillation law. By
            default what the table has: a distillation law where enough of its runs have a teacher.
        form: Functional form: supervised with all six coefficients free, distillation (eq. 8), exponential,
            effective-tokens, effective-tokens-best-teacher or peaked-tokens. By default the one with the fewest
            coefficients that no other beats clearly on runs kept out; --fix and --tie leave that choice to you too.
        supervised_law: What a distillation law rests on: the supervised part of a law or law file, `first` for one
            fitted to the supervised runs of the table, or `joint` for both laws fitted to all of its runs at once. By
            default joint where the supervised runs determine a law, and the default law of this program otherwise.
        holdout: Runs to keep out of the fit and predict, as 'student_loss <= 2.3'.
        loss: huber and lad (least absolute) and log-squared on log losses, squared on losses themselves.
        delta: Where the Huber loss turns linear, in log loss.
        fix: Hold a coefficient at a value, as gamma=1; may be given again.
        tie: Make a coefficient equal another, as beta=alpha; may be given again.
        below: Factor on the weight of runs that ended worse than the law says; less than 1 where some are under-tuned.
        consistency: Hold a distillation law to infinite-data consistency (appendix E.6).
        bootstrap: Resamples for the intervals; 0 gives none. By default 4096, and fewer for more than 366 runs, down to
            512.
        clusters: Resample runs, or all runs of a teacher, student, seed or group together.
        intervals: percentile, or bca (bias-corrected and accelerated), at the price of a refit a run or cluster.
        starts: Starts of the search.
        max_error: A law that misses its own runs by a larger mean relative error is refused; 0.1 is 10 %.
        seed: Of starts and resamples.
        out: Write a law file (.json).
        figure: Draw the fit and its extrapolation into this file (.png, .svg or .pdf).
        name: What the law is called in it; the file's name by default.
        data: What text and tokenizer the losses are on, for the law file.
        json: Print JSON.
    """
    from distlaw.apps.fit_run import NotConvergedError, run_fit, wanted_law
    from distlaw.fit import FitSpec, NotDescribedError

    if out is not None and (out.suffix != ".json" or not out.parent.is_dir()):
        raise ValueError(f"--out '{out}' must end in .json and lie in a folder that exists")
    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    spec = FitSpec(
        loss=loss,
        delta=delta,
        fixed={k: number_of(v, k) for k, v in name_value_pairs(fix, "--fix", "gamma=1")},
        tied=dict(name_value_pairs(tie, "--tie", "beta=alpha")),
        below=below,
        consistency=1.0 if consistency else 0.0,
        starts=starts,
        clusters=clusters,
        intervals=intervals,
        seed=seed,
    )
    runs = rows.read(table)
    wanted = wanted_law(kind, form, supervised_law)
    try:
        with progress_bar("fits") as report:
            done = run_fit(
                runs, spec, wanted, resamples=bootstrap, holdout=holdout, max_error=max_error, progress=report
            )
    except NotDescribedError as error:
        raise ValueError(f"{error}; --max-error lets a larger error through") from None
    except NotConvergedError as error:
        print(f"distlaw: {error}", file=sys.stderr)
        return 1
    if done.ok and figure is not None:
        from distlaw.report.figures import save_figure
        from distlaw.report.fit_figures import fit_figure

        save_figure(fit_figure(done.result, runs, held_out=done.kept_out), figure)
    if done.ok and out is not None:
        done.write(out, name=name or out.stem, table=table.name, data=data)
    content = done.content(law_file=out if done.ok else None)
    if json:
        print_json(content)
    else:
        from distlaw.report.fit_tables import fit_table

        console().print(content["answer"], markup=False, soft_wrap=True)
        for sentence in done.choice.sentences:
            console().print(sentence, markup=False, soft_wrap=True)
        console().print(fit_table(content, runs=table.name))
        print_warnings([str(caution) for caution in done.warnings])
        if not done.ok:
            print("distlaw: the fit did not converge: no start came to rest, and there is no law", file=sys.stderr)
    return 0 if done.ok else 1
