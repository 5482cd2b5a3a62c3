"""Every figure from two kinds of law, and what the paper says that it shows."""

import json
from pathlib import Path

import numpy as np
import pytest

from distlaw.costs import SCENARIOS, CostModel
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW, optimal_teacher_loss, published
from distlaw.plan import PAPER_BOUNDS, SUPERVISED, distilled_optimum
from distlaw.report.matplotlib_charts import draw
from distlaw.report.palette import OPTION_STYLE
from distlaw.report.paper import FIGURES, Scope, paper_figure
from distlaw.report.paper.lines import commonest, levels, near, profiles, spread
from distlaw.report.plotly_charts import plotly_figure
from distlaw.runs import Runs, format_quantity, predict_runs, read_runs

NUMBERS = (1, 4, 5, 6, 7, 8, 9, 16, 17, 23, 26, 29, 33, 34)
LAWS = (DEFAULT_LAW, "busbridge2025-peaked")  # eq. 8's limit, and effective tokens
TINY = Path(__file__).parents[2] / "studies" / "tiny"


def published_protocols(law, noise=0.0):
    """Runs of the paper's three protocols, as a law has them."""
    generator = np.random.default_rng(0)
    rows = []
    flops = CostModel().forward_flops
    teachers = [(N, 20 * N) for N in (5.46e8, 1.82e9, 7.75e9)]
    for N_T, D_T in teachers:
        rows += [(N, 1e20 / (3 * float(flops(N))), N_T, D_T) for N in (1.98e8, 5.46e8, 9.75e8)]
        rows += [(N, M * N, N_T, D_T) for N in (1.98e8, 9.75e8, 2.72e9) for M in (20, 80)]
    for C in (3e19, 1e20):
        rows += [(5.46e8, 1.1e10, N, C / (3 * float(flops(N)))) for N in (1.98e8, 5.46e8, 9.75e8)]
    N, D, N_T, D_T = np.array(rows).T
    L_T = law.supervised.loss(N_T, D_T)
    loss = law.student_loss(N, D, L_T) * np.exp(noise * generator.standard_normal(N.size))
    alone = {"student_params": N_T, "student_tokens": D_T, "student_loss": L_T}
    taught = {"student_params": N, "student_tokens": D, "student_loss": loss}
    empty = np.full(N.size, np.nan)
    return Runs(
        **{name: np.concatenate([alone[name], taught[name]]) for name in taught},
        teacher_loss=np.concatenate([empty, L_T]),
        teacher_params=np.concatenate([empty, N_T]),
        teacher_tokens=np.concatenate([empty, D_T]),
    )


@pytest.fixture(scope="module")
def runs():
    return published_protocols(published(DEFAULT_LAW).law)


@pytest.fixture(scope="module")
def figures(runs):
    """Every figure of each law, without runs where it does without."""
    found = {}
    for name in LAWS:
        law = published(name)
        for number in NUMBERS:
            given = runs if number == 5 else None
            found[name, number] = paper_figure(number, law.law, Scope.of(law), runs=given, command=f"draw {number}")
    return found


def series(panel, name):
    (one,) = (s for s in panel.series if s.name == name)
    return one


def per_panel(chart, name):
    return [series(panel, name) for panel in chart.panels]


# --- All of them ------------------------------------------------------------------------------------------------------


def test_the_registry_holds_the_figures_that_were_promised():
    assert tuple(FIGURES) == NUMBERS
    for number, figure in FIGURES.items():
        assert figure.about[0].startswith(f"After figure {number}: ")
        assert figure.title


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("number", NUMBERS)
def test_every_figure_is_drawn_from_every_kind_of_law(figures, name, number):
    chart = figures[name, number]
    assert chart.name.startswith(f"figure-{number}-")
    assert chart.title.endswith(f"(after figure {number})")
    assert chart.command == f"draw {number}"
    for panel in chart.panels:
        assert panel.x.label
        assert panel.y.label
        drawn = [one.y for one in panel.series] + ([panel.field.z] if panel.field else [])
        assert any(np.isfinite(values).any() for values in drawn)
        for one in panel.series:
            assert np.isfinite(one.x[np.isfinite(one.y)]).all() or number in (6, 7)
    data = chart.csv().splitlines()
    assert len(data) - 1 == sum(s.y.size for p in chart.panels for s in p.series) + sum(
        p.field.z.size for p in chart.panels if p.field
    )
    json.dumps(plotly_figure(chart), allow_nan=False)


@pytest.mark.parametrize("number", [1, 7, 29])
def test_figures_of_all_shapes_can_be_drawn_on_paper(figures, number):
    figure = draw(figures[DEFAULT_LAW, number])
    figure.draw_without_rendering()
    assert len([axes for axes in figure.axes if axes.get_label() != "<colorbar>"]) == len(
        figures[DEFAULT_LAW, number].panels
    )


@pytest.mark.parametrize("number", [2, 0, -1, 99])
def test_other_figures_are_refused(number):
    with pytest.raises(ValueError, match=f"figure {number} is not drawn; choose 1, 4, 5"):
        paper_figure(number, published(DEFAULT_LAW).law)


def test_any_object_with_the_methods_will_do():
    class Constant:
        supervised = published(DEFAULT_LAW).law.supervised

        def student_loss(self, N_S, D_S, L_T):
            return self.supervised.loss(N_S, 1.5 * np.asarray(D_S)) + 0 * np.asarray(L_T)

    chart = paper_figure(8, Constant(), Scope(students=(1e9,)))
    (best,) = per_panel(chart, "best-case")
    (alone,) = per_panel(chart, SUPERVISED)
    assert np.all(best.y < alone.y)


# --- Scope ------------------------------------------------------------------------------------------------------------


def test_the_scope_of_the_papers_laws_is_the_papers():
    for name in (*LAWS, "busbridge2025"):
        scope = Scope.of(published(name))
        assert scope.students == (3e8, 1e9, 3e9, 1e10)
        assert scope.budgets()[[0, -1]] == pytest.approx([1e20, 1e26])
        assert scope.flops([3e19]) == pytest.approx([3e19])
        assert scope.bounds.teacher_params == (1e6, 1e17)


def test_a_law_of_small_models_is_drawn_for_small_models():
    law, table = find_law(str(TINY / "law.json")), read_runs(TINY / "runs.csv")
    scope = Scope.of(law, runs=table)
    assert scope.ratio == 1e-4
    assert scope.students == (3e4, 1e5, 3e5, 1e6)
    low, high = law.fitted_range["student_params"]
    assert low < scope.students[0] < high
    alone = table.select(~table.distilled & (table.student_params == table.student_params[0]))
    F = float(scope.costs.student_flops(alone.student_params[0]))
    assert alone.compute / (3 * alone.student_tokens) == pytest.approx(F, rel=0.01)
    first, last = scope.budgets()[[0, -1]]
    assert 10 < first / (3 * scope.costs.student_flops(3e4) * 3e4) < 1000  # tokens per parameter
    assert last == pytest.approx(1e6 * first)
    for number in (8, 16):
        chart = paper_figure(number, law.law, scope, runs=table)
        assert all(np.isfinite(one.y).any() for panel in chart.panels for one in panel.series)


def test_sizes_that_are_asked_for_are_shown():
    scope = Scope.of(published(DEFAULT_LAW), students=[7e7, 2e8])
    assert scope.students == (7e7, 2e8)
    assert scope.ratio == pytest.approx(0.1)
    assert scope.bounds.teacher_params[0] == pytest.approx(1e5)
    chart = paper_figure(8, published(DEFAULT_LAW).law, scope)
    assert [panel.title for panel in chart.panels] == ["70M student", "200M student"]


def test_costs_that_are_given_go_before_those_of_runs():
    costs = CostModel(forward_flops=lambda N: 2 * np.asarray(N, dtype=np.float64))
    scope = Scope.of(find_law(str(TINY / "law.json")), runs=read_runs(TINY / "runs.csv"), costs=costs)
    assert scope.costs is costs


# --- What they show ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
def test_figure_8_falls_with_compute_and_free_teachers_help(figures, name):
    chart = figures[name, 8]
    assert [panel.title for panel in chart.panels] == ["300M student", "1B student", "3B student", "10B student"]
    for panel in chart.panels:
        losses = {option: series(panel, option).y for option in OPTION_STYLE}
        assert series(panel, SUPERVISED).x[[0, -1]] == pytest.approx([1e20, 1e26])
        for y in losses.values():
            assert np.all(np.diff(y[np.isfinite(y)]) < 1e-9)
        assert np.all(losses["best-case"] <= losses["teacher-inference"] + 1e-9)
        assert np.all(losses["teacher-pretraining"] <= losses["teacher-pretraining-and-inference"] + 1e-9)
        assert losses["best-case"][0] < losses["supervised"][0]
    for panel in chart.panels[:3]:  # the largest student starts on a seventh of a token per parameter
        assert series(panel, SUPERVISED).y[0] < series(panel, "teacher-pretraining").y[0]


def test_figure_8_marks_where_supervised_training_overtakes(figures):
    for panel in figures[DEFAULT_LAW, 8].panels:
        alone = series(panel, SUPERVISED)
        for point in (one for one in panel.series if one.name == "supervised overtakes"):
            on_curve = np.interp(np.log(point.x), np.log(alone.x), alone.y)
            assert point.y == pytest.approx(on_curve, abs=2e-3)
    one_billion = [s for s in figures[DEFAULT_LAW, 8].panels[1].series if s.name == "supervised overtakes"]
    assert [float(s.x[0]) for s in one_billion] == pytest.approx([7.48e22, 5.36e21], rel=0.01)


@pytest.mark.parametrize("name", LAWS)
def test_figure_29_shares_sum_to_one_and_go_as_table_3_says(figures, name):
    chart = figures[name, 29]
    for panel in chart.panels:
        assert {one.kind for one in panel.series} == {"area"}
        assert np.sum([one.y for one in panel.series], axis=0) == pytest.approx(1.0)
    student, teacher = "student training", "teacher training"
    small, large = chart.panels[0], chart.panels[-1]
    assert series(small, teacher).y[0] > series(small, student).y[0]  # small student, small budget
    assert series(small, teacher).y[-1] < 0.1  # small student, large budget: little pretraining
    assert series(large, student).y[0] > 0.5  # large student, small budget: student training


@pytest.mark.parametrize("name", LAWS)
def test_figure_9_agrees_with_the_planner(figures, name):
    chart = figures[name, 9]
    budget = series(chart.panels[1], "student tokens D_S").x[24]
    best = distilled_optimum(
        published(name).law, 1e9, teacher_logits=1, teacher_pretraining=1, compute=budget, bounds=PAPER_BOUNDS
    )
    for line, value in (
        ("student tokens D_S", best.student_tokens),
        ("teacher tokens D_T", best.teacher_tokens),
        ("teacher parameters N_T", best.teacher_params),
        ("student parameters N_S", 1e9),
    ):
        assert series(chart.panels[1], line).y[24] == pytest.approx(float(value), rel=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_figure_7_has_its_best_teachers_at_the_minimum(figures, name):
    chart = figures[name, 7]
    assert [panel.title for panel in chart.panels] == ["30B tokens", "100B tokens", "300B tokens", "1T tokens"]
    law = published(name).law
    for panel, D in zip(chart.panels, (3e10, 1e11, 3e11, 1e12), strict=True):
        field, line = panel.field, series(panel, "best teacher")
        best = field.x[np.argmin(field.z, axis=1)]
        inside = (best > field.x[0]) & (best < field.x[-1])
        step = field.x[1] - field.x[0]
        assert inside.sum() > 10
        assert np.all(np.abs(best - line.x)[inside] <= 1.5 * step)
        exact = optimal_teacher_loss(law, field.y, D, lowest=float(law.supervised.E))
        assert line.x == pytest.approx(exact, abs=0.02)
        # A stronger student wants a stronger teacher, and each a teacher that is better than itself alone.
        assert np.all(np.diff(line.x) <= 1e-6)
        assert np.all(line.x < series(panel, "teacher as good as the student alone").x)


@pytest.mark.parametrize("name", LAWS)
def test_figure_6_is_blue_where_tokens_are_few(figures, name):
    (panel,) = figures[name, 6].panels
    assert (panel.x.limits, panel.y.limits) == (pytest.approx((1e9, 1e13)), pytest.approx((1e8, 1e10)))
    lead = panel.field.z
    assert np.all(lead[:, 0] > 0)
    assert panel.field.centre == 0.0
    line = panel.series[0]
    for x, y in zip(line.x, line.y, strict=True):
        if np.isfinite(x):
            row = lead[np.argmin(np.abs(panel.field.y - y))]
            assert np.interp(np.log(x), np.log(panel.field.x), row) == pytest.approx(0.0, abs=2e-3)


def test_figure_26_shows_overtrained_teachers_where_training_is_free(figures):
    chart = figures[DEFAULT_LAW, 26]
    assert len(chart.panels) == 9
    tokens = chart.panels[3:6]
    free, paid = (np.concatenate([one.y for one in panel.series]) for panel in tokens[:2])
    assert free.min() > 1e4
    assert 5 < np.nanmin(paid) < np.nanmax(paid) < 50  # near the compute-optimal tokens per parameter
    losses = chart.panels[6]
    ends = [one.y[-1] for one in losses.series]
    assert ends == sorted(ends, reverse=True)  # larger students want better teachers


def test_figure_23_has_eight_sizes_and_five_ways(figures):
    chart = figures[DEFAULT_LAW, 23]
    assert [panel.title for panel in chart.panels] == list(OPTION_STYLE)
    for panel in chart.panels:
        assert len(panel.series) == 8
        ends = [one.y[-1] for one in panel.series]
        assert ends == sorted(ends, reverse=True)


@pytest.mark.parametrize("name", LAWS)
def test_figures_33_and_34_agree_with_the_planner(figures, name):
    compute, data = figures[name, 33], figures[name, 34]
    assert [panel.title for panel in compute.panels] == list(SCENARIOS)
    law, N = published(name).law, 1e9
    panel, target = compute.panels[1], series(compute.panels[1], "1B").x[8]
    best = distilled_optimum(law, N, teacher_logits=1, teacher_pretraining=0, target_loss=target, bounds=PAPER_BOUNDS)
    tokens = float(law.supervised.tokens_to_reach(target, N))
    assert series(data.panels[1], "1B").y[8] == pytest.approx(float(best.student_tokens) / tokens, rel=1e-6)
    alone = 3 * float(CostModel().student_flops(N)) * tokens
    assert series(panel, "1B").y[8] == pytest.approx(float(best.flops.total) / alone, rel=1e-6)
    # With the best teacher free, the same tokens cost the same: both ratios are one.
    assert series(compute.panels[0], "1B").y == pytest.approx(series(data.panels[0], "1B").y, nan_ok=True)


# --- With runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "least"), [(1, 20), (4, 12), (16, 9), (17, 6)])
def test_runs_lie_on_the_curves_of_their_law(runs, number, least):
    law = published(DEFAULT_LAW)
    chart = paper_figure(number, law.law, Scope.of(law), runs=runs)
    shown = 0
    for panel in chart.panels:
        points = [one for one in panel.series if one.kind in ("points", "hollow")]
        for one in points:
            lines = [s for s in panel.series if s.name == one.name and s.kind in ("line", "dashed")]
            for x, y in zip(one.x, one.y, strict=True):
                near_it = [np.interp(x, s.x, s.y) for s in lines if np.isfinite(np.interp(x, s.x, s.y))]
                assert min(abs(value - y) for value in near_it) < 0.01
                shown += 1
    assert shown >= least


def test_what_was_fitted_is_filled_and_solid_and_what_was_not_is_hollow_and_dashed(runs):
    law = published(DEFAULT_LAW)
    chart = paper_figure(1, law.law, Scope.of(law), runs=runs)
    sizes = {panel.title: {one.kind for one in panel.series} for panel in chart.panels}
    assert sizes["198M student"] == {"points", "line", "dashed"}  # dashed beyond the fitted teachers
    assert sizes["2.72B student"] == {"hollow", "dashed"}
    low, high = law.fitted_range["teacher_loss"]
    for one in chart.panels[0].series:
        x = one.x[np.isfinite(one.y)]
        if one.kind == "line":
            assert low * 0.998 <= x.min() <= x.max() <= high * 1.002
            assert x.max() - x.min() > 0.95 * (high - low)


def test_figure_5_says_the_errors(runs):
    law = published("busbridge2025")
    chart = paper_figure(5, law.law, Scope.of(law), runs=runs)
    above, below = chart.panels[:2], chart.panels[2:]
    error = np.abs(predict_runs(law.law, runs) / runs.student_loss - 1)[runs.distilled]
    assert above[0].title == "supervised: mean error 0.00 %"
    assert above[1].title == f"distilled: mean error {100 * error.mean():.2f} %"
    drawn = np.concatenate([one.y for one in below[1].series])
    assert sorted(np.abs(drawn)) == pytest.approx(sorted(100 * error))
    only = paper_figure(5, law.law, Scope.of(law), runs=runs.select(runs.distilled))
    assert len(only.panels) == 2


def test_figures_that_cannot_be_drawn_from_the_runs_say_why(runs):
    law = published(DEFAULT_LAW).law
    with pytest.raises(ValueError, match="figure 5 lays predictions beside runs"):
        paper_figure(5, law)
    alone = runs.select(~runs.distilled)
    for number in (1, 4, 16, 17):
        with pytest.raises(ValueError, match=f"figure {number} shows distilled runs: no run"):
            paper_figure(number, law, runs=alone)
    unknown = Runs(
        student_params=runs.student_params[runs.distilled],
        student_tokens=runs.student_tokens[runs.distilled],
        student_loss=runs.student_loss[runs.distilled],
        teacher_loss=runs.teacher_loss[runs.distilled],
    )
    for number in (4, 17):
        with pytest.raises(ValueError, match="no teacher_params and teacher_tokens"):
            paper_figure(number, law, runs=unknown)
    assert "teacher of " in paper_figure(16, law, runs=unknown).panels[0].title


def test_figure_4_keeps_the_commonest_teachers(runs):
    chart = paper_figure(4, published(DEFAULT_LAW).law, runs=runs)
    assert chart.title.startswith("Student loss over the size of teachers of 20 tokens per parameter")
    shown = np.concatenate([one.x for p in chart.panels for one in p.series if one.kind in ("points", "hollow")])
    assert {format_quantity(N) for N in shown} == {"546M", "1.82B", "7.75B"}


def test_levels_are_told_apart_and_profiles_have_three_sizes():
    values = np.array([1e20, 1.02e20, 0.98e20, 3e20, 3e20])
    assert levels(values) == pytest.approx([1e20, 3e20], rel=0.01)
    assert near(values, 3e20).tolist() == [False] * 3 + [True] * 2
    assert commonest(values) == pytest.approx(1e20, rel=0.01)
    assert profiles(values, np.array([1.0, 2.0, 3.0, 1.0, 2.0])) == pytest.approx([1e20], rel=0.01)
    assert profiles(values, np.ones(5)) == []
    assert spread(list(range(100)), 3) == [0, 50, 99]
    assert spread([], 3) == []
