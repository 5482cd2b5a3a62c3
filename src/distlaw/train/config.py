"""What a run is, as a tree of dataclasses: TOML in, resolved TOML out, and a hash that is the run's id."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from distlaw.reading import Path as TablePath
from distlaw.reading import one_line, read_toml, shown, toml_table
from distlaw.runs import written_whole
from distlaw.train.data import DataConfig
from distlaw.train.losses import LossConfig
from distlaw.train.model import ModelConfig
from distlaw.train.mup import BASE_WIDTH, ParametrisationName
from distlaw.train.tables import checked

_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
_MOST_TABLES = 8  # in the key of --set


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how fast: AdamW with decoupled decay, warm-up and a cosine, gradients clipped.

    The defaults are section 5's but for the batch and the rate, which small models want smaller and larger.

    Attributes:
        tokens: Target tokens to train on; rounded to whole steps.
        batch_tokens: Target tokens of a step over all ranks, a multiple of the context.
        micro_batch_tokens: Most target tokens that one rank holds in memory at once; None: all of its share.
        rate: Peak learning rate at the base width.
        final_rate: Rate at the end, over the peak.
        warmup: Share of the steps in which the rate rises.
        weight_decay: Decoupled; torch multiplies it by the rate.
        clip: Largest norm of the gradient.
        beta1: Of AdamW.
        beta2: Of AdamW.
        epsilon: Of AdamW.
        parametrisation: mup, or standard.
        base_width: Width at which muP's rates are the rate.
        precision: fp32, or bf16 for the forward and backward pass.
        order_seed: Of the order of the data; siblings of a run share it.
        checkpoint_every: Steps between checkpoints; 0: one a tenth of the run.
        keep: Checkpoints kept.
        log_every: Steps between lines of metrics.
        validation_tokens: Target tokens of validation that the run is measured on at its end; 0: all there are.
    """

    tokens: int = 1_000_000
    batch_tokens: int = 2048
    micro_batch_tokens: int | None = None
    rate: float = 0.03
    final_rate: float = 1e-3
    warmup: float = 0.02
    weight_decay: float = 1e-4
    clip: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    parametrisation: ParametrisationName = "mup"
    base_width: int = BASE_WIDTH
    precision: Literal["fp32", "bf16"] = "fp32"
    order_seed: int = 0
    checkpoint_every: int = 0
    keep: int = 2
    log_every: int = 10
    validation_tokens: int = 262_144

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_tokens", "base_width", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("order_seed", "checkpoint_every", "validation_tokens"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("rate", "clip", "epsilon"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("final_rate", "warmup", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be 0 or more and below 1, got {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay}")
        if self.tokens < self.batch_tokens:
            raise ValueError(f"tokens ({self.tokens}) must be at least one step's batch_tokens ({self.batch_tokens})")

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return round(self.tokens / self.batch_tokens)

    def rate_at(self, step: int) -> float:
        """Share of the peak rate at a step: linear warm-up, then a cosine down to `final_rate` (section 5)."""
        warm = max(round(self.warmup * self.steps), 1)
        if step < warm:
            return (step + 1) / warm
        course = (step - warm) / max(self.steps - 1 - warm, 1)
        return self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * min(course, 1.0)))


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """Where the teacher is, and which tokens of its targets are kept.

    Attributes:
        path: A run directory of ours, a folder that `transformers` opens, or a GGUF file.
        targets: A folder that `distlaw targets capture` wrote; empty: the teacher is asked while the student trains.
    """

    path: str = ""
    targets: str = ""

    def __post_init__(self) -> None:
        if not (self.path or self.targets):
            raise ValueError("path is empty: name the teacher's folder, here or as --teacher")


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """One of several students on one teacher pass; what is not given is as in the run.

    Attributes:
        name: Its folder under `students/`.
        model: Shape.
        seed: Of the initial weights.
        loss: Loss.
    """

    name: str
    model: ModelConfig = field(default_factory=ModelConfig)
    seed: int = 0
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if not self.name or set(self.name) - set(_NAME) or self.name.startswith("."):
            raise ValueError(
                f"name '{one_line(self.name)}' must be of letters, digits, '-', '_' and '.', as in lambda-0.5"
            )
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")

    @property
    def has_teacher(self) -> bool:
        """Whether lambda is ever above 0."""
        return any(self.loss.mixing_at(share / 100) > 0 for share in range(101))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A run: data, models, training, and for a student its teacher and loss.

    Attributes:
        data: What is read.
        training: How long and how fast.
        students: What is trained, side by side on the same batches; one for an ordinary run.
        teacher: Whom they learn from; None: supervised.
        split: Which split is trained on.
    """

    data: DataConfig
    training: TrainingConfig
    students: tuple[StudentConfig, ...]
    teacher: TeacherConfig | None = None
    split: Literal["teacher", "student"] = "teacher"

    def __post_init__(self) -> None:
        names = [student.name for student in self.students]
        if not names:
            raise ValueError("students is empty: a run trains at least one model")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"students: the name '{sorted(twice)[0]}' is given twice")
        if self.training.batch_tokens % self.data.context:
            raise ValueError(
                f"batch_tokens ({self.training.batch_tokens}) must be a multiple of the context ({self.data.context})"
            )
        for student in self.students if self.teacher is None else ():
            if student.has_teacher:
                raise ValueError(
                    f"loss.mixing of '{student.name}' is {student.loss.mixing}, and there is no teacher: give one, or 0"
                )

    @property
    def id(self) -> str:
        """Hash of what decides the results; where data and teacher lie does not: they have hashes of their own."""
        content = asdict(self)
        del content["data"]["paths"], content["data"]["tokenizer"]
        if content["teacher"] is not None:
            content["teacher"]["path"] = ""
        for unimportant in ("checkpoint_every", "keep", "log_every"):
            del content["training"][unimportant]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_config(path: Path, *, distill: bool, overrides: Sequence[str] = (), teacher: str | None = None) -> RunConfig:
    """Read a run's TOML file.

    Tables are `[data]`, `[model]`, `[training]`, and for distillation `[loss]` and `[teacher]`; `seed` stands above
    them. Each `[[students]]` is a student of its own: a `name`, and what differs: `seed`, `model`, `loss`.

    Args:
        path: The file.
        distill: Whether there is a teacher; without one the loss is supervised.
        overrides: Values that replace the file's, as `training.rate=0.01`, the right side in TOML.
        teacher: Replaces the file's `teacher.path`.

    Raises:
        ValueError: The file cannot be read, or a key is unknown or a value wrong; one line that names it.
    """
    content = read_toml(path, "config")
    for override in overrides:
        _override(content, override)
    try:
        if teacher is not None:
            content["teacher"] = {**_table(content, "teacher"), "path": teacher}
        return config_of(content, distill=distill)
    except ValueError as error:
        raise ValueError(f"config '{one_line(path)}': {error}") from None


def config_of(content: Mapping[str, Any], *, distill: bool) -> RunConfig:
    """A run from the tables of its TOML file; see `read_config`."""
    content = dict(content)
    shared = {"model": _table(content, "model"), "seed": content.get("seed", 0), "loss": _table(content, "loss")}
    if not distill:
        shared["loss"] = {"mixing": 0.0, **shared["loss"]}
    listed = content.get("students", [{"name": "student" if distill else "model"}])
    if not isinstance(listed, list | tuple):
        raise ValueError(f"students must be a list of tables, [[students]], got {shown(listed)}")
    for number, entry in enumerate(listed):
        if not isinstance(entry, Mapping):
            raise ValueError(f"students.{number} must be a table, got {shown(entry)}")
    if distill and "teacher" not in content:
        raise ValueError("the table [teacher] is missing: name the teacher's folder, there or as --teacher")
    if not distill and "teacher" in content:
        raise ValueError("the table [teacher] is for `distlaw distill`")

    def written(path: TablePath) -> TablePath:
        """What a student has from the tables above it was written there."""
        match path:
            case ("students", int(number), part, *rest) if part in shared:
                own: Any = listed[number].get(part)
                if own is None or (isinstance(own, Mapping) and rest and rest[0] not in own):
                    return (part, *rest)
        return path

    students = [
        {**{name: _merged(value, entry.get(name, value)) for name, value in shared.items()}, **_others(entry, shared)}
        for entry in listed
    ]
    defaults = {"data": {}, "training": {}, "split": "student" if distill else "teacher"}
    return checked(RunConfig, {**defaults, **_others(content, shared), "students": students}, written)


def write_config(config: RunConfig, path: Path) -> None:
    """Write a resolved config, from which alone the run can be repeated."""
    with written_whole(path, "config") as temporary:
        temporary.write_text(toml_text(asdict(config)), encoding="utf-8")


def toml_text(content: Mapping[str, Any]) -> str:
    """Nested tables as TOML, without what is None."""
    import tomli_w

    return tomli_w.dumps(_without_none(dict(content)))


def read_resolved(path: Path) -> RunConfig:
    """Read a file that `write_config` wrote.

    Raises:
        ValueError: It cannot be read, or is no such file; names it.
    """
    content = read_toml(path, "config")
    try:
        return checked(RunConfig, content)
    except ValueError as error:
        raise ValueError(f"'{one_line(path)}' is no run's config ({one_line(error)})") from None


def of_student(config: RunConfig, name: str) -> RunConfig:
    """The run of one student alone."""
    return replace(config, students=tuple(s for s in config.students if s.name == name))


def _override(content: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    said = one_line(text, 100)
    *tables, last = key.strip().split(".")
    if not (sign and last and value.strip()):
        raise ValueError(f"--set '{said}' must name a key and its value, as training.rate=0.01")
    try:
        parsed = toml_table(f"value = {value}")["value"]
    except ValueError as error:
        if not str(error).startswith("is not TOML"):
            raise ValueError(f"--set '{said}' {error}") from None
        parsed = value.strip()  # a word needs no quotes
    if len(tables) > _MOST_TABLES:
        raise ValueError(f"--set '{said}' names a key that is too deep: it is as training.rate")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise ValueError(f"--set '{said}': {table} is no table")
    content[last] = parsed


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} must be a table, [{name}], got {shown(found)}")
    return dict(found)


def _others(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in names}


def _merged(base: Any, own: Any) -> Any:  # noqa: ANN401
    return {**base, **own} if isinstance(base, Mapping) and isinstance(own, Mapping) else own


def _without_none(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
