"""Runs that differ in their seed alone, taken together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.runs import Runs

Array = NDArray[np.float64]

_SAME_TEACHER = 4  # decimals of nats; the same weights measured twice differ by rounding


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cells of a table of runs: one student size, number of tokens and teacher each. All arrays have shape (cells,).

    Attributes:
        student_params: N_S.
        student_tokens: D_S.
        teacher_params: N_T; NaN without a teacher, or where it is not known.
        teacher_tokens: D_T; likewise.
        teacher_loss: L_T, nats per token; NaN without a teacher.
        loss: Geometric mean of the losses, nats per token.
        runs: Number of runs.
        squares: Sum over the runs of squared deviations of log loss from its mean.
        compute: Training FLOPs, mean over the runs; NaN where not known.
    """

    student_params: Array
    student_tokens: Array
    teacher_params: Array
    teacher_tokens: Array
    teacher_loss: Array
    loss: Array
    runs: Array
    squares: Array
    compute: Array

    def __len__(self) -> int:
        return self.loss.size

    @property
    def distilled(self) -> NDArray[np.bool_]:
        """Which cells have a teacher."""
        return ~np.isnan(self.teacher_loss)

    def select(self, mask: ArrayLike) -> "Cells":
        """The cells where `mask` is true, or at the positions given."""
        return Cells(**{name: values[np.asarray(mask)] for name, values in vars(self).items()})

    def students(self) -> list[tuple[float, float, NDArray[np.intp]]]:
        """N_S, D_S and the positions of the cells of each student, weakest teacher first."""
        keys = np.stack([self.student_params, self.student_tokens], axis=1)
        found, member = np.unique(keys, axis=0, return_inverse=True)
        member, order = member.reshape(-1), np.argsort(-self.teacher_loss, kind="stable")
        return [(float(N), float(D), order[member[order] == i]) for i, (N, D) in enumerate(found)]


def gather(runs: Runs) -> tuple[Cells, NDArray[np.intp]]:
    """Cells of a table, and the cell of each run.

    A teacher is told by its loss besides its size and tokens: another seed of the same teacher is another teacher.
    """
    keys = np.stack(
        [
            runs.student_params,
            runs.student_tokens,
            runs.teacher_params,
            runs.teacher_tokens,
            np.round(runs.teacher_loss, _SAME_TEACHER),
        ],
        axis=1,
    )
    found, first, member = np.unique(np.nan_to_num(keys, nan=-1.0), axis=0, return_index=True, return_inverse=True)
    member = member.reshape(-1)
    count = np.bincount(member).astype(np.float64)

    def mean(values: Array) -> Array:
        return np.bincount(member, values, minlength=len(found)) / count

    log_loss = np.log(runs.student_loss)
    middle = mean(log_loss)
    columns = ("student_params", "student_tokens", "teacher_params", "teacher_tokens", "teacher_loss")
    cells = Cells(
        **{name: getattr(runs, name)[first] for name in columns},
        loss=np.exp(middle),
        runs=count,
        squares=mean((log_loss - middle[member]) ** 2) * count,
        compute=mean(runs.compute),
    )
    return cells, member


def distinct(runs: Runs) -> Runs:
    """The runs without rows that repeat another to the digit: pasted twice, they would pass for a noiseless seed."""
    numbers = [values for name, values in runs.columns().items() if name not in ("group", "weight")]
    keys = np.nan_to_num(np.stack(numbers, axis=1), nan=-1.0)
    return runs.select(np.sort(np.unique(keys, axis=0, return_index=True)[1]))
