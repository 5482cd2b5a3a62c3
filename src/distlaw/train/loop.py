"""The training loop: from a config to a run directory, on one process or under torchrun.

A run directory holds `config.toml`, `metrics.jsonl`, `checkpoints/` and, when the run has ended, `record.json` and
`export/`; several students on one pass have the last two each under `students/NAME/`. The same command goes on from the
newest checkpoint, and what it computes does not depend on where it was interrupted: a step is a function of the
weights, the optimizer's state and the step's number.
"""

import gc
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.nn.parallel import DistributedDataParallel

from distlaw.runs import one_line
from distlaw.train import checkpoint
from distlaw.train.config import RunConfig
from distlaw.train.data import Data
from distlaw.train.hardware_peak import matmul_peak
from distlaw.train.losses import LossSums
from distlaw.train.metrics import METRICS, cut_metrics
from distlaw.train.order import Order
from distlaw.train.prepare import prepare
from distlaw.train.process import ranks, termination
from distlaw.train.record import architecture_of, finish, recorded
from distlaw.train.run_directory import claimed, require_own
from distlaw.train.stored import open_targets
from distlaw.train.students import Students, optimizers
from distlaw.train.teacher import Teacher, open_teacher, require_same_tokenizer, with_teachers_tokenizer
from distlaw.train.teacher_loss import require_informative
from distlaw.train.trackers import Log, Service, require_services, tracking

Sharding = Literal["ddp", "full"]
_PARTIAL = StateDictOptions(ignore_frozen_params=True)
_EXPLODED = 3.0  # cross-entropy over that of a uniform guess


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        tokens_per_second: Of the last step, over all ranks.
        share_of_peak: Its FLOP/s, students and teacher, over those of a large matrix product on this device, in the
            same precision.
        cross_entropy: Of each student against the data in the last step, nats per token.
    """

    step: int
    steps: int
    tokens_per_second: float
    share_of_peak: float
    cross_entropy: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How `run` ended.

    Attributes:
        finished: Whether all steps are done; False after SIGTERM, with a checkpoint written.
        step: Steps done.
        notes: What a user should know.
    """

    finished: bool
    step: int
    notes: tuple[str, ...]


def run(
    config: RunConfig,
    out: Path,
    *,
    cache: Path,
    sharding: Sharding = "ddp",
    track: Sequence[Service] = (),
    progress: Callable[[Progress], None] | None = None,
    preparing: Callable[[str, int], None] | None = None,
    alone: bool = True,
) -> Outcome:
    """Train, from the start or from where an earlier call stopped, and write the run directory.

    Args:
        config: The run.
        out: Run directory; made if need be.
        cache: Folder of prepared data.
        sharding: Under several ranks, `ddp` (every rank holds the models) or `full` (`fully_shard`: they share them).
        track: Services that get the metrics as well, from the first rank.
        progress: Called after every step on the first rank.
        preparing: Called while the data is prepared.
        alone: Whether a second process on the directory is refused; not where leases say who works on what.

    Raises:
        ValueError: The directory is another run's, another process works on it, the data, the teacher, a service or
            the disk will not do, or the loss is no number any more; the last checkpoint stays.
    """
    require_services(track)
    with ranks() as (rank, world, device):
        place = {"rank": rank, "world": world, "device": device, "sharding": sharding}
        # What holds the process group must go before the group does. The reducer of DDP lets the last reference to it
        # go without letting go of Python's lock, which a thread of the group may wait for that is then waited for.
        # State dicts of torch keep models in cycles, and an error keeps the frames that it came through.
        try:
            return _run(config, out, cache, track if rank == 0 else (), progress, preparing, place, alone)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            gc.collect()


def _run(
    config: RunConfig,
    out: Path,
    cache: Path,
    services: Sequence[Service],
    progress: Callable[[Progress], None] | None,
    preparing: Callable[[str, int], None] | None,
    place: Mapping[str, Any],
    alone: bool,
) -> Outcome:
    """All of a run on one rank; `place` says which."""
    require_own(out, config)
    teacher = None if config.teacher is None else open_teacher(Path(config.teacher.path))
    config = with_teachers_tokenizer(config, teacher, cache)
    data = prepare(config.data, cache, progress=preparing)
    if teacher is not None:
        require_same_tokenizer(teacher, data.tokenizer)
    trainer = _Trainer(config, data, teacher, out, **place)  # all that may be refused, before anything is written
    with claimed(out, config, rank=place["rank"], any_rank=trainer.any_rank, alone=alone):
        return _trained(trainer, services, progress)


def _trained(trainer: "_Trainer", services: Sequence[Service], progress: Callable[[Progress], None] | None) -> Outcome:
    """From the newest checkpoint to the end, or to where the run is asked to stop."""
    config, out = trainer.config, trainer.out
    step = trainer.restore()
    if step == config.training.steps and trainer.recorded():
        return Outcome(finished=True, step=step, notes=(*trainer.notes, "the run was finished already"))
    with (
        tracking(services, out, config, step=step, logged=trainer.logged) as log,
        termination() as stopped,
    ):
        while step < config.training.steps:
            trainer.advance(step, log, progress)
            step += 1
            stop = trainer.any_rank(bool(stopped))
            if stop or step % trainer.checkpoint_every == 0 or step == config.training.steps:
                trainer.save(step)
            if stop and step < config.training.steps:
                note = f"stopped at step {step} of {config.training.steps}: the same command goes on"
                return Outcome(finished=False, step=step, notes=(*trainer.notes, note))
    try:
        trainer.finish()
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"the export of '{one_line(out)}' cannot be written ({one_line(error)}): make room, and the same command"
            " goes on"
        ) from None
    return Outcome(finished=True, step=step, notes=tuple(trainer.notes))


class _Trainer:
    """What a step needs."""

    def __init__(
        self,
        config: RunConfig,
        data: Data,
        teacher: Teacher | None,
        out: Path,
        *,
        rank: int,
        world: int,
        device: torch.device,
        sharding: Sharding,
    ) -> None:
        self.config, self.data, self.teacher, self.out = config, data, teacher, out
        self.rank, self.world, self.device = rank, world, device
        t = config.training
        self.batch = t.batch_tokens // data.context
        if self.batch % world:
            raise ValueError(
                f"batch_tokens ({t.batch_tokens}) hold {self.batch} blocks, which {world} ranks cannot share"
            )
        self.micro = max((t.micro_batch_tokens or t.batch_tokens) // data.context, 1)
        self.checkpoint_every = t.checkpoint_every or max(t.steps // 10, 1)
        self.blocks = data.split(config.split)
        self.order = Order(len(self.blocks), t.order_seed)
        self.readers = {} if teacher is None else open_targets(config, data, teacher)
        self.students = Students(
            config.students, t, vocab_size=data.vocab_size, context=data.context, teacher=teacher
        ).to(device)
        self.notes = list(data.notes)
        used = self.blocks.epochs_used(t.steps * t.batch_tokens)
        if used > 1:
            self.notes.append(f"the data is repeated: the run reads {used:.2f} epochs of {self.blocks.tokens} tokens")
        self.module: torch.nn.Module = self.students
        self.sharded = world > 1 and sharding == "full"  # the teacher too: measuring opens a whole one
        if teacher is not None:
            require_informative(teacher, data, config.split, device)
        if self.sharded:
            _shard(self.students)
        elif world > 1:
            self.module = DistributedDataParallel(self.students, device_ids=[device] if device.type == "cuda" else None)
        self.optimizers = optimizers(self.students)
        shapes = [s.model.architecture(vocab_size=data.vocab_size, context=data.context) for s in config.students]
        asked = 0.0 if teacher is None else architecture_of(teacher, data).forward_flops
        self.flops_per_token = 3 * sum(shape.forward_flops for shape in shapes) + asked
        self.peak_type = torch.bfloat16 if t.precision == "bf16" else torch.float32
        self.since, self.logged = time.monotonic(), 0
        self.wall, self.cpu = 0.0, 0.0  # of earlier calls
        self.started = time.monotonic(), time.process_time()

    def advance(self, step: int, log: Log, progress: Callable[[Progress], None] | None) -> None:
        """One optimizer step of every student."""
        t = self.config.training
        share = step / t.steps
        mixing = [s.loss.mixing_at(share) if self.teacher else 0.0 for s in self.config.students]
        indices = self.order.indices(step, self.batch, self.rank, self.world)
        target_tokens = self.batch * self.data.context  # over all ranks: what every sum is divided by
        sums = torch.zeros(len(mixing), len(LossSums.names()), dtype=torch.float64, device=self.device)
        pieces = [indices[i : i + self.micro] for i in range(0, len(indices), self.micro)]
        for i, piece in enumerate(pieces):
            tokens = torch.from_numpy(self.blocks.read(piece)).to(self.device)
            with self._synchronised(last=i == len(pieces) - 1):
                cached = {asked: reader.read(piece) for asked, reader in self.readers.items()}
                losses = self.module(tokens, mixing, piece, cached or None)
                # Ranks average gradients; the sum over all ranks' tokens is meant.
                (torch.stack([loss.objective for loss in losses]).sum() * (self.world / target_tokens)).backward()
            sums += torch.stack([loss.detached() for loss in losses])
        if self.world > 1:
            dist.all_reduce(sums)
        norms = self._update(t.rate_at(step))
        self._require_sound(step, sums / target_tokens, norms)
        if self.rank == 0:
            self._report(step, sums / target_tokens, norms, mixing, log, progress)

    def _synchronised(self, *, last: bool) -> AbstractContextManager[None]:
        """Ranks exchange gradients once a step."""
        if isinstance(self.module, DistributedDataParallel) and not last:
            return self.module.no_sync()
        return nullcontext()

    def _update(self, rate: float) -> list[float]:
        norms = []
        for model, optimizer in zip(self.students.models, self.optimizers, strict=True):
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), self.config.training.clip)
            norms.append(float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm))  # pyright: ignore[reportAttributeAccessIssue]
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return norms

    def _require_sound(self, step: int, means: Tensor, norms: list[float]) -> None:
        names = LossSums.names()
        for student, row, norm in zip(self.config.students, means, norms, strict=True):
            loss = float(row[names.index("cross_entropy")])
            if np.isfinite(loss) and np.isfinite(norm) and loss <= _EXPLODED * np.log(self.data.vocab_size):
                continue
            last, _ = checkpoint.newest(self.out / "checkpoints")
            kept = "there is no checkpoint yet" if last is None else f"'{one_line(last)}' is the last good checkpoint"
            raise ValueError(
                f"'{student.name}' went astray at step {step}: cross-entropy {loss:.4g} nats, gradient norm {norm:.4g};"
                f" {kept}; a lower training.rate ({self.config.training.rate:g}) may help"
            )

    def _report(
        self,
        step: int,
        means: Tensor,
        norms: list[float],
        mixing: list[float],
        log: Log,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        t, now = self.config.training, time.monotonic()
        speed = t.batch_tokens / max(now - self.since, 1e-9)
        self.since = now
        names = LossSums.names()
        if step % t.log_every == 0 or step == t.steps - 1:
            rows: dict[str, dict[str, float]] = {}
            for student, row, norm, share in zip(self.config.students, means.tolist(), norms, mixing, strict=True):
                values = {n: v for n, v in zip(names, row, strict=True) if n != "positions" and v == v}
                rows[student.name] = {**values, "gradient_norm": norm, "mixing": share}
            shared = {"tokens": (step + 1) * t.batch_tokens, "rate": t.rate * t.rate_at(step)}
            shared["tokens_per_second"] = round(speed)
            with (self.out / METRICS).open("a", encoding="utf-8") as stream:
                for name, row in rows.items():
                    stream.write(json.dumps({"step": step + 1, **shared, "student": name, **row}) + "\n")
            log(step + 1, shared | {f"{name}/{key}": value for name, row in rows.items() for key, value in row.items()})
        if progress is not None:
            losses = tuple(means[:, names.index("cross_entropy")].tolist())
            progress(
                Progress(
                    step=step + 1,
                    steps=t.steps,
                    tokens_per_second=speed,
                    share_of_peak=speed
                    * self.flops_per_token
                    / (self.world * matmul_peak(self.device, self.peak_type)),
                    cross_entropy=losses,
                )
            )

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors that a step depends on, and the settings of the optimizers, which the config decides."""
        models, optimizers = get_state_dict(self.students, self.optimizers, options=_PARTIAL)
        settings = {name: value for name, value in optimizers.items() if name != "state"}
        return {"models": models, "optimizers": optimizers["state"], "random": torch.get_rng_state()}, settings

    def _read(self) -> dict[str, str]:
        """What a run goes on reading and must not change under it."""
        return {"data": self.data.hash, "teacher": self.teacher.hash if self.teacher else ""}

    def save(self, step: int) -> None:
        """Write a checkpoint."""
        tensors, _ = self._state()
        wall, cpu = time.monotonic() - self.started[0], time.process_time() - self.started[1]
        about = {"wall": self.wall + wall, "cpu": self.cpu + cpu, "read": self._read()}
        checkpoint.save(self.out / "checkpoints", step, tensors, about, keep=self.config.training.keep)

    def restore(self) -> int:
        """Go on from the newest good checkpoint; gives the steps done."""
        found, damaged = checkpoint.newest(self.out / "checkpoints")
        self.notes += damaged
        step = 0 if found is None else checkpoint.step_of(found)
        if found is not None:
            self._take(found)
        if self.rank == 0:
            self.logged, lost = cut_metrics(self.out / METRICS, step)
            self.notes += lost
        return step

    def _take(self, found: Path) -> None:
        """Make a checkpoint the state that a run goes on from."""
        about = checkpoint.about(found)
        try:
            begun_with = {what: str(about["read"][what]) for what in self._read()}
            self.wall, self.cpu = float(about["wall"]), float(about["cpu"])
        except (KeyError, TypeError, ValueError) as error:
            raise checkpoint.foreign(found, error) from None
        for what, now in self._read().items():
            if begun_with[what] != now:
                raise ValueError(
                    f"the {what} is not what '{one_line(self.out)}' was begun with ({now[:12]}, then"
                    f" {one_line(begun_with[what][:12])}): bring it back, or choose another folder"
                )
        tensors, settings = self._state()
        checkpoint.load(found, tensors)
        set_state_dict(
            self.students,
            self.optimizers,
            model_state_dict=tensors["models"],
            optim_state_dict={"state": tensors["optimizers"], **settings},
            options=StateDictOptions(ignore_frozen_params=True, strict=False),
        )
        try:
            torch.set_rng_state(tensors["random"])
        except RuntimeError as error:
            raise checkpoint.foreign(found, error) from None

    def recorded(self) -> bool:
        """Whether the run has ended with every record sound."""
        missing = False
        if self.rank == 0:
            there, damaged = recorded(self.config, self.out)
            self.notes += damaged
            missing = not there
        return not self.any_rank(missing)

    def any_rank(self, flag: bool) -> bool:
        """Whether a flag is set on any rank."""
        if self.world == 1:
            return flag
        value = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(value)
        return bool(value.item())

    def finish(self) -> None:
        """Measure, export and record every student."""
        wall, cpu = time.monotonic() - self.started[0], time.process_time() - self.started[1]
        finish(
            self.config,
            self.data,
            self.students,
            open_teacher(self.teacher.path) if self.teacher and self.sharded and self.rank == 0 else self.teacher,
            self.out,
            spent=(self.wall + wall, self.cpu + cpu),
            world=self.world,
            rank=self.rank,
        )


def _shard(students: Students) -> None:
    from torch.distributed.fsdp import fully_shard

    for model in [*students.models, *([students.teacher] if students.teacher is not None else [])]:
        for layer in getattr(model.base_model, "layers", ()):  # block by block, so that one is whole at a time
            fully_shard(layer)
    fully_shard(students)
