"""A study file: data, family, training, protocols and limits in TOML, by path or by a preset's name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from distlaw.costs import Architecture, Family
from distlaw.reading import MOST_TOML_BYTES, one_line, read_text
from distlaw.runs import parse_quantity
from distlaw.runs.checksum import sealed_toml, unsealed_toml
from distlaw.sweep.protocols import Kind, Protocol, Run, runs_of
from distlaw.train.config import TrainingConfig, toml_text
from distlaw.train.data import DataConfig
from distlaw.train.losses import LossConfig
from distlaw.train.model import ModelConfig
from distlaw.train.tables import checked

FORMAT = "distlaw-study-1"
_SIZES = ("params", "tokens", "compute", "tokens_per_param", "least_tokens_per_param", "most_tokens_per_param")
_OF_EACH_RUN = {"family": ("layers", "width"), "training": ("tokens", "order_seed", "checkpoint_every"), "loss": ()}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a study may cost, and how its runs are put together.

    Attributes:
        compute: Most FLOPs of all runs; the dearest are left out until the rest fits.
        epochs: How often a run may read its part of the data.
        students_per_pass: Most students that share one forward pass of their teacher.
        attempts: How often a run may fail before it is given up.
        processes_per_run: Processes, one a GPU where there are GPUs, that train one run under torchrun.
    """

    compute: float = float("inf")
    epochs: float = 1.0
    students_per_pass: int = 4
    attempts: int = 3
    processes_per_run: int = 1

    def __post_init__(self) -> None:
        for name in ("compute", "epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("students_per_pass", "attempts", "processes_per_run"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Choose runs by what they tell about a target, a batch at a time, until it is known well enough.

    Attributes:
        student_params: N_S of the target.
        student_tokens: D_S of the target.
        teacher_loss: L_T of the target, in nats.
        deviation: The standard deviation of the prediction, in nats, that is good enough.
        batch: Runs chosen at a time.
        form: Functional form that is fitted.
    """

    student_params: float
    student_tokens: float
    teacher_loss: float
    deviation: float
    batch: int = 8
    form: str = "peaked-tokens"

    def __post_init__(self) -> None:
        for name in ("student_params", "student_tokens", "teacher_loss", "deviation"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.batch < 1:
            raise ValueError(f"batch must be 1 or more, got {self.batch}")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a run is made, apart from its size, tokens, seed and teacher.

    Attributes:
        family: Shape of the models.
        training: How they are trained.
        loss: Loss, where there is a teacher.
    """

    family: ModelConfig
    training: TrainingConfig
    loss: LossConfig

    def changed(self, protocol: Protocol) -> "Setup":
        """This with what a protocol changes.

        Raises:
            ValueError: A key is unknown or set by each run, or a value is wrong.
        """
        found = {}
        for table, owner in (("family", ModelConfig), ("training", TrainingConfig), ("loss", LossConfig)):
            changes = getattr(protocol, table)
            for name in changes:
                if name in _OF_EACH_RUN[table]:
                    raise ValueError(f"{table}.{name} is set by each run of a study; leave it out")
            if "batch_tokens" in changes:
                changes = {**changes, "tokens": changes["batch_tokens"]}  # any number that a run could have
            try:
                found[table] = checked(owner, {**asdict(getattr(self, table)), **changes})
            except ValueError as error:
                raise ValueError(f"{table}.{error}") from None
        return Setup(**found)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that decides a study's runs.

    Attributes:
        data: What is read.
        protocols: Which runs.
        family: Shape of the models; `layers` is set by a run.
        training: How; tokens and order are set by a run.
        loss: Loss of the distilled students.
        limits: What it may cost.
        adaptive: If given, runs are chosen as the study goes on.
        about: A line for people.
    """

    data: DataConfig
    protocols: tuple[Protocol, ...]
    family: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    limits: Limits = field(default_factory=Limits)
    adaptive: Adaptive | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if not self.protocols:
            raise ValueError("protocols is empty: a study has at least one table [[protocols]]")
        if self.family.width is not None:
            raise ValueError("family.width: sizes of a study are members of the family; give aspect_ratio instead")
        for number, (protocol, setup) in enumerate(zip(self.protocols, self._changed, strict=True), start=1):
            batch = setup.training.batch_tokens
            if batch % self.data.context:
                where = f"protocol '{one_line(protocol.name or number)}': " if protocol.training else ""
                raise ValueError(
                    f"{where}training.batch_tokens ({batch}) must be a multiple of data.context ({self.data.context})"
                )

    @property
    def own(self) -> Setup:
        """How runs are made where a protocol changes nothing."""
        return Setup(family=self.family, training=self.training, loss=self.loss)

    @cached_property
    def settings(self) -> str:
        """Hash of what decides results and is the same in all runs, where no protocol changes it."""
        return self._settings(self.own)

    def setup(self, run: Run) -> Setup:
        """How a run is made."""
        return self._setups[run.settings]

    def shape(self, run: Run) -> Architecture:
        """Architecture of a run's model."""
        return self._shape(self.setup(run).family, run.layers)

    @cached_property
    def _changed(self) -> tuple[Setup, ...]:
        """What each protocol makes of the study's own."""
        found = []
        for number, protocol in enumerate(self.protocols, start=1):
            try:
                found.append(self.own.changed(protocol))
            except ValueError as error:
                raise ValueError(f"protocol '{one_line(protocol.name or number)}': {error}") from None
        return tuple(found)

    @cached_property
    def _setups(self) -> dict[str, Setup]:
        """By the hash that runs carry."""
        every = [self.own, *self._changed, *(replace(setup, loss=self.loss) for setup in self._changed)]
        return {self._settings(setup): setup for setup in every}

    def _settings(self, setup: Setup) -> str:
        data = asdict(self.data)
        del data["paths"], data["tokenizer"]
        tables = asdict(setup)
        for name in ("layers", *_OF_EACH_RUN["training"], "keep", "log_every"):
            tables["family"].pop(name, None)
            tables["training"].pop(name, None)
        content = {"data": data, **tables}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _shape(self, family: ModelConfig, layers: int) -> Architecture:
        return _shape(family, layers, self.data.vocab_size, self.data.context)

    def kind(self, setup: Setup | None = None) -> Kind:
        """What runs of one setup have in common; by default those where no protocol changes anything."""
        setup = setup or self.own
        batch = setup.training.batch_tokens
        return Kind(
            settings=self._settings(setup),
            nearest=lambda N: self._nearest(setup.family, N),
            shape=lambda layers: self._shape(setup.family, layers),
            steps=lambda D: batch * max(round(D / batch), 1),
        )

    def _nearest(self, c: ModelConfig, N: float) -> int:
        """Layers of the member of a family whose N is nearest, by ratio."""
        family = Family(
            aspect_ratio=c.aspect_ratio,
            d_head=c.head_size,
            ffn_ratio=c.ffn_ratio,
            ffn_multiple=c.ffn_multiple,
            n_vocab=self.data.vocab_size,
            n_ctx=self.data.context,
        )
        return family.nearest(N).n_layers

    @cached_property
    def runs(self) -> dict[Run, tuple[str, ...]]:
        """Every run once, a teacher before its students, and the names of the protocols that ask for it.

        Raises:
            ValueError: The budget does not pay for one run.
        """
        found: dict[Run, dict[str, None]] = {}
        teacher = self.kind()
        for number, (protocol, setup) in enumerate(zip(self.protocols, self._changed, strict=True), start=1):
            name = protocol.name or f"protocol {number}"
            student, alone = self.kind(setup), self.kind(replace(setup, loss=self.loss))
            for run in runs_of(protocol, student=student, alone=alone, teacher=teacher):
                found.setdefault(run, {})[name] = None
        return self._affordable({run: tuple(names) for run, names in found.items()})

    @cached_property
    def left_out(self) -> int:
        """Runs that the budget does not pay for."""
        if self.limits.compute == float("inf"):
            return 0
        return len(replace(self, limits=replace(self.limits, compute=float("inf"))).runs) - len(self.runs)

    def flops(self, run: Run) -> float:
        """FLOPs of a run alone: 3 F D of the model, and F_T D of its teacher's forward passes (eq. 9)."""
        own = 3 * self.shape(run).forward_flops * run.tokens
        return own + (self.shape(run.teacher).forward_flops * run.tokens if run.teacher else 0.0)

    def _affordable(self, runs: dict[Run, tuple[str, ...]]) -> dict[Run, tuple[str, ...]]:
        """The cheapest runs that fit the budget together, each with its teacher."""
        budget = self.limits.compute
        costs = {run: self.flops(run) for run in runs}
        if sum(costs.values()) <= budget:
            return runs
        kept: set[Run] = set()
        spent = 0.0
        for run in sorted(runs, key=lambda r: costs[r] + (costs[r.teacher] if r.teacher else 0.0)):
            needed = {r for r in (run, run.teacher) if r is not None} - kept
            if spent + sum(costs[r] for r in needed) <= budget:
                kept |= needed
                spent += sum(costs[r] for r in needed)
        if not kept:
            raise ValueError(
                f"limits.compute ({budget:.3g} FLOPs) is less than the cheapest run costs"
                f" ({min(costs.values()):.3g} FLOPs)"
            )
        return {run: names for run, names in runs.items() if run in kept}


@lru_cache(maxsize=1024)
def _shape(family: ModelConfig, layers: int, vocab_size: int, context: int) -> Architecture:
    return replace(family, layers=layers).architecture(vocab_size=vocab_size, context=context)


def presets() -> list[str]:
    """Names of the presets."""
    folder = files("distlaw.sweep") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_study(name: str) -> Study:
    """Read a study file, or a preset by its name.

    Args:
        name: Path of a TOML file, or a name that `presets` lists.

    Raises:
        ValueError: There is no such file or preset, a key is unknown or a value wrong; one line that names it.
    """
    if name in presets():
        text = (files("distlaw.sweep") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        path = Path(name)
        if not path.exists() and path.suffix != ".toml" and len(path.parts) == 1:
            raise ValueError(
                f"study '{one_line(name)}' is neither a preset ({', '.join(presets())}) nor a file that is there"
            )
        try:
            text = read_text(path, MOST_TOML_BYTES)
        except ValueError as error:
            raise ValueError(f"study '{one_line(name)}' {error}") from None
    found = study_of(text, name)
    try:
        _ = found.runs
    except ValueError as error:
        raise ValueError(f"study '{one_line(name)}': {error}") from None
    return found


def study_of(text: str, name: str) -> Study:
    """A study from the text of its file; `name` is for messages."""
    try:
        return checked(Study, _sizes(unsealed_toml(text, name, FORMAT)))
    except ValueError as error:
        raise ValueError(f"study '{one_line(name)}': {error}") from None


def study_text(study: Study) -> str:
    """A study as TOML that checks itself, from which alone it can be repeated."""
    content = asdict(study)
    for name in _OF_EACH_RUN["training"]:
        del content["training"][name]
    del content["family"]["layers"]
    return sealed_toml(toml_text(content), FORMAT)


def _sizes(content: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of grids as people write them, 546M for 546e6; and what a run sets is refused in [training]."""
    content = dict(content)
    training, family = content.get("training", {}), content.get("family", {})
    for name in _OF_EACH_RUN["training"]:
        if isinstance(training, dict) and name in training:
            raise ValueError(f"training.{name} is set by each run of a study; leave it out")
    if isinstance(training, dict) and isinstance(batch := training.get("batch_tokens"), int):
        content["training"] = {**training, "tokens": max(batch, 1)}  # any number that a run could have
    if isinstance(family, dict) and "layers" in family:
        raise ValueError("family.layers is set by each run of a study; leave it out")

    def number(value: Any, where: str) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [number(item, where) for item in value]
        if not isinstance(value, str):
            return value
        try:
            return parse_quantity(value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    protocols = content.get("protocols", [])
    if isinstance(protocols, list) and all(isinstance(protocol, dict) for protocol in protocols):
        content["protocols"] = [dict(protocol) for protocol in protocols]
        for i, protocol in enumerate(content["protocols"]):
            for side in ("students", "teachers"):
                if isinstance(grid := protocol.get(side), dict):
                    protocol[side] = {
                        k: number(v, f"protocols.{i}.{side}.{k}") if k in _SIZES else v for k, v in grid.items()
                    }
    for table, names in (("limits", ("compute",)), ("adaptive", ("student_params", "student_tokens"))):
        if isinstance(entries := content.get(table), dict):
            content[table] = {k: number(v, f"{table}.{k}") if k in names else v for k, v in entries.items()}
    return content
