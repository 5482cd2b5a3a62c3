"""One run's schema: the paper's letters in maths, these words in tables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distlaw.runs.table import Column, read_table

RUN_COLUMNS = (
    Column(name="student_params", aliases=("n_student", "N_S", "N", "params", "n_params"), required=True),
    Column(name="student_tokens", aliases=("d_student", "D_S", "D", "tokens", "n_tokens"), required=True),
    Column(name="student_loss", aliases=("l_student", "L_S", "loss", "L"), required=True),
    Column(name="teacher_loss", aliases=("l_teacher", "L_T")),
)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Finished runs, one entry each.

    Attributes:
        student_params: N_S, non-embedding parameters.
        student_tokens: D_S.
        student_loss: L_S, nats per token.
        teacher_loss: L_T, nats per token; NaN for a supervised run.
    """

    student_params: NDArray[np.float64]
    student_tokens: NDArray[np.float64]
    student_loss: NDArray[np.float64]
    teacher_loss: NDArray[np.float64]

    @property
    def distilled(self) -> NDArray[np.bool_]:
        """Which runs had a teacher."""
        return ~np.isnan(self.teacher_loss)


def read_runs(path: Path) -> Runs:
    """Read a table of runs.

    Args:
        path: CSV, Parquet or JSONL with the columns of `RUN_COLUMNS` or their aliases.

    Raises:
        ValueError: See `read_table`.
    """
    table = read_table(path, RUN_COLUMNS)
    return Runs(**{column.name: table.numbers(column.name) for column in RUN_COLUMNS})
