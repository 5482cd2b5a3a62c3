"""Where the lead passes between distillation and supervised training, and what distilling saves (figures 33 and 34)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.costs import CostModel, Scenario
from distlaw.laws import StudentLaw
from distlaw.plan.optimum import Optimum, distilled_optimum, supervised_optimum
from distlaw.plan.problem import Bounds
from distlaw.plan.sign_changes import SignChanges, Span, sign_changes, spans_above

Array = NDArray[np.float64]

CROSSES, NEVER_AHEAD, ALWAYS_AHEAD = "crosses", "distillation never ahead", "distillation ahead throughout"
TAKES_LEAD, LOSES_LEAD = "distillation takes the lead", "supervised training takes the lead"

_NO_LEAD = 1e-10  # nats; the rounding of two optima is below it


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One change of the lead, going up in compute (or in tokens).

    Attributes:
        at: FLOPs or tokens.
        direction: `distillation takes the lead` or `supervised training takes the lead`.
        student_loss: L_S there, nats per token.
        student_tokens: D of the supervised student there.
        distilled_tokens: D_S of the distilled student there.
        teacher_params: N_T of its best teacher; None where any teacher of the best loss will do.
        teacher_tokens: D_T of that teacher.
        teacher_loss: L_T of that teacher.
    """

    at: float
    direction: str
    student_loss: float
    student_tokens: float
    distilled_tokens: float
    teacher_params: float | None
    teacher_tokens: float | None
    teacher_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Lead:
    """Where distillation is ahead of supervised training, for one student and one scenario.

    Attributes:
        student_params: N_S.
        searched: Lowest and highest compute (or tokens) that was searched and can be paid for.
        crossings: Every change of the lead, in order.
        ahead: Spans in which distillation is ahead.
        clearly_ahead: Spans in which it is ahead by more than the law's resolution.
        clearly_behind: Spans in which it is behind by more than that.
        resolution: That resolution in nats; 0 where none was given, and the clear spans are then the others.
        margin: Nats by which distillation must be ahead to count as ahead.
        by_form: The same under each law that fits the runs about as well; the clear spans are then those of all.
    """

    student_params: float
    searched: Span
    crossings: tuple[Crossing, ...]
    ahead: tuple[Span, ...]
    clearly_ahead: tuple[Span, ...]
    clearly_behind: tuple[Span, ...]
    resolution: float
    margin: float = 0.0
    by_form: Mapping[str, "Lead"] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """`crosses`, `distillation never ahead` or `distillation ahead throughout`, for the range searched."""
        if self.crossings:
            return CROSSES
        return ALWAYS_AHEAD if self.ahead else NEVER_AHEAD

    @property
    def last_lost(self) -> Crossing | None:
        """The last crossing at which supervised training takes the lead; None where it never does."""
        return next((one for one in reversed(self.crossings) if one.direction == LOSES_LEAD), None)

    def ahead_words(self, unit: str = "FLOPs") -> str:
        """Where distillation is ahead, such as `ahead below 5.4e+21 FLOPs`."""
        what = f"ahead by {self.margin:g} nats or more" if self.margin else "ahead"
        if not self.ahead:
            return f"nowhere {what}" if self.margin else "behind throughout"
        return _spans_in_words(what, self.ahead, self.searched, unit)

    def clear_words(self, unit: str = "FLOPs") -> str:
        """Where one is ahead by more than the resolution; empty where none was given."""
        if not self.resolution:
            return ""
        laws = " under every law" if len(self.by_form) > 1 else ""
        clear = [
            _spans_in_words(f"{word} by more than {self.resolution:.2g} nats{laws}", spans, self.searched, unit)
            for word, spans in (("ahead", self.clearly_ahead), ("behind", self.clearly_behind))
            if spans
        ]
        if not clear:
            return f"nowhere by more than {self.resolution:.2g} nats{laws}" + ("" if laws else ": too close to call")
        elsewhere = (
            [] if laws or any(text.endswith("throughout") for text in clear) else ["too close to call elsewhere"]
        )
        return "; ".join([*clear, *elsewhere])

    def words(self, unit: str = "FLOPs") -> str:
        """The whole range in words."""
        notes = [text for text in (self.clear_words(unit), self.other_laws(unit)) if text]
        return self.ahead_words(unit) + (f" ({'; '.join(notes)})" if notes else "")

    def other_laws(self, unit: str = "FLOPs") -> str:
        """Where laws that fit the runs about as well put the last loss of the lead; empty without any."""
        lost = [one.last_lost for one in self.by_form.values()]
        at = [one.at for one in lost if one is not None]
        if len(lost) < 2 or not at:
            return ""
        never = f"; {len(lost) - len(at)} of them nowhere" if len(at) < len(lost) else ""
        return (
            f"{len(lost)} laws that fit the runs put its end at {min(at):.2e} to {max(at):.2e} {unit}".rstrip() + never
        )


def _spans_in_words(what: str, spans: Sequence[Span], searched: Span, unit: str) -> str:
    parts = []
    for low, high in spans:
        from_start, to_end = low <= searched[0], high >= searched[1]
        if from_start and to_end:
            return f"{what} throughout"
        if from_start:
            parts.append(f"below {high:.2e} {unit}".rstrip())
        elif to_end:
            parts.append(f"above {low:.2e} {unit}".rstrip())
        else:
            parts.append(f"from {low:.2e} to {high:.2e} {unit}".rstrip())
    return f"{what} {' and '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Leads of several student sizes, and the last point at which distillation stops being ahead.

    Attributes:
        student_params: N_S, shape (n,).
        leads: For each size where distillation is ahead and every crossing.
        at: Compute in FLOPs, or tokens, from which supervised training stays ahead, shape (n,); NaN where there is no
            such point.
        status: `crosses`, `distillation never ahead` or `distillation ahead throughout`, for the range searched.
        student_loss: L_S at `at`, nats per token, shape (n,).
        student_tokens: D_S of the supervised student there, shape (n,).
        distilled_tokens: D_S of the distilled student there, shape (n,).
    """

    student_params: Array
    leads: tuple[Lead, ...]

    @property
    def at(self) -> Array:
        """See above."""
        return self._last("at")

    @property
    def status(self) -> tuple[str, ...]:
        """See above."""
        return tuple(lead.status for lead in self.leads)

    @property
    def student_loss(self) -> Array:
        """See above."""
        return self._last("student_loss")

    @property
    def student_tokens(self) -> Array:
        """See above."""
        return self._last("student_tokens")

    @property
    def distilled_tokens(self) -> Array:
        """See above."""
        return self._last("distilled_tokens")

    def _last(self, name: str) -> Array:
        lost = [lead.last_lost for lead in self.leads]
        return np.array([np.nan if one is None else getattr(one, name) for one in lost], dtype=np.float64)


def compute_crossovers(
    law: StudentLaw,
    N_S: ArrayLike,
    scenarios: Sequence[Scenario],
    *,
    compute_range: tuple[float, float] = (1e17, 1e30),
    margin: float = 0.0,
    resolution: float = 0.0,
    forms: Mapping[str, StudentLaw] | None = None,
    bounds: Bounds | None = None,
    costs: CostModel | None = None,
) -> dict[str, Crossover]:
    """Where distillation is ahead of supervised training over compute, by scenario.

    Both get the same total compute, each at its own optimum.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,) or a number.
        scenarios: What distillation is charged with.
        compute_range: FLOPs searched.
        margin: Nats by which distillation must be ahead to count as ahead.
        resolution: Nats that the law can tell; spans with a larger lead are given as clear ones.
        forms: Laws that fit the same runs about as well: clear is what is clear under each of them.
        bounds: Bounds of the search.
        costs: What a token costs.

    >>> from distlaw.costs import SCENARIOS
    >>> from distlaw.laws import published
    >>> law = published("busbridge2025").law
    >>> found = compute_crossovers(law, 1e9, [SCENARIOS["teacher-inference"]])["teacher-inference"]
    >>> found.leads[0].words()
    'ahead below 3.04e+21 FLOPs'
    """
    if forms:
        named = {"margin": margin, "resolution": resolution, "bounds": bounds, "costs": costs}
        asked = [law, *(form for form in forms.values() if form is not law)]
        found = [compute_crossovers(one, N_S, scenarios, compute_range=compute_range, **named) for one in asked]
        names = [next((name for name, form in forms.items() if form is one), "") for one in asked]
        return {name: _under_all(dict(zip(names, (one[name] for one in found), strict=True))) for name in found[0]}
    sizes = np.atleast_1d(np.asarray(N_S, dtype=np.float64))
    # One row for each pair of scenario and size, so that all of them are searched together.
    n = np.tile(sizes, len(scenarios))
    logits, pretraining = (
        np.repeat([getattr(scenario, share) for scenario in scenarios], sizes.size)
        for share in ("teacher_logits", "teacher_pretraining")
    )

    costs = costs or CostModel()
    serving = costs.student_flops(n) * costs.serving_tokens  # the scan is over what is left when it is paid for

    def both(rows: NDArray[np.intp], log_compute: Array) -> tuple[Optimum, Optimum]:
        compute, size = np.exp(log_compute) + serving[rows, None], n[rows, None]
        supervised = supervised_optimum(law.supervised, size, compute=compute, bounds=bounds, costs=costs)
        return supervised, distilled_optimum(
            law,
            size,
            teacher_logits=logits[rows, None],
            teacher_pretraining=pretraining[rows, None],
            compute=compute,
            bounds=bounds,
            costs=costs,
        )

    leads = _leads(both, n, compute_range, margin=margin, resolution=resolution, offsets=serving)
    return {
        scenario.name: Crossover(student_params=sizes, leads=leads[i * sizes.size : (i + 1) * sizes.size])
        for i, scenario in enumerate(scenarios)
    }


def token_crossover(
    law: StudentLaw,
    N_S: ArrayLike,
    *,
    token_range: tuple[float, float] = (1e6, 1e17),
    margin: float = 0.0,
    resolution: float = 0.0,
    bounds: Bounds | None = None,
) -> Crossover:
    """Where distillation from the best teacher is ahead of supervised training on the same tokens.

    Compute is free, so the scenario does not matter.

    Args:
        law: Distillation law.
        N_S: Student sizes, shape (n,) or a number.
        token_range: Tokens searched.
        margin: Nats by which distillation must be ahead to count as ahead.
        resolution: Nats that the law can tell; spans with a larger lead are given as clear ones.
        bounds: Bounds of the teacher.
    """
    sizes = np.atleast_1d(np.asarray(N_S, dtype=np.float64))

    def both(rows: NDArray[np.intp], log_tokens: Array) -> tuple[Optimum, Optimum]:
        tokens, size = np.exp(log_tokens), sizes[rows, None]
        return supervised_optimum(law.supervised, size, student_tokens=tokens, bounds=bounds), distilled_optimum(
            law, size, teacher_logits=0.0, teacher_pretraining=0.0, student_tokens=tokens, bounds=bounds
        )

    return Crossover(student_params=sizes, leads=_leads(both, sizes, token_range, margin=margin, resolution=resolution))


def _under_all(by_form: Mapping[str, Crossover]) -> Crossover:
    """The first law's leads, clear where those of all laws are."""
    first, *others = by_form.values()
    leads = []
    for i, lead in enumerate(first.leads):
        each = [lead, *(one.leads[i] for one in others)]
        leads.append(
            replace(
                lead,
                clearly_ahead=_common([one.clearly_ahead for one in each]),
                clearly_behind=_common([one.clearly_behind for one in each]),
                by_form={name: one.leads[i] for name, one in by_form.items()},
            )
        )
    return replace(first, leads=tuple(leads))


def _common(spans: Sequence[tuple[Span, ...]]) -> tuple[Span, ...]:
    """What lies in one of the spans of each."""
    found = list(spans[0])
    for others in spans[1:]:
        pairs = [(max(a, c), min(b, d)) for a, b in found for c, d in others]
        found = [(low, high) for low, high in pairs if low < high]
    return tuple(found)


def _leads(
    both: Callable[[NDArray[np.intp], Array], tuple[Optimum, Optimum]],
    sizes: Array,
    limits: tuple[float, float],
    *,
    margin: float,
    resolution: float,
    offsets: Array | None = None,
) -> tuple[Lead, ...]:
    """Leads of each row of a batch of problems; `both` solves rows (m,) at log budgets (m, k) above their offsets."""
    offsets = np.zeros(sizes.size) if offsets is None else offsets

    def lead(rows: NDArray[np.intp], x: Array) -> Array:
        supervised, distilled = both(rows, x)
        # Where distilling alone is not feasible it is behind; where nothing is, nobody is ahead.
        behind = np.where(supervised.feasible, -1.0, np.nan)
        return np.where(distilled.feasible, supervised.student_loss - distilled.student_loss, behind)

    logs = (float(np.log(limits[0])), float(np.log(limits[1])))
    levels = [margin + _NO_LEAD] + ([resolution, -resolution] if resolution else [])
    changes = sign_changes(lead, sizes.size, logs, levels)
    found = []
    for row, size in enumerate(sizes):
        zero = changes[0][row]
        start, offset = float(np.exp(zero.low)), float(offsets[row])

        def spans(found: SignChanges, offset: float = offset) -> tuple[Span, ...]:
            return tuple((low + offset, high + offset) for low, high in spans_above(found, limits[1]))

        clear = (zero, zero) if not resolution else (changes[1][row], changes[2][row])
        found.append(
            Lead(
                student_params=float(size),
                searched=(start + offset, limits[1] + offset),
                crossings=_crossings(both, row, zero.at, zero.rises, offset),
                ahead=spans(zero),
                clearly_ahead=spans(clear[0]),
                clearly_behind=spans(clear[1].negated),
                resolution=resolution,
                margin=margin,
            )
        )
    return tuple(found)


def _crossings(
    both: Callable[[NDArray[np.intp], Array], tuple[Optimum, Optimum]],
    row: int,
    at: Array,
    rises: NDArray[np.bool_],
    offset: float,
) -> tuple[Crossing, ...]:
    if not at.size:
        return ()
    supervised, distilled = both(np.array([row]), at[None, :])

    def number(values: Array, i: int) -> float | None:
        value = float(np.broadcast_to(values, (1, at.size))[0, i])
        return value if np.isfinite(value) else None

    def required(values: Array, i: int) -> float:
        value = number(values, i)
        return float("nan") if value is None else value

    return tuple(
        Crossing(
            at=float(np.exp(x)) + offset,
            direction=TAKES_LEAD if rises[i] else LOSES_LEAD,
            student_loss=required(supervised.student_loss, i),
            student_tokens=required(supervised.student_tokens, i),
            distilled_tokens=required(distilled.student_tokens, i),
            teacher_params=number(distilled.teacher_params, i),
            teacher_tokens=number(distilled.teacher_tokens, i),
            teacher_loss=number(distilled.teacher_loss, i),
        )
        for i, x in enumerate(at)
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
