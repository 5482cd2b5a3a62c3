import json
import threading
from dataclasses import replace

import pytest
from tests.sweep.simulate import SMALL, Simulated, small

from distlaw.runs import read_runs, write_runs
from distlaw.sweep.collect import collect, collect_all
from distlaw.sweep.drive import Driver, begin, open_study
from distlaw.sweep.jobs import jobs_of
from distlaw.sweep.lease import Watch
from distlaw.sweep.state import State, record_name
from distlaw.sweep.status import request_stop, status
from distlaw.sweep.study import study_of


def driver(study, folder, executor, **more):
    return Driver(study=study, store=begin(study, str(folder)), executor=executor, cache=folder, **more)


def test_a_study_is_run_teachers_first_and_each_job_once(tmp_path):
    study, executor = small(), Simulated()
    outcome = driver(study, tmp_path, executor).run(study.runs)
    assert (outcome.ended, outcome.runs, outcome.done) == ("done", len(study.runs), len(study.runs))
    jobs = {job.id: job for job in jobs_of(study, study.runs)}
    assert sorted(executor.order) == sorted(jobs)
    place = {run.id: i for i, job in enumerate(executor.order) for run in jobs[job].runs}
    assert all(place[run.teacher.id] < place[run.id] for run in study.runs if run.teacher)
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_second_driver_finds_nothing_to_do(tmp_path):
    study, again = small(), Simulated()
    driver(study, tmp_path, Simulated()).run(study.runs)
    assert driver(study, tmp_path, again).run(study.runs).done == len(study.runs)
    assert again.order == []


def test_the_table_is_what_fit_reads(tmp_path):
    study = small()
    found = driver(study, tmp_path, Simulated())
    found.run(study.runs)
    table = collect(study, found.state.records)
    assert len(table) == len(study.runs)
    assert table.distilled.sum() == 4
    assert set(table.seed) == {0, 1}
    assert len(set(table.teacher_of_each()[table.distilled])) == 2
    taught = next(run for run in study.runs if run.teacher)
    assert study.flops(taught) in table.compute
    write_runs(table, tmp_path / "runs.csv")
    assert (read_runs(tmp_path / "runs.csv").compute == table.compute).all()
    with pytest.raises(ValueError, match="no run of 'the study' is done yet"):
        collect(study, {})


def test_a_run_that_fails_three_times_is_given_up_and_the_study_goes_on(tmp_path):
    study = small()
    bad = next(run for run in study.runs if run.teacher is None and run.split == "student")
    executor = Simulated(outcome=lambda task: RuntimeError("no luck") if bad in task.job.runs else None)
    outcome = driver(study, tmp_path, executor).run(study.runs)
    assert outcome.ended == "done"
    assert outcome.done == len(study.runs) - 1
    assert list(outcome.failed.values()) == ["no luck"]
    assert sum(job == next(iter(outcome.failed)) for job in executor.order) == 3


def test_what_fails_twice_and_then_does_not_is_done(tmp_path):
    study, seen = small(), {}

    def outcome(task):
        seen[task.job.id] = seen.get(task.job.id, 0) + 1
        return RuntimeError("not yet") if seen[task.job.id] < 3 else None

    assert driver(study, tmp_path, Simulated(outcome=outcome)).run(study.runs).done == len(study.runs)


def test_students_of_a_teacher_that_failed_are_not_begun(tmp_path):
    study = small()
    bad = next(run for run in study.runs if run.split == "teacher")
    executor = Simulated(outcome=lambda task: RuntimeError("no") if bad in task.job.runs else None)
    outcome = driver(study, tmp_path, executor).run(study.runs)
    assert outcome.blocked == sum(run.teacher == bad for run in study.runs) == 2
    assert outcome.done == len(study.runs) - 3
    waiting = {job.id for job in jobs_of(study, study.runs) if job.teacher == bad}
    assert not waiting & set(executor.order)


def test_one_bad_student_does_not_take_its_siblings_with_it(tmp_path):
    study = small()
    bad = next(run for run in study.runs if run.teacher is not None)
    executor = Simulated(outcome=lambda task: RuntimeError("no") if bad in task.job.runs else None)
    outcome = driver(study, tmp_path, executor).run(study.runs)
    assert outcome.done == len(study.runs) - 1
    assert len(outcome.failed) == 1


def test_a_worker_that_dies_is_not_the_jobs_fault_unless_it_dies_again_and_again(tmp_path):
    study, left = small(), [5]

    def sometimes(_task):
        left[0] -= 1
        return ChildProcessError("killed") if left[0] >= 0 else None

    outcome = driver(study, tmp_path / "a", Simulated(outcome=sometimes)).run(study.runs)
    assert outcome.done == len(study.runs)
    assert outcome.failed == {}
    bad = next(run for run in study.runs if run.teacher is None and run.split == "student")
    always = Simulated(outcome=lambda task: ChildProcessError("killed") if bad in task.job.runs else None)
    outcome = driver(study, tmp_path / "b", always).run(study.runs)
    assert list(outcome.failed.values()) == ["killed, 10 times over this job"]


def test_two_drivers_share_a_study_and_no_job_is_done_twice(tmp_path):
    study = small()
    executors = [Simulated(1), Simulated(1)]
    threads = [
        threading.Thread(target=driver(study, tmp_path, executor).run, args=(study.runs,)) for executor in executors
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = executors[0].order + executors[1].order
    assert sorted(done) == sorted(job.id for job in jobs_of(study, study.runs))


def test_a_lease_of_another_machine_is_waited_for_until_it_is_dead(tmp_path):
    study, executor = small(), Simulated()
    found = driver(study, tmp_path, executor, expiry=0.0)
    job = jobs_of(study, study.runs)[0]
    content = {"place": "elsewhere", "pid": 1, "beat": 3}
    found.store.create(f"leases/{job.id}.0001", json.dumps(content).encode())
    assert found.run(study.runs).done == len(study.runs)
    assert executor.order.index(job.id) >= 2  # not at the first look


def test_a_damaged_record_is_set_aside_and_its_run_repeated(tmp_path):
    study, executor = small(), Simulated()
    driver(study, tmp_path, executor).run(study.runs)
    victims = list(study.runs)[:2]
    whole = [(tmp_path / record_name(run)).read_bytes() for run in victims]
    (tmp_path / record_name(victims[0])).write_bytes(whole[0][: len(whole[0]) // 2])
    (tmp_path / record_name(victims[1])).write_bytes(whole[0])  # sound, but another run's
    executor.order.clear()
    outcome = driver(study, tmp_path, executor).run(study.runs)
    assert len(executor.order) == 2
    assert [(tmp_path / record_name(run)).read_bytes() for run in victims] == whole
    assert len(list((tmp_path / "quarantine").iterdir())) == 2
    assert "was damaged" in outcome.notes[0]


def test_stopping_and_going_on(tmp_path):
    study, seen = small(), []

    def stop_after_three(state):
        seen.append(len(state.records))
        if len(state.records) >= 3 and not state.stopped and not (tmp_path / "stop").exists():
            request_stop(state.store)

    executor = Simulated()
    outcome = driver(study, tmp_path, executor, looking=stop_after_three).run(study.runs)
    assert outcome.ended == "stopped"
    assert 3 <= outcome.done < len(study.runs)
    again, _ = open_study(str(tmp_path))
    assert again == study
    outcome = driver(again, tmp_path, executor).run(again.runs)
    assert outcome.done == len(study.runs)
    assert len(executor.order) == len(set(executor.order))


def test_more_runs_may_be_added_and_only_they_are_run(tmp_path):
    study = small()
    first, second = Simulated(), Simulated()
    some = small(limits=f"compute = {sum(study.flops(run) for run in study.runs) / 2}")
    driver(some, tmp_path, first).run(some.runs)
    driver(study, tmp_path, second).run(study.runs)
    records = State(store=begin(study, str(tmp_path))).look().records
    assert set(records) == {run.id for run in study.runs}
    before = {run.id for run in some.runs}
    for job in {record["job"] for run, record in records.items() if run in before}:
        assert job in first.order


def test_runs_that_a_second_study_does_not_ask_for_stay_in_the_table(tmp_path):
    study = small()
    driver(study, tmp_path, Simulated()).run(study.runs)
    first = study_of(SMALL.partition('[[protocols]]\nname = "taught"')[0], "first")
    less = replace(study, limits=replace(study.limits, compute=sum(map(study.flops, study.runs)) / 2))
    records = State(store=begin(first, str(tmp_path))).look().records
    found, [note] = collect_all(first, records)
    assert len(collect(first, records)) == len(first.runs) == 8
    assert note == "the table has 6 finished runs that study.toml does not ask for: an earlier study file did"
    whole, none = collect_all(study, records)
    assert none == []
    assert sorted(found.student_loss) == sorted(whole.student_loss)
    assert found.distilled.sum() == whole.distilled.sum() == 4
    assert set(map(str, found.group)) == set(map(str, whole.group))
    assert len(less.runs) < len(study.runs)
    assert len(collect_all(less, records)[0]) == len(study.runs)  # beyond a budget that was lowered
    assert collect_all(less, records)[1] == []


def test_a_folder_of_another_study_is_refused(tmp_path):
    begin(small(), str(tmp_path / "a"))
    with pytest.raises(ValueError, match="holds a study with other data, family, training or loss"):
        begin(small(loss="mixing = 0.5"), str(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="neither empty nor a study"):
        begin(small(), str(tmp_path / "b"))
    with pytest.raises(ValueError, match="is no study: there is no study"):
        open_study(str(tmp_path / "b"))


def test_state_may_lie_behind_a_url():
    import fsspec

    fsspec.filesystem("memory").store.clear()
    study, executor = small(), Simulated()
    store = begin(study, "memory://s")
    outcome = Driver(study=study, store=store, executor=executor, cache=None).run(study.runs)
    assert outcome.done == len(study.runs)
    assert status(store, Watch()).done == len(study.runs)


def test_status_tells_what_is_done_and_what_failed(tmp_path):
    study = small()
    bad = next(run for run in study.runs if run.teacher is None and run.split == "student")
    executor = Simulated(outcome=lambda task: RuntimeError("no\nluck") if bad in task.job.runs else None)
    found = driver(study, tmp_path, executor)
    with pytest.raises(ValueError, match="holds no study that was begun"):
        status(found.store, Watch())
    found.run(study.runs)
    at = status(found.store, Watch())
    assert (at.runs, at.done, at.waiting, at.active) == (len(study.runs), len(study.runs) - 1, 0, ())
    [(what, error)] = at.failed
    assert error == "no luck"
    assert "tokens" in what
    assert at.flops == pytest.approx(sum(study.flops(run) for run in study.runs))
    assert at.flops_done == pytest.approx(at.flops - study.flops(bad))


def test_status_shows_jobs_under_way(tmp_path):
    study = small()
    found = driver(study, tmp_path, Simulated())
    found.state.look()
    found._learn(found.jobs(study.runs))
    job = found.jobs(study.runs)[0]
    content = {"place": "elsewhere", "pid": 1, "beat": 3, "owner": "node7:1", "step": 5, "steps": 10}
    found.store.create(f"leases/{job.id}.0001", json.dumps(content).encode())
    at = status(found.store, Watch())
    assert [(active.owner, active.step, active.steps) for active in at.active] == [("node7:1", 5, 10)]
    assert at.seconds_left is not None
