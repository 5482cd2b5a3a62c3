"""How long runs take: a guess from their shape that learns from those that are finished."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.sweep.jobs import Job
from distlaw.sweep.study import Study

# Seconds a job (a guess), a token, an element of the residual stream a token and layer, and a FLOP: the last three
# within 2 % of what models of 3 to 665 thousand parameters took on one thread of an idle AMD EPYC, 1024 tokens a step.
_ASSUMED = np.array([1.0, 2.2e-6, 7.0e-8, 6.4e-12])
_TRUST = 3.0  # finished jobs that outweigh what is assumed


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimator:
    """Seconds of a job: c_0 + D sum_models (c_1 + c_2 layers x width + c_3 FLOPs a token).

    A teacher counts a third of a student of its size: one forward pass of three.

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
    D = job.runs[0].tokens
    models = [(study.shape(run), 1.0) for run in job.runs]
    if job.teacher is not None:
        models.append((study.shape(job.teacher), 1 / 3))
    per_token = np.array([[w, w * s.n_layers * s.d_model, w * 3 * s.forward_flops] for s, w in models])
    return np.array([1.0, *(D * per_token.sum(axis=0))])
