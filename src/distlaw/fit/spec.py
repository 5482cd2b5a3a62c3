"""How to fit: the form, the loss, what is held, and how intervals are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from distlaw.fit.forms import FORMS, UNDER, Form, joint_form

INTERVALS = ("percentile", "bca")


@dataclass(frozen=True, kw_only=True)
class FitSpec:
    """How to fit.

    Attributes:
        form: Key of `FORMS`.
        joint: Whether a distillation form is fitted together with the supervised law under it, to runs of both kinds;
            that law's coefficients are then named `supervised E` and so on.
        loss: `huber` (on log losses), `lad` (least absolute), `log-squared`, or `squared` (on losses themselves).
        delta: Where the Huber loss turns linear, in log loss; the field uses 1e-4 and 1e-3.
        fixed: Coefficients held at a value, as `{"gamma": 1.0}`.
        tied: Coefficient to the one that it equals, as `{"beta": "alpha"}`.
        below: Factor on the weight of a run that ended worse than the law says; below 1 where runs may be under-tuned.
        consistency: Strength of the penalty on infinite-data inconsistency (appendix E.6); 0 is none.
        starts: Starts, from a scrambled grid (a Latin hypercube) over ranges that cover the paper's grid.
        resamples: Bootstrap resamples; 0 gives no intervals.
        clusters: What is resampled: `runs`, or all runs of a `teacher`, `student`, `seed` or `group` together.
        intervals: `percentile`, or `bca` (bias-corrected and accelerated) at the price of one refit a run or cluster.
        level: Coverage of intervals.
        seed: Of starts and resamples.
    """

    form: str = "distillation"
    joint: bool = False
    loss: str = "huber"
    delta: float = 1e-3
    fixed: Mapping[str, float] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    below: float = 1.0
    consistency: float = 0.0
    starts: int = 128
    resamples: int = 4096
    clusters: str = "runs"
    intervals: str = "percentile"
    level: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form '{self.form}' is unknown; choose one of {', '.join(FORMS)}")
        if not (np.isfinite(self.delta) and self.delta > 0):
            raise ValueError(f"delta must be positive, got {self.delta}")
        if not (np.isfinite(self.below) and self.below > 0):
            raise ValueError(f"below must be positive, got {self.below}")
        if not (np.isfinite(self.consistency) and self.consistency >= 0):
            raise ValueError(f"consistency must be 0 or more, got {self.consistency}")
        if self.form == "supervised" and (self.consistency or self.joint):
            word = "consistency holds" if self.consistency else "a joint fit ties"
            raise ValueError(f"{word} a distillation law to a supervised one; the supervised form has none")
        if self.starts < 1:
            raise ValueError(f"starts must be 1 or more, got {self.starts}")
        if self.resamples < 0 or self.resamples == 1:
            raise ValueError(f"resamples must be 0 (none) or at least 2, got {self.resamples}")
        if self.intervals not in INTERVALS:
            raise ValueError(f"intervals '{self.intervals}' are unknown; choose {' or '.join(INTERVALS)}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")


def under_spec(spec: FitSpec) -> FitSpec:
    """How the supervised law under a joint fit is fitted alone: with what is held and tied of its coefficients."""
    fixed = {name.removeprefix(UNDER): value for name, value in spec.fixed.items() if name.startswith(UNDER)}
    tied = {
        name.removeprefix(UNDER): other.removeprefix(UNDER)
        for name, other in spec.tied.items()
        if name.startswith(UNDER) and other.startswith(UNDER)
    }
    return replace(spec, form="supervised", joint=False, consistency=0.0, fixed=fixed, tied=tied)


def form_of(spec: FitSpec) -> Form:
    """The form of a spec; of a joint fit with the supervised law's coefficients in it."""
    return joint_form(FORMS[spec.form]) if spec.joint else FORMS[spec.form]
