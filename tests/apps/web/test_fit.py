import base64
import errno
import gzip
import json
import os
import shlex
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from distlaw.apps.cli import main
from distlaw.apps.web import fit_work
from distlaw.apps.web.elements import sentence
from distlaw.apps.web.fit_question import NONE, FitQuestion, mapped
from distlaw.apps.web.fit_view import fit_shown, problems_shown
from distlaw.apps.web.fit_work import MOST_ROWS, check, fit, look
from distlaw.apps.web.laws import law_of_text
from distlaw.apps.web.uploads import received

HEADER = "student_params,student_tokens,student_loss\n"


def tell(done, parts):
    pass


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_look_names_columns_and_shows_the_first_rows(table):
    found = look(table, "runs.csv", tell)
    assert found.columns == ("student_params", "student_tokens", "student_loss", "teacher_loss")
    assert found.rows == 48
    assert found.preview[0][0] == "100000000.0"


def hostile_tables():
    yield "no table", b"", "t.csv", "no rows"
    yield "binary", bytes(range(256)) * 50, "t.csv", "is not UTF-8 text"
    yield "a zip called csv", None, "zip.csv", "is not UTF-8 text|cells|no rows"
    yield "a gzip called csv", gzip.compress(b"0" * 1_000_000), "t.csv", "is not UTF-8 text"
    yield "a csv called parquet", HEADER + "1,1,1\n", "t.parquet", "is not a Parquet file"
    yield "too many rows", HEADER + "1e9,1e9,3\n" * (MOST_ROWS + 1), "t.csv", r"20,001 rows; at most 20,000"
    yield (
        "too many columns",
        ",".join(f"c{i}" for i in range(200)) + "\n" + ",".join(["1"] * 200),
        "t.csv",
        "200 columns",
    )
    yield "a column twice", "a,a\n1,2\n", "t.csv", "both mean a"
    yield "deep JSON", "[" * 50_000, "t.jsonl", "cannot be read"
    yield "an open quote", HEADER + '1,1,"1\n', "t.csv", "quote that does not close"


def content_of(name, content):
    if name != "zip.csv":
        return content
    import io

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a.csv", b"0" * 10_000_000)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [pytest.param(content, name, says, id=what) for what, content, name, says in hostile_tables()],
)
def test_a_hostile_table_is_refused_in_a_sentence_that_calls_it_as_the_user_does(tmp_path, content, name, says):
    path = write(tmp_path, content_of(name, content), name)
    with pytest.raises(ValueError, match=says) as raised:
        look(path, "my table.csv", tell)
    assert str(raised.value).startswith("my table.csv: ")
    assert str(tmp_path) not in str(raised.value)


def test_a_parquet_file_that_unpacks_to_much_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_work, "MOST_UNPACKED", 10_000_000)
    path = tmp_path / "t.parquet"
    wide = pa.table({f"c{i}": ["x" * 400] * 2000 for i in range(20)})
    pyarrow.parquet.write_table(wide, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match="20 columns that unpack to 16 MB are more than are read"):
        look(path, "t.parquet", tell)
    many = tmp_path / "many.parquet"
    pyarrow.parquet.write_table(pa.table({"a": pa.array([1.0] * 3_000_000)}), many)
    assert many.stat().st_size < 100_000
    with pytest.raises(ValueError, match="3,000,000 rows"):
        look(many, "many.parquet", tell)


def test_what_a_file_does_beyond_its_limits_ends_its_process_and_not_the_page(tmp_path, site):
    path = write(tmp_path, "N,D,L\n" + "12,34,56\n" * 2_000_000, "t.csv")
    job = site.workers.begin(look, path, "t.csv", seconds=60.0, memory=1 << 29)
    with pytest.raises(ValueError, match="needs more memory"):
        job.wait(60)


def test_formulas_are_text_and_bad_rows_are_named(tmp_path):
    path = write(tmp_path, HEADER + '=cmd(),1e9,3\n1e8,"=HYPERLINK(""http://x"")",3\n1e8,1e9,nan\n')
    found = look(path, "t.csv", tell)
    assert found.preview[0][0] == "=cmd()"
    with pytest.raises(ValueError, match=r"row 1, column student_params: '=cmd..' is not a number") as raised:
        check(path, "t.csv", found.columns, {}, tell)
    shown = str(problems_shown(str(raised.value)))
    for row in ("row 1, column student_params", "row 2, column student_tokens", "row 3, column student_loss"):
        assert row in shown


@pytest.mark.parametrize(
    ("rows", "file", "said"),
    [
        (
            "1e8,1e9,x,\n1e8,1e9,a; b,\n",
            "a; b: c.csv",
            ["row 1, column loss: 'x'", "row 2, column loss: 'a; b'"],
        ),
        ("1e8,1e9,3,2e9\n1e8,1e9,3,3e9\n", "t.csv", ["row 1: teacher_params is given", "row 2: teacher_params"]),
        ("1e8,1e9,x,\n" * 7, "t.csv", [f"row {number}" for number in range(1, 6)] + ["and 2 more"]),
    ],
)
def test_each_bad_row_has_a_line_under_the_name_of_the_table(tmp_path, rows, file, said):
    path = write(tmp_path, "N,D,loss,teacher_params\n" + rows)
    with pytest.raises(ValueError, match="row 1") as raised:
        check(path, file, ("N", "D", "loss", "teacher_params"), {}, tell)
    [shown] = problems_shown(str(raised.value))
    head, listed = shown.children
    assert head.children == f"{file} has rows that cannot be used:"
    lines = [item.children for item in listed.children]
    assert len(lines) == len(said)
    for line, begins in zip(lines, said, strict=True):
        assert line.startswith(begins)


@pytest.mark.parametrize(
    "text", ["this link's table was dropped too long ago; drop it again", "t.csv: 9 rows; at most 3 are read"]
)
def test_what_is_not_about_rows_is_one_sentence(text):
    [shown] = problems_shown(text)
    assert [part.children for part in shown.children] == [sentence(text)]


def test_columns_can_be_named_by_the_user(tmp_path, table):
    lines = table.read_text().splitlines()
    path = write(tmp_path, "\n".join(["size,D,final,guide", *lines[1:]]))
    columns = look(path, "t.csv", tell).columns
    assert mapped(columns, {}) == {"student_tokens": "D"}
    with pytest.raises(ValueError, match="choose the column of student_params, student_loss"):
        check(path, "t.csv", columns, {}, tell)
    said = {"student_params": "size", "student_loss": "final", "teacher_loss": "guide"}
    found = check(path, "t.csv", columns, said, tell)
    assert (found.runs, found.distilled) == (48, 36)
    assert found.ranges["student_params"] == (1e8, 3e9)
    assert check(path, "t.csv", columns, said | {"teacher_loss": NONE}, tell).distilled == 0
    with pytest.raises(ValueError, match="column 'none' for student_params is not in this table"):
        check(path, "t.csv", columns, {"student_params": "none"}, tell)


def test_a_column_that_was_given_to_one_is_not_taken_for_another():
    assert mapped(("N", "D", "loss"), {"teacher_loss": "loss"}) == {
        "student_params": "N",
        "student_tokens": "D",
        "teacher_loss": "loss",
    }


def test_losses_in_bits_are_refused_by_the_name_of_their_column(tmp_path):
    path = write(tmp_path, "N,D,loss_bits\n1e8,1e9,4\n")
    with pytest.raises(ValueError, match="is in bits"):
        check(path, "t.csv", ("N", "D", "loss_bits"), {"student_loss": "loss_bits"}, tell)


QUESTION = FitQuestion(
    table="key", form="peaked-tokens", rests="busbridge2025", holdout="student_loss <= 2.35", resamples="30"
)


def test_the_command_line_gives_the_same_fit(table, tmp_path, monkeypatch, capsys):
    columns = look(table, "runs.csv", tell).columns
    found = fit(table, "runs.csv", columns, QUESTION, tell)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").write_bytes(table.read_bytes())
    assert main([*shlex.split(QUESTION.command("runs.csv"))[1:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("law_file") == "law.json"
    assert found.content.pop("law_file") is None
    assert found.content == printed
    mine, theirs = json.loads(found.law or ""), json.loads((tmp_path / "law.json").read_text())
    assert mine.pop("name") == "runs"
    assert theirs.pop("name") == "law"
    assert mine.pop("sha256") != theirs.pop("sha256")  # of all, the name with it
    assert mine == theirs
    assert {"extrapolation", "errors"} <= set(found.charts)
    held = [one for one in found.charts["errors"].panels[0].series if one.kind == "hollow"]
    assert len(held[0].x) == found.content["holdout"]["runs"]
    assert not list(table.parent.glob("*.json"))  # nothing is left beside the upload


def test_what_is_not_said_is_chosen_by_the_runs_as_the_command_does(table, tmp_path):
    columns = look(table, "runs.csv", tell).columns
    found = fit(table, "runs.csv", columns, FitQuestion(resamples="0"), tell)
    choice = found.content["choice"]
    assert (choice["kind"], choice["supervised_law"]) == ("distillation", "joint")
    assert choice["form"].startswith("effective-tokens")
    [eq_8] = [one for one in choice["tried"] if one["form"] == "distillation"]
    assert eq_8["ruled_out"]  # it predicts these runs of its own best, and they do not determine it
    assert found.content["status"] == "converged"
    assert found.content["consistency_error"] < 1e-6
    shown = str(fit_shown(found))
    assert found.content["answer"] in shown
    assert choice["form_because"] in shown
    assert shlex.split(FitQuestion().command("runs.csv"))[:3] == ["distlaw", "fit", "runs.csv"]
    assert not {"--kind", "--form", "--supervised-law"} & set(shlex.split(FitQuestion().command("runs.csv")))
    alone = write(tmp_path, "\n".join(row for row in table.read_text().splitlines() if row.endswith((",", "loss"))))
    content = fit(alone, "t.csv", look(alone, "t.csv", tell).columns, FitQuestion(resamples="0"), tell).content
    assert (content["form"], content["choice"]["kind"]) == ("supervised", "supervised")


@pytest.mark.parametrize("rests", ["joint", "first"])
def test_other_laws_to_rest_on(table, rests):
    columns = look(table, "runs.csv", tell).columns
    question = FitQuestion(form="effective-tokens", rests=rests, resamples="0")
    content = fit(table, "runs.csv", columns, question, tell).content
    assert content["joint"] == (rests == "joint")
    assert content["coefficients"]["kappa"] > 1


def test_a_supervised_fit(table):
    columns = look(table, "runs.csv", tell).columns
    found = fit(table, "runs.csv", columns, FitQuestion(kind="supervised", resamples="0"), tell)
    assert found.content["form"] == "supervised"
    assert "extrapolation" not in found.charts


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resamples": "9999"}, "Resamples, for intervals: '9999' is not a whole number from 0 to 4096"),
        ({"delta": "small"}, "Huber's delta, log loss: 'small' is not a number"),
        ({"seed": "-1"}, "Seed: '-1'"),
        ({"resamples": "1"}, "resamples must be 0"),
    ],
)
def test_a_wrong_setting_is_named(change, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        _ = FitQuestion(**change).spec


def test_an_upload_is_kept_under_a_name_of_the_servers_own(table, site):
    before = set(Path(site.folder.name).iterdir())
    content = base64.b64encode(table.read_bytes()).decode()
    upload = received(site, {"name": "../../../etc/cron.d/evil.csv", "content": content})
    assert upload.name == "evil.csv"
    assert upload.path.parent == Path(site.folder.name)
    assert upload.path.stem == upload.key
    for file, says in (
        (None, "no file came"),
        ({"name": "a.exe", "content": content}, "must end in .csv"),
        ({"name": "a.csv", "content": 5}, "larger than"),
        ({"name": "a.csv", "content": "!"}, "did not arrive whole"),
        ({"name": "a.csv", "content": base64.b64encode(b"a").decode()}, "a.csv: the table has no rows"),
    ):
        with pytest.raises(ValueError, match=says):
            received(site, file)
    assert set(upload.path.parent.iterdir()) == before | {upload.path}


def full(path, content):
    """Writing to a disk that is full."""
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_and_half_an_upload_is_removed(table, site, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: full(path, text.encode()))
    content = base64.b64encode(table.read_bytes()).decode()
    before = set(Path(site.folder.name).iterdir())
    with pytest.raises(ValueError, match=r"^'runs.csv': the disk of the server is full: free some of .* or set TMPDIR"):
        received(site, {"name": "runs.csv", "content": content})
    assert set(Path(site.folder.name).iterdir()) == before
    with pytest.raises(ValueError, match=r"^law file 'a.json' cannot be kept .the disk of the server is full"):
        law_of_text("{}", "a.json")


def test_an_upload_that_is_given_up_leaves_nothing(table, site, monkeypatch):
    def give_up(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(site.readers, "begin", give_up)
    before = set(Path(site.folder.name).iterdir())
    with pytest.raises(KeyboardInterrupt):
        received(site, {"name": "runs.csv", "content": base64.b64encode(table.read_bytes()).decode()})
    assert set(Path(site.folder.name).iterdir()) == before


def test_no_place_for_uploads_is_said_in_a_line(monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert main(["serve", "--port", "8059"]) == 2
    error = capsys.readouterr().err
    assert "there is no temporary folder to keep uploads in (the disk of the server is full" in error
    assert error.count("\n") == 1


def test_work_names_its_functions_for_the_workers():
    for name in ("look", "check", "fit"):
        assert callable(getattr(fit_work, name))
