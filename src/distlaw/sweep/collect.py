"""The runs table of a study: what `fit` reads, one row for each run that is done."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from distlaw.runs import RUN_COLUMNS, Runs, counted, one_line
from distlaw.sweep.protocols import Run
from distlaw.sweep.study import Study


def collect(study: Study, records: Mapping[str, Mapping[str, Any]], runs: Collection[Run] | None = None) -> Runs:
    """Records of a study as a table, in the study's order.

    `compute` is what a run costs alone, its teacher's forward passes included (eq. 9 with delta_lgt = 1), so that it
    does not depend on which students shared a pass. `group` names the teacher.

    Args:
        study: The study.
        records: By run.
        runs: Which runs; None: all of the study.

    Raises:
        ValueError: None of them is done.
    """
    rows = _rows(study, records, study.runs if runs is None else runs)
    if not rows:
        raise ValueError(f"no run of '{one_line(study.about or 'the study')}' is done yet")
    return _table(rows)


def _rows(study: Study, records: Mapping[str, Mapping[str, Any]], runs: Collection[Run]) -> list[dict[str, Any]]:
    rows = []
    for run in runs:
        if (record := records.get(run.id)) is None:
            continue
        row = {column.name: record.get(column.name) for column in RUN_COLUMNS}
        row["compute"] = study.flops(run)
        row["group"] = None if run.teacher is None else f"teacher {run.teacher.id}"
        if run.teacher is not None:
            row["teacher_params"] = study.shape(run.teacher).n_params
            row["teacher_tokens"] = run.teacher.tokens
        rows.append({name: _number(name, value) for name, value in row.items()})
    return rows


def _table(rows: list[dict[str, Any]]) -> Runs:
    columns = {column.name: [row[column.name] for row in rows] for column in RUN_COLUMNS}
    labels = np.array(columns.pop("group"), dtype=object)
    arrays: dict[str, Any] = {name: np.array(values) for name, values in columns.items()}
    return Runs(**arrays, group=labels)


def collect_all(study: Study, records: Mapping[str, Mapping[str, Any]]) -> tuple[Runs, list[str]]:
    """Every finished run of a study's folder, also beyond its budget; those that it does not ask for come last.

    An earlier study file of the same folder may have asked for them; their costs are from their own records.

    Returns:
        The runs, and a note where some are of another study.

    Raises:
        ValueError: None is done.
    """
    others = others_than(study, records)
    rows = _rows(study, records, _everything(study)) + [_row_of_another(records[run]) for run in others]
    if not rows:
        raise ValueError(f"no run of '{one_line(study.about or 'the study')}' is done yet")
    return _table(rows), [f"the table has {said_of_others(others)}"] if others else []


def others_than(study: Study, records: Collection[str]) -> list[str]:
    """Finished runs that a study does not ask for, whatever its budget, by id."""
    return sorted(set(records) - {run.id for run in _everything(study)})


def said_of_others(others: Collection[str]) -> str:
    """These runs, in words."""
    return f"{counted(len(others), 'finished run')} that study.toml does not ask for: an earlier study file did"


def _everything(study: Study) -> Collection[Run]:
    return replace(study, limits=replace(study.limits, compute=float("inf"))).runs


def _row_of_another(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {column.name: record.get(column.name) for column in RUN_COLUMNS}
    flops, shared = record.get("flops"), record.get("students_on_one_pass", 1)
    if isinstance(flops, Mapping):
        row["compute"] = flops.get("student_training", float("nan")) + shared * flops.get("teacher_logits", 0.0)
    row["group"] = f"teacher {record['teacher']}" if record.get("teacher") else None
    return {name: _number(name, value) for name, value in row.items()}


def _number(name: str, value: Any) -> Any:  # noqa: ANN401
    return value if name == "group" else float("nan" if value is None else value)
