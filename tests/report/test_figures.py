import errno
import stat

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from distlaw.apps.cli import main
from distlaw.costs import SCENARIOS as SCENARIO_TABLE
from distlaw.costs import CostModel
from distlaw.laws import DistillationLaw, published
from distlaw.plan import Bounds, Problem, budget_grid, solve
from distlaw.report.figures import lead_against_compute, loss_against_compute, require_figure_path, save_figure
from distlaw.report.page_charts import budgets_around, loss_chart

SCENARIOS = ["best-case", "teacher-inference", "teacher-pretraining", "teacher-pretraining-and-inference"]
COMMANDS = {
    "plan": ("plan", "--student-params", "1B", "--compute", "1e22"),
    "crossover": ("crossover", "--student-params", "1B"),
}
FIRST_BYTES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}

law = published("busbridge2025").law
assert isinstance(law, DistillationLaw)
LAW = law


def simple_figure():
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    return figure


# --- Through the command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", FIRST_BYTES)
def test_the_command_writes_the_figure_and_nothing_else(tmp_path, capsys, command, kind):
    path = tmp_path / f"figure.{kind}"
    assert main([*COMMANDS[command], "--figure", str(path)]) == 0
    assert path.read_bytes().startswith(FIRST_BYTES[kind])
    assert path.stat().st_size > 5000
    assert list(tmp_path.iterdir()) == [path]
    assert f"Figure: {path}" in capsys.readouterr().out.replace("\n", "")


def test_json_stays_json_when_a_figure_is_drawn(tmp_path, capsys):
    assert main([*COMMANDS["plan"], "--json"]) == 0
    without = capsys.readouterr().out
    assert main([*COMMANDS["plan"], "--json", "--figure", str(tmp_path / "a.svg")]) == 0
    assert capsys.readouterr().out == without


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The bytes of each command's figure as SVG."""
    drawn = {}
    for command, words in COMMANDS.items():
        path = tmp_path_factory.mktemp("plain") / "figure.svg"
        assert main([*words, "--figure", str(path)]) == 0
        drawn[command] = path.read_bytes()
    return drawn


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_input_gives_the_same_bytes(tmp_path, plain, command):
    path = tmp_path / "another name.svg"
    assert main([*COMMANDS[command], "--figure", str(path)]) == 0
    assert path.read_bytes() == plain[command]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("plan", ("--students", "100")),
        ("plan", ("--context", "65536")),
        ("crossover", ("--students", "100")),
        ("crossover", ("--cached-fraction", "1")),
    ],
)
def test_what_changes_the_answer_changes_the_figure(tmp_path, plain, command, words):
    path = tmp_path / "figure.svg"
    assert main([*COMMANDS[command], *words, "--figure", str(path)]) == 0
    assert path.read_bytes() != plain[command]


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--student-params", "1B", "--student-tokens", "50B"),
        ("plan", "--student-params", "1B", "--target-loss", "2.2"),
        ("plan", "--student-params", "1B", "--compute", "8e15"),
        ("plan", "--student-params", "1B", "--compute", "1e22", "--unique-tokens", "10M"),
        ("plan", "--student-params", "1B", "--compute", "1e22", "--serving-tokens", "1T"),
        ("plan", "--student-params", "1B", "--compute", "1e16", "--min-teacher-params", "100B"),
    ],
    ids=" ".join,
)
def test_every_kind_of_plan_can_be_drawn(tmp_path, words):
    path = tmp_path / "plan.svg"
    assert main([*words, "--figure", str(path)]) == 0
    assert path.stat().st_size > 5000


def test_a_figure_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    assert main([*COMMANDS["plan"], "--json", "--figure", str(tmp_path / "a.svg")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"distlaw: error: figure '{tmp_path / 'a.svg'}' cannot be written (No space left on device)")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# --- What is drawn ----------------------------------------------------------------------------------------------------


def test_loss_against_compute_shows_every_option_and_the_plan_itself():
    plan = solve(LAW, Problem(student_params=1e9, compute=1e22))
    figure = loss_against_compute(LAW, plan, law_name="busbridge2025")
    (axes,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["supervised", *SCENARIOS, "your budget"]
    assert legend.get_title().get_text() == "Loss of a student of 1B against compute, law busbridge2025"
    assert axes.get_xscale() == "log"
    assert "FLOPs" in axes.get_xlabel()
    assert "nats" in axes.get_ylabel()
    curves = dict(zip(("supervised", *SCENARIOS), axes.lines, strict=False))
    points = [line for line in axes.lines if line.get_marker() != "None"]
    assert len(points) == 5
    for option, point in zip(plan.options, points, strict=True):
        x, y = (float(np.asarray(data).item()) for data in point.get_data())
        assert (x, y) == (option.flops.total, option.student_loss)
        # Each point lies on its own curve.
        curve = curves[option.scenario]
        curve_x, curve_y = (np.asarray(data, dtype=float) for data in curve.get_data())
        assert np.interp(np.log(x), np.log(curve_x), curve_y) == pytest.approx(y, abs=1e-4)
        assert to_hex(point.get_color()) == to_hex(curve.get_color())
    assert len({to_hex(curve.get_color()) for curve in curves.values()}) == 5


def test_the_figure_of_a_plan_is_the_chart_of_its_report():
    plan = solve(LAW, Problem(student_params=1e9, compute=1e22))
    (axes,) = loss_against_compute(LAW, plan, law_name="busbridge2025").axes
    chart = loss_chart(budgets_around(LAW, plan), plan)
    for line, series in zip(axes.lines, chart.panels[0].series, strict=False):
        x, y = (np.asarray(data, dtype=float) for data in line.get_data())
        assert x.tolist() == series.x.tolist()
        assert y == pytest.approx(series.y, nan_ok=True)


def test_an_option_that_is_not_feasible_has_no_point():
    bounds = Bounds(teacher_params=(1e11, 1e17))
    plan = solve(LAW, Problem(student_params=1e9, compute=1e16, bounds=bounds))
    (axes,) = loss_against_compute(LAW, plan, law_name="busbridge2025").axes
    feasible = sum(option.feasible for option in plan.options)
    assert feasible < 5
    assert len([line for line in axes.lines if line.get_marker() != "None"]) == feasible


def test_lead_against_compute_has_a_panel_for_each_scenario_and_a_line_for_each_student():
    sizes = [3e8, 1e9, 3e9]
    scenarios = [SCENARIO_TABLE[name].shared(students=10) for name in SCENARIOS]
    figure = lead_against_compute(
        LAW, sizes, law_name="busbridge2025", scenarios=scenarios, bounds=Bounds(), costs=[CostModel()] * len(sizes)
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == SCENARIOS
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["300M student", "1B student", "3B student"]
    assert legend.get_title().get_text() == "Lead of distillation at equal compute, law busbridge2025"
    for axes, scenario in zip(figure.axes, SCENARIOS, strict=True):
        for line, size in zip(axes.lines[:3], sizes, strict=True):
            compute, lead = (np.asarray(data, dtype=float) for data in line.get_data())
            grid = budget_grid(LAW, [size], compute, scenarios=scenarios)
            assert lead == pytest.approx(grid.lead(scenario)[0], abs=1e-9, nan_ok=True)


def test_leads_that_are_nowhere_are_no_error():
    figure = lead_against_compute(
        LAW,
        [1e9],
        law_name="busbridge2025",
        scenarios=list(SCENARIO_TABLE.values()),
        bounds=Bounds(),
        costs=[CostModel()],
        compute_range=(1.0, 10.0),
    )
    assert all(np.isnan(np.asarray(axes.lines[0].get_ydata(), dtype=float)).all() for axes in figure.axes)


# --- Writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FIRST_BYTES)
def test_save_figure_replaces_a_file(tmp_path, kind):
    path = tmp_path / f"a.{kind.upper()}"
    path.write_bytes(b"old")
    save_figure(simple_figure(), path)
    assert path.read_bytes().startswith(FIRST_BYTES[kind])
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", FIRST_BYTES)
def test_the_same_figure_gives_the_same_bytes_in_every_format(tmp_path, kind):
    paths = [tmp_path / f"{name}.{kind}" for name in ("first", "second")]
    for path in paths:
        save_figure(simple_figure(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("bug"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_write_leaves_the_folder_as_it_was(tmp_path, monkeypatch, error, existing):
    path = tmp_path / "a.svg"
    if existing:
        path.write_bytes(b"old")

    def half_written(_figure, temporary, **_options):
        with open(temporary, "wb") as file:  # noqa: PTH123
            file.write(b"half")
        raise error

    monkeypatch.setattr(Figure, "savefig", half_written)
    expected = ValueError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught:
        save_figure(simple_figure(), path)
    if expected is ValueError:
        assert str(caught.value) == f"figure '{path}' cannot be written (No space left on device)"
    assert list(tmp_path.iterdir()) == ([path] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_a_failed_rename_leaves_no_temporary_file(tmp_path, monkeypatch):
    from pathlib import Path

    def refuse(_self, _target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ValueError, match=r"cannot be written \(Permission denied\)"):
        save_figure(simple_figure(), tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf", "a.PNG", "a.b.svg"])
def test_known_formats_are_accepted(tmp_path, name):
    require_figure_path(tmp_path / name)


@pytest.mark.parametrize("name", ["a.gif", "a.jpg", "a", "a.svg.gz", ".png", "png"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.png, \.svg, \.pdf") as caught:
        require_figure_path(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_folder_that_is_missing_or_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("missing", "file"):
        with pytest.raises(ValueError, match=f"there is no folder '.*{folder}'"):
            require_figure_path(tmp_path / folder / "a.png")


def test_a_folder_in_the_place_of_the_figure_is_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ValueError, match=r"a\.png' is a folder"):
        require_figure_path(tmp_path / "a.png")


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(ValueError, match="figure '"):
        require_figure_path(tmp_path / ("x" * 5000 + ".png"))
    with pytest.raises(ValueError, match="figure '"):
        require_figure_path(tmp_path / ("x" * 5000) / "a.png")
