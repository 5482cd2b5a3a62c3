import json
import os
import subprocess
import sys
import time

import pytest

from distlaw.sweep import lease as room
from distlaw.sweep.lease import Watch, claim, leases, place
from distlaw.sweep.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(room, "BEAT", 0.02)


def never():
    raise AssertionError("the lease was not lost")


def eventually(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_who_holds_a_job_keeps_others_out_until_he_gives_it_back(store):
    held = claim(store, "job", 0, lost=never)
    assert held is not None
    assert claim(store, "job", 0, lost=never) is None
    watch = Watch()
    with held:
        held.say(step=3)
        assert watch.state(leases(store)["job"]) == "held"
        eventually(lambda: leases(store)["job"].content["beat"] > 1)
        assert leases(store)["job"].content["step"] == 3
    found = leases(store)["job"]
    assert watch.state(found) == "free"
    again = claim(store, "job", found.number, lost=never)
    assert again is not None
    with again:
        assert leases(store)["job"].number == 2
        again.forget()
    assert leases(store) == {}


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
        " claim(Store(sys.argv[1]), 'job', 0, lost=print)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.local)], check=True)
    assert leases(store)["job"].content["place"] == place()
    assert Watch().state(leases(store)["job"]) == "dead"


def test_another_process_with_the_same_number_is_another(store):
    content = {"place": place(), "pid": os.getpid(), "born": "1", "beat": 1}
    store.write("leases/job.0001", json.dumps(content).encode())
    assert Watch().state(leases(store)["job"]) == "dead"


def test_who_lost_his_job_is_told(store):
    told = []
    held = claim(store, "job", 0, lost=lambda: told.append(1))
    assert held is not None
    with held:
        assert claim(store, "job", 1, lost=never) is not None  # somebody thought us dead
        eventually(lambda: told)
    assert leases(store)["job"].number == 2
    assert not leases(store)["job"].free


def test_a_damaged_lease_is_held_until_it_expires(store):
    now = [0.0]
    watch = Watch(60.0, clock=lambda: now[0])
    store.write("leases/job.0001", b"\x00{")
    assert watch.state(leases(store)["job"]) == "held"
    now[0] = 61.0
    assert watch.state(leases(store)["job"]) == "dead"
