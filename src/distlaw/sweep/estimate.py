"""How long runs take: a guess from their shape that learns from those that are finished."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.sweep.jobs import Job
from distlaw.sweep.study import Study

# CPU seconds of a run (export, records), a token, an element of the residual stream a token and layer, and a FLOP:
# within 8 % of what each of the 36 jobs of `nano` took on a thread of a busy two-core machine. On an idle AMD EPYC the
# last three were 2.2e-6, 7.0e-8 and 6.4e-12 (models of 3 to 665 thousand parameters): half as much, or less.
_ASSUMED = np.array([0.25, 5.5e-6, 1.1e-7, 2.0e-11])
START = 4.0
"""CPU seconds until a process has begun: what it imports."""
_TRUST = 3.0  # finished jobs that outweigh what is assumed


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimator:
    """Seconds of a job: c_0 runs + sum_models T (c_1 + c_2 layers x width + c_3 FLOPs a token).

    T is the tokens that a model is trained on, and a third of those that it is measured on. A teacher counts a third of
    a student of its size: one forward pass of three.

    Attributes:
        study: The study.
        coefficients: c_0 to c_3.
    """

    study: Study
    coefficients: NDArray[np.float64]

    def seconds(self, job: Job) -> float:
        """Estimated wall seconds on one worker."""
        return float(_features(self.study, job) @ self.coefficients)


def assumed(study: Study) -> Estimator:
    """What is guessed before anything ran."""
    return Estimator(study=study, coefficients=_ASSUMED)


def learned(study: Study, finished: Sequence[tuple[Job, float]]) -> Estimator:
    """Fit the coefficients to finished jobs: relative errors, drawn towards what is assumed and none far below it.

    Args:
        study: The study.
        finished: Jobs and the seconds that they took.
    """
    rows = np.array([_features(study, job) / took for job, took in finished if took > 0]).reshape(-1, _ASSUMED.size)
    if not len(rows):
        return assumed(study)
    speed = float(np.exp(-np.median(np.log(rows @ _ASSUMED))))  # this machine against the assumed one
    prior = _ASSUMED * speed
    pull = np.eye(_ASSUMED.size) * np.sqrt(_TRUST)
    matrix = np.vstack([rows * prior, pull])
    wanted = np.concatenate([np.ones(len(rows)), pull.sum(axis=1)])
    return Estimator(study=study, coefficients=prior * np.linalg.lstsq(matrix, wanted)[0].clip(0.05))


def _features(study: Study, job: Job) -> NDArray[np.float64]:
    D, measured = job.runs[0].tokens, study.setup(job.runs[0]).training.validation_tokens
    models = [(study.shape(run), D + measured / 3) for run in job.runs]
    if job.teacher is not None:
        models.append((study.shape(job.teacher), (D + measured * len(job.runs)) / 3))
    parts = np.array([[T, T * s.n_layers * s.d_model, T * 3 * s.forward_flops] for s, T in models])
    return np.array([len(job.runs), *parts.sum(axis=0)])
