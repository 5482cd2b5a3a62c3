from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from rich.console import Console

from distlaw.fit import FitSpec, fit_allocation, fit_law, fit_profiles
from distlaw.fit import compare as module
from distlaw.fit.compare import compare
from distlaw.laws import PeakedTokensLaw, published
from distlaw.report.figures import save_figure
from distlaw.report.fit_figures import comparison_figure, fit_figure, isoflop_figure
from distlaw.report.fit_tables import isoflop_table
from distlaw.report.palette import NAMED
from distlaw.runs import Runs

CHINCHILLA = published("besiroglu2024").supervised
PRINTED = published("busbridge2025").law
PEAKED = PeakedTokensLaw(supervised=PRINTED.supervised, kappa=2.5, m=13, growth=0.5, lead=0.7)
BLUE, ORANGE = NAMED[0].lower(), NAMED[3].lower()


def noisy(loss, noise=0.003):
    return loss * np.exp(noise * np.random.default_rng(0).normal(size=loss.size))


def distilled(sizes=(1e8, 1e9), teachers=8):
    N, ratio, L_T = (a.ravel() for a in np.meshgrid(sizes, [20.0, 80.0], np.linspace(1.9, 3.2, teachers)))
    D = ratio * N
    return Runs(
        student_params=N, student_tokens=D, student_loss=noisy(PEAKED.student_loss(N, D, L_T)), teacher_loss=L_T
    )


def supervised(tokens=(1e9, 1e10, 1e11), sizes=8):
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(5e7, 1e10, sizes), tokens))
    return Runs(student_params=N, student_tokens=D, student_loss=noisy(CHINCHILLA.loss(N, D)))


def isoflop(budgets=5):
    cost = np.geomspace(1e18, 1e22, budgets)
    N = np.concatenate([CHINCHILLA.compute_optimal(c)[0] * np.exp(np.linspace(-1.5, 1.5, 7)) for c in cost])
    D = np.repeat(cost, 7) / (6 * N)
    return Runs(student_params=N, student_tokens=D, student_loss=noisy(CHINCHILLA.loss(N, D)))


def fitted(runs, out=None, resamples=64):
    kind = "distillation" if runs.distilled.any() else "supervised"
    form = "peaked-tokens" if kind == "distillation" else "supervised"
    fixed = {} if kind == "distillation" else {"gamma": 1.0}
    spec = FitSpec(form=form, fixed=fixed, starts=8, resamples=resamples)
    rest = PRINTED.supervised if kind == "distillation" else None
    return fit_law(runs if out is None else runs.select(~out), spec, supervised=rest)


def curves(axes):
    """The law's lines, as pairs of the dashed whole and the solid part."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 80]
    return list(zip(lines[::2], lines[1::2], strict=True))


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# --- Law and runs -----------------------------------------------------------------------------------------------------


def test_curves_are_solid_where_runs_were_fitted_and_dashed_beyond():
    runs = distilled()
    out = runs.teacher_loss < 2.2
    fit = fitted(runs, out)
    left, _ = fit_figure(fit, runs, held_out=out).axes
    found = curves(left)
    assert len(found) == 4  # two sizes on two numbers of tokens
    for whole, part in found:
        x, y = whole.get_xdata(), whole.get_ydata()
        assert whole.get_linestyle() == "--"
        assert part.get_linestyle() == "-"
        students = np.unique(np.stack([runs.student_params, runs.student_tokens], axis=1), axis=0)
        [student] = [s for s in students if np.allclose(fit.law.student_loss(*s, x), y)]
        own = (runs.student_params == student[0]) & (runs.student_tokens == student[1]) & ~out
        solid = x[np.isfinite(part.get_ydata())]
        assert 2.2 <= runs.teacher_loss[own].min() <= solid.min()
        assert solid.max() <= runs.teacher_loss[own].max() <= 3.2
        assert x[0] < 1.9
        assert x[-1] > 3.2
    assert legend(left) == ["100M", "1B", "fitted", "held out"]
    # As many points filled and hollow as were fitted and held out.
    filled, hollow = (c for c in left.collections if len(c.get_offsets()) > 1 and c.get_facecolor().size)
    assert len(filled.get_offsets()) == (~out).sum()
    assert len(hollow.get_offsets()) == out.sum()
    assert {to_hex(c) for c in hollow.get_facecolor()} == {"#ffffff"}
    assert "#ffffff" not in {to_hex(c) for c in filled.get_facecolor()}


def test_a_student_that_was_held_out_has_no_solid_part():
    runs = distilled(sizes=(1e8, 3e8, 1e9))
    out = runs.student_params == 1e9
    left, _ = fit_figure(fitted(runs, out), runs, held_out=out).axes
    solid = [np.isfinite(part.get_ydata()).any() for _, part in curves(left)]
    assert sorted(solid) == [False, False, True, True, True, True]


def test_bands_are_the_laws_interval():
    runs = supervised()
    fit = fitted(runs)
    left, _ = fit_figure(fit, runs).axes
    bands = [c for c in left.collections if c.get_paths() and len(c.get_paths()[0].vertices) > 100]
    assert len(bands) == 3
    x = curves(left)[0][0].get_xdata()
    _, low, high = fit.predict(x, np.full(x.size, 1e9))
    vertices = bands[0].get_paths()[0].vertices
    np.testing.assert_allclose(sorted(set(vertices[:, 1])), sorted({*low, *high}), rtol=1e-12)


def test_predictions_stand_against_what_was_measured_with_intervals_for_one_run():
    runs = supervised()
    out = runs.student_params > 5e9
    fit = fitted(runs, out)
    _, right = fit_figure(fit, runs, held_out=out).axes
    predicted, low, high = fit.predict(runs.student_params, runs.student_tokens, noise=True)
    bars, points = right.collections[::2], right.collections[1::2]
    for chosen, bar, point, colour in zip((~out, out), bars, points, (BLUE, ORANGE), strict=True):
        measured = runs.student_loss[chosen]
        np.testing.assert_allclose(point.get_offsets()[:, 0], measured)
        np.testing.assert_allclose(point.get_offsets()[:, 1], 100 * (predicted[chosen] / measured - 1), atol=1e-12)
        ends = np.array([segment[:, 1] for segment in bar.get_segments()])
        np.testing.assert_allclose(ends[:, 0], 100 * (low[chosen] / measured - 1), atol=1e-12)
        np.testing.assert_allclose(ends[:, 1], 100 * (high[chosen] / measured - 1), atol=1e-12)
        assert to_hex(bar.get_color()[0]) == to_hex(point.get_edgecolor()[0]) == colour
    inside = ((low <= runs.student_loss) & (runs.student_loss <= high))[out].mean()
    error = np.abs(predicted / runs.student_loss - 1)[out].mean()
    expected = f"held out: mean error {100 * error:.2f} %, {inside:.0%} in their 90% interval"
    assert legend(right)[1] == expected


def test_without_resamples_there_are_no_intervals():
    runs = supervised()
    _, right = fit_figure(fitted(runs, resamples=0), runs).axes
    assert len(right.collections) == 1
    assert "interval" not in legend(right)[0]


@pytest.mark.parametrize(
    ("runs", "title", "count"),
    [
        (supervised(), "a curve for each number of tokens", 3),
        (isoflop(), "a curve for each compute", 5),
        (supervised(tokens=np.geomspace(1e9, 1e11, 20), sizes=3), "curves at five numbers of tokens", 5),
    ],
)
def test_supervised_curves_follow_how_the_runs_were_laid_out(runs, title, count):
    fit = fitted(runs, resamples=0)
    left, _ = fit_figure(fit, runs).axes
    assert left.get_title(loc="left").startswith(title)
    found = curves(left)
    assert len(found) == count
    if title == "a curve for each compute":
        for (whole, _), compute in zip(found, np.geomspace(1e18, 1e22, 5), strict=True):
            N = whole.get_xdata()
            np.testing.assert_allclose(whole.get_ydata(), fit.law.loss(N, compute / (6 * N)), rtol=1e-9)
            assert 0 < np.argmin(whole.get_ydata()) < N.size - 1


def test_runs_of_the_other_kind_and_crowds_of_students_are_left_out():
    runs = distilled(sizes=np.geomspace(1e8, 1e9, 20), teachers=4)
    both = [
        np.concatenate([getattr(runs, name), getattr(supervised(), name)])
        for name in ("student_params", "student_tokens", "student_loss", "teacher_loss")
    ]
    mixed = Runs(student_params=both[0], student_tokens=both[1], student_loss=both[2], teacher_loss=both[3])
    left, right = fit_figure(fitted(runs, resamples=0), mixed, held_out=np.zeros(len(mixed), dtype=bool)).axes
    assert len(curves(left)) == 16
    assert left.get_title(loc="left").endswith("24 more are not drawn")
    assert len(right.collections[0].get_offsets()) == len(runs)


def test_figures_are_written_and_always_the_same(tmp_path):
    runs = supervised()
    fit = fitted(runs)
    for name in ("a.svg", "b.svg", "c.png"):
        save_figure(fit_figure(fit, runs), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").stat().st_size > 10_000


# --- IsoFLOP profiles -------------------------------------------------------------------------------------------------


def profiles_of(runs):
    cost = 6 * runs.student_params * runs.student_tokens
    return fit_profiles(runs.student_params, runs.student_tokens, runs.student_loss, cost)


def test_profiles_have_parabolas_and_refused_ones_are_grey():
    runs = isoflop()
    profiles = profiles_of(runs.select(np.arange(len(runs)) < 32))  # the last one lacks its larger sizes
    assert [p.status for p in profiles] == ["ok"] * 4 + ["no interior minimum"]
    allocation = fit_allocation(profiles)
    left, right = isoflop_figure(profiles, allocation).axes
    parabolas = [line for line in left.get_lines() if len(line.get_xdata()) == 80]
    assert len(parabolas) == 4
    for line, profile in zip(parabolas, profiles, strict=False):
        assert line.get_ydata().min() == pytest.approx(profile.best_loss, rel=1e-4)
        assert line.get_xdata()[np.argmin(line.get_ydata())] == pytest.approx(profile.best_params, rel=0.03)
    assert legend(left)[-1] == "1e+22 FLOPs: no interior minimum"
    grey = [line for line in left.get_lines() if to_hex(line.get_color()) == "#999999"]
    assert [len(line.get_xdata()) for line in grey] == [4]
    best = [line for line in right.get_lines() if line.get_marker() == "D"]
    assert [float(line.get_ydata()[0]) for line in best] == [p.best_params for p in profiles[:4]]
    whole, part = (line for line in right.get_lines() if len(line.get_xdata()) == 80)
    np.testing.assert_allclose(whole.get_ydata(), allocation.at(whole.get_xdata())[0])
    solid = whole.get_xdata()[np.isfinite(part.get_ydata())]
    assert profiles[0].compute <= solid.min()
    assert solid.max() <= profiles[3].compute < whole.get_xdata()[-1]
    assert legend(right) == [f"N* ~ C^{allocation.a:.3f}"]


def test_profiles_without_a_power_law_are_drawn_too(tmp_path):
    runs = isoflop()
    profiles = profiles_of(runs.select(np.arange(len(runs)) < 4))
    _, right = isoflop_figure(profiles, None).axes
    assert right.get_lines() == []
    save_figure(isoflop_figure(profiles, None), tmp_path / "figure.png")


# --- Side by side -----------------------------------------------------------------------------------------------------


def test_answers_stand_side_by_side(tmp_path):
    spec = FitSpec(form="supervised", fixed={"gamma": 1.0}, starts=4, resamples=16)
    report = compare(isoflop(), spec)
    figure = comparison_figure(report)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["at 1e+23 FLOPs", "at 5.76e+23 FLOPs"]
    for i, axes in enumerate(figure.axes):
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == [v.name for v in (*report.losses, *report.exponents)] + ["IsoFLOP profiles"]
        shown = [float(line.get_xdata()[0]) for line in axes.get_lines()]
        assert report.isoflop is not None
        truth = [v.answers[i] for v in (*report.losses, *report.exponents)]
        assert shown == [*truth, report.isoflop.splits[0].tokens_per_param[i]]
        bars = [tuple(c.get_segments()[0][:, 0]) for c in axes.collections]
        assert bars[0] == tuple(report.losses[0].answer_intervals[i])
    # Too few profiles: the parabolas have no row.
    without = replace(report, isoflop=replace(report.isoflop, splits=report.isoflop.splits[1:]))
    assert len(comparison_figure(without).axes[0].get_lines()) == len(names) - 1
    save_figure(figure, tmp_path / "figure.png")


def test_forms_stand_side_by_side_in_a_panel_for_each_kind_of_folds(monkeypatch):
    monkeypatch.setattr(module, "_ALL_FORMS", ("effective-tokens", "peaked-tokens"))
    spec = FitSpec(form="peaked-tokens", starts=4, resamples=0)
    runs = distilled(sizes=(1e8, 3e8, 1e9))
    report = compare(runs, spec, supervised=PRINTED.supervised, folds=("teacher", "student"))
    figure = comparison_figure(report)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["folds: teacher", "folds: student"]
    for axes, rows in zip(figure.axes, report.forms.values(), strict=True):
        assert [label.get_text() for label in axes.get_yticklabels()] == [row.form for row in rows]
        assert [float(line.get_xdata()[0]) for line in axes.get_lines()] == [100 * row.mean_error for row in rows]
        low, high = axes.get_ylim()
        assert low > high  # the best is on top


def test_the_table_of_profiles_says_what_is_refused():
    profile = {
        "compute": 1e20,
        "runs": 5,
        "status": "too few runs",
        "reason": "3 distinct sizes",
        "depth": float("nan"),
        "noise": float("nan"),
    }
    content = {
        "kind": "supervised",
        "runs": 5,
        "compute_from": "the compute column",
        "allocation": None,
        "reason": "2 profiles with a minimum are needed",
        "profiles": [profile],
    }
    console = Console(width=160, record=True, file=None)
    with console.capture() as capture:
        console.print(isoflop_table(content, runs="runs.csv"))
    text = capture.get()
    assert "IsoFLOP profiles of runs.csv" in text
    assert "too few runs" in text
    assert "5 supervised runs; compute is the compute column" in text
