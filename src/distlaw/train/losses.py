"""The training loss of eq. 7, from hidden states, a chunk of positions at a time.

Logits exist for one chunk only, and the gradients with respect to hidden states and head are made in the same pass, so
peak memory does not grow with positions x vocabulary and nothing is computed twice. All sums are over target tokens:
whoever trains divides by their global count, so that micro-batches, ranks and chunks change nothing.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from math import log
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from distlaw.train.head import at_least_float32
from distlaw.train.targets import (
    IMPOSSIBLE,
    DenseTargets,
    Kind,
    Offer,
    PointTargets,
    Rows,
    Tail,
    Targets,
    TeacherTargets,
    log_mass,
)

Divergence = Literal["forward-kl", "reverse-kl", "jsd"]
Knots = tuple[tuple[float, float], ...]
Observer = Callable[[Tensor, Tensor, Targets | None], None]

# On a CPU 512 KiB of float32 stay in the cache with all that is made of them, and 32 rows keep a product efficient.
_CPU_ELEMENTS, _CPU_ROWS = 2**17, 32


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Loss of eq. 7: (1 - lambda) L_NTP + lambda L_KD + lambda_Z L_Z.

    Attributes:
        mixing: lambda in [0, 1], or its course over training as knots (share of tokens seen, lambda), linear between
            them and constant outside; two knots at one share are a jump. ((0.7, 1.0), (0.7, 0.0)) distills for 70 % of
            the tokens and is supervised from there.
        temperature: tau, of teacher and student in L_KD, which is multiplied by tau^2.
        z_loss: lambda_Z, weight of (logsumexp z)^2.
        divergence: L_KD / tau^2: "forward-kl", KL(teacher || student), entering as the cross-entropy of eq. 6, which
            has the same gradient; "reverse-kl", KL(student || teacher); "jsd", Jensen-Shannon.
        targets: What the teacher offers: "dense", "top-k", "top-p", "sampled" or "top-1".
        top_k: Tokens kept, for "top-k".
        top_p: Mass kept, for "top-p".
        samples: Draws a position, for "sampled".
        tail: What becomes of the mass left out by "top-k" and "top-p": "bucket" or "renormalise".
        chunk: Positions whose logits exist at once; None chooses.
    """

    mixing: float | Knots = 1.0
    temperature: float = 1.0
    z_loss: float = 1e-4
    divergence: Divergence = "forward-kl"
    targets: Kind = "dense"
    top_k: int | None = None
    top_p: float | None = None
    samples: int | None = None
    tail: Tail = "bucket"
    chunk: int | None = None

    def __post_init__(self) -> None:
        shares = [share for share, _ in self._knots]
        if not shares or shares != sorted(shares) or not all(0 <= x <= 1 for knot in self._knots for x in knot):
            raise ValueError(
                f"mixing must be a number in [0, 1], or pairs of share of tokens and lambda, both in [0, 1] and the "
                f"shares not falling, got {self.mixing}"
            )
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0 <= self.z_loss < float("inf"):
            raise ValueError(f"z_loss must be 0 or more, got {self.z_loss}")
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk must be 1 position or more, got {self.chunk}")
        if self.divergence not in get_args(Divergence):
            raise ValueError(f"divergence '{self.divergence}' is unknown; choose {', '.join(get_args(Divergence))}")
        offer = self.offer  # checks the rest
        whole = offer.targets == "dense" or (offer.targets in ("top-k", "top-p") and offer.tail == "bucket")
        if self.divergence != "forward-kl" and not whole:
            raise ValueError(
                f"divergence '{self.divergence}' needs a teacher's probability for whatever the student may say: "
                f"targets 'dense', or 'top-k' or 'top-p' with tail 'bucket'; got targets '{self.targets}'"
            )

    @property
    def _knots(self) -> Knots:
        return ((0.0, self.mixing),) if isinstance(self.mixing, int | float) else self.mixing

    @property
    def offer(self) -> Offer:
        """What the teacher is asked for."""
        return Offer(targets=self.targets, top_k=self.top_k, top_p=self.top_p, samples=self.samples, tail=self.tail)

    def mixing_at(self, share: float) -> float:
        """Lambda when this share of the tokens has been seen; at a jump, the value after it.

        >>> LossConfig(mixing=((0.5, 1.0), (0.5, 0.0))).mixing_at(0.25)
        1.0
        """
        knots = self._knots
        after = bisect_right(knots, share, key=lambda knot: knot[0])
        if after in (0, len(knots)):
            return knots[max(after - 1, 0)][1]
        (x0, y0), (x1, y1) = knots[after - 1 : after + 1]
        return y0 + (y1 - y0) * (share - x0) / (x1 - x0)


@dataclass(frozen=True, kw_only=True, eq=False)
class LossSums:
    """Sums over target tokens, in nats, float64 and without gradient but for `objective`.

    Without a teacher the five that need one are NaN, not 0. With truncated targets the teacher's distribution is what
    is left of it, so that losses of different truncations do not compare; `cross_entropy` always does.

    Attributes:
        objective: Eq. 7; the one that has a gradient.
        cross_entropy: Of the student against the data, L_NTP.
        z: (logsumexp z)^2.
        cross_entropy_teacher: Of the student against the teacher, both at temperature tau.
        teacher_entropy: Of the teacher's distribution at temperature tau.
        kl: KL(teacher || student), the difference of the two above.
        distillation: L_KD with its tau^2: a cross-entropy, or the reverse KL or JSD that was asked for.
        lost_mass: Probability of the tokens that the teacher left out.
        positions: Target tokens.
    """

    objective: Tensor
    cross_entropy: Tensor
    z: Tensor
    cross_entropy_teacher: Tensor
    teacher_entropy: Tensor
    kl: Tensor
    distillation: Tensor
    lost_mass: Tensor
    positions: Tensor

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What `detached` holds, in order."""
        return tuple(field.name for field in fields(cls))

    def detached(self) -> Tensor:
        """All sums in one tensor without gradient, to add up over micro-batches and ranks."""
        return torch.stack([getattr(self, name).detach() for name in self.names()])


def distillation_loss(
    hidden: Tensor,
    head: Tensor,
    labels: Tensor,
    teacher: TeacherTargets | None,
    config: LossConfig,
    mixing: float,
    observe: Observer | None = None,
    after: Callable[[Tensor], Tensor] | None = None,
) -> LossSums:
    """Loss of eq. 7, summed over the target tokens.

    Args:
        hidden: The student's last hidden states, shape (..., d).
        head: Weights of its output layer, which has no bias, shape (V, d).
        labels: The next token at each position, shape (...); negative where there is none, which costs nothing.
        teacher: Targets for the positions, in their order; None for supervised learning.
        config: The loss.
        mixing: lambda of this step, `config.mixing_at(share of tokens seen)`.
        observe: Called for each chunk with the student's log-probabilities at temperature 1 (rows, V), its labels and
            the teacher's targets, for measures that need them.
        after: What makes logits of the products of hidden states and weights, `Head.after` of a model that is only
            measured; there is no gradient through it.

    Raises:
        ValueError: lambda is above 0 without a teacher, or the teacher's targets do not fit the student.
    """
    if teacher is None and mixing != 0:
        raise ValueError(f"mixing is {mixing}, and there is no teacher; without one it must be 0")
    hidden, labels = hidden.flatten(0, -2), labels.flatten()
    run = partial(
        _chunked_loss, labels=labels, teacher=teacher, config=config, mixing=mixing, observe=observe, after=after
    )
    if after is None and torch.is_grad_enabled() and (hidden.requires_grad or head.requires_grad):
        objective, sums = _ChunkedLoss.apply(hidden, head, run)  # pyright: ignore[reportGeneralTypeIssues]
    else:
        with torch.no_grad():
            objective, sums, *_ = run(hidden, head, wanted=(False, False))
    return LossSums(objective=objective, **dict(zip(LossSums.names()[1:], sums.unbind(), strict=True)))


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, run: Callable) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        objective, sums, *gradients = run(hidden, head, wanted=ctx.needs_input_grad[:2])
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(sums)
        return objective, sums

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        hidden, head = (None if g is None else g * upstream[0].to(g.dtype) for g in ctx.saved_tensors)
        return hidden, head, None


def _chunk_positions(hidden: Tensor, vocabulary: int) -> int:
    if hidden.device.type == "cpu":
        return max(_CPU_ELEMENTS // vocabulary, _CPU_ROWS)
    return max(hidden.numel() // vocabulary, _CPU_ROWS)  # as many logits as there are hidden numbers


def _chunked_loss(
    hidden: Tensor,
    head: Tensor,
    labels: Tensor,
    teacher: TeacherTargets | None,
    config: LossConfig,
    mixing: float,
    observe: Observer | None,
    after: Callable[[Tensor], Tensor] | None,
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Objective, the other sums, and the objective's gradients with respect to hidden and head where wanted."""
    vocabulary = head.shape[0]
    chunk = config.chunk or _chunk_positions(hidden, vocabulary)
    targets = (labels >= 0).nonzero().squeeze(1)
    all_targets = len(targets) == len(labels)
    hidden_gradient = torch.zeros_like(hidden) if wanted[0] else None
    head_gradient = torch.zeros_like(head) if wanted[1] else None
    measures = [hidden.new_empty(2 if teacher is None else 7, 0)]
    for start in range(0, len(targets), chunk):
        rows: Rows = slice(start, start + chunk) if all_targets else targets[start : start + chunk]
        states = hidden[rows]
        given = None if teacher is None else teacher.at(rows)
        logits = at_least_float32(states @ head.T)
        if after is not None:
            logits = after(logits)
        measured, gradient = _loss(logits, labels[rows], given, config, mixing, observe)
        measures.append(measured)
        gradient = gradient.to(head.dtype)
        if hidden_gradient is not None:
            hidden_gradient[rows] = (gradient @ head).to(hidden.dtype)
        if head_gradient is not None:
            head_gradient.addmm_(gradient.T, states.to(head.dtype))
    sums = torch.cat(measures, 1).sum(1, dtype=torch.float64)
    objective = (1 - mixing) * sums[0] + config.z_loss * sums[1]
    if teacher is not None:
        objective = objective + mixing * sums[5]
    missing = [torch.nan] * (7 - len(sums))
    sums = torch.cat([sums, sums.new_tensor([*missing, len(targets)])])
    return objective, sums, hidden_gradient, head_gradient


def _loss(
    logits: Tensor,
    labels: Tensor,
    given: Targets | None,
    config: LossConfig,
    mixing: float,
    observe: Observer | None,
) -> tuple[Tensor, Tensor]:
    """What `LossSums` sums, (measures, rows) without those that are missing, and d objective / d logits."""
    label, tau = labels[:, None], config.temperature
    log_q = torch.log_softmax(logits, -1)
    if observe is not None:
        observe(log_q, labels, given)
    label_log_q = log_q.gather(1, label)
    logsumexp = logits.gather(1, label) - label_log_q
    measures = [-label_log_q[:, 0], logsumexp[:, 0].square()]
    q = torch.softmax(log_q, -1)

    # L_NTP and L_Z move every logit by the student's probability times one number a position.
    weight = (1 - mixing) + 2 * config.z_loss * logsumexp
    if given is None:
        total = q.mul_(weight)
    else:
        log_q_tau = log_q if tau == 1 else torch.log_softmax(logits / tau, -1)
        term = _term(log_q_tau, q if tau == 1 else torch.softmax(log_q_tau, -1), given, config.divergence)
        measures += [
            term.cross_entropy,
            term.entropy,
            term.cross_entropy - term.entropy,
            tau**2 * term.divergence,
            term.lost_mass,
        ]
        total = term.gradient if mixing * tau == 1 else term.gradient.mul_(mixing * tau)
        if mixing != 1 or config.z_loss != 0:
            total.addcmul_(q, weight)
    if mixing != 1:
        total.scatter_add_(1, label, torch.full_like(weight, mixing - 1))
    return torch.stack(measures), total


class _Term(NamedTuple):
    """What the teacher adds, a number a position, and d divergence / d (z / tau)."""

    cross_entropy: Tensor
    entropy: Tensor
    divergence: Tensor
    lost_mass: Tensor
    gradient: Tensor


def _term(log_q: Tensor, q: Tensor, given: Targets, divergence: Divergence) -> _Term:
    """L_KD / tau^2 from the student's distribution at temperature tau."""
    if isinstance(given, PointTargets):
        _check_fit(len(given.ids) == len(log_q), len(given.ids), len(log_q))
        if divergence != "forward-kl":
            raise ValueError(f"divergence '{divergence}' needs a teacher's probability for every token, not points")
        cross_entropy = -(given.weights * log_q.gather(1, given.ids)).sum(-1)
        gradient = q.scatter_add(1, given.ids, -given.weights)
        return _Term(cross_entropy, given.entropy, cross_entropy, given.lost_mass, gradient)

    if isinstance(given, DenseTargets):
        _check_fit(given.log_probs.shape == log_q.shape, tuple(given.log_probs.shape), tuple(log_q.shape))
        if divergence == "reverse-kl" and bool((given.log_probs[:, -1] <= IMPOSSIBLE).any()):
            raise ValueError("divergence 'reverse-kl' is infinite: the teacher's vocabulary ends before the student's")
        cross_entropy = -(given.probs * log_q).sum(-1)
        value, gradient = _divergence(divergence, given.log_probs, given.probs, log_q, q, cross_entropy)
        return _Term(cross_entropy, given.entropy, value, torch.zeros_like(value), gradient)

    _check_fit(len(given.ids) == len(log_q), len(given.ids), len(log_q))
    # Outcomes: the kept tokens, and all others as one.
    filler = given.log_probs <= IMPOSSIBLE
    kept = log_q.gather(1, given.ids).masked_fill(filler, IMPOSSIBLE)
    rest, log_q_tail = log_mass(q, given.ids)
    outcome_log_p = torch.cat([given.log_probs, given.log_tail[:, None]], -1)
    outcome_log_q = torch.cat([kept, log_q_tail[:, None]], -1)
    p, outcome_q = outcome_log_p.exp(), outcome_log_q.exp()
    cross_entropy = -(p * outcome_log_q).sum(-1)
    entropy = -(p * outcome_log_p).sum(-1)
    value, moved = _divergence(divergence, outcome_log_p, p, outcome_log_q, outcome_q, cross_entropy)
    # The tail's tokens share its gradient in proportion to the student's probability.
    gradient = rest.mul_(moved[:, -1:] / outcome_q[:, -1:]).scatter_add_(1, given.ids, moved[:, :-1])
    return _Term(cross_entropy, entropy, value, p[:, -1], gradient)


def _divergence(
    divergence: Divergence, log_p: Tensor, p: Tensor, log_q: Tensor, q: Tensor, cross_entropy: Tensor
) -> tuple[Tensor, Tensor]:
    """L_KD / tau^2 of each row and its derivative with respect to the logits that q is the softmax of."""
    if divergence == "forward-kl":
        return cross_entropy, q - p
    if divergence == "reverse-kl":
        ratio = log_q - log_p
        value = (q * ratio).sum(-1)
        return value, q * (ratio - value[:, None])
    log_middle = torch.logaddexp(log_p, log_q) - log(2)
    ratio = log_q - log_middle
    of_student = (q * ratio).sum(-1)
    of_teacher = (p * (log_p - log_middle)).sum(-1)
    return (of_student + of_teacher) / 2, q * (ratio - of_student[:, None]) / 2


def _check_fit(fits: bool, teacher: object, student: object) -> None:
    if not fits:
        raise ValueError(
            f"the teacher's targets are for {teacher} and the student's logits {student} (positions, tokens)"
        )
