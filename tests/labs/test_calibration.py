import numpy as np
import pytest

pytest.importorskip("torch")

from tests.labs.simulate import bench_of, noise

from distlaw.labs import calibration
from distlaw.labs.calibration import LAB, Measured, overconfidence
from distlaw.train.calibration import Reliability

CONFIDENCE = np.repeat(np.linspace(0.05, 0.95, 10), 20)  # ten bins


def reliability(gap):
    """Predictions whose outcomes are less than their confidence by `gap`."""
    return Reliability.of(CONFIDENCE, CONFIDENCE - gap)


def found(tmp_path, monkeypatch, data, *, teacher=(0.2, 0.03), distribution=(0.02, 0.2), scatter=0.002):
    """Findings where students have these gaps.

    Args:
        tmp_path: Of the test.
        monkeypatch: Of the test.
        data: Against the data: of the dense at few and many tokens, of the top-1 at few and many.
        teacher: Against the teacher's top-1, of dense and top-1.
        distribution: Against the teacher's confidence, of dense and top-1, in bins of either.
        scatter: Noise of a run.
    """

    def measured(bench, run):
        one = int(bench.study.setup(run).loss.targets == "top-1")
        many = int(run.tokens == max(other.tokens for other in bench.study.runs if other.teacher))
        own = scatter * noise(run.id)
        return Measured(
            data=reliability(data[2 * one + many] + own),
            teacher=reliability(teacher[one] + own),
            distribution=reliability(distribution[one] + own),
            reverse=reliability(-distribution[one] + own),
        )

    monkeypatch.setattr(calibration, "measured", measured)
    return LAB.examine(bench_of(LAB, tmp_path, lambda _study, _run: 3.0, measured=lambda _study, _run: {"ece": 0.01}))


PAPER = (0.015, 0.005, 0.2, 0.3)


def test_what_the_paper_found_holds_where_it_was_planted(tmp_path, monkeypatch):
    verdicts = [finding.verdict for finding in found(tmp_path, monkeypatch, PAPER).findings]
    assert verdicts == ["holds"] * 7


@pytest.mark.parametrize(
    ("more", "number"),
    [
        ({"data": (0.015, 0.3, 0.2, 0.25)}, 0),  # better of the dense at few tokens, worse at many
        ({"data": (0.06, 0.04, 0.2, 0.3)}, 1),
        ({"data": (0.015, 0.005, -0.2, -0.3)}, 2),  # its confidence is as far off, and too small
        ({"data": PAPER, "teacher": (0.03, 0.04)}, 3),
        ({"data": PAPER, "distribution": (0.2, 0.1)}, 4),
        ({"data": (0.005, 0.015, 0.2, 0.3)}, 5),
        ({"data": (0.015, 0.005, 0.3, 0.2)}, 6),
    ],
)
def test_what_is_the_other_way_does_not_hold(more, number, tmp_path, monkeypatch):
    verdicts = [finding.verdict for finding in found(tmp_path, monkeypatch, **more).findings]
    assert verdicts[number] == "does not hold"


def test_no_growth_is_undecided(tmp_path, monkeypatch):
    verdicts = [finding.verdict for finding in found(tmp_path, monkeypatch, (0.01, 0.01, 0.2, 0.2)).findings]
    assert verdicts == ["holds"] * 5 + ["undecided"] * 2


def test_effects_are_the_planted_gaps(tmp_path, monkeypatch):
    everything = found(tmp_path, monkeypatch, PAPER, scatter=0.0)
    effects = [finding.effect.value for finding in everything.findings]
    assert effects == pytest.approx([0.185, 0.005, 0.2, 0.17, 0.18, -0.01, 0.1])
    [table] = everything.tables
    assert table.rows[0][4] == 0.01
    assert [row[4] for row in table.rows[1:]] == pytest.approx(PAPER)
    assert [row[2] - row[3] for row in table.rows[1:]] == pytest.approx(PAPER)
    assert [row[7:10] for row in table.rows[1:]] == [
        pytest.approx(gaps) for gaps in [(0.2, 0.02, 0.02)] * 2 + [(0.03, 0.2, 0.2)] * 2
    ]


def test_reliability_diagrams_stand_side_by_side(tmp_path, monkeypatch):
    [chart] = found(tmp_path, monkeypatch, PAPER, scatter=0.0).charts
    assert (len(chart.panels), chart.columns) == (6, 2)
    for panel, gap in zip(chart.panels[:2], PAPER[1::2], strict=True):
        _few, many = panel.series
        assert many.x - many.y == pytest.approx(np.full(10, gap))
        assert [guide.axis for guide in panel.guides] == ["diagonal"]


def test_bins_of_few_predictions_are_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_FEWEST", 61)  # three seeds have 60 in each
    [chart] = found(tmp_path, monkeypatch, PAPER, scatter=0.0).charts
    assert {len(series.x) for panel in chart.panels for series in panel.series} == {0}


def test_overconfidence_keeps_its_sign_where_ece_does_not():
    both = reliability(0.2) + reliability(-0.1)
    assert overconfidence(both) == pytest.approx(0.05)
    assert overconfidence(reliability(-0.1)) == pytest.approx(-0.1)
    assert reliability(-0.1).ece == pytest.approx(0.1)
