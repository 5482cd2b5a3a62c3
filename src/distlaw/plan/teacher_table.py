"""Read a table of teachers at hand."""

from pathlib import Path

from distlaw.costs import read_architecture
from distlaw.plan.teachers import FROM_BITS, MEASURED, Teacher, loss_from_bits_per_byte
from distlaw.runs import Column, one_line, parse_quantity, read_table


def _params_or_path(text: str) -> str:
    """Accept what `_size` reads, so that a bad cell is reported with its row."""
    _size(text)
    return text


def _size(text: str, n_ctx: int = 4096) -> tuple[float, float | None, float | None]:
    """(N, exact forward FLOPs per token, vocabulary) of a Hugging Face config, or of a number, which has N alone."""
    if text.endswith(".json") or "/" in text:
        shape = read_architecture(Path(text), n_ctx=n_ctx)
        return float(shape.n_params), shape.forward_flops, float(shape.n_vocab)
    return parse_quantity(text), None, None


TEACHER_COLUMNS = (
    Column(name="name", aliases=("teacher", "model"), required=True, read=str, words=True),
    Column(
        name="params",
        aliases=("teacher_params", "n_teacher", "N_T", "N", "n_params"),
        required=True,
        read=_params_or_path,
    ),
    Column(name="loss", aliases=("teacher_loss", "l_teacher", "L_T", "L")),
    Column(name="tokens", aliases=("teacher_tokens", "d_teacher", "D_T", "D", "n_tokens")),
    Column(name="flops_per_token", aliases=("forward_flops",)),
    Column(name="bits_per_byte", aliases=("bpb",)),
    Column(name="loss_error", aliases=("loss_std", "loss_se")),
    Column(name="vocabulary", aliases=("vocab_size", "n_vocab")),
)


def read_teachers(path: Path, *, bytes_per_token: float | None = None, n_ctx: int = 4096) -> list[Teacher]:
    """Read teachers from a table with the columns of `TEACHER_COLUMNS`.

    `params` may be the path of a Hugging Face `config.json`. Each row needs one of `loss`, `bits_per_byte` and `tokens`
    (from which the loss is then estimated).

    Args:
        path: CSV, Parquet or JSONL.
        bytes_per_token: Of the law's tokenizer on the law's data; needed where `bits_per_byte` is used.
        n_ctx: Context length in tokens, for the FLOPs of teachers given by a config.

    Raises:
        ValueError: The table is bad; names row and column.
    """
    table = read_table(path, TEACHER_COLUMNS)
    columns = {column.name: table.numbers(column.name) for column in TEACHER_COLUMNS[2:]}
    teachers = []
    for i, (name, params) in enumerate(zip(table.text("name"), table.text("params"), strict=True)):
        assert name is not None
        assert params is not None
        given = {key: float(values[i]) for key, values in columns.items() if values[i] == values[i]}
        try:
            teachers.append(_teacher(name, params, given, bytes_per_token=bytes_per_token, n_ctx=n_ctx))
        except ValueError as error:
            said = str(error)
            raise ValueError(f"{one_line(path)}: row {i + 1}{'' if said[:1] in ':,' else ': '}{said}") from None
    return teachers


def _teacher(
    name: str, params_text: str, given: dict[str, float], *, bytes_per_token: float | None, n_ctx: int
) -> Teacher:
    params, forward_flops, vocabulary = _size(params_text, n_ctx)
    loss, loss_from = given.get("loss"), MEASURED
    if "bits_per_byte" in given:
        if loss is not None:
            raise ValueError(": give loss or bits_per_byte, not both")
        if bytes_per_token is None:
            raise ValueError(
                ", column bits_per_byte: needs --bytes-per-token, the mean bytes per token of the law's tokenizer on"
                " the law's data"
            )
        loss, loss_from = loss_from_bits_per_byte(given["bits_per_byte"], bytes_per_token), FROM_BITS
    if loss is None and "tokens" not in given:
        raise ValueError(f": give loss, bits_per_byte or tokens for teacher '{one_line(name, 60)}'")
    return Teacher(  # whose own refusals name it
        name=name,
        params=params,
        loss=loss,
        tokens=given.get("tokens"),
        forward_flops=given.get("flops_per_token", forward_flops),
        loss_error=given.get("loss_error"),
        loss_from=loss_from,
        vocabulary=given.get("vocabulary", vocabulary),
    )
