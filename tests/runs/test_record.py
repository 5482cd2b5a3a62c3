import json

import numpy as np
import pytest
from hypothesis import given
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


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@given(rows=st.lists(st.tuples(size, size, loss), min_size=1, max_size=5))
def test_floats_come_back_to_the_last_bit(tmp_path_factory, suffix, rows):
    N, D, L = (np.array(column) for column in zip(*rows, strict=True))
    runs = Runs(student_params=N, student_tokens=D, student_loss=L, teacher_loss=np.full(N.size, np.nan))
    path = tmp_path_factory.mktemp("t") / f"runs{suffix}"
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
        ("N,D,L,seed\n1B,2B,3,-1\n", "row 1, column seed: '-1' is not a seed"),
        ("N,D,L,seed\n1B,2B,3,1.5\n", "row 1, column seed: '1.5' is not a seed"),
        ("N,D,L,weight\n1B,2B,3,0\n", "row 1, column weight: '0' is not a weight"),
        ("N,D,L,weight\n1B,2B,3,nan\n", "row 1, column weight: 'nan' is not a weight"),
        ("N,D,L,N_T\n1B,2B,3,\n1B,2B,3,7B\n", "row 2 has a teacher's size or tokens but no teacher_loss"),
        ("N,D,L,loss_bits\n1B,2B,3,4\n", "column 'loss_bits' is in bits; .* multiply bits per token by 0.693147"),
    ],
)
def test_refusals(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_runs(path)


def test_seed_zero_is_a_seed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("N,D,L,seed\n1B,2B,3,0\n1B,2B,3.1,\n")
    assert read_runs(path).seed.tolist()[0] == 0.0
    assert np.isnan(read_runs(path).seed[1])


def test_labels_and_selection():
    runs = some_runs()
    teacher, student = runs.teacher_of_each(), runs.student_of_each()
    assert len(set(teacher.tolist())) == 3  # none, one with tokens, one without
    assert student[0] == student[1] != student[2]
    chosen = runs.select(runs.distilled)
    assert len(chosen) == 2
    assert chosen.group.tolist() == [None, 'b, "c"']


def test_warnings():
    def make(loss, seed):
        n = len(loss)
        return Runs(
            student_params=np.full(n, 1e8),
            student_tokens=np.full(n, 1e9),
            student_loss=np.array(loss),
            teacher_loss=np.full(n, np.nan),
            seed=np.array(seed, dtype=float),
        )

    assert make([2.0, 2.1], [0, 1]).warnings() == []
    assert make([2.0, 2.1], [np.nan, np.nan]).warnings() == []  # two seeds that nobody wrote down
    assert "pasted twice" in make([2.0, 2.0], [0, 0]).warnings()[0]
    assert "1 runs have the setting and seed of another" in make([2.0, 2.1], [0, 0]).warnings()[0]
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
