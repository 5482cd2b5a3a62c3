import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from distlaw.evidence import CannotSay
from distlaw.report.evidence_tables import evidence_markdown, evidence_tables
from distlaw.sweep.adaptive import Choices, Round

QUESTIONS = (
    "How far do seeds scatter?",
    "What is the supervised law (eq. 1)?",
    "Do laws of the weaker runs predict the stronger ones?",
    "Which form of the distillation law predicts best out of sample?",
    "Do a teacher's size and tokens act through its loss alone?",
    "What is a distilled token worth, and is that one number?",
    "Does a stronger teacher make a worse student (the capacity gap)?",
    "When does distilling beat supervised training, and do the laws say so?",
    "Which teacher does the planner choose, and what does its choice cost?",
)


def printed(evidence, width=180):
    console = Console(file=StringIO(), width=width)
    console.print(evidence_tables(evidence))
    return console.file.getvalue()


def test_every_question_has_an_answer_before_its_tables(evidence):
    text = evidence_markdown(evidence, title="A study")
    assert text.startswith(
        "# A study\n\nDistilled students were ahead of supervised training beyond noise in 51 of 54 cells"
    )
    assert " 159 runs: 51 supervised in 36 cells" in text
    parts = text.split("\n## ")[1:]
    assert [part.split("\n")[0] for part in parts] == list(QUESTIONS)
    for part in parts:
        answer = part.split("\n")[2]
        assert answer.endswith(".")
        assert "|" not in answer


def test_an_adaptive_study_says_first_what_it_saved(evidence):
    rounds = tuple(
        Round(done=n, flops=f, prediction=p, deviation=d, chosen=c)
        for n, f, p, d, c in ((0, 0.0, None, None, 13), (16, 2e13, 2.21, 0.03, 8), (26, 3e13, 2.2, 0.018, 0))
    )
    choices = Choices(rounds=rounds, reason="known", flops=3e13, all_flops=12e13)
    text = evidence_markdown(evidence, choices=choices)
    assert text.split("\n## ")[1].startswith("What did choosing runs save?\n\n26 runs for 3e+13 FLOPs, 75% less than")
    assert "put at 2.2000 ± 0.0180 nats" in text
    assert "| 2 | 16 | 2e+13 | 2.2100 | 0.0300 | 8 |" in text


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_study_says_fits_the_terminal(evidence, width):
    for line in printed(evidence, width).splitlines():
        assert len(line) <= width
        assert line == line.rstrip()
        assert "…" not in line


def test_markdown_tables_are_whole(evidence):
    width = None
    for line in evidence_markdown(evidence).split("\n"):
        if not line.startswith("|"):
            width = None
            continue
        width = width or line.count("|")
        assert line.count("|") == width


def test_numbers_are_those_of_the_evidence(evidence):
    text = evidence_markdown(evidence)
    kappa = evidence.token_worth.constancy
    assert f"worth {kappa.kappa:.2f} supervised ones ({kappa.interval[0]:.2f} to {kappa.interval[1]:.2f})" in text
    assert "It is not one number" in text
    assert re.search(r"Yes: beyond seed noise for \d of 7 students", text)
    ahead = evidence.against.comparisons["teacher wholly paid"]
    assert f"With teacher wholly paid, the distilled student was ahead beyond noise in {ahead.distilled_ahead}" in text
    noise = evidence.noise.pooled
    assert f"{100 * noise.relative_std:.2f} % ({100 * noise.interval[0]:.2f} % to" in text
    assert len(evidence.token_worth.cells) == text.split("Kappa, cell by cell")[1].split("\n##")[0].count("\n| ") - 1


def test_the_terminal_shows_the_same(evidence):
    shown, text = printed(evidence), evidence_markdown(evidence)
    for question in QUESTIONS:
        assert question in shown
    assert "Yes: beyond seed noise" in shown
    for word in ("nan", "None", "CannotSay"):
        assert word not in shown
        assert word not in text


@pytest.mark.parametrize("width", [60, 300])
def test_it_fits_any_terminal(evidence, width):
    assert max(len(line) for line in printed(evidence, width).split("\n")) <= width


def test_what_cannot_be_said_says_why(bare):
    text = evidence_markdown(bare)
    assert "Cannot say, because no student was trained with a second seed." in text
    assert "Cannot say, because no run has a teacher." in text
    assert text.count("annot say, because") >= 6
    assert "Cannot say, because no run has a teacher." in printed(bare)


def test_disagreements_are_listed(evidence):
    x = evidence.against.comparisons["equal tokens"]
    wrong = replace(x, agreed=0, disagreed=x.duels)
    against = replace(evidence.against, comparisons={**evidence.against.comparisons, "equal tokens": wrong})
    text = evidence_markdown(replace(evidence, against=against))
    assert "Where runs and law disagree, equal tokens, 10 of 54" in text
    assert "agrees in 0 of these" in text


def test_a_part_that_is_not_known_leaves_the_rest(evidence):
    worth = replace(evidence.token_worth, constancy=CannotSay(because="too few"))
    text = evidence_markdown(replace(evidence, token_worth=worth))
    assert "Whether kappa is one number cannot be said: too few." in text
    assert "Kappa, cell by cell" in text
