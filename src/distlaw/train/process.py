"""What a process is: its rank, its device, its threads, and how it is asked to stop."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import torch
import torch.distributed as dist


def one_thread_on_cpu() -> None:
    """Two workers of one thread are faster than one of two, and what one thread computes repeats to the bit."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)


def is_first_rank() -> bool:
    """Whether this process is the one that speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def ranks() -> Iterator[tuple[int, int, torch.device]]:
    """Rank, number of ranks and device: one process, or what torchrun says."""
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    with ExitStack() as stack:
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            stack.callback(dist.destroy_process_group)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        yield (dist.get_rank() if world > 1 else 0), world, device


@contextmanager
def termination() -> Iterator[list[int]]:
    """A list that SIGTERM puts an entry into: pre-emption ends a run after the step, with a checkpoint."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    try:
        before = signal.signal(signal.SIGTERM, note)
    except ValueError:  # not the main thread: whoever runs us there has signals of their own
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGTERM, before)
