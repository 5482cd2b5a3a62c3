import pytest

pytest.importorskip("torch")

from tests.labs.simulate import findings_of, noise

from distlaw.labs.divergence import LAB


def loss_with(reverse, jsd, *, scatter=0.002, but=None):
    """Loss by divergence.

    Args:
        reverse: What reverse KL costs over forward KL, nats.
        jsd: What Jensen-Shannon costs.
        scatter: Noise of a run; seeds share more than that.
        but: What reverse KL costs instead under the teacher with the most tokens.
    """

    def loss(study, run):
        own = 3.2 + 0.02 * noise(run.seed) + scatter * noise(run.id)
        if run.teacher is None:
            return own
        strongest = run.teacher.tokens == max(other.tokens for other in study.runs)
        costs = {"forward-kl": 0.0, "reverse-kl": but if but is not None and strongest else reverse, "jsd": jsd}
        return own + costs[study.setup(run).loss.divergence]

    return loss


def found(loss, tmp_path):
    return findings_of(LAB, tmp_path, loss, measured=lambda _study, _run: {"kl": 0.1, "accuracy": 0.5, "ece": 0.01})


@pytest.mark.parametrize(
    ("loss", "verdicts"),
    [
        (loss_with(0.3, 0.1), ["holds", "holds"]),
        (loss_with(0.3, -0.1), ["holds", "does not hold"]),
        (loss_with(0.3, 0.1, but=-0.1), ["does not hold", "holds"]),
        (loss_with(0.3, 0.02, scatter=0.02), ["holds", "undecided"]),
    ],
)
def test_verdicts_are_those_of_the_planted_costs(loss, verdicts, tmp_path):
    assert [finding.verdict for finding in found(loss, tmp_path).findings] == verdicts


def test_effect_is_of_the_pair_where_the_lead_is_least(tmp_path):
    one, other = found(loss_with(0.3, 0.1, but=0.2, scatter=0.0), tmp_path).findings
    assert (one.effect.value, other.effect.value) == pytest.approx((0.2, 0.1))
    assert one.measured.endswith("small student, strong teacher")


def test_every_pair_and_divergence_has_a_row_and_a_point(tmp_path):
    everything = found(loss_with(0.3, 0.1, scatter=0.0), tmp_path)
    [table] = everything.tables
    assert len(table.rows) == 4 * 3
    assert [row[3] for row in table.rows] == pytest.approx([None, 0.3, 0.1] * 4)
    assert [[len(series.x) for series in panel.series] for panel in everything.charts[0].panels] == [[3] * 3, [1] * 3]
