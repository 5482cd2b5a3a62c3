"""What runs must have for a fit, and what about them is doubtful: said before any number is."""

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.forms import UNDER, Form
from distlaw.laws import SupervisedLaw
from distlaw.runs import Caution, Runs
from distlaw.runs.doubts import LOSS_KINDS

Array = NDArray[np.float64]


def require_informative(
    runs: Runs, form: Form, free: tuple[str, ...], supervised: SupervisedLaw | None
) -> list[Caution]:
    """Refuse runs that cannot determine a form, and doubt those that may not be what they seem.

    Args:
        runs: The runs of a fit.
        form: The form; a joint one asks for runs of both kinds.
        free: Names of its free coordinates.
        supervised: The supervised law that it rests on, where that is held.

    Raises:
        ValueError: Too few runs, one size, one number of tokens or one teacher loss only, or one ray; says what to add.
    """
    warnings = runs.cautions()
    own = sum(UNDER not in name for name in free)
    if form.kind == "supervised" or own < len(free):
        alone = runs.select(~runs.distilled)
        _require_runs(alone, "supervised", own if form.kind == "supervised" else len(free) - own)
        _require_spread(alone, "student_params", "student_tokens")
        ratio = np.log(alone.student_tokens / alone.student_params)
        if np.ptp(ratio) < 0.05:
            raise ValueError(
                f"all runs have {np.exp(ratio.mean()):.3g} tokens per parameter: size and data cannot be told apart on"
                " one ray; add runs at another ratio"
            )
    if form.kind == "distillation":
        distilled = runs.select(runs.distilled)
        _require_runs(distilled, "distilled", own)
        _require_spread(distilled, "student_params", "student_tokens", "teacher_loss")
        worst = float(distilled.teacher_loss.max())
        if worst > np.log(300_000):
            text = f"a teacher has {worst:.3g} nats, worse than a uniform guess over any vocabulary in use"
            warnings.append(Caution("random-teacher", text))
        if np.unique(np.round(distilled.teacher_loss, 6)).size < 4:
            text = "fewer than four teacher losses: the form of their effect is taken on trust"
            warnings.append(Caution("few-teachers", text))
        if supervised is not None and not any(caution.kind in LOSS_KINDS for caution in warnings):
            warnings += _doubt_law(distilled, supervised)
    return warnings


def _require_runs(runs: Runs, kind: str, free: int) -> None:
    if len(runs) < free + 3:
        raise ValueError(
            f"{len(runs)} {kind} runs are too few for {free} free coefficients: at least {free + 3} are needed"
        )


def _require_spread(runs: Runs, *columns: str) -> None:
    for name in columns:
        values = getattr(runs, name)
        if np.ptp(np.log(values)) < 1e-6:
            what = "one teacher loss only" if name == "teacher_loss" else f"{name} is the same in all runs"
            raise ValueError(f"{what} ({values[0]:g}): the runs say nothing about its effect")


def _doubt_law(runs: Runs, supervised: SupervisedLaw) -> list[Caution]:
    """Under its best teacher a student ends near what it reaches alone; far from it, the units or the data differ."""
    student = runs.student_of_each()
    best = np.full(int(student.max()) + 1, np.inf)
    np.minimum.at(best, student, runs.student_loss)
    first = np.unique(student, return_index=True)[1]
    chosen = runs.select(first)
    ratio = float(np.median(best / supervised.loss(chosen.student_params, chosen.student_tokens)))
    if abs(np.log(ratio)) < np.log(1.2):
        return []
    text = (
        f"the best run of a student ends at {ratio:.2f} times the loss that the supervised law gives it: that law seems"
        " to be of other data; rest on one fitted to your own"
    )
    return [Caution("other-data", text)]
