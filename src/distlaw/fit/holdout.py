"""How well a fit predicts runs that it has not seen."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.fit import fit_law
from distlaw.fit.result import NOT_CONVERGED, FitResult, evaluate
from distlaw.fit.spec import FitSpec
from distlaw.laws import SupervisedLaw
from distlaw.runs import RUN_COLUMNS, Accuracy, Runs, accuracy, column_named, parse_quantity

Array = NDArray[np.float64]

_EXPRESSION = re.compile(r"\s*(?P<column>[A-Za-z_]+)\s*(?P<sign><=|>=|<|>)\s*(?P<value>\S+)\s*")
_COLUMNS = (
    "student_params",
    "student_tokens",
    "student_loss",
    "teacher_loss",
    "teacher_params",
    "teacher_tokens",
    "compute",
    "unique_tokens",
)


def holdout_mask(runs: Runs, expression: str) -> NDArray[np.bool_]:
    """Which runs an expression such as `student_loss <= 2.3` keeps out of the fit.

    Args:
        runs: Runs.
        expression: A column or an alias of one, one of <, <=, >, >=, and a number as people write it.

    Raises:
        ValueError: The expression cannot be read; shows one that can.
    """
    match = _EXPRESSION.fullmatch(expression)
    column = None if match is None else column_named(match["column"], RUN_COLUMNS)
    if match is None or column not in _COLUMNS:
        raise ValueError(
            f"hold-out '{expression}' cannot be read; write a column, a sign and a number, as"
            f" 'student_loss <= 2.3'; columns are {', '.join(_COLUMNS)}"
        )
    values = getattr(runs, column)
    limit = parse_quantity(match["value"])
    compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[match["sign"]]
    return compare(values, limit)  # False where a run lacks the column


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Errors on runs that were kept out of a fit.

    Attributes:
        accuracy: Relative errors.
        coverage: Share of the runs inside their prediction interval; NaN without resamples.
        level: Nominal coverage.
    """

    accuracy: Accuracy
    coverage: float
    level: float


def score(fit: FitResult, runs: Runs) -> HeldOut:
    """Errors and coverage of a fit on other runs, all with a teacher or all without.

    Args:
        fit: A fit that converged; a distillation law is asked for runs without a teacher too, by the law under it.
        runs: The other runs.

    Raises:
        ValueError: The fit did not converge, there are no runs, or they have a teacher and the law is supervised.
    """
    if fit.status == NOT_CONVERGED:
        raise ValueError("the fit did not converge: it predicts nothing")
    if not len(runs):
        raise ValueError("no runs are held out: the expression keeps none of this kind")
    distilled = bool(runs.distilled[0])
    if (distilled and fit.form.kind == "supervised") or (runs.distilled != distilled).any():
        raise ValueError("runs with a teacher are not those of a supervised law, and the kinds are scored apart")
    arguments = (runs.student_params, runs.student_tokens, runs.teacher_loss)[: 2 + distilled]
    predicted, low, high = fit.predict(*arguments, noise=True)
    inside = (low <= runs.student_loss) & (runs.student_loss <= high)
    return HeldOut(
        accuracy=accuracy(predicted, runs.student_loss),
        coverage=float(inside.mean()) if len(fit.draws) else float("nan"),
        level=fit.spec.level,
    )


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fold of a comparison: what was kept out, and how the fit did there.

    Attributes:
        name: What was kept out.
        errors: Absolute relative error of each run kept out.
        coverage: Share inside the prediction interval.
        status: Status of the fit.
    """

    name: str
    errors: Array
    coverage: float
    status: str


def rolling_folds(runs: Runs, folds: int = 4) -> list[tuple[str, NDArray[np.bool_]]]:
    """Folds by student compute 6 N D: each keeps the next tier out, and everything above is left aside.

    Returns:
        Names and, for each fold, labels per run: 0 fitted, 1 kept out, 2 left aside.
    """
    cost = runs.student_params * runs.student_tokens
    edges = np.quantile(cost, np.linspace(0.5, 1.0, folds + 1))
    found = []
    for i in range(folds):
        label = np.where(cost <= edges[i], 0, np.where(cost <= edges[i + 1], 1, 2))
        if (label == 1).any():
            found.append((f"student compute {edges[i]:.2e} to {edges[i + 1]:.2e} parameter-tokens", label))
    return found


def leave_one_out(runs: Runs, column: str, most: int = 12) -> list[tuple[str, NDArray[np.int_]]]:
    """Folds that leave out one value of a column (one teacher loss, one student size), in at most `most` groups."""
    values = getattr(runs, column)
    distinct = np.unique(values)
    groups = np.array_split(distinct, min(most, distinct.size))
    return [
        (
            f"{column} {group[0]:.4g}" + (f" to {group[-1]:.4g}" if group.size > 1 else ""),
            np.isin(values, group).astype(int),
        )
        for group in groups
    ]


def cross_validate(
    runs: Runs, spec: FitSpec, folds: list[tuple[str, NDArray]], *, supervised: SupervisedLaw | None = None
) -> list[Fold]:
    """Fit and score every fold."""
    found = []
    for name, label in folds:
        fit = fit_law(runs.select(label == 0), spec, supervised=supervised, open_ends=False)
        out = runs.select(label == 1)
        if fit.status == NOT_CONVERGED:
            found.append(Fold(name=name, errors=np.full(len(out), np.nan), coverage=np.nan, status=fit.status))
            continue
        arguments = (out.student_params, out.student_tokens)
        arguments += (out.teacher_loss,) if fit.form.kind == "distillation" else ()
        errors = np.abs(evaluate(fit.law, arguments) / out.student_loss - 1)
        found.append(Fold(name=name, errors=errors, coverage=score(fit, out).coverage, status=fit.status))
    return found


def forward_folds(runs: Runs) -> list[tuple[float, NDArray[np.int_]]]:
    """Folds by student compute 6 N D that fit the cheapest half (60, 70, 80, 90 %) of the budgets and predict the rest.

    Returns:
        Largest parameters times tokens of a fitted run and, for each fold, labels per run: 0 fitted, 1 kept out.
    """
    cost = runs.student_params * runs.student_tokens
    if not len(runs):
        return []
    ordered = np.sort(cost)
    budgets = ordered[np.append(True, np.diff(np.log(ordered)) > 1e-6)]  # a budget met by rounding is one
    edges = dict.fromkeys(float(budgets[int(share * (budgets.size - 1))]) for share in (0.5, 0.6, 0.7, 0.8, 0.9))
    labels = [(edge, (cost > edge * (1 + 1e-5)).astype(int)) for edge in edges]
    return [(edge, label) for edge, label in labels if label.any()]
