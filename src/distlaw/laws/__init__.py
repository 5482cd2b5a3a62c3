"""Scaling laws: pure maths on arrays, no input or output."""

from distlaw.laws.base import StudentLaw, TeacherLaw, optimal_teacher_loss
from distlaw.laws.distillation import DistillationLaw
from distlaw.laws.effective_tokens import EffectiveTokensLaw, PeakedTokensLaw, TokenWorthLaw
from distlaw.laws.exponential import ExponentialLaw
from distlaw.laws.many import laws_in, map_coefficients
from distlaw.laws.published import DEFAULT_LAW, SUPERVISED_ERROR, PublishedLaw, published, published_names
from distlaw.laws.supervised import SupervisedLaw

__all__ = [
    "DEFAULT_LAW",
    "SUPERVISED_ERROR",
    "DistillationLaw",
    "EffectiveTokensLaw",
    "ExponentialLaw",
    "PeakedTokensLaw",
    "PublishedLaw",
    "StudentLaw",
    "SupervisedLaw",
    "TeacherLaw",
    "TokenWorthLaw",
    "laws_in",
    "map_coefficients",
    "optimal_teacher_loss",
    "published",
    "published_names",
]
