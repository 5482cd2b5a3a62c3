"""How well a law predicts runs that were measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.laws import StudentLaw, SupervisedLaw
from distlaw.runs.record import Runs


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Relative errors of predicted losses, (predicted - measured) / measured.

    Attributes:
        runs: Number of runs.
        mean_abs_rel_error: Mean of the absolute relative error.
        max_abs_rel_error: Its maximum.
        bias: Mean of the signed relative error; negative: the law is too hopeful.
    """

    runs: int
    mean_abs_rel_error: float
    max_abs_rel_error: float
    bias: float


@dataclass(frozen=True, kw_only=True)
class GroupAccuracy:
    """Accuracy over the runs of one student size and number of tokens."""

    student_params: float
    student_tokens: float
    accuracy: Accuracy


def predict_runs(law: StudentLaw | SupervisedLaw, runs: Runs) -> NDArray[np.float64]:
    """Predicted loss of each run; supervised runs by the supervised law.

    Raises:
        ValueError: The table holds distilled runs and the law is supervised only.
    """
    if isinstance(law, SupervisedLaw):
        if runs.distilled.any():
            raise ValueError(
                f"the table holds {runs.distilled.sum()} distilled runs (teacher_loss is given), but the law is"
                " supervised only: choose a distillation law"
            )
        return law.loss(runs.student_params, runs.student_tokens)
    teacher_loss = np.where(runs.distilled, runs.teacher_loss, 1.0)
    distilled = law.student_loss(runs.student_params, runs.student_tokens, teacher_loss)
    return np.where(runs.distilled, distilled, law.supervised.loss(runs.student_params, runs.student_tokens))


def accuracy(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> Accuracy:
    """Summarise relative errors."""
    error = predicted / measured - 1
    return Accuracy(
        runs=error.size,
        mean_abs_rel_error=float(np.abs(error).mean()),
        max_abs_rel_error=float(np.abs(error).max()),
        bias=float(error.mean()),
    )


def accuracy_by_student(predicted: NDArray[np.float64], runs: Runs) -> list[GroupAccuracy]:
    """Accuracy for each pair of student size and tokens, in that order."""
    member = runs.student_of_each()
    first = np.unique(member, return_index=True)[1]
    error = predicted / runs.student_loss - 1
    count = np.bincount(member)
    largest = np.zeros(count.size)
    np.maximum.at(largest, member, np.abs(error))
    columns = (
        runs.student_params[first],
        runs.student_tokens[first],
        count,
        np.bincount(member, np.abs(error)) / count,
        largest,
        np.bincount(member, error) / count,
    )
    return [
        GroupAccuracy(
            student_params=params,
            student_tokens=tokens,
            accuracy=Accuracy(runs=number, mean_abs_rel_error=mean, max_abs_rel_error=most, bias=bias),
        )
        for params, tokens, number, mean, most, bias in zip(*(column.tolist() for column in columns), strict=True)
    ]
