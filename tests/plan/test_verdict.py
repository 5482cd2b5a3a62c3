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
    assert len(verdict.sentences) == 4
