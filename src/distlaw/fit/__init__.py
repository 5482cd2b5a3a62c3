"""Fitting laws to runs: forms, solver, intervals, hold-out, law files."""

from distlaw.fit.compare import Report
from distlaw.fit.fit import AT_BOUND, CONVERGED, NOT_CONVERGED, FitResult, FitSpec, fit_law
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
from distlaw.fit.informative import Caution
from distlaw.fit.isoflop import Allocation, Profile, fit_allocation, fit_profiles
from distlaw.fit.lawfile import FittedLaw, find_law, read_law, write_law

__all__ = [
    "AT_BOUND",
    "CONVERGED",
    "FORMS",
    "NOT_CONVERGED",
    "Allocation",
    "Caution",
    "Comparison",
    "FitResult",
    "FitSpec",
    "FittedLaw",
    "Form",
    "HeldOut",
    "Profile",
    "Report",
    "check_limits",
    "compare_forms",
    "cross_validate",
    "find_law",
    "fit_allocation",
    "fit_law",
    "fit_profiles",
    "holdout_mask",
    "leave_one_out",
    "leave_one_teacher_out",
    "read_law",
    "rolling_folds",
    "score",
    "write_law",
]
