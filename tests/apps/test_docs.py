"""The documents say what the program does."""

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

from distlaw.apps.cli import app, main
from distlaw.labs.registry import NAMES
from distlaw.laws import published
from distlaw.report.paper import FIGURES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("studies/*/README.md"))]

COMMANDS = {
    "predict": "--student-params 1B --student-tokens 200B --teacher-loss 2.1",
    "plan": "--student-params 1B --compute 1e21 --accelerator h100",
    "teachers": "{teachers} --student-params 1B --compute 1e21",
    "crossover": "--student-params 1B --target-loss 2.3",
    "fit": "{law_runs} --kind supervised --holdout 'student_loss<=2.35' --bootstrap 64",
    "compare": "{law_runs} --kind supervised --starts 4 --bootstrap 8 --fix gamma=1",
    "isoflop": "{profiles}",
    "flops": "--layers 14 --tokens 1B --accelerator h100",
    "laws": "",
    "check": "{runs}",
}


def keys(value, skip=("coefficients", "intervals", "fitted_range", "scenarios", "not_identified", "fixed", "tied")):
    """All keys of nested objects, leaving out those that are names of things."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            if key == "scenarios":
                yield from keys(list(item.values()))
            elif key not in skip:
                yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_json_key_is_documented(command, capsys, tmp_path):
    teachers, runs = tmp_path / "teachers.csv", tmp_path / "runs.csv"
    teachers.write_text("name,params,loss\nours,3B,2.05\n")
    runs.write_text("N_S,D_S,L_T,L_S\n1e9,2e10,2.1,2.4\n")
    law_runs = tmp_path / "law_runs.csv"
    law = published("besiroglu2024").supervised
    sizes = [(n, d) for n in (1e8, 3e8, 1e9, 3e9) for d in (2e9, 1e10, 5e10, 2e11)]
    law_runs.write_text("N,D,L\n" + "\n".join(f"{n},{d},{law.loss(n, d)}" for n, d in sizes))
    profiles = tmp_path / "profiles.csv"
    spent = [(n * f, c / (6 * n * f)) for c, n in ((1e19, 3e8), (1e20, 1e9)) for f in (0.25, 0.5, 1, 2, 4)]
    profiles.write_text("N,D,L\n" + "\n".join(f"{n},{d},{law.loss(n, d)}" for n, d in spent))
    files = {"teachers": teachers, "runs": runs, "law_runs": law_runs, "profiles": profiles}
    words = shlex.split(COMMANDS[command].format(**files))
    assert main([command, *words, "--json"]) == 0
    printed = set(keys(json.loads(capsys.readouterr().out)))
    text = (ROOT / "docs" / "command-line.md").read_text()
    section = re.search(rf"^## `distlaw {command}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    documented = set(re.findall(r"`([a-z_0-9]+)`", section[0]))
    assert printed - documented == set()
    assert len(printed) > 4


def blocks(page, language):
    """Fenced blocks of a language, with what stands before each."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text[: match.start()].rstrip(), match[1]) for match in found]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_in_the_documents_runs(page, tmp_path, monkeypatch):
    """Page by page, its blocks one after the other; `<!-- not run: why -->` before a block leaves it out."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "docs"}
    for before, block in blocks(page, "python"):
        if not re.search(r"<!-- not run: .+ -->$", before):
            exec(compile(block, page.name, "exec"), names)


def test_the_python_of_the_readme_says_what_the_command_says(capsys):
    [(_, block)] = blocks(ROOT / "README.md", "python")
    exec(compile(block, "README.md", "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out.startswith("Distill: if the teacher exists and you pay for its logits")


def commands_of(page):
    """Commands in the page's fenced blocks and in its lines, without what a shell does with them."""
    fenced = "\n".join(block for _, block in blocks(page, "(?:bash|sh)?")).replace("\\\n", " ")
    inline = "\n".join(re.findall(r"`(distlaw [^`]+)`", re.sub(r"\s*\n\s*", " ", page.read_text())))
    for line in f"{fenced}\n{inline}".splitlines():
        if found := re.search(r"(?:^\$ |-- |-m |^)distlaw (?=[a-z-])(.*)", line.strip()):
            words = shlex.split(re.sub(r" [|>&] .*| 2>.*|\$\(.*\)", " ", found[1]), comments=True)
            yield [word.strip("[],") for word in words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_exist_with_their_options(page):
    wrong = []
    for words in commands_of(page):
        chain, apps, rest = app.parse_commands(words)
        arguments = () if apps[-1].default_command is None else apps[-1].assemble_argument_collection()
        known = {name for argument in arguments for name in argument.names}
        given = [word.split("=")[0] for word in rest if word.startswith("--")]
        if not chain or not known.issuperset({*given} - {"--help", "--version"}):
            wrong.append(" ".join(words))
    assert wrong == []


def test_commands_of_the_documents_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Say `distlaw plan\n  --student-params 1B` or:\n\n```\n$ distlaw fit a.csv \\\n  --out b.json  # a law\n"
        "torchrun -m distlaw train x.toml | tee log\ndistlaw\n```\n"
    )
    assert list(commands_of(page)) == [
        ["fit", "a.csv", "--out", "b.json"],
        ["train", "x.toml"],
        ["plan", "--student-params", "1B"],
    ]


SHOWN = {
    f"{page.name}, {block.split()[2]}": block.split("\n", 1)
    for page in PAGES
    for _, block in blocks(page, "")
    if block.startswith("$ distlaw ")
}


@pytest.mark.parametrize("where", SHOWN)
def test_what_the_documents_show_is_what_is_printed(where, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS")  # as in a pipe
    command, shown = SHOWN[where]
    assert main(shlex.split(command)[2:]) == 0
    printed = {line.rstrip() for line in capsys.readouterr().out.splitlines()}
    lines = [line.rstrip() for line in shown.splitlines() if line.strip() not in ("", "...", "- ...")]
    assert len(lines) > 5
    assert [line for line in lines if line not in printed] == []


def test_every_command_that_prints_json_has_its_keys_documented():
    text = (ROOT / "docs" / "command-line.md").read_text()
    headings = " ".join(re.findall(r"^## (.*)", text, re.MULTILINE))
    for name in app:
        command = app[name].default_command
        if command is not None and "json" in inspect.signature(command).parameters:
            assert re.search(rf"`distlaw {name}\b", headings), f"docs/command-line.md says nothing of distlaw {name}"


def test_every_lab_and_every_figure_is_listed():
    labs = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "labs.md").read_text(), re.MULTILINE)
    assert labs == list(NAMES)
    figures = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs" / "report.md").read_text(), re.MULTILINE)
    assert dict(figures) == {str(number): figure.title for number, figure in FIGURES.items()}
