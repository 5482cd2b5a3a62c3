"""Fitting laws to runs: forms, solver, intervals, hold-out, law files."""

from distlaw.fit.allocation import Allocation, fit_allocation
from distlaw.fit.choice import Choice, Wanted, choose, choose_kind
from distlaw.fit.compare import Report
from distlaw.fit.described import MOST_ERROR, NotDescribedError, description, require_described
from distlaw.fit.fit import fit_law
from distlaw.fit.form_scores import Comparison, check_limits, compare_forms, leave_one_teacher_out
from distlaw.fit.forms import FORMS, Form
from distlaw.fit.holdout import (
    HeldOut,
    cross_validate,
    holdout_mask,
    leave_one_out,
    rolling_folds,
    score,
)
from distlaw.fit.isoflop import Profile, fit_profiles
from distlaw.fit.lawfile import FittedLaw, find_law, read_law, write_law
from distlaw.fit.result import AT_BOUND, CONVERGED, NOT_CONVERGED, FitResult
from distlaw.fit.spec import FitSpec
from distlaw.runs import Caution

__all__ = [
    "AT_BOUND",
    "CONVERGED",
    "FORMS",
    "MOST_ERROR",
    "NOT_CONVERGED",
    "Allocation",
    "Caution",
    "Choice",
    "Comparison",
    "FitResult",
    "FitSpec",
    "FittedLaw",
    "Form",
    "HeldOut",
    "NotDescribedError",
    "Profile",
    "Report",
    "Wanted",
    "check_limits",
    "choose",
    "choose_kind",
    "compare_forms",
    "cross_validate",
    "description",
    "find_law",
    "fit_allocation",
    "fit_law",
    "fit_profiles",
    "holdout_mask",
    "leave_one_out",
    "leave_one_teacher_out",
    "read_law",
    "require_described",
    "rolling_folds",
    "score",
    "write_law",
]
