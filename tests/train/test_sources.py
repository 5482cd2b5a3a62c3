import json
import os
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distlaw.train.sources import open_source

DOCUMENTS = ["first\n", "zweites ü\r\n", "第三", "a<|endoftext|>b"]


def read(kind, *paths, **options):
    return list(open_source(kind, [str(path) for path in paths], **options).documents())


def refusal(kind, *paths, **options):
    with pytest.raises(ValueError, match=r".") as caught:
        read(kind, *paths, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def parquet(path, documents, field="text"):
    pq.write_table(pa.table({field: documents, "other": list(range(len(documents)))}), path, row_group_size=2)
    return path


def test_the_standard_library_is_read_without_what_was_installed():
    source = open_source("stdlib")
    texts = list(source.documents())
    root = Path(sysconfig.get_path("stdlib"))
    assert (root / "argparse.py").read_text(encoding="utf-8") in texts
    assert source.description["python"].startswith("3.")
    assert source.description["files"] >= len(texts) > 300
    assert not any(Path(pytest.__file__).read_text() == text for text in texts)
    assert texts == list(source.documents())
    assert open_source("stdlib").fingerprint == source.fingerprint
    # Any beginning of it is a fair sample: not one package after another.
    modules = [file.read_text(encoding="utf-8") for file in sorted(root.glob("*.py"))]
    places = [texts.index(text) for text in modules if text in texts]
    assert 0.4 < np.mean(np.diff(places) > 0) < 0.6


def test_text_files_are_documents_verbatim(tmp_path):
    for number, text in enumerate(DOCUMENTS):
        (tmp_path / f"{number}.txt").write_bytes(text.encode())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "4.txt").write_text("fifth")
    (tmp_path / "5.md").write_text("sixth")
    assert read("text", tmp_path) == [*DOCUMENTS, "fifth"]
    assert read("text", tmp_path / "*.md") == ["sixth"]
    assert read("text", tmp_path / "**" / "4.*") == ["fifth"]
    assert read("text", tmp_path / "2.txt", tmp_path / "[0-2].txt") == [DOCUMENTS[2], *DOCUMENTS[:2]]
    assert open_source("text", [str(tmp_path)]).description == {
        "files": 5,
        "bytes": sum(len(text.encode()) for text in DOCUMENTS) + 5,
    }


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
def test_text_files_are_cut_at_separators(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("distlaw.train.sources._CHUNK", chunk)
    (tmp_path / "t").write_text("one\n---\ntwö\n---\n---\nfour")
    assert read("text", tmp_path / "t", separator="\n---\n") == ["one", "twö", "---\nfour"]
    assert read("text", tmp_path / "t", separator="---") == ["one\n", "\ntwö\n", "\n", "\nfour"]


def test_every_format_gives_the_same_documents(tmp_path):
    jsonl(tmp_path / "a.jsonl", [{"body": text, "id": 1} for text in DOCUMENTS])
    (tmp_path / "a.jsonl").write_text((tmp_path / "a.jsonl").read_text().replace("\n", "\n\n", 1))
    parquet(tmp_path / "b.parquet", DOCUMENTS, "body")
    assert read("jsonl", tmp_path, field="body") == DOCUMENTS
    assert read("parquet", tmp_path, field="body") == DOCUMENTS


def test_datasets_reads_a_local_folder(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    (tmp_path / "set").mkdir()
    jsonl(tmp_path / "set" / "train.jsonl", [{"text": text} for text in DOCUMENTS])
    source = open_source("datasets", [str(tmp_path / "set")])
    assert list(source.documents()) == list(source.documents()) == DOCUMENTS
    assert source.description == {"rows": 4}
    assert open_source("datasets", [str(tmp_path / "set")]).fingerprint == source.fingerprint
    assert "has no column 'body', only text" in refusal("datasets", tmp_path / "set", field="body")
    assert f"datasets cannot load '{tmp_path / 'none'}'" in refusal("datasets", tmp_path / "none")
    jsonl(tmp_path / "set" / "train.jsonl", [{"text": text} for text in DOCUMENTS[:3]])
    assert open_source("datasets", [str(tmp_path / "set")]).fingerprint != source.fingerprint


def test_the_fingerprint_goes_with_names_sizes_and_times(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    seen = {open_source("text", [str(tmp_path)]).fingerprint}
    assert open_source("text", [str(tmp_path)]).fingerprint in seen
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    seen.add(open_source("text", [str(tmp_path)]).fingerprint)
    (tmp_path / "a.txt").write_text("longer")
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    seen.add(open_source("text", [str(tmp_path)]).fingerprint)
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    seen.add(open_source("text", [str(tmp_path)]).fingerprint)
    assert len(seen) == 4


def test_what_is_not_there_is_named(tmp_path):
    missing = refusal("text", tmp_path / "none.txt")
    assert f"'{tmp_path / 'none.txt'}' in paths: no such file" in missing
    assert "in paths: no such file" in refusal("jsonl", tmp_path / "*.jsonl")
    assert f"the folder '{tmp_path}' in paths holds no *.parquet" in refusal("parquet", tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "cut', "line 2 is not JSON"),
        (b"\xff", "line 2 is not JSON"),
        (b"[" * 100_000, "line 2 is not JSON"),
        (b"[]", "line 2 has no field 'text', only list"),
        (b'{"body": "x"}', "line 2 has no field 'text', only body"),
        (b"{}", "line 2 has no field 'text', only no keys"),
        (b'{"text": null}', "line 2: 'text' must be text, got NoneType"),
        (b'{"text": 3}', "line 2: 'text' must be text, got int"),
        (b'{"text": "\\ud800"}', "line 2: 'text' holds half a surrogate pair"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "fine"}\n' + line + b"\n")
    assert refusal("jsonl", tmp_path / "t.jsonl").startswith(f"'{tmp_path / 't.jsonl'}' {message}")


def test_bad_parquet_is_named(tmp_path):
    path = parquet(tmp_path / "t.parquet", DOCUMENTS)
    assert refusal("parquet", path, field="body") == f"'{path}' has no column 'body', only text, other"
    parquet(path, ["fine", None, "fine"])
    assert refusal("parquet", path) == f"'{path}' row 2: 'text' must be text, got NoneType"
    parquet(path, DOCUMENTS)
    for damaged in (path.read_bytes()[:-9], b"PAR1" * 3, b""):
        path.write_bytes(damaged)
        assert refusal("parquet", path).startswith(f"'{path}' cannot be read")


def test_bad_text_is_named(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"fine \xff")
    for separator in ("", "\n"):
        assert (
            refusal("text", tmp_path, separator=separator)
            == f"'{tmp_path / 't.txt'}' is not UTF-8 text (invalid start byte)"
        )


def test_debian_is_prose_and_entries_in_an_order_of_their_own(tmp_path, monkeypatch):
    import gzip

    essays, dictionary = tmp_path / "html", tmp_path / "gcide.dict.dz"
    essays.mkdir()
    page = "<html><head><title>T</title></head><body><p>One &amp; <i>two</i></p><script>x()</script><p>three</p></body>"
    (essays / "a.html").write_text(page)
    entries = [f"word{i}\n   meaning {i} of many, {'x' * 200}" for i in range(200)]
    dictionary.write_bytes(gzip.compress("\n\n".join(entries).encode()))
    monkeypatch.setattr("distlaw.train.sources._ESSAYS", essays)
    monkeypatch.setattr("distlaw.train.sources._DICTIONARY", dictionary)
    found = open_source("debian")
    documents = list(found.documents())
    assert "One & two\nthree" in documents
    assert sorted("\n\n".join(d for d in documents if d.startswith("word")).split("\n\n")) == sorted(entries)
    assert len(documents) == 4
    assert list(found.documents()) == documents
    monkeypatch.setattr("distlaw.train.sources._ESSAYS", tmp_path / "none")
    with pytest.raises(ValueError, match="apt-get install anarchism dict-gcide"):
        open_source("debian")
