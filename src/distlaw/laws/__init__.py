"""Scaling laws: pure maths on arrays, no input or output."""

from distlaw.laws.base import StudentLaw, TeacherLaw
from distlaw.laws.distillation import DistillationLaw
from distlaw.laws.published import DEFAULT_LAW, PublishedLaw, published, published_names
from distlaw.laws.supervised import SupervisedLaw

__all__ = [
    "DEFAULT_LAW",
    "DistillationLaw",
    "PublishedLaw",
    "StudentLaw",
    "SupervisedLaw",
    "TeacherLaw",
    "published",
    "published_names",
]
