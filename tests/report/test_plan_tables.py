import io
import re

import numpy as np
import pytest
from rich.console import Console

from distlaw.costs import SCENARIOS, Bill
from distlaw.laws import published
from distlaw.plan import (
    Bounds,
    Problem,
    Teacher,
    compute_crossovers,
    judge,
    rank_teachers,
    solve,
    token_crossover,
)
from distlaw.report.plan_tables import crossover_table, plan_table, prediction_table, teachers_table

LAW = published("busbridge2025").law


def text_of(table):
    """What the command prints on a wide terminal, without frames."""
    file = io.StringIO()
    Console(file=file, width=240, highlight=False, soft_wrap=True).print(table)
    return re.sub(r"[\u2500-\u257f]", " ", file.getvalue())


def shows(text, *cells):
    """Whether one line starts with the first cell and shows the others after it, in order."""
    pattern = r"^\s*" + r"\s+".join(re.escape(cell) for cell in cells) + r"\s*$"
    return re.search(pattern, text, re.MULTILINE) is not None


@pytest.fixture(scope="module")
def plan():
    return solve(LAW, Problem(student_params=1e9, compute=1e22))


def plan_text(plan, bills=None, **named):
    verdict = judge(LAW, plan, resolution=0.02)
    return text_of(plan_table(plan, verdict, law="busbridge2025", bills=bills or [None] * 5, **named))


def test_plan_table(plan):
    text = plan_text(plan)
    assert "A student of 1B parameters with 1e+22 FLOPs (law busbridge2025)" in text
    assert shows(text, "supervised", "2.135", "1.36T", "-", "-", "-", "100% / 0% / 0%")
    assert shows(text, "best-case", "2.131", "too close", "1.36T", "10.3B", "160B", "1.980", "100% / 0% / 0%")
    last = ("2.166", "+0.031", "427B", "3.07B", "184B", "2.074", "31% / 30% / 39%")
    assert shows(text, "teacher-pretraining-and-inference", *last)
    assert "GPU-hours" not in text
    assert "a lead that the law cannot tell (below 0.02 nats" in text


def test_a_finer_law_tells_more(plan):
    fine = text_of(plan_table(plan, judge(LAW, plan, resolution=0.003), law="x", bills=[None] * 5))
    assert shows(fine, "best-case", "2.1310", "-0.0039", "1.36T", "10.3B", "160B", "1.9804", "100% / 0% / 0%")


def test_plan_table_stars_what_lies_on_a_bound(plan):
    text = plan_text(plan)
    assert re.search(r"teacher-inference .* 20T\* ", text)
    assert text.count("*") == 2  # that one and the caption
    assert "* on a bound of the search" in text


def test_plan_table_with_bills(plan):
    bills = [Bill(gpu_hours=7021.68 * (i + 1), energy_kwh=5898.2, dollars=17554.2) for i in range(5)]
    text = plan_text(plan, bills)
    for header in ("GPU-hours", "MWh", "$"):
        assert header in text
    assert re.search(r"supervised .* 7,022 +5\.9 +17,554", text)
    assert re.search(r"teacher-pretraining-and-inference .* 35,108 +5\.9 +17,554", text)


def test_plan_table_marks_the_users_own_option(plan):
    verdict = judge(LAW, plan)
    table = plan_table(plan, verdict, law="x", bills=[None] * 5, scenario="teacher-inference")
    assert [row.style for row in table.rows] == [None, None, "bold", None, None]
    assert "teacher-inference (yours)" in text_of(table)
    table = plan_table(plan, verdict, law="x", bills=[None] * 5)
    assert [row.style for row in table.rows] == [None, "bold", None, None, None]  # the lowest loss


def test_plan_table_names_each_goal():
    by_tokens = solve(LAW, Problem(student_params=3e8, student_tokens=2e10))
    assert "A student of 300M parameters with 20B tokens" in plan_text(by_tokens)
    supervised = by_tokens["supervised"]
    cells = (f"{supervised.student_loss:.3f}", "20B", "-", "-", "-", "100% / 0% / 0%", f"{supervised.flops.total:.3g}")
    assert shows(plan_text(by_tokens), "supervised", *cells)
    by_loss = solve(LAW, Problem(student_params=1e9, target_loss=2.3))
    assert "A student of 1B parameters to 2.3 nats" in plan_text(by_loss)
    share = by_loss["best-case"].flops.total / by_loss["supervised"].flops.total
    assert f"{share:.3g}x FLOPs" in plan_text(by_loss)


def test_plan_table_says_what_is_not_feasible():
    plan = solve(LAW, Problem(student_params=1e9, compute=1e16, bounds=Bounds(teacher_params=(1e11, 1e17))))
    text = plan_text(plan)
    assert shows(text, "teacher-pretraining", "not feasible")
    assert not shows(text, "best-case", "not feasible")
    assert "nan" not in text


RESULT = {
    "law": "busbridge2025",
    "student_params": 1e9,
    "student_tokens": 2e11,
    "teacher_loss": 2.1,
    "teacher_loss_error": 0.0108,
    "teacher_loss_from": "as given",
    "student_loss": 2.19161,
    "student_loss_interval_90": (2.17, 2.21),
    "supervised_loss": 2.20118,
    "supervised_loss_interval_90": (2.18, 2.22),
    "gain": 0.00957,
    "gain_interval_90": (-0.004, 0.02),
    "decision": "too close to call",
    "resolution": 0.02,
    "optimal_teacher_loss": 1.99074,
}


def test_prediction_table():
    text = text_of(prediction_table(RESULT))
    assert "1B parameters on 200B tokens (law busbridge2025)" in text
    assert shows(text, "student, distilled", "2.192", "2.170 to 2.210")
    assert shows(text, "student, supervised", "2.201", "2.180 to 2.220")
    assert shows(text, "gain of distilling", "too close", "-0.004 to 0.020")
    assert shows(text, "teacher", "2.100", "± 0.011")
    assert shows(text, "best teacher for this student", "1.99")
    assert "teacher loss as given" in text
    clear = text_of(prediction_table(RESULT | {"gain": 0.04, "decision": "distill"}))
    assert "+0.040" in clear

    alone = text_of(prediction_table(RESULT | {"teacher_loss": None, "teacher_loss_from": None}))
    assert shows(alone, "student, supervised", "2.201", "2.180 to 2.220")
    assert "distilled" not in alone
    assert "gain" not in alone


def test_teachers_table():
    teachers = [Teacher(name="ours", params=3e9, loss=2.05), Teacher(name="theirs", params=7e9, tokens=1e12)]
    problem = Problem(student_params=1e9, student_tokens=2e10)
    ranked = rank_teachers(LAW, problem, teachers, SCENARIOS["best-case"], resolution=0.02)
    text = text_of(teachers_table(ranked, law="busbridge2025", scenario="best-case"))
    assert "best first (law busbridge2025, best-case)" in text
    for row in ranked:
        gain = "" if row.decision is None else "too close" if abs(row.gain) < 0.02 else f"{row.gain:+.3f}"
        cells = (row.name, f"{row.student_loss:.3f}", gain, "20B")
        assert re.search(r"^\s*" + r"\s+".join(map(re.escape, filter(None, cells))), text, re.MULTILINE)
    assert re.search(r"ours .* 3B +2\.050 ± 0\.010 +measured ", text)
    assert re.search(r"theirs .* 7B +1\.914 ± 0\.038 +estimated from size and tokens ", text)
    assert re.search(r"none: train supervised .* - +- +- ", text)
    shown = [text.index(row.name) for row in sorted(ranked, key=lambda row: row.student_loss)]
    assert shown == sorted(shown)


def test_teachers_table_shows_names_as_they_are():
    teachers = [
        Teacher(name=name, params=3e9, loss=2.05) for name in ("llama [instruct]", "[/x]", "[red]y", "a:smile:")
    ]
    problem = Problem(student_params=1e9, student_tokens=2e10)
    ranked = rank_teachers(LAW, problem, teachers, SCENARIOS["best-case"])
    text = text_of(teachers_table(ranked, law="busbridge2025", scenario="best-case"))
    for teacher in teachers:
        assert teacher.name in text


def test_crossover_table():
    scenarios = [SCENARIOS["teacher-inference"], SCENARIOS["teacher-pretraining"]]
    found = compute_crossovers(LAW, 1e9, scenarios, resolution=0.02)
    ratios = {"data_ratio": 0.56811, "compute_ratio": 0.81651, "outside": "beyond"}
    student = {
        "student_params": 1e9,
        "equal_tokens": {"lead": token_crossover(LAW, 1e9, resolution=0.02).leads[0]},
        "scenarios": {name: {"lead": crossing.leads[0]} | ratios for name, crossing in found.items()},
    }
    text = text_of(crossover_table([student], law="busbridge2025", target_loss=2.2))
    assert re.search(r"1B +teacher-inference +ahead below 3\.04e\+21 +ahead by more than 0\.02 nats below", text)
    assert re.search(r"0\.568 +0\.817", text)
    assert re.search(r"1B +equal tokens +ahead below 3\.00e\+12 ", text)
    student["scenarios"] = {name: row | {"data_ratio": np.nan} for name, row in student["scenarios"].items()}
    assert "compute ratio" not in text_of(crossover_table([student], law="busbridge2025", target_loss=None))
