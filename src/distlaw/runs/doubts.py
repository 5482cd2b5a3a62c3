"""What about runs is possible but seldom meant: said wherever a table of runs is read."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distlaw.runs.labels import same_labels
from distlaw.runs.usual import USUAL_COMPUTE, impossible, strangeness, usual_ratio

if TYPE_CHECKING:
    from distlaw.runs.record import Runs

LOSS_KINDS = ("bits", "perplexity", "per-byte", "loss-unit")
"""Kinds of cautions that say that losses may be in another unit than nats per token."""
_WORST_LOSS = 12.0
Array = NDArray[np.float64]
_TEACHER = ("teacher_params", "teacher_tokens", "teacher_loss")
_SHOWN = 5
_MOST_EPOCHS = 1e5
_EPOCHS = 4  # up to here repeated tokens are worth about what new ones are
_LARGER = {1.0: ("ones", "1"), 1e3: ("thousands", "K"), 1e6: ("millions", "M")}
_NEAR, _FAR = 0.04, 0.06  # from usual losses, as `_from_usual` has it
_PER_BYTE = 0.4  # of a usual loss per token: below, a loss is likely per byte or character
_SMALL = 1e6  # parameters of models below which no loss is usual


@dataclass(frozen=True)
class Caution:
    """What a user should know about runs, or about a fit of them.

    Attributes:
        kind: A word that stays: `numbers`, `tokens-from-compute`, `empty-rows`, `unit`, `runs`, `repeated-data`,
            `bits`, `perplexity`, `per-byte`, `loss-unit` of runs; those of a fit are its own.
        text: The same in words.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def cautions(runs: "Runs") -> list[Caution]:
    """Runs pasted twice, one seed with two losses, repeated data, sizes that are no counts, losses that are no nats."""
    if not len(runs):
        return []
    sizes = [*_no_counts(runs), *_odd_rows(runs), *_perhaps_larger(runs), *_no_flops(runs)]
    return [*_repeated_runs(runs), *_repeated_data(runs), *sizes, *_no_nats(runs)]


def _repeated_runs(runs: "Runs") -> list[Caution]:
    """Runs that stand twice: identical ones, and those of one study that the same seed gave different losses."""
    setting = same_labels(
        runs.student_params,
        runs.student_tokens,
        runs.unique_tokens,
        *(getattr(runs, name) for name in _TEACHER),
        runs.seed,
    )
    found = []
    if pasted := _rows_alike(same_labels(setting, runs.student_loss), np.arange(len(runs)), runs.row):
        text = f"the same size, tokens, teacher, seed and loss, likely pasted twice: {pasted}"
        found.append(Caution("runs", text))
    study = np.unique([group or "" for group in runs.group], return_inverse=True)[1]
    first = np.unique(same_labels(setting, study, runs.student_loss), return_index=True)[1]
    seeded = np.sort(first[~np.isnan(runs.seed[first])])
    if differing := _rows_alike(same_labels(setting, study), seeded, runs.row):
        text = f"the same size, tokens, teacher and seed, but different losses: {differing}"
        found.append(Caution("runs", text))
    return found


def _rows_alike(label: NDArray[np.intp], positions: NDArray[np.intp], row: NDArray[np.intp]) -> str:
    """Those of the positions that share a label, as `rows 1 and 3`, in the order of the first; or empty."""
    at = label[positions]
    shared = positions[np.bincount(at, minlength=1)[at] > 1] if positions.size else positions
    together: dict[int, list[str]] = {}
    for i in shared:
        together.setdefault(int(label[i]), []).append(str(row[i]))
    sets = [rows if len(rows) <= 2 * _SHOWN else [*rows[:_SHOWN], "..."] for rows in list(together.values())[:_SHOWN]]
    more = f"; and {len(together) - _SHOWN} more" if len(together) > _SHOWN else ""
    return "; ".join(f"rows {', '.join(rows[:-1])} and {rows[-1]}" for rows in sets) + more


def _repeated_data(runs: "Runs") -> list[Caution]:
    """Runs that read their text more than once, of which no law here knows."""
    epochs = runs.student_tokens / runs.unique_tokens  # NaN where nothing is known
    repeated = epochs > 1 + 1e-6
    if not repeated.any():
        return []
    if not epochs[repeated].max() < _MOST_EPOCHS:
        text = "unique_tokens is no count of tokens beside these: --units unique_tokens=B says that it is in billions"
        return [Caution("unit", text)]
    most = int(np.argmax(np.where(repeated, epochs, 0.0)))
    return [
        Caution(
            "repeated-data",
            f"{repeated.sum()} of {len(runs)} runs read their data more than once, row {runs.row[most]}"
            f" {epochs[most]:.3g} times (tokens above unique_tokens): the laws count every token as new and know"
            " nothing of repetition; leave out runs of more than about four epochs",
        )
    ]


def _no_counts(runs: "Runs") -> list[Caution]:
    found = []
    taught = runs.select(~np.isnan(runs.teacher_params + runs.teacher_tokens))
    for whose, of in (("student", runs), ("teacher", taught)):
        N, D = (getattr(of, f"{whose}_{name}") for name in ("params", "tokens"))
        if len(of) and impossible(N, D):
            sizes = f"{whose}_params of {N.min():.3g} to {N.max():.3g}"
            text = (
                f"{sizes} and {whose}_tokens of {D.min():.3g} to {D.max():.3g} are hardly counts of both;"
                f" --units {whose}_tokens=B says that tokens are in billions"
            )
            if whose == "student" and of.tokens_from_compute.all():
                C = of.compute
                text = (
                    f"{sizes} and compute of {C.min():.3g} to {C.max():.3g} are hardly parameters and FLOPs;"
                    " --units compute=E says that compute is in EFLOPs"
                )
            found.append(Caution("unit", text))
    return found


def _odd_rows(runs: "Runs") -> list[Caution]:
    """Rows whose sizes or tokens are no model's beside the others, as where some are written in another unit."""
    found = []
    taught = runs.select(~np.isnan(runs.teacher_params))
    for whose, of in (("student", runs), ("teacher", taught)):
        N, D = (getattr(of, f"{whose}_{name}") for name in ("params", "tokens"))
        if not len(of) or np.median(N) < _SMALL or np.isnan(N).any():
            continue
        fewest = D[D >= N / 100].min(initial=np.inf)  # the largest models of an isoFLOP profile come near to it
        few = (D < N / 100) & (0.01 * fewest > D) & (N <= 1e14)
        for odd, what in (
            (N < 1e3, f"{whose}_params below 1,000, where half of the rows have {np.median(N):.3g} or more"),
            (N > 1e14, f"{whose}_params above 1e14, where half of the rows have {np.median(N):.3g} or less"),
            (few, f"fewer {whose}_tokens than a hundredth of {whose}_params"),
        ):
            if 0 < (many := int(odd.sum())) < len(of) / 2:
                rows = ", ".join(map(str, of.row[odd][: 2 * _SHOWN]))
                rows += f" and {many - 2 * _SHOWN} more" if many > 2 * _SHOWN else ""
                text = f"row{'s' * (many > 1)} {rows}: {what}: are they written in another unit than the others?"
                found.append(Caution("unit", text))
    return found


def _perhaps_larger(runs: "Runs") -> list[Caution]:
    """Sizes that could be counts of small models, with the losses of models a thousand or a million times as large."""
    N, D, L = (getattr(runs, f"student_{name}")[~runs.distilled] for name in ("params", "tokens", "loss"))
    if L.size < 6 or impossible(N, D) or np.ptp(np.log(L)) < 0.2 or _from_usual(N, D, L) < _FAR:
        return []
    # Toys that read bytes or characters have about the losses of models a thousand times as large.
    larger = [f for f in _LARGER if f != 1e3 or N.max() >= _SMALL or np.median(usual_ratio(N, D, L)) >= _PER_BYTE]
    near: list[tuple[float, float, float, float]] = []
    for n, d in itertools.product(larger, larger):
        if (n, d) != (1.0, 1.0) and N.max() * n < 1e13 and not impossible(N * n, D * d):
            off = _from_usual(N * n, D * d, L)
            near += [(strangeness(N * n, D * d), off, n, d)] * (off < _NEAR)
    if not near:
        return []
    _, _, n, d = min(near)
    said = [(name, *_LARGER[f]) for name, f in (("params", n), ("tokens", d)) if f > 1]
    words = " and ".join(f"student_{name} in {word}" for name, word, _ in said)
    units = ",".join(f"{name}={letter}" for name, _, letter in said)
    return [Caution("unit", f"sizes and losses are those of larger models: is {words}? Then --units {units}")]


def _from_usual(N: Array, D: Array, L: Array) -> float:
    """How far losses are from what is usual, their level and what is left of each, in log loss."""
    off = np.log(usual_ratio(N, D, L))
    level = float(np.median(off))
    return max(abs(level) / 7.5, float(np.median(np.abs(off - level))))


def _no_flops(runs: "Runs") -> list[Caution]:
    """Compute that is no count of FLOPs for these sizes and tokens."""
    known = ~np.isnan(runs.compute) & ~runs.tokens_from_compute
    known = known & ~runs.distilled if (known & ~runs.distilled).any() else known
    if not known.any():
        return []
    ratio = float(np.median(runs.compute[known] / (6 * runs.student_params[known] * runs.student_tokens[known])))
    low, high = (10.0**end for end in USUAL_COMPUTE)
    if low <= ratio <= high:
        return []
    text = (
        f"compute is {ratio:.3g} times 6 x params x tokens in the middle run: is it in FLOPs, and of the whole run?"
        " --units compute=G says that it is in GFLOPs"
    )
    return [Caution("unit", text)]


def _no_nats(runs: "Runs") -> list[Caution]:
    """Losses that are what is usual in another unit than nats per token."""
    runs = runs.select(~(runs.student_tokens > _EPOCHS * runs.unique_tokens))
    if not len(runs):
        return []
    best = np.full(int((student := runs.student_of_each()).max()) + 1, np.inf)
    np.minimum.at(best, student, runs.student_loss)  # under its best teacher a student ends near what it reaches alone
    of = runs.select(np.unique(student, return_index=True)[1])
    N, D = of.student_params, of.student_tokens
    language_models = not impossible(N, D) and float(np.median(N)) >= _SMALL
    ratio = usual_ratio(N, D, best)
    low, middle, high = (float(part) for part in np.percentile(ratio, [25, 50, 75]))
    if language_models and 1.32 < middle < 1.8 and high / low < 1.12:
        text = (
            f"losses are about {middle:.2f} times what is usual for these sizes and tokens, and bits are 1.44 times"
            " nats: are they in bits? Then --units loss=bits, or multiply them by ln 2 = 0.6931"
        )
        return [Caution("bits", text)]
    if language_models and middle > 1.9 and best.min() > 1:
        log_ratio = float(np.median(np.log(best) * ratio / best))
        if 0.85 < log_ratio < 1.25:
            text = (
                f"losses of {best.min():.3g} to {best.max():.3g} are what is usual for these sizes and tokens as"
                " perplexities: are they? Then --units loss=perplexity, or take their logarithm"
            )
            return [Caution("perplexity", text)]
    if language_models and 0.13 < middle < 0.55:
        text = (
            f"losses are about {middle:.2f} times what is usual for these sizes and tokens: are they per byte or"
            " character, where a token has about four? A law of them predicts that unit, and cannot be held against one"
            " in nats per token; to convert, multiply bits per byte by ln 2 and by the bytes in a token"
        )
        return [Caution("per-byte", text)]
    if (half := float(np.median(runs.student_loss))) > _WORST_LOSS:
        text = (
            f"half of the student losses are above {half:.3g} nats per token, worse than a uniform guess over 160k"
            " entries (12 nats): are they in nats, and per token?"
        )
        return [Caution("loss-unit", text)]
    return []
