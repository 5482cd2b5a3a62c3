"""Networks that point: teachers, and students of one each; trained once, and kept in the lab's folder.

The networks of a width that learn from one teacher are trained together, one a trial. Samples are fresh, drawn from the
table of all inputs; a teacher is asked about each input once, however many students it has; and a loss is the exact
mean over the distribution, not over a test set.
"""

import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distlaw.labs.files import set_aside
from distlaw.labs.lab import Bench
from distlaw.labs.pointer_task import POSITIONS, chances, draw, inputs_and_answers
from distlaw.runs import written_whole

Array = NDArray[np.float64]

TRIALS = 4


@dataclass(frozen=True, kw_only=True)
class Network:
    """How a network is made; there is one a trial, each with first weights and samples of its own.

    Attributes:
        width: Of its two hidden layers.
        samples: That it reads.
        role: Students of one trial share first weights, if they are of one width, and samples; teachers have others.
        teacher: What it learns from; None: from answers.
    """

    width: int
    samples: int
    role: Literal["teacher", "student"]
    teacher: "Network | None" = None

    def __str__(self) -> str:
        own = f"{self.role}-{self.width}-{self.samples}"
        return own if self.teacher is None else f"{own}-of-{self.teacher}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Networks of all trials.

    Attributes:
        loss: Cross-entropy against the answers, nats, one a trial.
        error: Share of inputs that the most likely answer is wrong for.
        layers: Weights, for those who may teach; otherwise empty.
    """

    loss: Array
    error: Array
    layers: tuple[NDArray[np.float32], ...] = ()


def trained(network: Network, bench: Bench) -> Trained:
    """Train a network of each trial, and its teachers before it; what `bench.out` holds already is read."""
    from distlaw.labs.mlps import log_probabilities, train

    path = bench.out / "networks" / f"{network}-seed-{bench.seed}-trials-{TRIALS}.npz"
    if (found := _kept(path, bench)) is not None:
        return found
    inputs, answers = inputs_and_answers()
    if network.teacher is None:
        targets = np.eye(POSITIONS, dtype=np.float32)[answers]
    else:
        targets = np.exp(log_probabilities(trained(network.teacher, bench).layers, inputs))
    begun, bench.before[path.name] = time.process_time(), 0.0
    layers = train(
        network.width,
        samples=network.samples,
        seeds=[(bench.seed, trial, int(network.role == "teacher")) for trial in range(TRIALS)],
        inputs=inputs,
        targets=targets,
        draw=draw,
    )
    logs = log_probabilities(layers, inputs)
    found = Trained(
        loss=-logs[:, np.arange(len(answers)), answers] @ chances(),
        error=(logs.argmax(axis=2) != answers) @ chances(),
        layers=() if network.role == "student" else tuple(layers),
    )
    path.parent.mkdir(exist_ok=True)
    weights: dict[str, Any] = {f"layer{i}": layer for i, layer in enumerate(found.layers)}
    with written_whole(path, "networks") as temporary:
        spent = time.process_time() - begun
        np.savez(temporary, loss=found.loss, error=found.error, cpu_seconds=spent, **weights)
    return found


def _kept(path: Path, bench: Bench) -> Trained | None:
    """What an earlier call has trained; None where there is nothing, or nothing sound."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as whole:
            if (bad := whole.testzip()) is not None:
                raise ValueError(f"{bad} is not what was written")
        with np.load(path) as kept:
            layers = tuple(kept[name] for name in sorted(kept) if name.startswith("layer"))
            bench.before.setdefault(path.name, float(kept["cpu_seconds"]))
            return Trained(loss=kept["loss"], error=kept["error"], layers=layers)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        set_aside(path, error)
        return None


def samples_of(width: int) -> int:
    """What a network of this width reads: the paper's max(500 x 512, 20 N); above a width of 256, 5 N."""
    from distlaw.labs.mlps import BATCH, count_params

    N = count_params(width, features=2 * POSITIONS, classes=POSITIONS)
    return max(500 * BATCH, (20 if width <= 256 else 5) * N)


def teacher(width: int, share: float = 1.0) -> Network:
    """A teacher, on a share of the samples that are due to its width."""
    return Network(width=width, samples=round(share * samples_of(width)), role="teacher")


def student(width: int, of: Network | None) -> Network:
    """A student of a teacher, or supervised."""
    return Network(width=width, samples=samples_of(width), role="student", teacher=of)
