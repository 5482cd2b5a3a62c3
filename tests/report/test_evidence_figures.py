from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence import CannotSay
from distlaw.report.evidence_figures import (
    compute_chart,
    evidence_charts,
    prediction_chart,
    teacher_chart,
    worth_chart,
)
from distlaw.report.figures import save_figure
from distlaw.report.matplotlib_charts import draw
from distlaw.report.study_report import study_page


def series(panel, name):
    return next((one for one in panel.series if one.name == name), None)


def test_all_four_are_drawn_and_written(evidence, tmp_path):
    found = evidence_charts(evidence)
    assert list(found) == ["predictions", "teachers", "token-worth", "compute"]
    for name, chart in found.items():
        assert chart.name == name
        path = tmp_path / f"{name}.png"
        save_figure(draw(chart), path)
        assert path.stat().st_size > 5000


def test_predictions_mark_what_was_held_out(evidence):
    panels = prediction_chart(evidence).panels
    assert [panel.title.split(":")[0] for panel in panels] == ["supervised", "peaked-tokens"]
    for panel, x in zip(panels, evidence.extrapolation.values(), strict=True):
        fitted, out = panel.series
        assert (fitted.kind, out.kind) == ("points", "hollow")
        assert fitted.x.size == (~x.held_out).sum()
        assert out.x.size == x.held_out_cells
        assert panel.title.endswith(f"{100 * x.mean_error:.2f} %")
        assert np.abs(out.y).max() == pytest.approx(100 * x.max_error)
        assert panel.y.limits[0] < min(out.y.min(), fitted.y.min())
        assert panel.y.limits[1] > max(out.y.max(), fitted.y.max())


def test_students_stand_under_their_teachers(evidence):
    panels = teacher_chart(evidence).panels
    assert len(panels) == 8
    first = panels[0]
    assert first.title == "14K, 1M tokens"
    cells = evidence.cells.select((evidence.cells.student_params == 14e3) & (evidence.cells.student_tokens == 1e6))
    taught = cells.select(cells.distilled)
    drawn = series(first, "distilled")
    assert sorted(drawn.x) == sorted(taught.teacher_loss)
    assert sorted(drawn.y) == sorted(taught.loss)
    assert np.all(drawn.low < drawn.y)
    assert np.all(drawn.y < drawn.high)
    assert series(first, "best teacher").y == pytest.approx(taught.loss.min())
    alone = series(first, "the student alone, as many tokens")
    assert (alone.kind, alone.y.tolist()) == ("dashed", [cells.loss[~cells.distilled][0]] * 2)
    assert [guide.axis for guide in first.guides] == ["diagonal"]


def test_worth_has_a_curve_for_each_student(evidence):
    (panel,) = worth_chart(evidence).panels
    names = list(dict.fromkeys(one.name for one in panel.series))
    assert names[:2] == ["14K, 1M tokens", "14K, 4M tokens"]
    assert panel.y.scale == "log"
    one_token, mean = panel.guides
    assert one_token.at == 1.0
    assert (mean.at, mean.to) == evidence.token_worth.constancy.interval
    weak = [one for one in panel.series if one.kind == "hollow"]
    assert sum(one.y.size for one in weak) == sum(
        c.held_back for c in evidence.token_worth.cells if np.isfinite([c.kappa, *c.interval]).all()
    )


def test_compute_shows_both_ways(evidence):
    panels = compute_chart(evidence).panels
    assert [panel.title for panel in panels] == ["14K", "27K", "55K", "107K", "390K"]
    first = panels[0]
    alone, taught, best = (series(first, n) for n in ("supervised", "distilled", "best of the distilled"))
    assert taught.x.size >= 16
    assert np.all(np.diff(alone.x) > 0)
    assert np.all(np.diff(best.y) <= 0)
    assert set(best.y) <= set(taught.y)
    other = compute_chart(evidence, basis="teacher wholly paid")
    assert "teacher wholly paid" in other.panels[0].x.label


def test_what_cannot_be_drawn_says_so(bare):
    assert list(evidence_charts(bare)) == ["predictions"]
    for make, why in ((teacher_chart, "two teachers"), (worth_chart, "no cell"), (compute_chart, "no comparison")):
        with pytest.raises(ValueError, match=why):
            make(bare)
    nothing = replace(bare, extrapolation={"supervised": CannotSay(because="no computes")})
    with pytest.raises(ValueError, match="no law was extrapolated"):
        prediction_chart(nothing)


def test_noise_that_is_not_known_draws_no_bars(evidence):
    chart = teacher_chart(replace(evidence, noise=CannotSay(because="one seed")))
    assert len(chart.panels) == 8
    drawn = series(chart.panels[0], "distilled")
    assert drawn.low.tolist() == drawn.high.tolist() == drawn.y.tolist()


def test_the_report_of_a_study_has_each_chart_with_its_question(evidence, bare):
    page = study_page(evidence, title="A study", command="distlaw report study s")
    with_charts = {section.charts[0].name: section.title for section in page.sections if section.charts}
    assert list(with_charts) == ["predictions", "token-worth", "teachers", "compute"]
    assert "worth" in with_charts["token-worth"]
    assert "capacity gap" in with_charts["teachers"]
    assert all(c.command == page.command for section in page.sections for c in section.charts)
    assert sum(len(section.tables) for section in page.sections) >= 8
    assert any("159 runs" in text for text in page.lead)
    assert [c.name for section in study_page(bare, title="b").sections for c in section.charts] == ["predictions"]
