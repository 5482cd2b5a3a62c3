"""The documents say what the program does."""

import json
import re
import shlex
from pathlib import Path

import pytest

from distlaw.apps.cli import main
from distlaw.laws import published

ROOT = Path(__file__).parents[2]

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


def keys(value, skip=("coefficients", "intervals", "fitted_range", "scenarios", "not_identified")):
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


def test_python_in_the_documents_runs(capsys):
    blocks = [
        (name, block)
        for name in ("README.md", "docs/laws.md")
        for block in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    ]
    assert len(blocks) == 2
    for name, block in blocks:
        exec(compile(block, name, "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out.startswith("best-case 2.1309")


def test_the_plan_in_the_readme_is_what_is_printed(capsys):
    assert main(["plan", "--student-params", "1B", "--compute", "1e22"]) == 0
    printed = {line.rstrip() for line in capsys.readouterr().out.splitlines()}
    readme = (ROOT / "README.md").read_text()
    block = readme.split("$ distlaw plan --student-params 1B --compute 1e22\n")[1].split("```")[0]
    shown = [line.rstrip() for line in block.splitlines() if line.strip() and line != "- ..."]
    assert len(shown) >= 10
    assert [line for line in shown if line not in printed] == []
