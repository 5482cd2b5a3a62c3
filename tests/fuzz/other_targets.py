"""Fuzzed words of the command line, addresses of the page, folders of studies, and teachers."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from urllib.parse import urlencode

from tests.fuzz import hostile, mutate, samples
from tests.fuzz.harness import Case, Target, command, in_command

_COMMANDS: dict[str, list[str]] = {
    "plan": [
        "--student-params",
        "1B",
        "--compute",
        "1e21",
        "--gpu-hours",
        "5000",
        "--dollars",
        "1e5",
        "--student-tokens",
        "20B",
        "--target-loss",
        "2.2",
        "--accelerator",
        "h100",
        "--utilisation",
        "0.4",
        "--price-per-hour",
        "2",
        "--peak-flops",
        "1e15",
        "--watts",
        "700",
        "--students",
        "2",
        "--cached-fraction",
        "0.5",
        "--serving-tokens",
        "1e12",
        "--max-student-tokens",
        "1e13",
        "--max-teacher-params",
        "1e11",
        "--min-teacher-params",
        "1e8",
        "--max-teacher-tokens",
        "1e13",
        "--unique-tokens",
        "20B",
        "--context",
        "4096",
        "--vocabulary",
        "32768",
        "--law",
        "busbridge2025",
        "--write-scenario",
        "best-case",
    ],
    "predict": [
        "--student-params",
        "1B",
        "--student-tokens",
        "20B",
        "--teacher-loss",
        "2.1",
        "--teacher-params",
        "7B",
        "--teacher-tokens",
        "1T",
        "--teacher-bits-per-byte",
        "0.7",
        "--bytes-per-token",
        "4",
        "--law",
        "busbridge2025",
    ],
    "crossover": [
        "--student-params",
        "1B",
        "--target-loss",
        "2.2",
        "--margin",
        "0.01",
        "--law",
        "busbridge2025",
        "--students",
        "2",
    ],
    "flops": [
        "--layers",
        "14",
        "--student-params",
        "546M",
        "--tokens",
        "20B",
        "--context",
        "4096",
        "--vocabulary",
        "512",
    ],
    "teachers": [
        "TEACHERS",
        "--student-params",
        "1B",
        "--compute",
        "3e20",
        "--scenario",
        "best-case",
        "--bytes-per-token",
        "4",
    ],
    "check": ["RUNS", "--law", "busbridge2025"],
    "fit": [
        "RUNS",
        "--kind",
        "supervised",
        "--form",
        "supervised",
        "--holdout",
        "student_loss <= 2.3",
        "--loss",
        "huber",
        "--delta",
        "1e-3",
        "--fix",
        "gamma=1",
        "--below",
        "1",
        "--bootstrap",
        "2",
        "--clusters",
        "runs",
        "--intervals",
        "percentile",
        "--starts",
        "4",
        "--seed",
        "0",
        "--name",
        "x",
        "--data",
        "y",
        "--tie",
        "alpha=beta",
    ],
    "isoflop": ["RUNS", "--kind", "supervised", "--tolerance", "0.1", "--seed", "0"],
    "suggest": [
        "RUNS",
        "--candidates",
        "RUNS",
        "--at",
        "student_params=7B student_tokens=1T",
        "--batch",
        "1",
        "--budget",
        "1e21",
        "--form",
        "supervised",
        "--starts",
        "4",
        "--seed",
        "0",
    ],
    "laws": ["busbridge2025"],
    "mup-check": ["--parametrisation", "mup", "--seed", "0"],
    "study": ["plan", "nano", "--workers", "2", "--accelerator", "h100"],
    "report": ["figure", "4", "--out", "OUT", "--student-params", "1B", "--law", "busbridge2025"],
}
_ALWAYS = {
    "crossover": {"--student-params"},
    "fit": {"--starts", "--bootstrap"},
    "suggest": {"--candidates", "--starts"},
}
_SIZES = (
    "0",
    "1",
    "7",
    "-1",
    "1B",
    "1e-9",
    "1e40",
    "1e41",
    "1e-400",
    "1e400",
    "1e15",
    "1e25",
    "3.5",
    "0.01",
    "12",
    "1,000",
    "nan",
    "inf",
)
_EXPRESSIONS = (
    "student_loss <= 2.3",
    "student_loss",
    "<= 2",
    "student_loss <= nan",
    "student_loss <= 1e400",
    "a == b",
    "N > 1B",
    "student_loss <= 2.3 and student_params > 1B",
    "student_params=1B",
    "student_params=1B student_tokens=1T teacher_loss=2",
    "student_params",
    "=",
    "gamma=",
    "=1",
    "gamma=nan",
    "gamma=inf",
    "gamma=-1",
    "gamma=0",
    "gamma=1e308",
    "E=1e-300",
    "zeta=1",
    "alpha=beta",
    "alpha=alpha",
    "beta=alpha",
    "0,1",
    "1B,2B,",
    ",",
    "1B,-1",
    "student_params>=0",
    "().__class__",
    "a" * 5000,
)


class Options(Target):
    """Words of the command line."""

    name, cost = "options", 2.0

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "runs.csv").write_bytes(samples.table(samples.runs(distilled=False), ".csv"))
        (folder / "teachers.csv").write_bytes(samples.table(samples.teachers(), ".csv"))
        self._files = {
            "RUNS": str(folder / "runs.csv"),
            "TEACHERS": str(folder / "teachers.csv"),
            "OUT": str(folder / "out.csv"),
        }

    def case(self, rng: Random, folder: Path) -> Case:
        name = rng.choice(list(_COMMANDS))
        words = [self._files.get(word, word) for word in _COMMANDS[name]]
        positional = list(words[: self._first_option(words)])
        options = [words[i : i + 2] for i in range(len(positional), len(words), 2)]
        kept = [pair for pair in options if pair[0] in _ALWAYS.get(name, set()) or rng.random() < 0.5]
        if name == "plan" and rng.random() < 0.8:  # one budget, so that the rest matters
            budgets = {"--compute", "--gpu-hours", "--dollars", "--student-tokens", "--target-loss"}
            kept = [pair for pair in kept if pair[0] not in budgets] + [
                rng.choice([p for p in options if p[0] in budgets])
            ]
            kept += [pair for pair in options[:1] if pair not in kept]
        for _ in range(rng.choice((0, 1, 1, 2))):
            if kept:
                pair = rng.randrange(len(kept))
                kept[pair] = [kept[pair][0], self._word(rng)]
        if positional and rng.random() < 0.1:
            positional[rng.randrange(len(positional))] = self._word(rng)
        flags = [
            word
            for word, share in (
                ("--json", 0.3),
                ("--shared-logits", 0.03),
                ("--consistency", 0.03),
                ("--nothing", 0.02),
            )
            if rng.random() < share
        ]
        if name in ("fit", "compare", "suggest"):
            kept = [
                pair
                for pair in kept
                if pair[0] not in ("--starts", "--bootstrap") or len(pair[1]) < 3 or not pair[1].isdigit()
            ]
            kept += [["--starts", "4"], ["--bootstrap", "2"]] if name == "fit" else [["--starts", "4"]]
        every = [name, *positional, *(word for pair in kept for word in pair), *flags]
        if rng.random() < 0.05:
            at = rng.randrange(len(every))
            every = every[:at] + rng.choice(([], [self._word(rng)], ["--"], ["-"], ["--help"])) + every[at + 1 :]
        return command(every)

    def _first_option(self, words: list[str]) -> int:
        return next((i for i, word in enumerate(words) if word.startswith("--")), len(words))

    def _word(self, rng: Random) -> str:
        found = rng.choice(rng.choice((_SIZES, _SIZES, _SIZES, _SIZES, hostile.TEXTS, _EXPRESSIONS)))
        return found.replace("\x00", "").replace("\ud800", "\udcff")[:50_000]


class Addresses(Target):
    """Queries of the page's addresses, and what its questions make of them."""

    name, cost = "page-addresses", 1.5

    def case(self, rng: Random, folder: Path) -> Case:
        from distlaw.apps.web.fit_question import FitQuestion
        from distlaw.apps.web.law_question import LawQuestion
        from distlaw.apps.web.plan_question import PlanQuestion
        from distlaw.apps.web.study_question import StudyQuestion

        kind = rng.choice((PlanQuestion, PlanQuestion, FitQuestion, LawQuestion, StudyQuestion))
        names = [name.replace("_", "-") for name in kind.names()]
        pairs = [(rng.choice(names), self._text(rng)) for _ in range(rng.choice((1, 2, 3, 20)))]
        query = "?" + urlencode(pairs, errors="surrogatepass")
        if rng.random() < 0.3:
            query = mutate.raw(rng, query.encode()).decode("utf-8", "replace")
        return in_command(lambda: _asked(kind, query), f"{kind.__name__} {query!r}")

    def _text(self, rng: Random) -> str:
        choices = (
            "yes",
            "best-case",
            "flops",
            "gpu-hours",
            "dollars",
            "tokens",
            "loss",
            "supervised",
            "busbridge2025",
            "h100",
        )
        teacher = ",".join(rng.choice((*_SIZES, "", '"', "name")) for _ in range(rng.choice((1, 4, 9))))
        return rng.choice((rng.choice(_SIZES), rng.choice(choices), rng.choice(hostile.TEXTS)[:300], teacher))


def _asked(kind: type, query: str) -> None:
    """What a tab computes before anything is drawn."""
    from distlaw.apps.web import plan_answer
    from distlaw.apps.web.law_question import view
    from distlaw.apps.web.laws import Laws

    question, _ = kind.from_query(query)
    again, _ = kind.from_query(question.to_query())
    assert again == question or len(question.to_query()) > 8000 or kind.__name__ == "PlanQuestion"
    if kind.__name__ == "StudyQuestion":
        for name in ("least_params", "most_params", "least_tokens", "most_tokens"):
            question.limit(name, 1.0)
    elif kind.__name__ == "FitQuestion":
        assert question.spec
        assert question.command("table.csv")
        assert question.columns is not None
    else:
        law = Laws().find(question.law, {})
        if kind.__name__ == "LawQuestion":
            view(question, law)
            return
        assert question.command("x")
        assert question.python("x")
        assert isinstance(question.teachers, list)
        found = plan_answer.answer(question, law)
        assert list(plan_answer.rows(found))


class StudyFolders(Target):
    """Folders of studies whose files were damaged."""

    name, cost = "study-folders", 1.0

    def prepare(self, folder: Path) -> None:
        from tests.sweep.simulate import SMALL, Simulated

        from distlaw.sweep.drive import Driver, begin
        from distlaw.sweep.study import study_of

        study = study_of(SMALL, "small")
        self._sound = folder / "sound"
        executor = Simulated(outcome=lambda task: ValueError("no") if task.job.runs[0].seed == 1 else None)
        Driver(study=study, store=begin(study, str(self._sound)), executor=executor, cache=folder).run(study.runs)
        jobs = json.loads((self._sound / "index.json").read_text(encoding="utf-8"))["jobs"]
        lease = {
            "owner": "x:1",
            "place": "elsewhere",
            "pid": 1,
            "born": "5",
            "beat": 3,
            "step": 3,
            "steps": 9,
            "tokens_per_second": 8.0,
        }
        (self._sound / "leases").mkdir(exist_ok=True)
        (self._sound / "leases" / f"{jobs[0]['id']}.0001").write_text(json.dumps(lease))
        choices = {
            "rounds": [{"done": 1, "flops": 1e9, "prediction": 2.0, "deviation": 0.1, "chosen": 2}],
            "reason": "known",
        }
        (self._sound / "choices.json").write_text(json.dumps({**choices, "flops": 1e9, "all_flops": 2e9}))
        (self._sound / "records" / next((self._sound / "records").iterdir()).name).touch()

    def case(self, rng: Random, folder: Path) -> Case:
        study = folder / "study"
        shutil.copytree(self._sound, study)
        files = [file for file in sorted(study.rglob("*")) if file.is_file()]
        if rng.random() < 0.5:  # one of each kind rather than one of many
            files = list({file.parent: file for file in files if file.parent != study}.values()) + list(
                study.glob("*.json")
            )
        for file in rng.sample(files, rng.choice((1, 1, 2))):
            data = file.read_bytes()
            file.unlink()
            try:
                new = mutate.sealed(rng, mutate.document(rng, json.loads(data), hostile.json_text))
            except ValueError:
                new = mutate.raw(rng, data)
            mutate.place(rng, file, new)
        words = rng.choice(
            (
                ["study", "status", str(study)],
                ["study", "status", str(study), "--json"],
                ["study", "table", str(study), "--out", str(folder / "table.csv")],
                ["study", "stop", str(study)],
            )
        )
        return command(words, "study")


class TeacherFolders(Target):
    """Folders of teachers whose files were damaged."""

    name, cost = "teacher-folders", 0.05

    def prepare(self, folder: Path) -> None:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        from distlaw.train.model import ModelConfig, build_model
        from distlaw.train.tokenizer import export_tokenizer

        self._sound = folder / "sound"
        self._sound.mkdir(parents=True, exist_ok=True)
        model = build_model(ModelConfig(layers=1, width=16, head_size=8), vocab_size=300, context=16, seed=0)
        model.save_pretrained(self._sound)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, "<end>"])}, []))
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        export_tokenizer(tokenizer, self._sound, "<end>")

    def case(self, rng: Random, folder: Path) -> Case:
        from distlaw.train.teacher import open_teacher

        teacher = folder / "teacher"
        shutil.copytree(self._sound, teacher)
        file = rng.choice(sorted(teacher.iterdir()))
        data = file.read_bytes()
        file.unlink()
        if file.suffix == ".json":
            mutate.place(rng, file, mutate.document(rng, json.loads(data), hostile.json_text))
        else:
            head = data[:600]
            mutate.place(rng, file, mutate.raw(rng, head) + data[600:] if rng.random() < 0.7 else mutate.raw(rng, data))
        return in_command(lambda: open_teacher(teacher), f"open_teacher of a damaged {file.name}", "teacher")


TARGETS: Sequence[type[Target]] = (Options, Addresses, StudyFolders, TeacherFolders)
