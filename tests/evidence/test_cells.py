from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence.cells import distinct, gather
from distlaw.runs import Runs


def table(**columns):
    usual = {
        "student_params": [1e4, 1e4, 1e4, 1e4, 2e4],
        "student_tokens": [1e6] * 5,
        "student_loss": [3.0, 3.1, 2.9, 2.95, 2.8],
        "teacher_loss": [np.nan, np.nan, 2.5, 2.50001, 2.5],
        "teacher_params": [np.nan, np.nan, 1e5, 1e5, 1e5],
        "teacher_tokens": [np.nan, np.nan, 4e6, 4e6, 4e6],
        "seed": [0, 1, 0, 1, 0],
    }
    return Runs(**{**usual, **columns})


def test_runs_that_differ_in_their_seed_are_one_cell():
    cells, member = gather(table())
    assert len(cells) == 3
    assert member[0] == member[1]
    assert member[2] == member[3]
    np.testing.assert_allclose(cells.loss[member[0]], np.sqrt(3.0 * 3.1))
    np.testing.assert_allclose(cells.squares[member[0]], np.log(3.1 / 3.0) ** 2 / 2)
    assert sorted(cells.runs) == [1, 2, 2]
    assert cells.distilled.sum() == 2


def test_another_seed_of_a_teacher_is_another_teacher():
    cells, member = gather(table(teacher_loss=[np.nan, np.nan, 2.5, 2.52, 2.5]))
    assert len(cells) == 4
    assert member[2] != member[3]


def test_students_list_their_cells_weakest_teacher_first(peaked):
    cells, _ = gather(peaked)
    taught = cells.select(cells.distilled)
    students = taught.students()
    assert sum(members.size for _, _, members in students) == len(taught)
    for N, D, members in students:
        own = taught.select(members)
        assert set(own.student_params) == {N}
        assert set(own.student_tokens) == {D}
        assert (np.diff(own.teacher_loss) < 0).all()


def test_pasted_rows_count_once():
    runs = table()
    twice = Runs(**{name: np.concatenate([values, values[:3]]) for name, values in runs.columns().items()})
    once = distinct(twice)
    assert len(once) == len(runs)
    np.testing.assert_array_equal(once.student_loss, runs.student_loss)
    assert len(distinct(replace(runs, group=["a", "b", "c", "d", "e"]))) == len(runs)


def test_a_table_without_runs_has_no_cells():
    cells, member = gather(table().select([]))
    assert len(cells) == member.size == 0


def test_compute_that_is_not_known_stays_so():
    cells, member = gather(table(compute=[1e9, np.nan, 2e9, 4e9, 1e9]))
    assert np.isnan(cells.compute[member[0]])
    assert cells.compute[member[2]] == pytest.approx(3e9)
