"""`distlaw check`: a law against runs that were measured."""

from dataclasses import asdict
from pathlib import Path

from distlaw.apps.output import console, print_json
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW
from distlaw.runs import accuracy, accuracy_by_student, predict_runs, read_runs


def check(table: Path, *, law: str = DEFAULT_LAW, json: bool = False) -> None:
    """Check a law against a table of runs: relative errors in all, and for each student size and number of tokens.

    Args:
        table: CSV, Parquet or JSONL with the columns student_params, student_tokens, student_loss and, for distilled
            runs, teacher_loss (losses in nats per token); the usual short names are understood.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        json: Print JSON.
    """
    found = find_law(law)
    runs = read_runs(table)
    predicted = predict_runs(found.law, runs)
    overall = accuracy(predicted, runs.student_loss)
    groups = accuracy_by_student(predicted, runs)
    if json:
        rows = [
            {"student_params": g.student_params, "student_tokens": g.student_tokens, **asdict(g.accuracy)}
            for g in groups
        ]
        print_json({"law": law, "table": str(table), **asdict(overall), "groups": rows})
        return
    from distlaw.report.tables import accuracy_table

    console().print(accuracy_table(overall, groups, law=law))
