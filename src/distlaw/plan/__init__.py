"""The planner: problem, optimum, and what it means."""

from distlaw.plan.crossover import (
    Crossover,
    Ratios,
    compute_crossovers,
    ratios_to_supervised,
    token_crossover,
)
from distlaw.plan.grids import BudgetGrid, TeacherGrid, TokenGrid, budget_grid, budgets_of, teacher_grid, token_grid
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.options import SUPERVISED, Option, Plan, solve
from distlaw.plan.problem import Bounds, Problem
from distlaw.plan.recipe import recipe, write_recipe
from distlaw.plan.teacher_table import TEACHER_COLUMNS, read_teachers
from distlaw.plan.teachers import NO_TEACHER, RankedTeacher, Teacher, loss_from_bits_per_byte, rank_teachers
from distlaw.plan.uncertainty import OptionUncertainty, confidence_sentences, plan_uncertainty
from distlaw.plan.verdict import SITUATIONS, Comparison, Verdict, judge

__all__ = [
    "NO_TEACHER",
    "SITUATIONS",
    "SUPERVISED",
    "TEACHER_COLUMNS",
    "Bounds",
    "BudgetGrid",
    "Comparison",
    "Crossover",
    "Optimum",
    "Option",
    "OptionUncertainty",
    "Plan",
    "Problem",
    "RankedTeacher",
    "Ratios",
    "Teacher",
    "TeacherGrid",
    "TokenGrid",
    "Verdict",
    "budget_grid",
    "budgets_of",
    "compute_crossovers",
    "confidence_sentences",
    "distilled_optimum",
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
