import json
from pathlib import Path

import pytest

from distlaw.runs import collect_records

ROW = {"student_params": 3e3, "student_tokens": 4e5, "student_loss": 3.9, "seed": 0, "compute": 7e10}
TAUGHT = {"teacher_loss": 3.6, "teacher_params": 2.7e4, "teacher_tokens": 6e5}


def write(folder, record):
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(record if isinstance(record, str) else json.dumps(record))


def test_collects_runs_and_students_of_one_pass(tmp_path):
    write(tmp_path / "a", {**ROW, "teacher_loss": None})
    write(tmp_path / "b", {"run": "x", "students": ["one", "two"]})
    write(tmp_path / "b" / "students" / "one", {**ROW, **TAUGHT, "seed": 1, "group": "pilot"})
    write(tmp_path / "b" / "students" / "two", {**ROW, **TAUGHT, "student_loss": 3.8})
    runs, unread = collect_records(tmp_path)
    assert unread == []
    assert runs.student_loss.tolist() == [3.9, 3.9, 3.8]
    assert runs.distilled.tolist() == [False, True, True]
    assert runs.seed.tolist() == [0, 1, 0]
    assert runs.group.tolist() == [None, "pilot", None]


def test_names_what_it_cannot_read(tmp_path):
    write(tmp_path / "a", ROW)
    write(tmp_path / "cut", '{"student_params": 3')
    write(tmp_path / "words", {**ROW, "student_loss": "low"})
    runs, unread = collect_records(tmp_path)
    assert len(runs) == 1
    assert [path.split("/")[-2] for path in unread] == ["cut", "words"]
    with pytest.raises(ValueError, match=r"no record.json of a finished run below"):
        collect_records(tmp_path / "cut")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"^runs '{tmp_path}/none': there is no such folder$"):
        collect_records(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=rf"^runs '{tmp_path}/file': it is not a folder$"):
        collect_records(tmp_path / "file")
    with pytest.raises(ValueError, match=r"^runs '/x{100,}[.x]*': File name too long$"):
        collect_records(Path("/" + "x" * 300))
