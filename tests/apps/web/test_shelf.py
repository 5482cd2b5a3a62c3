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
