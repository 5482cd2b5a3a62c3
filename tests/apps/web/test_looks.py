"""How the page looks in Chromium, at the widths of telephones and desks: what the browser measures is what is tested.

The measuring is in looks.js.
"""

from pathlib import Path

import pytest

from distlaw.apps.web.study_question import StudyQuestion

pytestmark = pytest.mark.slow

MEASURES = Path(__file__).with_name("looks.js").read_text(encoding="utf-8")
TABLES = ["Five ways to make the student, each at its best", "Verdicts"]  # which are whole on a desk


def measured(page, what, given=None):
    """What is wrong by a function of looks.js."""
    return page.evaluate(f"([what, given]) => {MEASURES.partition(chr(10))[2].strip()}[what](given)", [what, given])


def look_at_everything(visit, studies, table, widths):
    """All tabs at some widths; yields where one is once its charts are drawn."""
    lab, done, live = (
        "/study?" + StudyQuestion(study=f"{studies.name}/{name}").to_query()
        for name in ("labs/patience", "nested/done", "live")
    )
    for path, charts in (
        ("/plan", 5),
        ("/plan?law=file%3Amine.json&serving=1B&students=3&situation=teacher-pretraining-and-inference", 5),
        ("/law", 4),
        ("/law?law=besiroglu2024", 1),
        ("/fit?form=peaked-tokens&rests=busbridge2025&holdout=student_loss+%3C%3D+2.35&resamples=20", 2),
        (lab, 1),
        (done, 1),
        (live, 2),
    ):
        visit.page.set_viewport_size({"width": 1280, "height": 9000})
        page = visit.open(path)
        if path.startswith("/fit"):
            visit.upload("#fit-upload", "our runs.csv", table.read_bytes())
            page.click("#fit-begin:not([disabled])")
        for width in widths:
            page.set_viewport_size({"width": width, "height": 9000})
            page.wait_for_function(
                """([charts, width]) => {
                  const drawn = [...document.querySelectorAll(".js-plotly-plot")].filter((one) => one.offsetParent);
                  return window.innerWidth === width && drawn.length >= charts
                    && drawn.every((one) => one._fullLayout && one._fullLayout.width === one.clientWidth);
                }""",
                arg=[charts, width],
            )
            yield f"{path.split('?')[0]} at {width}", page


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True, ids=str)
def test_nothing_is_cut_or_overprinted(visit, studies, table):
    wrong = {}
    for where, page in look_at_everything(visit, studies, table, (390, 1280, 1400, 1600)):
        found = measured(page, "cut") + measured(page, "charts") + measured(page, "colours")
        if not where.endswith(" 390"):
            found += measured(page, "parts", TABLES)
        if found:
            wrong[where] = found
    assert not wrong, "\n".join(f"{where}: {what}" for where, found in wrong.items() for what in found)


def test_what_the_runs_say_comes_before_the_runs(visit, studies):
    page = visit.open("/study?" + StudyQuestion(study=f"{studies.name}/nested/done").to_query())
    page.wait_for_selector("#study-report h2")
    page.wait_for_selector("#study-losses .trace")
    tops = [
        page.locator(which).bounding_box()["y"]
        for which in ("#study-answer", "#study-report", "#study-losses", "#study-table")
    ]
    assert tops == sorted(tops)
