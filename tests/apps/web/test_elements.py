import pytest

from distlaw.apps.web.elements import amount, counted, csv_text, sentence, table


def test_what_a_spreadsheet_would_run_is_quoted():
    text = csv_text([{"name": "=cmd()", "loss": -1.5}, {"name": "+1", "more": None}, {"name": "plain"}])
    assert text.splitlines() == ["name,loss,more", "'=cmd(),-1.5,", "'+1,,", "plain,,"]


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
