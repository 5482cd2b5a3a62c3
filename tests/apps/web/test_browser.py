"""The page in Chromium, as people use it: one server and one browser for all."""

import base64
import contextlib
import gzip
import http.client
import http.server
import json
import threading

import pytest

from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.apps.web.study_question import StudyQuestion

pytestmark = pytest.mark.slow


def test_a_plan_and_its_link(visit):
    page = visit.open("/")
    visit.answer("a student of 1B parameters ends at")
    page.wait_for_selector("#plan-loss .trace")
    page.wait_for_selector("#plan-crossover .trace")
    page.fill("#plan-student", "3B")
    visit.answer("a student of 3B parameters")
    page.select_option("#plan-situation", "best-case")
    visit.answer("If a teacher of your choice is free")
    page.focus("#plan-budget-slider")
    page.keyboard.press("ArrowRight")  # a slider is moved by keyboard
    page.wait_for_function("() => location.search.includes('budget=')")
    page.click("text=Own teachers")
    page.click("text=Add a teacher")
    page.fill("[aria-label='teacher 1, name']", "ours, the old")
    page.fill("[aria-label='teacher 1, parameters']", "7B")
    page.fill("[aria-label='teacher 1, loss, nats']", "2.0")
    page.wait_for_selector("#plan-teachers >> text=ours, the old")
    page.wait_for_function("() => location.search.includes('teacher=')")
    link = page.url
    assert PlanQuestion.from_query(link.partition("?")[2])[1] == []
    words = page.inner_text("#plan-answer")
    other = visit.another()
    other.page.goto(link)
    other.page.wait_for_selector("#plan-teachers >> text=ours, the old")
    assert other.page.inner_text("#plan-answer") == words
    assert other.page.input_value("#plan-student") == "3B"
    other.context.close()


def test_a_unit_takes_the_budget_along_and_reasons_come_when_they_are_looked_at(visit):
    visit.page.set_viewport_size({"width": 1280, "height": 700})
    page = visit.open("/plan")
    visit.answer("ends at about 2.22")
    page.select_option("#plan-unit", "gpu-hours")
    page.wait_for_function("() => document.querySelector('#plan-budget').value === '702'")
    visit.answer("ends at about 2.22")
    page.wait_for_selector("#plan-reasons >> text=Worked out when it is looked at")
    assert page.locator("#plan-sizes .trace").count() == 0  # nor is a chart drawn before
    page.locator("#plan-reasons-part").scroll_into_view_if_needed()
    page.wait_for_selector("#plan-reasons >> text=if you train the teacher")
    page.wait_for_selector("#plan-sizes .trace")


def test_a_plan_is_taken_along(visit):
    page = visit.open("/plan?student=2B")
    visit.answer("2B")
    assert json.loads(visit.saved("#plan-json"))["student_params"] == 2e9
    assert visit.saved("#plan-options-csv").startswith(b"scenario,feasible")
    page.wait_for_selector("#plan-loss .trace")
    assert visit.saved("#plan-loss-csv").startswith(b"panel,series,x,y")
    assert visit.saved("#plan-loss-png").startswith(b"\x89PNG")
    page.click("#plan-link")
    page.wait_for_selector("text=copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    page.click("#plan-command")
    page.wait_for_function("() => navigator.clipboard.readText().then(text => text.startsWith('distlaw plan'))")


def test_a_bad_link_is_a_clear_message(visit):
    for path, says in (
        ("/plan?student=big&situation=magic", "Student parameters: 'big' is not a number"),
        ("/law?law=..%2F..%2Fetc%2Fpasswd", "is unknown"),
        ("/study?study=..%2Fetc", "there is no study or lab"),
        ("/nowhere?" + "a=%FF%00&" * 150, "There is no page '/nowhere'"),
    ):
        page = visit.open(path)
        page.wait_for_function("says => document.querySelector('main').textContent.includes(says)", arg=says)
    page.click("#nav-plan")
    visit.answer("a student of 1B parameters ends")


def test_a_law_is_looked_at(visit):
    page = visit.open("/law?law=file%3Amine.json")
    visit.answer("90 %: 2.")
    page.wait_for_selector("#law-map .contourlayer path")
    page.wait_for_selector("#law-teachers .trace")
    page.select_option("#law-law", "besiroglu2024")
    visit.answer("This law is of models trained from scratch")
    page.wait_for_function("() => location.search.includes('besiroglu2024')")


def test_tabs_keep_what_was_asked(visit):
    page = visit.open("/plan")
    page.fill("#plan-student", "4B")
    visit.answer("4B")
    page.click("#nav-law")
    visit.answer("distilled on")
    page.click("#nav-plan")
    visit.answer("4B")
    page.go_back()
    visit.answer("distilled on")


def test_a_table_is_fitted_and_planned_with(visit, table):
    page = visit.open("/fit")
    visit.upload("#fit-upload", "our runs.csv", table.read_bytes())
    page.wait_for_selector("text=36 distilled, 12 alone")
    page.select_option("#fit-form", "peaked-tokens")
    page.select_option("#fit-rests", "busbridge2025")
    page.fill("#fit-holdout", "student_loss <= 2.35")
    page.fill("#fit-resamples", "30")
    page.keyboard.press("Tab")
    page.wait_for_function("() => location.search.includes('resamples=30')")
    page.click("#fit-begin:not([disabled])")
    page.wait_for_selector("#fit-results >> text=Error on held-out runs")
    page.wait_for_selector("#fit-extrapolation .trace")
    law = json.loads(visit.saved("#fit-law"))
    assert law["name"] == "our runs"
    page.reload()
    page.wait_for_selector("#fit-results >> text=kappa")  # the session still has it
    page.click("text=Plan with this law")
    visit.answer("ends")
    page.wait_for_selector("#plan-table >> text=90 % interval")


def test_columns_are_mapped_and_a_long_fit_is_cancelled(visit, table):
    lines = table.read_text().splitlines()
    page = visit.open("/fit")
    visit.upload("#fit-upload", "t.csv", "\n".join(["size,D,final,guide", *lines[1:]]).encode())
    page.wait_for_selector("text=Choose the column of student_params, student_loss")
    page.select_option("#fit-column-student_params", "size")
    page.select_option("#fit-column-student_loss", "final")
    page.select_option("#fit-column-teacher_loss", "guide")
    page.fill("#fit-resamples", "4096")
    page.keyboard.press("Tab")
    page.wait_for_function("() => location.search.includes('resamples=4096')")
    page.click("#fit-begin:not([disabled])")
    page.click("#fit-cancel:not([disabled])")
    page.wait_for_selector("#fit-progress >> text=Cancelled")


def test_hostile_tables_are_refused_and_the_page_lives(visit, table):
    page = visit.open("/fit")
    header = "student_params,student_tokens,student_loss\n"
    for name, content, says in (
        ("huge.csv", b"1" * 6_000_000, "at most 5 MB are read"),
        ("long.csv", (header + "1e9,1e9,3\n" * 20_001).encode(), "20,001 rows; at most 20,000 are read"),
        ("bomb.csv", gzip.compress(b"0" * 5_000_000), "bomb.csv: is not UTF-8 text"),
        ("bomb.parquet", gzip.compress(b"0" * 5_000_000), "bomb.parquet: is not a Parquet file"),
        ("words.csv", (header + "=cmd(),1e9,3\n1e9,many,3\n").encode(), "row 1, column student_params: '=cmd()'"),
        ("../../etc/passwd", b"root", "'passwd' must end in .csv"),
        ("<img src=x onerror=alert(1)>.csv", b"", "<img src=x onerror=alert(1)>.csv: the table has no rows"),
        ("deep.jsonl", b"[" * 100_000, "deep.jsonl: cannot be read"),
    ):
        visit.upload("#fit-upload", name, content)
        page.wait_for_function("says => document.querySelector('main').textContent.includes(says)", arg=says)
    visit.upload("#fit-upload", "good.csv", table.read_bytes())
    page.wait_for_selector("text=good.csv: 48 rows")


def test_a_study_is_followed(visit, studies):
    live = studies / "live"
    page = visit.open("/study?" + StudyQuestion(study=f"{studies.name}/live").to_query())
    visit.answer("3 of 4")
    page.wait_for_selector("#study-curves .trace")
    record = json.loads((live / "records" / "a1.json").read_text()) | {"name": "d4", "job": "job-d4"}
    new = live / "records" / "d4.json"
    new.write_text(json.dumps(record))
    try:
        visit.answer("4 of 4")
        page.wait_for_selector("#study-table >> text=4 runs")
    finally:
        new.unlink()
    page.select_option("#study-kind", "distilled")
    page.wait_for_selector("#study-table >> text=2 runs")
    page.fill("#study-least_params", "50M")
    page.wait_for_selector("#study-table >> text=1 run")
    assert visit.saved("#study-table-csv").count(b"\n") == 2
    page.select_option("#study-study", f"{studies.name}/labs/patience")
    visit.answer("patience pays")
    page.wait_for_selector("#study-lab .trace")


def test_a_finished_study_says_what_its_runs_say(visit, studies):
    page = visit.open("/study?" + StudyQuestion(study=f"{studies.name}/nested/done").to_query())
    page.click("#study-report summary")
    page.wait_for_selector("#study-report td >> text=eq. 8")
    assert page.locator("#study-report img, #study-report a").count() == 0
    page.wait_for_timeout(3500)  # the page looks again
    assert page.locator("#study-report td").first.is_visible()
    page.select_option("#study-study", f"{studies.name}/live")
    visit.answer("3 of 4")
    page.wait_for_selector("#study-report summary", state="detached")


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || one.closest("svg, noscript, script, :disabled") || !one.offsetParent) continue;
    const style = getComputedStyle(one), size = parseFloat(style.fontSize);
    const [a, b] = [light(parts(style.color)), light(ground(one))].sort((x, y) => y - x);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) bad.push(one.className + ": " + one.textContent.slice(0, 30));
  }
  return bad;
}"""

NAMELESS = """() => [...document.querySelectorAll("input, select, textarea, button, a[href], summary, progress")]
  .filter((one) => !one.closest(".js-plotly-plot") && !one.getAttribute("aria-label")
    && !(one.labels && one.labels.length && one.labels[0].textContent.trim())
    && !(one.matches("button, a, summary") && one.textContent.trim()))
  .map((one) => one.outerHTML)"""


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True, ids=str)
def test_everybody_can_read_and_use_it(visit, studies):
    for path, ready in (
        ("/plan?law=file%3Amine.json&teacher=a%2C1B%2C2%2C", "#plan-teachers table"),
        ("/law", "#law-teachers .trace"),
        ("/fit", "#fit-upload"),
        ("/study?" + StudyQuestion(study=f"{studies.name}/labs/patience").to_query(), "#study-lab .trace"),
        ("/plan?student=big", ".message.error"),
    ):
        page = visit.open(path)
        page.wait_for_selector(ready)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate(NAMELESS) == []
        for landmark in ("header", "nav[aria-label]", "main"):
            assert page.locator(landmark).count() == 1
        assert page.locator("main h1").count() == 1
        assert page.locator("main [aria-live='polite']").count() >= 1
        assert page.locator("main th:not([scope])").count() == 0
        assert page.locator("main table:not(:has(caption)):not(.rows table)").count() == 0
        assert page.evaluate("document.documentElement.lang") == "en"
        for width in (340, 768, 1280, 2200):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_function("() => document.documentElement.scrollWidth <= window.innerWidth")
        page.set_viewport_size({"width": 1280, "height": 2600})


class Proxy(http.server.BaseHTTPRequestHandler):
    """A reverse proxy that offers the page below a path, as nginx would."""

    protocol_version = "HTTP/1.1"
    behind, prefix = 0, "/some/where"

    def do_GET(self) -> None:
        path = self.path.removeprefix(self.prefix)
        if path == self.path:
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: text for name, text in self.headers.items() if name.lower() != "connection"}
        headers |= {"X-Forwarded-For": self.client_address[0], "X-Forwarded-Proto": "http"}
        headers |= {"X-Forwarded-Prefix": self.prefix}
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=120)
        with contextlib.closing(connection):
            connection.request(self.command, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        for name, text in answer.getheaders():
            if name.lower() not in ("connection", "date", "server", "content-length", "via"):
                self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_) -> None:
        """Nothing."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the browser has gone elsewhere
            super().handle()


@pytest.fixture
def proxied(address):
    """The page's address as people elsewhere know it."""
    handler = type("Handler", (Proxy,), {"behind": int(address.rpartition(":")[2])})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://plan.localhost:{server.server_port}{Proxy.prefix}"
        server.shutdown()
        thread.join()


def test_behind_a_proxy(visit, proxied, table):
    visit = visit.another(proxied)
    page = visit.open("/")
    visit.answer("a student of 1B parameters ends")
    page.fill("#plan-student", "3B")
    visit.answer("3B")
    page.wait_for_function("() => location.search.includes('student=3B')")
    page.wait_for_selector("#plan-loss .trace")
    page.click("#nav-law")
    visit.answer("distilled on")
    assert page.url.startswith(f"{proxied}/law")
    page.click("#nav-fit")
    visit.upload("#fit-upload", "ours.csv", table.read_bytes())
    page.wait_for_selector("text=ours.csv: 48 rows")
    page.wait_for_function("() => location.search.includes('table=')")
    page.reload()
    page.wait_for_selector("text=ours.csv: 48 rows")  # its cookie comes back
    page.click("#nav-plan")
    visit.answer("3B")
    page.goto(f"{proxied}/nowhere")
    page.wait_for_selector("text=There is no page '/nowhere'; there are /some/where/plan")
    visit.context.close()
    assert visit.outside == []
    assert visit.complaints == []


def test_by_keyboard(visit):
    page = visit.open("/plan")
    visit.answer("a student of 1B parameters ends")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "plan-student"
    page.keyboard.press("Control+A")
    page.keyboard.type("5B")
    page.keyboard.press("Enter")
    visit.answer("a student of 5B parameters")
    assert page.evaluate("document.activeElement.id") == "plan-student"  # an answer does not take the focus away


def test_light_and_dark_are_kept(visit):
    page = visit.open("/plan")
    page.wait_for_selector("#plan-loss .trace")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme-button")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    page.wait_for_selector("#plan-loss .xtick text[style*='rgb(232, 232, 232)']")
    page.reload()
    page.wait_for_selector("#plan-loss .trace")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_a_law_file_that_is_dropped_is_used(visit, laws):
    page = visit.open("/plan")
    visit.answer("a student of 1B parameters ends")
    page.click("text=Own law file")
    visit.upload("#plan-upload", "notes.json", base64.b64encode(b"x"))
    page.wait_for_selector("#plan-upload-said >> text=is not JSON")
    visit.upload("#plan-upload", "ours.json", (laws / "mine.json").read_bytes())
    page.wait_for_selector("#plan-upload-said >> text=ours.json is chosen")
    page.wait_for_function("() => location.search.includes('law=own')")
    page.wait_for_selector("#plan-table >> text=90 % interval")
