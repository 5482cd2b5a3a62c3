"""`distlaw check`: a law against runs that were measured."""

from dataclasses import asdict
from pathlib import Path

from distlaw.apps.options import TableOptions
from distlaw.apps.output import console, print_json, print_warnings
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW
from distlaw.runs import accuracy, accuracy_by_student, predict_runs


def check(table: Path, *, law: str = DEFAULT_LAW, rows: TableOptions = TableOptions(), json: bool = False) -> None:
    """Check a law against a table of runs: relative errors in all, and for each student size and number of tokens.

    Args:
        table: CSV, Parquet or JSONL with the columns student_params, student_tokens, student_loss and, for distilled
            runs, teacher_loss (losses in nats per token); the usual short names are understood.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        json: Print JSON.
    """
    found = find_law(law)
    runs = rows.read(table)
    predicted = predict_runs(found.law, runs)
    overall = accuracy(predicted, runs.student_loss)
    groups = accuracy_by_student(predicted, runs)
    if json:
        shown = [
            {"student_params": g.student_params, "student_tokens": g.student_tokens, **vars(g.accuracy)} for g in groups
        ]
        about = {"law": law, "table": str(table), **asdict(overall)}
        print_json({**about, "groups": shown, "warnings": [asdict(caution) for caution in runs.cautions()]})
        return
    from distlaw.report.tables import accuracy_table

    console().print(accuracy_table(overall, groups, law=law))
    print_warnings(runs.warnings())
