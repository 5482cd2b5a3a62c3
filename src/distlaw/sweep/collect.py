"""The runs table of a study: what `fit` reads, one row for each run that is done."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from distlaw.runs import RUN_COLUMNS, Runs, one_line
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
    rows = []
    for run in study.runs if runs is None else runs:
        if (record := records.get(run.id)) is None:
            continue
        row = {column.name: record.get(column.name) for column in RUN_COLUMNS}
        row["compute"] = study.flops(run)
        row["group"] = None if run.teacher is None else f"teacher {run.teacher.id}"
        if run.teacher is not None:
            row["teacher_params"] = study.shape(run.teacher).n_params
            row["teacher_tokens"] = run.teacher.tokens
        rows.append({name: _number(name, value) for name, value in row.items()})
    if not rows:
        raise ValueError(f"no run of '{one_line(study.about or 'the study')}' is done yet")
    columns = {column.name: [row[column.name] for row in rows] for column in RUN_COLUMNS}
    labels = np.array(columns.pop("group"), dtype=object)
    return Runs(**{name: np.array(values) for name, values in columns.items()}, group=labels)


def _number(name: str, value: Any) -> Any:  # noqa: ANN401
    return value if name == "group" else float("nan" if value is None else value)
