import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY
from distlaw.plan import SUPERVISED, Problem, judge, solve

F = PAPER_FAMILY.forward_flops


def verdict_of(law, **goal):
    plan = solve(law, Problem(student_params=1e9, **goal))
    verdict = judge(law, plan)
    return plan, verdict, {c.scenario: c for c in verdict.comparisons}


def test_gain_and_its_worth_in_compute(law):
    plan, verdict, by_name = verdict_of(law, compute=1e21)
    best = by_name["best-case"]
    assert best.gain == plan[SUPERVISED].student_loss - plan["best-case"].student_loss > 0
    # Supervised training with that much more compute gets the same loss.
    tokens = best.supervised_compute_ratio * 1e21 / (3 * F(1e9))
    assert law.supervised.loss(1e9, tokens) == pytest.approx(plan["best-case"].student_loss)
    assert verdict.best == plan.best.scenario
    assert f"{best.gain:.4f} nats better" in verdict.sentences[0]
    assert f"{best.supervised_compute_ratio:.3g}x this compute" in verdict.sentences[0]


def test_what_flips_it_is_true(law):
    plan, verdict, by_name = verdict_of(law, compute=1e21)
    inference = by_name["teacher-inference"]
    assert inference.gain > 0
    at = inference.crossover_compute
    assert at is not None
    assert f"supervised training overtakes at {at:.2e} FLOPs" in verdict.sentences[1]
    for factor, sign in ((0.98, 1), (1.02, -1)):
        plan = solve(law, Problem(student_params=1e9, compute=factor * at))
        assert np.sign(plan[SUPERVISED].student_loss - plan["teacher-inference"].student_loss) == sign


def test_number_of_students_that_turns_it_round(law):
    plan, verdict, by_name = verdict_of(law, compute=1e21)
    k = by_name["teacher-pretraining"].students_to_flip
    assert by_name["teacher-pretraining"].gain < 0
    assert k is not None
    assert k == int(k)
    for students, wins in ((k - 1, False), (k, True)):
        option = solve(law, Problem(student_params=1e9, compute=1e21, students=students))["teacher-pretraining"]
        assert (option.student_loss < plan[SUPERVISED].student_loss) == wins
    assert f"once {k:.0f} students share the teacher" in verdict.sentences[2]
    assert by_name["best-case"].students_to_flip is None


def test_a_loss_that_supervised_training_never_reaches(law, other_law):
    """Worth kappa times the tokens by one law; by another, beyond what this size can reach on any data."""
    _, verdict, by_name = verdict_of(other_law, compute=1e21)
    assert by_name["best-case"].supervised_compute_ratio == pytest.approx(2.2, rel=1e-3)

    class Beyond:
        supervised = law.supervised

        def student_loss(self, N_S, D_S, L_T):
            return self.supervised.infinite_data_loss(N_S) - 0.1 + 0 * np.asarray(D_S) * np.asarray(L_T)

    _, verdict, by_name = verdict_of(Beyond(), compute=1e21)
    assert by_name["best-case"].supervised_compute_ratio == np.inf
    assert "on no amount of data" in verdict.sentences[0]


def test_target_loss_is_judged_by_compute(law):
    plan, verdict, by_name = verdict_of(law, target_loss=2.2)
    saved = plan[SUPERVISED].flops.total / plan["best-case"].flops.total
    assert saved > 1
    assert f"it takes {saved:.3g}x less compute" in verdict.sentences[0]
    assert by_name["best-case"].supervised_compute_ratio == pytest.approx(saved, rel=1e-6)
    assert "train supervised" in verdict.sentences[3]


def test_a_difference_within_noise_is_called_that(law):
    at = next(c for c in verdict_of(law, compute=1e22)[1].comparisons if c.scenario == "best-case").crossover_compute
    _, verdict, _ = verdict_of(law, compute=0.95 * at)
    assert "it makes no difference" in verdict.sentences[0]


def test_tokens_as_the_budget(law):
    _, verdict, by_name = verdict_of(law, student_tokens=1e11)
    gains = {round(c.gain, 6) for c in by_name.values()}
    assert len(gains) == 1  # at equal tokens the scenario does not matter
    assert len(verdict.sentences) == 5  # one a scenario, and why


def test_worth_and_cost_of_a_distilled_token_explain_the_verdict(law):
    """kappa D_S supervised tokens reach the same loss, and distilling wins where kappa is above the cost."""
    plan, verdict, by_name = verdict_of(law, compute=1e21)
    for scenario in plan.problem.scenarios:
        option, c = plan[scenario.name], by_name[scenario.name]
        same = law.supervised.loss(1e9, c.token_worth * option.student_tokens)
        assert same == pytest.approx(option.student_loss, rel=1e-9)
        assert c.token_cost == pytest.approx(option.flops.total / (3 * F(1e9) * option.student_tokens))
        assert (c.token_worth > c.token_cost) == (c.gain > 0)
    assert by_name["best-case"].token_cost == 1.0
    assert "worth / cost of a distilled token" in verdict.sentences[-1]
    assert f"best-case {by_name['best-case'].token_worth:.2f} / 1.00" in verdict.sentences[-1]


def test_a_constant_kappa_is_what_the_verdict_reports(other_law):
    """Under a constant kappa = 2.2 from a perfect free teacher, and the largest teacher is the rule of thumb's."""
    _, _, by_name = verdict_of(other_law, compute=1e21)
    assert by_name["best-case"].token_worth == pytest.approx(2.2, rel=1e-3)
    inference = by_name["teacher-inference"]
    most = inference.most_teacher_params
    assert F(most) == pytest.approx(3 * (inference.token_worth - 1) * F(1e9), rel=1e-3)
    assert by_name["best-case"].most_teacher_params is None
    assert by_name["teacher-pretraining"].most_teacher_params is None
    # At that size, the logits cost just what they are worth.
    assert 1 + F(most) / (3 * F(1e9)) == pytest.approx(inference.token_worth, rel=1e-3)


def test_shared_logits_let_a_larger_teacher_pay(law):
    alone = solve(law, Problem(student_params=1e9, compute=1e21))
    shared = solve(law, Problem(student_params=1e9, compute=1e21, students=4, shared_logits=True))
    found = [judge(law, plan).comparisons[1] for plan in (alone, shared)]
    for c, share in zip(found, (1, 4), strict=True):
        assert F(c.most_teacher_params) == pytest.approx(3 * (c.token_worth - 1) * F(1e9) * share, rel=1e-3)
