import json
import math

import numpy as np
import pytest

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.labs.files import Outcome, read_outcome, write_outcome
from distlaw.labs.findings import Effect, Finding, Findings, Table
from distlaw.report.lab_tables import lab_markdown, labs_markdown, verdict_lines


@pytest.fixture
def outcome():
    series = Series(name="a|b", x=np.array([1.0, 2.0]), y=np.array([3.0, np.nan]), low=np.zeros(2), high=np.ones(2))
    field = Field(name="f", x=np.array([1.0, 2.0]), y=np.array([3.0]), z=np.array([[5.0, np.inf]]), levels=(5.0,))
    panel = Panel(
        x=Axis(label="x", scale="log", limits=(1.0, 2.0)),
        y=Axis(label="y"),
        series=(series,),
        field=field,
        guides=(Guide(axis="y", at=1.0, to=2.0, name="g"),),
    )
    main = Finding(
        claim="claim | one", effect=Effect(value=0.5, interval=(-math.inf, math.inf), unit="nats"),
        verdict="undecided", measured="what",
    )  # fmt: skip
    other = Finding(claim="two", effect=Effect(value=2.0, interval=(1.5, 2.5)), verdict="holds", measured="that")
    table = Table(title="T", columns=("name", "n"), rows=(("a|b\nc", 1), ("d", None), ("e", 0.00012345)))
    findings = Findings(
        findings=(main, other),
        tables=(table,),
        charts=(Chart(name="c", title="C", panels=(panel,)),),
        notes=("a note",),
    )
    return Outcome(
        lab="temperature", about="the claim", source="appendix G", preset="quick", seed=0, command="distlaw lab x",
        findings=findings, runs=3, core_seconds=120.0, machine="here",
    )  # fmt: skip


def test_findings_are_read_as_written(outcome, tmp_path):
    write_outcome(outcome, tmp_path)
    again = read_outcome(tmp_path)
    assert again.as_dict() == outcome.as_dict()
    [panel] = again.findings.charts[0].panels
    assert np.isnan(panel.series[0].y[1])
    assert panel.field.z[0, 1] == np.inf
    assert again.findings.findings == outcome.findings.findings
    assert again.findings.tables == outcome.findings.tables
    assert next(iter(again.findings.charts[0].rows())) == {
        "panel": "", "series": "a|b", "x": 1.0, "y": 3.0, "low": 0.0, "high": 1.0,
    }  # fmt: skip


def test_the_main_claim_stands_on_top(outcome, tmp_path):
    write_outcome(outcome, tmp_path)
    content = json.loads((tmp_path / "findings.json").read_text())
    assert {name: content[name] for name in ("lab", "claim", "effect", "verdict", "unit")} == {
        "lab": "temperature", "claim": "claim | one", "effect": 0.5, "verdict": "undecided", "unit": "nats",
    }  # fmt: skip
    assert content["interval"] == ["-inf", "inf"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"findings": 3}', "", "[" * 100_000, '{"findings": ' * 100_000])
def test_what_is_no_findings_is_refused_in_a_line(tmp_path, damage):
    (tmp_path / "findings.json").write_text(damage)
    with pytest.raises(ValueError, match=r"findings\.json' is no lab's findings") as error:
        read_outcome(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="cannot be read"):
        read_outcome(tmp_path / "nowhere")


def test_pages_hold_verdicts_tables_and_figures(outcome):
    page = lab_markdown(outcome, ["c.png"])
    assert "| claim \\| one | **undecided** | 0.5 nats (one seed: no interval) | what |" in page
    assert "| two | **holds** | 2 (1.5 to 2.5) | that |" in page
    assert "![C](c.png)" in page
    assert "| a\\|b c | 1 |" in page
    assert "| d | - |" in page
    assert "| e | 0.0001234 |" in page
    whole = labs_markdown([outcome])
    assert "[temperature](temperature/README.md)" in whole
    assert "`distlaw lab all --preset quick`" in whole
    assert list(verdict_lines(outcome))[1] == "temperature: holds: two; that: 2 (1.5 to 2.5)"
    for line in page.split("\n"):
        if line.startswith("| ") and "claim" not in line:
            assert line.replace("\\|", "").count("|") in (3, 5)
