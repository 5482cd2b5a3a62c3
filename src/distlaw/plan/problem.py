"""The planner's question: a student, what may be spent, and what bounds hold."""

from dataclasses import dataclass, field

import numpy as np

from distlaw.costs import SCENARIOS, CostModel, Scenario

MOST_TEACHER_TOKENS = 2e13
"""More than any open teacher is known to have been trained on."""

_WORST_LOSS = 12.0  # of any vocabulary in use


def require_quantity(value: float, name: str) -> None:
    """Check that a quantity is a finite number above zero.

    Raises:
        ValueError: Names the quantity and its value.
    """
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value:g}")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Least and most of what the planner may choose.

    The defaults are the paper's, but for the teacher's tokens: the paper allows 1e17, and no teacher has seen more than
    about 20T. A cap on student or teacher tokens says how much unique text there is: the laws hold for text that is not
    repeated.

    Attributes:
        student_tokens: D_S.
        teacher_params: N_T.
        teacher_tokens: D_T.
    """

    student_tokens: tuple[float, float] = (1e6, 1e17)
    teacher_params: tuple[float, float] = (1e6, 1e17)
    teacher_tokens: tuple[float, float] = (1e6, MOST_TEACHER_TOKENS)

    def __post_init__(self) -> None:
        for name in ("student_tokens", "teacher_params", "teacher_tokens"):
            low, high = getattr(self, name)
            require_quantity(low, f"least {name}")
            require_quantity(high, f"most {name}")
            if low > high:
                raise ValueError(f"{name}: the least, {low:g}, is above the most, {high:g}")


PAPER_BOUNDS = Bounds(teacher_tokens=(1e6, 1e17))
"""The paper's: N_T, D_S and D_T from 1e6 to 1e17."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One question to the planner. Exactly one of `compute`, `student_tokens` and `target_loss` is given.

    Attributes:
        student_params: N_S, non-embedding parameters.
        compute: Budget C in FLOPs that training (and what the scenario charges for) may take: seeks the lowest loss.
        student_tokens: Budget D_S in tokens, compute being free: seeks the teacher with the lowest student loss.
        target_loss: Student loss to reach, nats per token: seeks the least compute.
        bounds: Bounds of the search.
        costs: What a token costs.
        students: K students share the teacher's pretraining.
        cached_fraction: Share of the student's targets read from a cache.
        shared_logits: Whether the K students share one teacher pass.
    """

    student_params: float
    compute: float | None = None
    student_tokens: float | None = None
    target_loss: float | None = None
    bounds: Bounds = field(default_factory=Bounds)
    costs: CostModel = field(default_factory=CostModel)
    students: float = 1.0
    cached_fraction: float = 0.0
    shared_logits: bool = False

    def __post_init__(self) -> None:
        require_quantity(self.student_params, "student_params")
        goals = {name: getattr(self, name) for name in ("compute", "student_tokens", "target_loss")}
        given = [name for name, value in goals.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(goals)}; got {' and '.join(given) if given else 'none of them'}"
            )
        require_quantity(goals[given[0]], given[0])  # pyright: ignore[reportArgumentType]
        if self.target_loss is not None and self.target_loss > _WORST_LOSS:
            raise ValueError(
                f"target_loss {self.target_loss:g} is no loss in nats per token that a model could have: a uniform"
                f" guess over 160k entries has {_WORST_LOSS:g}"
            )
        fewest = self.bounds.student_tokens[0]
        if self.student_tokens is not None and self.student_tokens < fewest:
            raise ValueError(f"student_tokens {self.student_tokens:g} is below the least allowed, {fewest:g}")
        _ = self.scenarios  # refuses sharing that makes no sense

    @property
    def scenarios(self) -> list[Scenario]:
        """The four scenarios of table 2 with this problem's sharing and caching."""
        return [
            scenario.shared(
                students=self.students, cached_fraction=self.cached_fraction, shared_logits=self.shared_logits
            )
            for scenario in SCENARIOS.values()
        ]
