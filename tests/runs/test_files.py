import os
import stat

import pytest

from distlaw.runs import written_whole


def write(path, text="new"):
    with written_whole(path) as temporary:
        temporary.write_text(text)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_new_file_has_what_the_umask_leaves(tmp_path, umask):
    write(tmp_path / "x.json")
    assert mode(tmp_path / "x.json") == 0o666 & ~umask


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o664, 0o444, 0o755])
@pytest.mark.usefixtures("umask")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, bits):
    file = tmp_path / "x.csv"
    file.write_text("old")
    file.chmod(bits)
    write(file)
    assert file.read_text() == "new"
    assert mode(file) == bits


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "data.txt", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    with written_whole(link) as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert mode(real) == 0o640
    dangling = tmp_path / "dangling.csv"
    dangling.symlink_to(tmp_path / "real" / "other.txt")
    write(dangling)
    assert (tmp_path / "real" / "other.txt").read_text() == "new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "dangling.csv",
        "data.txt",
        "link.csv",
        "other.txt",
        "real",
    ]


def test_no_folder_device_or_circle_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    before = sorted(tmp_path.iterdir())
    for name, reason in (("pipe", "no regular file"), ("folder", "a folder is there"), ("a", "links")):
        with pytest.raises(ValueError, match=rf"file '.*/{name}' cannot be written \(.*{reason}"):
            write(tmp_path / name)
    with pytest.raises(ValueError, match=r"cannot be written \(No such file or directory\)"):
        write(tmp_path / "nowhere" / "x")
    assert sorted(tmp_path.iterdir()) == before


def test_a_failure_leaves_what_was_there(tmp_path):
    file = tmp_path / "x.txt"
    file.write_text("old")

    def interrupted():
        with written_whole(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_every_writer_follows_the_umask(tmp_path, umask):
    """What a study's store, a table, a figure and a report write, besides what goes through `written_whole`."""
    import numpy as np

    from distlaw.apps.cli import main
    from distlaw.runs import Runs, write_runs
    from distlaw.sweep.store import Store

    store = Store(str(tmp_path / "s"))
    store.write("study.toml", b"")
    assert store.create("leases/job.0001", b"")
    store.write("leases/job.0001", b"again")
    runs = Runs(student_params=np.array([1e6]), student_tokens=np.array([1e7]), student_loss=np.array([3.0]))
    for name in ("runs.csv", "runs.jsonl", "runs.parquet"):
        write_runs(runs, tmp_path / name)
    words = ["report", "plan", "--student-params", "1B", "--compute", "1e21", "--out", str(tmp_path / "plan.html")]
    assert main(words) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {mode(path) for path in files} == {0o666 & ~umask}
    assert {mode(path) for path in tmp_path.rglob("*") if path.is_dir()} == {0o777 & ~umask}
