"""Whether a form describes the runs that it was fitted to: what is refused, and what is said of the rest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.far import DESCRIBES, FarRuns
from distlaw.fit.result import NOT_CONVERGED, FitResult
from distlaw.runs import Caution, counted

MOST_ERROR = 0.1
"""Mean error on its own runs above which a law is refused, unless more is asked for."""
_SHOWN = 8  # far runs in a sentence
_MOVED = 1.25  # a coefficient that changes by this factor has moved


class NotDescribedError(ValueError):
    """A law misses the runs that it was fitted to."""


def require_described(fit: FitResult, most: float = MOST_ERROR, rows: NDArray[np.intp] | None = None) -> None:
    """Refuse a law that misses the runs that it was fitted to.

    Args:
        fit: A fit; one that did not converge has no law to refuse.
        most: Largest mean absolute relative error that is let through.
        rows: Row in the table, from 1, of each run that the fit was given; by default they are counted.

    Raises:
        NotDescribedError: The law misses its runs by more; names the largest errors.
    """
    if fit.status == NOT_CONVERGED or fit.train.mean_abs_rel_error <= most:
        return
    worst = np.argsort(-np.abs(np.expm1(fit.residuals)))[:3]
    named = ", ".join(str(row) for row in _rows(fit.positions[worst], rows))
    others = (
        f"; without {_listed(fit.far, rows, errors=False)} it misses them by {percent(fit.far.mean_error)}: correct or"
        " remove what is wrong"
        if fit.far.without and fit.far.mean_error <= most
        else ""
    )
    raise NotDescribedError(
        f"no law: form '{fit.spec.form}' misses its own {counted(fit.residuals.size, 'run')} by"
        f" {percent(fit.train.mean_abs_rel_error)} on average, more than {percent(most)} (the most in row"
        f"{'s' if worst.size > 1 else ''} {named}){others}"
    )


def description(fit: FitResult, rows: NDArray[np.intp] | None = None) -> list[Caution]:
    """Runs far from a fit by row, and whether its form describes the others.

    Args:
        fit: A fit that converged.
        rows: See `require_described`.
    """
    found, far, train = [], fit.far, fit.train
    if len(far):
        text = (
            f"{counted(len(far), 'run')} {'is' if len(far) == 1 else 'are'} far from the law"
            f" (the others scatter by {percent(far.scatter)}): {_listed(far, rows)}"
        )
        found.append(Caution("far-runs", text + _moved(fit)))
    error = far.mean_error if far.without else train.mean_abs_rel_error
    if error > DESCRIBES:
        text = (
            f"form '{fit.spec.form}' does not describe this table: it misses the runs by {percent(error)} on average"
            f" (largest {percent(train.max_abs_rel_error)}), where 2 % is much; such a law is of runs on one text with"
            " one tokenizer, trained to the end, on tokens that are not repeated many times"
        )
        found.append(Caution("form", text))
    elif error > 0.5 * far.spread:
        text = (
            f"the runs hardly show a law: it misses them by {percent(error)} on average, and one loss for all of them"
            f" would by {percent(far.spread)}"
        )
        found.append(Caution("form", text))
    return found


def percent(share: float) -> str:
    """A share in per cent, to two digits, and no more than ten million of them.

    >>> percent(0.0123), percent(0.35), percent(12.0)
    ('1.2 %', '35 %', '1,200 %')
    """
    value = 100 * min(abs(share), 1e5)
    if value >= 10:
        return f"{float(f'{value:.2g}'):,.0f} %"
    return f"{value:.1f} %" if value >= 0.95 else f"{value:.2f} %"


def fits_as_well(ends: tuple[float, float]) -> str:
    """What a coefficient that the runs do not determine could be instead.

    >>> fits_as_well((0.2431, 1.3129))
    '0.243 to 1.31 fit as well'
    """
    return f"{ends[0]:.3g} to {ends[1]:.3g} fit as well"


def _rows(positions: NDArray[np.intp], rows: NDArray[np.intp] | None) -> Sequence[int]:
    return [int(i) + 1 for i in positions] if rows is None else [int(rows[i]) for i in positions]


def _listed(far: FarRuns, rows: NDArray[np.intp] | None, *, errors: bool = True) -> str:
    numbers = _rows(far.rows, rows)
    shown = [
        f"row {row}" + (f", {percent(off)} {'above' if off > 0 else 'below'} it" if errors else "")
        for row, off in zip(numbers[:_SHOWN], far.off, strict=False)
    ]
    more = [f"{len(numbers) - _SHOWN} more"] if len(numbers) > _SHOWN else []
    return ("; " if errors else ", ").join(shown + more)


def _moved(fit: FitResult) -> str:
    """Coefficients that would be others without the far runs."""
    now, moved = fit.coefficients, []
    for name, value in fit.far.without.items():
        ratio = value / now[name] if now[name] > 0 and value > 0 else 1.0
        if max(ratio, 1 / ratio) > _MOVED and name not in fit.open_ranges:
            moved.append(f"{name} would be {value:.4g}, not {now[name]:.4g}")
    return f". Without {'it' if len(fit.far) == 1 else 'them'}, {', '.join(moved)}" if moved else ""
