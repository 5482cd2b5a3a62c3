"""The chunked loss against plain PyTorch on all logits at once, and target caches: memory, time, bytes, reading speed.

Command: `python benchmarks/loss.py` (two minutes, Linux). Student of width 64, teacher of width 128, float32, one
thread, gradients included. Memory is what a fresh process's peak resident size grows by; time is CPU time, the median
of interleaved repetitions; inputs are random, the cached teacher's entropy is near that of a small language model.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distlaw.train.losses import LossConfig, distillation_loss
from distlaw.train.target_cache import TargetReader, capture, describe
from distlaw.train.target_records import CacheKey
from distlaw.train.targets import OnlineTeacher

CONFIG = LossConfig(mixing=0.5)
SIZES = {512: 1024, 32768: 2048}  # positions at each vocabulary


class Case:
    """A student's and a teacher's last layers on random hidden states."""

    def __init__(self, vocabulary: int, positions: int) -> None:
        g = torch.Generator().manual_seed(0)
        self.hidden = torch.randn(positions, 64, generator=g, requires_grad=True)
        self.head = (torch.randn(vocabulary, 64, generator=g) / 8).requires_grad_()
        self.teacher_hidden = torch.randn(positions, 128, generator=g)
        self.teacher_head = torch.randn(vocabulary, 128, generator=g) / 8
        self.labels = torch.randint(vocabulary, (positions,), generator=g)

    def supervised(self) -> Tensor:
        """Cross-entropy, chunked."""
        return distillation_loss(self.hidden, self.head, self.labels, None, CONFIG, 0.0).objective

    def distilled(self) -> Tensor:
        """Eq. 7 with lambda = 1/2, chunked."""
        teacher = OnlineTeacher(self.teacher_hidden, self.teacher_head, len(self.head))
        return distillation_loss(self.hidden, self.head, self.labels, teacher, CONFIG, 0.5).objective

    def bare(self) -> Tensor:
        """Cross-entropy alone, as PyTorch has it: no Z-loss."""
        return F.cross_entropy(self.hidden @ self.head.T, self.labels, reduction="sum")

    def supervised_at_once(self) -> Tensor:
        """Cross-entropy and Z-loss on all logits."""
        logits = self.hidden @ self.head.T
        z = logits.logsumexp(-1).square().sum()
        return F.cross_entropy(logits, self.labels, reduction="sum") + CONFIG.z_loss * z

    def distilled_at_once(self) -> Tensor:
        """Eq. 7 on all logits."""
        logits = self.hidden @ self.head.T
        with torch.no_grad():
            p = torch.softmax(self.teacher_hidden @ self.teacher_head.T, -1)
        ntp = F.cross_entropy(logits, self.labels, reduction="sum")
        z = logits.logsumexp(-1).square().sum()
        return 0.5 * ntp + 0.5 * F.cross_entropy(logits, p, reduction="sum") + CONFIG.z_loss * z

    def gradients(self, name: str) -> tuple[Tensor, Tensor]:
        """One step's work."""
        hidden, head = torch.autograd.grad(getattr(self, name)(), (self.hidden, self.head))
        return hidden, head


def peak(vocabulary: int, positions: int, name: str) -> float:
    """MiB that a fresh process's peak grows by in one step; called by `main` in a process of its own."""
    case = Case(vocabulary, positions)
    Case(8, 8).gradients(name)  # libraries load what they load once
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
    before = _resident("VmHWM")
    case.gradients(name)
    return _resident("VmHWM") - before


def _resident(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def peak_elsewhere(vocabulary: int, positions: int, name: str) -> float:
    """`peak` in a fresh process."""
    command = [sys.executable, __file__, "--peak", str(vocabulary), str(positions), name]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def interleaved(steps: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median CPU seconds of each, all taking turns so that a busy machine is unfair to none."""
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repetitions):
        for name, step in steps.items():
            started = time.process_time()
            step()
            spent[name].append(time.process_time() - started)
    return {name: median(times[1:]) for name, times in spent.items()}


def losses() -> None:
    """Memory and time of a step's last layer and loss."""
    names = ("bare", "supervised_at_once", "supervised", "distilled_at_once", "distilled")
    print("loss and its gradients                peak MiB      ms   ns per logit")
    for vocabulary, positions in SIZES.items():
        case = Case(vocabulary, positions)
        for at_once, ours in (names[1:3], names[3:]):
            for theirs, mine in zip(case.gradients(at_once), case.gradients(ours), strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
        steps = {name: lambda name=name, case=case: case.gradients(name) for name in names}
        seconds = interleaved(steps, 200 if vocabulary < 4096 else 6)
        memory = {name: peak_elsewhere(vocabulary, positions, name) for name in names}
        print(f"vocabulary {vocabulary}, {positions} positions")
        for name in names:
            per_logit = 1e9 * seconds[name] / vocabulary / positions
            print(f"  {name.replace('_', ' '):34s} {memory[name]:9.1f} {1e3 * seconds[name]:7.1f} {per_logit:14.2f}")
        for ours in ("supervised", "distilled"):
            there = f"{ours}_at_once"
            less, faster = memory[ours] / memory[there], seconds[ours] / seconds[there]
            print(f"  {ours}: {less:.3f} of the memory and {faster:.2f} of the time of all logits at once")
        print(f"  supervised, with its Z-loss: {seconds['supervised'] / seconds['bare']:.2f} of the time without one")


class _Blocks:
    def __init__(self, count: int, context: int) -> None:
        self._tokens = np.random.default_rng(0).integers(0, 512, (count, context + 1))

    def __len__(self) -> int:
        return len(self._tokens)

    def read(self, indices: object, /) -> np.ndarray:
        return self._tokens[np.asarray(indices)]


def caches() -> None:
    """Bytes a token on disk, and tokens read in a second, a batch of random blocks at a time."""
    print("target caches                    bytes a token    tokens/s capturing     reading")
    for vocabulary, context, spread, k, samples in ((512, 128, 2.7, 32, 32), (32768, 256, 3.9, 128, 50)):
        g = torch.Generator().manual_seed(0)
        embedding = torch.randn(512, context, 64, generator=g)
        head = spread * torch.randn(vocabulary, 64, generator=g) / 8
        places = torch.arange(context)

        def teacher(
            tokens: Tensor, embedding: Tensor = embedding, head: Tensor = head, places: Tensor = places
        ) -> tuple[Tensor, Tensor]:
            return embedding[tokens, places], head

        log_probs = torch.log_softmax(embedding[:, 0] @ head.T, -1)
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        print(f"vocabulary {vocabulary}, context {context}, teacher's entropy {entropy:.1f} nats")
        dense = CacheKey(tokenizer="", data="", split="", teacher="", context=context, vocabulary=vocabulary)
        for key in (
            dense,
            replace(dense, kind="dense-16"),
            replace(dense, kind="top-k", top_k=k),
            replace(dense, kind="sampled", samples=samples, seed=0),
        ):
            blocks = _Blocks(4 if vocabulary > 512 and "dense" in key.kind else 64, context)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder)
                started = time.process_time()
                capture(path, key, blocks, teacher)
                capturing = len(blocks) * context / (time.process_time() - started)
                reader = TargetReader(path, key)
                batch = min(8, len(blocks))
                orders = [np.random.default_rng(i).permutation(len(blocks))[:batch] for i in range(12)]
                times = []
                for order in orders:
                    started = time.process_time()
                    reader.read(order)
                    times.append(time.process_time() - started)
                reading = batch * context / median(times)
                name = key.kind + (f", k = {k}" if key.top_k else f", {samples} draws" if key.samples else "")
                size = describe(path).bytes_per_token
                print(f"  {name:30s} {size:14.1f} {capturing:21,.0f} {reading:11,.0f}")


def main() -> None:
    """Run the benchmark."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--peak"]:
        print(json.dumps(peak(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
        return
    losses()
    caches()


if __name__ == "__main__":
    main()
