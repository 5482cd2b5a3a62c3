import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.runs import RUN_COLUMNS, Runs, read_runs, write_runs

SUFFIXES = [".csv", ".jsonl", ".ndjson", ".parquet"]
size = st.floats(1.0, 1e20)
loss = st.floats(0.1, 20.0)


def some_runs():
    return Runs(
        student_params=np.array([1e8, 1e8, 3e8]),
        student_tokens=np.array([2e9, 2e9, 6e9]),
        student_loss=np.array([2.9, 2.8, 0.1 + 0.2]),
        teacher_loss=np.array([np.nan, 2.1, 2.1]),
        teacher_params=np.array([np.nan, 1e9, 1e9]),
        teacher_tokens=np.array([np.nan, 2e10, np.nan]),
        seed=np.array([0.0, np.nan, 7.0]),
        weight=np.array([1.0, 0.5, 2.0]),
        group=np.array(["a", None, 'b, "c"'], dtype=object),
    )


def same(left, right):
    for column in RUN_COLUMNS:
        a, b = getattr(left, column.name), getattr(right, column.name)
        assert a.tolist() == b.tolist() if column.name == "group" else np.array_equal(a, b, equal_nan=True), column.name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"runs{suffix}"
    write_runs(some_runs(), path)
    same(read_runs(path), some_runs())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def maybe(values):
    return st.none() | values


@st.composite
def any_runs(draw):
    """Runs with any of the columns, some cells of which are unknown."""
    n = draw(st.integers(1, 4))

    def column(values):
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=float)

    teacher_loss = column(maybe(loss))
    known = ~np.isnan(teacher_loss)
    return Runs(
        student_params=column(size),
        student_tokens=column(size),
        student_loss=column(loss),
        teacher_loss=teacher_loss,
        teacher_params=np.where(known, column(maybe(size)), np.nan),
        teacher_tokens=np.where(known, column(maybe(size)), np.nan),
        compute=draw(st.none() | st.just(column(maybe(st.floats(1e-9, 1e40))))),
        seed=column(maybe(st.integers(0, 2**53) | st.integers(0, 62).map(lambda k: 2**k))),
        weight=column(maybe(st.just(1.0) | st.floats(0, 1e300, exclude_min=True))),
        group=np.array(draw(st.lists(maybe(labels), min_size=n, max_size=n)), dtype=object),
    )


labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["NA", "nan", "7", " a ", '"'])
labels = labels | st.sampled_from(["a\nb", "c\n", "a\rb", "\u2028", "a,b", "#", "None"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(derandomize=True, deadline=None, max_examples=100)
@given(runs=any_runs())
def test_every_column_comes_back_to_the_last_bit(tmp_path_factory, suffix, runs):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    write_runs(runs, path)
    same(read_runs(path), runs)


def test_what_nobody_knows_is_not_written(tmp_path):
    path = tmp_path / "runs.csv"
    write_runs(
        Runs(student_params=np.ones(1), student_tokens=np.ones(1), student_loss=np.ones(1), teacher_loss=np.ones(1)),
        path,
    )
    assert path.read_text().splitlines()[0] == "student_params,student_tokens,student_loss,teacher_loss"


@pytest.mark.parametrize(
    ("column", "alias", "value"),
    [(c.name, alias, 7) for c in RUN_COLUMNS if not c.required for alias in (c.name, *c.aliases)],
)
def test_aliases_of_optional_columns(tmp_path, column, alias, value):
    row = {"N": 1e9, "D": 2e10, "L": 2.5, "L_T": 2.2} | {alias: value}
    if column == "teacher_loss":
        row = {"N": 1e9, "D": 2e10, "L": 2.5, alias: value}
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row) + "\n")
    found = getattr(read_runs(path), column)[0]
    assert found == ("7" if column == "group" else 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N,D,L,seed\n1B,2B,3,-1\n", "row 1, column seed: '-1' is not a whole number from 0"),
        ("N,D,L,seed\n1B,2B,3,1.5\n", "row 1, column seed: '1.5' is not a whole number from 0"),
        ("N,D,L,weight\n1B,2B,3,0\n", "row 1, column weight: '0' is not a finite number above 0"),
        ("N,D,L,weight\n1B,2B,3,nan\n", "row 1, column weight: 'nan' is not a finite number above 0"),
        ("N,D,L,N_T\n1B,2B,3,\n1B,2B,3,7B\n", "row 2: teacher_params is given without teacher_loss"),
        ("N,D,L,loss_bits\n1B,2B,3,4\n", "column 'loss_bits' is in bits; .* multiply bits per token by ln 2 = 0.6931"),
        ("N,D,L,seed\n1B,2B,3,9007199254740993\n", "row 1, column seed: '9007199254740993' cannot be kept exactly"),
        ("N,D,L,seed\n1B,2B,3,9223372036854775808\n", "row 1, column seed: .* is not a whole number from 0"),
        ("N,D,L,weight\n1B,2B,3,inf\n", "row 1, column weight: 'inf' is not a finite number above 0"),
        ("N,D,L,weight\n1B,2B,3,1e999\n", "row 1, column weight: '1e999' is not a finite number above 0"),
        ("N,D,L,N_T,D_T\n1B,2B,3,7B,\n1B,2B,3,,\n1B,2B,3,,7B\n", "row 1: teacher_params .*; row 3: teacher_tokens "),
        # The only loss is in bits: the reason is said, not that a column is missing.
        ("N,D,student_loss_bits\n1B,2B,4\n", "column 'student_loss_bits' is in bits"),
        ("N,D,Bits_per_token\n1B,2B,4\n", "column 'Bits_per_token' is in bits"),
        ("N,D,L,teacher_bpb\n1B,2B,4,1\n", "column 'teacher_bpb' is in bits"),
    ],
)
def test_refusals(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_runs(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_words_that_end_like_bits_are_no_bits(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("N,D,L,orbits\n1B,2B,3,4\n")
    assert len(read_runs(path)) == 1


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("student_loss", [2.0, -1.0], r"row 2, column student_loss: -1 must lie between 1e-09 and 1e\+40"),
        ("student_loss", [np.nan, 2.0], r"row 1, column student_loss: nan must lie"),
        ("student_tokens", [1e9, np.inf], r"row 2, column student_tokens: inf must lie"),
        ("teacher_loss", [0.0, 2.0], r"row 1, column teacher_loss: 0 must lie"),
        ("seed", [0.5, np.nan], r"row 1, column seed: 0.5 must be a whole number"),
        ("seed", [0.0, -1.0], r"row 2, column seed: -1 must be a whole number"),
        ("weight", [0.0, 1.0], r"row 1, column weight: 0 must be a finite number above 0"),
        ("teacher_params", [np.nan, 1e9], r"row 2: teacher_params is given without teacher_loss"),
        ("weight", [1.0], r"weight has the shape \(1,\), student_params has 2 runs"),
        ("group", ["a", "b", "c"], r"group has the shape \(3,\)"),
    ],
)
def test_runs_made_in_python_are_checked_too(column, values, message):
    columns: dict[str, Any] = {
        "student_params": np.full(2, 1e9),
        "student_tokens": np.full(2, 1e10),
        "student_loss": np.full(2, 2.5),
        "teacher_loss": np.full(2, np.nan),
    }
    columns[column] = np.array(values)
    with pytest.raises(ValueError, match=message):
        Runs(**columns)


def test_what_is_not_given_is_unknown():
    one = np.ones(2)
    runs = Runs(student_params=one, student_tokens=one, student_loss=one)
    assert not runs.distilled.any()
    assert np.isnan([runs.teacher_params, runs.teacher_tokens, runs.compute, runs.seed]).all()
    assert runs.weight.tolist() == [1.0, 1.0]
    assert runs.group.tolist() == [None, None]


def test_seeds_as_other_tools_write_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("N,D,L,seed\n1B,2B,3,7.0\n1B,2B,3,1e+16\n1B,2B,3,4611686018427387904\n")
    assert read_runs(path).seed.tolist() == [7, 1e16, 2**62]


def test_seed_zero_is_a_seed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("N,D,L,seed\n1B,2B,3,0\n1B,2B,3.1,\n")
    assert read_runs(path).seed.tolist()[0] == 0.0
    assert np.isnan(read_runs(path).seed[1])


def test_labels_and_selection():
    runs = some_runs()
    teacher, student = runs.teacher_of_each(), runs.student_of_each()
    assert teacher[0] == -1
    assert sorted(teacher.tolist()) == [-1, 0, 1]  # none, one with tokens, one without
    assert student[0] == student[1] != student[2]
    chosen = runs.select(runs.distilled)
    assert len(chosen) == 2
    assert chosen.group.tolist() == [None, 'b, "c"']
    assert runs.select(slice(1, None)).student_loss.tolist() == [2.8, 0.1 + 0.2]
    assert runs.select([2, 0]).student_loss.tolist() == [0.1 + 0.2, 2.9]
    assert len(nobody := runs.select(np.zeros(3, dtype=bool))) == len(runs.select([])) == 0
    assert nobody.student_of_each().tolist() == nobody.teacher_of_each().tolist() == nobody.warnings() == []


def test_a_teacher_is_its_size_and_tokens_or_else_its_loss():
    runs = Runs(
        student_params=np.full(6, 1e8),
        student_tokens=np.full(6, 1e9),
        student_loss=np.full(6, 2.5),
        teacher_loss=np.array([2.0, 2.1, 2.0, 2.0, 2.2, np.nan]),
        teacher_params=np.array([1e9, 1e9, 2e9, np.nan, 1e9, np.nan]),
        teacher_tokens=np.array([1e10, 1e10, 1e10, np.nan, np.nan, np.nan]),
    )
    a, again, other, by_loss, half_known, none = runs.teacher_of_each().tolist()
    assert a == again  # measured twice
    assert sorted([a, other, by_loss, half_known]) == [0, 1, 2, 3]
    assert none == -1


def test_warnings():
    def make(loss, seed, group=None):
        n = len(loss)
        return Runs(
            student_params=np.full(n, 1e8),
            student_tokens=np.full(n, 1e9),
            student_loss=np.array(loss),
            teacher_loss=np.full(n, np.nan),
            seed=np.array(seed, dtype=float),
            group=group,
        )

    assert make([2.0, 2.1], [0, 1]).warnings() == []
    assert make([2.0, 2.1], [np.nan, np.nan]).warnings() == []  # two seeds that nobody wrote down
    assert "pasted twice: rows 1, 3 and 4" in make([2.0, 2.1, 2.0, 2.0], [0, 1, 0, 0]).warnings()[0]
    assert "pasted twice: rows 1 and 2" in make([2.0, 2.0], [np.nan, np.nan]).warnings()[0]
    (twice,) = make([2.0, 2.0], [0, 0]).warnings()
    assert "different losses" not in twice
    assert "different losses: rows 2 and 3" in make([2.0, 2.0, 2.1], [1, 0, 0]).warnings()[0]
    assert "different losses: rows 1 and 2" in make([2.0, 2.1], [0, 0], ["a", "a"]).warnings()[0]
    assert make([2.0, 2.1], [0, 0], ["a", "b"]).warnings() == []  # seed 0 of another study
    assert "different losses: rows 2 and 3" in make([2.0, 2.0, 2.1], [0, 0, 0], ["a", "b", "b"]).warnings()[1]
    assert "worse than a uniform guess" in make([14.0, 15.0], [0, 1]).warnings()[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_what_was_there(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"runs{suffix}"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distlaw.runs.table._write", fail)
    with pytest.raises(ValueError, match=r"cannot be written .No space left on device"):
        write_runs(some_runs(), path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ValueError, match=r"the name must end in .csv"):
        write_runs(some_runs(), tmp_path / "runs.xls")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupt_while_writing_leaves_what_was_there(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"runs{suffix}"
    path.write_bytes(b"old")

    def interrupted(_, target, *__):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("distlaw.runs.table._write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_runs(some_runs(), path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_written_is_said_in_one_line(tmp_path, suffix):
    path = tmp_path / f"runs{suffix}"
    one = np.ones(1)
    bad = Runs(student_params=one, student_tokens=one, student_loss=one, group=np.array(["\ud800"], dtype=object))
    for runs, where, message in [
        (bad, path, "a text cannot be written as UTF-8"),
        (bad.select([False]), path, "there are no runs to write"),
        (some_runs(), tmp_path / "nowhere" / path.name, r"cannot be written \(No such file"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            write_runs(runs, where)
        assert str(where) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())
