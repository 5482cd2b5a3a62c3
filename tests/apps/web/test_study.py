import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from distlaw.apps.web.studies import Studies
from distlaw.apps.web.study_question import StudyQuestion, chosen, curve_chart, loss_chart, place_of, rows
from distlaw.apps.web.study_view import (
    best_sentence,
    findings_of,
    finished_shown,
    lab_head,
    lab_shown,
    report_shown,
    runs_shown,
    status_shown,
)


@pytest.fixture
def found(studies) -> Studies:
    return Studies([studies])


def at(studies: Path, below: str) -> str:
    return f"{studies.name}/{below}"


def test_what_there_is_is_listed(found, studies):
    places = {place.key: place for place in found.places()}
    assert set(places) == {at(studies, below) for below in ("live", "labs/patience", "nested/done")}
    assert places[at(studies, "live")].live
    assert places[at(studies, "labs/patience")].lab
    assert places[at(studies, "nested/done")].table


def test_a_study_under_way(found, studies):
    place = found.find(at(studies, "live"))
    status = found.status(place)
    assert (status.done, status.runs, len(status.failed)) == (3, 4, 1)
    shown = str(status_shown(status, place.key))
    assert "3 of 4" in shown
    assert "it burst" in shown
    runs = found.runs(place)
    assert [run.id for run in runs] == ["a1", "b2", "c3"]  # the damaged record is passed over
    assert [run.distilled for run in runs] == [False, True, True]


def test_records_are_read_once_and_new_ones_seen(tmp_path, studies):
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(studies / "live", root / "live")
    found = Studies([root])
    place = found.find("copy/live")
    assert len(found.runs(place)) == 3
    record = json.loads((root / "live" / "records" / "a1.json").read_text())
    (root / "live" / "records" / "d4.json").write_text(json.dumps(record | {"name": "d4"}))
    assert [run.id for run in found.runs(place)] == ["a1", "b2", "c3", "d4"]


def test_curves_are_those_of_the_run_and_half_a_line_is_no_harm(found, studies):
    place = found.find(at(studies, "live"))
    runs = found.runs(place)
    tokens, losses = found.curve(place, runs[1])
    assert tokens.tolist() == [100.0 * k for k in range(1, 9)]
    assert losses[0] == 6 - 1 / 9
    assert found.curve(place, replace(runs[0], job="../../etc")) is None
    assert found.curve(place, replace(runs[0], job="gone")) is None
    chart = curve_chart(found, place, runs)
    assert len(chart.panels[0].series) == 3
    assert loss_chart(runs).panels[0].series[0].name == "1M, alone"


def test_a_finished_study_is_read_from_its_table(found, studies):
    place = found.find(at(studies, "nested/done"))
    runs = found.runs(place)
    assert len(runs) == 48
    assert found.curve(place, runs[0]) is None
    assert "48 runs" in str(runs_shown(runs))


def test_its_report_is_shown_in_words(studies, tmp_path):
    import shutil

    shutil.copytree(studies / "nested", tmp_path / "nested")
    found = Studies([tmp_path])
    place = found.find(f"{tmp_path.name}/nested/done")
    text = found.report(place)
    assert "See its runs." in text
    assert "losses.png" not in text
    assert "## A study" in str(report_shown(text))
    file = place.path / "report.md"
    file.write_text("x" * 300_001)
    assert found.report(place) is None
    file.unlink()
    file.symlink_to(tmp_path.parent / "elsewhere.md")
    (tmp_path.parent / "elsewhere.md").write_text("secret")
    assert found.report(place) is None


def test_what_a_report_says_is_read_with_its_questions():
    text = """# A study

Words.

## How far do seeds scatter?

By 1 %. Not
much.

| a | b |
|---|---|

## When does distilling beat supervised training?

Never.

## What is only a table?

*Numbers*

| a |
|---|
"""
    assert findings_of(text) == [
        ("When does distilling beat supervised training?", "Never."),
        ("How far do seeds scatter?", "By 1 %. Not much."),
    ]
    shown = str(report_shown(text))
    assert shown.index("Never.") < shown.index("The whole report")


def test_the_best_run_is_said_first(found, studies):
    runs = found.runs(found.find(at(studies, "live")))
    assert (
        best_sentence(runs)
        == "Best: 2.0000 nats, by 100M parameters on 20M tokens, distilled from a teacher of 2.0000."
    )
    assert best_sentence([]) == ""
    assert "Best: 2.0000 nats" in str(finished_shown("a", runs)[1])


def test_runs_are_filtered_and_sorted(found, studies):
    runs = found.runs(found.find(at(studies, "live")))

    def ids(**given):
        return [run.id for run in chosen(StudyQuestion(**given), runs)]

    assert ids() == ["c3", "b2", "a1"]
    assert ids(sort="student_params") == ["a1", "b2", "c3"]
    assert ids(sort="teacher_loss") == ["b2", "c3", "a1"]  # what is not known comes last
    assert ids(kind="distilled") == ["c3", "b2"]
    assert ids(least_params="2M", most_params="10M") == ["b2"]
    assert ids(most_tokens="1M") == []
    with pytest.raises(ValueError, match="Parameters from: 'x' is not a number"):
        ids(least_params="x")
    assert rows(runs)[0]["teacher_loss"] is None


def test_a_lab_with_its_verdict(found, studies):
    outcome = found.lab(found.find(at(studies, "labs/patience")))
    head = str(lab_head(outcome))
    assert "patience pays" in head
    assert "'holds'" in head
    assert "0.1 nats (0.05 to 0.15)" in head
    assert "A table of a lab" in str(lab_shown(outcome, "light"))


def test_without_a_name_the_first_is_shown(found, studies):
    assert place_of(StudyQuestion(), found).key == at(studies, "labs/patience") or at(studies, "live")
    assert place_of(StudyQuestion(), Studies(())) is None


@pytest.fixture
def traps(tmp_path, studies):
    """A root beside a secret, with every way out that a file system has."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "index.json").write_text((studies / "live" / "index.json").read_text())
    (secret / "findings.json").write_text("{}")
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (root / "link").symlink_to(secret)
    for folder in ("records", "failures", "jobs", "leases"):
        (root / "study" / folder).mkdir(parents=True)
    (root / "study" / "index.json").write_text((studies / "live" / "index.json").read_text())
    (root / "study" / "failures" / "job-d4.1").symlink_to("/etc/passwd")
    record = json.loads((studies / "live" / "records" / "a1.json").read_text())
    (secret / "a1.json").write_text(json.dumps(record))
    (root / "study" / "records" / "a1.json").symlink_to(secret / "a1.json")
    (root / "study" / "jobs" / "job-b2").symlink_to(studies / "live" / "jobs" / "job-b2")
    (root / "lab").mkdir()
    (root / "lab" / "findings.json").symlink_to(secret / "findings.json")
    (root / "round").symlink_to(root / "round")
    (root / "a::b").mkdir()
    (root / "a::b" / "index.json").write_text((studies / "live" / "index.json").read_text())
    return root


@pytest.mark.parametrize(
    "key",
    [
        "root/../secret",
        "root/inside/../../secret",
        "root/link",
        "root//etc",
        "/etc",
        "../root/study",
        "root/lab",
        "root/round",
        "root/inside",
        "root/a::b",
        "root/\0",
        "root/" + "x" * 5000,
        "other/study",
        "",
    ],
)
def test_nothing_outside_the_roots_is_opened(traps, key):
    with pytest.raises(ValueError, match="there is no study or lab"):
        Studies([traps]).find(key)


def test_links_inside_a_study_lead_nowhere(traps):
    found = Studies([traps])
    assert [place.key for place in found.places()] == ["root/study"]
    place = found.find("root/study")
    assert found.runs(place) == []
    assert all("root:" not in error for _, error in found.status(place).failed)
    run = Studies([traps])._of(place)
    assert run.runs == {}


def test_a_lab_that_cannot_be_read_is_a_message(tmp_path):
    lab = tmp_path / "lab"
    lab.mkdir()
    found = Studies([tmp_path])
    for text in ("", "[]", '{"findings": 3}', "[" * 100_000):
        (lab / "findings.json").write_text(text)
        with pytest.raises(ValueError, match="is no lab's findings") as raised:
            found.lab(found.find(f"{tmp_path.name}/lab"))
        assert str(tmp_path.parent) not in str(raised.value)


def test_a_root_must_be_a_folder_and_roots_of_one_name_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        Studies([tmp_path / "none"])
    for parent in ("a", "b"):
        (tmp_path / parent / "runs").mkdir(parents=True)
    assert Studies([tmp_path / "a" / "runs", tmp_path / "b" / "runs"]).roots == ("runs", "runs'")
    assert os.sep not in "".join(Studies([tmp_path]).roots)
