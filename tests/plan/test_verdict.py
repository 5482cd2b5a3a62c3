import numpy as np
import pytest

from distlaw.costs import PAPER_FAMILY
from distlaw.plan import SUPERVISED, Bounds, Problem, judge, solve
from distlaw.plan.comparison import DISTILL, NEGLIGIBLE_NATS, TOO_CLOSE, TRAIN, decide

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
    assert f"{best.supervised_compute_ratio:.3g} times this compute" in verdict.sentences[0]


def test_what_flips_it_is_true(law):
    plan, verdict, by_name = verdict_of(law, compute=1e21)
    inference = by_name["teacher-inference"]
    assert inference.gain > 0
    at = inference.crossover_compute
    assert at is not None
    assert f"at equal compute distilling is ahead below {at:.2e} FLOPs" in verdict.sentences[1]
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
        assert (option.student_loss < plan[SUPERVISED].student_loss - NEGLIGIBLE_NATS) == wins
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
    share = plan["best-case"].flops.total / plan[SUPERVISED].flops.total
    assert share < 1
    assert f"it takes {share:.3g} times the compute" in verdict.sentences[0]
    assert by_name["best-case"].supervised_compute_ratio == pytest.approx(1 / share, rel=1e-6)
    assert np.isnan(by_name["best-case"].gain)
    # The lead is what supervised training misses the target by on the compute of the cheaper one.
    alone = solve(law, Problem(student_params=1e9, compute=plan["best-case"].flops.total))[SUPERVISED]
    assert by_name["best-case"].lead == pytest.approx(alone.student_loss - 2.2, abs=1e-6)
    both = solve(law, Problem(student_params=1e9, compute=plan[SUPERVISED].flops.total))["teacher-pretraining"]
    assert by_name["teacher-pretraining"].lead == pytest.approx(2.2 - both.student_loss, abs=1e-6)
    assert "train supervised" in verdict.sentences[3]


def test_a_difference_within_noise_is_called_that(law):
    at = next(c for c in verdict_of(law, compute=1e22)[1].comparisons if c.scenario == "best-case").crossover_compute
    _, verdict, _ = verdict_of(law, compute=0.95 * at)
    assert "too close to call" in verdict.sentences[0]
    assert verdict.headlines["best-case"].startswith("Too close to call: ")


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


@pytest.mark.parametrize(
    ("lead", "probability", "by_form", "decision"),
    [
        (0.03, 0.97, {"a": 0.03, "b": 0.01}, DISTILL),
        (-0.03, 0.02, {"a": -0.03, "b": -0.01}, TRAIN),
        (0.019, 1.0, {"a": 0.019}, TOO_CLOSE),  # below the resolution
        (0.03, 0.85, {"a": 0.03}, TOO_CLOSE),  # the resamples are not sure
        (0.03, 0.97, {"a": 0.03, "b": -0.001}, TOO_CLOSE),  # a form that fits as well says otherwise
        (-0.03, 0.97, {}, TOO_CLOSE),
        (0.03, None, {}, DISTILL),
        (float("inf"), None, {}, DISTILL),
        (float("-inf"), None, {}, TRAIN),
        (float("nan"), None, {}, "not feasible"),
    ],
)
def test_what_is_advised(lead, probability, by_form, decision):
    assert decide(lead, 0.02, probability, by_form) == decision


def test_a_resolution_turns_small_leads_into_no_verdict(law):
    plan = solve(law, Problem(student_params=1e9, compute=1e22))
    fine, coarse = (judge(law, plan, resolution=resolution) for resolution in (0.001, 0.02))
    assert abs(fine["best-case"].lead) < 0.02
    assert fine["best-case"].decision == DISTILL
    assert coarse["best-case"].decision == TOO_CLOSE
    assert "within 0.02 nats" in coarse.sentences[0]
    assert f"{fine['best-case'].lead:.4f}" not in coarse.headlines["best-case"]


def test_what_supervised_training_would_need_respects_the_cap_on_text(law):
    """With 20B tokens at most, no compute gets supervised training to where distilling gets on the same text."""
    bounds = Bounds(student_tokens=(1e6, 2e10), teacher_tokens=(1e6, 2e10))
    plan = solve(law, Problem(student_params=1e9, compute=1e22, bounds=bounds))
    verdict = judge(law, plan)
    best = verdict["best-case"]
    assert best.decision == DISTILL
    assert best.supervised_compute_ratio == np.inf
    assert "does not get there on the 20B tokens allowed" in verdict.sentences[0]
    assert "times this compute" not in verdict.sentences[0]
