"""Files of a study that were damaged: named, set aside and written again, and never a number changed in silence."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sweep.simulate import Simulated, small

from distlaw.runs import collect_records
from distlaw.sweep.adaptive import Choices, Round, read_choices, write_choices
from distlaw.sweep.collect import collect
from distlaw.sweep.drive import Driver, begin, open_study
from distlaw.sweep.lease import Watch, leases
from distlaw.sweep.state import State
from distlaw.sweep.status import read_index, request_stop, status
from distlaw.sweep.store import Store
from distlaw.sweep.study import read_study, study_of, study_text

CHOICES = Choices(
    rounds=(Round(done=3, flops=1e9, prediction=2.5, deviation=0.1, chosen=2),), reason="", flops=1e9, all_flops=1e10
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with all its files, and its table."""
    folder, study = tmp_path_factory.mktemp("finished") / "s", small()
    driver = Driver(study=study, store=begin(study, str(folder)), executor=Simulated(), cache=folder)
    driver.run(study.runs)
    write_choices(driver.store, CHOICES)
    return folder, collect(study, driver.state.records)


def damaged(whole: bytes, data) -> bytes:
    """A flipped bit, a cut, zeros, or JSON of another shape."""
    kind = data.draw(st.sampled_from(["flip", "cut", "zeros", "other"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if kind == "flip":
        changed = bytearray(whole)
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
        return bytes(changed)
    if kind == "cut":
        return whole[:place]
    if kind == "zeros":
        return whole[:place] + bytes(len(whole) - place)
    scalar = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
    other = st.dictionaries(
        st.sampled_from(["jobs", "about", "attempts", "rounds", "student_loss", "name", "job", "format", "sha256"]),
        scalar | st.lists(scalar, max_size=2),
    )
    return data.draw(st.sampled_from([b"[]", b"3", b"[" * 5000]) | other.map(lambda o: json.dumps(o).encode()))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_whatever_is_damaged_the_same_command_ends_in_the_same_table(finished, tmp_path, data):
    folder, table = finished
    shutil.rmtree(tmp_path / "s", ignore_errors=True)
    shutil.copytree(folder, tmp_path / "s")
    names = ["study.toml", "index.json", "choices.json", *(f"records/{p.name}" for p in (folder / "records").iterdir())]
    file = tmp_path / "s" / data.draw(st.sampled_from(sorted(names)))
    before = file.read_bytes()
    file.write_bytes(damaged(before, data))
    store, study, notes = Store(str(tmp_path / "s")), small(), []
    for look in (
        lambda: status(store, Watch()),
        lambda: open_study(store.url),
        lambda: read_choices(store, notes.append),
    ):
        try:
            look()
        except ValueError as error:
            notes.append(str(error))
    driver = Driver(study=study, store=begin(study, store.url, note=notes.append), executor=Simulated(), cache=tmp_path)
    notes += driver.run(study.runs).notes
    if file.name != "choices.json":
        assert file.exists()
    again = collect(study, driver.state.records)
    for name, column in table.columns().items():
        assert np.array_equal(getattr(again, name), column, equal_nan=name != "group")
    assert all("\n" not in note for note in notes)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_stored_study_goes_unnoticed(data):
    study = small(limits="compute = 1e15")
    whole = study_text(study).encode()
    flipped = bytearray(whole)
    flipped[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(ValueError):
        assert study_of(flipped.decode(), "study.toml") == study


def test_a_damaged_index_is_named_and_written_again(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "s")
    store, notes = Store(str(tmp_path / "s")), []
    index = read_index(store)
    text = store.read("index.json").replace(b'"attempts": 3', b'"attempts": 2')
    store.write("index.json", text)
    with pytest.raises(ValueError, match=r"index\.json' is damaged .*`distlaw study run` and `resume` write it again"):
        status(store, Watch())
    request_stop(store)  # stops what runs all the same
    begin(small(), store.url, note=notes.append)
    assert "index.json' is damaged" in notes[0]
    assert "it is in quarantine" in notes[0]
    assert store.names("quarantine") == ["index.json.0"]
    driver = Driver(study=small(), store=store, executor=Simulated(), cache=tmp_path)
    driver.run(small().runs)
    assert {job.id for job in read_index(store).jobs} == {job.id for job in index.jobs}


def test_a_damaged_study_is_named_and_written_again_by_its_own_file(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "s")
    file, notes = tmp_path / "s" / "study.toml", []
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"vocab_size = 64", b"vocab_size = 65"))
    with pytest.raises(
        ValueError, match=r"study\.toml'.* is not what its \"sha256\" says.* `distlaw study run FILE --out"
    ):
        open_study(str(tmp_path / "s"))
    begin(small(), str(tmp_path / "s"), note=notes.append)
    assert len(notes) == 1
    assert file.read_bytes() == whole
    assert open_study(str(tmp_path / "s"))[0] == small()


def test_a_copy_of_a_stored_study_that_is_edited_says_how_the_edit_is_accepted(tmp_path):
    from distlaw.apps.cli import main

    file = tmp_path / "mine.toml"
    file.write_text("# mine\n" + study_text(small()).replace("4096", "2048"))
    with pytest.raises(ValueError, match=r"to accept an edit of your own, run `distlaw checksum .*mine.toml --accept`"):
        read_study(str(file))
    file.write_text(study_text(small()).replace("4096", "2048") + "# mine\n")
    assert main(["checksum", str(file), "--accept"]) == 0
    assert read_study(str(file)).protocols[0].students.tokens == (2048.0, 8192.0)
    assert "# mine" in file.read_text()


def test_damaged_choices_are_named(finished):
    folder, _ = finished
    store, said = Store(str(folder)), []
    assert read_choices(store, pytest.fail) == CHOICES
    whole = store.read("choices.json")
    store.write("choices.json", whole.replace(b'"done": 3', b'"done": 7'))
    assert read_choices(store, said.append) is None
    assert "choices.json' is damaged" in said[0]
    store.write("choices.json", whole)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x00",
        b"[]",
        b'{"step": "x", "steps": [], "tokens_per_second": null, "owner": 3, "beat": {}}',
        b'{"pid": 1e400}',
        b'{"pid": true, "free": 1, "step": -1}',
        b'{"pid": 99999999999999999999, "place": "PLACE"}',
    ],
)
def test_leases_of_any_content_are_shown(finished, tmp_path, content):
    from distlaw.sweep.lease import place

    folder, _ = finished
    shutil.copytree(folder, tmp_path / "s")
    store = Store(str(tmp_path / "s"))
    job = read_index(store).jobs[0]
    for run in job.runs:
        store.remove(f"records/{run}.json")
    store.write(f"leases/{job.id}.0001", content.replace(b"PLACE", place().encode()))
    found = status(store, Watch())
    assert len(found.active) + found.waiting == 1
    assert leases(store)[job.id].number == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_loss": 7e20}, "its student_loss must be a number from 1e-09 to 100, got 7e"),
        ({"student_loss": -1}, "its student_loss must be"),
        ({"student_loss": "low"}, "its student_loss must be"),
        ({"student_tokens": 0}, "its student_tokens must be"),
        ({"name": "other"}, "it is another run's"),
        ({"job": "../../etc"}, "it does not name the job"),
        ({"job": None}, "it does not name the job"),
    ],
)
def test_a_record_with_what_no_run_can_have_is_set_aside(finished, tmp_path, change, message):
    from distlaw.runs import record_text

    folder, _ = finished
    shutil.copytree(folder, tmp_path / "s")
    store = Store(str(tmp_path / "s"))
    name = f"records/{store.names('records')[0]}"
    store.write(name, record_text(json.loads(store.read(name)) | change).encode())
    state = State(store=store).look()
    assert message in state.notes[0]
    assert len(state.records) == len(small().runs) - 1
    assert store.read(name) is None
    assert len(store.names("quarantine")) == 1


def test_records_of_run_directories_say_what_is_wrong(tmp_path):
    from distlaw.runs import record_text

    row = {"student_params": 3e3, "student_tokens": 4e5, "student_loss": 3.9, "teacher_loss": float("nan")}
    for name, text in (("good", record_text(row)), ("bad", record_text(row).replace("3.9", "3.8"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(text)
    runs, unread = collect_records(tmp_path)
    assert runs.student_loss.tolist() == [3.9]
    assert "bad/record.json' is damaged: its content is not what" in unread[0]
