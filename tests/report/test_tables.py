import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from distlaw.costs import PAPER_FAMILY, SCENARIOS, Bill
from distlaw.laws import DistillationLaw, published
from distlaw.plan import Bounds, Problem, Teacher, judge, rank_teachers, solve
from distlaw.report.tables import (
    accuracy_table,
    crossover_table,
    flops_table,
    law_table,
    laws_table,
    plan_table,
    prediction_table,
    teachers_table,
)
from distlaw.runs import Accuracy, GroupAccuracy

law = published("busbridge2025").law
assert isinstance(law, DistillationLaw)
LAW = law


def text_of(table):
    """What the command prints, without frames."""
    file = io.StringIO()
    Console(file=file, width=200, highlight=False, soft_wrap=True).print(table)
    return re.sub(r"[\u2500-\u257f]", " ", file.getvalue())


def shows(text, *cells):
    """Whether one line starts with the first cell and shows the others after it, in order."""
    pattern = r"^\s*" + r"\s+".join(re.escape(cell) for cell in cells) + r"\s*$"
    return re.search(pattern, text, re.MULTILINE) is not None


@pytest.fixture(scope="module")
def plan():
    return solve(LAW, Problem(student_params=1e9, compute=1e22))


def plan_text(plan, bills=None):
    return text_of(plan_table(plan, judge(LAW, plan), law="busbridge2025", bills=bills or [None] * 5))


def test_plan_table(plan):
    text = plan_text(plan)
    assert "A student of 1B parameters with 1e+22 FLOPs (law busbridge2025)" in text
    assert shows(text, "supervised", "2.1348", "1.36T", "-", "-", "-", "100% / 0% / 0%")
    assert shows(text, "best-case", "2.1310", "-0.0039", "1.36T", "10.3B", "160B", "1.9804", "100% / 0% / 0%")
    last = ("2.1655", "+0.0307", "427B", "3.07B", "184B", "2.0743", "31% / 30% / 39%")
    assert shows(text, "teacher-pretraining-and-inference", *last)
    assert "GPU-hours" not in text


def test_plan_table_stars_what_lies_on_a_bound(plan):
    text = plan_text(plan)
    assert re.search(r"teacher-inference .* 1e\+17\* ", text)
    assert text.count("*") == 2  # that one and the caption
    assert "* on a bound of the search" in text


def test_plan_table_with_bills(plan):
    bills = [Bill(gpu_hours=7021.68 * (i + 1), energy_kwh=5898.2, dollars=17554.2) for i in range(5)]
    text = plan_text(plan, bills)
    for header in ("GPU-hours", "MWh", "$"):
        assert header in text
    assert re.search(r"supervised .* 7,022 +5\.9 +17,554", text)
    assert re.search(r"teacher-pretraining-and-inference .* 35,108 +5\.9 +17,554", text)


def test_plan_table_marks_the_best_option(plan):
    table = plan_table(plan, judge(LAW, plan), law="busbridge2025", bills=[None] * 5)
    bold = [row.style for row in table.rows]
    assert bold == [None, "bold", None, None, None]


def test_plan_table_names_each_goal():
    by_tokens = solve(LAW, Problem(student_params=3e8, student_tokens=2e10))
    assert "A student of 300M parameters with 20B tokens" in plan_text(by_tokens)
    supervised = by_tokens["supervised"]
    cells = (f"{supervised.student_loss:.4f}", "20B", "-", "-", "-", "100% / 0% / 0%", f"{supervised.flops.total:.3g}")
    assert shows(plan_text(by_tokens), "supervised", *cells)
    by_loss = plan_text(solve(LAW, Problem(student_params=1e9, target_loss=2.2)))
    assert "A student of 1B parameters to 2.2 nats" in by_loss


def test_plan_table_says_what_is_not_feasible():
    plan = solve(LAW, Problem(student_params=1e9, compute=1e16, bounds=Bounds(teacher_params=(1e11, 1e17))))
    text = plan_text(plan)
    assert shows(text, "teacher-pretraining", "not feasible")
    assert not shows(text, "best-case", "not feasible")
    assert "nan" not in text


def test_prediction_table():
    result = {
        "law": "busbridge2025",
        "student_params": 1e9,
        "student_tokens": 2e11,
        "teacher_loss": 2.1,
        "teacher_loss_from": "as given",
        "student_loss": 2.19161,
        "supervised_loss": 2.20118,
        "gain": 0.00957,
        "optimal_teacher_loss": 1.99074,
    }
    text = text_of(prediction_table(result))
    assert "1B parameters on 200B tokens (law busbridge2025)" in text
    assert shows(text, "student, distilled", "2.1916")
    assert shows(text, "student, supervised", "2.2012")
    assert shows(text, "gain of distilling", "+0.0096")
    assert shows(text, "teacher", "2.1000")
    assert shows(text, "best teacher for this student", "1.9907")
    assert "teacher loss as given" in text

    alone = text_of(prediction_table(result | {"teacher_loss": None, "teacher_loss_from": None}))
    assert shows(alone, "student, supervised", "2.2012")
    assert "distilled" not in alone
    assert "gain" not in alone


def test_teachers_table():
    teachers = [Teacher(name="ours", params=3e9, loss=2.05), Teacher(name="theirs", params=7e9, tokens=1e12)]
    problem = Problem(student_params=1e9, student_tokens=2e10)
    ranked = rank_teachers(LAW, problem, teachers, SCENARIOS["best-case"])
    text = text_of(teachers_table(ranked, law="busbridge2025", scenario="best-case"))
    assert "best first (law busbridge2025, best-case)" in text
    for row in ranked:
        cells = (row.name, f"{row.student_loss:.4f}", f"{row.gain:+.4f}", "20B")
        assert re.search(r"^\s*" + r"\s+".join(map(re.escape, cells)), text, re.MULTILINE)
    assert re.search(r"ours .* 3B +2\.0500 +measured ", text)
    assert re.search(r"theirs .* 7B +1\.9136 +estimated from size and tokens ", text)
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
    crossing = {
        "status": "crosses",
        "compute": 3.6624e21,
        "student_loss": 2.16352,
        "student_tokens": 4.974e11,
        "distilled_tokens": 3.3436e11,
    }
    nowhere = dict.fromkeys(("compute", "student_loss", "student_tokens", "distilled_tokens"), np.nan)
    ratios = {"data_ratio": 0.56811, "compute_ratio": 0.81651}
    student = {
        "student_params": 1e9,
        "equal_tokens": {"status": "crosses", "student_tokens": 2.998e12, "student_loss": 2.119},
        "scenarios": {
            "teacher-inference": crossing | ratios,
            "teacher-pretraining": nowhere | {"status": "distillation never ahead"} | ratios,
        },
    }
    text = text_of(crossover_table([student], law="busbridge2025", target_loss=2.2))
    row = ("teacher-inference", "3.66e+21 FLOPs", "2.1635", "497B", "334B", "0.568", "0.817")
    assert shows(text, "1B", *row)
    assert shows(text, "1B", "teacher-pretraining", "distillation never ahead", "-", "-", "-", "0.568", "0.817")
    assert re.search(r"1B +equal tokens, best teacher +3T tokens +2\.1190 +3T +3T", text)
    assert "ratio" in text
    assert "compute ratio" not in text_of(crossover_table([student], law="busbridge2025", target_loss=None))


def test_flops_table():
    shape = PAPER_FAMILY.member(14)
    result = {
        name: getattr(shape, name)
        for name in ("n_params", "n_embedding", "n_total", "n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads")
    }
    result |= {"d_head": 128, "n_vocab": 32768, "n_ctx": 4096}
    result |= {
        "forward_flops_exact": 1.4168018e9,
        "forward_flops_closed_form": 1.4149202e9,
        "closed_form_error": -0.001328,
        "two_n_error": -0.229292,
        "training_flops_per_token": 4.2504e9,
        "tokens": 1e12,
        "training_flops": 4.2504e21,
        "bill": Bill(gpu_hours=2984.5, energy_kwh=2506.98, dollars=7461.25),
    }
    text = text_of(flops_table(result))
    assert shows(text, "parameters without embeddings", "545,970,432")
    assert shows(text, "all parameters", "604,690,688")
    assert shows(text, "layers x width (feed-forward)", "14 x 1792 (4864)")
    assert shows(text, "forward FLOPs per token, exact", "1.4168e+09")
    assert shows(text, "forward FLOPs per token, eq. 69", "1.4149e+09 (-0.13 %)")
    assert shows(text, "error of 2N", "-22.93 %")
    assert shows(text, "training on 1T tokens", "4.25e+21 FLOPs")
    assert shows(text, "GPU-hours", "2,984.5")
    assert shows(text, "money", "$7,461")
    short = text_of(flops_table(result | {"tokens": None, "training_flops": None, "bill": None}))
    assert "GPU-hours" not in short
    assert "training on" not in short


def test_laws_tables():
    laws = [published(name) for name in ("hoffmann2022", "busbridge2025")]
    text = text_of(laws_table(laws, default="busbridge2025"))
    assert re.search(r"hoffmann2022 +supervised +Hoffmann et al\. 2022.* +MassiveText", text)
    assert re.search(r"busbridge2025 \(default\) +distillation +Busbridge", text)

    one = text_of(law_table(published("busbridge2025")))
    assert "90% interval" in one
    assert shows(one, "beta'", "0.637", "0.634 to 0.64")
    assert shows(one, "B", "18186", "18157 to 18236")
    assert "teacher_loss: 1.89 to 2.76" in one
    assert "caution: the printed distillation row does not reproduce" in one
    without = text_of(law_table(published("besiroglu2024")))
    assert "interval" not in without
    assert shows(without, "E", "1.8172")


def test_accuracy_table():
    overall = Accuracy(runs=328, mean_abs_rel_error=0.011636, max_abs_rel_error=0.05919, bias=-0.010138)
    group = GroupAccuracy(student_params=143e6, student_tokens=3.7e9, accuracy=replace(overall, runs=11, bias=0.040727))
    text = text_of(accuracy_table(overall, [group], law="busbridge2025"))
    assert "busbridge2025 against 328 runs" in text
    assert shows(text, "143M", "3.7B", "11", "1.16 %", "5.92 %", "+4.07 %")
    assert shows(text, "all", "328", "1.16 %", "5.92 %", "-1.01 %")
    assert "too hopeful" in text
