from importlib.resources import files

import pytest

from distlaw.apps.web.elements import amount, csv_text, sentence, table
from distlaw.report.palette import NAMED, NAMED_ON_DARK
from distlaw.runs import counted


def test_what_a_spreadsheet_would_run_is_quoted():
    text = csv_text([{"name": "=cmd()", "loss": -1.5}, {"name": "+a", "more": None}, {"name": "plain"}])
    assert text.splitlines() == ["name,loss,more", "'=cmd(),-1.5,", "'+a,,", "plain,,"]


def test_cells_are_numbers_to_four_digits_or_what_they_are():
    shown = table("t", ["a", "b"], [["x", 1.23456], [{"words": "w"}, None]])
    assert shown.rows == [["x", "1.235"], [{"words": "w"}, "-"]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("compute 1 is small", "Compute 1 is small"),
        ("my-a.csv: bad", "my-a.csv: bad"),
        ("", ""),
        ("hold-out 'x'", "Hold-out 'x'"),
    ],
)
def test_a_sentence_has_a_capital_unless_it_begins_with_a_name(text, shown):
    assert sentence(text) == shown


def test_amounts():
    assert (amount(1234.5), amount(0.01234), counted(1, "job"), counted(2, "job")) == (
        "1,234",
        "0.0123",
        "1 job",
        "2 jobs",
    )


def test_a_column_may_stand_under_another():
    shown = table("t", ["a", "b", "c"], [["x", "y", "z"]], under={"c": "b", "d": "a", "b": "gone"})
    assert shown.under == [-1, -1, 1]


def test_parts_of_the_compute_have_one_colour_in_tables_and_charts():
    style = (files("distlaw.apps.web") / "assets" / "style.css").read_text(encoding="utf-8").lower()
    for colours in (NAMED, NAMED_ON_DARK):
        for name, colour in zip(("student", "logits", "teacher", "serving"), colours, strict=False):
            assert f"--{name}: {colour.lower()};" in style
