"""`distlaw report`: a page or a PDF of a law, a plan, a study or labs; and the paper's figures one by one."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from distlaw.apps.options import (
    Budget,
    FamilyOptions,
    Hardware,
    Limits,
    Quantity,
    ScenarioName,
    Sharing,
    TableOptions,
    WholeNumber,
    make_problem,
    planning_law,
    read_size,
    students_vocabulary,
    vocabulary_warnings,
)
from distlaw.apps.output import console, print_warnings
from distlaw.apps.plan_run import DEFAULT_SCENARIO, run_plan
from distlaw.costs import CostModel
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW, PublishedLaw
from distlaw.plan import read_teachers
from distlaw.runs import one_line, parse_quantity, require_folder

if TYPE_CHECKING:
    from distlaw.report.page import Page
    from distlaw.report.paper import Scope
    from distlaw.runs import Runs
    from distlaw.sweep.adaptive import Choices

report = App(name="report", help="One file to show around: a law, a plan, a study or labs as HTML or PDF, or a figure.")

_PAGES = (".html", ".pdf")
_FIGURES = (".png", ".svg", ".pdf", ".html", ".csv")


@report.command
def law(
    name: str = DEFAULT_LAW,
    /,
    *,
    out: Path,
    runs: Path | None = None,
    student_params: str | None = None,
    family: FamilyOptions | None = None,
    rows: TableOptions = TableOptions(),
) -> None:
    """Report a law: coefficients with intervals, where it was fitted, predictions, the paper's figures drawn from it.

    Args:
        name: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        out: File to write (.html or .pdf). The HTML needs nothing else and works offline.
        runs: Table of runs (.csv, .parquet or .jsonl) to hold the law against; with computes they say what a token
            costs, unless the family is given.
        student_params: Student sizes of the figures, with commas between, as 300M,1B,3B,10B; around the fitted ones by
            default.
    """
    _require(out, _PAGES)
    from distlaw.report.law_report import law_page

    found, table = find_law(name), None if runs is None else rows.read(runs)
    options = [*_words(runs=runs, student_params=student_params), *_words_of(family), *_words_of(rows)]
    page = law_page(
        found,
        _scope(found, table, student_params, family),
        name=name,
        runs=table,
        command=_command("law", name, *options, "--out", out),
        options=options,
    )
    _write(page, out)
    print_warnings([*found.cautions, *(table.warnings() if table else ())])


@report.command
def plan(
    *,
    student_params: str,
    out: Path,
    budget: Budget = Budget(),
    scenario: ScenarioName = DEFAULT_SCENARIO,
    teachers: Path | None = None,
    bytes_per_token: Quantity | None = None,
    law: str = DEFAULT_LAW,
    sharing: Sharing = Sharing(),
    limits: Limits = Limits(),
    family: FamilyOptions = FamilyOptions(),
    hardware: Hardware = Hardware(),
) -> None:
    """Report a plan, with the options of `distlaw plan`: the answer in words, the five options, loss over compute.

    Args:
        student_params: Student size without embeddings, such as 1B, or a Hugging Face config.json.
        out: File to write (.html or .pdf). The HTML needs nothing else and works offline.
        scenario: Your own situation, which the report answers first.
        teachers: Table of the teachers at hand, as `distlaw teachers` reads it: the answer is then about them.
        bytes_per_token: Mean bytes per token of the law's tokenizer on the law's data, for teachers with bits_per_byte.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
    """
    _require(out, _PAGES)
    from distlaw.report.plan_report import plan_page

    found, _ = planning_law(law)
    student, machine = read_size(student_params).at_context(family.context), hardware.machine()
    problem = make_problem(student, budget.as_goal(machine), limits, sharing, family)
    own = () if teachers is None else read_teachers(teachers, bytes_per_token=bytes_per_token, n_ctx=family.context)
    run = run_plan(
        found,
        problem,
        law=law,
        scenario=scenario,
        own=own,
        machine=machine,
        vocabulary=family.vocabulary,
        student_vocabulary=students_vocabulary(student, family),
        warnings=vocabulary_warnings(student, found, "student"),
    )
    words = _words(
        student_params=student_params,
        scenario=None if scenario == DEFAULT_SCENARIO else scenario,
        teachers=teachers,
        bytes_per_token=None if bytes_per_token is None else f"{bytes_per_token:.12g}",
        law=None if law == DEFAULT_LAW else law,
    )
    for group in (budget, sharing, limits, family, hardware):
        words += _words_of(group)
    _write(plan_page(run, command=_command("plan", *words, "--out", out)), out)
    print_warnings(run.warnings)


@report.command
def study(
    source: Annotated[str, Parameter(name="DIR")],
    *,
    out: Path,
    resamples: WholeNumber = 400,
    seed: int = 0,
    rows: TableOptions = TableOptions(),
) -> None:
    """Report a study: every question of `distlaw study report` with its answer, tables and charts, in one file.

    Args:
        source: Folder or URL of the study, or a table of runs (.csv, .parquet or .jsonl).
        out: File to write (.html or .pdf). The HTML needs nothing else and works offline.
        resamples: Of fits, and draws of seed noise, behind the intervals.
        seed: Of starts, resamples and draws.
    """
    _require(out, _PAGES)
    from distlaw.evidence import examine
    from distlaw.report.study_report import study_page

    try:
        runs, notes, about, choices = _studied(source, rows)
    except OSError as error:  # whatever a file system says, near or far
        reason = one_line(error.strerror or error, 200)
        raise ValueError(f"study '{one_line(source, 60)}' cannot be read ({reason})") from None
    tell = (lambda stage: print(stage, file=sys.stderr, flush=True)) if sys.stderr.isatty() else None
    found = examine(runs, seed=seed, resamples=resamples, progress=tell)
    words = _words(resamples=None if resamples == 400 else resamples, seed=seed or None)
    command = _command("study", source, *words, *_words_of(rows), "--out", out)
    _write(study_page(found, title=f"Study: {about}", command=command, choices=choices), out)
    print_warnings(notes)


@report.command
def labs(folder: Annotated[Path, Parameter(name="DIR")], *, out: Path) -> None:
    """Report labs that were run: the verdict on every claim, and each lab with its tables and charts.

    Args:
        folder: Folder of `distlaw lab all`, or of one lab.
        out: File to write (.html or .pdf). The HTML needs nothing else and works offline.
    """
    _require(out, _PAGES)
    from distlaw.labs.files import FINDINGS, read_outcome
    from distlaw.labs.registry import NAMES
    from distlaw.report.lab_report import labs_page

    require_folder(folder, "labs")
    places = [place for place in (folder, *(folder / name for name in NAMES)) if (place / FINDINGS).is_file()]
    if not places:
        raise ValueError(f"'{one_line(folder)}' has no {FINDINGS} of a lab, nor has a folder of a lab in it")
    _write(labs_page([read_outcome(place) for place in places], command=_command("labs", folder, "--out", out)), out)


@report.command
def figure(
    number: int,
    /,
    *,
    out: Path,
    law: str = DEFAULT_LAW,
    runs: Path | None = None,
    student_params: str | None = None,
    family: FamilyOptions | None = None,
    rows: TableOptions = TableOptions(),
) -> None:
    """Draw one of the paper's figures from any law, or write its data.

    Args:
        number: 1, 4, 5, 6, 7, 8, 9, 16, 17, 23, 26, 29, 33 or 34.
        out: File to write: .png, .svg or .pdf; .html, interactive; or .csv, the data.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        runs: Table of runs (.csv, .parquet or .jsonl) to show with the law, in figures 1, 4, 5, 16 and 17.
        student_params: Student sizes, with commas between, as 300M,1B,3B,10B; around the fitted ones by default.
    """
    _require(out, _FIGURES)
    from distlaw.report.page import Page, Section
    from distlaw.report.paper import FIGURES, paper_figure

    found, student_law = planning_law(law)
    table = None if runs is None else rows.read(runs)
    options = [*_words(law=law, runs=runs, student_params=student_params), *_words_of(family), *_words_of(rows)]
    command = _command("figure", number, *options, "--out", out)
    chart = paper_figure(number, student_law, _scope(found, table, student_params, family), runs=table, command=command)
    if out.suffix == ".csv":
        from distlaw.runs import written_whole

        with written_whole(out, "data") as temporary:
            temporary.write_text(chart.csv(), encoding="utf-8")
    elif out.suffix == ".html":
        about = FIGURES[number].about
        section = Section(title=f"Figure {number}, law {found.name}", text=about, charts=(chart,))
        _write(Page(title=chart.title, sections=(section,)), out, quiet=True)
    else:
        from distlaw.report.figures import save_figure
        from distlaw.report.matplotlib_charts import draw

        save_figure(draw(chart), out)
    console().print(f"Figure: {out}", markup=False, soft_wrap=True)
    print_warnings(table.warnings() if table else ())


def _studied(source: str, rows: TableOptions) -> tuple["Runs", list[str], str, "Choices | None"]:
    """Runs of a study or of a table, what was damaged, what the study is called, and how its runs were chosen."""
    if Path(source).is_file():
        runs = rows.read(Path(source))
        return runs, runs.warnings(), Path(source).name, None
    from distlaw.apps.commands.train import require_training

    require_training()
    from distlaw.sweep.adaptive import read_choices
    from distlaw.sweep.collect import collect_all
    from distlaw.sweep.drive import open_study
    from distlaw.sweep.state import State

    found, store = open_study(source)
    state = State(store=store).look()
    runs, notes = collect_all(found, state.records)
    notes = [*state.notes, *notes]
    return runs, notes, found.about or source, read_choices(store, notes.append)


def _scope(law: PublishedLaw, runs: "Runs | None", student_params: str | None, family: FamilyOptions | None) -> "Scope":
    from distlaw.report.paper import Scope

    sizes = None if student_params is None else [parse_quantity(part) for part in student_params.split(",")]
    costs = None if family is None else CostModel(forward_flops=family.family().forward_flops)
    return Scope.of(law, students=sizes, runs=runs, costs=costs)


def _require(out: Path, endings: Sequence[str]) -> None:
    """Check that a file can be written, before anything is computed.

    Raises:
        ValueError: Its ending is not known, its folder does not exist, or what it needs is not installed.
    """
    shown = one_line(out)
    if out.suffix not in endings:
        raise ValueError(f"--out '{shown}' must end in {', '.join(endings[:-1])} or {endings[-1]}")
    try:
        fits = out.parent.is_dir() and not out.is_dir()
    except OSError as error:  # a name that is too long
        raise ValueError(f"--out '{one_line(out, 60)}' cannot be written ({error.strerror})") from None
    if not fits:
        raise ValueError(f"--out '{shown}' is a folder, or its folder '{one_line(out.parent)}' does not exist")
    if out.suffix == ".html":
        from distlaw.report.html import require_plotly

        require_plotly()


def _write(page: "Page", out: Path, *, quiet: bool = False) -> None:
    if out.suffix == ".html":
        from distlaw.report.html import write_html

        write_html(page, out)
    else:
        from distlaw.report.pdf import write_pdf

        write_pdf(page, out)
    if not quiet:
        console().print(f"Report: {out}", markup=False, soft_wrap=True)


def _command(*words: object) -> str:
    return shlex.join(["distlaw", "report", *map(str, words)])


def _words(**options: object) -> list[str]:
    """Options as words of a command; those that are None are left out."""
    return [word for name, value in options.items() if value is not None for word in (_flag(name), str(value))]


def _words_of(group: Any) -> list[str]:  # noqa: ANN401
    """The options of a group that are not as by default."""
    found: list[str] = []
    for field in fields(group) if group is not None else ():
        value = getattr(group, field.name)
        if value != field.default:
            if isinstance(value, tuple):
                found += [word for one in value for word in (_flag(field.name), one)]
                continue
            text = f"{value:.12g}" if isinstance(value, float) else str(value)
            found += [_flag(field.name)] if value is True else [_flag(field.name), text]
    return found


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
