import json
import re
from dataclasses import replace

import pytest

from distlaw.labs import narrow
from distlaw.labs.lab import Bench
from distlaw.labs.narrow import narrow_data
from distlaw.labs.trials import scale
from distlaw.sweep.protocols import Run
from distlaw.train import sources
from distlaw.train.data import DataConfig
from distlaw.train.prepare import prepare


def documents(data, *splits):
    """Numbers of the documents that `text` made, in some splits."""
    found = set()
    for split in splits:
        blocks = data.split(split)
        for block in blocks.read(range(len(blocks))):
            found |= set(re.findall(r"number (\d+) ", data.tokenizer.decode(block.tolist())))
    return found


def text(number):
    """A document that says throughout which one it is; two of three are a dictionary's."""
    between = "\n" if number % 3 == 0 else "\n\n"
    return between.join(f"this is number {number} of all, line {line}" for line in range(200))


def test_the_narrow_set_is_essays_of_which_the_teacher_read_none(tmp_path, monkeypatch):
    every = [text(number) for number in range(300)]
    file = tmp_path / "all.jsonl"
    file.write_text("".join(json.dumps({"text": one}) + "\n" for one in every))
    base = scale("full").base.data
    broad = replace(base, source="jsonl", paths=(str(file),))
    whole = prepare(broad, tmp_path / "cache")
    monkeypatch.setattr(
        sources,
        "open_source",
        lambda _kind: sources.Source(description={}, fingerprint="", documents=lambda: iter(every)),
    )
    few = prepare(narrow_data("full", tmp_path, broad, whole.folder / "tokenizer.json"), tmp_path / "cache")
    trained, held_out = documents(few, "student"), documents(few, "validation")
    assert trained
    assert held_out
    assert not trained & held_out
    assert all(int(number) % 3 == 0 for number in trained | held_out)
    assert not (trained | held_out) & documents(whole, "teacher")
    assert few.tokenizer_hash == whole.tokenizer_hash


def test_the_narrow_set_of_quick_is_small_and_none_of_the_teachers(tmp_path):
    broad = replace(scale("quick").base.data, synthetic_tokens=200_000)
    few, whole = (prepare(config, tmp_path) for config in (narrow_data("quick", tmp_path, broad, tmp_path), broad))

    def blocks(data, split):
        found = data.split(split)
        return {block.tobytes() for block in found.read(range(len(found)))}

    read = blocks(whole, "teacher")
    assert not (blocks(few, "student") | blocks(few, "validation")) & read
    assert few.split("student").tokens < 20_000 < few.split("validation").tokens


@pytest.mark.slow
def test_narrow_runs_go_on_from_what_is_there(tmp_path, monkeypatch):
    from distlaw.train import loop
    from distlaw.train.config import RunConfig, StudentConfig
    from distlaw.train.losses import LossConfig

    s = scale("quick")
    data = replace(s.base.data, synthetic_tokens=100_000)
    training = replace(s.base.training, tokens=4096, validation_tokens=1024)
    teacher = Run(layers=2, tokens=4096, seed=0, split="teacher", settings="")
    model = replace(s.base.family, layers=2)
    config = RunConfig(
        data=data,
        training=replace(training, tokens=60 * 1024),  # a teacher knows more than the frequencies of tokens
        students=(StudentConfig(name="t", model=model, loss=LossConfig(mixing=0.0)),),
    )
    loop.run(config, tmp_path / "teacher", cache=tmp_path / "cache")
    few = replace(s, base=replace(s.base, training=training), seeds=2)
    monkeypatch.setattr(narrow, "scale", lambda _preset: few)
    monkeypatch.setattr(narrow, "narrow_data", lambda *_args: data)
    bench = Bench(
        preset="quick", out=tmp_path, cache=tmp_path / "cache", models={teacher.id: tmp_path / "teacher"}, seed=5
    )
    found = narrow.narrow(bench, params=1e3, teacher=teacher, epochs=(1,))
    assert found.distilled[1].keys() == found.supervised[1].keys() == {5, 6}
    assert found.distilled != found.supervised
    stamps = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("record.json"))]
    assert narrow.narrow(bench, params=1e3, teacher=teacher, epochs=(1,)) == found
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("record.json"))] == stamps


def test_a_stopped_run_stops_the_lab(tmp_path, monkeypatch):
    from distlaw.train import loop

    s = scale("quick")
    teacher = Run(layers=1, tokens=1024, seed=0, split="teacher", settings="")
    few = replace(s, base=replace(s.base, data=DataConfig(source="synthetic", vocab_size=256, context=64)))
    monkeypatch.setattr(narrow, "scale", lambda _preset: few)
    monkeypatch.setattr(narrow, "narrow_data", lambda *_args: replace(few.base.data, synthetic_tokens=20_000))
    monkeypatch.setattr(loop, "run", lambda *_args, **_more: loop.Outcome(finished=False, step=1, notes=()))
    bench = Bench(preset="quick", out=tmp_path, cache=tmp_path, models={teacher.id: tmp_path})
    with pytest.raises(KeyboardInterrupt):
        narrow.narrow(bench, params=1e3, teacher=teacher, epochs=(1,))
