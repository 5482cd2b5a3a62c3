from dataclasses import replace

import numpy as np
import pytest

from distlaw.evidence import CannotSay
from distlaw.report.evidence_figures import (
    compute_figure,
    evidence_figures,
    prediction_figure,
    teacher_figure,
    worth_figure,
)
from distlaw.report.figures import save_figure


def points(axes):
    return np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections if len(c.get_offsets()) > 1])


def test_all_four_are_drawn_and_written(evidence, tmp_path):
    found = evidence_figures(evidence)
    assert list(found) == ["predictions", "teachers", "token-worth", "compute"]
    for name, figure in found.items():
        for kind in ("png", "svg"):
            path = tmp_path / f"{name}.{kind}"
            save_figure(figure, path)
            assert path.stat().st_size > 5000


def test_predictions_mark_what_was_held_out(evidence):
    panels = prediction_figure(evidence).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["supervised", "peaked-tokens"]
    for axes, x in zip(panels, evidence.extrapolation.values(), strict=True):
        fitted, out = axes.collections
        assert len(fitted.get_offsets()) == (~x.held_out).sum()
        assert len(out.get_offsets()) == x.held_out_cells
        assert out.get_facecolor()[0].tolist() == [1, 1, 1, 1]
        assert f"{100 * x.mean_error:.2f} %" in axes.get_legend().get_texts()[1].get_text()
        errors = np.asarray(out.get_offsets())[:, 1]
        assert np.abs(errors).max() == pytest.approx(100 * x.max_error)


def test_students_stand_under_their_teachers(evidence):
    panels = teacher_figure(evidence).axes
    assert len(panels) == 8
    first = panels[0]
    assert first.get_title(loc="left") == "14K, 1M tokens"
    x, y = first.lines[0].get_data()
    cells = evidence.cells.select((evidence.cells.student_params == 14e3) & (evidence.cells.student_tokens == 1e6))
    taught = cells.select(cells.distilled)
    assert sorted(x) == sorted(taught.teacher_loss)
    assert sorted(y) == sorted(taught.loss)
    alone = cells.loss[~cells.distilled][0]
    assert any(np.allclose(line.get_ydata(), alone) for line in first.lines if line.get_linestyle() == "--")


def test_worth_has_a_curve_for_each_student(evidence):
    (axes,) = worth_figure(evidence).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:2] == ["14K, 1M tokens", "14K, 4M tokens"]
    assert labels[-1] == "mean, 90 %"
    assert axes.get_yscale() == "log"
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx(evidence.token_worth.constancy.interval, rel=1e-6)


def test_compute_shows_both_ways(evidence):
    panels = compute_figure(evidence).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["14K", "27K", "55K", "107K", "390K"]
    assert len(points(panels[0])) >= 16
    other = compute_figure(evidence, basis="teacher wholly paid")
    assert "teacher wholly paid" in other.get_supxlabel()


def test_what_cannot_be_drawn_says_so(bare):
    assert list(evidence_figures(bare)) == ["predictions"]
    for make, why in ((teacher_figure, "two teachers"), (worth_figure, "no cell"), (compute_figure, "no comparison")):
        with pytest.raises(ValueError, match=why):
            make(bare)
    nothing = replace(bare, extrapolation={"supervised": CannotSay(because="no computes")})
    with pytest.raises(ValueError, match="no law was extrapolated"):
        prediction_figure(nothing)


def test_noise_that_is_not_known_draws_no_bars(evidence):
    figure = teacher_figure(replace(evidence, noise=CannotSay(because="one seed")))
    assert len(figure.axes) == 8
