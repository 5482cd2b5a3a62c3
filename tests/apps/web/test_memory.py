import threading
import time

import pytest
from tests.waiting import LONG

from distlaw.apps.web.memory import remembered


def test_it_is_worked_out_once_though_many_ask_at_the_same_moment():
    asked = []

    @remembered(4)
    def slow(x):
        asked.append(x)
        time.sleep(0.1)
        return 2 * x

    found = []
    threads = [threading.Thread(target=lambda: found.append(slow(3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert found == [6] * 8
    assert asked == [3]


def test_what_was_asked_for_last_is_kept():
    asked = []

    @remembered(2)
    def twice(x):
        asked.append(x)
        return 2 * x

    for x in (1, 2, 1, 3, 1, 2):
        assert twice(x) == 2 * x
    assert asked == [1, 2, 3, 2]


def test_what_is_raised_is_not_kept():
    asked = []

    @remembered(2)
    def fail(x):
        asked.append(x)
        raise ValueError(x)

    for _ in range(2):
        with pytest.raises(ValueError, match="5"):
            fail(5)
    assert asked == [5, 5]
