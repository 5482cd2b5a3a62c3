"""Many small networks at once: ReLU networks of two hidden layers, all of one width, each trained as if it were alone.

A layer of all networks is one tensor, and what a step does to it is one call, so that the cost of a call is shared.
Passes are written out, since two hidden layers need no autograd and buffers that stay are a third of the time on a CPU.
Features come first and samples last, which is the order in which softmax and sums over a batch are fast.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distlaw.train.config import TrainingConfig

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], Rows]
Seed = tuple[int, ...]

BATCH = 512
_AHEAD = 16  # steps whose samples are drawn at a time


def count_params(width: int, *, features: int, classes: int) -> int:
    """Parameters of one network, N.

    >>> count_params(256, features=16, classes=8)
    72200
    """
    return width * (features + 1) + width * (width + 1) + classes * (width + 1)


def train(
    width: int, *, samples: int, seeds: Sequence[Seed], inputs: Floats, targets: Floats, draw: Draw
) -> list[Floats]:
    """Train networks by Adam (3e-4, linear warm-up over 5 %, cosine to zero) on batches of fresh samples.

    The loss is the cross-entropy against the targets, which differs from the KL divergence by what does not depend on
    the network. Weights begin as those of `torch.nn.Linear` do, uniform within 1 / sqrt(fan-in).

    Args:
        width: Of both hidden layers.
        samples: That a network reads; rounded to whole batches.
        seeds: One a network: of its first weights and of its samples.
        inputs: All there are, shape (rows, features).
        targets: A distribution for each, shape (rows, classes); or one set a network, (networks, rows, classes).
        draw: Draws rows: a generator and how many.

    Returns:
        Weights and biases of the three layers in turn, (networks, out, in) and (networks, out, 1).
    """
    course = TrainingConfig(tokens=samples, batch_tokens=BATCH, rate=3e-4, warmup=0.05, final_rate=0.0, beta2=0.999)
    networks, features, classes = len(seeds), inputs.shape[1], targets.shape[-1]
    layers = _first_weights((features, width, width, classes), seeds)
    for p in layers:
        p.grad = torch.empty_like(p)
    W1, b1, W2, b2, W3, b3 = layers
    g1, h1, g2, h2, g3, h3 = (p.grad for p in layers)
    adam = torch.optim.Adam(layers, lr=course.rate, betas=(course.beta1, course.beta2), fused=True)
    table, wanted = torch.from_numpy(inputs), torch.from_numpy(targets).reshape(-1, classes)
    of_network = torch.arange(networks)[:, None] * (len(inputs) if targets.ndim == 3 else 0)
    x, y = torch.empty(networks, BATCH, features), torch.empty(networks, BATCH, classes)
    a1, a2, d1, d2 = (torch.empty(networks, width, BATCH) for _ in range(4))
    z = torch.empty(networks, classes, BATCH)
    with torch.no_grad():
        for step, rows in zip(range(course.steps), _rows(draw, seeds), strict=False):
            torch.index_select(table, 0, rows.reshape(-1), out=x.view(-1, features))
            torch.index_select(wanted, 0, (rows + of_network).view(-1), out=y.view(-1, classes))
            torch.baddbmm(b1, W1, x.mT, out=a1).relu_()
            torch.baddbmm(b2, W2, a1, out=a2).relu_()
            torch.baddbmm(b3, W3, a2, out=z)
            # The gradient of the mean cross-entropy by the logits, then back through the layers.
            torch.softmax(z, 1, out=z).sub_(y.mT).div_(BATCH)
            torch.bmm(z, a2.mT, out=g3)
            torch.sum(z, 2, keepdim=True, out=h3)
            _where_positive(torch.bmm(W3.mT, z, out=d2), a2)
            torch.bmm(d2, a1.mT, out=g2)
            torch.sum(d2, 2, keepdim=True, out=h2)
            _where_positive(torch.bmm(W2.mT, d2, out=d1), a1)
            torch.bmm(d1, x, out=g1)
            torch.sum(d1, 2, keepdim=True, out=h1)
            adam.param_groups[0]["lr"] = course.rate * course.rate_at(step)
            adam.step()
    return [p.detach().numpy() for p in layers]


def log_probabilities(layers: Sequence[Floats], inputs: Floats) -> Floats:
    """What networks answer: logarithms of shape (networks, rows, classes)."""
    x = torch.from_numpy(inputs).mT
    answers = []
    for W1, b1, W2, b2, W3, b3 in zip(*map(torch.from_numpy, layers), strict=True):
        a = torch.addmm(b2, W2, torch.addmm(b1, W1, x).relu_()).relu_()
        answers.append(torch.log_softmax(torch.addmm(b3, W3, a), 0).mT)
    return torch.stack(answers).numpy()


def _first_weights(sizes: Sequence[int], seeds: Sequence[Seed]) -> list[Tensor]:
    layers = []
    rngs = [np.random.default_rng([*seed, 0]) for seed in seeds]
    for fan_in, out in pairwise(sizes):
        for shape in ((out, fan_in), (out, 1)):
            drawn = np.stack([rng.uniform(-1, 1, shape) for rng in rngs]) / np.sqrt(fan_in)
            layers.append(torch.from_numpy(drawn.astype(np.float32)).requires_grad_())
    return layers


def _rows(draw: Draw, seeds: Sequence[Seed]) -> Iterator[Tensor]:
    """Rows of each step, shape (networks, batch): every network has a stream of its own."""
    rngs = [np.random.default_rng([*seed, 1]) for seed in seeds]
    while True:
        drawn = np.stack([draw(rng, _AHEAD * BATCH).reshape(_AHEAD, BATCH) for rng in rngs], axis=1)
        yield from torch.from_numpy(drawn)


def _where_positive(gradient: Tensor, activation: Tensor) -> None:
    """Keep, in place, what passes back through a ReLU."""
    torch.ops.aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)
