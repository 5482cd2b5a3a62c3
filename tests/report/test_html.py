"""Reports as files: HTML that needs nothing else and lets nothing in, and PDF."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from rich.table import Table as RichTable

from distlaw.charts import Axis, Chart, Field, Guide, Panel, Series
from distlaw.report import html as module
from distlaw.report.html import html_text, require_plotly, write_html
from distlaw.report.page import Page, Section, Table, table_of
from distlaw.report.pdf import write_pdf
from distlaw.report.plotly_charts import plotly_figure

pytest.importorskip("plotly")

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<!--$\\frac{"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Parsed(HTMLParser):
    """Elements with their attributes, the text of each kind of element, and whether tags close as they open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts.setdefault(tag, []).append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag):
        return "".join(self.texts.get(tag, []))


def chart(text="a", *, rows=3, command="distlaw draw"):
    x = np.linspace(1.0, 2.0, rows)
    axis = Axis(label=text)
    field = Field(name=text, x=[1.0, 2.0], y=[1.0, 2.0], z=[[1.0, 2.0], [np.nan, 4.0]])
    panels = (
        Panel(
            x=axis,
            y=axis,
            title=text,
            series=(Series(name=text, x=x, y=x**2),),
            guides=(Guide(axis="y", at=2, name=text),),
        ),
        Panel(x=axis, y=axis, field=field),
    )
    return Chart(name="chart", title=text, panels=panels, command=command)


def page(text="a", *, charts=True):
    table = Table(title=text, columns=(text, "loss, nats"), rows=((text, "2.1"), ("b", "2.2")), notes=(text,))
    table = Table(**{**vars(table), "strong": frozenset({1})})
    drawn = (chart(text, command=text), chart(text, command=text)) if charts else ()
    sections = (
        Section(title=text, text=(text,), points=(text, "second"), tables=(table,), charts=drawn),
        Section(title="Second", tables=(table,)),
    )
    return Page(title=text, lead=(text,), sections=sections, command=text)


@pytest.fixture(scope="module")
def plain():
    return html_text(page())


@pytest.fixture(scope="module")
def hostile():
    return html_text(page(HOSTILE))


def without_plotly(text):
    return text.replace(require_plotly().read_text(encoding="utf-8"), "")


# --- Nothing from outside, nothing slips in ---------------------------------------------------------------------------


def test_no_element_asks_for_anything(plain):
    parsed = Parsed(plain)
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if "href" in attributes:
            assert attributes["href"].startswith(("#", "data:text/csv;"))
    assert "url(" not in parsed.text("style")
    assert "@import" not in parsed.text("style")
    assert "://" not in without_plotly(plain)


def test_the_policy_lets_the_scripts_run_that_are_there_and_no_other(plain, hostile):
    for text in (plain, hostile):
        (policy,) = (meta["content"] for meta in Parsed(text).of("meta") if "http-equiv" in meta)
        assert policy.startswith("default-src 'none'; ")
        (allowed,) = (part for part in policy.split("; ") if part.startswith("script-src"))
        bodies = [
            body for opening, body in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL) if not opening
        ]
        digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
        assert allowed == "script-src " + " ".join(f"'sha256-{digest}'" for digest in digests)
        assert len(bodies) == 3


def test_plotly_stands_once_and_only_where_there_are_charts(plain):
    script = require_plotly().read_text(encoding="utf-8")
    assert plain.count(script) == 1
    bare = html_text(page(charts=False))
    assert "Plotly" not in bare
    assert Parsed(bare).of("script") == []
    assert "script-src 'none'" in bare.replace("&#x27;", "'")


def test_hostile_text_stays_text(plain, hostile):
    shape = [tag for tag, _ in Parsed(plain).elements]
    parsed = Parsed(hostile)
    assert [tag for tag, _ in parsed.elements] == shape
    assert parsed.text("h1") == HOSTILE
    assert parsed.text("title") == HOSTILE
    assert parsed.text("figcaption").count(HOSTILE) == 4
    for attributes in parsed.of("a"):
        if "download" in attributes:
            assert HOSTILE.replace('"', '""') in unquote(attributes["href"])


def test_figures_are_json_that_cannot_end_their_script(hostile):
    found = re.findall(r'<script type="application/json" id="(chart-\d+)-figure">(.*?)</script>', hostile, re.DOTALL)
    assert [name for name, _ in found] == ["chart-1", "chart-2"]
    for _, text in found:
        assert "<" not in text
        figure = json.loads(text)["figure"]
        assert figure == plotly_figure(chart(HOSTILE))
        # plotly.js reads tags in names, so they are escaped once more.
        assert "<" not in figure["data"][0]["name"]


@pytest.mark.parametrize("character", ["\u0000", "\ud800", "\u2028", "\u202e"])
def test_a_text_that_is_hardly_one_is_no_error(tmp_path, character):
    write_html(page(f"a{character}b"), tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")


# --- What everybody can use -------------------------------------------------------------------------------------------


def test_headings_landmarks_and_language(plain):
    parsed = Parsed(plain)
    assert parsed.of("html") == [{"lang": "en"}]
    assert [tag for tag, _ in parsed.elements if tag in ("h1", "h2", "h3")] == ["h1", "h2", "h2"]
    assert len(parsed.of("main")) == len(parsed.of("header")) == len(parsed.of("nav")) == 1
    names = {attributes["id"] for _, attributes in parsed.elements if "id" in attributes}
    assert len(names) == sum("id" in attributes for _, attributes in parsed.elements)
    for attributes in parsed.of("a"):
        if attributes["href"].startswith("#"):
            assert attributes["href"][1:] in names
    assert {attributes["aria-labelledby"] for attributes in parsed.of("section")} <= names


def test_tables_have_captions_and_heads_of_rows_and_columns(plain):
    parsed = Parsed(plain)
    tables = plain.count("<table>")
    assert tables == 2 + 2  # one in each section, and the data of each chart
    assert plain.count("<caption>") == tables
    scopes = [attributes["scope"] for attributes in parsed.of("th")]
    assert scopes.count("col") == 2 + 2 + 2 * len(("panel", "series", "x", "y", "z"))
    assert scopes.count("row") == 2 + 2 + 2 * (3 + 4)
    for attributes in parsed.of("div"):
        if attributes["class"] == "scroll":
            assert (attributes["role"], attributes["tabindex"]) == ("region", "0")
            assert attributes["aria-label"]


def test_every_chart_has_words_data_and_its_command(plain):
    parsed = Parsed(plain)
    charts = [a for a in parsed.of("div") if a["class"] == "chart"]
    assert len(charts) == 2
    assert charts[0]["aria-label"] == "Chart: a. a over a: a. a over a: a. The data is in the table below."
    links = [a for a in parsed.of("a") if "download" in a]
    assert [a["download"] for a in links] == ["chart.csv"] * 2
    assert unquote(links[0]["href"].partition(",")[2]) == chart(command="").csv()
    assert "Made by <code>a</code>" in plain
    assert plain.count("<details>") == 2


def test_a_long_table_of_data_is_cut_and_says_so():
    long = Page(title="a", sections=(Section(title="b", charts=(chart(rows=500),)),))
    text = html_text(long)
    assert text.count('scope="row"') == 200
    assert "a: the first 200 rows, all are in the CSV file" in text
    (link,) = (a for a in Parsed(text).of("a") if "download" in a)
    assert unquote(link["href"]).count("\n") == 1 + 500 + 4


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_contrasts_with_its_ground_light_and_dark(plain):
    looks = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", plain, re.DOTALL)
    ]
    assert len(looks) == 2
    for colours in looks:
        for ground in ("ground", "shade"):
            for ink in ("ink", "soft", "link"):
                high, low = sorted((luminance(colours[ground]), luminance(colours[ink])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, ink)  # WCAG AA


# --- Parts ------------------------------------------------------------------------------------------------------------


def test_what_is_different_can_be_laid_over():
    one = {"a": 1, "b": [{"c": 1, "d": 2}, {"c": 3}], "e": [1, 2], "f": {"g": 1}}
    other = {"a": 1, "b": [{"c": 1, "d": 5}, {"c": 3}], "e": [1, 2, 3], "f": {"g": 1}, "h": 4}
    assert module._difference(one, other) == {"b": [{"d": 5}, None], "e": [1, 2, 3], "h": 4}
    assert module._difference(one, one) is None


def test_light_and_dark_share_their_data():
    figure = plotly_figure(chart())
    dark = module._difference(figure, plotly_figure(chart(), dark=True))
    text = json.dumps(dark["data"])
    assert '"x"' not in text
    assert '"y"' not in text
    narrow = module._difference(figure, plotly_figure(chart(), columns=1))
    assert set(narrow) == {"layout"}
    # What differs on a dark page and on a narrow one is not the same, so both can be laid over at once.
    assert not set(dark["layout"]) & set(narrow["layout"]) - {"xaxis", "yaxis", "xaxis2", "yaxis2"}


def test_tables_of_the_terminal_are_those_of_a_report():
    rich = RichTable(title="T", caption="one\ntwo")
    rich.add_column("name", justify="left")
    rich.add_column("value", justify="right")
    rich.add_row("a", "1")
    rich.add_row("b", "2", style="bold")
    found = table_of(rich)
    assert (found.title, found.columns, found.rows) == ("T", ("name", "value"), (("a", "1"), ("b", "2")))
    assert (found.strong, found.notes, found.words) == (frozenset({1}), ("one", "two"), frozenset({0}))


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="table 'T': a row has 1 cells for 2 columns"):
        Table(title="T", columns=("a", "b"), rows=(("1",),))


def test_without_plotly_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'distlaw\[web\]', or write a .pdf"):
        write_html(page(), tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []
    write_html(page(charts=False), tmp_path / "a.html")


# --- Files ------------------------------------------------------------------------------------------------------------


def test_the_same_page_gives_the_same_bytes(tmp_path):
    for write, ending in ((write_html, "html"), (write_pdf, "pdf")):
        for name in ("one", "two"):
            write(page(), tmp_path / f"{name}.{ending}")
        one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
        assert one == two


@pytest.mark.parametrize(("write", "ending"), [(write_html, "html"), (write_pdf, "pdf")])
def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, write, ending):
    with pytest.raises(ValueError, match=r"report '.*' cannot be written \(No such file"):
        write(page(), tmp_path / "none" / f"a.{ending}")
    assert list(tmp_path.iterdir()) == []


def pages_of(path):
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


def test_a_pdf_has_text_pages_and_a_page_for_each_chart(tmp_path):
    write_pdf(page(), tmp_path / "a.pdf")
    assert pages_of(tmp_path / "a.pdf") == 1 + 2 + 1
    write_pdf(page(charts=False), tmp_path / "b.pdf")
    assert pages_of(tmp_path / "b.pdf") == 1


def test_a_pdf_takes_hostile_text_and_wide_and_long_tables(tmp_path):
    table = Table(
        title="T", columns=tuple(f"column {i}" for i in range(40)), rows=(tuple("x" * 12 for _ in range(40)),) * 90
    )
    names = Section(title=HOSTILE, text=("名前 " * 200,), tables=(table,), charts=(chart(HOSTILE),))
    write_pdf(Page(title=HOSTILE, sections=(names,)), tmp_path / "a.pdf")
    assert pages_of(tmp_path / "a.pdf") > 3


# --- In a browser -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_browser_draws_it_alone_light_and_dark_wide_and_narrow(tmp_path):
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium is installed")
    path = tmp_path / "a.html"
    write_html(page(HOSTILE), path)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, scheme in ((1280, "light"), (390, "dark")):
            view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            said, asked = [], []
            view.on("console", lambda message, said=said: said.append(message.text))
            view.on("pageerror", lambda error, said=said: said.append(str(error)))
            view.on("dialog", lambda dialog, said=said: said.append(dialog.message))
            view.on("request", lambda request, asked=asked: asked.append(request.url))
            view.goto(path.as_uri())
            for name in ("chart-1", "chart-2"):
                view.locator(f"#{name}").scroll_into_view_if_needed()
                view.wait_for_selector(f"#{name} .main-svg", state="attached")
            assert view.locator(".legendtext").first.text_content().startswith("</script>")
            assert view.evaluate("document.documentElement.scrollWidth") <= width
            assert asked == [path.as_uri()]
            assert said == []
            view.close()
        browser.close()
