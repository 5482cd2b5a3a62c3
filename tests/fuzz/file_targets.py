"""Fuzzed files: what a user hands to the command."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import hostile, mutate, samples
from tests.fuzz.harness import Case, Target, command

from distlaw.reading import one_line

STUDENT = ["--student-params", "1B"]
POINT = [*STUDENT, "--student-tokens", "20B"]


class LawFiles(Target):
    """Law files, in the commands that read one."""

    name, cost = "law-files", 1.5

    def case(self, rng: Random, folder: Path) -> Case:
        law = mutate.place(
            rng,
            folder / "law.json",
            mutate.sealed(rng, mutate.document(rng, rng.choice(samples.laws()), hostile.json_text)),
        )
        words = rng.choice(
            (
                ["plan", *STUDENT, "--compute", "1e21", "--law", str(law), "--json"]
                if rng.random() < 0.2
                else ["laws", str(law)],
                ["predict", *POINT, "--law", str(law)],
                ["predict", *POINT, "--teacher-loss", "2.2", "--law", str(law), "--json"],
                ["laws", str(law)],
                ["laws", str(law), "--json"],
            )
        )
        return command(words, "law.json", one_line(law.stem, 1000)[:30])


class RunTables(Target):
    """Tables of runs."""

    name = "run-tables"

    def case(self, rng: Random, folder: Path) -> Case:
        file = self._table(rng, folder, samples.runs(distilled=rng.random() < 0.5))
        words = rng.choice(
            (
                ["check", str(file)],
                ["check", str(file), "--json"],
                ["fit", str(file), "--kind", "supervised", "--bootstrap", "0", "--starts", "4", "--fix", "gamma=1"],
            )
        )
        return command(words, "table", "runs", one_line(file.stem, 1000)[:30])

    def _table(self, rng: Random, folder: Path, rows: list[dict[str, Any]]) -> Path:
        suffix = rng.choice((".csv", ".csv", ".jsonl", ".parquet"))
        return mutate.place(rng, folder / f"table{suffix}", _changed_table(rng, rows, suffix))


class TeacherTables(RunTables):
    """Tables of teachers."""

    name = "teacher-tables"

    def case(self, rng: Random, folder: Path) -> Case:
        file = self._table(rng, folder, samples.teachers())
        words = ["teachers", str(file), *STUDENT, "--compute", "3e20", "--bytes-per-token", "4"]
        return command([*words, *rng.choice(([], ["--json"]))], "table", "teacher '", one_line(file.stem, 1000)[:30])


def _changed_table(rng: Random, rows: list[dict[str, Any]], suffix: str) -> bytes:
    """Cells and names that were changed, or the bytes of the table."""
    rows = [dict(row) for row in rows]
    if rng.random() < 0.3:
        return mutate.raw(rng, samples.table(rows, suffix))
    for _ in range(rng.choice((1, 1, 2, 3))):
        row = rng.choice(rows)
        name = rng.choice(list(row) or ["x"])
        way = rng.random()
        if way < 0.7:
            row[name] = _cell(rng, suffix)
        elif way < 0.8:
            for each in rows:
                each.pop(name, None)
        elif way < 0.9:
            new = rng.choice((name.upper(), f" {name} ", "loss", "N", "tokens", "bpb", rng.choice(hostile.TEXTS)))
            for each in rows:
                if name in each:
                    each[new] = each.pop(name)
        else:
            rows = rng.choice((rows[:1], rows[:3], rows + rows, [rows[0]] * 3, rows[::-1]))
            rows = [dict(each) for each in rows]
    try:
        if suffix == ".jsonl":
            return "".join(hostile.json_text(row) + "\n" for row in rows).encode("utf-8", "surrogatepass")
        return samples.table(rows, suffix)
    except Exception:  # no Parquet file can hold that
        return mutate.raw(rng, samples.table(samples.teachers(), suffix))


def _cell(rng: Random, suffix: str) -> Any:
    value = hostile.value(rng)
    if suffix == ".csv":
        text = value.json if isinstance(value, hostile.Raw) else str(value)
        return text.encode("utf-8", "replace").decode()
    if suffix == ".parquet":
        return None if isinstance(value, hostile.Raw) else value
    return value


class ModelConfigs(Target):
    """Hugging Face configs."""

    name = "model-configs"

    def case(self, rng: Random, folder: Path) -> Case:
        data = mutate.document(rng, rng.choice(samples.MODELS), hostile.json_text)
        file = mutate.place(rng, folder / "config.json", data)
        words = rng.choice(
            (
                ["flops", "--student-params", str(file), "--tokens", "20B", "--context", "32768"],
                ["flops", "--student-params", str(file), "--json"],
                ["predict", "--student-params", str(file), "--student-tokens", "20B"],
            )
        )
        return command(words, "config", one_line(file.stem, 1000)[:30])


class RunConfigs(Target):
    """Configs of runs, up to where training would begin."""

    name, cost = "run-configs", 1.5

    def case(self, rng: Random, folder: Path) -> Case:
        distill = rng.random() < 0.6
        content = samples.DISTILL_CONFIG if distill else samples.RUN_CONFIG
        file = mutate.place(rng, folder / "run.toml", mutate.document(rng, content, hostile.toml_text))
        changes = [word for _ in range(rng.choice((0, 0, 1, 2))) for word in ("--set", _change(rng, content))]
        words = ["distill" if distill else "train", str(file), "--out", str(folder / "out"), *changes]
        case = command(words, "run", one_line(file.stem, 1000)[:30], "--set")
        return Case(call=lambda: self._call(case), shown=case.shown, names=case.names)

    def _call(self, case: Case) -> int:
        from unittest.mock import patch

        with patch("distlaw.train.loop.run", _not_trained):
            return case.call()


def _not_trained(config: Any, out: Path, **_: Any) -> Any:
    """What a run does with its config before it reads data, and nothing more."""
    from distlaw.train.config import read_resolved, write_config

    assert len(config.id) == 16
    for student in config.students:
        student.model.architecture(vocab_size=config.data.vocab_size, context=config.data.context)
        student.loss.mixing_at(0.5)
    config.training.rate_at(config.training.steps // 2)
    write_config(config, out.with_name("resolved.toml"))
    assert read_resolved(out.with_name("resolved.toml")).id == config.id
    raise ValueError("run: would train")


def _change(rng: Random, content: dict[str, Any]) -> str:
    """A word after --set."""
    way = rng.random()
    if way < 0.1:
        return rng.choice(hostile.TEXTS)[:1000].replace("\x00", "")
    path = rng.choice([path for path in mutate.paths(content) if path])
    key = ".".join(map(str, path)) if way < 0.9 else ".".join(["a"] * rng.choice((3, 3000)))
    value = hostile.value(rng)
    text = hostile.toml_text(value, top=False) if rng.random() < 0.7 else str(value)
    return (
        f"{key}={text}".replace("\x00", "").encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        if _sayable(text)
        else f"{key}=1"
    )


def _sayable(text: str) -> bool:
    """Whether a shell could hand it over."""
    return len(text) < 100_000 and not any(0xD800 <= ord(c) < 0xDC80 or 0xDD00 <= ord(c) < 0xE000 for c in text)


class StudyFiles(Target):
    """Files of studies."""

    name, cost = "study-files", 1.5

    def case(self, rng: Random, folder: Path) -> Case:
        content = {**samples.STUDY, **({"adaptive": samples.ADAPTIVE} if rng.random() < 0.3 else {})}
        file = mutate.place(rng, folder / "study.toml", mutate.document(rng, content, hostile.toml_text))
        return command(
            ["study", "plan", str(file), "--workers", "2", *rng.choice(([], ["--json"]))],
            "study.toml",
            one_line(file.stem, 1000)[:30],
        )


class TargetManifests(Target):
    """Manifests of stored targets."""

    name = "target-manifests"

    def case(self, rng: Random, folder: Path) -> Case:
        kind = rng.choice(({}, {"kind": "top-k", "top_k": 4}, {"kind": "sampled", "samples": 2, "seed": 0}))
        data = mutate.document(rng, {**samples.MANIFEST, **kind}, hostile.json_text)
        mutate.place(rng, folder / "manifest.json", data)
        return command(["targets", "inspect", str(folder), *rng.choice(([], ["--verify"], ["--json"]))], folder.name)


class LabFindings(Target):
    """Findings of labs."""

    name, cost = "lab-findings", 0.5

    def prepare(self, folder: Path) -> None:
        files = sorted((Path(__file__).parents[2] / "studies" / "labs").glob("*/findings.json"))
        self._sound = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        self._sound = [content for content in self._sound if len(json.dumps(content)) < 40_000][:4]

    def case(self, rng: Random, folder: Path) -> Case:
        content = dict(rng.choice(self._sound))
        content["charts"] = content["charts"][:1]
        data = mutate.sealed(rng, mutate.document(rng, content, hostile.json_text))
        mutate.place(rng, folder / "findings.json", data)
        return command(["report", "labs", str(folder), "--out", str(folder / "x.html")], folder.name)


class Records(Target):
    """Records of runs, collected into a table."""

    name, cost = "run-records", 0.5

    def case(self, rng: Random, folder: Path) -> Case:
        rows = samples.runs(distilled=True)[:3]
        for number, row in enumerate(rows):
            (folder / "runs" / str(number)).mkdir(parents=True)
            data = hostile.json_text({"run": "x", "name": "model", **row}).encode()
            if number == 1:
                data = mutate.document(rng, {"run": "x", "name": "model", **row}, hostile.json_text)
            mutate.place(rng, folder / "runs" / str(number) / "record.json", data)
        return command(["runs", "collect", str(folder / "runs"), "--out", str(folder / "table.csv")], "record", "runs")


TARGETS: Sequence[type[Target]] = (
    LawFiles,
    RunTables,
    TeacherTables,
    ModelConfigs,
    RunConfigs,
    StudyFiles,
    TargetManifests,
    LabFindings,
    Records,
)
