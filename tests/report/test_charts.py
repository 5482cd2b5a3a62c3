"""The two renderers draw the same chart: what is asked of one is asked of the other."""

import json

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.report.matplotlib_charts import draw
from distlaw.report.palette import DIVERGING, MARKERS, NAMED, VIRIDIS, colour_of, field_colours, levels_of, markers
from distlaw.report.plotly_charts import plotly_figure

X, Y = Axis(label="compute, FLOPs", scale="log"), Axis(label="loss, nats")
ONE, TWO, THREE = np.array([1.0, 10.0, 100.0]), np.array([2.0, np.nan, 3.0]), np.array([0.2, 0.3, 0.5])
KINDS = ("line", "dashed", "dotted", "dashdot", "longdashdot", "points", "hollow", "line-points")
HOSTILE = ("$\\frac{", "_hidden", "<b>bold</b>", "%{x}", "a & b", "x\u0000y", "名前")


def single(*series, guides=(), field=None, x=X, y=Y, title=""):
    return Chart(
        name="c", title="A chart", panels=(Panel(x=x, y=y, series=series, guides=guides, field=field, title=title),)
    )


def curve(kind="line", name="a", colour=0, **ends):
    return Series(name=name, x=ONE, y=TWO, kind=kind, colour=colour, **ends)


def axes_of(chart):
    return draw(chart).axes[0]


def traces(chart, **options):
    return plotly_figure(chart, **options)["data"]


# --- Series -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_one_artist_and_one_trace_of_its_look(kind):
    chart = single(curve(kind))
    (line,) = axes_of(chart).lines
    (trace,) = traces(chart)
    has_line, has_points = kind not in ("points", "hollow"), kind in ("points", "hollow", "line-points")
    assert (line.get_linestyle() != "None") == has_line
    assert (line.get_marker() != "None") == has_points
    assert trace["mode"] == "+".join(["lines"] * has_line + ["markers"] * has_points)
    assert to_hex(line.get_color()) == NAMED[0].lower()
    colour = trace["line"]["color"] if has_line else trace["marker"]["line"]["color"]
    assert colour == NAMED[0]
    if kind == "hollow":
        assert to_hex(line.get_markerfacecolor()) == trace["marker"]["color"] == "#ffffff"


def test_kinds_of_lines_differ_in_their_dash():
    lines = [curve(kind, name=kind) for kind in KINDS[:5]]
    drawn = axes_of(single(*lines)).lines
    assert len({str(line._unscaled_dash_pattern) for line in drawn}) == 5
    assert len({trace["line"]["dash"] for trace in traces(single(*lines))}) == 5


def test_a_gap_stays_a_gap():
    chart = single(curve())
    assert np.isnan(axes_of(chart).lines[0].get_ydata()[1])
    assert traces(chart)[0]["y"] == [2.0, None, 3.0]


def test_markers_follow_colours_so_that_none_is_needed():
    series = [curve("points", name=str(i), colour=i) for i in range(4)] + [curve("hollow", name="0", colour=0)]
    assert list(markers(single(*series)).values()) == list(MARKERS[:4])
    drawn = [line.get_marker() for line in axes_of(single(*series)).lines]
    assert len(set(drawn)) == 4
    assert drawn[4] == drawn[0]
    symbols = [trace["marker"]["symbol"] for trace in traces(single(*series))]
    assert len(set(symbols)) == 4
    assert symbols[4] == symbols[0]


def test_a_line_has_a_band_and_points_have_bars():
    ends = {"low": TWO - 0.1, "high": TWO + 0.1}
    band = axes_of(single(curve("line", **ends)))
    assert len(band.collections) == 1
    assert not isinstance(band.collections[0], LineCollection)
    filled, line = traces(single(curve("line", **ends)))
    assert (filled["fill"], filled["showlegend"]) == ("toself", False)
    assert filled["x"] == [1.0, 1.0, None, 100.0, 100.0]  # two stretches about the gap
    assert filled["y"] == [1.9, 2.1, None, 2.9, 3.1]
    assert line["customdata"][0] == [1.9, 2.1]
    bars = axes_of(single(curve("points", **ends)))
    (segments,) = bars.collections
    assert [s.tolist() for s in segments.get_segments()] == [[[1, 1.9], [1, 2.1]], [[100, 2.9], [100, 3.1]]]
    (points,) = traces(single(curve("points", **ends)))
    assert points["error_y"]["array"] == [0.1, None, 0.1]


def test_an_endless_interval_is_not_drawn():
    chart = single(curve("points", low=np.full(3, -np.inf), high=np.full(3, np.inf)))
    assert axes_of(chart).collections[0].get_segments() == []
    assert traces(chart)[0]["error_y"]["array"] == [None, None, None]


def test_areas_are_stacked():
    lower, upper = (Series(name=n, x=ONE, y=THREE, kind="area", colour=i) for i, n in enumerate("ab"))
    first, second = axes_of(single(lower, upper)).collections
    assert first.get_paths()[0].vertices[:, 1].max() == pytest.approx(0.5)
    assert second.get_paths()[0].vertices[:, 1].max() == pytest.approx(1.0)
    groups = [(trace["stackgroup"], trace["y"]) for trace in traces(single(lower, upper))]
    assert groups == [("panel", [0.2, 0.3, 0.5])] * 2


def test_areas_of_two_panels_are_stacked_apart():
    area = Series(name="a", x=ONE, y=THREE, kind="area", colour=0)
    chart = Chart(name="c", title="C", panels=(Panel(x=X, y=Y, series=(area,)),) * 2)
    assert [trace["stackgroup"] for trace in traces(chart)] == ["panel", "panel2"]
    assert draw(chart).axes[1].collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(0.5)


# --- Colours ----------------------------------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_what_has_an_order_keeps_it_in_grey_and_can_be_seen():
    for dark, ground in ((False, "#ffffff"), (True, "#14171c")):
        colours = [colour_of(x, dark=dark) for x in np.linspace(0, 1, 6)]
        assert np.all(np.diff([luminance(c) for c in colours]) > 0)
        assert min(contrast(c, ground) for c in colours[: -1 if not dark else None]) > 1.7
        assert contrast(colour_of(None, dark=dark), ground) > 14


def test_whole_numbers_choose_and_numbers_lie_on_the_scale():
    assert [colour_of(i) for i in range(8)] == [*NAMED, NAMED[0]]
    assert colour_of(0.0) == VIRIDIS[0]
    assert colour_of(1.0, dark=True) == VIRIDIS[-1]


def light_of(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("dark", "grounds"), [(False, ["#ffffff"]), (True, ["#14171c", "#171c23"])])
def test_every_colour_can_be_seen_on_its_ground(dark, grounds):
    """By the contrast of 3 to 1 that WCAG 2.2 asks of graphics (1.4.11)."""
    colours = [colour_of(value, dark=dark) for value in (None, *range(len(NAMED)), *np.linspace(0, 1, 21).tolist())]
    for ground in grounds:
        for colour in colours:
            dim, bright = sorted((light_of(colour), light_of(ground)))
            assert (bright + 0.05) / (dim + 0.05) >= 3, colour
    assert colour_of(0) != colour_of(0.0)


def test_a_page_changes_with_its_ground():
    light, dark = (plotly_figure(single(curve(colour=None)), dark=dark) for dark in (False, True))
    assert light["data"][0]["line"]["color"] == "#000000"
    assert luminance(dark["data"][0]["line"]["color"]) > 0.5
    assert light["layout"]["font"] != dark["layout"]["font"]


# --- Axes, guides, panels ---------------------------------------------------------------------------------------------


def test_scales_and_limits_are_those_of_the_axes():
    y = Axis(label="loss", limits=(1.0, 4.0))
    axes, layout = axes_of(single(curve(), y=y)), plotly_figure(single(curve(), y=y))["layout"]
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylim()) == ("log", "linear", (1.0, 4.0))
    assert layout["xaxis"]["type"] == "log"
    assert "type" not in layout["yaxis"]
    assert layout["yaxis"]["range"] == [1.0, 4.0]
    x = Axis(label="x", scale="log", limits=(1.0, 1000.0))
    assert plotly_figure(single(curve(), x=x))["layout"]["xaxis"]["range"] == [0.0, 3.0]


def test_labels_say_quantity_and_unit():
    axes, layout = axes_of(single(curve())), plotly_figure(single(curve()))["layout"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (X.label, Y.label)
    assert (layout["xaxis"]["title"]["text"], layout["yaxis"]["title"]["text"]) == (X.label, Y.label)
    (trace,) = traces(single(curve()))
    assert trace["hovertemplate"].startswith("<b>a</b><br>compute, FLOPs: %{x:.4~g}<br>loss, nats: %{y:.4~g}")


def test_shared_labels_stand_once():
    chart = Chart(name="c", title="C", panels=(Panel(x=X, y=Y, series=(curve(),)),) * 4, columns=2)
    figure = draw(chart)
    assert (figure.get_supxlabel(), figure.get_supylabel()) == (X.label, Y.label)
    assert {axes.get_xlabel() for axes in figure.axes} == {""}
    layout = plotly_figure(chart)["layout"]
    assert ["title" in layout[f"xaxis{i}"] for i in ("", 2, 3, 4)] == [False, False, True, True]
    assert ["title" in layout[f"yaxis{i}"] for i in ("", 2, 3, 4)] == [True, False, True, False]


@pytest.mark.parametrize(("columns", "rows"), [(None, 2), (1, 5), (5, 1)])
def test_panels_do_not_overlap(columns, rows):
    panels = tuple(Panel(x=X, y=Y, series=(curve(),), title=str(i)) for i in range(5))
    chart = Chart(name="c", title="C", panels=panels, columns=3)
    layout = plotly_figure(chart, columns=columns)["layout"]
    boxes = [(*layout[f"xaxis{i}"]["domain"], *layout[f"yaxis{i}"]["domain"]) for i in ("", 2, 3, 4, 5)]
    assert len({box[2:] for box in boxes}) == rows
    for i, (left, right, low, high) in enumerate(boxes):
        assert 0 <= left < right <= 1
        assert 0 <= low < high <= 1
        for other in boxes[:i]:
            assert right <= other[0] or left >= other[1] or high <= other[2] or low >= other[3]
    assert [a["text"] for a in layout["annotations"]] == [f"<b>{i}</b>" for i in range(5)]
    assert [axes.get_title(loc="left") for axes in draw(chart).axes] == list("01234")


def test_guides_are_lines_spans_and_the_diagonal():
    guides = (
        Guide(axis="x", at=10.0, name="budget"),
        Guide(axis="y", at=2.2),
        Guide(axis="y", at=2.4, to=2.6, name="mean"),
    )
    axes, shapes = (
        axes_of(single(curve(), guides=guides)),
        plotly_figure(single(curve(), guides=guides))["layout"]["shapes"],
    )
    assert len(axes.lines) == 3
    assert len(axes.patches) == 1
    assert [shape["type"] for shape in shapes] == ["line", "line", "rect"]
    assert (shapes[0]["x0"], shapes[0]["yref"], shapes[2]["y0"], shapes[2]["y1"]) == (10.0, "y domain", 2.4, 2.6)
    assert [shape["showlegend"] for shape in shapes] == [True, False, True]


def test_the_diagonal_widens_no_axis():
    points = Series(name="a", x=[2.0, 3.0], y=[2.5, 4.0], kind="points")
    plain, with_it = (single(points, guides=g, x=Y) for g in ((), (Guide(axis="diagonal"),)))
    assert axes_of(plain).get_xlim() == axes_of(with_it).get_xlim()
    assert axes_of(plain).get_ylim() == axes_of(with_it).get_ylim()
    (shape,) = plotly_figure(with_it)["layout"]["shapes"]
    assert (shape["x0"], shape["x1"], shape["y0"], shape["y1"]) == (2.5, 3.0, 2.5, 3.0)
    far = Series(name="a", x=[2.0, 3.0], y=[5.0, 6.0], kind="points")
    assert plotly_figure(single(far, guides=(Guide(axis="diagonal"),), x=Y))["layout"]["shapes"] == []


# --- The legend -------------------------------------------------------------------------------------------------------


def test_a_name_stands_once_in_one_legend_whatever_the_panels():
    panel = Panel(x=X, y=Y, series=(curve(), curve("dashed"), curve("points"), curve(name="", colour=1)))
    chart = Chart(name="c", title="C", panels=(panel, panel))
    figure = draw(chart)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a"]
    (handle,) = legend.legend_handles
    assert (handle.get_linestyle(), handle.get_marker()) == ("-", "o")  # the solid line, with the points on it
    assert not any(axes.get_legend() for axes in figure.axes)
    assert [trace["showlegend"] for trace in traces(chart)] == [True] + [False] * 7


def test_what_has_an_order_stands_in_it_and_guides_last():
    series = [curve(name=n, colour=c) for n, c in (("high", 1.0), ("low", 0.0), ("named", 2), ("middle", 0.5))]
    chart = single(*series, guides=(Guide(axis="y", at=2.0, name="guide"),))
    expected = ["named", "low", "middle", "high", "guide"]
    assert [text.get_text() for text in draw(chart).legends[0].get_texts()] == expected
    figure = plotly_figure(chart)
    entries = sorted((*figure["data"], *figure["layout"]["shapes"]), key=lambda entry: entry["legendrank"])
    assert [entry["name"] for entry in entries] == expected


def test_a_chart_without_names_has_its_title_alone():
    figure = draw(single(curve(name="")))
    assert figure.get_suptitle() == "A chart"
    assert not figure.legends
    assert not plotly_figure(single(curve(name="")))["layout"]["showlegend"]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_taken_as_they_are(name, tmp_path):
    chart = Chart(
        name="c",
        title=name,
        panels=(Panel(x=Axis(label=name), y=Y, series=(curve(name=name),), title=name),),
    )
    figure = draw(chart)
    figure.savefig(tmp_path / "a.svg")
    assert figure.legends[0].get_texts()[0].get_text().strip() == name
    made = plotly_figure(chart)
    shown = made["data"][0]["name"]
    assert "<" not in shown
    assert "%{" not in shown
    if name == "%{x}":
        assert made["data"][0]["hovertemplate"].count("%{") == 2


# --- Fields -----------------------------------------------------------------------------------------------------------


def plane(scale=1.0, **options):
    x, y = np.array([1.0, 10.0, 100.0]), np.array([1.0, 2.0])
    return Field(name="lead, nats", x=x, y=y, z=scale * np.array([[-0.1, 0.0, 0.3], [0.1, np.nan, 0.5]]), **options)


def test_a_field_has_contours_and_a_bar_with_its_name():
    chart = single(field=plane())
    figure = draw(chart)
    assert figure.axes[1].get_ylabel() == "lead, nats"
    made = plotly_figure(chart)
    (trace,) = made["data"]
    assert trace["type"] == "contour"
    assert trace["z"] == [[-0.1, 0.0, 0.3], [0.1, None, 0.5]]
    assert made["layout"]["coloraxis"]["colorbar"]["title"]["text"] == "lead, nats"
    levels = levels_of([plane()])
    assert (trace["contours"]["start"], trace["contours"]["end"]) == pytest.approx((levels[0], levels[-1]))


def test_fields_of_one_quantity_share_contours_and_bar():
    panels = tuple(Panel(x=X, y=Y, field=plane(scale)) for scale in (1.0, 2.0))
    chart = Chart(name="c", title="C", panels=panels)
    assert len(draw(chart).axes) == 3
    first, second = traces(chart)
    assert first["contours"] == second["contours"]
    assert first["coloraxis"] == second["coloraxis"] == "coloraxis"


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1.0, 7.0, 1e22])
def test_contours_are_round_and_hold_all_values(scale):
    levels = levels_of([plane(scale)])
    assert 3 <= levels.size <= 15
    assert levels[0] <= -0.1 * scale < 0.5 * scale <= levels[-1] * (1 + 1e-12)
    step = levels[1] - levels[0]
    mantissa = step / 10 ** np.floor(np.log10(step) + 1e-9)
    assert mantissa == pytest.approx(min((1, 2, 2.5, 5, 10), key=lambda m: abs(m - mantissa)))


def test_contours_that_are_given_are_kept():
    assert levels_of([plane(levels=(0.0, 0.1, 0.4))]).tolist() == [0.0, 0.1, 0.4]


def test_colours_turn_at_the_centre():
    levels = np.array([-0.2, 0.0, 0.2, 0.4, 0.6])
    below, above, far = field_colours(plane(centre=0.0), levels, np.array([-0.1, 0.1, 0.6]))
    red, blue = (lambda c: int(c[1:3], 16)), (lambda c: int(c[5:7], 16))
    assert red(below) > blue(below)
    assert red(above) < blue(above)
    assert far == DIVERGING[-1]
    assert field_colours(plane(), levels, levels)[0] == VIRIDIS[0]
    scale = plotly_figure(single(field=plane(centre=0.0)))["layout"]["coloraxis"]["colorscale"]
    assert [place for place, _ in scale] == pytest.approx(np.linspace(0, 1, len(scale)))


def test_an_empty_field_is_no_error():
    empty = Field(name="z", x=[1.0, 2.0], y=[1.0, 2.0], z=np.full((2, 2), np.nan))
    assert levels_of([empty]).size == 2
    assert traces(single(field=empty, x=Y))[0]["z"] == [[None, None], [None, None]]


def test_a_line_over_a_field_has_an_edge():
    line = Series(name="best", x=[1.0, 100.0], y=[1.0, 2.0])
    lines = axes_of(single(line, field=plane())).lines
    assert [to_hex(one.get_color()) for one in lines] == ["#ffffff", "#000000"]
    _, edge, drawn = traces(single(line, field=plane()), dark=True)
    assert luminance(edge["line"]["color"]) < luminance(drawn["line"]["color"])
    assert (edge["showlegend"], drawn["showlegend"]) == (False, True)


# --- The whole --------------------------------------------------------------------------------------------------------


def test_a_figure_is_json_and_names_no_address():
    chart = single(curve(low=TWO - 1, high=TWO + np.inf), guides=(Guide(axis="x", at=3.0),), field=plane())
    text = json.dumps(plotly_figure(chart), allow_nan=False)
    assert "http" not in text
    assert json.loads(text) == plotly_figure(chart)


def test_numbers_on_a_page_keep_six_digits():
    values = np.array([1.2345678e22, np.inf])
    (trace,) = traces(single(Series(name="a", x=values, y=values)))
    assert trace["x"] == [1.23457e22, None]


def test_no_scatter_is_lost_among_collections():
    # Points are lines without a line, so that a legend can show both as one.
    axes = axes_of(single(curve("points")))
    assert not any(isinstance(c, PathCollection) for c in axes.collections)
