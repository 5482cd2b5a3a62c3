import pytest

from distlaw.sweep.run_folder import take_over


def names(root):
    return sorted(path.name.rpartition(".")[0] or path.name for path in root.iterdir())


def make(root, name, text="x"):
    (root / name).mkdir()
    (root / name / "file").write_text(text)


def test_a_job_without_a_directory_gets_none(tmp_path):
    own = take_over(tmp_path, "job", 1)
    assert not own.exists()
    assert own.parent == tmp_path
    assert take_over(tmp_path, "job", 1) != own


@pytest.mark.parametrize(
    ("there", "number", "taken"),
    [
        (["job"], 1, "job"),
        (["job.0001.aa", "job.0002.bb"], 3, "job.0002.bb"),
        (["job.0001.aa", "job"], 2, "job"),
        (["job.0001.aa"], 1, "job.0001.aa"),  # leases were counted anew
    ],
)
def test_the_newest_directory_is_taken_and_the_others_go(tmp_path, there, number, taken):
    for name in (*there, "other", "job2", "jobs.0001.aa"):
        make(tmp_path, name, name)
    (tmp_path / "job.0001.aa.toml").write_text("")
    own = take_over(tmp_path, "job", number)
    assert (own / "file").read_text() == taken
    assert names(tmp_path) == sorted(["other", "job2", "jobs.0001", "job.0001.aa", f"job.{number:04d}"])


def test_one_who_comes_late_does_not_take_what_a_later_lease_has(tmp_path):
    make(tmp_path, "job.0002.bb")
    assert not take_over(tmp_path, "job", 1).exists()
    assert (tmp_path / "job.0002.bb").is_dir()
