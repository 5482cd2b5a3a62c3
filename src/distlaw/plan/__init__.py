"""The planner: problem, optimum, and what it means."""

from distlaw.plan.comparison import Comparison, crossovers_of
from distlaw.plan.confidence import Confidence, confidence_of, confidence_sentences
from distlaw.plan.crossover import (
    Crossing,
    Crossover,
    Lead,
    Ratios,
    compute_crossovers,
    ratios_to_supervised,
    token_crossover,
)
from distlaw.plan.grids import BudgetGrid, TeacherGrid, TokenGrid, budget_grid, budgets_of, teacher_grid, token_grid
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.options import SUPERVISED, Option, Plan, solve
from distlaw.plan.problem import PAPER_BOUNDS, Bounds, Problem
from distlaw.plan.ranking import NO_TEACHER, RankedTeacher, rank_teachers
from distlaw.plan.recipe import recipe, write_recipe
from distlaw.plan.teacher_range import TeacherRange, equally_good_teachers
from distlaw.plan.teacher_table import TEACHER_COLUMNS, read_teachers
from distlaw.plan.teachers import Teacher, loss_from_bits_per_byte
from distlaw.plan.uncertainty import OptionUncertainty, plan_uncertainty
from distlaw.plan.verdict import SITUATIONS, Verdict, judge

__all__ = [
    "NO_TEACHER",
    "PAPER_BOUNDS",
    "SITUATIONS",
    "SUPERVISED",
    "TEACHER_COLUMNS",
    "Bounds",
    "BudgetGrid",
    "Comparison",
    "Confidence",
    "Crossing",
    "Crossover",
    "Lead",
    "Optimum",
    "Option",
    "OptionUncertainty",
    "Plan",
    "Problem",
    "RankedTeacher",
    "Ratios",
    "Teacher",
    "TeacherGrid",
    "TeacherRange",
    "TokenGrid",
    "Verdict",
    "budget_grid",
    "budgets_of",
    "compute_crossovers",
    "confidence_of",
    "confidence_sentences",
    "crossovers_of",
    "distilled_optimum",
    "equally_good_teachers",
    "judge",
    "loss_from_bits_per_byte",
    "plan_uncertainty",
    "rank_teachers",
    "ratios_to_supervised",
    "read_teachers",
    "recipe",
    "solve",
    "supervised_optimum",
    "teacher_grid",
    "token_crossover",
    "token_grid",
    "write_recipe",
]
