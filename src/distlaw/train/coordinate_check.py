"""The coordinate check: under muP no activation grows or shrinks with width, at the start or after steps of training.

Models of one depth and several widths take a few steps of AdamW on one batch. The root mean square of what each block
adds to and leaves in the residual stream, and of the logits, is measured before every step and after the last. Its
slope over width, in logarithms, is near 0 under muP. In the standard parametrisation it is not: one rate for every
matrix moves wide models further.

The output layer starts at zero here, so that the first step's gain of a target's logit over the mean logit is that
layer's own work: flat in width if its rate is right, proportional to width if its rate is left unscaled. Logits may
shrink with width, since the first step leaves noise in them that averages out in wide models; they may not grow.

The check is that of arXiv 2203.03466, appendix D.1; arXiv 2502.08606 relies on muP in section 5.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from distlaw.train.model import ModelConfig, build_model
from distlaw.train.mup import parameter_groups

CheckedName = Literal["mup", "standard", "unscaled-head"]

LIMIT = 0.1
LOGITS = "logits"
_RATE, _ROWS = 1e-2, 8
_DRAWS = 4  # of initial weights: the narrowest models differ by a tenth of slope from one draw to the next


@dataclass(frozen=True, kw_only=True)
class CoordinateCheck:
    """What a coordinate check measured.

    Attributes:
        parametrisation: What was checked.
        widths: Widths of the models, ascending.
        sizes: Root mean square of each activation, shape (steps + 1, widths).
        margins: Growth in the first step of the target's logit over the mean logit, in nats, for each width.
        limit: Largest slope that passes, up or down, and for logits up.
    """

    parametrisation: CheckedName
    widths: tuple[int, ...]
    sizes: dict[str, NDArray[np.float64]]
    margins: tuple[float, ...]
    limit: float = LIMIT

    @property
    def slopes(self) -> dict[str, NDArray[np.float64]]:
        """Slopes of log size over log width, shape (steps + 1,): 0 where all sizes are 0, NaN where one diverged."""
        return {name: _slopes(self.widths, sizes) for name, sizes in self.sizes.items()}

    @property
    def margin_slope(self) -> float:
        """Slope of log margin over log width."""
        return float(_slopes(self.widths, np.array([self.margins]))[0])

    @property
    def failures(self) -> tuple[str, ...]:
        """What left the limit, each with its steepest slope, in words."""
        found = []
        for name, slopes in self.slopes.items():
            steepness = slopes if name == LOGITS else np.abs(slopes)
            step = int(np.argmax(np.nan_to_num(steepness, nan=np.inf)))
            if not steepness[step] <= self.limit:  # NaN fails too
                found.append(f"{name}: slope {slopes[step]:+.2f} at step {step}")
        if not abs(self.margin_slope) <= self.limit:
            found.append(f"margin: slope {self.margin_slope:+.2f} at step 1")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether every slope is within the limit."""
        return not self.failures


def coordinate_check(
    *,
    widths: Sequence[int] = (32, 64, 128, 256),
    steps: int = 4,
    parametrisation: CheckedName = "mup",
    seed: int = 0,
    layers: int = 2,
    head_size: int = 16,
    vocab_size: int = 256,
    context: int = 64,
) -> CoordinateCheck:
    """Train models of several widths for a few steps on one batch and measure their activations.

    Args:
        widths: At least four widths, multiples of the head size; the smallest is the base.
        steps: Steps of AdamW.
        parametrisation: "mup", or a control that shall fail: "standard", or muP but for the "unscaled-head".
        seed: Of weights and tokens.
        layers: Depth of every model.
        head_size: Size of a head in every model.
        vocab_size: Entries of the vocabulary.
        context: Tokens in a row.

    Raises:
        ValueError: There are too few widths or steps, the seed is negative, or a width is no multiple of the head size.
    """
    widths = tuple(sorted(set(widths)))
    if len(widths) < 4:
        raise ValueError(f"widths must be at least 4 different ones, got {', '.join(map(str, widths)) or 'none'}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    configs = [ModelConfig(layers=layers, width=width, head_size=head_size) for width in widths]
    tokens = _structured_tokens(vocab_size, context, seed)
    sizes: dict[str, list[NDArray[np.float64]]] = {}
    margins = []
    for config in configs:
        runs = [
            _train(
                config,
                tokens,
                vocab_size=vocab_size,
                steps=steps,
                parametrisation=parametrisation,
                base_width=widths[0],
                seed=seed * _DRAWS + draw,
            )
            for draw in range(_DRAWS)
        ]
        for name in runs[0].sizes:
            squares = np.square([run.sizes[name] for run in runs])
            sizes.setdefault(name, []).append(np.sqrt(squares.mean(axis=0)))
        margins.append(float(np.mean([run.margin for run in runs])))
    return CoordinateCheck(
        parametrisation=parametrisation,
        widths=widths,
        sizes={name: np.stack(values, axis=-1) for name, values in sizes.items()},
        margins=tuple(margins),
    )


class _Run(NamedTuple):
    """Sizes of each activation at every step, and the margin that the first step gained."""

    sizes: dict[str, list[float]]
    margin: float


def _train(
    config: ModelConfig,
    tokens: Tensor,
    *,
    vocab_size: int,
    steps: int,
    parametrisation: CheckedName,
    base_width: int,
    seed: int,
) -> _Run:
    scaling = "standard" if parametrisation == "standard" else "mup"
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    model = build_model(
        config,
        vocab_size=vocab_size,
        context=inputs.shape[1],
        seed=seed,
        parametrisation=scaling,
        base_width=base_width,
    )
    torch.nn.init.zeros_(model.lm_head.weight)
    groups = parameter_groups(
        model, config, rate=_RATE, weight_decay=0.0, parametrisation=scaling, base_width=base_width
    )
    for group in groups:
        if group["name"] == "head" and parametrisation == "unscaled-head":
            group["lr"] = _RATE
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    sizes: dict[str, list[float]] = {}
    margins = []
    with _recorded(model, sizes):
        for step in range(steps + 1):
            logits = model(input_ids=inputs, use_cache=False).logits
            margins.append((logits.gather(-1, targets[..., None])[..., 0] - logits.mean(-1)).mean().item())
            if step < steps:
                optimizer.zero_grad()
                F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
                optimizer.step()
    return _Run(sizes=sizes, margin=margins[1] - margins[0])


@contextmanager
def _recorded(model: Any, sizes: dict[str, list[float]]) -> Iterator[None]:  # noqa: ANN401
    """Append the root mean square of each activation to its list whenever the model runs."""
    parts = {LOGITS: model.lm_head}
    for i, layer in enumerate(model.model.layers):
        parts[f"block {i} attention"] = layer.self_attn
        parts[f"block {i} feed-forward"] = layer.mlp
        parts[f"block {i} residual"] = layer

    def recorder(name: str) -> Callable[..., None]:
        def record(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401
            values = output[0] if isinstance(output, tuple) else output
            sizes.setdefault(name, []).append(values.detach().double().square().mean().sqrt().item())

        return record

    hooks = [part.register_forward_hook(recorder(name)) for name, part in parts.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _structured_tokens(vocab_size: int, context: int, seed: int) -> Tensor:
    """Tokens (rows, context + 1) with something to learn: some are common, and half follow from the one before."""
    random = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, vocab_size + 1)
    drawn = random.choice(vocab_size, size=(_ROWS, context + 1), p=frequency / frequency.sum())
    follows = random.permutation(vocab_size)
    for i in range(1, context + 1):
        drawn[:, i] = np.where(random.random(_ROWS) < 0.5, follows[drawn[:, i - 1]], drawn[:, i])
    return torch.from_numpy(drawn)


def _slopes(widths: Sequence[int], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slope of log size over log width for each row of sizes (rows, widths)."""
    x = np.log(widths) - np.log(widths).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.log(sizes) @ x / (x @ x)
    return np.where(np.all(sizes == 0, axis=-1), 0.0, slopes)
