"""Costs: from a model's shape to parameters, FLOPs, GPU-hours and money."""

from distlaw.costs.architecture import FEWEST_PARAMS, PAPER_FAMILY, Architecture, Family, closed_form_forward_flops
from distlaw.costs.hardware import ACCELERATORS, Accelerator, Bill, Machine, accelerator
from distlaw.costs.hugging_face import architecture_from_config, read_architecture
from distlaw.costs.scenarios import SCENARIOS, CostModel, Flops, Scenario, student_cost

__all__ = [
    "ACCELERATORS",
    "FEWEST_PARAMS",
    "PAPER_FAMILY",
    "SCENARIOS",
    "Accelerator",
    "Architecture",
    "Bill",
    "CostModel",
    "Family",
    "Flops",
    "Machine",
    "Scenario",
    "accelerator",
    "architecture_from_config",
    "closed_form_forward_flops",
    "read_architecture",
    "student_cost",
]
