"""A site of the page for tests: laws, a study, a lab, and the app over them."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dash", reason="the page's libraries are not installed: pip install 'distlaw[web]'")

from distlaw.apps.web.app import make_app
from distlaw.apps.web.serving import listen
from distlaw.apps.web.site import Site
from distlaw.charts import Axis, Chart, Panel, Series
from distlaw.fit import FitSpec, fit_law, write_law
from distlaw.labs.files import Outcome, write_outcome
from distlaw.labs.findings import Effect, Finding, Findings, Table
from distlaw.laws import published
from distlaw.runs import Runs, write_runs


def runs_of_law(seeds: int = 1) -> Runs:
    """Runs that follow a published law, with a little scatter."""
    law, rng = published("busbridge2025-refit").law, np.random.default_rng(0)
    grid = [(N, D, L) for N in (1e8, 3e8, 1e9) for D in (2e9, 8e9, 3e10) for L in (2.0, 2.2, 2.4, 2.6)] * seeds
    N, D, L = (np.array(column) for column in zip(*grid, strict=True))
    alone = [(n, d) for n in (1e8, 3e8, 1e9, 3e9) for d in (2e9, 8e9, 3e10)]
    n, d = (np.array(column) for column in zip(*alone, strict=True))
    loss = np.concatenate([law.student_loss(N, D, L), law.supervised.loss(n, d)])
    return Runs(
        student_params=np.concatenate([N, n]),
        student_tokens=np.concatenate([D, d]),
        student_loss=loss * np.exp(rng.normal(0, 1e-3, loss.size)),
        teacher_loss=np.concatenate([L, np.full(n.size, np.nan)]),
    )


REPORT = """# A study

See [its runs](runs.csv). <img src="x" onerror="document.title = 'run'">

## Which form predicts best?

Equation 8.

| form | error |
|---|---:|
| eq. 8 | 1 % |

![Losses](losses.png)
"""


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "runs.csv"
    write_runs(runs_of_law(), path)
    return path


@pytest.fixture(scope="session")
def laws(tmp_path_factory) -> Path:
    """A folder with a law file, and a broken one."""
    folder = tmp_path_factory.mktemp("laws")
    supervised = published("busbridge2025").supervised
    fit = fit_law(runs_of_law(), FitSpec(form="peaked-tokens", resamples=20, starts=8), supervised=supervised)
    write_law(fit, folder / "mine.json", name="mine", source="a test", data="a test's")
    (folder / "broken.json").write_text('{"format": "distlaw-law-1"}')
    return folder


@pytest.fixture(scope="session")
def studies(tmp_path_factory, table) -> Path:
    """A folder with a study under way, a finished one, a lab, and traps."""
    root = tmp_path_factory.mktemp("studies")
    live = root / "live"
    ids = ["a1", "b2", "c3"]
    jobs = [{"id": f"job-{i}", "runs": [i], "flops": 1e12, "seconds": 60.0, "what": f"run {i}"} for i in [*ids, "d4"]]
    for folder in ("records", "leases", "failures", "jobs"):
        (live / folder).mkdir(parents=True)
    (live / "index.json").write_text(json.dumps({"about": "a study of a test", "attempts": 1, "jobs": jobs}))
    for number, i in enumerate(ids):
        record = {"name": i, "job": f"job-{i}", "student_params": 1e6 * 10**number, "student_tokens": 2e7}
        record |= {"student_loss": 4.0 - number, "teacher_loss": 2.0 if number else None, "seed": 0, "compute": 1e15}
        (live / "records" / f"{i}.json").write_text(json.dumps(record))
        folder = live / "jobs" / f"job-{i}"
        folder.mkdir()
        lines = [json.dumps({"tokens": 100 * k, "cross_entropy": 6 - k / 9, "student": i}) for k in range(1, 9)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"tokens": 9')
    (live / "records" / "e5.json").write_text('{"name": "e5"')
    (live / "failures" / "job-d4.1").write_text("it burst")
    done = root / "nested" / "done"
    done.mkdir(parents=True)
    (done / "runs.csv").write_bytes(table.read_bytes())
    (done / "report.md").write_text(REPORT)
    lab = root / "labs" / "patience"
    lab.mkdir(parents=True)
    chart = Chart(
        name="a-chart",
        title="A chart of a lab",
        panels=(Panel(x=Axis(label="x"), y=Axis(label="y"), series=(Series(name="s", x=[1, 2], y=[3, 4]),)),),
    )
    finding = Finding(
        claim="patience pays",
        effect=Effect(value=0.1, interval=(0.05, 0.15), unit="nats"),
        verdict="holds",
        measured="loss of more tokens",
    )
    table_of_lab = Table(title="A table of a lab", columns=("who", "nats"), rows=(("a", 1.0), ("b", None)))
    found = Findings(findings=(finding,), tables=(table_of_lab,), charts=(chart,), notes=("a note",))
    outcome = Outcome(
        lab="patience",
        about="patience pays",
        source="section 1",
        preset="quick",
        seed=0,
        command="distlaw lab patience",
        findings=found,
        runs=3,
        core_seconds=60.0,
        machine="x86_64, Linux",
    )
    write_outcome(outcome, lab)
    return root


@pytest.fixture(scope="session")
def site(laws, studies):
    site = Site.of(laws=laws, studies=[studies])
    yield site
    site.close()


# A browser

NAMES = ("chromium", "/usr/bin/chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
FLAGS += ("disable-component-update", "disable-sync", "disable-dev-shm-usage")
WAIT = 120_000  # ms, on a machine that has much else to do; nothing takes that long


@pytest.fixture(scope="module")
def address(laws, studies):
    site = Site.of(laws=laws, studies=[studies])
    server = listen(make_app(site), host="127.0.0.1", port=0, allow=["plan.localhost"])
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    thread.join()
    site.close()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        flags = [f"--{flag}" for flag in FLAGS]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=WAIT)
        yield chromium
        chromium.close()


class Visit:
    """A page that notes what it asks for and what it complains of."""

    def __init__(self, browser, address, **looks) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 2600}, accept_downloads=True, **looks)
        self.context.set_default_timeout(WAIT)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        self.browser, self.page, self.address = browser, self.context.new_page(), address
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", self._asks)
        self.page.on("console", self._says)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def another(self, address=None):
        """Somebody else's browser, at this address or another."""
        return Visit(self.browser, address or self.address)

    def upload(self, where, name, content) -> None:
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        self.page.set_input_files(where, file)

    def _asks(self, request) -> None:
        if not request.url.startswith((self.address + "/", "data:", "blob:")):
            self.outside.append(request.url)

    def _says(self, said) -> None:
        unknown = "404 (not found)" in said.text.lower()  # the status of an unknown path
        if said.type == "error" and not unknown:
            self.complaints.append(said.text)

    def open(self, path):
        self.page.goto(self.address + path)
        self.page.wait_for_selector("main h1")
        return self.page

    def answer(self, text):
        """Wait until the answer has this text."""
        self.page.wait_for_function(
            "text => [...document.querySelectorAll('.answer')].some(one => one.textContent.includes(text))", arg=text
        )

    def saved(self, button):
        with self.page.expect_download() as coming:
            self.page.click(button)
        return Path(coming.value.path()).read_bytes()


@pytest.fixture
def visit(browser, address, request):
    found = Visit(browser, address, **getattr(request, "param", {}))
    yield found
    found.context.close()
    assert found.outside == []
    assert found.complaints == []
