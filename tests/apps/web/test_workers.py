import os
import time
from concurrent.futures import CancelledError

import pytest

from distlaw.apps.web.workers import Workers

LIMITS = {"seconds": 20.0, "memory": 4 << 30}


def double(x, tell):
    tell(1, 2)
    return 2 * x


def refuse(_tell):
    raise ValueError("row 3 is bad")


def fail(_tell):
    raise KeyError("x")


def sleep(_tell):
    time.sleep(60)


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
    assert job.wait(60) == 42
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
        job.wait(60)
    assert job.standing == "failed"


def test_work_can_be_cancelled_while_it_runs_and_while_it_waits(workers):
    running = [workers.begin(sleep, **LIMITS) for _ in range(2)]
    waiting = workers.begin(double, 1, **LIMITS)
    with pytest.raises(ValueError, match="as much to do as it takes on"):
        workers.begin(double, 1, **LIMITS)
    waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.wait(30)
    for job in running:
        job.cancel()
    for job in running:
        with pytest.raises(CancelledError):
            job.wait(30)
    assert workers.begin(double, 4, **LIMITS).wait(60) == 8


def test_who_waits_too_long_gives_up(workers):
    job = workers.begin(sleep, **LIMITS)
    with pytest.raises(ValueError, match="takes too long; try again"):
        job.wait(0.1)
    with pytest.raises(CancelledError):
        job.wait(30)
