"""The app as a browser asks it, without a browser."""

import base64
import errno

import pytest
from tests.waiting import wait_until

from distlaw.apps.web.app import TABS, make_app
from distlaw.apps.web.fit_question import FitQuestion
from distlaw.apps.web.law_question import LawQuestion
from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.apps.web.serving import guard
from distlaw.apps.web.site import Site
from distlaw.apps.web.study_question import StudyQuestion

HERE = "http://127.0.0.1:8050"


class Browser:
    """Sends what Dash's own script sends."""

    def __init__(self, app) -> None:
        self.client = app.server.test_client()
        self.callbacks = self.client.get("/_dash-dependencies", base_url=HERE).json

    def ask(self, output, values, *, triggered=None, first=0):
        """Outputs by name of the callback that has this one; `first` tells apart those that share it."""
        callback = [one for one in self.callbacks if output in one["output"]][first]
        many = callback["output"].startswith("..")
        names = callback["output"].strip(".").split("...")
        outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]

        def given(kind):
            return [one | {"value": values.get(f"{one['id']}.{one['property']}")} for one in callback[kind]]

        inputs = given("inputs")
        body = {
            "output": callback["output"],
            "outputs": outputs if many else outputs[0],
            "inputs": inputs,
            "state": given("state"),
            "changedPropIds": [triggered or f"{inputs[0]['id']}.{inputs[0]['property']}"],
        }
        answer = self.client.post("/_dash-update-component", base_url=HERE, json=body)
        assert answer.status_code in (200, 204), answer.text
        if answer.status_code == 204:
            return {}
        found = answer.json
        return {f"{i}.{p}": v for i, props in found["response"].items() for p, v in props.items()} | {
            "also": found.get("sideUpdate", {})
        }

    def open(self, path, search=""):
        return self.ask("main.children", {"url.pathname": path, "url.search": search})


@pytest.fixture(scope="module")
def app(site):
    app = make_app(site)
    guard(app, loopback=True)
    return app


@pytest.fixture
def browser(app):
    return Browser(app)


def inputs(tab, question):
    return {f"{tab}-{name}.value": getattr(question, name) for name in question.names()}


def components(part):
    """All components of a part of the page."""
    if isinstance(part, list):
        for one in part:
            yield from components(one)
    elif isinstance(part, dict) and "props" in part:
        yield part
        yield from components(part["props"].get("children"))


def words(part):
    """Its texts."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "\n".join(map(words, part))
    return words(part["props"].get("children")) if isinstance(part, dict) else ""


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.name)
def test_every_tab_opens_and_every_input_has_its_name(browser, tab):
    found = browser.open(f"/{tab.name}")
    assert found[f"nav-{tab.name}.className"] == "current"
    controls = [one for one in components(found["main.children"]) if one["namespace"] == "distlaw_controls"]
    assert len(controls) >= 5
    for one in controls:
        assert one["props"]["label"], one


@pytest.mark.parametrize(
    ("path", "search", "says"),
    [
        ("/nowhere", "", "There is no page '/nowhere'"),
        ("/" + "x" * 9000, "", "There is no page"),
        ("/plan", "?foo=1&situation=magic", "is not known here"),
        ("/plan", "?" + "a=1&" * 500, "more than 100 parts"),
        ("/plan", "?student=%ff%fe%00", "not printable"),
        ("/law", "?student=1&student=2", "gives 'student' twice"),
        ("/fit", "?form=magic", "The link's form 'magic' is unknown"),
        ("/study", "?kind=odd", "The link's kind 'odd' is unknown"),
        (None, None, "Your question"),
    ],
)
def test_a_bad_address_is_a_message(browser, path, search, says):
    assert says in words(browser.open(path, search)["main.children"])


def test_a_link_fills_the_inputs(browser):
    question = PlanQuestion(student="2B", students="5", teacher=(("a", "1B", "2", ""),))
    page = str(browser.open("/plan", "?" + question.to_query()))
    for value in ("'2B'", "'5'", "[['a', '1B', '2', '']]"):
        assert f"'value': {value}" in page


def test_an_answer_and_its_address(browser):
    found = browser.ask("plan-answer.children", inputs("plan", PlanQuestion(student="2B")))
    assert "student of 2B parameters" in str(found["plan-answer.children"])
    assert found["plan-query.data"] == {"query": "student=2B", "ok": True}
    assert "distlaw plan --student-params 2B" in str(found["plan-export.children"])


def test_no_answer_is_a_message_and_the_address_stays_what_was_asked(browser):
    found = browser.ask("plan-answer.children", inputs("plan", PlanQuestion(student="big")))
    assert "Student parameters: 'big' is not a number" in str(found["plan-answer.children"])
    assert found["plan-query.data"] == {"query": "student=big", "ok": False}
    drawn = browser.ask("plan-loss.figure", {"plan-query.data": found["plan-query.data"], "theme.data": "light"})
    assert drawn["plan-loss.figure"]["data"] == []


def test_a_plan_with_a_bad_teacher_says_so_and_where_it_would_be_saved(browser):
    found = browser.ask("plan-answer.children", inputs("plan", PlanQuestion(teacher=(("mine", "big", "2", ""),))))
    says = "Own teachers, row 1: 'big' is not a number"
    assert says in words(found["plan-teachers.children"])
    asked = {"plan-query.data": found["plan-query.data"], "plan-json.n_clicks": 1}
    saved = browser.ask("plan-file.data", asked, triggered="plan-json.n_clicks")
    assert "plan-file.data" not in saved
    assert says in words(saved["plan-save-said.children"])
    assert saved["also"] == {}
    asked |= {"plan-options-csv.n_clicks": 1}
    saved = browser.ask("plan-file.data", asked, triggered="plan-options-csv.n_clicks")
    assert saved["plan-file.data"]["filename"] == "plan.csv"
    assert saved["plan-save-said.children"] is None


@pytest.mark.parametrize("tab", ["plan", "law"])
def test_a_button_that_has_only_appeared_saves_nothing(browser, tab):
    asked = {f"{tab}-query.data": {"query": "", "ok": True}}
    for clicks, saves in ((None, False), (1, True)):
        found = browser.ask(
            f"{tab}-file.data", asked | {f"{tab}-json.n_clicks": clicks}, triggered=f"{tab}-json.n_clicks"
        )
        assert (f"{tab}-file.data" in found) == saves


@pytest.mark.parametrize("law", ["nobody2030", "file:broken.json", "own:mine.json", "hoffmann2022", "file:../x.json"])
def test_a_law_that_cannot_be_had_is_a_message_on_both_tabs(browser, law):
    found = browser.ask("plan-answer.children", inputs("plan", PlanQuestion(law=law)))
    assert "No answer" in str(found["plan-answer.children"])
    found = browser.ask("law-answer.children", inputs("law", LawQuestion(law=law)))
    assert ("No answer" in str(found["law-answer.children"])) == (law != "hoffmann2022")


@pytest.mark.parametrize(("theme", "ink"), [("light", "#000000"), ("dark", "#e8e8e8"), (None, "#000000")])
def test_charts_are_drawn_light_and_dark(browser, theme, ink):
    asked = {"query": "", "ok": True}
    found = browser.ask("plan-loss.figure", {"plan-query.data": asked, "theme.data": theme})
    assert found["plan-loss.figure"]["layout"]["font"]["color"] == ink
    assert len(found["plan-loss.figure"]["data"]) == 10
    assert browser.ask("law-map.figure", {"law-query.data": asked, "theme.data": theme})["law-map.figure"]["data"]


def test_intervals_come_after_the_answer(browser):
    asked = {"query": "law=file%3Amine.json&student=500M&budget=1e20", "ok": True}
    found = browser.ask("plan-confidence.children", {"plan-rested.data": asked})
    table = next(value for name, value in found.items() if name.startswith("plan-table.children"))
    assert "90 % interval" in str(table)
    assert found["also"]["plan-spread"] == {"data": asked["query"]}
    drawn = browser.ask(
        "plan-loss.figure", {"plan-query.data": asked, "plan-spread.data": asked["query"], "theme.data": "light"}
    )
    assert any("error_y" in trace for trace in drawn["plan-loss.figure"]["data"])


def test_what_nobody_foresaw_is_a_line_on_the_page_and_the_server_lives(browser, monkeypatch, caplog):
    def burst(*_):
        raise RuntimeError("a secret path /home/x")

    monkeypatch.setattr("distlaw.apps.web.plan_tab.answer", burst)
    found = browser.ask("plan-answer.children", inputs("plan", PlanQuestion()))
    assert "Something went wrong here" in str(found["also"]["oops"])
    assert "secret" not in str(found)
    assert "secret" in caplog.text


def file_of(path):
    return {"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}


def test_a_full_disk_is_said_on_the_page(browser, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("distlaw.apps.web.plan_tab.answer", full)
    found = browser.ask("plan-answer.children", inputs("plan", PlanQuestion()))
    assert "The disk of the server is full" in words(found["also"]["oops"]["children"])


def test_a_law_file_is_brought_along_for_its_own_session_only(app, laws):
    mine, theirs = Browser(app), Browser(app)
    found = mine.ask("plan-law.options", {"plan-upload.value": file_of(laws / "mine.json")})
    assert found["plan-law.value"] == "own:mine.json"
    assert "own:mine.json" in str(found["plan-law.options"])
    question = inputs("plan", PlanQuestion(law="own:mine.json", student="500M", budget="1e20"))
    assert "No answer" not in str(mine.ask("plan-answer.children", question)["plan-answer.children"])
    assert "upload its file again" in str(theirs.ask("plan-answer.children", question)["plan-answer.children"])
    assert "own:mine.json" in str(mine.open("/plan"))
    assert "own:mine.json" not in str(theirs.open("/plan"))


@pytest.mark.parametrize(
    "file",
    [None, {}, {"name": "a.json", "content": "!"}, {"name": "a.json", "content": "e30="}, {"name": 3, "content": 4}],
)
def test_a_law_file_that_is_none_is_a_message(browser, file):
    found = browser.ask("plan-law.options", {"plan-upload.value": file})
    assert "plan-law.value" not in found
    assert "message error" in str(found["plan-upload-said.children"])


def fit_inputs(question):
    values = inputs("fit", question)
    return values | {"fit-table.data": question.table, "fit-columns-said.data": question.columns}


def test_a_fit_from_the_table_to_the_law(app, site, table):
    mine, theirs = Browser(app), Browser(app)
    found = mine.ask("fit-said.children", {"fit-upload.value": file_of(table)})
    key = found["fit-table.data"]
    cookie = mine.client.get_cookie("distlaw-session", domain="127.0.0.1")
    assert cookie is not None
    assert cookie.http_only
    assert cookie.same_site == "Strict"
    question = FitQuestion(table=key, form="peaked-tokens", rests="busbridge2025", resamples="20")
    columns = mine.ask("fit-columns.children", {"fit-table.data": key})["fit-columns.children"]
    assert "48 rows" in str(columns)
    checked = mine.ask("fit-checked.children", fit_inputs(question))
    assert checked["fit-begin.disabled"] is False
    assert "36 distilled, 12 alone" in str(checked["fit-checked.children"])
    asked = checked["fit-query.data"]
    assert FitQuestion.from_query(asked["query"]) == (question, [])

    stranger = theirs.ask("fit-checked.children", fit_inputs(question))
    assert words(stranger["fit-checked.children"]) == (
        "This link's table was dropped in another session, or too long ago; drop it again"
    )

    begun = {"fit-query.data": asked, "fit-begin.n_clicks": 1}
    state = mine.ask("fit-progress.children", begun, triggered="fit-begin.n_clicks")
    assert state["fit-cancel.disabled"] is False

    def is_done():
        state.update(mine.ask("fit-progress.children", {"fit-query.data": asked}, triggered="fit-clock.n_intervals"))
        return state["fit-clock.disabled"]

    wait_until(is_done, every=0.2)
    assert "Done in" in str(state["fit-progress.children"])
    shown = mine.ask("fit-result.children", {"fit-query.data": asked})
    assert shown["fit-results.hidden"] is False
    assert "kappa" in str(shown["fit-result.children"])
    assert "/plan?law=own%3Aruns.json" in str(shown["fit-onward.children"])
    assert theirs.ask("fit-result.children", {"fit-query.data": asked})["fit-results.hidden"] is True
    plan = inputs("plan", PlanQuestion(law="own:runs.json"))
    assert "No answer" not in str(mine.ask("plan-answer.children", plan)["plan-answer.children"])
    file = mine.ask("fit-file.data", {"fit-query.data": asked, "fit-law.n_clicks": 1}, triggered="fit-law.n_clicks")
    assert '"format": "distlaw-law-' in file["fit-file.data"]["content"]

    session = site.shelf.find(cookie.value)
    assert session is not None
    session.tables.clear()
    shown = mine.ask("fit-result.children", {"fit-query.data": asked})
    assert "drop it again" in words(shown["fit-result.children"])
    assert "kappa" in str(shown["fit-result.children"])


def test_a_fit_is_cancelled(browser, table):
    key = browser.ask("fit-said.children", {"fit-upload.value": file_of(table)})["fit-table.data"]
    question = FitQuestion(table=key, resamples="4096")
    asked = {"query": question.to_query(), "ok": True}
    begun = {"fit-query.data": asked, "fit-begin.n_clicks": 1}
    assert browser.ask("fit-progress.children", begun, triggered="fit-begin.n_clicks")["fit-clock.disabled"] is False
    stopped = begun | {"fit-cancel.n_clicks": 1}
    state = browser.ask("fit-progress.children", stopped, triggered="fit-cancel.n_clicks")
    assert "cancelled" in str(state["fit-progress.children"]).lower()
    assert state["fit-clock.disabled"] is True


@pytest.mark.parametrize(
    ("tab", "output"),
    [("plan", "plan-answer.children"), ("law", "law-answer.children"), ("fit", "fit-checked.children")],
)
def test_a_value_that_is_nothing_is_said(browser, tab, output):
    question = next(one.question for one in TABS if one.name == tab)
    for name in question.names():
        if name in question.CHOICES or name in ("teacher", "table", "holdout", "units") or name.startswith("column_"):
            continue  # of these a table is asked, or the link itself says so
        values = inputs(tab, question(**{name: "parsecs"})) | {"fit-table.data": ""}
        assert "'parsecs'" in str(browser.ask(output, values)[output])


def test_a_table_with_bad_rows_names_them(browser, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("N,D,loss\n1e8,1e9,3\n=cmd(),1e9,3\n1e8,,3\n")
    key = browser.ask("fit-said.children", {"fit-upload.value": file_of(path)})["fit-table.data"]
    found = browser.ask("fit-checked.children", fit_inputs(FitQuestion(table=key)))
    assert found["fit-begin.disabled"] is True
    for text in ("row 2, column N: '=cmd()'", "row 3, column D: the cell is empty"):
        assert text in words(found["fit-checked.children"])


def test_a_study_and_its_runs(browser, studies):
    question = StudyQuestion(study=f"{studies.name}/live", kind="distilled")
    asked = browser.ask("study-query.data", inputs("study", question))["study-query.data"]
    assert asked == {"query": question.to_query(), "ok": True}
    found = browser.ask("study-answer.children", {"study-query.data": asked})
    assert "3 of 4" in str(found["study-answer.children"])
    seen = {"study-query.data": asked, "study-seen.data": found["study-seen.data"], "theme.data": "light"}
    assert "2 runs" in str(browser.ask("study-table.children", seen))
    assert len(browser.ask("study-curves.figure", seen)["study-curves.figure"]["data"]) == 2
    file = browser.ask("study-file.data", seen | {"study-table-csv.n_clicks": 1}, triggered="study-table-csv.n_clicks")
    assert file["study-file.data"]["content"].count("\n") == 3


def test_a_study_whose_table_is_broken_is_a_message_and_saves_nothing(tmp_path):
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    site = Site.of(studies=[tmp_path])
    app = make_app(site)
    guard(app, loopback=True)
    asked = {"study-query.data": {"query": f"study={tmp_path.name}", "ok": True}, "study-table-csv.n_clicks": 1}
    assert "missing column" in words(Browser(app).ask("study-table.children", asked)["study-table.children"])
    saved = Browser(app).ask("study-file.data", asked, triggered="study-table-csv.n_clicks")
    assert saved == {"also": {}}
    site.close()


def test_a_lab_is_shown_and_a_study_that_is_not_there_is_a_message(browser, studies):
    asked = {"query": StudyQuestion(study=f"{studies.name}/labs/patience").to_query(), "ok": True}
    found = browser.ask("study-answer.children", {"study-query.data": asked})
    assert "patience pays" in str(found["study-answer.children"])
    lab = browser.ask("study-lab.children", {"study-query.data": asked, "study-seen.data": found["study-seen.data"]})
    assert "A chart of a lab" in str(lab)
    asked = browser.ask("study-query.data", inputs("study", StudyQuestion(study="x/../../etc")))["study-query.data"]
    assert asked["ok"] is False
    assert "there is no study" in str(browser.ask("study-answer.children", {"study-query.data": asked}))
