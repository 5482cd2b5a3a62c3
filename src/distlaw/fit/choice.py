"""Which law is fitted to a table: what the user says, and for the rest what its runs determine, with the reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from distlaw.fit.chart import make_chart
from distlaw.fit.described import percent
from distlaw.fit.forms import FORMS, UNDER
from distlaw.fit.informative import require_informative
from distlaw.fit.spec import FitSpec
from distlaw.fit.trials import FEWEST_FOLDS, FORMS_TRIED, Progress, Tried, try_distillation, try_supervised
from distlaw.laws import DEFAULT_LAW, SupervisedLaw, published
from distlaw.runs import Runs, counted

RestsOn = SupervisedLaw | Literal["first", "joint"]

KINDS = ("supervised", "distillation")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user says of the law; what is None is chosen by the runs.

    Attributes:
        kind: `supervised` or `distillation`.
        form: Key of `FORMS`.
        rests_on: The supervised law under a distillation law: one that is held, `first` for one fitted to the same
            runs first, or `joint` for both at once.
        rests_name: What a law that is held is called.
    """

    kind: str | None = None
    form: str | None = None
    rests_on: RestsOn | None = None
    rests_name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in (None, *KINDS):
            raise ValueError(f"kind '{self.kind}' is unknown; choose {' or '.join(KINDS)}")
        if self.form is not None and self.form not in FORMS:
            raise ValueError(f"form '{self.form}' is unknown; choose one of {', '.join(FORMS)}")
        if self.form is not None and self.kind is not None and FORMS[self.form].kind != self.kind:
            raise ValueError(f"form '{self.form}' is no {self.kind} law: leave --form out, or choose another --kind")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which law is fitted, and why.

    Attributes:
        spec: How to fit.
        rests_on: What the fit of a distillation law is given: a supervised law that is held, or how the one that is
            fitted first is fitted; None for a supervised or joint fit.
        rests_name: `joint`, `first`, or the name of the law; empty for a supervised law.
        kind_because: Why this kind.
        rests_because: Why the law under it is this; empty for a supervised law.
        form_because: Why this form and these coefficients.
        tried: Forms that were tried over folds, by the kind of law; empty where nothing was to be chosen.
    """

    spec: FitSpec
    rests_on: SupervisedLaw | FitSpec | None
    rests_name: str
    kind_because: str
    rests_because: str
    form_because: str
    tried: Mapping[str, tuple[Tried, ...]]

    @property
    def kind(self) -> str:
        """`supervised` or `distillation`."""
        return FORMS[self.spec.form].kind

    @property
    def taken(self) -> Tried | None:
        """What was taken of the forms of this kind; None where nothing was to be chosen."""
        return next((one for one in self.tried.get(self.kind, ()) if one.taken), None)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The reasons, one line each: `kind: ...`, `form: ...` and `rests on: ...`."""
        named = (("kind", self.kind_because), ("form", self.form_because), ("rests on", self.rests_because))
        return tuple(f"{name}: {because}" for name, because in named if because)

    def content(self) -> dict[str, Any]:
        """The same as JSON shows it."""
        return {
            "kind": self.kind,
            "because": self.sentences,
            "kind_because": self.kind_because,
            "form": self.spec.form,
            "fixed": dict(self.spec.fixed),
            "tied": dict(self.spec.tied),
            "form_because": self.form_because,
            "supervised_law": self.rests_name or None,
            "supervised_law_because": self.rests_because or None,
            "tried": [
                {
                    "kind": kind,
                    "name": one.name,
                    "form": one.form,
                    "fixed": dict(one.fixed),
                    "tied": dict(one.tied),
                    "free_coefficients": one.free,
                    "held_out_error": one.error,
                    "fold_errors": one.errors,
                    "far_runs_left_out": one.far,
                    "ruled_out": one.ruled_out or None,
                    "taken": one.taken,
                }
                for kind, rows in self.tried.items()
                for one in rows
            ],
        }


def choose(
    runs: Runs, spec: FitSpec, wanted: Wanted, *, joint: bool = True, progress: Progress | None = None
) -> Choice:
    """Choose which law to fit, where the user leaves it open.

    A table in which no run has a teacher gets a supervised law. A distillation law rests on one of the table's own
    supervised runs, where these determine it. Forms are chosen as `trials` says; naming a form, or holding or tying a
    coefficient of it, leaves that choice to the user.

    Args:
        runs: All runs that may be fitted; none that is held out.
        spec: How to fit; form and joint are replaced, what it holds and ties is kept.
        wanted: What the user says.
        joint: Whether both laws may be fitted at once where nothing is said.
        progress: Called with fits done and their total.
    """
    kind, because = choose_kind(runs, spec, wanted)
    if kind == "supervised":
        return _supervised(runs, spec, wanted, because, progress)
    return _distillation(runs, spec, wanted, because, joint, progress)


def _supervised(runs: Runs, spec: FitSpec, wanted: Wanted, because: str, progress: Progress | None) -> Choice:
    spec, tried = replace(spec, form="supervised", joint=False), []
    if wanted.form is None and not spec.fixed and not spec.tied:
        tried = try_supervised(runs, spec, progress)
        spec = _as_taken(spec, tried)
    return Choice(
        spec=spec,
        rests_on=None,
        rests_name="",
        kind_because=because,
        rests_because="",
        form_because=_because(tried),
        tried={"supervised": tuple(tried)} if tried else {},
    )


def _distillation(
    runs: Runs, spec: FitSpec, wanted: Wanted, because: str, joint: bool, progress: Progress | None
) -> Choice:
    rests_on, rests_name, rests_because = _rests_on(runs, wanted, joint)
    fitted_under = isinstance(rests_on, str)
    under = replace(spec, form="supervised", joint=False, fixed={}, tied={}, consistency=0.0, resamples=0)
    held = {*spec.fixed, *spec.tied}
    found: dict[str, tuple[Tried, ...]] = {}
    open_under = wanted.form is None or wanted.rests_on is None
    if fitted_under and open_under and not any(name.startswith(UNDER) for name in held):
        found["supervised"] = tuple(try_supervised(runs, under, progress))
        under = _as_taken(under, found["supervised"])
        rests_because = "; ".join(filter(None, (rests_because, "its form: " + _because(found["supervised"]))))
    spec = replace(spec, joint=False)
    if wanted.form is None:
        own = {name for name in held if not name.startswith(UNDER)}
        forms = tuple(name for name in FORMS_TRIED if own <= set(FORMS[name].coefficients)) or FORMS_TRIED[:1]
        tried = try_distillation(runs, _without_under(spec), forms, under if fitted_under else rests_on, progress)
        found["distillation"] = tuple(tried)
        spec = replace(spec, form=next(one.form for one in tried if one.taken))
    else:
        spec = replace(spec, form=wanted.form)
    if rests_on == "joint":
        fixed = {UNDER + name: value for name, value in under.fixed.items()}
        tied = {UNDER + name: UNDER + other for name, other in under.tied.items()}
        spec = replace(spec, joint=True, fixed={**spec.fixed, **fixed}, tied={**spec.tied, **tied})
    return Choice(
        spec=spec,
        rests_on=None if rests_on == "joint" else under if rests_on == "first" else rests_on,
        rests_name=rests_name,
        kind_because=because,
        rests_because=rests_because,
        form_because=_because(found.get("distillation", ())),
        tried=found,
    )


def choose_kind(runs: Runs, spec: FitSpec, wanted: Wanted) -> tuple[str, str]:
    """The kind of law, and the reason where the runs decide; see `choose`."""
    if wanted.kind is not None or wanted.form is not None:
        return wanted.kind or FORMS[wanted.form or "supervised"].kind, ""
    if wanted.rests_on is not None or spec.consistency:
        return "distillation", ""
    distilled = int(runs.distilled.sum())
    if not distilled:
        return "supervised", "a supervised law, since no run of the table has a teacher_loss"
    few = _lacking(runs, FORMS_TRIED[0])
    if few and not _lacking(runs, "supervised"):
        return "supervised", f"a supervised law, since the runs with a teacher do not determine another ({few})"
    return "distillation", f"a distillation law, since {counted(distilled, 'run')} of {len(runs)} have a teacher_loss"


def _rests_on(runs: Runs, wanted: Wanted, joint: bool) -> tuple[RestsOn, str, str]:
    """What a distillation law rests on, its name, and the reason where the runs decide."""
    if wanted.rests_on is not None:
        name = wanted.rests_on if isinstance(wanted.rests_on, str) else wanted.rests_name
        return wanted.rests_on, name, ""
    if not (lacking := _lacking(runs, "supervised")):
        alone = counted(int((~runs.distilled).sum()), "run")
        name, how = ("joint", "fitted together with it") if joint else ("first", "fitted first")
        return name, name, f"a supervised law of the {alone} without a teacher, {how}"
    because = f"the supervised law of {DEFAULT_LAW}, since the table does not determine one ({lacking})"
    return published(DEFAULT_LAW).supervised, DEFAULT_LAW, because


def _lacking(runs: Runs, form: str) -> str:
    """What the runs lack for a form with the fewest coefficients; empty where they determine it."""
    kind = FORMS[form].kind
    fewest = make_chart(FORMS[form], *(({"gamma": 1.0}, {"beta": "alpha"}) if kind == "supervised" else ({}, {})))
    try:
        require_informative(runs.select(runs.distilled == (kind == "distillation")), FORMS[form], fewest.names, None)
    except ValueError as error:
        return str(error)
    return ""


def _as_taken(spec: FitSpec, tried: Sequence[Tried]) -> FitSpec:
    taken = next(one for one in tried if one.taken)
    return replace(spec, fixed=taken.fixed, tied=taken.tied)


def _without_under(spec: FitSpec) -> FitSpec:
    """The spec without what it holds of the supervised law under a joint fit."""
    fixed = {name: value for name, value in spec.fixed.items() if not name.startswith(UNDER)}
    return replace(spec, fixed=fixed, tied={a: b for a, b in spec.tied.items() if not a.startswith(UNDER)})


def _because(tried: Sequence[Tried]) -> str:
    """Why one of the forms was taken; empty where none was tried."""
    if not tried:
        return ""
    taken = next(one for one in tried if one.taken)
    folds = int(np.isfinite(taken.errors).sum())
    head = f"{taken.name} ({counted(taken.free, 'free coefficient')})"
    if folds < FEWEST_FOLDS:
        return f"{head}, the fewest: the runs are too few to compare forms on runs kept out"
    others = ", ".join(
        f"{one.name} ({one.free}) {percent(one.error) if one.error == one.error else 'no fit'}"
        + (f", but {one.ruled_out}" if one.ruled_out else "")
        for one in tried
        if one is not taken
    )
    more = any(one.free > taken.free and not one.ruled_out for one in tried)
    fewer = any(one.free < taken.free for one in tried)
    verdicts = [*(["fewer are clearly worse"] if fewer else []), *(["more are not clearly better"] if more else [])]
    compared = f"; tried too: {others}: {', '.join(verdicts)}" if others else ""
    without = f" ({counted(taken.far, 'far run')} left out)" if taken.far else ""
    return (
        f"{head}: it misses the dearer runs, kept out in {counted(folds, 'fold')}{without}, by {percent(taken.error)}"
        f"{compared}"
    )
