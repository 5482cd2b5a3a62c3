import numpy as np
import pytest

from distlaw.evidence.against_supervised import BASES, Comparison, against_supervised
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.prices import read_prices


@pytest.fixture(scope="module")
def ask(read_up, study):
    def asked(runs, law=study.PEAKED, prices=None):
        _, taught, _, _, alone, losses = read_up(runs)
        says = law.student_loss(taught.student_params, taught.student_tokens, taught.teacher_loss)
        return taught, against_supervised(
            taught,
            alone,
            losses,
            prices=read_prices(runs) if prices is None else prices,
            supervised=study.ALONE,
            law=law,
            predicted=says,
            form="peaked-tokens",
        )

    return asked


def test_supervised_training_gets_what_distilling_costs(ask, peaked, study):
    F = study.forward_flops
    for basis, x in ask(peaked)[1].comparisons.items():
        for duel in x.duels:
            N, D, N_T = duel.student_params, duel.student_tokens, duel.teacher_params
            D_T = dict(study.TEACHERS)[N_T] if N_T in (27e3, 201e3, 390e3, 900e3) else None
            if D_T is None and basis == "teacher wholly paid":
                continue
            paid = {
                "equal tokens": 0.0,
                "teacher inference paid": F(N_T) * D,
                "teacher wholly paid": F(N_T) * (D + 3 * (D_T or 0)),
            }[basis]
            assert duel.supervised_tokens == pytest.approx(D + paid / (3 * F(N)), rel=1e-6)
            assert duel.compute == pytest.approx(3 * F(N) * D + paid, rel=1e-6)


def test_clear_duels_go_as_the_truth_does(ask, peaked):
    for x in ask(peaked)[1].comparisons.values():
        assert isinstance(x, Comparison)
        clear = [duel for duel in x.duels if duel.clear]
        assert len(clear) + x.unclear == len(x.duels) == 54
        assert x.distilled_ahead + x.supervised_ahead == len(clear)
        assert x.agreed + len(x.disagreed) == len(clear)
        assert x.agreed >= 0.95 * len(clear)
        inside = [
            duel.interval[0] <= duel.predicted_lead <= duel.interval[1] for duel in x.duels if duel.method != "law"
        ]
        assert np.mean(inside) > 0.75


def test_the_paper_s_second_finding(ask, peaked):
    """With the teacher wholly paid for, the distilled student is never ahead beyond noise."""
    assert ask(peaked)[1].comparisons["teacher wholly paid"].distilled_ahead == 0


def test_a_law_that_says_the_opposite_is_listed(ask, peaked, study):
    class Hopeless:
        supervised = study.ALONE

        def student_loss(self, N, D, L_T):
            return study.ALONE.loss(N, D) + 0.01 + 0 * L_T

    x = ask(peaked, Hopeless())[1].comparisons["equal tokens"]
    assert len(x.disagreed) == x.distilled_ahead > 40
    misses = [abs(duel.lead - duel.predicted_lead) for duel in x.disagreed]
    assert misses == sorted(misses, reverse=True)


def test_crossings_are_found_where_they_were_planted(ask, peaked, study):
    found = [c for c in ask(peaked)[1].crossings if c.basis == "equal tokens"]
    weak = next(c for c in found if c.student_params == 27e3 and c.teacher_params == 27e3)
    assert weak.status == "crosses"
    D = np.geomspace(1e6, 4e6, 4000)
    lead = study.ALONE.loss(27e3, D) - study.PEAKED.student_loss(27e3, D, weak.teacher_loss)
    truth = D[np.flatnonzero(lead > 0)[-1]]
    assert weak.interval[0] < truth < weak.interval[1]
    assert weak.predicted == pytest.approx(truth, rel=0.02)
    assert weak.at == pytest.approx(truth, rel=0.15)
    for c in found:
        assert c.tokens == tuple(sorted(c.tokens))
        if c.status != "crosses":
            assert np.isnan(c.at)
        if c.status == "ahead throughout":
            assert min(c.leads) > 0
            assert c.predicted > max(c.tokens)


def test_without_prices_only_equal_tokens_are_compared(ask, peaked):
    found = ask(peaked, prices=CannotSay(because="no computes"))[1]
    assert isinstance(found.comparisons["equal tokens"], Comparison)
    for basis in list(BASES)[1:]:
        assert found.comparisons[basis] == CannotSay(because="no computes")


def test_students_without_runs_of_their_own_are_left_out(ask, peaked):
    runs = peaked.select(peaked.distilled | (peaked.student_params != 14e3))
    cells, found = ask(runs)
    for x in found.comparisons.values():
        assert len(x.duels) == (cells.student_params != 14e3).sum()
        assert all(duel.method != "law" for duel in x.duels)


def test_getting_ahead_with_more_tokens_is_no_crossing(ask, study):
    class Patient:
        supervised = study.ALONE

        def student_loss(self, N, D, L_T):
            return study.ALONE.loss(N, D) * (1 - 0.03 * np.log(D / 2e6)) + 0 * L_T

    found = ask(study.simulate(Patient()), Patient())[1].crossings
    assert all(c.leads[0] < 0 < c.leads[-1] for c in found if c.basis == "equal tokens")
    assert {c.status for c in found if c.basis == "equal tokens"} == {"unclear"}
