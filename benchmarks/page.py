"""The page under load, and in a browser: 50 people who plan at once, then one who looks at the clock.

Command: `make bench-page` (half a minute on two cores). People change the student or the budget, wait for all that the
page asks for, think for about two seconds, and go on; one in five scrolls down to the reasons, which the page works out
when they are looked at. Every change is one that nobody asked for before, so that little is remembered. It prints the
median and the 95th percentile of each kind of request. Then, where Chromium is installed, the time from opening the
page to the answer and to the first chart, and from a changed slider to both. With `--pictures DIR` it takes the
pictures of docs/images instead.
"""

import argparse
import http.client
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from distlaw.apps.web.plan_question import PlanQuestion

KINDS = {
    "answer": "plan-answer.children",
    "curves": "plan-loss.figure",
    "crossover": "plan-crossover.figure",
    "reasons": "plan-reasons.children@",
}
"""Requests of a change, by an output of each: the words first, then what the page draws from them."""

READERS = 5
"""One person in so many reads the reasons."""


class Server:
    """`distlaw serve` in a process of its own, at a port that was free."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __enter__(self) -> "Server":
        command = [sys.executable, "-m", "distlaw", "serve", "--port", str(_free_port()), *self.words]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.process.stdout.readline())
        assert found is not None
        self.port = int(found[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def cpu_seconds(self) -> float:
        """CPU time that it has used."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Person(threading.Thread):
    """Somebody who plans."""

    def __init__(self, port: int, callbacks: dict[str, Any], seed: int, until: float, think: float) -> None:
        super().__init__()
        self.random, self.until, self.think = random.Random(seed), until, think
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.callbacks = callbacks
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.values = dict(vars(PlanQuestion()))

    def run(self) -> None:
        """Change something, look, think."""
        time.sleep(self.random.uniform(0, self.think))
        while time.monotonic() < self.until:
            if self.random.random() < 0.5:
                self.values["student"] = f"{10 ** self.random.uniform(8, 10):.4g}"
            else:
                self.values["budget"] = f"{10 ** self.random.uniform(20, 24):.4g}"
            try:
                self.change()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                self.connection.close()
            time.sleep(self.random.uniform(0.5, 1.5) * self.think)

    def change(self) -> None:
        """All requests of one change."""
        asked = PlanQuestion(**self.values)
        query = {"query": asked.to_query(), "ok": True}
        known = {f"plan-{name}.value": value for name, value in self.values.items()}
        known |= {"plan-query.data": query, "plan-seen.data": query, "plan-spread.data": None, "theme.data": "light"}
        for kind, callback in self.callbacks.items():
            if kind == "reasons" and self.random.randrange(READERS):
                continue
            began = time.perf_counter()
            body = json.dumps(payload(callback, known))
            self.connection.request("POST", "/_dash-update-component", body, {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
            self.seconds[kind].append(time.perf_counter() - began)
            if answer.status != 200 or b'"oops"' in text or b"No answer" in text:
                self.errors.append(f"{kind}: status {answer.status}")


def payload(callback: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends for a callback."""
    names = callback["output"].strip(".").split("...")
    outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
    inputs = [one | {"value": known[f"{one['id']}.{one['property']}"]} for one in callback["inputs"]]
    return {
        "output": callback["output"],
        "outputs": outputs if callback["output"].startswith("..") else outputs[0],
        "inputs": inputs,
        "changedPropIds": [f"{inputs[0]['id']}.{inputs[0]['property']}"],
        "state": [],
    }


def load(server: Server, people: int, seconds: float, think: float) -> None:
    """Many people at once."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/_dash-dependencies")
    known = json.loads(connection.getresponse().read())
    callbacks = {kind: next(one for one in known if output in one["output"]) for kind, output in KINDS.items()}
    Person(server.port, callbacks, -1, 0, 0.0).change()  # the first request of all loads libraries
    before, began = server.cpu_seconds(), time.monotonic()
    crowd = [Person(server.port, callbacks, seed, began + seconds, think) for seed in range(people)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    spent = time.monotonic() - began
    print(f"{people} people for {spent:.0f} s, thinking for {think:g} s")
    print(f"server: {server.cpu_seconds() - before:.1f} CPU s without what its helper used")
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")
    for kind in KINDS:
        times = np.array([t for one in crowd for t in one.seconds[kind]])
        if not times.size:
            continue
        p50, p95 = 1000 * np.percentile(times, [50, 95])
        print(f"  {kind:10} {times.size:5} requests  p50 {p50:6.0f} ms  p95 {p95:6.0f} ms")
    errors = [error for one in crowd for error in one.errors]
    print(f"  errors: {len(errors)}" + (f", as {errors[0]}" if errors else ""))


_WATCH = """
const seen = window.seen = {};
(function look() {
  const now = performance.now();
  for (const [what, which] of [["answer", "#plan-answer .facts"], ["first chart", "#plan-loss .trace"]])
    if (!seen[what] && document.querySelector(which)) seen[what] = now;
  requestAnimationFrame(look);
})();
"""  # at every frame: what is there then is painted with it


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; None where there is none on this machine."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    flags = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
    flags = (*flags, "disable-component-update", "disable-sync")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[f"--{flag}" for flag in flags])
        yield browser
        browser.close()


def browse(server: Server, browser: Any) -> None:  # noqa: ANN401
    """One person with a browser."""
    home = f"http://127.0.0.1:{server.port}/"
    opened: dict[str, list[float]] = defaultdict(list)
    for _ in range(4):
        page = browser.new_page(viewport={"width": 1360, "height": 1400})
        page.add_init_script(_WATCH)
        page.goto(home)
        page.wait_for_selector("#plan-loss .trace")
        page.wait_for_timeout(300)
        for what, value in page.evaluate("seen").items():
            opened[what].append(value)
        opened["load event"].append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        page.close()
    page = browser.new_page(viewport={"width": 1360, "height": 1400})
    page.goto(home)
    page.wait_for_selector("#plan-loss .trace")
    page.wait_for_timeout(1000)
    moved: dict[str, list[float]] = defaultdict(list)
    for _ in range(12):
        for what, value in page.evaluate(_MOVE).items():
            moved[what].append(value)
        page.wait_for_timeout(600)
    page.close()
    for title, found in (("opened", opened), ("slider", moved)):
        for what, times in found.items():
            print(
                f"  {title}: {what:12} {min(times):5.0f} ms at best, {np.median(times):5.0f} ms median, of {len(times)}"
            )


_MOVE = """async () => {
  const slider = document.querySelector("#plan-budget-slider");
  const words = () => document.querySelector("#plan-answer .facts").textContent;
  const graph = document.querySelector("#plan-loss .js-plotly-plot");
  const before = words();
  let drawn = 0;
  graph.scrollIntoView();
  graph.on("plotly_afterplot", () => { drawn = drawn || performance.now(); });
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const began = performance.now();
  set.call(slider, parseFloat(slider.value) + 0.05);
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  let said = 0;
  while ((!said || !drawn) && performance.now() - began < 5000) {
    if (!said && words() !== before) said = performance.now();
    await new Promise((done) => requestAnimationFrame(done));
  }
  graph.removeAllListeners("plotly_afterplot");
  return { answer: said - began, "loss chart": drawn - began };
}"""


def picture(server: Server, browser: Any, folder: Path, table: Path, study: str) -> None:  # noqa: ANN401
    """A picture of each tab, and of the first on a telephone in the dark."""

    def shoot(name: str, path: str, ready: str, *, width: int = 1280, height: int = 1500, theme: str = "light") -> None:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        page.goto(f"http://127.0.0.1:{server.port}{path}")
        if name == "fit":
            page.set_input_files("#fit-upload", table)
            page.click("#fit-begin:not([disabled])", timeout=60_000)
            page.wait_for_selector("#fit-results h2", timeout=120_000)
            page.evaluate("document.querySelector('#fit-results').scrollIntoView()")
        page.wait_for_selector(ready, timeout=120_000)
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / f"page-{name}.png")
        page.close()

    shoot("plan", "/plan", "#plan-sizes .trace", height=2500)
    shoot("phone", "/plan", "#plan-table table", width=390, height=1500, theme="dark")
    shoot("law", "/law", "#law-sizes .trace")
    shoot("fit", "/fit?form=peaked-tokens&holdout=student_loss+%3C%3D+2.5&resamples=200", "#fit-extrapolation .trace")
    shoot("study", f"/study?study={study}", "#study-losses .trace", height=1900)
    for path in folder.glob("page-*.png"):  # a quarter of the size, and no difference to see
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Measure, or take pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--think", type=float, default=2.0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--studies", type=Path, default=Path("studies"))
    parser.add_argument("--study", default="studies/tiny")
    given = parser.parse_args()
    words = ("--studies", str(given.studies)) if given.pictures else ()
    with Server(*words) as server, chromium() as browser:
        if given.pictures:
            assert browser is not None, "no Chromium on this machine"
            picture(server, browser, given.pictures, Path("studies/tiny/runs.csv"), given.study)
            return
        load(server, given.people, given.seconds, given.think)
        if browser is None:
            print("no Chromium on this machine: times in a browser are not measured")
        else:
            browse(server, browser)
    print(f"peak memory of the server: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
