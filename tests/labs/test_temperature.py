import pytest

pytest.importorskip("torch")

from tests.labs.simulate import findings_of, noise

from distlaw.labs.temperature import LAB, TEMPERATURES


def loss_with(best: float, cost: float, scatter: float = 0.002):
    """Loss that is least at one tau."""

    def loss(study, run):
        tau = study.setup(run).loss.temperature
        own = 3.0 + 0.05 * noise(run.seed) + scatter * noise(run.id)
        return own if run.teacher is None else own + cost * abs(tau - best)

    return loss


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [
        (loss_with(best=1.0, cost=0.1), "holds"),
        (loss_with(best=2.0, cost=0.1), "does not hold"),
        (loss_with(best=1.0, cost=0.02, scatter=0.02), "undecided"),
    ],
)
def test_verdict_is_that_of_the_planted_optimum(loss, verdict, tmp_path):
    assert [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings] == [verdict]


def test_effect_is_what_the_closest_rival_costs_over_tau_1(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(best=1.0, cost=0.1, scatter=0.0))
    assert found.findings[0].effect.value == pytest.approx(0.05)
    low, high = found.findings[0].effect.interval
    assert low == pytest.approx(high)  # what seeds share cancels


def test_every_pair_and_tau_has_a_row_and_a_point(tmp_path):
    found = findings_of(LAB, tmp_path, loss_with(best=1.0, cost=0.1))
    taus = TEMPERATURES["quick"]
    assert [row[1] for row in found.tables[0].rows] == [*taus] * 4
    assert [len(series.x) for series in found.charts[0].panels[0].series] == [len(taus)] * 4
