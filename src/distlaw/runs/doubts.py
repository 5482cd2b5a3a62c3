"""What about runs is possible but seldom meant: said wherever a table of runs is read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distlaw.runs.labels import same_labels

if TYPE_CHECKING:
    from distlaw.runs.record import Runs

_WORST_LOSS = 12.0
_TEACHER = ("teacher_params", "teacher_tokens", "teacher_loss")
_SHOWN = 5


@dataclass(frozen=True)
class Caution:
    """What a user should know about runs, or about a fit of them.

    Attributes:
        kind: A word that stays: `numbers`, `tokens-from-compute`, `unit`, `runs`, `repeated-data`, `loss-unit`
            of runs; those of a fit are its own.
        text: The same in words.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def cautions(runs: "Runs") -> list[Caution]:
    """Runs pasted twice, one seed with two losses, data that were repeated, losses that are no nats."""
    return [*_repeated_runs(runs), *_repeated_data(runs), *_too_high(runs)]


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
    most = int(np.argmax(np.where(repeated, epochs, 0.0)))
    return [
        Caution(
            "repeated-data",
            f"{repeated.sum()} of {len(runs)} runs read their data more than once, row {runs.row[most]}"
            f" {epochs[most]:.3g} times (tokens above unique_tokens): the laws count every token as new and know"
            " nothing of repetition; leave out runs of more than about four epochs",
        )
    ]


def _too_high(runs: "Runs") -> list[Caution]:
    median = float(np.median(runs.student_loss)) if len(runs) else 0.0
    if median <= _WORST_LOSS:
        return []
    text = (
        f"half of the student losses are above {median:.3g} nats per token, worse than a uniform guess over 160k"
        " entries (12 nats): are they in nats, and per token?"
    )
    return [Caution("loss-unit", text)]
