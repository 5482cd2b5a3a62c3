"""What labs that train have in common: the data, models and teachers of each preset, and runs beside their records.

A lab that trains is a study (`distlaw.sweep`) and a reading of its records. All labs build on one study and choose
among the same teachers and students, so that a run that two of them ask for is trained once, and students of one
teacher that read the same tokens share its forward passes whichever labs they are for.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from distlaw.labs.findings import Effect, Preset, over_seeds
from distlaw.sweep.protocols import Grid, Protocol, Run
from distlaw.sweep.study import Limits, Setup, Study
from distlaw.train.config import TrainingConfig
from distlaw.train.data import DataConfig
from distlaw.train.model import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of a preset.

    Attributes:
        base: Data, family and training; its protocols are a placeholder.
        teachers: weak (small and briefly trained), good (near the best for the students), strong (far ahead of them).
        students: N of a small and of a larger student.
        tokens: What students train on where a lab does not vary it.
        seeds: How many.
    """

    base: Study
    teachers: Mapping[str, Grid]
    students: tuple[float, float]
    tokens: float
    seeds: int

    def study(self, protocols: Iterable[Protocol]) -> Study:
        """The preset's study with these protocols."""
        return Study(
            data=self.base.data,
            family=self.base.family,
            training=self.base.training,
            limits=self.base.limits,
            protocols=tuple(protocols),
        )

    def name_of(self, teacher: Run) -> str:
        """Name of a teacher among `teachers`."""
        kind = self.base.kind()
        return next(
            name for name, grid in self.teachers.items() if (teacher.layers, teacher.tokens) in kind.models(grid)
        )


def seeds_from(first: int, count: int) -> tuple[int, ...]:
    """Seeds of a lab."""
    return tuple(range(first, first + count))


def _one(params: float, tokens: float) -> Grid:
    return Grid(params=(params,), tokens=(tokens,))


def _base(data: DataConfig, family: ModelConfig, *, validation_tokens: int) -> Study:
    training = TrainingConfig(batch_tokens=1024, tokens=1024, rate=0.03, validation_tokens=validation_tokens)
    return Study(
        data=data,
        family=family,
        training=training,
        limits=Limits(students_per_pass=8),
        protocols=(Protocol(students=_one(1e3, 1e5)),),
    )


def scale(preset: Preset) -> Scale:
    """Sizes of `quick`, on a synthetic language, or `full`, on the English text of the `tiny` study."""
    if preset == "quick":
        return Scale(
            base=_base(
                DataConfig(source="synthetic", vocab_size=256, context=64, synthetic_tokens=8_000_000),
                ModelConfig(aspect_ratio=8, head_size=8),
                validation_tokens=65_536,
            ),
            teachers={"weak": _one(1e3, 131_072), "good": _one(20e3, 524_288), "strong": _one(48e3, 1_048_576)},
            students=(1e3, 6e3),
            tokens=131_072,
            seeds=3,
        )
    return Scale(
        base=_base(
            DataConfig(source="debian", vocab_size=512, context=128, validation_share=0.03, student_share=0.485),
            ModelConfig(aspect_ratio=16, head_size=16),
            validation_tokens=131_072,
        ),
        teachers={"weak": _one(27e3, 1e6), "good": _one(201e3, 4e6), "strong": _one(398e3, 8e6)},
        students=(27e3, 83e3),
        tokens=0.5e6,
        seeds=3,
    )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run and what came of it.

    Attributes:
        run: The run.
        setup: How it was made.
        params: N.
        loss: Cross-entropy against held-out data, nats per token.
        teacher_loss: Its teacher's on the same tokens; None without a teacher.
        flops: Of the run alone, its teacher's forward passes included (eq. 9).
        evaluation: All that was measured; see `distlaw.train.evaluate.Evaluation`.
    """

    run: Run
    setup: Setup
    params: int
    loss: float
    teacher_loss: float | None
    flops: float
    evaluation: Mapping[str, Any]


def trials_of(study: Study, records: Mapping[str, Mapping[str, Any]]) -> tuple[Trial, ...]:
    """Every run of a study that is done."""
    return tuple(
        Trial(
            run=run,
            setup=study.setup(run),
            params=study.shape(run).n_params,
            loss=record["student_loss"],
            teacher_loss=record.get("teacher_loss"),
            flops=study.flops(run),
            evaluation=record["evaluation"],
        )
        for run in study.runs
        if (record := records.get(run.id)) is not None
    )


def by_protocol(study: Study, trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials by the protocols that ask for them, of which there may be several."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        for name in study.runs[trial.run]:
            found.setdefault(name, []).append(trial)
    return found


def by_seed(trials: Iterable[Trial], value: Callable[[Trial], float] = lambda trial: trial.loss) -> dict[int, float]:
    """A number of each trial, by its seed.

    Raises:
        ValueError: Two trials have one seed, so that they differ in something else.
    """
    found: dict[int, float] = {}
    for trial in trials:
        if trial.run.seed in found:
            raise ValueError(f"two trials have seed {trial.run.seed}")
        found[trial.run.seed] = value(trial)
    return found


def difference(one: Mapping[int, float], other: Mapping[int, float], unit: str = "nats") -> Effect:
    """Mean over seeds of `one` minus `other`, paired: runs of one seed share initial weights and order of data."""
    return over_seeds([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())], unit)


def chosen_by_others(losses: Mapping[float, Mapping[int, float]]) -> dict[int, float]:
    """For each seed, the setting of least mean loss over the other seeds; a single seed chooses for itself.

    The least of noisy numbers is lower than what it is the least of. What a seed has at a setting that it had no say
    in is not, so that a lead is not made by choosing.

    Args:
        losses: By setting and seed; every setting has every seed.

    >>> chosen_by_others({1.0: {0: 3.0, 1: 2.0}, 2.0: {0: 2.5, 1: 2.6}})
    {0: 1.0, 1: 2.0}
    """
    seeds = sorted(next(iter(losses.values())))

    def of_others(setting: float, seed: int) -> float:
        return sum(loss for other, loss in losses[setting].items() if other != seed or len(seeds) == 1)

    return {seed: min(losses, key=lambda setting, seed=seed: of_others(setting, seed)) for seed in seeds}
