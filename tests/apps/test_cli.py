import contextlib
import csv
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import distlaw
from distlaw.apps.cli import main
from distlaw.laws import DistillationLaw, published
from distlaw.plan import loss_from_bits_per_byte

law = published("busbridge2025").law
assert isinstance(law, DistillationLaw)
LAW = law
SCENARIOS = ["best-case", "teacher-inference", "teacher-pretraining", "teacher-pretraining-and-inference"]
SUPERVISED = "supervised"
PLAN = ("plan", "--student-params", "1B", "--compute", "1e22")
PREDICT = ("predict", "--student-params", "1B", "--student-tokens", "200B")
TINY = Path(__file__).parents[2] / "studies" / "tiny"
NO_TEACHER = "none: train supervised"

# Two blocks of width 64: attention (2 x 4 + 2 x 2) x 64 x 16, gated feed-forward 3 x 64 x 128, two norms; a last norm.
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
}
LLAMA_PARAMS = 2 * (12 * 64 * 16 + 3 * 64 * 128 + 2 * 64) + 64

H100_HOUR = 989e12 * 0.4 * 3600  # useful FLOPs in an hour of one H100 at the default utilisation
H100_DOLLARS = 2.5


@pytest.fixture
def ok(capsys):
    """Runs a command that must succeed and gives (standard output, standard error)."""

    def run(*words):
        # Numbers here are those of the printed set, whatever the default is.
        if words and words[0] in ("plan", "predict", "teachers", "crossover", "check") and "--help" not in words:
            words += () if "--law" in words else ("--law", "busbridge2025")
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert status == 0, err
        return out, err

    return run


@pytest.fixture
def ok_json(ok):
    """Runs a command with --json and gives its object."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    def run(*words):
        out, err = ok(*words, "--json")
        assert err == ""
        return json.loads(out, parse_constant=refuse)

    return run


@pytest.fixture
def fails(capsys, tmp_path, monkeypatch):
    """Runs a command in an empty folder that must be refused, and gives its one line."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert status == 2
        assert out == ""
        assert err.startswith("distlaw: error: ")
        assert err.endswith("\n")
        assert len(err.splitlines()) == 1, err
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return err.removeprefix("distlaw: error: ").rstrip("\n")

    return run


@pytest.fixture
def config(tmp_path):
    """A Hugging Face config.json of a small llama."""
    path = tmp_path / "llama" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(LLAMA), encoding="utf-8")
    return path


def option(plan, scenario):
    return next(row for row in plan["options"] if row["scenario"] == scenario)


def table_of(path, *rows):
    """Write rows (dicts) as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


# --- predict ----------------------------------------------------------------------------------------------------------


def test_predict_json(ok_json):
    found = ok_json(*PREDICT, "--teacher-loss", "2.1", "--law", "busbridge2025")
    assert set(found) == {
        *("law", "student_params", "student_tokens", "teacher_params", "teacher_tokens", "teacher_loss"),
        *("teacher_loss_from", "student_loss", "supervised_loss", "gain", "optimal_teacher_loss", "warnings"),
        *(
            "student_loss_interval_90",
            "supervised_loss_interval_90",
            "gain_interval_90",
            "teacher_loss_error",
            "answer",
        ),
        *("decision", "probability", "by_form", "resolution"),
    }
    for name in ("student_loss", "supervised_loss", "gain"):
        low, high = found[f"{name}_interval_90"]
        assert low < found[name] < high
    assert found["law"] == "busbridge2025"
    assert (found["student_params"], found["student_tokens"], found["teacher_loss"]) == (1e9, 2e11, 2.1)
    assert found["student_loss"] == pytest.approx(2.1916, abs=5e-5)
    assert found["supervised_loss"] == pytest.approx(2.2012, abs=5e-5)
    assert found["gain"] == pytest.approx(found["supervised_loss"] - found["student_loss"], abs=1e-12)
    assert found["teacher_params"] is None
    assert found["teacher_tokens"] is None
    assert found["optimal_teacher_loss"] < found["student_loss"]


def test_predict_estimates_the_teacher_from_size_and_tokens(ok_json):
    found = ok_json(*PREDICT, "--teacher-params", "7B", "--teacher-tokens", "140B")
    teacher_loss = float(LAW.supervised.loss(7e9, 140e9))
    assert found["teacher_loss"] == pytest.approx(teacher_loss, rel=1e-12)
    assert (found["teacher_params"], found["teacher_tokens"]) == (7e9, 140e9)
    assert "estimated from size and tokens" in found["teacher_loss_from"]
    assert found["student_loss"] == ok_json(*PREDICT, "--teacher-loss", repr(teacher_loss))["student_loss"]


def test_predict_converts_bits_per_byte_and_states_the_assumption(ok_json):
    found = ok_json(*PREDICT, "--teacher-bits-per-byte", "0.75", "--bytes-per-token", "4.2")
    assert found["teacher_loss"] == pytest.approx(loss_from_bits_per_byte(0.75, 4.2), rel=1e-12)
    assert "assumes" in found["teacher_loss_from"]


def test_predict_names_the_data_that_a_teacher_s_loss_must_be_on(ok_json, tmp_path, capsys):
    found = ok_json(*PREDICT, "--teacher-loss", "2.1")
    must = "as given: must be in nats per token on the law's data"
    data = "English C4, a tokenizer of 32768 entries by table 13, 32168 by the text, context 4096"
    assert found["teacher_loss_from"] == f"{must} ({data})"
    content = json.loads((TINY / "law.json").read_text()) | {"data": "as in the fitted runs"}  # as `fit` writes it
    (tmp_path / "law.json").write_text(json.dumps(content))
    assert main(["checksum", str(tmp_path / "law.json"), "--accept"]) == 0
    capsys.readouterr()
    words = ("predict", "--student-params", "100K", "--student-tokens", "10M", "--teacher-loss", "4", "--json")
    assert main([*words, "--law", str(tmp_path / "law.json")]) == 0
    assert json.loads(capsys.readouterr().out)["teacher_loss_from"] == f"{must} (as in the fitted runs)"


def test_predict_without_a_teacher_is_supervised(ok_json):
    found = ok_json(*PREDICT)
    assert found["student_loss"] == found["supervised_loss"] == pytest.approx(float(LAW.supervised.loss(1e9, 2e11)))
    assert found["teacher_loss"] is None
    assert found["gain"] == 0


def test_predict_with_a_supervised_law(ok_json):
    found = ok_json("predict", "--student-params", "70B", "--student-tokens", "1.4T", "--law", "besiroglu2024")
    assert found["student_loss"] == pytest.approx(1.974, abs=5e-4)
    assert found["optimal_teacher_loss"] is None


def test_predict_takes_configs_for_student_and_teacher(ok_json, config):
    found = ok_json(
        *("predict", "--student-params", config, "--student-tokens", "1B"),
        *("--teacher-params", config.parent, "--teacher-tokens", "10B"),
    )
    assert found["student_params"] == found["teacher_params"] == LLAMA_PARAMS
    for who in ("student", "teacher"):
        assert any(f"the {who}'s config has a vocabulary of 1000" in warning for warning in found["warnings"])


def test_predict_warns_outside_the_fitted_range(ok_json):
    found = ok_json("predict", "--student-params", "1T", "--student-tokens", "200B", "--teacher-loss", "2.1")
    assert any(
        "student_params 1e+12 is outside 1.028e+08 to 1.261e+10" in warning and "extrapolation" in warning
        for warning in found["warnings"]
    )
    inside = ok_json(*PREDICT, "--teacher-loss", "2.1")["warnings"]
    assert not any("outside" in warning for warning in inside)


def test_predict_table_shows_the_numbers(ok):
    out, err = ok(*PREDICT, "--teacher-loss", "2.1")
    for text in ("1B parameters on 200B tokens", "2.192", "2.201", "too close", "2.100 ± 0.011", "busbridge2025"):
        assert text in out
    assert "0.0096" not in out  # the law cannot tell it
    assert out.startswith(
        "A student of 1B parameters on 200B tokens, distilled from a teacher of 2.100 ± 0.011 nats, ends"
    )
    assert all(line.startswith("warning: ") for line in err.splitlines())


def test_predict_says_when_the_teacher_does_harm(ok):
    assert "worse than from scratch" in ok(*PREDICT, "--teacher-loss", "3.5")[0]
    assert "worse than from scratch" not in ok(*PREDICT, "--teacher-loss", "2.1")[0]


# --- plan -------------------------------------------------------------------------------------------------------------

OPTION_KEYS = {
    *("scenario", "feasible", "student_params", "student_loss", "student_tokens"),
    *("teacher_params", "teacher_tokens", "teacher_loss", "flops", "at_bounds", "bill", "uncertainty"),
}
COMPARISON_KEYS = {
    *("decision", "lead", "lead_interval", "probability", "by_form", "resolution", "equally_good_teachers"),
    *("crossings", "ahead", "clearly_ahead", "clearly_behind", "searched", "laws"),
    *(
        "gain",
        "supervised_compute_ratio",
        "crossover_compute",
        "crossover_status",
        "students_to_flip",
        "token_worth",
        "token_cost",
        "most_teacher_params",
    ),
}
FLOPS_PARTS = {"student_training", "teacher_logits", "teacher_training", "student_serving"}


def test_plan_json(ok_json):
    found = ok_json(*PLAN, "--law", "busbridge2025")
    assert set(found) == {
        *("law", "student_params", "compute", "options", "best", "verdict", "warnings"),
        *("answer", "advice", "scenario", "resolution", "own_teachers"),
    }
    assert found["scenario"] == "teacher-inference"
    assert found["answer"].startswith("Too close to call: if the teacher exists and you pay for its logits, ")
    assert (found["student_params"], found["compute"]) == (1e9, 1e22)
    assert [row["scenario"] for row in found["options"]] == [SUPERVISED, *SCENARIOS]
    assert found["best"] == "best-case"
    assert len(found["verdict"]) == 8  # the teacher, one a scenario, why, and how sure
    for row in found["options"]:
        distilled = row["scenario"] != SUPERVISED
        assert set(row) == (OPTION_KEYS | COMPARISON_KEYS if distilled else OPTION_KEYS)
        assert row["feasible"] is True
        assert row["student_params"] == 1e9
        assert row["bill"] is None
        for name in ("teacher_params", "teacher_tokens", "teacher_loss"):
            assert (row[name] is not None) == distilled


def test_plan_flops_add_up_and_are_what_each_scenario_charges(ok_json):
    charged = {
        SUPERVISED: set(),
        "best-case": set(),
        "teacher-inference": {"teacher_logits"},
        "teacher-pretraining": {"teacher_training"},
        "teacher-pretraining-and-inference": {"teacher_logits", "teacher_training"},
    }
    for row in ok_json(*PLAN)["options"]:
        flops = row["flops"]
        assert set(flops) == FLOPS_PARTS | {"total"}
        assert flops["total"] == pytest.approx(sum(flops[part] for part in FLOPS_PARTS), rel=1e-12)
        assert flops["total"] == pytest.approx(1e22, rel=1e-9)
        assert {part for part in FLOPS_PARTS if flops[part] > 0} == charged[row["scenario"]] | {"student_training"}


def test_plan_losses_are_those_of_the_law(ok_json):
    for row in ok_json(*PLAN)["options"]:
        if row["scenario"] == SUPERVISED:
            expected = LAW.supervised.loss(1e9, row["student_tokens"])
        else:
            assert row["teacher_loss"] == pytest.approx(
                float(LAW.supervised.loss(row["teacher_params"], row["teacher_tokens"])), rel=1e-9
            )
            expected = LAW.student_loss(1e9, row["student_tokens"], row["teacher_loss"])
        assert row["student_loss"] == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("compute", "best"), [("1e20", "best-case"), ("1e24", SUPERVISED)])
def test_plan_best_is_the_lowest_loss_and_gains_are_against_supervised(ok_json, compute, best):
    found = ok_json("plan", "--student-params", "300M", "--compute", compute)
    baseline = option(found, SUPERVISED)["student_loss"]
    assert found["best"] == min(found["options"], key=lambda row: row["student_loss"])["scenario"] == best
    for scenario in SCENARIOS:
        row = option(found, scenario)
        assert row["gain"] == pytest.approx(baseline - row["student_loss"], abs=1e-12)
        assert (row["supervised_compute_ratio"] > 1) == (row["gain"] > 0)


def test_plan_table_shows_the_numbers_and_the_verdict(ok, ok_json):
    found = ok_json(*PLAN)
    out, err = ok(*PLAN)
    for row in found["options"]:
        assert row["scenario"] in out
        assert f"{row['student_loss']:.3f}" in out
        assert f"{row['student_loss']:.4f}" not in out
    for text in ("1B parameters", "1e+22 FLOPs", "1.36T", "10.3B", "20T*", "too close"):
        assert text in out
    words = " ".join(out.split())
    assert words.startswith(found["answer"])
    for sentence in found["verdict"]:
        assert sentence in words
    assert err.splitlines() == [f"warning: {warning}" for warning in found["warnings"]]


def test_plan_table_with_money_is_not_cut_off(ok, ok_json):
    bought = (*PLAN, "--accelerator", "h100")
    bill = option(ok_json(*bought), SUPERVISED)["bill"]
    out, _ = ok(*bought)
    assert f"{bill['gpu_hours']:,.0f}" in out
    assert f"{bill['dollars']:,.0f}" in out
    assert "…" not in out


def test_plan_takes_hours_and_dollars_of_an_accelerator(ok_json):
    hours = ok_json("plan", "--student-params", "1B", "--gpu-hours", "1000", "--accelerator", "h100")
    assert hours["compute"] == pytest.approx(1000 * H100_HOUR, rel=1e-12)
    dollars = ok_json("plan", "--student-params", "1B", "--dollars", "2.5K", "--accelerator", "h100")
    assert dollars["options"] == hours["options"]
    for row in hours["options"]:
        assert row["bill"] == {
            "gpu_hours": pytest.approx(1000, rel=1e-9),
            "energy_kwh": pytest.approx(1000 * 0.7 * 1.2, rel=1e-9),
            "dollars": pytest.approx(1000 * H100_DOLLARS, rel=1e-9),
        }


def test_plan_accelerators_can_be_overridden(ok_json):
    own = ("--accelerator", "h100", "--peak-flops", "1e15", "--watts", "1K", "--price-per-hour", "5")
    found = ok_json("plan", "--student-params", "1B", "--gpu-hours", "1K", *own, "--utilisation", "0.5")
    assert found["compute"] == pytest.approx(1000 * 1e15 * 0.5 * 3600, rel=1e-12)
    bill = found["options"][0]["bill"]
    assert bill["dollars"] == pytest.approx(5000, rel=1e-9)
    assert bill["energy_kwh"] == pytest.approx(1200, rel=1e-9)


def test_plan_for_a_number_of_tokens(ok_json):
    found = ok_json("plan", "--student-params", "1B", "--student-tokens", "50B")
    assert found["student_tokens"] == 5e10
    assert "compute" not in found
    assert [row["student_tokens"] for row in found["options"]] == pytest.approx([5e10] * 5, rel=1e-9)
    losses = {row["scenario"]: row["student_loss"] for row in found["options"]}
    assert losses["best-case"] < losses[SUPERVISED]
    # Compute is free, so it does not matter what the teacher costs.
    assert [losses[name] for name in SCENARIOS] == pytest.approx([losses["best-case"]] * 4, abs=1e-6)


def test_plan_for_a_target_loss_takes_the_least_compute(ok_json):
    found = ok_json("plan", "--student-params", "1B", "--target-loss", "2.2")
    assert found["target_loss"] == 2.2
    assert [row["student_loss"] for row in found["options"]] == pytest.approx([2.2] * 5, abs=1e-6)
    assert found["best"] == min(found["options"], key=lambda row: row["flops"]["total"])["scenario"]
    assert all(option(found, scenario)["gain"] is None for scenario in SCENARIOS)


def test_plan_says_which_options_are_not_feasible(ok, ok_json):
    only_large = ("plan", "--student-params", "1B", "--compute", "1e16", "--min-teacher-params", "100B")
    found = ok_json(*only_large)
    assert found["best"] in (SUPERVISED, "best-case")
    for scenario in SCENARIOS:
        row = option(found, scenario)
        assert row["feasible"] == (scenario == "best-case")
        assert (row["student_loss"] is None) == (row["flops"]["total"] is None) == (not row["feasible"])
    assert ok(*only_large)[0].count("not feasible") >= 3


def test_plan_never_finds_fewer_tokens_than_allowed_feasible(capsys):
    # 1000 tokens are below the least that the search allows: for every option alike.
    status = main(["plan", "--student-params", "1B", "--student-tokens", "1000", "--json"])
    out, err = capsys.readouterr()
    if status == 0:
        assert {row["feasible"] for row in json.loads(out)["options"]} == {True}
    else:
        assert (status, out) == (2, "")
        assert "1000" in err


def test_plan_counts_flops_of_the_students_own_shape(ok_json, config):
    shape = ok_json("flops", "--student-params", config)
    found = ok_json("plan", "--student-params", config.parent, "--compute", "1e18")
    assert found["student_params"] == LLAMA_PARAMS == shape["n_params"]
    for row in found["options"]:
        per_token = row["flops"]["student_training"] / row["student_tokens"]
        assert per_token == pytest.approx(3 * shape["forward_flops_exact"], rel=1e-9)
    assert any("vocabulary of 1000" in warning for warning in found["warnings"])


def test_plan_with_finite_text(ok_json):
    found = ok_json(*PLAN, "--unique-tokens", "10B")
    assert all(row["student_tokens"] <= 1e10 * (1 + 1e-9) for row in found["options"])
    assert all(row["teacher_tokens"] <= 1e10 * (1 + 1e-9) for row in found["options"][1:])
    assert "student_tokens (most)" in option(found, SUPERVISED)["at_bounds"]
    assert option(found, SUPERVISED)["flops"]["total"] < 1e21


def test_plan_bounds_hold(ok_json):
    bounds = ("--max-student-tokens", "300B", "--min-teacher-params", "2B", "--max-teacher-params", "3B")
    found = ok_json(*PLAN, *bounds, "--max-teacher-tokens", "40B")
    for row in found["options"]:
        assert row["student_tokens"] <= 3e11 * (1 + 1e-9)
        if row["scenario"] != SUPERVISED:
            assert 2e9 * (1 - 1e-9) <= row["teacher_params"] <= 3e9 * (1 + 1e-9)
            assert row["teacher_tokens"] <= 4e10 * (1 + 1e-9)


def test_plan_students_share_a_teacher(ok_json):
    alone, shared = ok_json(*PLAN), ok_json(*PLAN, "--students", "5")
    for scenario, changed in zip([SUPERVISED, *SCENARIOS], [False, False, False, True, True], strict=True):
        losses = option(alone, scenario)["student_loss"], option(shared, scenario)["student_loss"]
        assert (losses[1] < losses[0] - 1e-4) == changed
        assert changed or losses[1] == losses[0]
    # With one student distilling loses, and the plan says how many turn it round by more than the law's resolution.
    words = ("plan", "--student-params", "1B", "--compute", "1e20")
    alone = ok_json(*words)
    many = option(alone, "teacher-pretraining")["students_to_flip"]
    leads = [
        option(ok_json(*words, "--students", str(students)), "teacher-pretraining")["lead"]
        for students in (1, many - 1, many)
    ]
    assert leads[0] < 0 < leads[1] <= alone["resolution"] < leads[2]
    assert f"once {many:.0f} students share the teacher" in alone["verdict"][3]


def test_plan_shared_or_cached_logits_cost_less(ok_json):
    def loss(scenario, *words):
        return option(ok_json(*PLAN, *words), scenario)["student_loss"]

    free = loss("best-case")
    paid = loss("teacher-inference")
    assert free < loss("teacher-inference", "--cached-fraction", "0.5") < paid
    assert loss("teacher-inference", "--cached-fraction", "1") == pytest.approx(free, abs=1e-6)
    assert loss("teacher-inference", "--students", "4") == paid
    assert free < loss("teacher-inference", "--students", "4", "--shared-logits") < paid


def test_plan_pays_for_serving(ok_json):
    found = ok_json(*PLAN, "--serving-tokens", "1T")
    for row in found["options"]:
        flops = row["flops"]
        assert flops["total"] == pytest.approx(1e22, rel=1e-9)
        assert flops["student_serving"] / 1e12 == pytest.approx(
            flops["student_training"] / (3 * row["student_tokens"]), rel=1e-9
        )
    assert found["options"][0]["student_loss"] > ok_json(*PLAN)["options"][0]["student_loss"]
    assert ok_json(*PLAN, "--serving-tokens", "0")["options"] == ok_json(*PLAN)["options"]


def test_plan_is_for_a_context_and_a_vocabulary(ok_json):
    base = option(ok_json(*PLAN), SUPERVISED)["student_tokens"]
    assert option(ok_json(*PLAN, "--context", "32768"), SUPERVISED)["student_tokens"] < base
    assert option(ok_json(*PLAN, "--vocabulary", "262144"), SUPERVISED)["student_tokens"] < base


# --- teachers ---------------------------------------------------------------------------------------------------------

TEACHER_KEYS = {
    *("name", "student_loss", "student_tokens", "teacher_params", "teacher_loss", "loss_from", "total_flops"),
    *("gain", "limit", "teacher_loss_error", "vocabulary", "other_tokenizer", "decision", "student_loss_interval"),
    *("gain_interval", "probability", "by_form", "turns_at", "resolution"),
}


@pytest.fixture
def at_hand(tmp_path):
    return table_of(
        tmp_path / "teachers.csv",
        {"name": "good", "params": "1B", "loss": 2.1, "tokens": ""},
        {"name": "bad", "params": "7B", "loss": 3.5, "tokens": ""},
        {"name": "by size", "params": "3B", "loss": "", "tokens": "1T"},
    )


def test_teachers_json(ok_json, at_hand):
    found = ok_json("teachers", at_hand, "--student-params", "1B", "--compute", "1e21")
    assert set(found) == {
        *("law", "student_params", "compute", "scenario", "best", "teachers", "warnings", "answer", "verdict"),
    }
    assert found["scenario"] == "teacher-inference"
    assert all(set(row) == TEACHER_KEYS for row in found["teachers"])
    assert {row["name"] for row in found["teachers"]} == {"good", "bad", "by size", NO_TEACHER}
    losses = [row["student_loss"] for row in found["teachers"]]
    assert losses == sorted(losses)
    assert found["best"] == found["teachers"][0]["name"] == "good"
    rows = {row["name"]: row for row in found["teachers"]}
    baseline = rows[NO_TEACHER]
    assert (baseline["teacher_params"], baseline["teacher_loss"], baseline["gain"]) == (None, None, 0)
    for row in found["teachers"]:
        assert row["gain"] == pytest.approx(baseline["student_loss"] - row["student_loss"], abs=1e-12)
        assert row["total_flops"] == pytest.approx(1e21, rel=1e-9)
    assert rows["bad"]["gain"] < 0 < rows["good"]["gain"]
    assert rows["good"]["loss_from"] == "measured"
    assert rows["by size"]["loss_from"] == "estimated from size and tokens"
    assert rows["by size"]["teacher_loss"] == pytest.approx(float(LAW.supervised.loss(3e9, 1e12)), rel=1e-12)


def test_teachers_with_free_logits_leave_all_tokens_to_the_student(ok_json, at_hand):
    words = ("teachers", at_hand, "--student-params", "1B", "--compute", "1e21", "--scenario")
    free, paid = ok_json(*words, "best-case"), ok_json(*words, "teacher-inference")
    assert len({row["student_tokens"] for row in free["teachers"]}) == 1
    paid_tokens = {row["name"]: row["student_tokens"] for row in paid["teachers"]}
    assert paid_tokens["bad"] < paid_tokens["by size"] < paid_tokens["good"] < paid_tokens[NO_TEACHER]


def test_teachers_for_a_number_of_tokens(ok_json, at_hand):
    found = ok_json("teachers", at_hand, "--student-params", "1B", "--student-tokens", "20B")
    assert [row["student_tokens"] for row in found["teachers"]] == [2e10] * 4


def test_teachers_that_are_too_dear_are_named(ok_json, tmp_path):
    table = table_of(
        tmp_path / "t.csv", {"name": "huge", "params": "1e13", "loss": 2}, {"name": "ok", "params": "1B", "loss": 2}
    )
    found = ok_json("teachers", table, "--student-params", "1B", "--compute", "2e16")
    assert [row["name"] for row in found["teachers"]] == ["ok", NO_TEACHER]
    assert any("left out: huge" in warning for warning in found["warnings"])


def test_teachers_in_bits_per_byte_state_the_assumption(ok_json, tmp_path):
    table = table_of(tmp_path / "t.csv", {"name": "a", "params": "7B", "bits_per_byte": 0.75})
    found = ok_json("teachers", table, "--student-params", "1B", "--student-tokens", "20B", "--bytes-per-token", "4.2")
    row = next(row for row in found["teachers"] if row["name"] == "a")
    assert row["teacher_loss"] == pytest.approx(loss_from_bits_per_byte(0.75, 4.2), rel=1e-12)
    assert row["loss_from"] == "from bits per byte"
    assert any("from bits per byte assume" in warning for warning in found["warnings"])


@pytest.mark.parametrize("context", [4096, 32768])
def test_teachers_given_by_a_config_cost_what_their_shape_costs(ok_json, tmp_path, config, context):
    shape = ok_json("flops", "--student-params", config, "--context", context)
    table = table_of(tmp_path / "t.csv", {"name": "llama", "params": config, "loss": 2.9})
    found = ok_json("teachers", table, "--student-params", "1B", "--compute", "1e20", "--context", context)
    rows = {row["name"]: row for row in found["teachers"]}
    assert rows["llama"]["teacher_params"] == LLAMA_PARAMS
    per_token = {name: row["total_flops"] / row["student_tokens"] for name, row in rows.items()}
    assert per_token["llama"] - per_token[NO_TEACHER] == pytest.approx(shape["forward_flops_exact"], rel=1e-6)


def test_teachers_table_shows_the_numbers(ok, ok_json, at_hand):
    words = ("teachers", at_hand, "--student-params", "1B", "--compute", "1e21")
    out, _ = ok(*words)
    for row in ok_json(*words)["teachers"]:
        assert row["name"] in out
        assert f"{row['student_loss']:.3f}" in out
        if row["decision"] in ("distill", "train supervised"):
            assert f"{row['gain']:+.3f}" in out
    assert "estimated from size and tokens" in out


@pytest.mark.parametrize("name", ["llama [instruct]", "[red]x", "[/x]", "a:smile:b", "[link=x]y[/link]"])
def test_a_teachers_name_is_shown_as_it_is(ok, tmp_path, name):
    table = table_of(tmp_path / "t.csv", {"name": name, "params": "1B", "loss": 2.1})
    assert name in ok("teachers", table, "--student-params", "1B", "--compute", "1e21")[0]


# --- crossover --------------------------------------------------------------------------------------------------------


def test_crossover_json(ok_json):
    found = ok_json("crossover", "--student-params", "300M,1B")
    assert set(found) == {"law", "target_loss", "students", "warnings", "answer", "scenario", "resolution"}
    spans = {"crossings", "ahead", "clearly_ahead", "clearly_behind", "searched", "words", "laws"}
    assert [student["student_params"] for student in found["students"]] == [3e8, 1e9]
    for student in found["students"]:
        assert set(student) == {"student_params", "equal_tokens", "scenarios"}
        assert set(student["equal_tokens"]) == {"status", "student_tokens", "student_loss"} | spans
        assert list(student["scenarios"]) == SCENARIOS
        for row in student["scenarios"].values():
            assert set(row) == {"status", "compute", "student_loss", "student_tokens", "distilled_tokens"} | spans
            assert row["status"] == "crosses"
        # The more is charged, the sooner supervised training overtakes.
        free, *one, both = (row["compute"] for row in student["scenarios"].values())
        assert all(both <= compute <= free for compute in one)


def test_at_the_crossover_both_are_equally_good(ok_json):
    row = ok_json("crossover", "--student-params", "1B")["students"][0]["scenarios"]["teacher-inference"]
    plan = ok_json("plan", "--student-params", "1B", "--compute", repr(row["compute"]))
    assert option(plan, "teacher-inference")["gain"] == pytest.approx(0, abs=1e-6)
    assert row["student_loss"] == pytest.approx(option(plan, SUPERVISED)["student_loss"], abs=1e-6)
    assert row["student_tokens"] == pytest.approx(option(plan, SUPERVISED)["student_tokens"], rel=1e-3)
    assert row["distilled_tokens"] == pytest.approx(option(plan, "teacher-inference")["student_tokens"], rel=1e-2)


def test_crossover_ratios_to_a_target(ok_json):
    words = ("--student-params", "1B", "--target-loss", "2.2")
    scenarios = ok_json("crossover", *words)["students"][0]["scenarios"]
    plan = ok_json("plan", *words)
    for scenario, row in scenarios.items():
        ours, theirs = option(plan, scenario), option(plan, SUPERVISED)
        assert row["data_ratio"] == pytest.approx(ours["student_tokens"] / theirs["student_tokens"], rel=1e-6)
        assert row["compute_ratio"] == pytest.approx(ours["flops"]["total"] / theirs["flops"]["total"], rel=1e-6)


def test_crossover_moves_with_margin_and_sharing(ok_json):
    def at(scenario, *words):
        return ok_json("crossover", "--student-params", "1B", *words)["students"][0]["scenarios"][scenario]["compute"]

    assert at("teacher-inference", "--margin", "0.01") < at("teacher-inference")
    assert at("teacher-pretraining", "--students", "100") > 10 * at("teacher-pretraining")
    assert at("best-case", "--students", "100") == at("best-case")


def test_a_target_that_is_no_loss_is_refused(capsys):
    assert main(["plan", "--student-params", "1B", "--target-loss", "1e22"]) == 2
    assert "target_loss 1e+22 is no loss in nats per token" in capsys.readouterr().err


def test_crossover_sizes_with_commas_or_given_again_are_the_same(ok_json):
    commas, again = (["1B,3B"], ["1B", "--student-params", "3B"])
    assert ok_json("crossover", "--student-params", *commas) == ok_json("crossover", "--student-params", *again)


def test_crossover_that_does_not_exist_is_null(ok, ok_json):
    words = ("crossover", "--student-params", "1B", "--margin", "100")
    student = ok_json(*words)["students"][0]
    for row in [student["equal_tokens"], *student["scenarios"].values()]:
        assert row["status"] == "distillation never ahead"
        numbers = ("compute", "student_loss", "student_tokens", "distilled_tokens")
        assert {row[key] for key in numbers if key in row} == {None}
        assert (row["crossings"], row["ahead"], row["words"].split(" (")[0]) == (
            [],
            [],
            "nowhere ahead by 100 nats or more",
        )
    assert "nowhere ahead by 100" in ok(*words)[0]


def test_crossover_table_shows_the_numbers(ok, ok_json):
    words = ("crossover", "--student-params", "1B,3B", "--target-loss", "2.2")
    out, _ = ok(*words)
    found = ok_json(*words)
    assert " ".join(out.split()).startswith(found["answer"])
    for student in found["students"]:
        for scenario, row in student["scenarios"].items():
            assert scenario in out
            assert f"below {row['compute']:.2e}" in out
            assert f"{row['compute_ratio']:.3g}" in out


def test_each_crossing_carries_what_lies_outside_the_fitted_range(ok_json):
    """7.48e22 FLOPs is 10.2T tokens, where 98.5B were fitted; 1.86e17 is 25M tokens."""
    student = ok_json("crossover", "--student-params", "1B", "--law", "busbridge2025-consistent")["students"][0]
    for scenario, compute in (("best-case", 7.48e22), ("teacher-pretraining-and-inference", 1.86e17)):
        [crossing] = student["scenarios"][scenario]["crossings"]
        assert crossing["at"] == pytest.approx(compute, rel=0.01)
        assert any("student_tokens" in warning and "an extrapolation" in warning for warning in crossing["warnings"])


# --- flops ------------------------------------------------------------------------------------------------------------

FLOPS_KEYS = {
    *("n_params", "n_embedding", "n_total", "n_layers", "d_model", "d_ff", "n_heads", "n_kv_heads", "d_head"),
    *(
        "n_vocab",
        "n_ctx",
        "n_local_layers",
        "window",
        "forward_flops_exact",
        "forward_flops_closed_form",
        "closed_form_error",
        "two_n_error",
    ),
    *("training_flops_per_token", "tokens", "training_flops", "bill", "warnings"),
}


def test_flops_json_is_in_units(ok_json):
    found = ok_json("flops", "--layers", "14")
    assert set(found) == FLOPS_KEYS
    assert found["n_params"] == 545_970_432
    assert found["n_total"] == 604_690_688 == found["n_params"] + found["n_embedding"]
    assert all(isinstance(found[name], int) for name in ("n_params", "n_embedding", "n_total", "d_model"))
    exact, closed = found["forward_flops_exact"], found["forward_flops_closed_form"]
    assert exact == pytest.approx(1.4168e9, rel=1e-4)
    assert closed == pytest.approx(1.4149e9, rel=1e-4)
    assert found["closed_form_error"] == pytest.approx(closed / exact - 1, rel=1e-9)
    assert found["two_n_error"] == pytest.approx(2 * found["n_params"] / exact - 1, rel=1e-9)
    assert found["training_flops_per_token"] == 3 * exact
    assert (found["tokens"], found["training_flops"], found["bill"]) == (None, None, None)


def test_flops_of_a_size_are_those_of_the_nearest_member(ok_json):
    assert ok_json("flops", "--student-params", "546M") == ok_json("flops", "--layers", "14")
    far = ok_json("flops", "--student-params", "600M")
    assert far["n_layers"] == 14
    assert any("no member of the family has 6e+08 parameters" in warning for warning in far["warnings"])


def test_flops_of_a_config(ok_json, config):
    found = ok_json("flops", "--student-params", config)
    assert (found["n_params"], found["n_vocab"], found["n_kv_heads"]) == (LLAMA_PARAMS, 1000, 2)
    assert found["n_embedding"] == 2 * 1000 * 64
    assert found["n_ctx"] == 4096
    longer = ok_json("flops", "--student-params", config, "--context", "8192")
    attention = 2 * (2 * 64 + 2.5 * 4) * 4096  # of the 4096 tokens more, in two blocks
    assert longer["forward_flops_exact"] - found["forward_flops_exact"] == attention


def test_flops_of_a_model_with_windows(ok_json, ok, tmp_path):
    """Two of three layers see 512 of 32768 positions: the mean of min(position, 512) is 508."""
    text = {"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
    text |= {"sliding_window_pattern": 3}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    whole = ok_json("flops", "--student-params", str(file), "--context", "32768")
    file.write_text(json.dumps({"model_type": "gemma3", "text_config": text | {"sliding_window": 512}}))
    found = ok_json("flops", "--student-params", str(file), "--context", "32768")
    assert (found["n_local_layers"], found["window"]) == (2, 512)
    per_position = 4 * 8 * 256 + 5 * 8
    mean = {512: 508, 4096: 4096 * (1 - 4096 / 65536)}
    saved = whole["forward_flops_exact"] - found["forward_flops_exact"]
    assert saved == pytest.approx(2 * per_position * (mean[4096] - mean[512]), rel=1e-9)
    assert found["warnings"][0] == "the text part (gemma3_text) of gemma3 is counted, not its other parts"
    assert "num_attention_heads 8" in found["warnings"][1]
    assert "2 of 3, 512" in ok("flops", "--student-params", file)[0]


def test_flops_of_a_training_and_its_bill(ok_json):
    found = ok_json("flops", "--layers", "14", "--tokens", "1T", "--accelerator", "h100")
    assert found["training_flops"] == pytest.approx(3e12 * found["forward_flops_exact"])
    hours = found["training_flops"] / H100_HOUR
    assert found["bill"]["gpu_hours"] == pytest.approx(hours)
    assert found["bill"]["dollars"] == pytest.approx(hours * H100_DOLLARS)


def test_flops_table_shows_the_numbers(ok):
    out, _ = ok("flops", "--layers", "14", "--tokens", "1T", "--accelerator", "h100")
    for text in ("545,970,432", "604,690,688", "1.4168e+09", "-22.93 %", "-0.13 %", "4.25e+21 FLOPs", "$7,461"):
        assert text in out


# --- laws and check ---------------------------------------------------------------------------------------------------


def test_laws_json(ok_json):
    found = ok_json("laws")
    assert found["default"] == "busbridge2025-consistent"
    names = ["hoffmann2022", "besiroglu2024", "busbridge2025", "busbridge2025-refit", "busbridge2025-consistent"]
    names += ["busbridge2025-peaked", "busbridge2025-effective-tokens"]
    assert [law["name"] for law in found["laws"]] == names
    (law,) = ok_json("laws", "besiroglu2024")["laws"]
    assert set(law) == {
        *("name", "kind", "coefficients", "intervals", "interval_level", "source", "data", "size_convention", "runs"),
        *("fitted_range", "cautions", "resolution", "alternatives"),
    }
    expected = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658, "gamma": 1.0}
    assert law["coefficients"] == expected
    assert law["kind"] == "supervised"


def test_laws_tables_show_names_and_numbers(ok):
    out, _ = ok("laws")
    assert all(name in out for name in ("hoffmann2022", "besiroglu2024", "busbridge2025-consistent (default)"))
    one, _ = ok("laws", "busbridge2025")
    assert all(text in one for text in ("0.637", "0.634 to 0.64", "table 6", "English C4", "caution: "))


@pytest.fixture
def runs(tmp_path):
    """Four runs that the law predicts 1 % too low, 1 % too low, 3 % too high, and right."""

    def row(params, tokens, teacher_loss, error):
        loss = (
            LAW.supervised.loss(params, tokens)
            if teacher_loss is None
            else LAW.student_loss(params, tokens, teacher_loss)
        )
        return {"N": params, "D": tokens, "L_T": teacher_loss or "", "L": repr(float(loss) / (1 + error))}

    return table_of(
        tmp_path / "runs.csv",
        row(1e9, 2e10, 2.2, -0.01),
        row(1e9, 2e10, 2.4, -0.01),
        row(3e8, 6e9, 2.4, 0.03),
        row(3e8, 1e10, None, 0.0),
    )


def test_check_json(ok_json, runs):
    found = ok_json("check", runs, "--law", "busbridge2025")
    errors = {"runs", "mean_abs_rel_error", "max_abs_rel_error", "bias"}
    assert set(found) == {"law", "table", "groups", "warnings"} | errors
    assert found["table"] == str(runs)
    assert found["runs"] == 4
    assert found["mean_abs_rel_error"] == pytest.approx(0.0125, rel=1e-9)
    assert found["max_abs_rel_error"] == pytest.approx(0.03, rel=1e-9)
    assert found["bias"] == pytest.approx(0.0025, rel=1e-9)
    assert all(set(group) == {"student_params", "student_tokens"} | errors for group in found["groups"])
    shown = [(group["student_params"], group["student_tokens"], group["runs"]) for group in found["groups"]]
    assert shown == [(3e8, 6e9, 1), (3e8, 1e10, 1), (1e9, 2e10, 2)]
    assert [group["bias"] for group in found["groups"]] == pytest.approx([0.03, 0.0, -0.01], abs=1e-12)


def test_check_table_shows_the_numbers(ok, runs):
    out, _ = ok("check", runs)
    for text in ("busbridge2025 against 4 runs", "300M", "20B", "1.25 %", "3.00 %", "+0.25 %", "-1.00 %"):
        assert text in out


# --- Help -------------------------------------------------------------------------------------------------------------

COMMANDS = ["plan", "predict", "teachers", "crossover", "flops", "laws", "check"]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(ok, words):
    out, err = ok(*words)
    assert all(command in out for command in COMMANDS)
    assert err == ""


def test_help_lists_tasks_in_their_order(ok):
    out, _ = ok("--help")
    tasks = ["Plan and predict", "Laws, published and from runs", "Train and distill", "Studies and labs"]
    in_order = [*tasks, "Page and reports", "About"]
    assert [line.strip("╭╮─ ") for line in out.splitlines() if line.startswith("╭")] == in_order
    first = [line.split()[1] for line in out.splitlines() if line.startswith("│ ") and line[2] != " "]
    assert first[:8] == ["plan", "predict", "teachers", "crossover", "flops", "laws", "check", "fit"]
    out, _ = ok("study", "--help")
    shown = [line.split()[1] for line in out.splitlines() if line.startswith("│ ") and line[2] != " "]
    assert shown == ["plan", "run", "resume", "status", "stop", "table", "report"]


def test_help_of_plan_begins_with_what_is_asked(ok):
    out, _ = ok("plan", "--help")
    groups = [line.strip("╭╮─ ").partition(" (")[0] for line in out.splitlines() if line.startswith("╭")]
    assert groups == ["Parameters", "Budget", "Sharing and serving", "Bounds", "Model family", "Hardware"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(ok, command):
    out, _ = ok(command, "--help")
    assert f"distlaw {command}" in out
    assert "--json" in out


def test_help_of_plan_tells_budgets_scenarios_and_bounds(ok):
    out, _ = ok("plan", "--help")
    for text in ("--compute", "--target-loss", "--unique-tokens", "--figure", "--students", "teacher-inference"):
        assert text in out


def test_version(ok):
    assert ok("--version")[0].strip() == distlaw.__version__


# --- Bad input --------------------------------------------------------------------------------------------------------

HOURS = ("plan", "--student-params", "1B", "--gpu-hours", "1000", "--accelerator", "h100")
BAD_NUMBERS = ["0", "-1", "nan", "inf", "-inf", "many", "1.5X", "1e400"]


@pytest.mark.parametrize("value", BAD_NUMBERS)
@pytest.mark.parametrize(
    ("option_name", "words"),
    [
        ("--student-params", ("predict", "--student-tokens", "200B")),
        ("--student-tokens", ("predict", "--student-params", "1B")),
        ("--teacher-loss", PREDICT),
        ("--teacher-params", (*PREDICT, "--teacher-tokens", "1T")),
        ("--teacher-tokens", (*PREDICT, "--teacher-params", "1B")),
        ("--teacher-bits-per-byte", (*PREDICT, "--bytes-per-token", "4")),
        ("--bytes-per-token", (*PREDICT, "--teacher-bits-per-byte", "1")),
        ("--student-params", ("plan", "--compute", "1e22")),
        ("--compute", ("plan", "--student-params", "1B")),
        ("--gpu-hours", ("plan", "--student-params", "1B", "--accelerator", "h100")),
        ("--dollars", ("plan", "--student-params", "1B", "--accelerator", "h100")),
        ("--student-tokens", ("plan", "--student-params", "1B")),
        ("--target-loss", ("plan", "--student-params", "1B")),
        ("--unique-tokens", PLAN),
        ("--max-student-tokens", PLAN),
        ("--min-teacher-params", PLAN),
        ("--max-teacher-params", PLAN),
        ("--max-teacher-tokens", PLAN),
        ("--price-per-hour", HOURS),
        ("--peak-flops", HOURS),
        ("--watts", HOURS),
        ("--student-params", ("crossover",)),
        ("--target-loss", ("crossover", "--student-params", "1B")),
        ("--student-params", ("flops",)),
        ("--tokens", ("flops", "--layers", "14")),
    ],
)
def test_bad_quantities_are_named_with_their_option(fails, option_name, words, value):
    line = fails(*words, option_name, value)
    assert f"'{value}' is " in line
    assert option_name in line


@pytest.mark.parametrize("value", [*BAD_NUMBERS[1:], ""])
def test_bad_serving_tokens(fails, value):
    assert "--serving-tokens" in fails(*PLAN, "--serving-tokens", value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Numbers out of range.
        ((*HOURS, "--utilisation", "0"), "utilisation must be above 0 and at most 1, got 0"),
        ((*HOURS, "--utilisation", "2"), "utilisation must be above 0 and at most 1, got 2"),
        ((*HOURS, "--utilisation", "nan"), "utilisation must be above 0 and at most 1, got nan"),
        ((*HOURS, "--utilisation", "most"), "--utilisation"),
        ((*PLAN, "--utilisation", "2"), "utilisation"),
        ((*PLAN, "--students", "0.5"), "students must be 1 or more, got 0.5"),
        ((*PLAN, "--students", "nan"), "students must be 1 or more, got nan"),
        ((*PLAN, "--students", "inf"), "students must be 1 or more, got inf"),
        ((*PLAN, "--students", "two"), "--students"),
        ((*PLAN, "--cached-fraction", "2"), "must be between 0 and 1, got 2"),
        ((*PLAN, "--cached-fraction", "-0.1"), "must be between 0 and 1, got -0.1"),
        ((*PLAN, "--cached-fraction", "nan"), "must be between 0 and 1, got nan"),
        ((*PLAN, "--context", "0"), "--context: '0' is not a whole number"),
        ((*PLAN, "--context", "long"), "--context"),
        ((*PLAN, "--context", "4096.5"), "--context"),
        ((*PLAN, "--vocabulary", "-5"), "--vocabulary: '-5' is not a whole number"),
        (("flops", "--layers", "0"), "--layers: '0' is not a whole number"),
        (("flops", "--layers", "-3"), "--layers: '-3' is not a whole number"),
        (("flops", "--layers", "deep"), "--layers"),
        (("flops", "--layers", "14.5"), "14.5"),
        (("flops", "--layers", "9" * 400), "layers"),
        (("flops", "--layers", "14", "--context", "0"), "--context"),
        (("crossover", "--student-params", "1B", "--margin", "-1"), "--margin must be 0 or more nats, got -1"),
        (("crossover", "--student-params", "1B", "--margin", "nan"), "--margin must be 0 or more nats, got nan"),
        (("crossover", "--student-params", "1B", "--students", "0"), "students must be 1 or more, got 0"),
        (("crossover", "--student-params", "1B,big"), "'big' is not a number"),
        (("crossover", "--student-params", "1B,0"), "'0' is not a finite number above 0"),
        (("crossover", "--student-params", "1B,,3B"), "'' is not a number"),
        (("predict", "--student-params", "", "--student-tokens", "1B"), "'' is not a number"),
        (("predict", "--student-params", "x" * 5000, "--student-tokens", "1B"), "--student-params"),
        # Too much or too little given.
        (("plan", "--student-params", "1B"), "got none of them"),
        ((*PLAN, "--student-tokens", "1B"), "got --compute and --student-tokens"),
        ((*PLAN, "--target-loss", "2.2"), "got --compute and --target-loss"),
        ((*HOURS, "--dollars", "100"), "got --gpu-hours and --dollars"),
        ((*PLAN, "--compute", "1e21"), "--compute"),
        (("plan", "--student-params", "1B", "--gpu-hours", "10"), "--gpu-hours needs --accelerator"),
        (("plan", "--student-params", "1B", "--dollars", "10"), "--dollars needs --accelerator"),
        ((*PLAN, "--peak-flops", "1e15"), "--peak-flops"),
        (("plan", "--compute", "1e22"), "--student-params"),
        (("predict", "--student-params", "1B"), "--student-tokens"),
        (("predict", "--student-tokens", "1B"), "--student-params"),
        (("predict", "--student-params", "1B", "--student-tokens"), "--student-tokens"),
        ((*PREDICT, "--teacher-params", "1B"), "--teacher-tokens is missing"),
        ((*PREDICT, "--teacher-tokens", "1B"), "--teacher-params is missing"),
        ((*PREDICT, "--teacher-bits-per-byte", "1"), "--bytes-per-token"),
        ((*PREDICT, "--bytes-per-token", "4"), "--teacher-bits-per-byte"),
        ((*PREDICT, "--teacher-loss", "2", "--teacher-params", "1B", "--teacher-tokens", "1B"), "--teacher-params"),
        ((*PREDICT, "--teacher-loss", "2", "--teacher-bits-per-byte", "1", "--bytes-per-token", "4"), "given twice"),
        (("flops",), "give one of --layers and --student-params"),
        (("flops", "--layers", "14", "--student-params", "1B"), "give one of --layers and --student-params"),
        (("crossover",), "--student-params"),
        (("check",), "--table"),
        (("teachers", "--student-params", "1B", "--compute", "1e21"), "--table"),
        # Bounds that contradict each other.
        ((*PLAN, "--min-teacher-params", "2B", "--max-teacher-params", "1B"), "2e+09, is above the most, 1e+09"),
        ((*PLAN, "--max-teacher-params", "1e5"), "the most, 100000"),
        # Unknown names.
        ((*PLAN, "--law", "kaplan2020"), "'kaplan2020' is unknown; choose one of hoffmann2022"),
        ((*PREDICT, "--law", ""), "law '' is unknown"),
        (("laws", "kaplan2020"), "'kaplan2020' is unknown; choose one of hoffmann2022"),
        ((*PLAN, "--law", "hoffmann2022"), "'hoffmann2022' is supervised only"),
        ((*PREDICT, "--law", "besiroglu2024", "--teacher-loss", "2.1"), "'besiroglu2024' is supervised only"),
        (("crossover", "--student-params", "1B", "--law", "besiroglu2024"), "'besiroglu2024' is supervised only"),
        ((*PLAN, "--accelerator", "zx81"), "accelerator 'zx81' is unknown; choose one of a100, h100"),
        ((*PLAN, "--budget", "1e22"), "--budget"),
        ((*PLAN, "extra"), "extra"),
        ((*PLAN, "--no-json"), "--no-json"),
        (("frobnicate",), "frobnicate"),
        (("--frobnicate",), "--frobnicate"),
        (("laws", "a", "b"), "b"),
        # Out of reach.
        (("plan", "--student-params", "1B", "--compute", "1e10"), "compute 1e+10 FLOPs is too small"),
        (("plan", "--student-params", "1B", "--target-loss", "1.5"), "target_loss 1.5 nats is out of reach"),
        (("plan", "--student-params", "1B", "--target-loss", "2.0"), "the lowest is 2.079"),
        ((*PLAN, "--serving-tokens", "1e17"), "too small"),
        # Figures.
        ((*PLAN, "--figure", "plan.gif"), "'plan.gif' must end in .png, .svg, .pdf"),
        ((*PLAN, "--figure", "plan"), "'plan' must end in .png, .svg, .pdf"),
        ((*PLAN, "--figure", "nowhere/plan.png"), "there is no folder 'nowhere'"),
        ((*PLAN, "--figure", "x" * 5000 + ".png"), "figure "),
        (("crossover", "--student-params", "1B", "--figure", "x.jpeg"), "'x.jpeg' must end in"),
        (("crossover", "--student-params", "1B", "--figure", "nowhere/x.svg"), "there is no folder 'nowhere'"),
        # Files that are not there.
        (("check", "none.csv"), "none.csv: no such file"),
        (("check", "none.txt"), "none.txt: "),
        (("check", "none.csv", "--law", "kaplan2020"), "kaplan2020"),
        (("teachers", "none.csv", "--student-params", "1B", "--compute", "1e21"), "none.csv: no such file"),
        (("flops", "--student-params", "none.json"), "none.json: cannot be read"),
        (("plan", "--student-params", "none/", "--compute", "1e22"), "none: cannot be read"),
    ],
    ids=lambda value: " ".join(value)[:80] if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_that_names_it(fails, words, expected):
    assert expected in fails(*words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N,L\n1B,2.5\n", "missing column student_tokens"),
        ("", "runs.csv"),
        ("N,D,L\n", "no rows"),
        ("N,D,L\n1B,20B,2.5\n1B,0,2.5\n", "row 2, column student_tokens: '0' is not a finite number above 0"),
        ("N,D,L\n1B,20B,\n", "row 1, column student_loss: the cell is empty"),
        ("N,D,L\n1B,20B,nan\n", "row 1, column student_loss: 'nan'"),
        ("N,D,L\n" + "1B,20B,x\n" * 7, "row 5, column student_loss: 'x'"),
        ("N,D,L\n" + "1B,20B,x\n" * 7, "; and 2 more"),
        ("N,D,L,student_loss\n1B,20B,2.5,2.5\n", "columns 'L' and 'student_loss' both mean student_loss"),
        ("N,D,L\n1B,20B,2.5,7\n", "runs.csv"),
        ('N,D,L\n1B,20B,"2\n5"\n', "row 1, column student_loss"),
    ],
)
def test_bad_tables_are_named_by_row_and_column(fails, tmp_path, text, expected):
    (tmp_path / "runs.csv").write_text(text, encoding="utf-8")
    line = fails("check", "runs.csv")
    assert line.startswith("runs.csv: ")
    assert expected in line


def test_check_of_distilled_runs_needs_a_distillation_law(fails, runs):
    assert "3 distilled runs" in fails("check", runs, "--law", "besiroglu2024")


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("name,loss\na,2.1\n", (), "missing column params"),
        ("name,params,loss\na,1B,2.1\nb,none,2.1\n", (), "row 2, column params: 'none'"),
        ("name,params,loss\na,1B,2.1\nb,none.json,2.1\n", (), "row 2, column params: none.json"),
        ("name,params,loss\na,1B,2.1\nb,1B,\n", (), "row 2: give loss, bits_per_byte or tokens"),
        ("name,params,bits_per_byte\na,1B,0.7\n", (), "--bytes-per-token"),
        ("name,params,loss,bits_per_byte\na,1B,2,0.7\n", ("--bytes-per-token", "4"), "not both"),
        ("name,params,loss\na,1B,2.1\n", ("--scenario", "teacher-pretraining"), "teacher-pretraining"),
        ("name,params,loss\na,1B,2.1\n", ("--law", "hoffmann2022"), "'hoffmann2022' is supervised only"),
    ],
)
def test_bad_tables_of_teachers(fails, tmp_path, text, words, expected):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert expected in fails("teachers", "t.csv", "--student-params", "1B", "--compute", "1e21", *words)


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (("--compute", "1e10"), "too small"),
        (("--student-tokens", "10"), "10 is below the least allowed"),
        (("--target-loss", "2.2"), "target"),
        ((), "got none of them"),
    ],
)
def test_budgets_that_do_not_rank_teachers(fails, at_hand, goal, expected):
    assert expected in fails("teachers", at_hand, "--student-params", "1B", *goal)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps(LLAMA | {"num_local_experts": 8}), "mixture of experts"),
        (json.dumps(LLAMA | {"model_type": "mamba"}), "'mamba'"),
        (json.dumps({key: value for key, value in LLAMA.items() if key != "vocab_size"}), "'vocab_size'"),
        (json.dumps(LLAMA | {"hidden_size": 0}), "'hidden_size'"),
        (json.dumps(LLAMA | {"hidden_size": 10**200}), "config.json"),
        (json.dumps(LLAMA | {"num_attention_heads": 7}), "7"),
        ("{", "config.json: "),
        ("[1]", "is not a JSON object"),
        ("", "config.json: "),
        ("[" * 100_000, "config.json"),
    ],
    ids=["experts", "family", "missing", "zero", "huge", "heads", "cut off", "no object", "empty", "deep"],
)
@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--compute", "1e22", "--student-params"),
        ("flops", "--student-params"),
        (*PREDICT, "--teacher-tokens", "1T", "--teacher-params"),
        ("crossover", "--student-params"),
    ],
    ids=["plan", "flops", "predict", "crossover"],
)
def test_bad_configs(fails, tmp_path, words, content, expected):
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    line = fails(*words, "./config.json")
    assert expected in line
    assert "config.json" in line


def test_a_config_that_is_binary(fails, tmp_path):
    (tmp_path / "config.json").write_bytes(bytes(range(256)))
    assert "config.json" in fails("flops", "--student-params", "config.json")


def outcome(words):
    """(status, standard output, standard error) of a command, Python's warnings being errors."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        return main(words), out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "--student-params", "1e300", "--student-tokens", "1e300", "--teacher-loss", "1e300"),
        ("predict", "--student-params", "1e-300", "--student-tokens", "1e-300", "--teacher-loss", "1e-300"),
        ("predict", "--student-params", "1B", "--student-tokens", "1B", "--teacher-loss", "1e-300"),
        ("plan", "--student-params", "1e300", "--compute", "1e22"),
        ("plan", "--student-params", "1e-300", "--compute", "1e22"),
        ("plan", "--student-params", "1B", "--compute", "1e300"),
        ("plan", "--student-params", "1B", "--student-tokens", "1e300"),
        ("plan", "--student-params", "1B", "--target-loss", "1e300"),
        ("plan", "--student-params", "1B", "--student-tokens", "1e17", "--serving-tokens", "1e300"),
        (*PLAN, "--unique-tokens", "1e-300"),
        (*PLAN, "--students", "1e300"),
        ("crossover", "--student-params", "1e300"),
        ("crossover", "--student-params", "1e-300"),
        ("flops", "--student-params", "1e300", "--tokens", "1e300"),
        ("flops", "--student-params", "1e-300"),
        (*HOURS[:-1], "h100", "--price-per-hour", "1e-300"),
    ],
    ids=" ".join,
)
def test_sizes_beyond_all_reason_are_answered_or_refused_cleanly(words):
    status, out, err = outcome([*words, "--json"])
    if status == 0:
        json.loads(out)
        assert err == ""
    else:
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--student-params", "1B", "--compute", "1e300"),
        ("crossover", "--student-params", "1e20"),
        ("crossover", "--student-params", "1B", "--unique-tokens", "1000"),
    ],
    ids=" ".join,
)
def test_a_figure_of_the_extreme_is_drawn_or_refused_cleanly(tmp_path, words):
    figure = tmp_path / "figure.svg"
    status, out, err = outcome([*words, "--json", "--figure", str(figure)])
    if status == 0:
        assert figure.stat().st_size > 0
    else:
        assert (status, out) == (2, ""), "an answer was printed before the refusal"
        assert err.startswith("distlaw: error: ")
        assert list(tmp_path.iterdir()) == []


words_typed = (
    st.sampled_from(
        ["1B", "200B", "2.1", "0", "-1", "nan", "1e400", "", ".", "..", "~", "x.json", "/", "-", "--", "=", "\0"]
    )
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.text(alphabet="0123456789.,eE+-kMBT", max_size=8)
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.sampled_from(["--student-tokens", "--teacher-loss", "--teacher-params", "--law", "--x"]),
    words_typed,
    words_typed,
)
@example("--student-tokens", "a" * 5000, "1B")
def test_whatever_is_typed_gives_an_answer_or_one_line(option_name, size, value):
    status, out, err = outcome(["predict", f"--student-params={size}", f"{option_name}={value}", "--json"])
    if status == 0:
        assert json.loads(out)["student_loss"] > 0
    else:
        assert (status, out) == (2, "")
        assert err.startswith("distlaw: error: ")
        assert len(err.splitlines()) == 1, err


# --- Start-up ---------------------------------------------------------------------------------------------------------


def test_a_plan_loads_nothing_heavy():
    code = """
import sys
import distlaw
from distlaw.apps.cli import main

status = main(["plan", "--student-params", "1B", "--compute", "1e22", "--json"])
heavy = {"torch", "transformers", "pandas", "pyarrow", "ray", "matplotlib", "plotly", "scipy"} & set(sys.modules)
sys.exit(f"loaded: {', '.join(sorted(heavy))}" if heavy else status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["best"] == "best-case"


def test_the_installed_command_exits_with_the_status():
    code = "import sys; sys.argv = ['distlaw', 'laws', 'kaplan2020']; from distlaw.apps.cli import run; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("distlaw: error: law 'kaplan2020' is unknown")
    assert len(done.stderr.splitlines()) == 1


def test_a_teacher_with_another_tokenizer_is_not_recommended(ok, ok_json, tmp_path):
    """A teacher of 151,936 entries for a student of 49,152: `distill` refuses it, so `teachers` must not advise it."""
    shape = {"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8}
    shape |= {"num_key_value_heads": 8, "intermediate_size": 1536, "tie_word_embeddings": True}
    for name, entries in (("teacher", 151_936), ("padded", 49_280), ("student", 49_152)):
        (tmp_path / f"{name}.json").write_text(json.dumps(shape | {"vocab_size": entries}))
    table = tmp_path / "t.csv"
    table.write_text(f"name,params,loss\nother,{tmp_path / 'teacher.json'},2.2\nours,{tmp_path / 'padded.json'},2.6\n")
    words = ("teachers", table, "--student-params", tmp_path / "student.json", "--compute", "1e19")
    found = ok_json(*words)
    assert found["teachers"][-1]["name"] == "other"
    assert found["best"] != "other"
    out, err = ok(*words)
    assert "teacher 'other' has a vocabulary of 151,936 entries, the student 49,152: another tokenizer" in err
    assert "'ours'" not in err
    assert "other tokenizer" in out
