import numpy as np
import pytest

from distlaw.evidence.answer import CannotSay
from distlaw.evidence.choices import choose_teachers
from distlaw.evidence.prices import read_prices
from distlaw.fit import FitSpec


@pytest.fixture(scope="module")
def choose(read_up):
    def chosen(runs, form):
        _, taught, _, _, alone, losses = read_up(runs, draws=100)
        spec = FitSpec(starts=6, resamples=0)
        return choose_teachers(runs, taught, alone, losses, prices=read_prices(runs), form=form, spec=spec), taught

    return chosen


@pytest.fixture(scope="module")
def peaked_choices(study, choose):
    return choose(study.simulate(study.PEAKED, noise=0.001), "peaked-tokens")


def test_a_law_that_holds_chooses_well_where_the_strongest_teacher_is_too_strong(study, peaked_choices):
    found, _ = peaked_choices
    assert {(c.student_params, c.student_tokens) for c in found.choices} <= set(study.STUDENTS)
    assert len(found.choices) >= 5
    assert found.mean_regret["planner"] < 0.003
    assert found.mean_regret["strongest teacher"] > 5 * found.mean_regret["planner"]
    low, high = found.intervals["planner"]
    assert low <= found.mean_regret["planner"] <= high
    for choice in found.choices:
        assert choice.predicted == pytest.approx(choice.loss, rel=0.01)


def test_regret_is_what_the_runs_measured(peaked_choices):
    found, taught = peaked_choices
    for choice in found.choices:
        mine = (taught.student_params == choice.student_params) & (taught.student_tokens == choice.student_tokens)
        own = taught.select(mine)
        at = {float(L_T): float(loss) for L_T, loss in zip(own.teacher_loss, own.loss, strict=True)}
        assert choice.teachers == len(at)
        assert choice.loss == pytest.approx(at[choice.chosen])
        assert choice.best_loss == pytest.approx(min(at.values()))
        assert choice.regret["planner"] == pytest.approx(choice.loss - choice.best_loss)
        assert choice.regret["strongest teacher"] == pytest.approx(at[min(at)] - choice.best_loss)


def test_no_teacher_is_chosen_where_all_are_behind_the_student(study, choose):
    teachers = ((390e3, 2e6), (390e3, 4e6), (900e3, 4e6))
    found, _ = choose(study.simulate(study.CONSTANT, noise=0.001, teachers=teachers), "effective-tokens")
    [largest] = [choice for choice in found.choices if choice.student_params == 390e3]
    assert np.isnan(largest.chosen)
    assert np.isnan(largest.best)
    assert largest.regret["planner"] == largest.regret["no teacher"] == 0
    assert largest.regret["strongest teacher"] > 0.01
    assert not np.isnan(found.choices[0].chosen)


def test_it_cannot_say_without_teachers_to_choose_from(study, choose):
    runs = study.simulate(study.CONSTANT)
    few = runs.select(~runs.distilled | np.isin(runs.teacher_params, [390e3, 900e3]))
    found, _ = choose(few, "effective-tokens")
    assert isinstance(found, CannotSay)
    assert "3 teachers" in found.because
