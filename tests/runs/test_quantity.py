import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distlaw.runs import format_quantity, parse_quantity

FUZZ = settings(derandomize=True, deadline=None, max_examples=200)
HELP = (
    "is not a number such as 1.5B, 300M, 2T or 1e22",
    "is not a finite number above 0",
    "is too large or too small for any size: it must lie between 1e-09 and 1e+40",
    "write it without separators of thousands, with a decimal point",
)
SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "P": 1e15}


def refusal(text):
    """What `parse_quantity` says about a text that it refuses."""
    with pytest.raises(ValueError, match="is ") as caught:
        parse_quantity(text)
    return str(caught.value)


def quoted(text):
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}...'"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5B", 1.5e9),
        ("300M", 300e6),
        ("2T", 2e12),
        ("1e22", 1e22),
        ("4k", 4e3),
        ("3g", 3e9),
        ("1P", 1e15),
        ("1,000,000", 1e6),
        ("1,234.5M", 1.2345e9),
        ("32_768", 32768.0),
        ("2 T", 2e12),
        ("  7b\n", 7e9),
        (".5B", 0.5e9),
        ("5.", 5.0),
        ("2.1", 2.1),
        ("1E+3K", 1e6),
        ("1e-3", 1e-3),
        ("0.0001", 1e-4),
    ],
)
def test_reads_sizes_as_people_write_them(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "abc",
            "B",
            "1.5.2",
            "1,00",
            "12,34",
            "1__0",
            "_1",
            "1_",
            "1.5BB",
            "1.5X",
            "1e",
            "0x10",
            "1/2",
            "1b2",
        ),
        *("1e22 FLOPs", "--5", "1 000", "1.5B tokens", "\u0661\u0662", "\u00bd", "True", "None", "[3]"),
    ],
)
def test_what_is_no_number_is_refused_with_examples(text):
    message = refusal(text)
    assert f"'{text.strip()}' is not a number such as 1.5B, 300M, 2T or 1e22" == message


@pytest.mark.parametrize(
    "text",
    ["0", "0.0", "0B", "-0", "-1", "-1.5B", "-.5", "nan", "NaN", "+nan", "-nan", "inf", "-inf", "Infinity", "1e-400"],
)
def test_zero_negative_nan_and_infinite_are_refused(text):
    assert refusal(text) == f"'{text}' is not a finite number above 0"


@pytest.mark.parametrize("text", ["1e400", "1e308B", "1e9999", "9" * 39 + "e300", "1.01e40", "9.9e-10"])
def test_what_no_size_can_be_is_refused_with_the_range(text):
    assert refusal(text) == f"{quoted(text)} {HELP[2]}"


@pytest.mark.parametrize("text", ["3,876", "1,000", "999,999", "1,500B", "2,125e9"])
def test_a_comma_before_three_digits_may_be_either_and_is_refused(text):
    point, joined = text.replace(",", "."), text.replace(",", "")
    with pytest.raises(ValueError, match=f"'{text}' may be {point} or {joined}: {HELP[3]}"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["1e40", "1e-9", "1e37K"])
def test_the_ends_of_the_range_are_sizes(text):
    assert parse_quantity(text) > 0


@pytest.mark.parametrize("text", ["x" * 1000, "-" + "1" * 1000, "9" * 1000, "0" * 1000])
def test_a_long_text_does_not_fill_the_screen(text):
    assert len(refusal(text)) < 120


number_like = st.text(alphabet="0123456789.,_eE+-kKmMbBgGtTpP \n\tnaif", max_size=12)


@FUZZ
@given(st.text() | number_like)
@example("1\n2")
@example("a\x0cb")
@example("1\u20282")
def test_any_text_is_a_finite_positive_number_or_a_helpful_line(text):
    try:
        value = parse_quantity(text)
    except ValueError as error:
        message = str(error)
        assert any(phrase in message for phrase in HELP)
        assert len(message.splitlines()) == 1, repr(message)
    else:
        assert isinstance(value, float)
        assert math.isfinite(value)
        assert value > 0


plain_numbers = (
    st.floats(1e-9, 1e9).map(repr) | st.integers(1, 10**12).map(str) | st.integers(10**6, 10**12).map("{:,}".format)
)


@FUZZ
@given(plain_numbers, st.sampled_from(sorted(SUFFIXES)), st.sampled_from(["", " "]))
def test_a_suffix_multiplies_in_either_case(number, suffix, gap):
    expected = parse_quantity(number) * SUFFIXES[suffix]
    assert parse_quantity(number + gap + suffix) == expected
    assert parse_quantity(number + gap + suffix.lower()) == expected


@FUZZ
@given(st.floats(-8.9, 39.9) | st.floats(0, 16), st.integers(1, 15))
@example(math.log10(999.96e9), 3)
@example(math.log10(999.6), 3)
@example(15.0, 3)
def test_what_is_written_is_read_back_within_its_digits(log_value, digits):
    value = 10**log_value
    assert parse_quantity(format_quantity(value, digits)) == pytest.approx(value, rel=0.5000001 * 10 ** (1 - digits))


@FUZZ
@given(st.floats(3, 14.99))
def test_sizes_up_to_a_thousand_trillion_are_written_with_a_suffix(log_value):
    text = format_quantity(10**log_value)
    assert text[-1] in "KMBT"
    assert "e" not in text
    assert 1 <= float(text[:-1]) < 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5e9, "1.5B"),
        (999.96e9, "1T"),
        (1e22, "1e+22"),
        (1e15, "1e+15"),
        (999, "999"),
        (999.6, "1K"),
        (2.1, "2.1"),
        (123_456_789, "123M"),
        (0.0, "0"),
        (math.inf, "inf"),
        (math.nan, "-"),
    ],
)
def test_writes_three_digits_and_a_suffix(value, text):
    assert format_quantity(value) == text


def test_writes_more_digits_when_asked():
    assert format_quantity(545_970_432, digits=6) == "545.97M"
