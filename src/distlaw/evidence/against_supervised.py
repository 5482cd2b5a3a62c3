"""Distilled students against supervised ones of their size, at equal tokens and at equal compute: runs and verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distlaw.costs import SCENARIOS, student_cost
from distlaw.evidence.alone import LAW, Alone
from distlaw.evidence.answer import LEVEL, CannotSay
from distlaw.evidence.cells import Cells
from distlaw.evidence.prices import Prices
from distlaw.laws import StudentLaw, SupervisedLaw

Array = NDArray[np.float64]

BASES = {
    "equal tokens": "best-case",
    "teacher inference paid": "teacher-inference",
    "teacher wholly paid": "teacher-pretraining-and-inference",
}
"""What is held equal, and the scenario of table 2 that the distilled student is charged with."""


@dataclass(frozen=True, kw_only=True)
class Duel:
    """One distilled cell against supervised training.

    Attributes:
        student_params: N_S.
        student_tokens: D_S.
        teacher_params: N_T; NaN where not known.
        teacher_loss: L_T, nats per token.
        supervised_tokens: Tokens of the supervised student that is compared with.
        compute: FLOPs of either; NaN where prices are not known.
        loss: L_S as measured, nats per token.
        supervised_loss: Loss of the supervised student, from its own curve.
        method: How that is known: see `distlaw.evidence.alone`.
        lead: Nats by which the distilled student is ahead.
        interval: 90 % interval of the lead, from seed noise of both sides and, beyond the curve, the law's resamples.
        predicted_lead: Lead that the laws say.
    """

    student_params: float
    student_tokens: float
    teacher_params: float
    teacher_loss: float
    supervised_tokens: float
    compute: float
    loss: float
    supervised_loss: float
    method: str
    lead: float
    interval: tuple[float, float]
    predicted_lead: float

    @property
    def clear(self) -> bool:
        """Whether the runs tell who is ahead, beyond noise."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def agrees(self) -> bool:
        """Whether the laws put the same one ahead as the runs."""
        return (self.predicted_lead > 0) == (self.lead > 0)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All distilled cells on one basis.

    Attributes:
        basis: Key of `BASES`.
        duels: One for each cell whose supervised opponent has runs of its size.
        distilled_ahead: Clear duels in which the distilled student is ahead.
        supervised_ahead: Clear duels in which it is behind.
        unclear: Duels within the noise.
        agreed: Clear duels in which the laws say the same.
        disagreed: Clear duels in which they say the opposite, the largest miss first.
    """

    basis: str
    duels: tuple[Duel, ...]
    distilled_ahead: int
    supervised_ahead: int
    unclear: int
    agreed: int
    disagreed: tuple[Duel, ...]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where supervised training overtakes one student and teacher as tokens grow.

    Attributes:
        basis: Key of `BASES`.
        student_params: N_S.
        teacher_params: N_T; NaN where not known.
        teacher_loss: L_T, nats per token.
        tokens: D_S measured, fewest first.
        leads: Nats by which the distilled student is ahead there.
        status: `crosses` (ahead beyond noise at some tokens, behind beyond noise at more), `ahead throughout`,
            `behind throughout`, or `unclear`.
        at: D_S of the crossing, by interpolation in log D_S; NaN where there is none in range.
        interval: 90 % interval of it over the draws that cross.
        predicted: D_S up to which the laws have distillation ahead: inf where beyond 1000 times the most measured,
            0 where below a thousandth of the fewest.
    """

    basis: str
    student_params: float
    teacher_params: float
    teacher_loss: float
    tokens: tuple[float, ...]
    leads: tuple[float, ...]
    status: str
    at: float
    interval: tuple[float, float]
    predicted: float


@dataclass(frozen=True, kw_only=True)
class AgainstSupervised:
    """Distillation against supervised training.

    Attributes:
        form: Form of the distillation law whose verdicts were checked.
        comparisons: By basis; or why there is none.
        crossings: For students with two numbers of tokens or more under one teacher.
    """

    form: str
    comparisons: Mapping[str, Comparison | CannotSay]
    crossings: tuple[Crossing, ...]


def against_supervised(
    cells: Cells,
    alone: Alone,
    losses: Array,
    *,
    prices: Prices | CannotSay,
    supervised: SupervisedLaw,
    law: StudentLaw,
    predicted: Array,
    form: str,
) -> AgainstSupervised:
    """Compare every distilled cell with supervised training of its student, as it ran and as the laws say.

    Args:
        cells: Distilled cells.
        alone: What students reach alone.
        losses: Losses of the cells and draws of them, shape (1 + draws, cells).
        prices: Forward FLOPs per token; without them there is no comparison at equal compute.
        supervised: The supervised law.
        law: The distillation law, for crossings.
        predicted: L_S that a distillation law says of each cell; fairest, one that has not seen its teacher.
        form: Form of that law.
    """
    comparisons: dict[str, Comparison | CannotSay] = {}
    crossings: list[Crossing] = []
    for basis in BASES:
        found = _equal_tokens(cells, basis, prices)
        if isinstance(found, CannotSay):
            comparisons[basis] = found
            continue
        tokens, compute = found
        usable = np.isfinite(tokens)
        usable &= np.array([alone.method(float(N), 1.0) != LAW for N in cells.student_params])
        if not usable.any():
            comparisons[basis] = CannotSay(because="no distilled student has supervised runs of its size and prices")
            continue
        chosen, D = cells.select(usable), tokens[usable]
        against = alone.loss(chosen.student_params, D)
        leads = against - losses[:, usable]
        says = supervised.loss(chosen.student_params, D) - predicted[usable]
        low, high = np.percentile(leads[1:], [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
        duels = tuple(
            Duel(
                student_params=float(chosen.student_params[i]),
                student_tokens=float(chosen.student_tokens[i]),
                teacher_params=float(chosen.teacher_params[i]),
                teacher_loss=float(chosen.teacher_loss[i]),
                supervised_tokens=float(D[i]),
                compute=float(compute[usable][i]),
                loss=float(chosen.loss[i]),
                supervised_loss=float(against[0, i]),
                method=alone.method(float(chosen.student_params[i]), float(D[i])),
                lead=float(leads[0, i]),
                interval=(float(low[i]), float(high[i])),
                predicted_lead=float(says[i]),
            )
            for i in range(len(chosen))
        )
        clear = [duel for duel in duels if duel.clear]
        comparisons[basis] = Comparison(
            basis=basis,
            duels=duels,
            distilled_ahead=sum(duel.lead > 0 for duel in clear),
            supervised_ahead=sum(duel.lead < 0 for duel in clear),
            unclear=len(duels) - len(clear),
            agreed=sum(duel.agrees for duel in clear),
            disagreed=tuple(sorted((d for d in clear if not d.agrees), key=lambda d: -abs(d.lead - d.predicted_lead))),
        )
        crossings += _crossings(chosen, leads, basis, prices, supervised, law)
    return AgainstSupervised(form=form, comparisons=comparisons, crossings=tuple(crossings))


def _equal_tokens(cells: Cells, basis: str, prices: Prices | CannotSay) -> tuple[Array, Array] | CannotSay:
    """Tokens that supervised training of the same student gets for what the basis charges, and the FLOPs of that."""
    if isinstance(prices, CannotSay):
        if basis == "equal tokens":
            return cells.student_tokens, np.full(len(cells), np.nan)
        return prices
    F_S, F_T = prices.forward_flops(cells.student_params), prices.forward_flops(cells.teacher_params)
    scenario = SCENARIOS[BASES[basis]]
    cost = student_cost(
        F_S=F_S,
        D_S=cells.student_tokens,
        F_T=np.where(prices.covers(cells.teacher_params), F_T, np.nan),
        D_T=cells.teacher_tokens,
        teacher_logits=scenario.teacher_logits,
        teacher_pretraining=scenario.teacher_pretraining,
    )
    parts = [cost.student_training]
    parts += [cost.teacher_logits] if scenario.teacher_logits else []
    parts += [cost.teacher_training] if scenario.teacher_pretraining else []
    total = np.sum(parts, axis=0)
    return total / (3 * F_S), total


def _crossings(
    cells: Cells,
    leads: Array,
    basis: str,
    prices: Prices | CannotSay,
    supervised: SupervisedLaw,
    law: StudentLaw,
) -> list[Crossing]:
    keys = np.nan_to_num(np.stack([cells.student_params, cells.teacher_params, cells.teacher_loss], axis=1), nan=-1.0)
    _, member = np.unique(keys, axis=0, return_inverse=True)
    member = member.reshape(-1)
    found = []
    for i in range(int(member.max()) + 1):
        own = np.flatnonzero(member == i)
        own = own[np.argsort(cells.student_tokens[own])]
        if own.size < 2:
            continue
        x, y = np.log(cells.student_tokens[own]), leads[:, own]
        low, high = np.percentile(y[1:], [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0)
        ahead, behind = np.flatnonzero(low > 0), np.flatnonzero(high < 0)
        at, interval = float("nan"), (float("nan"), float("nan"))
        if ahead.size and behind.size and ahead[-1] < behind[0]:
            status = "crosses"
            drawn = np.array([_last_fall(x, row) for row in y])
            at = float(np.exp(drawn[0]))
            ends = np.nanpercentile(drawn[1:], [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
            interval = (float(np.exp(ends[0])), float(np.exp(ends[1])))
        else:
            all_ahead, all_behind = ahead.size == own.size, behind.size == own.size
            status = "ahead throughout" if all_ahead else "behind throughout" if all_behind else "unclear"
        found.append(
            Crossing(
                basis=basis,
                student_params=float(cells.student_params[own[0]]),
                teacher_params=float(cells.teacher_params[own[0]]),
                teacher_loss=float(cells.teacher_loss[own[0]]),
                tokens=tuple(float(v) for v in cells.student_tokens[own]),
                leads=tuple(float(v) for v in y[0]),
                status=status,
                at=at,
                interval=interval,
                predicted=_predicted(cells.select(own), basis, prices, supervised, law),
            )
        )
    return found


def _last_fall(x: Array, lead: Array) -> float:
    """Logarithm of the D_S at which the lead falls through 0 for the last time; NaN where it does not."""
    falls = np.flatnonzero((lead[:-1] > 0) & (lead[1:] <= 0))
    if not falls.size:
        return float("nan")
    i = falls[-1]
    return float(x[i] + (x[i + 1] - x[i]) * lead[i] / (lead[i] - lead[i + 1]))


def _predicted(
    cells: Cells, basis: str, prices: Prices | CannotSay, supervised: SupervisedLaw, law: StudentLaw
) -> float:
    """D_S at which the laws' lead of one student under one teacher falls through 0 for the last time."""
    D = np.geomspace(cells.student_tokens.min() / 1e3, cells.student_tokens.max() * 1e3, 1200)
    wide = replace(cells.select(np.zeros(D.size, dtype=np.intp)), student_tokens=D)
    found = _equal_tokens(wide, basis, prices)
    assert not isinstance(found, CannotSay)
    lead = supervised.loss(wide.student_params, found[0]) - law.student_loss(wide.student_params, D, wide.teacher_loss)
    if lead[-1] > 0:
        return float("inf")
    at = _last_fall(np.log(D), lead)
    return 0.0 if np.isnan(at) else float(np.exp(at))
