import numpy as np
import pytest
from tests.sweep.simulate import SMALL

from distlaw.laws import PeakedTokensLaw, SupervisedLaw
from distlaw.sweep.adaptive import choose_and_run, read_choices, write_choices
from distlaw.sweep.store import Store
from distlaw.sweep.study import study_of

TRUE = SupervisedLaw(E=1.5, A=30.0, B=400.0, alpha=0.35, beta=0.4, gamma=0.8)
TEXT = (
    SMALL.partition("[[protocols]]")[0]
    + """
[[protocols]]
name = "alone"
students = { params = [1e3, 6e3, 20e3, 50e3, 1e5], tokens = [1e5, 3e5, 1e6, 3e6] }
[[protocols]]
name = "taught"
teachers = { params = [6e3, 20e3, 50e3, 1e5], tokens = [3e5, 3e6] }
students = { params = [1e3, 6e3, 20e3, 50e3], tokens = [1e5, 3e5, 1e6] }
[adaptive]
student_params = 1e5
student_tokens = 1e7
teacher_loss = 2.6
deviation = 0.02
batch = 6
"""
)


def records_of(study, runs, law, *, job="j"):
    """What runs would have measured, with a scatter that depends on the run alone."""
    found = {}
    for run in runs:
        N, D = study.shape(run).n_params, run.tokens
        noise = np.exp(0.003 * np.random.default_rng(int(run.id, 16)).standard_normal())
        L_T = None if run.teacher is None else float(TRUE.loss(study.shape(run.teacher).n_params, run.teacher.tokens))
        loss = float(TRUE.loss(N, D) if L_T is None else law.student_loss(N, D, L_T)) * noise
        found[run.id] = {
            "name": run.id, "job": job, "student_params": N, "student_tokens": D, "student_loss": loss,
            "teacher_loss": L_T, "seed": 0, "wall_seconds": 1.0,
        }  # fmt: skip
    return found


@pytest.fixture(scope="module")
def law():
    return PeakedTokensLaw(**KAPPA, supervised=TRUE)


KAPPA = {"kappa": 2.3, "growth": 0.3, "lead": 0.8, "m": 12.0}


def test_runs_are_chosen_until_the_target_is_known(law):
    study, done, asked = study_of(TEXT, "x"), {}, []

    def run(runs):
        everything = dict.fromkeys(one for r in runs for one in (r.teacher, r) if one is not None)
        done.update(records_of(study, everything, law))
        asked.append(len(runs))
        return done

    choices = choose_and_run(study, run)
    assert choices is not None
    assert choices.reason == "known"
    assert choices.rounds[-1].deviation <= 0.02
    truth = float(law.student_loss(1e5, 1e7, 2.6))
    assert choices.rounds[-1].prediction == pytest.approx(truth, abs=4 * 0.02)
    assert choices.flops == pytest.approx(sum(study.flops(r) for r in study.runs if r.id in done))
    assert choices.flops < 0.5 * choices.all_flops
    assert max(asked[2:], default=0) <= 6


def test_the_budget_is_kept(law):
    full = study_of(TEXT, "x")
    budget = 0.03 * sum(full.flops(run) for run in full.runs)
    study, done = study_of(TEXT + f"[limits]\ncompute = {budget}\n", "x"), {}

    def run(runs):
        everything = dict.fromkeys(one for r in runs for one in (r.teacher, r) if one is not None)
        done.update(records_of(study, everything, law))
        return done

    choices = choose_and_run(study, run)
    assert choices is not None
    assert choices.reason == "budget"
    assert choices.flops <= budget


def test_a_study_that_goes_on_remembers_its_batches(law):
    text = TEXT.replace("deviation = 0.02\nbatch = 6", "deviation = 0.004\nbatch = 2")
    study, done, told = study_of(text, "x"), {}, []

    def run(runs, left=None):
        if left is not None and not left:
            return None
        if left:
            left.pop()
        everything = dict.fromkeys(one for r in runs for one in (r.teacher, r) if one is not None)
        done.update(records_of(study, everything, law))
        return done

    left = [1, 1, 1]
    assert choose_and_run(study, lambda runs: run(runs, left), telling=told.append) is None
    store = Store("memory://choices")
    write_choices(store, told[-1])
    assert read_choices(store, pytest.fail) == told[-1]
    assert told[-1].reason == ""
    assert len(told[-1].rounds) == 3
    again = choose_and_run(study, run, before=read_choices(store, pytest.fail), telling=told.append)
    assert again is not None
    assert [step.done for step in again.rounds] == sorted({step.done for one in told for step in one.rounds})
    assert read_choices(Store("memory://nothing"), pytest.fail) is None


def test_a_study_that_is_stopped_chooses_no_more():
    study = study_of(TEXT, "x")
    assert choose_and_run(study, lambda runs: None if runs else {}) is None
