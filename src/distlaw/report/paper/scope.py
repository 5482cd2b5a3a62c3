"""How large the models of a figure are, so that the figures of any law show where it was fitted and some way beyond."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.costs import FEWEST_PARAMS, PAPER_FAMILY, CostModel
from distlaw.evidence import CannotSay
from distlaw.evidence.prices import read_prices
from distlaw.laws import PublishedLaw
from distlaw.plan import Bounds
from distlaw.runs import Runs

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_STUDENTS = (3e8, 1e9, 3e9, 1e10)  # figure 8
_MIDDLE = 1.14e9  # of the sizes that the paper's law was fitted on, 103M to 12.6B
_COMPUTE = (1e20, 1e26)  # figure 8
_REFERENCE = 5.46e8  # a size in the middle of the paper's IsoFLOP profiles
_MANY = 8


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Sizes, tokens and budgets of the paper's figures, or the same multiplied for a law of smaller or larger models.

    Attributes:
        students: Four sizes N_S or so.
        ratio: Sizes over the paper's, a power of ten.
        costs: What a token costs.
        fitted_range: Lowest and highest of what the law was fitted on, by the names of `distlaw.laws.PublishedLaw`.
    """

    students: tuple[float, ...] = _STUDENTS
    ratio: float = 1.0
    costs: CostModel = field(default_factory=CostModel)
    fitted_range: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        law: PublishedLaw,
        *,
        students: Sequence[float] | None = None,
        runs: Runs | None = None,
        costs: CostModel | None = None,
    ) -> "Scope":
        """The scope of a law.

        Args:
            law: Its fitted sizes are what the paper's are multiplied to.
            students: Sizes to show instead.
            runs: Runs whose computes say what a token costs, where `costs` does not.
            costs: What a token costs; that of the paper's family by default.
        """
        found = law.fitted_range.get("student_params")
        known = students or found
        middle = _MIDDLE if known is None else float(np.exp(np.mean(np.log([min(known), max(known)]))))
        ratio = float(10.0 ** np.round(np.log10(middle / _MIDDLE)))
        if costs is None and runs is not None and not isinstance(prices := read_prices(runs), CannotSay):
            costs = CostModel(forward_flops=prices.forward_flops)
        return cls(
            students=tuple(sorted(students)) if students else tuple(float(f"{ratio * N:.3g}") for N in _STUDENTS),
            ratio=ratio,
            costs=costs or CostModel(),
            fitted_range=law.fitted_range,
        )

    @property
    def bounds(self) -> Bounds:
        """The paper's bounds; their lower ends lie lower for models that are smaller."""
        least = 1e6 * min(self.ratio, 1.0)
        smallest = max(least, float(FEWEST_PARAMS))
        return Bounds(student_tokens=(least, 1e17), teacher_params=(smallest, 1e17), teacher_tokens=(least, 1e17))

    @property
    def many_students(self) -> Array:
        """Eight sizes over the same range."""
        return np.geomspace(self.students[0], self.students[-1], _MANY)

    def size(self, paper: ArrayLike) -> Array:
        """What stands here for sizes or tokens of the paper."""
        return np.asarray(paper, dtype=np.float64) * self.ratio

    def flops(self, paper: ArrayLike) -> Array:
        """What stands here for a budget of the paper: as many tokens per parameter, to a power of ten."""
        here = float(self.costs.student_flops(self.ratio * _REFERENCE)) * self.ratio
        times = here / float(PAPER_FAMILY.forward_flops(_REFERENCE))
        return np.asarray(paper, dtype=np.float64) * 10.0 ** np.round(np.log10(times))

    def budgets(self, points: int = 49) -> Array:
        """Budgets of figure 8, evenly spaced in the logarithm."""
        return log_range(self.flops(_COMPUTE), points)

    def fitted(self, **quantities: ArrayLike) -> Mask:
        """Where all of these lie in the ranges that the law was fitted on; a range that is not known holds all."""
        inside = np.asarray(True)
        for name, value in quantities.items():
            low, high = self.fitted_range.get(name, (0.0, np.inf))
            inside = inside & (np.asarray(value) >= low * (1 - 1e-3)) & (np.asarray(value) <= high * (1 + 1e-3))
        return inside

    def teacher_losses(self, *others: float, points: int = 121) -> Array:
        """Teacher losses around those that the law was fitted on, and `others`.

        Args:
            *others: More that they must reach.
            points: How many.
        """
        ends = np.array([*self.fitted_range.get("teacher_loss", ()), *others])
        ends = ends[np.isfinite(ends)]
        assert ends.size, "the law has no fitted teachers and none were given"
        margin = 0.06 * (ends.max() - ends.min())
        return np.linspace(ends.min() - margin, ends.max() + margin, points)


def log_range(ends: Sequence[float] | Array, points: int) -> Array:
    """Points between two ends, evenly spaced in the logarithm."""
    return np.geomspace(ends[0], ends[1], points)
