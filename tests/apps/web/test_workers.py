import errno
import os
import time
from concurrent.futures import CancelledError

import pytest
from tests.waiting import LONG

from distlaw.apps.web.workers import Workers

LIMITS = {"seconds": LONG, "memory": 4 << 30}


def double(x, tell):
    tell(1, 2)
    return 2 * x


def refuse(_tell):
    raise ValueError("row 3 is bad")


def fail(_tell):
    raise KeyError("x")


def sleep(_tell):
    time.sleep(2 * LONG)


def spin(_tell):
    while True:
        pass


def swell(_tell):
    return len(b"x" * (8 << 30))


def die(_tell):
    os._exit(3)


@pytest.fixture(scope="module")
def workers():
    return Workers(width=2, waiting=1)


def test_work_is_done_elsewhere(workers):
    job = workers.begin(double, 21, **LIMITS)
    assert job.wait(LONG) == 42
    assert (job.standing, job.done, job.parts) == ("done", 1, 2)
    assert job.seconds > 0


@pytest.mark.parametrize(
    ("work", "limits", "says"),
    [
        (refuse, LIMITS, "^row 3 is bad$"),
        (fail, LIMITS, "it went wrong .KeyError"),
        (swell, LIMITS, "needs more memory than it may have"),
        (die, LIMITS, "needs more memory or time"),
        (sleep, LIMITS | {"seconds": 0.5}, "takes longer than 0.5 seconds"),
        (spin, LIMITS | {"seconds": 0.5}, "takes longer than 0.5 seconds"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_work_that_fails_says_why(workers, work, limits, says):
    job = workers.begin(work, **limits)
    with pytest.raises(ValueError, match=says):
        job.wait(LONG)
    assert job.standing == "failed"


def test_work_can_be_cancelled_while_it_runs_and_while_it_waits(workers):
    running = [workers.begin(sleep, **LIMITS) for _ in range(2)]
    waiting = workers.begin(double, 1, **LIMITS)
    with pytest.raises(ValueError, match="as much to do as it takes on"):
        workers.begin(double, 1, **LIMITS)
    waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.wait(LONG)
    for job in running:
        job.cancel()
    for job in running:
        with pytest.raises(CancelledError):
            job.wait(LONG)
    assert workers.begin(double, 4, **LIMITS).wait(LONG) == 8


def test_who_waits_too_long_gives_up(workers):
    job = workers.begin(sleep, **LIMITS)
    with pytest.raises(ValueError, match="takes too long; try again"):
        job.wait(0.1)
    with pytest.raises(CancelledError):
        job.wait(LONG)


def test_one_client_has_half_of_the_places_at_most():
    workers = Workers(width=1, waiting=3)
    kept = [workers.begin(sleep, **LIMITS, client="a") for _ in range(2)]
    with pytest.raises(ValueError, match="this address has as much under way as one may have"):
        workers.begin(double, 1, **LIMITS, client="a")
    other = workers.begin(double, 1, **LIMITS, client="b")
    for job in kept:
        job.cancel()
    assert other.wait(LONG) == 2
    for job in kept:
        assert job.ended.wait(LONG)
    assert workers.begin(double, 1, **LIMITS, client="a").wait(LONG) == 2


def fill(_tell):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said(workers):
    with pytest.raises(ValueError, match=r"^the disk of the server is full: free some of"):
        workers.begin(fill, **LIMITS).wait(LONG)
