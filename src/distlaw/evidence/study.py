"""A finished study, examined: every question of this room put to one table of runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from distlaw.evidence.against_supervised import AgainstSupervised, against_supervised
from distlaw.evidence.alone import Alone, learn_alone, noisy_losses
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.capacity_gap import CapacityGap, capacity_gap
from distlaw.evidence.cells import Cells, distinct, gather
from distlaw.evidence.choices import Choices, choose_teachers
from distlaw.evidence.extrapolation import Extrapolation, extrapolate
from distlaw.evidence.forms import FormScores, score_forms
from distlaw.evidence.left_out import mean_by, predict_left_out, with_form
from distlaw.evidence.noise import SeedNoise, scatter_as_noise, seed_noise
from distlaw.evidence.prices import read_prices
from distlaw.evidence.through_loss import TERMS, ExtraTerm, through_loss
from distlaw.evidence.token_worth import TokenWorths, token_worths
from distlaw.fit import NOT_CONVERGED, FitResult, FitSpec, fit_law
from distlaw.laws import SupervisedLaw
from distlaw.runs import Runs

_STARTS = 16
_DEFAULT_FORM = "peaked-tokens"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a study says, question by question; where it cannot say, why.

    Attributes:
        runs: Runs examined, pasted rows counted once.
        supervised_runs: Of them, without a teacher.
        distilled_runs: With a teacher.
        cells: Runs that differ in their seed alone, taken together.
        noise: How far seeds scatter.
        supervised: Coefficients of the supervised law of all supervised runs, and their 90 % intervals.
        extrapolation: By form: laws of the weaker runs on those of several times the compute.
        forms: By kind of folds: forms of the distillation law by held-out error.
        form: The form that the next answers rest on, the best with teachers left out.
        through_loss: By term: whether a teacher's size or tokens matter besides its loss.
        token_worth: Kappa, cell by cell, and whether it is constant.
        capacity_gap: Whether a stronger teacher makes a worse student.
        against: Distillation against supervised training, as it ran and as the laws say.
        choices: The teachers that the planner chooses for students its law has not seen, and what that cost.
    """

    runs: int
    supervised_runs: int
    distilled_runs: int
    cells: Cells
    noise: SeedNoise | CannotSay
    supervised: Mapping[str, tuple[float, tuple[float, float]]] | CannotSay
    extrapolation: Mapping[str, Extrapolation | CannotSay]
    forms: Mapping[str, FormScores | CannotSay]
    form: str
    through_loss: Mapping[str, ExtraTerm | CannotSay]
    token_worth: TokenWorths | CannotSay
    capacity_gap: CapacityGap | CannotSay
    against: AgainstSupervised | CannotSay
    choices: Choices | CannotSay

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: NaN is None, infinity the word, a question without an answer `{"cannot_say": reason}`."""
        return _plain(self)


def examine(
    runs: Runs,
    *,
    seed: int = 0,
    resamples: int = 400,
    times: float = 4.0,
    progress: Callable[[str], None] | None = None,
) -> Evidence:
    """Ask a table of runs everything that this room can.

    Args:
        runs: Supervised and distilled runs, best with two seeds or more in a cell and the compute of each.
        seed: Of starts, resamples and draws.
        resamples: Of fits, and draws of seed noise.
        times: Least multiple of the dearest fitted run's compute that an extrapolation reaches for.
        progress: Told what comes next.

    Raises:
        ValueError: `resamples` is below 100, or `times` is not above 1.
    """
    if resamples < 100:
        raise ValueError(f"resamples must be 100 or more for a 90 % interval, got {resamples}")
    tell = progress or (lambda _: None)
    spec = FitSpec(starts=_STARTS, resamples=resamples, seed=seed)
    runs = distinct(runs)
    cells, _ = gather(runs)
    distilled = runs.select(runs.distilled)
    taught, member = gather(distilled)
    noise = seed_noise(cells)
    known_noise = None if isinstance(noise, CannotSay) else noise
    tell("laws beyond the runs they were fitted to")
    extrapolation = extrapolate(runs, noise=known_noise, spec=spec, times=times)
    gap = capacity_gap(taught, known_noise, seed=seed)
    fit = _supervised(runs, spec)
    common = {
        "runs": len(runs),
        "supervised_runs": len(runs) - len(distilled),
        "distilled_runs": len(distilled),
        "cells": cells,
        "noise": noise,
        "extrapolation": extrapolation,
        "capacity_gap": gap,
    }
    if isinstance(fit, CannotSay) or not len(distilled):
        why = fit if isinstance(fit, CannotSay) else CannotSay(because="no run has a teacher")
        nothing = {"forms": {"teacher": why}, "form": "", "through_loss": dict.fromkeys(TERMS, why)}
        coefficients = why if isinstance(fit, CannotSay) else _coefficients(fit)
        return Evidence(**common, **nothing, supervised=coefficients, token_worth=why, against=why, choices=why)
    law = fit.law
    assert isinstance(law, SupervisedLaw)
    used = known_noise or scatter_as_noise(fit.residuals, fit.theta.size)
    tell("forms of the distillation law")
    forms = score_forms(distilled, law, spec=spec)
    form = _best(forms)
    tell("teacher's size and tokens besides its loss")
    terms = {
        term: through_loss(distilled, law, term=term, noise=used, form=form, spec=replace(spec, starts=_STARTS // 2))
        for term in TERMS
    }
    tell("worth of a distilled token")
    alone = learn_alone(cells, fit, used, draws=resamples, seed=seed)
    losses = noisy_losses(taught, used, draws=resamples, seed=seed)
    tell("the planner's choices")
    choices = choose_teachers(runs, taught, alone, losses, prices=read_prices(runs), form=form, spec=spec)
    return Evidence(
        **common,
        supervised=_coefficients(fit),
        forms=forms,
        form=form,
        through_loss=terms,
        token_worth=token_worths(taught, alone, losses),
        against=_against(distilled, taught, member, alone, losses, runs, law, form, spec),
        choices=choices,
    )


def _against(
    distilled: Runs,
    cells: Cells,
    member: np.ndarray,
    alone: Alone,
    losses: np.ndarray,
    runs: Runs,
    supervised: SupervisedLaw,
    form: str,
    spec: FitSpec,
) -> AgainstSupervised | CannotSay:
    """Duels under predictions by laws that have not seen the teacher; crossings under the law of all runs."""
    left_out = predict_left_out(distilled, supervised, form=form, spec=spec)
    if isinstance(left_out, CannotSay):
        return left_out
    whole = fit_law(distilled, with_form(spec, form), supervised=supervised, open_ends=False)
    if whole.status == NOT_CONVERGED or isinstance(whole.law, SupervisedLaw):
        return CannotSay(because=f"the fit of {form} on all runs did not converge")
    return against_supervised(
        cells,
        alone,
        losses,
        prices=read_prices(runs),
        supervised=supervised,
        law=whole.law,
        predicted=mean_by(left_out.predicted, member),
        form=form,
    )


def _supervised(runs: Runs, spec: FitSpec) -> FitResult | CannotSay:
    try:
        fit = fit_law(runs.select(~runs.distilled), replace(spec, form="supervised"), open_ends=False)
    except ValueError as error:
        return CannotSay(because=f"the supervised law is not determined: {error}")
    if fit.status == NOT_CONVERGED:
        return CannotSay(because="the fit of the supervised law did not converge")
    return fit


def _coefficients(fit: FitResult) -> dict[str, tuple[float, tuple[float, float]]]:
    intervals = fit.intervals
    return {name: (value, intervals[name]) for name, value in fit.coefficients.items()}


def _best(forms: Mapping[str, FormScores | CannotSay]) -> str:
    """The best form with teachers left out."""
    scores = forms["teacher"]
    if isinstance(scores, CannotSay) or not np.isfinite(scores.scores[0].mean_error):
        return _DEFAULT_FORM
    return scores.best


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, CannotSay):
        return {"cannot_say": value.because}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else "infinity" if value > 0 else "-infinity"
    return value
