"""What this device reaches in a matrix product, to hold a training run's speed against."""

import time
from functools import cache

import torch

_SIZE = 1024
_SECONDS = 0.2


def matmul_peak(device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Measure the FLOP/s of a large matrix product, the best of what fits in a fifth of a second.

    Measured once for each device, type and number of threads in a process. It is no data sheet's peak: other work on
    the machine lowers it.

    Args:
        device: Where to multiply.
        dtype: Type of the matrices.

    >>> matmul_peak() == matmul_peak() > 1e8
    True
    """
    return _measure(str(device), dtype, torch.get_num_threads())


@cache
def _measure(device: str, dtype: torch.dtype, _threads: int) -> float:
    a = torch.ones(_SIZE, _SIZE, device=device, dtype=dtype)
    wait = torch.accelerator.synchronize if a.device.type != "cpu" else lambda: None
    out = a @ a  # loads the library
    wait()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        torch.matmul(a, a, out=out)
        wait()
        best = min(best, time.perf_counter() - start)
    return 2 * _SIZE**3 / best
