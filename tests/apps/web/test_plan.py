import contextlib
import io
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.apps.web.laws import Laws
from distlaw.apps.web.plan_answer import (
    answer,
    budget_in,
    content,
    crossover,
    curves,
    reasons,
    rows,
    spread,
    verdict,
)
from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.apps.web.plan_view import answer_shown, options_table, saved, teachers_table
from distlaw.costs import PAPER_FAMILY
from distlaw.plan import budget_grid

DEFAULT = Laws().find(PlanQuestion().law, {})
JUST_ALONE = f"{3e6 * float(PAPER_FAMILY.forward_flops(1e9)) * 1.00002:.9g}"  # the fewest tokens, and no teacher
QUESTIONS = [
    PlanQuestion(),
    PlanQuestion(student="300M", budget="2000", unit="gpu-hours", accelerator="a100", utilisation="0.5"),
    PlanQuestion(budget="5e4", unit="dollars", price="3.2", students="8", shared="yes", cached="0.5"),
    PlanQuestion(student="3B", budget="200B", unit="tokens", unique_tokens="1T", largest_teacher="70B"),
    PlanQuestion(budget="2.3", unit="loss", serving="1T", context="2048", vocabulary="50000"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.unit)
def test_the_command_line_gives_the_same_plan(question, capsys):
    command = question.command(DEFAULT.command)
    assert main([*shlex.split(command)[1:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = content(answer(question, DEFAULT))
    assert found.pop("command") == command
    assert found == printed


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.unit)
def test_python_gives_the_same_plan(question):
    found = answer(question, DEFAULT)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(question.python(DEFAULT.command), {})
    first, *lines = said.getvalue().splitlines()
    assert first == found.headline
    for line, option in zip(lines, found.plan.options, strict=False):
        values = (option.student_loss, option.student_tokens, option.teacher_params, option.teacher_tokens)
        assert line == " ".join([option.scenario, *map(str, values)])
    assert tuple(lines[5:]) == reasons(question, DEFAULT)


def test_a_law_file_gives_the_same_intervals_as_the_command(laws, capsys):
    law = Laws(laws).find("file:mine.json", {})
    question = PlanQuestion(student="500M", budget="3e20", law=law.key)
    assert main([*shlex.split(question.command(law.command))[1:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = content(answer(question, law))
    assert [option["uncertainty"] for option in found["options"]] == [o["uncertainty"] for o in printed["options"]]
    low, high = spread(question, law)["teacher-inference"].student_loss
    assert 0 < low < high
    shown = options_table(answer(question, law), spread(question, law))
    assert " to " in str(shown[0].rows)
    assert low < answer(question, law).plan["teacher-inference"].student_loss < high


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"student": "big"}, "Student parameters: 'big' is not a number such as"),
        ({"budget": ""}, "Budget: '' is not a number"),
        ({"budget": "1"}, "too small for any plan"),
        ({"unit": "loss", "budget": "1.3"}, "out of reach"),
        ({"cached": "1.5"}, "Share of targets from a cache: '1.5' is not a share from 0 to 1"),
        ({"utilisation": "0"}, "utilisation must be above 0"),
        ({"students": "0.5"}, "students must be 1 or more"),
        ({"context": "4k"}, "Context, tokens: '4k' is not a whole number"),
        ({"student": "/etc/passwd"}, "'/etc/passwd' is not a number"),
        ({"serving": "-1"}, "Tokens the student will serve: '-1' is not a finite number above 0"),
    ],
)
def test_a_wrong_input_is_named(change, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        answer(replace(PlanQuestion(), **change), DEFAULT)


@pytest.mark.parametrize(
    ("question", "word", "says"),
    [
        (PlanQuestion(budget="1e20"), "Distill", "0.041 nats (90 % interval"),
        (PlanQuestion(situation="teacher-pretraining"), "Train from scratch", "0.064 nats (90 % interval"),
        (PlanQuestion(unit="loss", budget="2.3"), "Distill", "0.736 times the compute"),
        (PlanQuestion(unit="loss", budget="2.3", situation="teacher-pretraining"), "Train from scratch", "2.62 times"),
        (PlanQuestion(budget="5.36e21"), "Too close to call", "within 0.02 nats, which is all that the law can tell"),
        (PlanQuestion(budget=JUST_ALONE, situation="teacher-pretraining"), "Train from scratch", "not feasible"),
    ],
)
def test_the_answer_in_words(question, word, says):
    found = answer(question, DEFAULT)
    assert found.headline.startswith(f"{word}: ")
    assert says in found.headline
    assert word in str(answer_shown(found))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.unit)
def test_the_answer_at_once_is_the_one_of_the_whole_plan(question):
    """The page says it before all is worked out; it must not say another thing then."""
    found = answer(question, DEFAULT)
    everything = content(found)
    assert (found.headline, found.advice) == (everything["answer"], everything["advice"])


def test_the_options_as_a_table():
    question = PlanQuestion(budget="1e20")
    found = answer(question, DEFAULT)
    [shown] = [part for part in options_table(found) if hasattr(part, "rows")]
    row = dict(zip(shown.columns, shown.rows[2], strict=True))
    option, alone = found.plan["teacher-inference"], found.plan["supervised"]
    assert shown.marked == 2
    assert row["Option"] == "teacher-inference"
    assert row["Student loss, nats"] == f"{option.student_loss:.3f}"
    assert row["Compute goes to"]["words"] == "student 82%, logits 18%"
    assert "FLOPs" not in row  # all of them spend the budget
    assert "Against scratch" not in row  # nobody has judged yet
    judged = options_table(found, spread(question, DEFAULT), verdict(question, DEFAULT))[0]
    row = dict(zip(judged.columns, judged.rows[2], strict=True))
    assert row["Against scratch"] == f"{option.student_loss - alone.student_loss:+.3f}"
    assert row["Distilling ahead in"] == "100%"
    assert "FLOPs" in options_table(answer(PlanQuestion(unit="loss", budget="2.3"), DEFAULT))[0].columns


def test_the_answer_says_what_it_assumes_about_the_teacher():
    shown = str(answer_shown(answer(PlanQuestion(), DEFAULT)))
    assert "Teacher assumed" in shown
    assert "tokens; " in shown
    assert "nats: equally good" in shown


OWN = PlanQuestion(budget="1e20", teacher=(("dear", "70B", "1.9", ""), ("", "", "", ""), ("old", "1B", "", "100B")))


def test_own_teachers_are_ranked_with_training_from_scratch_among_them():
    found = answer(OWN, DEFAULT)
    assert {row.name for row in found.own} == {"dear", "old", "none: train supervised"}
    assert list(found.own) == sorted(found.own, key=lambda row: row.student_loss)


def test_own_teachers_drive_the_answer_the_command_and_python(tmp_path, monkeypatch, capsys):
    """A teacher of the planner's choice would win at 1e20 FLOPs; the dear one of the user's does not."""
    question = replace(OWN, teacher=OWN.teacher[:1])
    found = answer(question, DEFAULT)
    assert answer(replace(question, teacher=()), DEFAULT).advice == "distill"
    assert found.headline.startswith("Train from scratch: ")
    assert "'dear' (70B parameters" in found.headline
    assert "'dear'" in str(answer_shown(found))
    monkeypatch.chdir(tmp_path)
    table, plan = question.command(DEFAULT.command).splitlines()
    words = shlex.split(table)
    assert (words[0], words[-2:]) == ("printf", [">", "teachers.csv"])
    (tmp_path / "teachers.csv").write_text("".join(f"{row}\n" for row in words[2:-2]))
    assert main([*shlex.split(plan)[1:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["answer"] == found.headline
    assert [row["name"] for row in printed["own_teachers"]] == ["none: train supervised", "dear"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(question.python(DEFAULT.command), {})
    assert said.getvalue().splitlines()[0] == found.headline


def test_own_teachers_exist_so_that_their_training_is_not_paid_for():
    for situation, answered in (
        ("teacher-pretraining", "best-case"),
        ("teacher-pretraining-and-inference", "teacher-inference"),
    ):
        assert answer(replace(OWN, situation=situation), DEFAULT).scenario == answered
        assert answer(PlanQuestion(situation=situation), DEFAULT).scenario == situation


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("a", "1B", "", ""), "row 1: teacher 'a': give its loss"),
        (("a", "", "2.0", ""), "own teachers, row 1: '' is not a number"),
        (("a", "=1+1", "2", ""), "'=1+1' is not a number"),
        (("a", "1B", "0.5", ""), "teacher 'a': loss 0.5 is at or below E"),
        (("a", "1B", "11", ""), "teacher 'a': loss 11 is above 10.40 nats"),
    ],
)
def test_a_wrong_teacher_is_named_and_the_plan_stands(row, says):
    found = answer(PlanQuestion(teacher=(row,)), DEFAULT)
    assert found.own == ()
    assert says in found.own_problem
    assert says in found.own_problem
    assert found.own_problem[1:] in str(teachers_table(found)).replace("\\'", "'")
    assert "Without your own teachers" in str(answer_shown(found))
    assert len(reasons(found.question, DEFAULT)) > 4
    with pytest.raises(ValueError, match="teacher"):
        content(found)


def test_the_curves_are_those_of_the_planner():
    question = PlanQuestion(budget="3e21", students="4")
    found = answer(question, DEFAULT)
    loss = curves(found)["loss"].panels[0]
    line = next(one for one in loss.series if one.name == "teacher-pretraining")
    problem = found.plan.problem
    grid = budget_grid(
        DEFAULT.student_law,
        problem.student_params,
        line.x,
        scenarios=problem.scenarios,
        bounds=problem.bounds,
        costs=problem.costs,
    )
    np.testing.assert_allclose(line.y, grid.distilled["teacher-pretraining"].student_loss[0], rtol=1e-12)
    point = next(one for one in loss.series if one.kind == "points")
    assert (point.x[0], point.y[0]) == (found.plan["supervised"].flops.total, found.plan["supervised"].student_loss)


def test_the_user_is_on_the_crossover_chart():
    chart = crossover(answer(PlanQuestion(student="2B", budget="7e21"), DEFAULT))
    you = next(one for one in chart.panels[0].series if one.name == "you")
    assert (you.x[0], you.y[0]) == (2e9, 7e21)


def test_the_crossover_chart_has_every_change_of_the_lead_and_where_it_is_clear():
    """A teacher that is trained for a small student: behind at small budgets, ahead at large ones."""
    chart = crossover(answer(PlanQuestion(student="300M", situation="teacher-pretraining"), DEFAULT))
    names = [one.name for one in chart.panels[0].series]
    assert "distillation takes the lead" in names
    paid = crossover(answer(PlanQuestion(), DEFAULT)).panels[0].series
    clear = next(one for one in paid if one.name == "distillation ahead by 0.02 nats below")
    lost = next(one for one in paid if one.name == "supervised training takes the lead")
    assert (np.interp(lost.x, clear.x, clear.y) < lost.y).all()


def test_a_budget_goes_over_into_another_unit_and_back():
    found = answer(PlanQuestion(), DEFAULT)
    hours = PlanQuestion(budget=budget_in(found, "gpu-hours"), unit="gpu-hours")
    assert answer(hours, DEFAULT).plan.problem.compute == pytest.approx(1e21, rel=0.005)
    assert budget_in(answer(hours, DEFAULT), "flops") in ("1e21", "9.99e20")
    assert answer(PlanQuestion(budget=budget_in(found, "tokens"), unit="tokens"), DEFAULT).option.feasible
    assert answer(PlanQuestion(budget=budget_in(found, "loss"), unit="loss"), DEFAULT).option.feasible


@pytest.mark.parametrize(
    "button", ["json", "options-csv", "loss-csv", "gain-csv", "spending-csv", "sizes-csv", "crossover-csv"]
)
def test_what_is_saved_can_be_read_again(button):
    found = answer(PlanQuestion(), DEFAULT)
    file = saved(button, found)
    if button == "json":
        assert json.loads(file["content"])["options"][0]["scenario"] == "supervised"
        return
    header, *lines = file["content"].splitlines()
    assert len(lines) >= 5
    assert file["filename"].endswith(".csv")
    if button == "options-csv":
        first = dict(zip(header.split(","), lines[0].split(","), strict=True))
        assert float(first["student_loss"]) == next(rows(found))["student_loss"]
