"""Kappa, the supervised tokens that one distilled token replaces: run by run, and whether it is one number."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.evidence.alone import LAW, Alone
from distlaw.evidence.answer import LEVEL, CannotSay, Verdict
from distlaw.evidence.cells import Cells
from distlaw.evidence.chance import t_quantile
from distlaw.runs import counted

Array = NDArray[np.float64]

HELD_BACK = 0.8
"""Share of the student's loss above E that the teacher's own may be; nearer, the teacher's loss holds the student back
whatever its tokens are worth."""
_REACHED = 0.95  # of the draws in which a student must reach its loss alone for kappa to have an interval
_FEWEST = 10  # cells for a regression of five coefficients


@dataclass(frozen=True, kw_only=True)
class CellWorth:
    """Kappa of one distilled cell.

    Attributes:
        student_params: N_S.
        student_tokens: D_S.
        teacher_params: N_T; NaN where not known.
        teacher_loss: L_T, nats per token.
        loss: L_S, nats per token.
        lead: q = log((L~_S - E) / (L_T - E)), how far the teacher is ahead of the student alone.
        kappa: Supervised tokens that reach L_S, over D_S; inf where no number does.
        interval: 90 %, from the seed noise of the cell and of the student's supervised curve, and the law's resamples.
        method: How the curve is known at kappa D_S tokens: see `distlaw.evidence.alone`.
        held_back: Whether the teacher is too weak to tell kappa, see `HELD_BACK`.
    """

    student_params: float
    student_tokens: float
    teacher_params: float
    teacher_loss: float
    loss: float
    lead: float
    kappa: float
    interval: tuple[float, float]
    method: str
    held_back: bool


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Exponent of kappa in one quantity.

    Attributes:
        exponent: d log kappa / d log x (for `lead squared`: the coefficient of the square).
        interval: 90 %; noise that curves share is in it, and it is widened where cells scatter by more than noise.
        change: Factor on kappa from the least to the largest value among the cells, by this exponent alone.
    """

    exponent: float
    interval: tuple[float, float]
    change: float


@dataclass(frozen=True, kw_only=True)
class Constancy:
    """Whether kappa is one number.

    Attributes:
        cells: Cells that tell: not held back, and reached by the student alone.
        kappa: Their weighted geometric mean.
        interval: 90 % interval of it.
        effects: Of `student_params`, `student_tokens`, `lead` and `lead squared`, all in one regression.
        scatter: Residual scatter about it over what noise explains; 1 if nothing else is at work.
        p_value: Chance of effects as large as these, by noise (and scatter) alone.
        verdict: Whether kappa is constant: `does not hold` below 5 %; `holds` where, besides, no effect could turn
            kappa by more than a factor of 1.5 over the cells; otherwise `undecided`.
    """

    cells: int
    kappa: float
    interval: tuple[float, float]
    effects: Mapping[str, Effect]
    scatter: float
    p_value: float
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class TokenWorths:
    """What distilled tokens were worth.

    Attributes:
        cells: One for each distilled cell.
        constancy: Whether they agree, or why that cannot be said.
    """

    cells: tuple[CellWorth, ...]
    constancy: Constancy | CannotSay


def token_worths(cells: Cells, alone: Alone, losses: Array) -> TokenWorths:
    """Solve ``L_sup(N_S, kappa D_S) = L_S`` in every distilled cell.

    Args:
        cells: Distilled cells.
        alone: What students reach alone.
        losses: Their losses, and draws of them, shape (1 + draws, cells).
    """
    N, D, L_T = cells.student_params, cells.student_tokens, cells.teacher_loss
    kappa = alone.tokens_to_reach(losses, N) / D
    above = np.maximum(L_T - alone.E, 1e-9)
    lead = np.log(np.maximum(alone.loss(N, D) - alone.E, 1e-9) / above)
    held_back = (above > HELD_BACK * (losses - alone.E))[0]
    low, high = np.percentile(kappa[1:], [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0, method="nearest")
    found = tuple(
        CellWorth(
            student_params=float(N[i]),
            student_tokens=float(D[i]),
            teacher_params=float(cells.teacher_params[i]),
            teacher_loss=float(L_T[i]),
            loss=float(cells.loss[i]),
            lead=float(lead[0, i]),
            kappa=float(kappa[0, i]),
            interval=(float(low[i]), float(high[i])),
            method=alone.method(float(N[i]), float(D[i] * kappa[0, i])) if np.isfinite(kappa[0, i]) else LAW,
            held_back=bool(held_back[i]),
        )
        for i in range(len(cells))
    )
    reached = np.isfinite(kappa[0]) & (np.isfinite(kappa).mean(axis=0) >= _REACHED)
    tells = ~held_back & reached
    return TokenWorths(cells=found, constancy=_constancy(N[tells], D[tells], lead[:, tells], kappa[:, tells]))


def _constancy(N: Array, D: Array, lead: Array, kappa: Array) -> Constancy | CannotSay:
    """Weighted regression of log kappa on log N_S, log D_S, q and q^2; see `Constancy`."""
    if N.size < _FEWEST:
        there = counted(N.size, "cell has", "cells have")
        return CannotSay(
            because=f"{there} a teacher well ahead of a student that could get there alone; {_FEWEST} are needed"
        )
    y = np.log(np.where(np.isfinite(kappa), kappa, np.nan))
    y = np.where(np.isnan(y), np.nanmax(y, axis=0), y)  # the few draws that are out of reach
    weight = 1 / y[1:].var(axis=0)
    columns = {"student_params": np.log(N), "student_tokens": np.log(D), "lead": lead[0]}
    columns = {name: x - np.average(x, weights=weight) for name, x in columns.items() if np.ptp(x) > 0.1}
    if "lead" in columns:
        columns["lead squared"] = columns["lead"] ** 2
    if not columns:
        return CannotSay(because="all cells have the same size, tokens and teacher's lead")
    ones = np.ones((N.size, 1))
    full = np.concatenate([ones, np.stack(list(columns.values()), axis=1)], axis=1)
    if np.linalg.cond(full / np.abs(full).max(axis=0)) > 1e3:
        return CannotSay(
            because="size, tokens and teacher move together in these cells: their effects are not told apart"
        )
    mean, b = (_solve(design, y, weight) for design in (ones, full))
    noise = y[1:] - y[1:].mean(axis=0)
    free = N.size - full.shape[1]
    explained = _squares(full, noise, weight).mean()  # what noise alone leaves, correlations through curves included
    scatter = float(np.sqrt(_squares(full, y[:1], weight)[0] / explained))
    widened = max(scatter, 1.0)
    half = t_quantile(LEVEL, free) * widened * b[1:].std(axis=0)
    gains = [_squares(ones, v, weight) - _squares(full, v, weight) for v in (y[:1], noise)]
    p_value = float((1 + (gains[1] * widened**2 >= gains[0][0]).sum()) / (1 + noise.shape[0]))
    effects = {
        name: Effect(
            exponent=float(b[0, i]),
            interval=(float(b[0, i] - half[i]), float(b[0, i] + half[i])),
            change=float(np.exp(b[0, i] * np.ptp(x))),
        )
        for i, (name, x) in enumerate(columns.items(), start=1)
    }
    off = t_quantile(LEVEL, free) * widened * float(mean[1:].std())
    return Constancy(
        cells=N.size,
        kappa=float(np.exp(mean[0, 0])),
        interval=(float(np.exp(mean[0, 0] - off)), float(np.exp(mean[0, 0] + off))),
        effects=effects,
        scatter=scatter,
        p_value=p_value,
        verdict=_verdict(p_value, effects, columns),
    )


def _verdict(p_value: float, effects: Mapping[str, Effect], columns: Mapping[str, Array]) -> Verdict:
    if p_value < 0.05:
        return "does not hold"
    furthest = (max(map(abs, effect.interval)) * np.ptp(columns[name]) for name, effect in effects.items())
    return "holds" if max(furthest) < np.log(1.5) else "undecided"


def _solve(design: Array, y: Array, weight: Array) -> Array:
    """Weighted least squares of every row of y (rows, cells): coefficients of shape (rows, columns)."""
    root = np.sqrt(weight)
    return np.linalg.lstsq(design * root[:, None], (y * root).T, rcond=None)[0].T.astype(np.float64)


def _squares(design: Array, y: Array, weight: Array) -> Array:
    """Weighted sum of squared residuals of every row of y."""
    return (weight * (y - _solve(design, y, weight) @ design.T) ** 2).sum(axis=1)
