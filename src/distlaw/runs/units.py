"""In what units a table's numbers are: found from the numbers themselves, or said.

Sizes of language models and their losses are tied to each other: there are between a hundredth and some hundred
thousand tokens to a parameter, training takes about 6 N D FLOPs, and a loss is near what the supervised law says. Where
parameters and tokens as they are written cannot both be counts, and one reading in thousands, millions, billions or
trillions stands out, they are converted and that is said; where two readings are as good, the table is refused until
its user says which. A loss is never converted unasked, as data and tokenizers differ: what its unit may be is said.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distlaw.reading import one_line
from distlaw.runs.columns import plain
from distlaw.runs.doubts import Caution
from distlaw.runs.quantity import LEAST, format_quantity
from distlaw.runs.usual import NATS_IN_A_BIT, USUAL_COMPUTE, distance, impossible, strangeness

if TYPE_CHECKING:
    from distlaw.runs.record import Runs

Array = NDArray[np.float64]

SIZES = ("student_params", "student_tokens", "teacher_params", "teacher_tokens", "compute", "unique_tokens")
LOSSES = ("student_loss", "teacher_loss")

_AS_WRITTEN = 1.0
_WORDS = {1e3: "thousands", 1e6: "millions", 1e9: "billions", 1e12: "trillions"}
_FLOPS = {1e9: "GFLOPs", 1e12: "TFLOPs", 1e15: "PFLOPs", 1e18: "EFLOPs", 1e21: "ZFLOPs", 8.64e19: "PFLOP/s-days"}
_FACTORS = {"1": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
_FACTORS |= {"thousands": 1e3, "millions": 1e6, "billions": 1e9, "trillions": 1e12, "pf_days": 8.64e19}
_PARAMS, _TOKENS = (_AS_WRITTEN, 1e3, 1e6, 1e9), (_AS_WRITTEN, 1e3, 1e6, 1e9, 1e12)
_RARITY = {_AS_WRITTEN: 0.0, 1e3: 2.5, 1e6: 1.0, 1e9: 1.0, 1e12: 1.0}  # of units of parameters and tokens
_MARGIN = 3.5  # how much better the best reading must be than the next: a likelihood ratio of about thirty
_TOYS = 1e6  # parameters of models below which sizes and losses are not those of language models
_NEAR_LOSS = 0.1  # a reading that explains losses so well is believed although the numbers could be counts of toys
_FAR_LOSS = math.log(1.4)  # a reading that leaves losses farther from the law than this says nothing


def in_counts(runs: "Runs", said: Mapping[str, str] | None = None) -> "Runs":
    """Runs in parameters, tokens, FLOPs and nats, their notes saying what was converted.

    Args:
        runs: As their table has them.
        said: Units of columns, by the names of the columns: `1` (as written), `K`, `M`, `B`, `T` and so on, of compute
            `PF-days` too; of a loss `nats`, `bits` or `perplexity`; or a number to multiply with.

    Raises:
        ValueError: A unit is unknown, or the numbers may be in either of two: says how to choose.
    """
    said = said or {}
    told = {name: _converted(name, getattr(runs, name), unit) for name, unit in said.items()}
    notes = [Caution("unit", f"{name} is read in {unit}, as said") for name, unit in said.items() if unit != "1"]
    runs = _with_columns(runs, told)
    found = _find_units(runs, frozenset(said))
    notes += [Caution("unit", _in_words(runs, name, factor)) for name, factor in found.items()]
    runs = _with_columns(runs, {name: getattr(runs, name) * factor for name, factor in found.items()})
    _require_tokens(runs)
    units = {name: _factor(unit) for name, unit in said.items() if name in SIZES}
    return replace(runs, units=units | found, notes=(*runs.notes, *notes))


def _require_tokens(runs: "Runs") -> None:
    """Refuse compute that would have paid for hardly a token: it is in a unit that nothing tells."""
    if (few := np.flatnonzero(runs.tokens_from_compute & (runs.student_tokens < LEAST))).size:
        i = few[0]
        raise ValueError(
            f"row {runs.row[i]}, column compute: {runs.compute[i]:.4g} FLOPs are too few for"
            f" {runs.student_params[i]:.4g} parameters; say its unit, as --units compute=E where it is in EFLOPs"
        )


def like_runs(name: str, values: Array, units: Mapping[str, float]) -> Array:
    """A column of a table that goes with runs, in counts as they are.

    Args:
        name: Of the column.
        values: As they are written.
        units: `Runs.units`; numbers that would then be beyond all models are counts already.
    """
    converted = values * units.get(name, _AS_WRITTEN)
    most = 1e32 if name == "compute" else 1e14 if name.endswith("params") else 1e16
    return converted if np.isnan(values).all() or np.nanmax(converted) <= most else values


def _with_columns(runs: "Runs", columns: dict[str, Array]) -> "Runs":
    """Runs with other columns; tokens that were taken from compute follow it."""
    N, D, C = (
        columns[f] if f in columns else getattr(runs, f) for f in ("student_params", "student_tokens", "compute")
    )
    changed: dict[str, Any] = columns | {"student_tokens": np.where(runs.tokens_from_compute, C / (6 * N), D)}
    return replace(runs, **changed)


def _converted(name: str, values: Array, unit: str) -> Array:
    if name not in (*SIZES, *LOSSES):
        raise ValueError(f"{name} has no unit; those of {', '.join((*SIZES, *LOSSES))} can be said")
    key = plain(unit)
    if name in LOSSES and key in ("nats", "bits", "perplexity", "ppl"):
        if key in ("perplexity", "ppl"):
            if (low := np.flatnonzero(values <= 1)).size:
                raise ValueError(f"row {low[0] + 1}, column {name}: {values[low[0]]:g} is no perplexity: it is above 1")
            return np.log(values)
        return values * NATS_IN_A_BIT if key == "bits" else values
    factor = _factor(unit)
    if math.isnan(factor):
        known = "1, K, M, B, T, P, E or PF-days" if name in SIZES else "nats, bits or perplexity"
        raise ValueError(f"'{one_line(unit, 40)}' is no unit of {name}: give {known}, or a number to multiply with")
    return values * factor


def _factor(unit: str) -> float:
    """What values in a unit are multiplied with; NaN where there is no such unit.

    >>> _factor("B"), _factor("PF-days"), _factor("0.5")
    (1000000000.0, 8.64e+19, 0.5)
    """
    try:
        factor = _FACTORS.get(plain(unit)) or float(unit)
    except ValueError:
        return math.nan
    return factor if 0 < factor < math.inf else math.nan


def _find_units(runs: "Runs", said: frozenset[str]) -> dict[str, float]:
    """Factors of the columns that are in other units than counts."""
    N, D, L, C = runs.student_params, runs.student_tokens, runs.student_loss, runs.compute
    found: dict[str, float] = {}
    told = ~runs.tokens_from_compute
    if told.any():
        names, factors = ("student_params", "student_tokens"), (_PARAMS, _TOKENS)
        found |= _sizes(names, factors, N[told], D[told], L[told], C[told], said)
    else:
        names, factors = ("student_params", "compute"), (_PARAMS, (_AS_WRITTEN, *_FLOPS))
        found |= _sizes(names, factors, N, D, L, np.full(N.shape, np.nan), said)
    known = runs.distilled & ~np.isnan(runs.teacher_params)
    if known.any():
        N_T, D_T, L_T = (getattr(runs, f"teacher_{name}")[known] for name in ("params", "tokens", "loss"))
        names, factors = ("teacher_params", "teacher_tokens"), (_PARAMS, _TOKENS)
        if np.isnan(D_T).any():
            D_T, factors = np.full(N_T.shape, np.nan), (_PARAMS, (_AS_WRITTEN,))
        n, d = (found.get(name, _AS_WRITTEN) for name in ("student_params", "student_tokens"))
        unit = "nats" if impossible(N * n, D * d) else distance(N * n, D * d, L)[1]
        found |= _sizes(names, factors, N_T, D_T, L_T, np.full(N_T.shape, np.nan), said, unit, N[known] * n)
    N, D = (getattr(runs, name) * found.get(name, 1) for name in ("student_params", "student_tokens"))
    if "compute" not in found and not impossible(N, D):
        found |= _compute(C, N, D, told & ~np.isnan(C), runs.distilled, said)
    D = np.where(told, D, C * found.get("compute", 1) / (6 * N))
    found |= _unique(runs.unique_tokens, D, found.get("student_tokens", _AS_WRITTEN), said)
    return {name: factor for name, factor in found.items() if factor != _AS_WRITTEN}


def _sizes(
    names: tuple[str, str],
    factors: tuple[tuple[float, ...], tuple[float, ...]],
    N: Array,
    D: Array,
    L: Array,
    C: Array,
    said: frozenset[str],
    unit: str | None = None,
    students: Array | None = None,
) -> dict[str, float]:
    """Factors of parameters and of tokens, or of the compute that tokens were taken from.

    Args:
        names: Of the two columns.
        factors: That they may have.
        N: Parameters as they are written.
        D: Tokens as they are written, or taken from compute as it is written; NaN: unknown, twenty to a parameter.
        L: Losses.
        C: Compute of the runs, as it is written; NaN: unknown.
        said: Columns whose units are said.
        unit: Of the losses, where it is known.
        students: Parameters of the students of each, who are seldom larger.

    Raises:
        ValueError: Two readings are about as good.
    """
    by_compute = names[1] == "compute"
    unknown = bool(np.isnan(D).any())
    no_counts = impossible(N, 20 * N if unknown else D)
    if not no_counts and N.max() >= _TOYS:
        return {}
    readings = []
    for n, d in itertools.product(*((_AS_WRITTEN,) if x in said else fs for x, fs in zip(names, factors, strict=True))):
        params = N * n
        tokens = 20 * params if unknown else D * d / n if by_compute else D * d
        if not (params.max() < _TOYS or impossible(params, tokens)):
            off, _ = distance(params, tokens, L, unit)
            smaller = 0.0 if students is None else max(float(np.median(np.log10(students / params))), 0.0)
            written = smaller + _RARITY[n] + (0.0 if by_compute else _RARITY[d]) + (by_compute and d != _AS_WRITTEN)
            written += _compute_cost(C, params, tokens)
            readings.append((off / 0.12 + strangeness(params, tokens) + written, off, (n, d)))
    if not readings or not (no_counts or (L.size >= 6 and np.ptp(np.log(L)) > 0.1)):
        return {}
    (cost, off, best), *others = sorted(readings)
    if off > (_FAR_LOSS if no_counts else _NEAR_LOSS):
        return {}  # where they are no counts, `distlaw.runs.doubts` says so
    if others and others[0][0] - cost < _MARGIN:
        raise ValueError(_two_ways(names, N, best, others[0][2]))
    return dict(zip(names, best, strict=True))


def _compute_cost(C: Array, params: Array, tokens: Array) -> float:
    """How strange compute is beside parameters and tokens, in whichever unit it is least so."""
    if np.isnan(C).all():
        return 0.0
    ratio = float(np.nanmedian(np.log10(C / (6 * params * tokens))))
    raw = max(USUAL_COMPUTE[0] - ratio, ratio - USUAL_COMPUTE[1], 0.0)
    return min(raw, *(1.0 + abs(ratio + math.log10(factor) - 0.1) for factor in _FLOPS)) / 0.3


def _two_ways(names: tuple[str, str], N: Array, one: tuple[float, float], other: tuple[float, float]) -> str:
    """Why a table is refused that can be read in two ways."""

    def way(factors: tuple[float, float]) -> str:
        return " and ".join(f"{name} in {_unit(name, factor)}" for name, factor in zip(names, factors, strict=True))

    units = ",".join(f"{n}={_letter(a)}" for n, a, b in zip(names, one, other, strict=True) if a != b)
    return (
        f"{names[0]} from {_range(N)} and the {names[1]} beside it cannot both be counts: they may be {way(one)}, or"
        f" {way(other)}; say which, as --units {units}"
    )


def _unit(name: str, factor: float) -> str:
    if factor == _AS_WRITTEN:
        return "FLOPs" if name == "compute" else "ones"
    return _FLOPS[factor] if name == "compute" else _WORDS[factor]


def _letter(factor: float) -> str:
    return next(key for key, value in _FACTORS.items() if value == factor).upper().replace("_", "-")


def _compute(
    C: Array, N: Array, D: Array, known: NDArray[np.bool_], distilled: NDArray[np.bool_], said: frozenset[str]
) -> dict[str, float]:
    """The factor of compute, by what 6 N D says of runs without a teacher or, where there are none, of all."""
    known = known & ~distilled if (known & ~distilled).any() else known
    if "compute" in said or not known.any() or N.max() < _TOYS:
        return {}
    ratio = np.log10(C[known] / (6 * N[known] * D[known]))
    middle = float(np.median(ratio))
    if USUAL_COMPUTE[0] <= middle <= USUAL_COMPUTE[1] or float(np.median(np.abs(ratio - middle))) > 0.7:
        return {}
    (off, best), (next_off, _) = sorted((abs(middle + math.log10(factor) - 0.1), factor) for factor in _FLOPS)[:2]
    return {"compute": best} if off < 1 and next_off - off > 0.5 else {}


def _unique(U: Array, D: Array, of_tokens: float, said: frozenset[str]) -> dict[str, float]:
    """The factor of unique tokens: that of the tokens, or the one that gives a number of epochs."""
    known = ~np.isnan(U)
    if "unique_tokens" in said or not known.any():
        return {}
    epochs = float(np.median(D[known] / U[known]))
    if U[known].max() >= 1e4 and epochs < 1e5:
        return {}
    if 0.01 <= epochs / of_tokens <= 2000:
        return {"unique_tokens": of_tokens}
    (off, best), (next_off, _) = sorted((abs(math.log10(epochs / factor) - 0.5), factor) for factor in _TOKENS)[:2]
    return {"unique_tokens": best} if off < 2.5 and next_off - off > 1 else {}


def _in_words(runs: "Runs", name: str, factor: float) -> str:
    values = getattr(runs, name)
    low, high = (format_quantity(float(end) * factor) for end in (np.nanmin(values), np.nanmax(values)))
    why = "compared with 6 x params x tokens" if name == "compute" else "by the sizes and losses beside them"
    return (
        f"{name} is in {_unit(name, factor)} ({_range(values)} in the table), {why}: read as {low} to {high};"
        f" --units {name}=1 takes it as written"
    )


def _range(values: Array) -> str:
    return f"{np.nanmin(values):.4g} to {np.nanmax(values):.4g}"
