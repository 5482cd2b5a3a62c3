"""A fit as `distlaw fit` and the page make it: what it rests on, held-out runs, its JSON and its law file."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distlaw.fit import NOT_CONVERGED, Caution, FitResult, FitSpec, HeldOut, fit_law, holdout_mask, score, write_law
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs

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
        warnings: What a user should know.
    """

    result: FitResult
    holdout: str | None
    kept_out: NDArray[np.bool_] | None
    held: HeldOut | None
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
        return {
            "form": spec.form,
            "joint": spec.joint,
            "coefficients": result.coefficients if self.ok else None,
            "intervals": result.intervals if self.ok else None,
            "interval_level": spec.level,
            "interval_kind": spec.intervals,
            "objective": result.objective,
            "loss": spec.loss,
            "delta": spec.delta,
            "status": result.status,
            "starts": spec.starts,
            "starts_reached": result.starts_reached,
            "at_bound": result.at_bound,
            "not_identified": result.not_identified,
            "open_ranges": result.open_ranges,
            "profiles": {name: {"values": p.values, "costs": p.costs} for name, p in result.profiles.items()},
            "consistency_error": result.consistency_error,
            "train": asdict(result.train) if self.ok else None,
            "holdout": None if self.held is None else {**asdict(self.held.accuracy), "coverage_90": self.held.coverage},
            "fingerprint": result.fingerprint,
            "law_file": None if law_file is None else str(law_file),
            "warnings": [asdict(caution) for caution in self.warnings],
        }

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
        extra = {} if self.held is None else {"holdout": {"expression": self.holdout, **asdict(self.held)}}
        write_law(self.result, path, name=name, source=f"fitted to {table}", data=data, extra=extra)


def run_fit(
    runs: Runs,
    spec: FitSpec,
    *,
    rests_on: SupervisedLaw | Literal["first"] | None,
    holdout: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FitRun:
    """Fit a law to the runs that are not held out, and predict those that are.

    Args:
        runs: All runs.
        spec: How to fit.
        rests_on: The supervised law under a distillation law, or `first` for one that is fitted to the same runs
            first; None for a supervised or joint fit.
        holdout: Runs to keep out, as `student_loss <= 2.3`.
        progress: Called with resamples done and their total.

    Raises:
        NotConvergedError: The law that was to be fitted first did not converge.
        ValueError: The runs cannot determine the law, or the expression keeps none of its kind.
    """
    kept_out = None if holdout is None else holdout_mask(runs, holdout)
    fitted_on = runs if kept_out is None else runs.select(~kept_out)
    cautions: tuple[Caution, ...] = ()
    if rests_on == "first":
        alone = replace(spec, form="supervised", fixed={}, tied={}, consistency=0.0, resamples=0)
        first = fit_law(fitted_on, alone)
        if first.status == NOT_CONVERGED:
            raise NotConvergedError("the supervised law under it did not converge: no start came to rest")
        assert isinstance(first.law, SupervisedLaw)
        rests_on, cautions = first.law, (*first.warnings, _TAKEN_AS_EXACT)
    result = fit_law(fitted_on, spec, supervised=rests_on, progress=progress)
    held = None
    if kept_out is not None and result.status != NOT_CONVERGED:
        held = score(result, runs.select(kept_out & (runs.distilled == (result.form.kind == "distillation"))))
    return FitRun(result=result, holdout=holdout, kept_out=kept_out, held=held, warnings=(*cautions, *result.warnings))
