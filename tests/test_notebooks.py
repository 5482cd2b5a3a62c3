"""The notebooks of the documentation run, and say what they are there to say."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def load_hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = load_hooks()


def printed(name):
    """All that the cells of a notebook print."""
    notebook = hooks.run_notebook(DOCS / "notebooks" / f"{name}.ipynb")
    return "".join(output.text for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output)


def test_outputs_are_not_stored():
    assert len(hooks.NOTEBOOKS) == 3
    for path in hooks.NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert [cell.outputs for cell in cells if cell.cell_type == "code" and cell.outputs] == []


def test_a_plan_for_a_budget():
    text = printed("plan")
    assert "supervised                        2.1727 nats on 387B tokens" in text
    assert len(re.findall(r"^ ?\d+ students: [+-]0\.", text, re.MULTILINE)) == 5


@pytest.mark.slow
def test_a_law_of_a_table_with_intervals_and_hold_out():
    text = printed("fit")
    [(low, high)] = re.findall(r"^kappa +[\d.]+ \(([\d.]+) to ([\d.]+)\)", text, re.MULTILINE)
    assert 1 < float(low) < float(high) < 4
    assert re.search(r"\d+ runs: 0\.\d\d% off on average", text)


@pytest.mark.slow
def test_a_teacher_and_two_students():
    loss = {
        name: float(value) for name, value in re.findall(r"^(\w+) .* tokens: ([\d.]+) nats", printed("distill"), re.M)
    }
    assert loss["teacher"] < loss["distilled"] < loss["supervised"]


def test_what_a_browser_would_load_from_elsewhere_is_found():
    page = '<script src="https://cdn.example/x.js"></script><a href="https://example.com">read</a><img src="x.png">'
    assert hooks._Loads.of(page) == ["https://cdn.example/x.js"]
    assert hooks._Loads.of('<link rel="stylesheet" href="//fonts.example/a.css">') == ["//fonts.example/a.css"]
    assert hooks._Loads.of('<link rel="canonical" href="https://distlaw.example/">') == []
