import io
import json
import random
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distlaw.runs import RUN_COLUMNS, Column, read_runs, read_table
from distlaw.spreadsheet import inert, original

FUZZ = settings(derandomize=True, deadline=None, max_examples=150)
SUFFIXES = [".csv", ".jsonl", ".parquet"]
NAMES = ("student_params", "student_tokens", "student_loss", "teacher_loss")
ALIASES = {
    "student_params": ("n_student", "N_S", "N", "params", "n_params"),
    "student_tokens": ("d_student", "D_S", "D", "tokens", "n_tokens"),
    "student_loss": ("l_student", "L_S", "loss", "L"),
    "teacher_loss": ("l_teacher", "L_T"),
}


def write(path, rows):
    """Write rows (dicts) as the format that the path's suffix asks for, numbers in full."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path):
    """The one line with which `read_runs` refuses a file."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read_runs(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1, repr(message)
    return message.removeprefix(f"{path}: ")


# --- What is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.jsonl", "t.ndjson", "t.parquet"])
def test_every_format_gives_the_same_exact_numbers(tmp_path, name):
    values = 10 ** np.random.default_rng(0).uniform(-3, 15, size=(50, 4))
    rows = [dict(zip(NAMES, row, strict=True)) for row in values.tolist()]
    staged = write(tmp_path / name.lower(), rows)
    runs = read_runs(staged.rename(tmp_path / name))
    for i, column in enumerate(NAMES):
        assert np.array_equal(getattr(runs, column), values[:, i]), column


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sizes_may_be_words_and_whole_numbers(tmp_path, suffix):
    rows = [{"N": "143M", "D": "3.7B", "L": "2.75"}, {"N": "143000000", "D": "3,700,000,000", "L": "2.750"}]
    runs = read_runs(write(tmp_path / f"words{suffix}", rows))
    assert runs.student_params.tolist() == [143e6, 143e6]
    assert runs.student_tokens.tolist() == [3.7e9, 3.7e9]
    whole = read_runs(write(tmp_path / f"whole{suffix}", [{"N": 143_000_000, "D": 3_700_000_000, "L": 3}]))
    assert (whole.student_params[0], whole.student_tokens[0], whole.student_loss[0]) == (143e6, 3.7e9, 3.0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_without_a_teacher_is_supervised(tmp_path, suffix):
    rows = [{"N": 1e9, "D": 2e10, "L": 2.5, "L_T": 2.2}, {"N": 1e9, "D": 2e10, "L": 2.6, "L_T": None}]
    runs = read_runs(write(tmp_path / f"mixed{suffix}", rows))
    assert runs.distilled.tolist() == [True, False]
    assert runs.teacher_loss[0] == 2.2
    assert np.isnan(runs.teacher_loss[1])
    without = read_runs(write(tmp_path / f"without{suffix}", [{"N": 1e9, "D": 2e10, "L": 2.5}]))
    assert without.distilled.tolist() == [False]


def test_an_empty_cell_of_a_nullable_parquet_column_is_empty(tmp_path):
    path = tmp_path / "nullable.parquet"
    frame = pd.DataFrame({"N": [1e9, 1e9], "D": [2e10, 2e10], "L": [2.5, 2.6]})
    frame["L_T"] = pd.array([2.2, None], dtype="Float64")
    frame.to_parquet(path)
    assert read_runs(path).distilled.tolist() == [True, False]


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name in NAMES for alias in (name, *ALIASES[name])])
def test_every_alias_names_its_column(tmp_path, name, alias):
    row = dict(zip(NAMES, (1e9, 2e10, 2.5, 2.2), strict=True))
    row = {alias if key == name else key: value for key, value in row.items()}
    runs = read_runs(write(tmp_path / "t.csv", [row]))
    assert [getattr(runs, key)[0] for key in NAMES] == [1e9, 2e10, 2.5, 2.2]


def test_no_alias_is_shared_and_all_are_tested():
    more = (
        "teacher_params",
        "teacher_tokens",
        "compute",
        "unique_tokens",
        "seed",
        "weight",
        "group",
    )  # tests/runs/test_record.py
    assert {column.name: column.aliases for column in RUN_COLUMNS if column.name not in more} == ALIASES
    everything = [name for column in RUN_COLUMNS for name in (column.name, *column.aliases)]
    assert len(everything) == len(set(everything))


def test_header_and_cells_may_be_padded_and_other_columns_are_ignored(tmp_path):
    text = "note, N , D,L,n\nhello, 1B ,20B, 2.5 ,not a number\n"
    runs = read_runs(written(tmp_path / "t.csv", text))
    assert (runs.student_params[0], runs.student_tokens[0], runs.student_loss[0]) == (1e9, 2e10, 2.5)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert read_runs(written(tmp_path / "t.csv", "\ufeffN,D,L\n1B,20B,2.5\n")).student_params[0] == 1e9


def test_columns_of_words_and_absent_columns(tmp_path):
    columns = (Column(name="name", required=True, read=str), Column(name="size"), Column(name="nowhere"))
    table = read_table(written(tmp_path / "t.csv", "name,size\nNA,1B\n 7 ,\n"), columns)
    assert table.rows == 2
    assert table.text("name") == ["NA", "7"]
    assert table.numbers("size").tolist()[0] == 1e9
    assert np.isnan(table.numbers("size")[1])
    assert "size" in table
    assert "nowhere" not in table
    assert np.isnan(table.numbers("nowhere")).tolist() == [True, True]
    assert table.text("nowhere") == [None, None]


# --- What is refused --------------------------------------------------------------------------------------------------


def test_a_missing_column_is_named_with_its_aliases_and_what_there_is(tmp_path):
    message = refusal(written(tmp_path / "t.csv", "N,L,other\n1B,2.5,7\n"))
    assert message.startswith("missing column student_tokens (or d_student, D_S, D, tokens, n_tokens);")
    assert message.endswith("the table has N, L, other; say which it is with --columns student_tokens=NAME")


@pytest.mark.parametrize("header", ["n,d,l", "Params,Tokens,LOSS", "Student Params,student-tokens, STUDENT_LOSS "])
def test_names_count_in_any_case(tmp_path, header):
    runs = read_runs(written(tmp_path / "t.csv", f"{header}\n1B,20B,2.5\n"))
    assert (runs.student_params[0], runs.student_tokens[0], runs.student_loss[0]) == (1e9, 2e10, 2.5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_named_twice_through_aliases_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"t{suffix}", [{"N": 1e9, "D": 2e10, "L": 2.5, "student_params": 2e9}])
    assert refusal(path) == (
        "columns 'N' and 'student_params' both mean student_params; keep one, or say which with --columns"
        " student_params=NAME"
    )


def test_a_column_named_twice_by_the_same_name_is_refused(tmp_path):
    assert "'N'" in refusal(written(tmp_path / "t.csv", "N,N,D,L\n1B,3B,20B,2.5\n"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_cell_that_is_needed_is_named(tmp_path, suffix):
    rows = [{"N": 1e9, "D": 2e10, "L": 2.5}, {"N": 1e9, "D": 2e10, "L": None}]
    assert refusal(write(tmp_path / f"t{suffix}", rows)) == "row 2, column student_loss: the cell is empty"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cell", ["abc", "0", "-2.5", "nan", "inf", "1.5X"])
def test_a_bad_cell_is_named_by_row_from_one_and_column(tmp_path, suffix, cell):
    rows = [{"N": "1B", "D": "20B", "L": "2.5"}, {"N": "1B", "D": cell, "L": "2.5"}]
    message = refusal(write(tmp_path / f"t{suffix}", rows))
    assert message.startswith(f"row 2, column student_tokens: '{cell}' is not a ")
    assert ";" not in message


def test_bad_cells_of_optional_columns_are_named_too(tmp_path):
    message = refusal(written(tmp_path / "t.csv", "N,D,L,L_T\n1B,20B,2.5,x\n"))
    assert message.startswith("row 1, column teacher_loss: 'x' ")


@pytest.mark.parametrize("cell", ["true", "[3]", '{"a": 1}', "1e400"])
def test_json_values_that_are_no_numbers_are_bad_cells(tmp_path, cell):
    message = refusal(written(tmp_path / "t.jsonl", f'{{"N": 1e9, "D": 2e10, "L": {cell}}}\n'))
    assert message.startswith("row 1, column student_loss: ")


@pytest.mark.parametrize(("bad", "more"), [(5, ""), (6, "; and 1 more"), (8, "; and 3 more")])
def test_five_bad_cells_are_shown_and_the_rest_counted(tmp_path, bad, more):
    message = refusal(written(tmp_path / "t.csv", "N,D,L\n1B,20B,2.5\n" + "1B,20B,x\n" * bad))
    shown = "; ".join(
        f"row {row}, column student_loss: 'x' is not a number such as 1.5B, 300M, 2T or 1e22" for row in range(2, 7)
    )
    assert message == shown + more


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_rows_is_refused(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    frame = pd.DataFrame({"N": [], "D": [], "L": []})
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    assert refusal(path) == "the table has no rows"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file_is_refused(tmp_path, suffix):
    refusal(written(tmp_path / f"t{suffix}", ""))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_is_refused(tmp_path, suffix):
    assert refusal(tmp_path / f"t{suffix}") == "no such file"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_directory_is_refused(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    path.mkdir()
    refusal(path)


@pytest.mark.parametrize("name", ["t.txt", "t.xlsx", "t", "t.csv.gz", "t.json"])
def test_another_suffix_is_refused_with_those_that_are_read(tmp_path, name):
    message = refusal(written(tmp_path / name, "N,D,L\n1B,20B,2.5\n"))
    for suffix in (".csv", ".parquet", ".jsonl", ".ndjson"):
        assert suffix in message


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_binary_garbage_is_refused(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(bytes(range(256)) * 8)
    refusal(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # A row longer than the header would lose its last cell, or shift all of them.
        ("t.csv", "N,D,L\n1B,20B,2.5,7\n"),
        ("t.csv", "N,D,L\n1B,20B,2.5\n1B,20B,2.5,7\n"),
        # An unclosed quote would swallow the rows that follow.
        ("t.csv", 'N,D,L\n1B,20B,"2.5\n'),
        ("t.csv", 'N,D,L,note\n1B,20B,2.5,"oops\n1B,20B,2.6,x\n'),
        # Line breaks of a header or a cell must not break the message.
        ("t.csv", 'N,D,"a\nb"\n1B,20B,2.5\n'),
        ("t.csv", 'N,D,L\n1B,20B,"2\n5"\n'),
        ("t.csv", "N,D,L\n1B,2\x0c0B,2.5\n"),
        ("t.jsonl", '{"N": 1e9, "D": 2e10, "L\\r": 2.5, "L": 2.5}\n'),
        ("t.jsonl", '{"N": 1e9, "D": 2e10, "L": "2\\n5"}\n'),
        # Not objects.
        ("t.jsonl", "1\n2\n"),
        ("t.jsonl", '{"N": 1e9, "D": 2e10, "L": 2.5}\n-\n'),
        ("t.jsonl", '{"N": 1e9, "D": 2e10, "L": 2.5}\n7\n'),
        ("t.jsonl", '{"N": 1e9, "D": 2e10, "L": 2.5}\nnull\n'),
        ("t.jsonl", "null\n"),
        ("t.jsonl", "[[1]]\n"),
        ("t.jsonl", '{"N": 1e9, "D": 2e10, "L": 2.5'),
        ("t.jsonl", "[" * 100_000),
        ("t.jsonl", '{"N": 100000000000000000000000000, "D": -9223372036854775809, "L": 2.5}\n'),
    ],
)
def test_broken_text_is_refused_in_one_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    refusal(path)


def test_the_name_of_the_file_may_hold_anything(tmp_path):
    assert refusal(written(tmp_path / "a {b} %s.csv", "N,D\n1,2\n")).startswith("missing column student_loss")


# --- Fuzz: any file gives runs or one line ----------------------------------------------------------------------------


def read_or_refuse(name, content):
    """Check that `read_runs` gives sound runs or refuses in one line that names the file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            runs = read_runs(path)
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert len(message.splitlines()) == 1, repr(message)
            return
    columns = [getattr(runs, column) for column in NAMES]
    assert all(column.shape == columns[0].shape and column.size > 0 for column in columns)
    assert all(np.isfinite(column).all() and (column > 0).all() for column in columns[:3])
    assert (np.isnan(columns[3]) | (np.isfinite(columns[3]) & (columns[3] > 0))).all()


@FUZZ
@given(st.sampled_from(SUFFIXES), st.binary(max_size=200))
def test_random_bytes(suffix, content):
    read_or_refuse(f"t{suffix}", content)


headers = st.sampled_from([*NAMES, "N", "D", "L", "L_T", "N_S", "x", "", " L "]) | st.text(max_size=4)
cells = st.sampled_from(["", " ", "1", "2.5", "1.5B", "2e9", "0", "-3", "nan", "NA", "inf", "1e400", "x", '"', "'"])
cells = cells | st.text(max_size=6)


@st.composite
def csv_texts(draw):
    """Tables that mostly have the columns, with rows that are mostly of the header's length."""
    header = draw(st.permutations(["N", "D", "L"]))
    header = header[: draw(st.sampled_from([3, 3, 3, 2, 0]))] + draw(st.lists(headers, max_size=2))
    widths = st.just(len(header)) | st.integers(0, len(header) + 2)
    rows = draw(st.lists(widths.flatmap(lambda width: st.lists(cells, min_size=width, max_size=width)), max_size=5))
    quote = draw(st.booleans())
    newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))

    def field(text):
        return '"' + text.replace('"', '""') + '"' if quote else text

    return newline.join(",".join(field(cell) for cell in row) for row in [header, *rows])


@FUZZ
@given(csv_texts(), st.sampled_from(["utf-8", "utf-8", "utf-16", "cp1252"]))
@example("N,D,L\n1,2,3,4", "utf-8")
@example('N,D,L\n1,2,"3\n4"', "utf-8")
@example("N,D,L\x00L_T\n1,2e9,3.5,\n1B,2e9,3.5,2\n", "utf-8")
def test_random_csv_tables(text, encoding):
    read_or_refuse("t.csv", text.encode(encoding, errors="replace"))


json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | cells
json_values = json_scalars | st.lists(json_scalars, max_size=2) | st.dictionaries(headers, json_scalars, max_size=2)
run_like = st.fixed_dictionaries({"N": st.floats(1, 1e12), "D": st.floats(1, 1e12), "L": st.floats(1, 9)})
json_lines = (
    run_like.map(json.dumps)
    | st.dictionaries(headers, json_values, max_size=5).map(json.dumps)
    | st.tuples(run_like, st.dictionaries(headers, json_values, max_size=2)).map(
        lambda two: json.dumps(two[0] | two[1])
    )
    | json_values.map(json.dumps)
    | st.text(alphabet='{}[]",:0123456789.eE+-NaInfty \t\\u', max_size=12)
)


@FUZZ
@given(st.lists(json_lines, max_size=5))
@example(['{"N":1,"D":2e9,"L":3.5}', "-"])
@example(['{"N":1,"D":2e9,"L":3.5}', "7"])
def test_random_jsonl_tables(lines):
    read_or_refuse("t.jsonl", "\n".join(lines).encode())


def parquet_bytes():
    """A small valid file."""
    buffer = io.BytesIO()
    frame = pd.DataFrame({"N": [1e9, 2e9], "D": ["20B", "40B"], "L": [2.5, 2.4], "L_T": [2.2, None]})
    frame.to_parquet(buffer)
    return buffer.getvalue()


PARQUET = parquet_bytes()


@pytest.mark.parametrize(
    ("sound", "damaged"),
    [(b"20B", b"\xff0B"), (b"pandas_type", b"pandas_typo"), (b"numpy_type", b"numpy_typo")],
    ids=["text that is not UTF-8", "pandas' notes", "numpy's notes"],
)
def test_parquet_files_damaged_in_known_places(sound, damaged):
    assert sound in PARQUET
    read_or_refuse("t.parquet", PARQUET.replace(sound, damaged))


@FUZZ
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_damaged_parquet_files(seed, wounds):
    random_ = random.Random(seed)
    content = bytearray(PARQUET)
    for _ in range(wounds):
        at = random_.randrange(len(content))
        if random_.random() < 0.7:
            content[at] ^= 1 << random_.randrange(8)
        else:
            del content[at : at + random_.randrange(1, 6)]
    read_or_refuse("t.parquet", bytes(content))


@FUZZ
@given(
    st.sampled_from(["float32", "int16", "Int64", "string", "bool", "datetime64[ns]", "category", "object"]),
    st.lists(st.integers(-3, 1000) | st.none(), min_size=1, max_size=4),
)
def test_parquet_columns_of_any_type(dtype, values):
    filled = [5 if value is None else value for value in values]
    column = pd.Series(values if dtype in ("Int64", "string", "object", "category") else filled)
    frame = pd.DataFrame({"N": filled, "D": column.astype(dtype), "L": 2.5, "L_T": column.astype(dtype)})  # pyright: ignore[reportArgumentType,reportCallIssue]
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    read_or_refuse("t.parquet", buffer.getvalue())


# --- Numbers with commas, delimiters, columns that are said ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("N;D;L\n60000000;480000000;3,876\n60000000;480000000;3,5\n", 3.876),
        ("N;D;L\n6e7;4.8e8;3.876\n", 3.876),
        ("N\tD\tL\n6e7\t4.8e8\t3.876\n", 3.876),
        ("N;D;L\n60.000M;480.000M;3.876\n", 3.876),
        ("sep=;\nN;D;L\n60.000.000;480.000.000;3,876\n", 3.876),
        ('N,D,L\n6e7,"480,000,000","3,87"\n', 3.87),
        ('N,D,L\n6e7,4.8e8,"3,876"\n6e7,4.8e8,"3,5"\n', 3.876),
        ('N,D,L\n6e7,4.8e8,"0,876"\n', 0.876),
        ('N,D,L\n6e7,"480,000,000","3.876"\n', 3.876),
    ],
)
def test_decimal_commas_and_delimiters(tmp_path, text, loss):
    runs = read_runs(written(tmp_path / "t.csv", text))
    assert (runs.student_params[0], runs.student_tokens[0], runs.student_loss[0]) == (6e7, 4.8e8, loss)
    assert ("student_loss has decimal commas" in " ".join(runs.warnings())) == (f"{loss}".replace(".", ",") in text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('N,D,L\n6e7,4.8e8,"3,876"\n', "row 1, column student_loss: '3,876' may be 3.876 or 3876: "),
        ('N,D,L\n6e7,"480,000","3.8"\n', "row 1, column student_tokens: '480,000' may be 480.000 or 480000: "),
        ("N\tD\tL\n6e7\t4.8e8\t3,876\n", "row 1, column student_loss: '3,876' may be "),
        ('N,D,L\n6e7,"4,5e8",3\n6e7,"480,000,000",3\n', "column student_tokens has commas before decimals and between"),
        ("N;D;L\n60.000;4,8e8;3,876\n", "row 1, column student_params: '60.000' may be 60.000 or 60000"),
    ],
)
def test_a_number_that_may_be_two_is_refused(tmp_path, text, message):
    assert refusal(written(tmp_path / "t.csv", text)).startswith(message)


@FUZZ
@given(st.floats(0.001, 20).map(lambda loss: round(loss, 3)), st.sampled_from([",", ";", "\t"]))
def test_no_decimal_comma_is_ever_read_as_thousands(loss, delimiter):
    cell = f'"{loss}"'.replace(".", ",")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text(delimiter.join("NDL") + "\n" + delimiter.join(["6e7", "4e8", cell]) + "\n")
        try:
            assert read_runs(path).student_loss[0] == loss
        except ValueError as error:
            assert "may be" in str(error)  # noqa: PT017


def test_columns_can_be_said(tmp_path):
    path = written(tmp_path / "t.csv", "size,N,train_loss,val_loss,D\n1B,2B,2.4,2.5,20B\n")
    runs = read_runs(path, {"params": "size", "LOSS": "val_loss"})
    assert (runs.student_params[0], runs.student_loss[0]) == (1e9, 2.5)
    for said, message in (
        ({"loss": "nope"}, "column 'nope' for student_loss is not in this table; it has size, N"),
        ({"lost": "val_loss"}, "'lost' is no column of a table of runs; they are student_params"),
        ({"loss": "val_loss", "L": "train_loss"}, "student_loss is said to be 'val_loss' and 'train_loss'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            read_runs(path, said)


def test_parameters_beside_those_without_embeddings_are_asked_about(tmp_path):
    for other in ("N_non_embedding", "params_non-emb", "Non Embedding Params"):
        path = written(tmp_path / "t.csv", f"N,{other},D,L\n1B,0.8B,20B,2.5\n")
        message = refusal(path)
        assert message.startswith(
            f"columns 'N' and '{other}' may both be student_params, parameters without embeddings"
        )
        assert "--columns student_params=NAME" in message
        assert read_runs(path, {"N": other}).student_params[0] == 8e8
    assert read_runs(written(path, "params_non_emb,D,L\n1B,20B,2.5\n")).student_params[0] == 1e9


def test_tokens_are_taken_from_compute_where_they_are_missing(tmp_path):
    runs = read_runs(written(tmp_path / "t.csv", "N,D,C,L\n1B,,6e19,3\n1B,20B,1.2e20,2.9\n"))
    assert runs.student_tokens.tolist() == [1e10, 2e10]
    assert "tokens are missing in 1 of 2 runs" in runs.warnings()[0]
    taught = written(tmp_path / "t.csv", "N,C,L,L_T\n1B,6e19,3,2\n")
    assert refusal(taught).startswith("row 1, column student_tokens: the cell is empty")


@FUZZ
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["=1+1", "'=1", "-x", "\t=", "@a"])
)
def test_a_text_in_csv_is_no_formula_and_comes_back(text):
    cell = inert(text)
    assert original(cell) == text
    assert cell[:1] not in ("=", "@", "\t", "\r")
    if cell[:1] in ("+", "-"):
        float(cell)


# --- Files that hold more than they seem to --------------------------------------------------------------------------


def test_a_parquet_file_is_refused_before_it_unpacks_to_much(tmp_path):
    many = pa.table({name: pa.array(np.full(2_100_000, 1e9)) for name in ("N", "D", "L")})
    pq.write_table(many, tmp_path / "rows.parquet")
    assert "2,100,000 rows; at most 2,000,000 are read" in refusal(tmp_path / "rows.parquet")
    wide = pa.table({"N": ["1" * 4000] * 60_000, "D": ["1"] * 60_000, "L": ["1"] * 60_000})
    pq.write_table(wide, tmp_path / "wide.parquet", compression="zstd", use_dictionary=False)
    assert "unpack to more than 200 MB" in refusal(tmp_path / "wide.parquet")
    one = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array(["x" * 1_000_000]))
    text = pa.table({"N": [1e9] * 1000, "D": [1e10] * 1000, "L": [2.5] * 1000, "group": one})
    pq.write_table(text, tmp_path / "text.parquet", compression="zstd")
    assert "a text of 1,000,000 characters is no number and no label" in refusal(tmp_path / "text.parquet")


def test_columns_that_nobody_asked_for_are_not_unpacked(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"N": [1e9], "D": [2e10], "L": [2.5], "nested": [[{"a": [1, 2]}]]}), path)
    assert read_runs(path).student_params[0] == 1e9
    pq.write_table(pa.table({"N": [[1e9]], "D": [2e10], "L": [2.5]}), path)
    assert "column 'N' holds list<" in refusal(path)
    rows = "".join(json.dumps({"N": 1e9, "D": 2e10, "L": 2.5, f"c{i}": 1}) + "\n" for i in range(20_000))
    assert len(read_runs(written(tmp_path / "t.jsonl", rows))) == 20_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "N,D,L\n1e8,2e9,3\n,,\n2e8,4e9,2.9\n , ,\n,,\n"),
        ("t.csv", "N;D;L\n1e8;2e9;3\n2e8;4e9;2.9\n;;\n;;;;\n;;\n"),
        ("t.jsonl", '{"N":1e8,"D":2e9,"L":3}\n{}\n{"N":2e8,"D":4e9,"L":2.9}\n{"N":null,"D":""}\n{"L":null}\n'),
    ],
)
def test_wholly_empty_rows_are_left_out_and_said(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    runs = read_runs(path)
    assert runs.student_params.tolist() == [1e8, 2e8]
    assert [(note.kind, note.text) for note in runs.notes] == [
        ("empty-rows", "3 empty rows are left out and not counted in the numbers of rows")
    ]


def test_a_table_of_empty_rows_has_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("N,D,L\n,,\n")
    with pytest.raises(ValueError, match="the table has no rows"):
        read_runs(path)
