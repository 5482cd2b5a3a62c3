"""Where supervised training overtakes distillation, and what distillation is worth before that (figures 33 and 34)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.costs import CostModel, Scenario
from distlaw.laws import StudentLaw
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.problem import Bounds

Array = NDArray[np.float64]

CROSSES, NEVER_AHEAD, ALWAYS_AHEAD = "crosses", "distillation never ahead", "distillation ahead throughout"


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """The last point at which distillation stops being ahead, for each student size.

    Attributes:
        student_params: N_S, shape (n,).
        at: Compute in FLOPs, or tokens, at the crossing, shape (n,); NaN where there is none.
        status: `crosses`, `distillation never ahead` or `distillation ahead throughout`, for the range searched.
        student_loss: L_S there, nats per token, shape (n,).
        student_tokens: D_S of the supervised student there, shape (n,).
        distilled_tokens: D_S of the distilled student there, shape (n,).
    """

    student_params: Array
    at: Array
    status: tuple[str, ...]
    student_loss: Array
    student_tokens: Array
    distilled_tokens: Array


def compute_crossovers(
    law: StudentLaw,
    N_S: ArrayLike,
    scenarios: Sequence[Scenario],
    *,
    compute_range: tuple[float, float] = (1e17, 1e30),
    margin: float = 0.0,
    bounds: Bounds | None = None,
    costs: CostModel | None = None,
) -> dict[str, Crossover]:
    """Compute from which supervised training is at least as good as distillation, by scenario.

    Both get the same total compute, each at its own optimum.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,) or a number.
        scenarios: What distillation is charged with.
        compute_range: FLOPs searched.
        margin: Nats by which distillation must be ahead to count as ahead.
        bounds: Bounds of the search.
        costs: What a token costs.

    >>> from distlaw.costs import SCENARIOS
    >>> from distlaw.laws import published
    >>> law = published("busbridge2025").law
    >>> found = compute_crossovers(law, 1e9, [SCENARIOS["teacher-inference"]])["teacher-inference"]
    >>> f"{found.status[0]} at {found.at[0]:.2e} FLOPs"
    'crosses at 3.66e+21 FLOPs'
    """
    sizes = np.atleast_1d(np.asarray(N_S, dtype=np.float64))
    # One row for each pair of scenario and size, so that all of them are searched together.
    n = np.tile(sizes, len(scenarios))[:, None]
    logits, pretraining = (
        np.repeat([getattr(scenario, share) for scenario in scenarios], sizes.size)[:, None]
        for share in ("teacher_logits", "teacher_pretraining")
    )

    def both(log_compute: Array) -> tuple[Optimum, Optimum]:
        compute = np.exp(log_compute)
        return supervised_optimum(law.supervised, n, compute=compute, bounds=bounds, costs=costs), distilled_optimum(
            law,
            n,
            teacher_logits=logits,
            teacher_pretraining=pretraining,
            compute=compute,
            bounds=bounds,
            costs=costs,
        )

    def lead(log_compute: Array) -> Array:
        supervised, distilled = both(log_compute)
        # Where distilling is not feasible it is not ahead, and where nothing is, neither is.
        return np.nan_to_num(supervised.student_loss - distilled.student_loss - margin, nan=-1.0)

    at, status = _last_lead(lead, n.size, compute_range)
    supervised, distilled = both(np.log(np.where(np.isnan(at), compute_range[0], at))[:, None])
    exists = np.where(np.isnan(at), np.nan, 1.0)
    found = {}
    for i, scenario in enumerate(scenarios):
        rows = slice(i * sizes.size, (i + 1) * sizes.size)
        found[scenario.name] = Crossover(
            student_params=sizes,
            at=at[rows],
            status=status[rows],
            student_loss=(exists * supervised.student_loss[:, 0])[rows],
            student_tokens=(exists * supervised.student_tokens[:, 0])[rows],
            distilled_tokens=(exists * distilled.student_tokens[:, 0])[rows],
        )
    return found


def token_crossover(
    law: StudentLaw,
    N_S: ArrayLike,
    *,
    token_range: tuple[float, float] = (1e6, 1e17),
    margin: float = 0.0,
    bounds: Bounds | None = None,
) -> Crossover:
    """Tokens from which supervised training is at least as good as distillation from the best teacher.

    Both see the same number of tokens and compute is free, so the scenario does not matter.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,) or a number.
        token_range: Tokens searched.
        margin: Nats by which distillation must be ahead to count as ahead.
        bounds: Bounds of the teacher.
    """
    bounds = bounds or Bounds()
    sizes = np.atleast_1d(np.asarray(N_S, dtype=np.float64))

    def lead(log_tokens: Array) -> Array:
        tokens = np.exp(log_tokens)
        distilled = distilled_optimum(
            law,
            sizes[:, None],
            teacher_logits=0.0,
            teacher_pretraining=0.0,
            student_tokens=tokens,
            bounds=bounds,
        )
        return law.supervised.loss(sizes[:, None], tokens) - distilled.student_loss - margin

    at, status = _last_lead(lead, sizes.size, token_range)
    return Crossover(
        student_params=sizes,
        at=at,
        status=status,
        student_loss=law.supervised.loss(sizes, np.where(np.isnan(at), 1.0, at)) + 0 * at,
        student_tokens=at,
        distilled_tokens=at,
    )


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """What reaching a loss by distillation takes, as a share of what supervised training takes (figures 33 and 34).

    Below 1 distillation is cheaper. NaN where neither reaches the loss, 0 where only distillation does and inf where
    only supervised training does.

    Attributes:
        data: D_S distilled over D supervised.
        compute: Total FLOPs distilled over supervised.
    """

    data: Array
    compute: Array


def ratios_to_supervised(
    law: StudentLaw,
    N_S: ArrayLike,
    target_loss: ArrayLike,
    scenario: Scenario,
    *,
    bounds: Bounds | None = None,
    costs: CostModel | None = None,
) -> Ratios:
    """Data and compute ratios of distillation to supervised training for a target (N_S, L_S).

    Args:
        law: Distillation law.
        N_S: Student parameters.
        target_loss: L_S to reach, nats per token.
        scenario: What distillation is charged with; the plan with the least compute is taken.
        bounds: Bounds of the search.
        costs: What a token costs.
    """
    supervised = supervised_optimum(law.supervised, N_S, target_loss=target_loss, bounds=bounds, costs=costs)
    distilled = distilled_optimum(
        law,
        N_S,
        teacher_logits=scenario.teacher_logits,
        teacher_pretraining=scenario.teacher_pretraining,
        target_loss=target_loss,
        bounds=bounds,
        costs=costs,
    )

    def ratio(ours: Array, theirs: Array) -> Array:
        ours, theirs = np.broadcast_arrays(ours, theirs)
        only_one = np.where(np.isnan(ours), np.where(np.isnan(theirs), np.nan, np.inf), 0.0)
        return np.where(np.isnan(ours) | np.isnan(theirs), only_one, ours / theirs)[()]

    return Ratios(
        data=ratio(distilled.student_tokens, supervised.student_tokens),
        compute=ratio(distilled.flops.total, supervised.flops.total),
    )


def _last_lead(
    lead: Callable[[Array], Array], count: int, limits: tuple[float, float]
) -> tuple[Array, tuple[str, ...]]:
    """Last x at which `lead` turns from positive to not positive.

    Args:
        lead: Maps log x of shape (count, k) or (1, k) to leads of shape (count, k).
        count: Problems.
        limits: Range of x.

    Returns:
        x, NaN where there is no such point, and what was found instead.
    """
    grid = np.linspace(np.log(limits[0]), np.log(limits[1]), 64)
    leads = lead(grid[None, :])
    ahead = leads > 0
    last = np.where(ahead.any(axis=1), ahead.shape[1] - 1 - np.argmax(ahead[:, ::-1], axis=1), -1)
    status = tuple(NEVER_AHEAD if index < 0 else ALWAYS_AHEAD if index == grid.size - 1 else CROSSES for index in last)
    crosses = (last >= 0) & (last < grid.size - 1)
    assert leads.shape == (count, grid.size)
    pair = np.where(crosses, last, 0)[:, None] + np.arange(2)
    ends = np.where(crosses[:, None], grid[pair], grid[0])
    values = np.take_along_axis(leads, pair, axis=1)
    while (ends[:, 1] - ends[:, 0]).max() > 1e-6 * (grid[1] - grid[0]):
        points = _within(ends, values)
        values = np.concatenate([values[:, :1], lead(points[:, 1:-1]), values[:, 1:]], axis=1)
        ahead = values > 0
        ahead[:, 0], ahead[:, -1] = True, False
        pair = (ahead.shape[1] - 1 - np.argmax(ahead[:, ::-1], axis=1))[:, None] + np.arange(2)
        ends, values = (np.take_along_axis(a, pair, axis=1) for a in (points, values))
    high = ends[:, 1]
    return np.where(crosses, np.exp(high), np.nan), status


def _within(ends: Array, values: Array) -> Array:
    """Points in brackets of shape (n, 2), ends among them, in order, shape (n, 14).

    Eighths, and close around where the secant meets zero: three rounds are enough where the lead is smooth, seven where
    it is not.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # brackets of no width
        root = values[:, :1] / (values[:, :1] - values[:, 1:])
    near = np.nan_to_num(root, nan=0.5) + np.array([-1e-2, -1e-4, 0, 1e-4, 1e-2])
    eighths = np.broadcast_to(np.linspace(0, 1, 9), (len(ends), 9))
    shares = np.sort(np.clip(np.concatenate([near, eighths], axis=1), 0, 1), axis=1)
    return ends[:, :1] + np.diff(ends, axis=1) * shares
