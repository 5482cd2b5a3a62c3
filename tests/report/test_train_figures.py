from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distlaw.report.figures import save_figure
from distlaw.report.train_figures import reliability_figure


def measured(bins, ece=None) -> Any:
    confidence, accuracy, counts = np.array(bins).T
    weighted = float(np.abs(accuracy - confidence) @ counts / counts.sum())
    return SimpleNamespace(reliability=tuple(bins), ece=weighted if ece is None else ece)


BOLD = measured([(0.1, 0.08, 600), (0.5, 0.4, 300), (0.9, 0.6, 100)])
SHY = measured([(0.2, 0.3, 10), (0.6, 0.8, 90)])


def points(axes):
    [scatter] = [c for c in axes.collections if type(c).__name__ == "PathCollection"]
    return np.asarray(scatter.get_offsets()), scatter.get_sizes()


def test_a_panel_for_each_model_shows_its_bins():
    figure = reliability_figure({"bold": BOLD, "shy": SHY})
    assert len(figure.axes) == 2
    for axes, evaluation in zip(figure.axes, (BOLD, SHY), strict=True):
        at, areas = points(axes)
        assert at.tolist() == [list(b[:2]) for b in evaluation.reliability]
        counts = [b[2] for b in evaluation.reliability]
        assert np.corrcoef(areas, counts)[0, 1] == pytest.approx(1, abs=1e-12)
        [diagonal] = axes.lines
        assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
        assert axes.get_aspect() == 1
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["bold\nECE 7.20%", "shy\nECE 19.00%"]


def test_an_area_is_a_share_not_a_count():
    few, many = (measured([(0.2, 0.3, n), (0.6, 0.8, 9 * n)]) for n in (1, 10_000))
    figure = reliability_figure({"few": few, "many": many})
    assert points(figure.axes[0])[1] == pytest.approx(points(figure.axes[1])[1])
    rare, common = points(figure.axes[0])[1]
    assert common > 4 * rare


def test_gaps_end_on_the_diagonal_and_at_the_points():
    [axes] = reliability_figure({"bold": BOLD}).axes
    [gaps] = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
    segments = [segment.tolist() for segment in gaps.get_segments()]
    assert segments == [[[c, c], [c, a]] for c, a, _ in BOLD.reliability]


def test_many_models_fill_rows_and_names_are_taken_as_they_are(tmp_path):
    names = [f"runs/a_long_name/with/many/folders/students/$\\nope{{{i}$" for i in range(6)]
    figure = reliability_figure(dict.fromkeys(names, BOLD))
    assert [axes.get_visible() for axes in figure.axes] == [True] * 6 + [False] * 2
    assert all(f"{{{i}$\n" in figure.axes[i].get_title(loc="left") for i in range(6))
    save_figure(figure, tmp_path / "figure.png")
    first = (tmp_path / "figure.png").read_bytes()
    save_figure(reliability_figure(dict.fromkeys(names, BOLD)), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes() == first
