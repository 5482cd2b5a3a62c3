from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.sweep.simulate import SMALL, small

from distlaw.sweep.jobs import Job, chains, config_of, jobs_of, next_job, without
from distlaw.sweep.study import read_study, study_of

STUDY = small()
RUNS = list(STUDY.runs)


def test_students_of_one_teacher_on_the_same_tokens_share_a_pass():
    jobs = jobs_of(STUDY, RUNS)
    assert sorted(run.id for job in jobs for run in job.runs) == sorted(run.id for run in RUNS)
    assert sorted(len(job.runs) for job in jobs if job.teacher is not None) == [2, 2]
    for job in jobs:
        assert len({(run.teacher, run.tokens, run.seed, run.split) for run in job.runs}) == 1


@given(order=st.permutations(RUNS), per_pass=st.integers(1, 4))
def test_how_runs_go_together_does_not_depend_on_their_order(order, per_pass):
    study = small(limits=f"students_per_pass = {per_pass}")
    assert {job.id for job in jobs_of(study, order)} == {job.id for job in jobs_of(study, RUNS)}


def test_students_with_losses_and_shapes_of_their_own_share_a_pass_and_those_trained_otherwise_do_not():
    text = """
[[protocols]]
teachers = { params = [20e3], tokens = [4096] }
students = { params = [6e3], tokens = [4096] }
"""
    changed = ["", "loss = { mixing = 0.5 }", "family = { aspect_ratio = 16 }", "training = { rate = 0.01 }"]
    study = study_of(SMALL.split("[[protocols]]")[0] + "".join(text + change for change in changed), "changed")
    taught = [job for job in jobs_of(study, study.runs) if job.teacher is not None]
    assert sorted(len(job.runs) for job in taught) == [1, 3]
    [alone, together] = sorted(taught, key=lambda job: len(job.runs))
    config = config_of(study, together, Path("teacher"))
    assert sorted(student.loss.mixing for student in config.students) == [0.5, 1.0, 1.0]
    assert sorted(student.model.aspect_ratio for student in config.students) == [8, 8, 16]
    assert config.training.rate == study.training.rate
    assert config_of(study, alone, Path("teacher")).training.rate == 0.01
    for job in taught:
        for run in job.runs:
            [own] = [s for s in config_of(study, job, Path("teacher")).students if s.name == run.id]
            assert own.model.architecture(vocab_size=64, context=16).n_params == study.shape(run).n_params


def test_a_job_that_is_to_blame_is_cut_into_its_runs():
    [first, *_] = [job for job in jobs_of(STUDY, RUNS) if len(job.runs) == 2]
    jobs = jobs_of(STUDY, RUNS, apart={first.id})
    assert first.id not in {job.id for job in jobs}
    assert {Job(runs=(run,)).id for run in first.runs} <= {job.id for job in jobs}


def test_runs_that_were_done_elsewhere_are_not_done_again():
    [first, *_] = [job for job in jobs_of(STUDY, RUNS) if len(job.runs) == 2]
    left = without(first, {first.runs[0].id})
    assert left is not None
    assert left.runs == first.runs[1:]
    assert without(first, {run.id for run in first.runs}) is None
    assert without(first, ()) is first


def test_a_chain_ends_with_the_last_student():
    jobs = jobs_of(STUDY, RUNS)
    lengths = chains(jobs, lambda job: float(job.runs[0].tokens))
    teacher = next(job for job in jobs if job.runs[0].split == "teacher")
    students = [job for job in jobs if job.teacher == teacher.runs[0]]
    assert lengths[teacher.id] == teacher.runs[0].tokens + max(job.runs[0].tokens for job in students)
    assert lengths[students[0].id] == students[0].runs[0].tokens


def makespan(jobs, seconds, workers, pick):
    """When the last job ends, and when half of them have."""
    now, left, running, ends = 0.0, list(jobs), [], []
    done: set[str] = set()
    while left or running:
        while len(running) < workers:
            ready = [job for job in left if job.teacher is None or job.teacher.id in done]
            job = pick(ready, left)
            if job is None:
                break
            left.remove(job)
            running.append((now + seconds(job), job))
        running.sort(key=lambda item: item[0])
        now, job = running.pop(0)
        ends.append(now)
        done |= {run.id for run in job.runs}
    return now, sorted(ends)[len(ends) // 2]


def test_cheap_runs_come_first_and_long_ones_in_time():
    study = read_study("tiny")
    jobs = jobs_of(study, study.runs)

    def seconds(job):
        return sum(study.flops(run) for run in job.runs)

    def ours(ready, left):
        return next_job(ready, left, workers=2, seconds=seconds)

    def cheapest(ready, _left):
        return min(ready, key=seconds, default=None)

    def longest(ready, left):
        length = chains(left, seconds)
        return max(ready, key=lambda job: length[job.id], default=None)

    end, half = makespan(jobs, seconds, 2, ours)
    bound = sum(map(seconds, jobs)) / 2
    assert end <= 1.05 * bound
    assert end < makespan(jobs, seconds, 2, cheapest)[0]
    assert half < 0.5 * makespan(jobs, seconds, 2, longest)[1]  # and yet most results come early


def test_a_config_is_that_of_the_run(tmp_path):
    [job, *_] = [job for job in jobs_of(STUDY, RUNS) if len(job.runs) == 2]
    config = config_of(STUDY, job, tmp_path)
    assert config.training.tokens == job.runs[0].tokens
    assert config.training.order_seed == job.runs[0].seed
    assert [student.model.layers for student in config.students] == [run.layers for run in job.runs]
    assert config.split == "student"
    assert all(student.loss.mixing == 1.0 for student in config.students)
    alone = next(job for job in jobs_of(STUDY, RUNS) if job.runs[0].seed == 1)
    config = config_of(STUDY, alone, None)
    assert config.students[0].seed == config.training.order_seed == 1
    assert config.students[0].loss.mixing == 0.0
