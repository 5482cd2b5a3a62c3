import re
import threading
from pathlib import Path

import pytest

from distlaw.sweep.store import Store


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "local":
        return Store(str(tmp_path / "study"))
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('s3')}/{tmp_path.name}")
    import fsspec

    fsspec.filesystem("memory").store.clear()
    return Store("memory://study")


def test_files_are_read_as_written(store):
    assert store.read("records/a.json") is None
    assert store.names("records") == []
    store.write("records/a.json", b"1")
    store.write("records/a.json", b"2")
    assert store.read("records/a.json") == b"2"
    assert store.names("records") == ["a.json"]
    store.remove("records/a.json")
    store.remove("records/a.json")
    assert store.names("records") == []


def test_of_many_who_create_a_file_one_succeeds(store):
    won = []
    barrier = threading.Barrier(8)

    def create(i):
        barrier.wait()
        if store.create("leases/x.0001", b"%d" % i):
            won.append(i)

    threads = [threading.Thread(target=create, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("leases/x.0001") == b"%d" % won[0]
    assert store.names("leases") == ["x.0001"]


def test_what_is_set_aside_keeps_its_content_and_never_replaces(store):
    for content in (b"1", b"2"):
        store.write("records/a.json", content)
        store.set_aside("records/a.json")
    assert store.read("records/a.json") is None
    assert [store.read(f"quarantine/{name}") for name in store.names("quarantine")] == [b"1", b"2"]
    store.set_aside("records/gone.json")


def test_a_folder_goes_up_and_comes_down(store, tmp_path):
    folder = (store.local or tmp_path) / "jobs/a"
    (folder / "export").mkdir(parents=True)
    (folder / "export" / "weights").write_bytes(b"w")
    store.upload(folder, "jobs/a")
    there = store.download("jobs/a", tmp_path / "scratch" / "a")
    assert (there / "export" / "weights").read_bytes() == b"w"
    if store.local is None:
        with pytest.raises(ValueError, match="/jobs/b' is not there"):
            store.download("jobs/b", tmp_path / "scratch" / "b")


def test_what_cannot_be_opened_or_written_is_named(tmp_path):
    with pytest.raises(ValueError, match="'nosuch://study' cannot be opened"):
        Store("nosuch://study")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made"):
        Store(str(tmp_path / "file")).write("records/a.json", b"")
    with pytest.raises(ValueError, match="cannot be made"):
        Store(str(tmp_path / "file")).create("records/a.json", b"")


def test_a_relative_folder_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("study").local == Path(tmp_path) / "study"


def test_a_file_system_that_fails_in_its_own_words_is_a_message():
    import fsspec

    class Broken(fsspec.AbstractFileSystem):
        protocol = "broken"

        def fail(self, *_words, **_named):
            class Refused(Exception):
                pass

            raise Refused("403, message='Forbidden'\n")

        cat_file = pipe_file = ls = fail

    fsspec.register_implementation("broken", Broken, clobber=True)
    store = Store("broken://host/study")
    why = re.escape("'broken://host/study/records' does not answer (403, message='Forbidden')")
    with pytest.raises(OSError, match=why):
        store.names("records")
    for ask in (lambda: store.read("a"), lambda: store.write("a", b""), lambda: store.create("a", b"")):
        with pytest.raises(OSError, match="study/a' does not answer"):
            ask()
