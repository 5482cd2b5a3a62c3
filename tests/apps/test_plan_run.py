"""What a plan says of itself: no sentence against its numbers, none against another, none that the law cannot tell."""

import os
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from distlaw.apps.plan_run import run_plan
from distlaw.fit.lawfile import find_law
from distlaw.laws import published
from distlaw.plan import Bounds, Problem, Teacher
from distlaw.plan.comparison import DISTILL, NOT_FEASIBLE, SURE, TOO_CLOSE, TRAIN
from distlaw.plan.crossover import LOSES_LEAD, TAKES_LEAD

LAWS = ["busbridge2025-consistent", "busbridge2025", "busbridge2025-peaked", "busbridge2025-refit"]
LAWS += ["busbridge2025-effective-tokens"]
SITUATIONS = ["best-case", "teacher-inference", "teacher-pretraining", "teacher-pretraining-and-inference"]
WORDS = {DISTILL: "Distill", TRAIN: "Train from scratch", TOO_CLOSE: "Too close to call", NOT_FEASIBLE: "Out of reach"}


def random_plan(rng):
    """A question as somebody may ask it, with caps, sharing and own teachers; None where it makes no sense."""
    name = str(rng.choice(LAWS))
    N = float(10 ** rng.uniform(7.5, 10.5))
    goal = str(rng.choice(["compute", "student_tokens", "target_loss"], p=[0.6, 0.2, 0.2]))
    value = {
        "compute": 10 ** rng.uniform(18, 25),
        "student_tokens": 10 ** rng.uniform(9, 13),
        "target_loss": rng.uniform(1.9, 3.2),
    }[goal]
    unique = float(10 ** rng.uniform(9.5, 13)) if rng.random() < 0.3 else 1e17
    bounds = Bounds(student_tokens=(1e6, unique), teacher_tokens=(1e6, min(unique, 2e13)))
    own = ()
    if goal != "target_loss" and rng.random() < 0.3:
        own = [Teacher(name=f"t{i}", params=10 ** rng.uniform(8, 11), loss=rng.uniform(1.7, 2.6)) for i in range(2)]
    scenario = str(rng.choice(SITUATIONS[:2] if own else SITUATIONS))
    try:
        problem = Problem(
            student_params=N, bounds=bounds, students=float(rng.choice([1, 1, 8])), **{goal: float(value)}
        )
        return run_plan(published(name), problem, law=name, scenario=scenario, own=own)
    except ValueError:
        return None


def check(run):
    plan, resolution = run.plan, run.found.resolution
    for one, sentence in zip(run.verdict.comparisons, run.verdict.sentences, strict=False):
        decided = one.decision in (DISTILL, TRAIN)
        both = plan[one.scenario].feasible and plan["supervised"].feasible
        # No verdict below the law's resolution, against a form that fits as well, or against the resamples.
        if decided and both:
            assert abs(one.lead) >= resolution
            assert all(np.isnan(value) or (value > 0) == (one.lead > 0) for value in one.by_form.values())
            assert (one.probability if one.lead > 0 else 1 - one.probability) >= SURE
            assert (one.decision == DISTILL) == (one.lead > 0)
        # The headline of a situation and its sentence say the same.
        headline = run.verdict.headlines[one.scenario]
        assert headline.startswith(WORDS[one.decision] + ": ")
        said = [bool(re.search(f": {words}[:;]", sentence)) for words in (DISTILL, TRAIN, TOO_CLOSE)]
        assert said == [one.decision == decision for decision in (DISTILL, TRAIN, TOO_CLOSE)]
        for text in (headline, sentence):
            assert "nan" not in text
            assert "inf " not in text
        if not both:
            continue
        if one.decision == TOO_CLOSE:
            assert not re.search(r"\d (better|worse)", headline + sentence)
            assert "100% of" not in headline + sentence
            assert " 0% of" not in headline + sentence
        # Ratios respect caps: what distilling wins by, supervised training cannot have for less.
        needs = re.search(r"would need ([\d.e+]+) times (this compute|the tokens)", sentence)
        assert needs is None or (float(needs[1]) >= 1 and one.decision == DISTILL)
        reaches = re.search(r"reaches that with (\d+)% of the compute", sentence)
        assert reaches is None or (int(reaches[1]) <= 100 and one.decision == TRAIN)
        takes = re.search(r"takes ([\d.e+]+) times the compute", sentence)
        assert takes is None or (float(takes[1]) <= 1) == (one.decision == DISTILL)
        # Crossings are in order and their directions take turns; spans end at them.
        over = one.over_compute
        directions = [crossing.direction for crossing in over.crossings]
        assert all(a != b for a, b in pairwise(directions))
        assert [c.at for c in over.crossings] == sorted(c.at for c in over.crossings)
        ends = {end for span in over.ahead for end in span} - set(over.searched)
        assert ends == {c.at for c in over.crossings if over.searched[0] < c.at < over.searched[1]}
        if directions:
            assert (directions[0] == LOSES_LEAD) == (over.ahead[0][0] <= over.searched[0])
            assert (directions[-1] == TAKES_LEAD) == (over.ahead[-1][1] >= over.searched[1])
        # What is said about all budgets is true of this one.
        budget = plan.problem.compute
        if budget is not None and abs(one.lead) > 1e-6:
            assert any(low < budget < high for low, high in over.ahead) == (one.lead > 0)
    # The first line is about the user's own situation, or their own teachers, and what it advises is what is written.
    assert run.headline.startswith(WORDS[run.advice])
    if run.own:
        assert all(not row.other_tokenizer for row in run.own)
        for row in run.own:
            if row.decision in (DISTILL, TRAIN):
                assert abs(row.gain) >= resolution
                assert (row.decision == DISTILL) == (row.gain > 0)
    else:
        assert run.headline == run.verdict.headlines[run.scenario]
    written = run.option.scenario
    if run.plan["supervised"].feasible:
        assert (written == "supervised") == (run.advice != DISTILL or not run.plan[run.scenario].feasible)
    assert all(option.teacher_tokens is None or not option.teacher_tokens > 2e13 * 1.001 for option in plan.options)


@pytest.mark.slow
def test_a_thousand_plans_say_nothing_that_is_not_so():
    """1,000 random questions; about 0.3 CPU-seconds each, so 40 of them in the usual run."""
    count = 1000 if os.environ.get("DISTLAW_LONG_TESTS") else 40
    rng = np.random.default_rng(0)
    runs = [run for run in (random_plan(rng) for _ in range(count)) if run is not None]
    assert len(runs) > 0.7 * count
    for run in runs:
        check(run)
    assert {run.advice for run in runs} >= {DISTILL, TRAIN, TOO_CLOSE}


def test_forms_that_disagree_are_each_shown_in_the_headline():
    """1B parameters on 5,000 H100-hours: the forms that fit the published runs do not agree on who is ahead."""
    problem = Problem(student_params=1e9, compute=5000 * 3600 * 0.4 * 989.5e12)
    run = run_plan(published("busbridge2025-consistent"), problem, law="busbridge2025-consistent")
    one = run.verdict["teacher-inference"]
    assert one.forms_disagree
    assert run.advice == TOO_CLOSE
    for name, lead in one.by_form.items():
        assert f"{name} {lead + 0.0:+.3f}" in run.headline.replace("-0.000", "+0.000")
    assert "%" in run.headline


def test_what_is_written_down_is_the_option_of_the_headline():
    law = "busbridge2025-consistent"
    small = run_plan(published(law), Problem(student_params=1e9, compute=1e20), law=law)
    assert (small.advice, small.option.scenario) == (DISTILL, "teacher-inference")
    large = run_plan(published(law), Problem(student_params=1e9, compute=1e22), law=law)
    assert (large.advice, large.option.scenario) == (TOO_CLOSE, "supervised")  # and not the best case, which nobody has
    paid = run_plan(published(law), Problem(student_params=1e9, compute=1e20), law=law, scenario="teacher-pretraining")
    assert (paid.advice, paid.option.scenario) == (TRAIN, "supervised")


def test_the_config_of_own_teachers_names_the_teacher_and_its_tokens():
    law, own = "busbridge2025-consistent", [Teacher(name="near", params=1e9, loss=2.15)]
    run = run_plan(published(law), Problem(student_params=1e9, compute=1e20), law=law, own=own)
    best = next(row for row in run.own if row.name == "near")
    assert run.advice == DISTILL
    text = run.recipe()
    assert "# Teacher: near, of 2.1500 nats per token (measured)." in text
    assert f"expect {best.student_loss:.4f} nats" in text
    tokens = int(re.search(r"^tokens = (\d+)$", text, re.MULTILINE)[1])
    assert tokens == pytest.approx(best.student_tokens, rel=0.01)
    assert "# Teacher: near" not in run.recipe("best-case")


def test_what_a_plan_cannot_be_about_is_refused():
    law = "busbridge2025-consistent"
    with pytest.raises(ValueError, match="student_params 7 is no size"):
        run_plan(published(law), Problem(student_params=7, compute=1e20), law=law)
    teacher = Teacher(name="wrong", params=1e9, loss=1.1)
    with pytest.raises(ValueError, match=r"teacher 'wrong': loss 1\.1 is at or below E"):
        run_plan(published(law), Problem(student_params=1e9, compute=1e20), law=law, own=[teacher])


def test_a_law_of_ones_own_tells_no_more_than_it_misses_its_runs_by():
    found = find_law(str(Path(__file__).parents[2] / "studies" / "tiny" / "law.json"))
    assert 0.002 < found.resolution < 0.05
    run = run_plan(found, Problem(student_params=1e5, compute=1e14, bounds=Bounds(teacher_params=(1e3, 1e9))), law="l")
    assert list(run.verdict["best-case"].by_form) == [found.name]
    assert run.verdict["best-case"].probability is not None
