import pytest

from distlaw.apps.web.shelf import MOST_FITS, MOST_LAWS, MOST_TABLES, Session, Shelf, Upload
from distlaw.apps.web.workers import Job


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sessions_are_apart_and_their_keys_long():
    shelf = Shelf()
    (one, first), (other, second) = shelf.new(), shelf.new()
    assert first is not second
    assert len(one) >= 32
    assert one != other
    assert shelf.find(one) is first
    assert shelf.find("guess") is None
    assert shelf.find(None) is None


def test_the_longest_unused_session_goes_first():
    shelf = Shelf(most=2)
    (a, _), (b, _) = shelf.new(), shelf.new()
    assert shelf.find(a) is not None
    c, _ = shelf.new()
    assert [shelf.find(key) is not None for key in (a, b, c)] == [True, False, True]
    assert len(shelf) == 2


def test_a_session_ends_and_takes_its_files_and_fits_with_it(tmp_path):
    clock = Clock()
    shelf = Shelf(seconds=10, clock=clock)
    key, session = shelf.new()
    file = tmp_path / "a.csv"
    file.write_text("x")
    session.keep_table(Upload(key="k", name="a.csv", path=file, columns=(), rows=0, preview=()))
    job = Job()
    session.keep_fit("question", job)
    clock.now = 9
    assert shelf.find(key) is session
    clock.now = 20
    assert shelf.find(key) is None
    assert not file.exists()
    assert job._cancelled.is_set()


def test_a_session_keeps_a_bounded_number_of_each(tmp_path, laws):
    from distlaw.apps.web.laws import law_of_text

    session, text = Session(), (laws / "mine.json").read_text()
    for i in range(12):
        session.keep_law(law_of_text(text, f"law-{i}"))
        path = tmp_path / f"{i}.csv"
        path.write_text("x")
        session.keep_table(Upload(key=str(i), name="a", path=path, columns=(), rows=0, preview=()))
        session.keep_fit(i, Job())
    assert list(session.laws)[-1] == "own:law-11"
    assert (len(session.laws), len(session.tables), len(session.fits)) == (MOST_LAWS, MOST_TABLES, MOST_FITS)
    assert len(list(tmp_path.glob("*.csv"))) == MOST_TABLES


def test_a_new_fit_ends_the_one_before():
    session, first = Session(), Job()
    session.keep_fit("a", first)
    session.keep_fit("b", Job())
    assert first._cancelled.is_set()
    assert not session.fits["b"]._cancelled.is_set()


def working(shelf, client):
    """A session whose browser has come back."""
    key, _ = shelf.new(client)
    assert shelf.find(key) is not None
    return key


def test_one_client_cannot_push_out_another_s_sessions():
    shelf = Shelf(most=8, most_each=4)
    mine = working(shelf, "me")
    for _ in range(100):
        shelf.new("flood")
    for i in range(100):
        shelf.new(f"flood {i}")
    assert shelf.find(mine) is not None


def test_nor_one_browser_those_of_another_at_the_same_address():
    shelf = Shelf(most=8, most_each=4)
    mine = working(shelf, "office")
    for _ in range(100):
        shelf.new("office")  # which never come back
    assert shelf.find(mine) is not None
    for _ in range(3):
        working(shelf, "office")
    with pytest.raises(ValueError, match="this address has as many sessions as one may have, all in use"):
        working(shelf, "office")
    assert shelf.find(mine) is not None
    assert working(shelf, "another")


def test_the_server_has_a_most_and_who_rests_goes():
    clock = Clock()
    shelf = Shelf(most=4, most_each=4, rest=60, clock=clock)
    keys = [working(shelf, f"client {i}") for i in range(4)]
    with pytest.raises(ValueError, match="the server has as many sessions as it takes on, all in use"):
        shelf.new("late")
    clock.now = 61
    for key in keys[1:]:
        assert shelf.find(key) is not None
    assert working(shelf, "late")
    assert shelf.find(keys[0]) is None
    assert len(shelf) == 4


def test_a_table_that_was_read_too_late_is_removed(tmp_path):
    session = Session()
    session.end()
    file = tmp_path / "a.csv"
    file.write_text("x")
    session.keep_table(Upload(key="k", name="a", path=file, columns=(), rows=0, preview=()))
    assert not file.exists()
    assert not session.tables
