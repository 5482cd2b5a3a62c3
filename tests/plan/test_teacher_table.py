import json
import math

import pytest

from distlaw.plan import Teacher, read_teachers

# Two blocks of width 64: attention (2 x 4 + 2 x 2) x 64 x 16, gated feed-forward 3 x 64 x 128, two norms; a last norm.
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
}
LLAMA_PARAMS = 2 * (12 * 64 * 16 + 3 * 64 * 128 + 2 * 64) + 64
# At 4096 tokens of context: embedding and output layer, projections, attention, feed-forward (tables 11 and 12).
LLAMA_FLOPS = 2 * 64 + 2 * 64 * 1000 + 2 * (2 * 64 * 128 + 2 * 64 * 4096 + 2.5 * 4 * 4096 + 2 * 64 * 64 + 6 * 64 * 128)


@pytest.fixture
def table(tmp_path):
    """Writes lines of CSV and gives the path."""

    def write(*lines):
        path = tmp_path / "teachers.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def config(tmp_path):
    """A Hugging Face config.json of a small llama."""
    path = tmp_path / "llama" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(LLAMA), encoding="utf-8")
    return path


def refusal(path, **options):
    """The one line, without the file's name, with which `read_teachers` refuses a table."""
    with pytest.raises(ValueError, match="teachers") as caught:
        read_teachers(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


def test_a_teacher_has_a_size_as_text_and_a_loss_or_tokens(table):
    path = table("name,params,loss,tokens", "seven,7B,2.05,", 'three, "3,000,000,000",,1.5T', "both,300m,2.4,20B")
    assert read_teachers(path) == [
        Teacher(name="seven", params=7e9, loss=2.05),
        Teacher(name="three", params=3e9, tokens=1.5e12),
        Teacher(name="both", params=3e8, loss=2.4, tokens=2e10),
    ]


def test_flops_per_token_may_be_given(table):
    (teacher,) = read_teachers(table("name,params,loss,flops_per_token", "moe,100B,1.9,20G"))
    assert teacher.forward_flops == 20e9


@pytest.mark.parametrize(
    "header",
    [
        "teacher,teacher_params,teacher_loss,teacher_tokens,forward_flops",
        "model,n_teacher,l_teacher,d_teacher,flops_per_token",
        "name,N_T,L_T,D_T,flops_per_token",
        "name,N,L,D,flops_per_token",
        "name,n_params,loss,n_tokens,flops_per_token",
    ],
)
def test_every_alias_names_its_column(table, header):
    expected = Teacher(name="a", params=1e9, loss=2.1, tokens=1e10, forward_flops=3e9)
    assert read_teachers(table(header, "a,1B,2.1,10B,3B")) == [expected]


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_config_gives_size_and_flops_of_its_shape(table, config, as_folder):
    where = f"{config.parent}/" if as_folder else config
    small, other = read_teachers(table("name,params,loss", f"small,{where},2.9", "other,1B,2.2"))
    assert small.params == LLAMA_PARAMS
    assert small.forward_flops == LLAMA_FLOPS
    assert other.forward_flops is None


def test_flops_that_are_given_go_before_those_of_the_config(table, config):
    (teacher,) = read_teachers(table("name,params,loss,flops_per_token", f"small,{config},2.9,1M"))
    assert (teacher.params, teacher.forward_flops) == (LLAMA_PARAMS, 1e6)


@pytest.mark.parametrize("column", ["bits_per_byte", "bpb"])
def test_bits_per_byte_become_nats_per_token(table, column):
    path = table(f"name,params,loss,{column}", "a,7B,,0.75", "b,7B,2.1,")
    a, b = read_teachers(path, bytes_per_token=4.2)
    assert a.loss == pytest.approx(0.75 * 4.2 * math.log(2), rel=1e-12)
    assert a.loss_from == "from bits per byte"
    assert (b.loss, b.loss_from) == (2.1, "measured")


def test_bits_per_byte_go_before_tokens(table):
    (teacher,) = read_teachers(table("name,params,tokens,bits_per_byte", "a,7B,1T,0.8"), bytes_per_token=4.0)
    assert teacher.loss == pytest.approx(0.8 * 4.0 * math.log(2), rel=1e-12)
    assert teacher.tokens == 1e12


def test_bits_per_byte_need_bytes_per_token(table):
    message = refusal(table("name,params,loss,bits_per_byte", "a,7B,2.1,", "b,7B,,0.75"))
    assert message.startswith("row 2, column bits_per_byte: needs --bytes-per-token")


def test_loss_and_bits_per_byte_contradict_each_other(table):
    path = table("name,params,loss,bits_per_byte", "a,7B,2.1,", "b,7B,2.1,", "c,7B,2.1,0.75")
    assert refusal(path, bytes_per_token=4.2) == "row 3: give loss or bits_per_byte, not both"


@pytest.mark.parametrize("header", ["name,params,loss,tokens", "name,params,bits_per_byte,tokens"])
def test_a_teacher_of_which_nothing_but_the_size_is_known_is_refused(table, header):
    message = refusal(table(header, "a,7B,,1T", "b,7B,,"), bytes_per_token=4.2)
    assert message == "row 2: give loss, bits_per_byte or tokens for teacher 'b'"
    assert refusal(table("name,params", "a,7B")).startswith("row 1: give loss, bits_per_byte or tokens")


def test_a_table_without_names_or_sizes_is_refused(table):
    assert refusal(table("params,loss", "7B,2.1")).startswith("missing column name (or teacher, model)")
    assert refusal(table("name,loss", "a,2.1")).startswith("missing column params (or teacher_params, ")
    assert refusal(table("name,params,loss", ",7B,2.1")) == "row 1, column name: the cell is empty"
    assert refusal(table("name,params,loss", "a,7B,2.1", "b,,2.1")) == "row 2, column params: the cell is empty"


@pytest.mark.parametrize("column", ["params", "loss", "tokens", "flops_per_token", "bits_per_byte"])
@pytest.mark.parametrize("cell", ["0", "-1", "nan", "inf", "many"])
def test_bad_numbers_are_named_by_row_and_column(table, column, cell):
    header = ["name", "params", "loss", "tokens", "flops_per_token", "bits_per_byte"]
    good = ["a", "7B", "2.1", "", "", ""]
    bad = [cell if name == column else value for name, value in zip(header, good, strict=True)]
    message = refusal(table(*(",".join(row) for row in (header, good, bad))))
    assert message.startswith(f"row 2, column {column}: '{cell}' is not a ")


def test_a_config_that_cannot_be_used_is_named_by_row_and_column(table, config, tmp_path):
    moe = tmp_path / "moe.json"
    moe.write_text(json.dumps(LLAMA | {"num_local_experts": 8}), encoding="utf-8")
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    for bad, why in ((moe, "mixture of experts"), (broken, "Expecting"), (tmp_path / "none.json", "cannot be read")):
        message = refusal(table("name,params,loss", f"a,{config},2.1", f"b,{bad},2.1"))
        assert message.startswith(f"row 2, column params: {bad}: ")
        assert why in message


def test_a_line_break_in_a_name_does_not_break_the_message(table):
    assert refusal(table("name,params,loss", '"two', 'lines",7B,')).startswith("row 1: ")


def test_a_teacher_of_no_size_is_named_with_its_row(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("name,params,loss\ngood,7B,2.1\nQwen,7,2.1\n")
    with pytest.raises(ValueError, match=r"t\.csv: row 2: teacher 'Qwen': params 7 is no size of a language model"):
        read_teachers(table)
