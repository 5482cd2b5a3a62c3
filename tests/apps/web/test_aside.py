import os

import pytest

from distlaw.apps.web.aside import Aside

HERE = os.getpid()


def double(x):
    return 2 * x


def refuse(x):
    raise ValueError(f"{x} is bad")


def die_elsewhere(pid):
    if os.getpid() != pid:
        os._exit(3)
    return "done here"


def test_work_is_done_in_another_process():
    aside = Aside()
    assert aside.do(double, 21) == 42
    assert aside.do(os.getpid) == aside.do(os.getpid) != HERE
    with pytest.raises(ValueError, match="7 is bad"):
        aside.do(refuse, 7)


def test_a_process_that_dies_is_replaced_and_in_the_end_done_without():
    aside = Aside()
    assert aside.do(die_elsewhere, HERE) == "done here"
    assert aside.do(os.getpid) != HERE
