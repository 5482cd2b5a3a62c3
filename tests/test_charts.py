import csv
import io

import numpy as np
import pytest

from distlaw.charts import Axis, Chart, Field, Panel, Series, shades

X, Y = Axis(label="x"), Axis(label="y")


def chart(*panels):
    return Chart(name="c", title="C", panels=panels)


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_series_become_flat_arrays_of_numbers():
    one = Series(name="a", x=[[1], [2]], y=(3, 4))
    assert one.x.tolist() == [1.0, 2.0]
    assert one.y.dtype == np.float64


@pytest.mark.parametrize("wrong", [{"y": [1.0]}, {"low": [0.0, 0.0]}, {"low": [0.0], "high": [1.0]}])
def test_lengths_must_agree_and_ends_come_in_pairs(wrong):
    with pytest.raises(ValueError, match="series 'a': x, y, low and high must have one length"):
        Series(**{"name": "a", "x": [1.0, 2.0], "y": [1.0, 2.0], **wrong})


def test_a_field_has_a_value_for_each_point_of_its_plane():
    with pytest.raises(ValueError, match=r"field 'z': z has shape \(2, 3\)"):
        Field(name="z", x=[1, 2], y=[1, 2, 3], z=np.zeros((2, 3)))


def test_the_data_holds_every_point_with_its_panel_and_series():
    first = Series(name="a, b", x=[1, 2], y=[np.nan, 4.0], low=[1.0, 3.0], high=[2.0, 5.0])
    field = Field(name="z", x=[10, 20, 30], y=[1, 2], z=[[1, 2, 3], [4, 5, np.nan]])
    rows = read(chart(Panel(x=X, y=Y, title="one", series=(first,)), Panel(x=X, y=Y, field=field)).csv())
    assert len(rows) == 2 + 6
    assert rows[0] == {"panel": "one", "series": "a, b", "x": "1", "y": "", "low": "1", "high": "2", "z": ""}
    assert [rows[1][name] for name in ("x", "y", "low", "high")] == ["2", "4", "3", "5"]
    assert [(row["x"], row["y"], row["z"]) for row in rows[2:]] == [
        ("10", "1", "1"),
        ("20", "1", "2"),
        ("30", "1", "3"),
        ("10", "2", "4"),
        ("20", "2", "5"),
        ("30", "2", ""),
    ]


def test_numbers_keep_eight_digits():
    values = np.array([1.23456789e22, 2.0860123e-7, 2.19160001])
    rows = read(chart(Panel(x=X, y=Y, series=(Series(name="a", x=values, y=values),))).csv())
    assert [float(row["x"]) for row in rows] == pytest.approx(values, rel=1e-8)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, [0.0]), (2, [0.0, 1.0]), (5, [0.0, 0.25, 0.5, 0.75, 1.0])]
)
def test_shades_run_from_the_first_to_the_last(count, expected):
    found = shades(count)
    assert found == expected
    assert all(isinstance(shade, float) for shade in found)  # a whole number would be a colour without order
