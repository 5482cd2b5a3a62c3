import threading

from tests.waiting import LONG, wait_until

from distlaw.apps.web.lane import Lane


def crowd(lane, people):
    """People of a name and an urgency who come one after the other while the lane is full; the order they get in."""
    came, let_go = [], threading.Event()

    def work(name, urgency, first):
        with lane.turn(urgency):
            came.append(name)
            if first:
                let_go.wait(LONG)

    width = lane._free
    threads = [threading.Thread(target=work, args=(i, 0, True)) for i in range(width)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(came) == width)
    for number, (name, urgency) in enumerate(people, start=1):
        threads.append(threading.Thread(target=work, args=(name, urgency, False)))
        threads[-1].start()
        wait_until(lambda number=number: len(lane._waiting) == number)
    assert len(came) == width
    let_go.set()
    for thread in threads:
        thread.join(LONG)
    assert lane._free == width
    return came[width:]


def test_the_most_urgent_first_and_of_these_who_came_first():
    came = crowd(Lane(1), [("slow", 3), ("quick", 0), ("slow too", 3), ("quick too", 0)])
    assert came == ["quick", "quick too", "slow", "slow too"]


def test_a_few_at_a_time():
    assert set(crowd(Lane(3), [("a", 1), ("b", 0), ("c", 2)])) == {"a", "b", "c"}


def test_who_fails_gives_his_turn_back():
    lane = Lane(1)
    for _ in range(3):
        try:
            with lane.turn(0):
                raise KeyError
        except KeyError:
            pass
    with lane.turn(0):
        assert lane._free == 0
    assert lane._free == 1
