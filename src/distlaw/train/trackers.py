"""Where else metrics go while a run is under way; `metrics.jsonl` is written whatever is tracked."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distlaw.runs import one_line

if TYPE_CHECKING:
    from distlaw.train.config import RunConfig

Service = Literal["tensorboard", "trackio", "wandb"]
Log = Callable[[int, Mapping[str, float]], None]
_PROJECT = "distlaw"


def require_services(services: Sequence[Service]) -> None:
    """Check that the packages of some services are installed.

    Raises:
        ValueError: One is not; says how to install it.
    """
    for service in services:
        if find_spec(service) is None:
            raise ValueError(f"--track {service} needs the package {service}: pip install {service}")


@contextmanager
def tracking(services: Sequence[Service], out: Path, config: "RunConfig", *, step: int, logged: int) -> Iterator[Log]:
    """A function that gives numbers of a step, by name, to every service.

    A directory is one run of a service, however often it is gone on with. What was logged beyond the checkpoint that it
    goes on from comes again to the bit: TensorBoard drops the first copy, the others are not given the second.

    Args:
        services: Any of them.
        out: Run directory, where TensorBoard and W&B keep their files; trackio keeps its own in its cache.
        config: What the run is, for W&B and trackio to show.
        step: Steps done in the checkpoint that the run goes on from.
        logged: Steps that were logged before.

    Raises:
        ValueError: A service will not open; one line with its reason.
    """
    with ExitStack() as stack:
        logs: list[Log] = []
        for service in dict.fromkeys(services):
            if service == "tensorboard":
                logs.append(stack.enter_context(_tensorboard(out, step)))
            else:
                logs.append(stack.enter_context(_hosted(service, out, config, logged)))

        def log(at: int, values: Mapping[str, float]) -> None:
            for one in logs:
                one(at, values)

        yield log


@contextmanager
def _tensorboard(out: Path, step: int) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(out / "tensorboard", purge_step=step + 1) as writer:

        def log(at: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, at)
            writer.flush()  # a killed run goes on from a checkpoint: what came before it must be there

        yield log


@contextmanager
def _hosted(service: Service, out: Path, config: "RunConfig", logged: int) -> Iterator[Log]:
    """W&B, or trackio, which has its functions."""
    module: Any = import_module(service)
    key = sha256(f"{config.id} {out.resolve()}".encode()).hexdigest()[:16]
    place = {"id": key, "name": out.name, "dir": out} if service == "wandb" else {"name": f"{out.name}-{key}"}
    with redirect_stdout(sys.stderr):  # standard output is for the record
        try:
            opened = module.init(project=_PROJECT, config=asdict(config), resume="allow", **place)
        except Exception as error:
            raise ValueError(f"--track {service}: it cannot be opened ({one_line(error)})") from None
    try:
        yield lambda at, values: opened.log(dict(values), step=at) if at > logged else None
    finally:
        with redirect_stdout(sys.stderr):
            module.finish()
