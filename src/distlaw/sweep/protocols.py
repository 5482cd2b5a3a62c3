"""Protocols: grids of students, alone or under grids of teachers, that say which runs a study holds (section 7)."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from distlaw.costs import Architecture
from distlaw.runs import one_line

Baseline = Literal["tokens", "compute"]
Split = Literal["teacher", "student"]
Shape = Callable[[int], Architecture]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Models of some sizes, each trained for some number of tokens.

    The paper's "fixed-M" grid gives `tokens_per_param`, its IsoFLOP profiles give `compute`.

    Attributes:
        params: N, non-embedding parameters; each is rounded to the nearest member of the family.
        tokens_per_param: M = D / N.
        tokens: D.
        compute: C in FLOPs of a model's own training: D = C / (3 F(N)).
        least_tokens_per_param: Combinations with a smaller D / N are left out.
        most_tokens_per_param: Combinations with a larger D / N are left out.
    """

    params: tuple[float, ...]
    tokens_per_param: tuple[float, ...] = ()
    tokens: tuple[float, ...] = ()
    compute: tuple[float, ...] = ()
    least_tokens_per_param: float = 0.0
    most_tokens_per_param: float = float("inf")

    def __post_init__(self) -> None:
        if not self.params:
            raise ValueError("params is empty: give at least one size, as params = [1e6]")
        ways = [name for name in ("tokens_per_param", "tokens", "compute") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError(
                "how long models train must be given in one way: one of tokens_per_param, tokens and compute,"
                f" got {' and '.join(ways) or 'none'}"
            )
        for name in ("params", *ways):
            for value in getattr(self, name):
                if not 0 < value < float("inf"):
                    raise ValueError(f"{name} must be positive, got {value}")
        if not 0 <= self.least_tokens_per_param <= self.most_tokens_per_param:
            raise ValueError(
                f"least_tokens_per_param ({self.least_tokens_per_param}) must be 0 or more and at most"
                f" most_tokens_per_param ({self.most_tokens_per_param})"
            )

    def models(self, nearest: Callable[[float], int], shape: Shape) -> Iterator[tuple[int, float]]:
        """Layers and tokens of every model.

        Args:
            nearest: Layers of the member nearest to N.
            shape: Architecture of a member by its layers.
        """
        for layers in dict.fromkeys(nearest(N) for N in self.params):
            N, F = shape(layers).n_params, shape(layers).forward_flops
            lengths = [M * N for M in self.tokens_per_param] + [*self.tokens] + [C / (3 * F) for C in self.compute]
            for D in lengths:
                if self.least_tokens_per_param <= D / N <= self.most_tokens_per_param:
                    yield layers, D


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A grid of students; with a grid of teachers, every student under every teacher.

    Attributes:
        name: What tables call it.
        students: The students, or the models of a supervised protocol.
        teachers: Their teachers; none for a supervised protocol.
        seeds: Of the students; a seed decides the initial weights and the order of the data.
        teacher_seeds: Of the teachers.
        baselines: Supervised runs of each student beside it: at equal `tokens`, and at equal `compute`, which is what
            the student and the teacher's forward passes cost.
        only_stronger: Leave out teachers that are smaller than the student and saw fewer tokens.
        loss: What its distilled students have instead of the study's [loss], as loss = { mixing = 0.5 }.
        training: What its students and their baselines have instead of the study's [training]; teachers are the
            study's own.
        family: What they have instead of the study's [family], as family = { aspect_ratio = 32 }.
    """

    students: Grid
    name: str = ""
    teachers: Grid | None = None
    seeds: tuple[int, ...] = (0,)
    teacher_seeds: tuple[int, ...] = (0,)
    baselines: tuple[Baseline, ...] = ()
    only_stronger: bool = False
    loss: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    family: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("seeds", "teacher_seeds"):
            values = getattr(self, name)
            if not values:
                raise ValueError(f"{name} is empty: give at least one, as {name} = [0]")
            if len(set(values)) < len(values) or min(values) < 0:
                raise ValueError(f"{name} must be different whole numbers of 0 or more, got {list(values)}")
        if self.baselines and self.teachers is None:
            raise ValueError("baselines are for students with teachers: this protocol has no teachers")
        if self.loss and self.teachers is None:
            raise ValueError("loss is for students with teachers: this protocol has no teachers")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model to be trained; equal runs are one run, whichever protocols ask for it.

    Attributes:
        layers: Depth, which fixes the member of the family.
        tokens: D, whole steps.
        seed: Of weights and order of data.
        split: Whose part of the data it reads.
        teacher: Its teacher; None: supervised.
        settings: Hash of what all runs of the study share.
    """

    layers: int
    tokens: int
    seed: int
    split: Split
    settings: str
    teacher: "Run | None" = None
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.settings, self.layers, self.tokens, self.seed, self.split, self.teacher and self.teacher.id)
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        object.__setattr__(self, "id", digest[:16])

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What runs of one kind have in common: students, their baselines, or teachers.

    Attributes:
        settings: See `Run`.
        nearest: Layers of the member nearest to N.
        shape: Architecture of a member by its layers.
        steps: Tokens rounded to whole steps; at least one.
    """

    settings: str
    nearest: Callable[[float], int]
    shape: Shape
    steps: Callable[[float], int]

    def models(self, grid: Grid) -> list[tuple[int, int]]:
        """Layers and tokens of a grid's models."""
        return [(layers, self.steps(D)) for layers, D in grid.models(self.nearest, self.shape)]


def runs_of(protocol: Protocol, *, student: Kind, alone: Kind, teacher: Kind) -> Iterator[Run]:
    """Every run that a protocol asks for, teachers first; some may come twice.

    Args:
        protocol: The protocol.
        student: Distilled students.
        alone: Supervised ones.
        teacher: Teachers.

    Raises:
        ValueError: The protocol asks for nothing.
    """
    found = False
    if protocol.teachers is None:
        for layers, D in alone.models(protocol.students):
            for seed in protocol.seeds:
                found = True
                yield Run(layers=layers, tokens=D, seed=seed, split="student", settings=alone.settings)
    else:
        students = student.models(protocol.students)
        for T, D_T in teacher.models(protocol.teachers):
            for teacher_seed in protocol.teacher_seeds:
                above = Run(layers=T, tokens=D_T, seed=teacher_seed, split="teacher", settings=teacher.settings)
                yield above
                for layers, D in students:
                    if protocol.only_stronger and layers >= T and D_T <= D:
                        continue
                    for seed in protocol.seeds:
                        found = True
                        own = {"layers": layers, "seed": seed, "split": "student"}
                        yield Run(**own, tokens=D, settings=student.settings, teacher=above)
                        F_S, F_T = alone.shape(layers).forward_flops, teacher.shape(T).forward_flops
                        lengths = {"tokens": D, "compute": alone.steps(D * (1 + F_T / (3 * F_S)))}
                        for kind in protocol.baselines:
                            yield Run(**own, tokens=lengths[kind], settings=alone.settings)
    if not found:
        raise ValueError(
            f"protocol '{one_line(protocol.name)}' asks for no run: its limits on tokens_per_param leave none"
        )
