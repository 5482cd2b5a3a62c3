"""A fit as `distlaw fit` and the page make it: what it rests on, held-out runs, its JSON and its law file."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distlaw.apps.fit_answer import answer
from distlaw.fit import (
    MOST_ERROR,
    NOT_CONVERGED,
    Caution,
    Choice,
    FitResult,
    FitSpec,
    HeldOut,
    Wanted,
    choose,
    description,
    find_law,
    fit_law,
    holdout_mask,
    require_described,
    score,
    write_law,
)
from distlaw.fit.bootstrap import usual_resamples
from distlaw.fit.fit import positions_fitted
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs, counted

_TAKEN_AS_EXACT = Caution(
    "law-taken-as-exact",
    "intervals take the supervised law as exact, though it was fitted to the same table: joint does not",
)


class NotConvergedError(ValueError):
    """The supervised law that a fit should rest on did not converge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FitRun:
    """A fit and what one asked of it.

    Attributes:
        result: The fit, which may not have converged.
        holdout: Expression of the runs that were kept out; None where none were.
        kept_out: These runs, of all.
        held: Errors on those of them that are of the law's kind; None where there is none to give.
        held_alone: Errors of the supervised law under a distillation law on those of them that have no teacher, where
            it was fitted to this table too; None where there is none to give.
        not_tested: Why runs that were kept out are not tested; empty where all are.
        rows: Row in the table, from 1, of each run that the fit was given.
        table_rows: How many runs the table has.
        choice: Which law was fitted, and why.
        warnings: What a user should know.
    """

    result: FitResult
    holdout: str | None
    kept_out: NDArray[np.bool_] | None
    held: HeldOut | None
    held_alone: HeldOut | None
    not_tested: str
    rows: NDArray[np.intp]
    table_rows: int
    choice: Choice
    warnings: tuple[Caution, ...]

    @property
    def ok(self) -> bool:
        """Whether there is a law."""
        return self.result.status != NOT_CONVERGED

    def content(self, law_file: Path | None = None) -> dict[str, Any]:
        """All about the fit, as `distlaw fit --json` prints it.

        Args:
            law_file: Where its law was written.
        """
        result, spec = self.result, self.result.spec
        content = {
            "choice": self.choice.content(),
            "form": spec.form,
            "joint": spec.joint,
            "fixed": dict(spec.fixed),
            "tied": dict(spec.tied),
            "coefficients": result.coefficients if self.ok else None,
            "intervals": result.intervals if self.ok else None,
            "interval_level": spec.level,
            "interval_kind": spec.intervals,
            "objective": result.objective,
            "loss": spec.loss,
            "delta": spec.delta,
            "status": result.status,
            "starts": spec.starts,
            "resamples": spec.resamples,
            "starts_reached": result.starts_reached,
            "at_bound": result.at_bound,
            "not_identified": result.not_identified,
            "open_ranges": result.open_ranges,
            "profiles": {name: {"values": p.values, "costs": p.costs} for name, p in result.profiles.items()},
            "consistency_error": result.consistency_error,
            "train": asdict(result.train) if self.ok else None,
            "holdout": _held(self.held),
            "holdout_supervised": _held(self.held_alone),
            "not_tested": self.not_tested or None,
            "rows": self._counts(),
            "far_runs": self._far(),
            "without_far_runs": {"coefficients": dict(result.far.without)} if result.far.without else None,
            "fingerprint": result.fingerprint,
            "law_file": None if law_file is None else str(law_file),
            "warnings": [asdict(caution) for caution in self.warnings],
        }
        return {"answer": answer(content), **content}

    def _counts(self) -> dict[str, int]:
        """What became of the rows of the table."""
        fitted, held_out = self.result.positions.size, 0 if self.kept_out is None else int(self.kept_out.sum())
        return {
            "table": self.table_rows,
            "fitted": fitted,
            "held_out": held_out,
            "not_used": self.table_rows - fitted - held_out,
        }

    def _far(self) -> list[dict[str, float]]:
        """Runs far from the fit."""
        far = self.result.far
        return [
            {"row": int(self.rows[i]), "measured": float(measured), "predicted": float(predicted), "off": float(off)}
            for i, measured, predicted, off in zip(far.rows, far.measured, far.predicted, far.off, strict=True)
        ]

    def write(self, path: Path, *, name: str, table: str, data: str) -> None:
        """Write its law file, hold-out errors in it.

        Args:
            path: Ends in .json.
            name: What the law is called.
            table: Name of the table of runs.
            data: What text and tokenizer the losses are on.

        Raises:
            ValueError: The fit did not converge, or the file cannot be written.
        """
        extra: dict[str, Any] = {}
        if self.held is not None:
            extra["holdout"] = {"expression": self.holdout, **asdict(self.held)}
        if self.held_alone is not None:
            extra["holdout_supervised"] = {"expression": self.holdout, **asdict(self.held_alone)}
        write_law(self.result, path, name=name, source=f"fitted to {table}", data=data, extra=extra)


def run_fit(
    runs: Runs,
    spec: FitSpec,
    wanted: Wanted | None = None,
    *,
    resamples: int | None = 0,
    holdout: str | None = None,
    max_error: float = MOST_ERROR,
    progress: Callable[[int, int], None] | None = None,
) -> FitRun:
    """Fit a law to the runs that are not held out, and predict those that are.

    Args:
        runs: All runs.
        spec: How to fit; form, joint and resamples are replaced.
        wanted: What the user says of the law; the rest is chosen by the runs that are not held out.
        resamples: For the intervals; None gives as many as is usual for so many runs.
        holdout: Runs to keep out, as `student_loss <= 2.3`.
        max_error: Largest mean relative error on its own runs that a law may have; one with more is refused.
        progress: Called with fits done and their total: those of the choice, then the resamples.

    Raises:
        NotConvergedError: The law that was to be fitted first did not converge.
        ValueError: The runs cannot determine the law, the law misses its own runs, or the expression keeps out no run
            that can be tested.
    """
    if not max_error > 0:
        raise ValueError(f"the largest mean error let through must be above 0, got {max_error:g}")
    kept_out = None if holdout is None else holdout_mask(runs, holdout)
    fitted_on = runs if kept_out is None else runs.select(~kept_out)
    rows = 1 + np.flatnonzero(np.ones(len(runs), dtype=bool) if kept_out is None else ~kept_out)
    choice = choose(fitted_on, replace(spec, resamples=0), wanted or Wanted(), progress=progress)
    count = usual_resamples(positions_fitted(fitted_on, choice.spec).size) if resamples is None else resamples
    spec, rests_on = replace(choice.spec, resamples=count), choice.rests_on
    fitted_under = isinstance(rests_on, FitSpec) or spec.joint
    supervised, cautions = law_under(rests_on, fitted_on)
    result = fit_law(fitted_on, spec, supervised=supervised, progress=progress)
    require_described(result, max_error, rows)
    held, held_alone, not_tested = _tested(result, runs, kept_out, fitted_under)
    said = () if result.status == NOT_CONVERGED else description(result, rows)
    return FitRun(
        result=result,
        holdout=holdout,
        kept_out=kept_out,
        held=held,
        held_alone=held_alone,
        not_tested=not_tested,
        rows=rows,
        table_rows=len(runs),
        choice=choice,
        warnings=tuple(dict.fromkeys((*said, *cautions, *result.warnings))),
    )


def law_under(rests_on: SupervisedLaw | FitSpec | None, runs: Runs) -> tuple[SupervisedLaw | None, tuple[Caution, ...]]:
    """The supervised law that a distillation law is given, and what a user should know of it.

    Args:
        rests_on: See `distlaw.fit.Choice`.
        runs: The runs that it is fitted to where it is fitted first.

    Raises:
        NotConvergedError: Its fit did not converge.
    """
    if not isinstance(rests_on, FitSpec):
        return rests_on, ()
    first = fit_law(runs, rests_on)
    if first.status == NOT_CONVERGED:
        raise NotConvergedError("the supervised law under it did not converge: no start came to rest")
    assert isinstance(first.law, SupervisedLaw)
    return first.law, (*first.warnings, _TAKEN_AS_EXACT)


def wanted_law(kind: str | None, form: str | None, supervised_law: str | None) -> Wanted:
    """What a user says of a law, by words; None leaves it to the runs.

    Args:
        kind: `supervised` or `distillation`.
        form: Key of `distlaw.fit.FORMS`.
        supervised_law: `joint`, `first`, or a law or law file whose supervised part a distillation law rests on.

    Raises:
        ValueError: A word is unknown, or they contradict each other.
    """
    if supervised_law is None or kind == "supervised" or form == "supervised":
        return Wanted(kind=kind, form=form)
    if supervised_law == "joint" or supervised_law == "first":
        return Wanted(kind=kind, form=form, rests_on=supervised_law)
    return Wanted(kind=kind, form=form, rests_on=find_law(supervised_law).supervised, rests_name=supervised_law)


def _tested(
    result: FitResult, runs: Runs, kept_out: NDArray[np.bool_] | None, fitted_under: bool
) -> tuple[HeldOut | None, HeldOut | None, str]:
    """Errors on the runs kept out of either kind, and why some of them are not tested.

    Raises:
        ValueError: The expression keeps out no run that the law can be tested on.
    """
    if kept_out is None or result.status == NOT_CONVERGED:
        return None, None, ""
    distillation = result.form.kind == "distillation"
    own, other = (kept_out & (runs.distilled == kind) for kind in (distillation, not distillation))
    count, not_tested = int(other.sum()), ""
    if count and not fitted_under:
        not_tested = f"{counted(count, 'run')} held out {'is' if count == 1 else 'are'} not tested: " + (
            "without a teacher, and the supervised law under this one is not fitted here"
            if distillation
            else "with a teacher, of which a supervised law says nothing"
        )
    alone = score(result, runs.select(other)) if count and fitted_under else None
    return score(result, runs.select(own)) if own.any() or alone is None else None, alone, not_tested


def _held(held: HeldOut | None) -> dict[str, Any] | None:
    return None if held is None else {**asdict(held.accuracy), "coverage_90": held.coverage}
