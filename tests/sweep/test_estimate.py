from dataclasses import replace

import numpy as np
import pytest

from distlaw.report.study_tables import time_left
from distlaw.sweep.estimate import assumed, learned
from distlaw.sweep.jobs import jobs_of
from distlaw.sweep.outlook import outlook
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


def test_nano_takes_what_it_was_measured_to_take():
    """130 CPU-seconds, imports and measuring included, on two busy cores."""
    found = outlook(read_study("nano"), workers=2)
    assert 100 < 3600 * found.core_hours < 200
    assert 60 < 3600 * found.hours < 3600 * found.core_hours


def test_measuring_and_every_run_of_a_pass_take_time():
    study = read_study("nano")
    job = max(jobs_of(study, study.runs), key=lambda job: len(job.runs))
    alone = replace(job, runs=job.runs[:1])
    estimator = assumed(study)
    assert estimator.seconds(job) > estimator.seconds(alone) + 0.2
    more = replace(study, training=replace(study.training, validation_tokens=10**6))
    assert assumed(more).seconds(jobs_of(more, more.runs)[0]) > estimator.seconds(jobs_of(study, study.runs)[0]) + 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "a few seconds left"), (41.2, "about 41 s left"), (131, "about 2.2 min left"), (9e4, "about 25 h left")],
)
def test_the_time_left_is_said_as_a_time(seconds, said):
    assert time_left(seconds) == said
