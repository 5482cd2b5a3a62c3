"""How sure a model is and how right it is to be (appendix E.8 of arXiv 2502.08606), summed bin by bin.

Sums add up over batches and ranks; nothing else is kept. Confidence is the probability of the likeliest token.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

BINS = 21


@dataclass(frozen=True, eq=False)
class Reliability:
    """Outcomes of predictions, sorted into bins of equal width by the confidence they were made with.

    Bin m of M holds confidences in ((m - 1) / M, m / M]. An outcome is 1 or 0 where a prediction is right or wrong, and
    may be any number in [0, 1].

    Attributes:
        sums: Predictions, their confidences and their outcomes, summed in each bin, shape (3, M), float64: what ranks
            add up.
    """

    sums: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: ArrayLike, outcome: ArrayLike, bins: int = BINS) -> "Reliability":
        """From the confidence and the outcome of each prediction, two arrays of one shape.

        >>> Reliability.of([0.75, 0.75, 0.75, 0.75], [1, 0, 1, 0]).ece
        0.25
        """
        confidence, outcome = (np.ravel(np.asarray(a, dtype=np.float64)) for a in (confidence, outcome))
        edges = np.linspace(0, 1, bins + 1)[1:-1]
        member = np.searchsorted(edges, confidence, side="left")
        sums = [np.bincount(member, weights, bins) for weights in (np.ones_like(confidence), confidence, outcome)]
        return cls(np.stack(sums).astype(np.float64))

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(self.sums + other.sums)

    @property
    def counts(self) -> NDArray[np.float64]:
        """Predictions in each bin."""
        return self.sums[0]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Mean confidence in each bin, the reliability diagram's x; NaN in an empty one."""
        return self._mean(1)

    @property
    def outcome(self) -> NDArray[np.float64]:
        """Mean outcome in each bin, the reliability diagram's y; NaN in an empty one."""
        return self._mean(2)

    @property
    def ece(self) -> float:
        """Expected calibration error: sum over bins of |B_m| / n |outcome - confidence|; NaN without predictions."""
        predictions = self.sums[0].sum()
        return float(np.abs(self.sums[2] - self.sums[1]).sum() / predictions) if predictions else float("nan")

    def _mean(self, row: int) -> NDArray[np.float64]:
        empty = self.sums[0] == 0
        return np.where(empty, np.nan, self.sums[row] / np.where(empty, 1, self.sums[0]))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A student's confidence against the data and, where there is one, against its teacher.

    Attributes:
        data: Outcome: the student's likeliest token is the next token.
        teacher: Outcome: it is also the teacher's likeliest.
        distribution: Outcome: the teacher's own confidence, so that `ece` is ECE_dist (eq. 39) with the teacher as A
            and the student, whose confidence makes the bins, as B.
    """

    data: Reliability
    teacher: Reliability | None = None
    distribution: Reliability | None = None

    @classmethod
    def of(
        cls, log_probs: Tensor, labels: Tensor, teacher_log_probs: Tensor | None = None, bins: int = BINS
    ) -> "Calibration":
        """From log-probabilities of student and teacher (n, V) and the next tokens (n,)."""
        confidence, best = _likeliest(log_probs)
        data = Reliability.of(confidence, best == labels.cpu().numpy(), bins)
        if teacher_log_probs is None:
            return cls(data)
        teacher_confidence, teacher_best = _likeliest(teacher_log_probs)
        agree = Reliability.of(confidence, best == teacher_best, bins)
        return cls(data, agree, Reliability.of(confidence, teacher_confidence, bins))

    def __add__(self, other: "Calibration") -> "Calibration":
        return Calibration(
            self.data + other.data, _both(self.teacher, other.teacher), _both(self.distribution, other.distribution)
        )


def _likeliest(log_probs: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    best, token = log_probs.detach().max(-1)
    return best.double().exp().cpu().numpy(), token.cpu().numpy()


def _both(one: Reliability | None, other: Reliability | None) -> Reliability | None:
    return None if one is None or other is None else one + other
