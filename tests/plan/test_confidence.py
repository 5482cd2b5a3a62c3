import numpy as np
import pytest

from distlaw.laws import DEFAULT_LAW, map_coefficients, published, published_names
from distlaw.plan import Problem, confidence_of, confidence_sentences, plan_uncertainty, solve
from distlaw.plan.confidence import percent, pooled_interval
from distlaw.plan.lead import on_equal_terms

FOUND = published(DEFAULT_LAW)
PROBLEMS = [
    Problem(student_params=1e9, compute=1e20),
    Problem(student_params=1e9, compute=1e22),
    Problem(student_params=3e8, student_tokens=3e11),
    Problem(student_params=1e9, target_loss=2.3),
]


def laws_and_draws(count=48):
    return {k: f.law for k, f in FOUND.forms.items()}, {k: f.thinned(count) for k, f in FOUND.forms.items()}


def test_shipped_laws_know_their_alternatives_and_resolution():
    assert FOUND.resolution == 0.02
    assert set(FOUND.forms) == {
        "busbridge2025-consistent",
        "busbridge2025-refit",
        "busbridge2025-peaked",
        "busbridge2025-effective-tokens",
    }
    assert next(iter(published("busbridge2025").forms)) == "busbridge2025"
    assert len(published("busbridge2025").forms) == 5


@pytest.mark.parametrize("name", published_names())
def test_every_shipped_law_has_resamples_about_its_own_coefficients(name):
    found = published(name)
    many = found.thinned(40)
    under = many if found.kind == "supervised" else many.supervised
    loss = under.loss(1e9, 1e11)
    assert loss.shape == (40,)
    assert np.std(loss / found.supervised.loss(1e9, 1e11)) == pytest.approx(0.005, rel=0.35)
    if found.kind == "distillation":
        spread = many.student_loss(1e9, 3e10, 2.2)
        assert abs(np.median(spread) - found.law.student_loss(1e9, 3e10, 2.2)) < 0.01


@pytest.mark.parametrize("problem", PROBLEMS[:3], ids=["small", "large", "tokens"])
def test_a_plan_kept_under_the_resamples_is_a_plan_made_anew_to_first_order(problem):
    """The envelope theorem: what the resamples say of the plan is what plans made anew would come to."""
    forms, draws = laws_and_draws(24)
    found = confidence_of(problem, {DEFAULT_LAW: forms[DEFAULT_LAW]}, {DEFAULT_LAW: draws[DEFAULT_LAW]})
    anew = plan_uncertainty(draws[DEFAULT_LAW], problem)
    for name, one in found.items():
        np.testing.assert_allclose(one.student_loss, anew[name].student_loss, atol=0.006)
        assert one.probability == pytest.approx(anew[name].probability, abs=0.13)


@pytest.mark.parametrize("problem", PROBLEMS, ids=["small", "large", "tokens", "target"])
def test_the_lead_of_each_form_is_that_of_its_own_plan(problem):
    forms, draws = laws_and_draws(8)
    found = confidence_of(problem, forms, draws)
    for name, law in forms.items():
        plan = solve(law, problem)
        for scenario in problem.scenarios:
            lead = found[scenario.name].by_form[name]
            if problem.target_loss is None:
                assert lead == pytest.approx(
                    plan["supervised"].student_loss - plan[scenario.name].student_loss, abs=1e-9
                )
            else:
                cheaper = plan[scenario.name].flops.total < plan["supervised"].flops.total
                assert (lead > 0) == cheaper


def test_probability_is_averaged_over_forms_and_not_over_resamples():
    forms, draws = laws_and_draws(32)
    few = map_coefficients(draws["busbridge2025-refit"], lambda values: values[:3])
    found = confidence_of(PROBLEMS[1], forms, draws | {"busbridge2025-refit": few})["teacher-inference"]
    each = []
    for name, law in forms.items():
        many = few if name == "busbridge2025-refit" else draws[name]
        alone, taught = on_equal_terms(law, PROBLEMS[1]).losses_under(many)
        each.append(np.mean(alone[:, 1] - taught[:, 1] > 0))
    assert found.probability == pytest.approx(np.mean(each))
    assert 0 < found.probability < 1


def test_without_resamples_there_is_no_probability():
    forms, _ = laws_and_draws(2)
    found = confidence_of(PROBLEMS[0], forms, {})["best-case"]
    assert found.probability is None
    assert found.lead is None
    assert confidence_sentences({"best-case": found}) == []


def test_a_sure_thing_is_said_only_where_everything_agrees():
    assert [percent(p) for p in (0.0, 0.004, 0.36, 0.997, 1.0)] == ["0%", "1%", "36%", "99%", "100%"]
    assert [percent(p, certain=False) for p in (0.0, 1.0)] == ["1%", "99%"]
    forms, draws = laws_and_draws(16)
    found = confidence_of(PROBLEMS[0], forms, draws)
    sure, worth = confidence_sentences(found)
    assert "averaged over 4 laws" in sure
    assert "best-case 100%" in sure
    assert "best-case 99%" in confidence_sentences(found, doubtful=["best-case"])[0]
    assert worth.startswith("90 % interval of what a distilled token is worth")


def test_pooled_intervals_weigh_laws_equally_and_keep_infinity():
    low, high = pooled_interval({"few": np.zeros(3), "many": np.ones(3000)}, level=0.2)
    assert (low, high) == (0.0, 1.0)
    assert pooled_interval({"one": np.array([1.0, np.inf])})[1] == np.inf
    assert pooled_interval({"none": np.array([np.nan])}) is None
