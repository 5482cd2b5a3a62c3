import json
import os
import subprocess
import sys
import threading

import pytest

from distlaw.sweep import lease as room
from distlaw.sweep.lease import Lost, Watch, claim, leases, place
from distlaw.sweep.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


@pytest.fixture
def clock():
    return Clock()


class Clock:
    """Tells the seconds that a test says."""

    now = 1000.0

    def __call__(self):
        return self.now


def test_one_who_holds_a_job_keeps_others_out_until_he_gives_it_back(store):
    held = claim(store, "job", 0)
    assert held is not None
    assert claim(store, "job", 0) is None
    watch = Watch()
    with held:
        held.say(step=3)
        assert watch.state(leases(store)["job"]) == "held"
        held.turn()
        assert leases(store)["job"].content["beat"] >= 1
        assert leases(store)["job"].content["step"] == 3
    found = leases(store)["job"]
    assert watch.state(found) == "free"
    again = claim(store, "job", found.number)
    assert again is not None
    with again:
        assert leases(store)["job"].number == 2
        again.forget()
    assert leases(store) == {}


def test_the_counter_is_turned_by_a_thread(store, monkeypatch):
    monkeypatch.setattr(room, "BEAT", 0.0)
    turned = threading.Event()
    with claim(store, "job", 0) as held:
        real = held.turn
        monkeypatch.setattr(held, "turn", lambda: (real(), turned.set()))
        turned.wait()
    assert leases(store)["job"].content["beat"] >= 1


def of_another_machine(store, beat):
    content = {"place": "elsewhere", "pid": 1, "beat": beat}
    store.write("leases/job.0001", json.dumps(content).encode())


def test_a_counter_that_stands_still_is_dead_by_the_watchers_own_clock(store):
    now = [1000.0]
    watch = Watch(60.0, clock=lambda: now[0])
    of_another_machine(store, 1)
    assert watch.state(leases(store)["job"]) == "held"
    now[0] += 59
    assert watch.state(leases(store)["job"]) == "held"
    of_another_machine(store, 2)
    now[0] += 59
    assert watch.state(leases(store)["job"]) == "held"
    now[0] += 59
    assert watch.state(leases(store)["job"]) == "held"
    now[0] += 2
    assert watch.state(leases(store)["job"]) == "dead"


def test_clocks_that_disagree_change_nothing(store):
    of_another_machine(store, 1)
    os.utime(store.local / "leases/job.0001", (0, 0))  # an hour or fifty years off
    assert Watch(60.0).state(leases(store)["job"]) == "held"
    os.utime(store.local / "leases/job.0001", (1e11, 1e11))
    assert Watch(60.0).state(leases(store)["job"]) == "held"


def test_a_process_of_this_machine_that_is_no_more_is_dead_at_once(store):
    code = (
        "import sys; from distlaw.sweep.lease import claim; from distlaw.sweep.store import Store;"
        " claim(Store(sys.argv[1]), 'job', 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.local)], check=True)
    assert leases(store)["job"].content["place"] == place()
    assert Watch().state(leases(store)["job"]) == "dead"


def test_another_process_with_the_same_number_is_another(store):
    content = {"place": place(), "pid": os.getpid(), "born": "1", "beat": 1}
    store.write("leases/job.0001", json.dumps(content).encode())
    assert Watch().state(leases(store)["job"]) == "dead"


def test_who_lost_his_job_is_told_and_gives_nothing_back(store):
    with claim(store, "job", 0) as held:
        assert claim(store, "job", 1) is not None  # somebody thought us dead
        with pytest.raises(Lost):
            held.confirm()
        with pytest.raises(Lost):
            held.say(step=9)
    assert leases(store)["job"].number == 2
    assert not leases(store)["job"].free
    assert store.names("leases") == ["job.0001", "job.0002"]
    assert json.loads(store.read("leases/job.0001"))["beat"] == 0


def test_a_lease_that_is_not_there_any_more_is_lost(store):
    """Another has ended the job, and removed its leases."""
    with claim(store, "job", 0) as held:
        with claim(store, "job", 1) as other:
            other.forget()
        with pytest.raises(Lost):
            held.confirm()
    assert store.names("leases") == []


def test_a_lease_of_the_same_number_that_is_anothers_is_lost(store):
    """The job was ended by another, and begun anew by a third."""
    with claim(store, "job", 0) as held:
        of_another_machine(store, 3)
        with pytest.raises(Lost):
            held.confirm()
    assert json.loads(store.read("leases/job.0001"))["place"] == "elsewhere"


def test_a_process_that_was_stopped_for_long_looks_before_its_next_step(store, clock):
    with claim(store, "job", 0, clock=clock) as held:
        held.say(step=1)
        clock.now += 600  # stopped, and nobody took the job
        held.say(step=2)
        assert leases(store)["job"].content["step"] == 2
        clock.now += 600
        store.remove("leases/job.0001")  # somebody did, and ended it
        with pytest.raises(Lost):
            held.say(step=3)
    assert store.names("leases") == []


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("the disk is full")])
def test_a_store_that_does_not_answer_is_asked_again_until_others_may_take_the_job(store, clock, monkeypatch, error):
    def fail(*_):
        raise error

    with claim(store, "job", 0, clock=clock) as held:
        for _ in range(3):  # for a while
            with monkeypatch.context() as broken:
                broken.setattr(Store, "write", fail)
                if isinstance(error, OSError):
                    broken.setattr(Store, "read", fail)
                clock.now += 40
                held.turn()
                assert not held.lost
            held.turn()
        assert json.loads(store.read("leases/job.0001"))["beat"] >= 3
        monkeypatch.setattr(Store, "write", fail)
        monkeypatch.setattr(Store, "read", fail)
        clock.now += 49
        held.say(step=1)
        clock.now += 2  # ten seconds before a watcher may take it for dead
        with pytest.raises(Lost):
            held.say(step=2)
        monkeypatch.undo()
        with pytest.raises(Lost):  # for good
            held.confirm()


def test_a_thread_outlives_whatever_the_store_says(store, monkeypatch):
    monkeypatch.setattr(room, "BEAT", 0.0)
    turns, seen = [OSError(5, "no answer"), ValueError("full"), None], threading.Event()
    real = Store.write

    def write(self, name, content):
        if turns and (error := turns.pop(0)) is not None:
            raise error
        real(self, name, content)
        if not turns:
            seen.set()

    held = claim(store, "job", 0)
    monkeypatch.setattr(Store, "write", write)
    with held:
        seen.wait()
    assert not held.lost
    assert leases(store)["job"].free


def test_a_damaged_lease_is_held_until_it_expires(store):
    now = [0.0]
    watch = Watch(60.0, clock=lambda: now[0])
    store.write("leases/job.0001", b"\x00{")
    assert watch.state(leases(store)["job"]) == "held"
    now[0] = 61.0
    assert watch.state(leases(store)["job"]) == "dead"
