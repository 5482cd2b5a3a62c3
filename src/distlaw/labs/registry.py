"""Labs by name. A lab is imported when it is asked for, since some need torch and the command must answer at once."""

from importlib import import_module

from distlaw.labs.lab import Lab
from distlaw.runs import one_line

NAMES = (
    "kernel-regression",
    "pointer-mapping",
    "calibration",
    "temperature",
    "mixing",
    "learning-rate",
    "truncation",
    "divergence",
    "patience",
    "weak-to-strong",
    "flops",
    "handover",
)
"""In the order of the evidence page. The lab `a-b` is the module `a_b` of this room."""


def open_lab(name: str) -> Lab:
    """The lab of a name.

    Raises:
        ValueError: There is none.
    """
    if name not in NAMES:
        raise ValueError(f"lab '{one_line(name)}' is unknown; choose {', '.join(NAMES)}, or all")
    return import_module(f"distlaw.labs.{name.replace('-', '_')}").LAB
