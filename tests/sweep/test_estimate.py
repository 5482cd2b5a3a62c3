import numpy as np
import pytest

from distlaw.sweep.estimate import assumed, learned
from distlaw.sweep.jobs import jobs_of
from distlaw.sweep.study import read_study

STUDY = read_study("tiny")
JOBS = jobs_of(STUDY, STUDY.runs)


def errors(estimator, truth, jobs):
    return np.array([abs(np.log(estimator.seconds(job) / truth(job))) for job in jobs])


def test_a_machine_of_another_speed_is_learned_from_a_few_jobs():
    def truth(job):
        return 3.7 * assumed(STUDY).seconds(job)

    some = sorted(JOBS, key=assumed(STUDY).seconds)[:5]
    assert errors(learned(STUDY, [(job, truth(job)) for job in some]), truth, JOBS).max() < 1e-6
    assert learned(STUDY, []).coefficients.tolist() == assumed(STUDY).coefficients.tolist()


def test_a_machine_of_another_kind_is_learned_from_many():
    from distlaw.sweep.estimate import Estimator

    other = Estimator(study=STUDY, coefficients=assumed(STUDY).coefficients * [3.0, 0.3, 0.5, 4.0])
    rng = np.random.default_rng(0)
    took = [(job, other.seconds(job) * rng.lognormal(0, 0.05)) for job in JOBS[::2]]
    found = errors(learned(STUDY, took), other.seconds, JOBS)
    assert found.mean() < 0.1
    assert found.mean() < errors(assumed(STUDY), other.seconds, JOBS).mean() / 5


def test_no_estimate_is_zero_or_negative():
    took = [(job, 1.0) for job in JOBS]  # whatever the size
    assert all(learned(STUDY, took).seconds(job) > 0 for job in JOBS)


@pytest.mark.parametrize("seconds", [0.0])
def test_a_job_without_a_time_says_nothing(seconds):
    assert (learned(STUDY, [(JOBS[0], seconds)]).coefficients == assumed(STUDY).coefficients).all()
