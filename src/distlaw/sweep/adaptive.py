"""Adaptive studies: after each batch fit, and let `suggest` choose the next, until the target is known well enough."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from distlaw.fit import FORMS, NOT_CONVERGED, FitResult, FitSpec, find_law, fit_law
from distlaw.fit.suggest import Candidates, Points, space_filling, suggest
from distlaw.laws import DEFAULT_LAW
from distlaw.laws.base import StudentLaw, TeacherLaw
from distlaw.reading import made, one_line
from distlaw.runs import Runs
from distlaw.runs.checksum import UNCHECKED, sealed_text, unsealed, without_seal
from distlaw.sweep.collect import collect
from distlaw.sweep.protocols import Run
from distlaw.sweep.store import Store
from distlaw.sweep.study import Adaptive, Study

CHOICES, CHOICES_FORMAT = "choices.json", "distlaw-choices-1"

_MORE = 3  # runs above the number of coefficients before a fit is tried
_NO_RUNS: dict[str, Any] = {name: np.array([]) for name in ("student_params", "student_tokens", "student_loss")}


@dataclass(frozen=True, kw_only=True)
class Round:
    """What was known when a batch was chosen.

    Attributes:
        done: Runs done.
        flops: FLOPs spent on them.
        prediction: Of the target, in nats; None while there is no fit.
        deviation: Its standard deviation, in nats; None while there is no fit.
        chosen: Runs chosen next, teachers included.
    """

    done: int
    flops: float
    prediction: float | None
    deviation: float | None
    chosen: int


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How an adaptive study went.

    Attributes:
        rounds: In order; a batch that was begun before the study was stopped is one of them.
        reason: Why it ended: known, budget, or nothing left; empty while it goes on.
        flops: FLOPs spent.
        all_flops: FLOPs of the full grid.
    """

    rounds: tuple[Round, ...]
    reason: str
    flops: float
    all_flops: float


def read_choices(store: Store, damaged: Callable[[str], None]) -> Choices | None:
    """How an adaptive study has gone so far; None where it is none, or nobody knows.

    Args:
        store: The study's store.
        damaged: Told what is wrong, where it was written down and cannot be read.
    """
    content = store.read(CHOICES)
    if content is None:
        return None
    try:
        found = unsealed(content, f"{store.url}/{CHOICES}", CHOICES_FORMAT, before=UNCHECKED)
        return made(Choices, without_seal(found))
    except ValueError as error:
        damaged(f"'{one_line(store.url)}/{CHOICES}' is damaged ({one_line(error, 600)})")
        return None


def write_choices(store: Store, choices: Choices) -> None:
    """Write down how it goes, for `study report`."""
    store.write(CHOICES, sealed_text(asdict(choices), CHOICES_FORMAT).encode())


def choose_and_run(
    study: Study,
    run: Callable[[Collection[Run]], Mapping[str, Mapping[str, Any]] | None],
    *,
    before: Choices | None = None,
    telling: Callable[[Choices], None] = lambda _choices: None,
) -> Choices | None:
    """Run a study by what its runs tell.

    Args:
        study: A study with a table [adaptive].
        run: Does runs and gives the study's records; None when it was asked to stop.
        before: How it went before it was stopped.
        telling: Called before each batch with how it went so far.

    Returns:
        How it went; None when it was stopped. The same command goes on from what is done.
    """
    goal = study.adaptive
    assert goal is not None
    everything = dict(replace(study, limits=replace(study.limits, compute=float("inf"))).runs)
    every_flops = sum(study.flops(one) for one in everything)
    rounds = [] if before is None else list(before.rounds)
    records = run([])
    while records is not None:
        done = [one for one in everything if one.id in records]
        spent = sum(study.flops(one) for one in done)
        table = collect(study, records) if done else Runs(**_NO_RUNS)
        fit = _fit(goal, table)
        prediction, deviation = _known(fit, goal, table)
        left = study.limits.compute - spent
        chosen, reason = _next(study, goal, table, fit, [one for one in everything if one.id not in records], left)
        if deviation is not None and deviation <= goal.deviation:
            chosen, reason = [], "known"
        step = Round(done=len(done), flops=spent, prediction=prediction, deviation=deviation, chosen=len(chosen))
        rounds = [*(earlier for earlier in rounds if earlier.done < step.done), step]
        so_far = Choices(rounds=tuple(rounds), reason=reason, flops=spent, all_flops=every_flops)
        telling(so_far)
        if not chosen:
            return so_far
        known = len(records)
        records = run(chosen)
        if records is not None and len(records) == known:  # all of them failed
            everything = {one: names for one, names in everything.items() if one not in chosen}
    return None


def _fit(goal: Adaptive, table: Runs) -> FitResult | None:
    """A joint fit of both laws; None while the runs do not determine one."""
    needed = len(FORMS[goal.form].names) + len(FORMS["supervised"].names) + _MORE
    if len(table) < needed:
        return None
    spec = FitSpec(form=goal.form, joint=True, resamples=0)
    try:
        found = fit_law(table, spec)
    except ValueError:  # too few different sizes, tokens or teachers: more are on their way
        return None
    return None if found.status == NOT_CONVERGED else found


def _known(fit: FitResult | None, goal: Adaptive, table: Runs) -> tuple[float | None, float | None]:
    if fit is None:
        return None, None
    points = _target(goal)
    one = Candidates(**vars(points), flops=np.ones(1))
    doubt = suggest(fit, table, one, points)[0].before
    law = cast(StudentLaw, fit.law)
    prediction = float(law.student_loss(goal.student_params, goal.student_tokens, goal.teacher_loss))
    return prediction, doubt.deviation * prediction


def _next(
    study: Study, goal: Adaptive, table: Runs, fit: FitResult | None, left: list[Run], budget: float
) -> tuple[list[Run], str]:
    """The next batch, teachers included, and why it is empty if it is."""
    if not left:
        return [], "nothing left"
    candidates = _candidates(study, table, fit, left)
    if candidates.flops.min() > budget:
        return [], "budget"
    if fit is None:
        names = len(FORMS[goal.form].names) + len(FORMS["supervised"].names) + _MORE
        positions = space_filling(candidates, max(names - len(table), goal.batch), done=table, budget=budget)
    else:
        positions = [
            s.position for s in suggest(fit, table, candidates, _target(goal), batch=goal.batch, budget=budget)
        ]
    return [left[i] for i in positions], ""


def _candidates(study: Study, table: Runs, fit: FitResult | None, left: list[Run]) -> Candidates:
    """What is left, with the losses of teachers as measured or as the law expects them; an untrained one is paid."""
    law: TeacherLaw = find_law(DEFAULT_LAW).supervised if fit is None else cast(StudentLaw, fit.law).supervised
    measured = {
        (N, D): L
        for N, D, L in zip(table.teacher_params, table.teacher_tokens, table.teacher_loss, strict=True)
        if L == L
    }
    waiting = {one.id for one in left}
    L_T, flops = [], []
    for one in left:
        cost = study.flops(one)
        if one.teacher is None:
            L_T.append(float("nan"))
        else:
            N_T, D_T = study.shape(one.teacher).n_params, one.teacher.tokens
            L_T.append(float(measured.get((N_T, D_T), law.loss(N_T, D_T))))
            cost += study.flops(one.teacher) if one.teacher.id in waiting else 0.0
        flops.append(cost)
    return Candidates(
        student_params=np.array([float(study.shape(one).n_params) for one in left]),
        student_tokens=np.array([float(one.tokens) for one in left]),
        teacher_loss=np.array(L_T),
        flops=np.array(flops),
    )


def _target(goal: Adaptive) -> Points:
    values = {name: np.array([getattr(goal, name)]) for name in ("student_params", "student_tokens", "teacher_loss")}
    return Points(**values)
