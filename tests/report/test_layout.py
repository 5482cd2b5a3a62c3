"""Tables fit the width that they are printed at: the rule, and every table of the package."""

import inspect
import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table

from distlaw.apps.cli import main
from distlaw.costs import Bill
from distlaw.laws import published
from distlaw.report import evidence_tables, fit_tables, plan_tables, study_tables, tables
from distlaw.report.layout import ALWAYS, DETAIL, Column, FittedTable, Prose, new_table
from distlaw.sweep.adaptive import Choices, Round
from distlaw.sweep.outlook import Outlook, Share
from distlaw.sweep.status import Active, Status

WIDTHS = 80, 120


def printed(what, width):
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(what)
    return file.getvalue()


def assert_fits(text, width):
    for line in text.splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip()
        assert "…" not in line


def without_spaces(text):
    return "".join(text.split())


# --- the rule ---------------------------------------------------------------------------------------------------------


def wide_table():
    table = new_table(
        "A title",
        "what it is",
        Column("the answer in nats", ALWAYS),
        "usual one",
        Column("why", DETAIL, words=True),
        Column("a detail", DETAIL),
        "usual two",
        caption="a caption",
    )
    table.add_row(
        "first", "2.1348", "12.5 to 13.5", "for no reason that is known to anybody", "0.001", "300M", style="bold"
    )
    table.add_row("second", "2.2", "-", "-", "-", "-")
    return table


def test_what_fits_is_shown_whole():
    assert printed(wide_table(), 120).splitlines() == [
        "A title",
        "",
        "what it is  the answer in nats     usual one  why                                     a detail  usual two",
        "─" * 105,
        "first                   2.1348  12.5 to 13.5  for no reason that is known to anybody     0.001       300M",
        "second                     2.2             -  -                                              -          -",
        "",
        "a caption",
    ]


def test_headers_are_broken_before_columns_are_left_out():
    assert printed(wide_table(), 84).splitlines()[2:7] == [
        "what    the answer                                                          a  usual",
        "it is      in nats     usual one  why                                  detail    two",
        "─" * 84,
        "first       2.1348  12.5 to 13.5  for no reason that is known to        0.001   300M",
        "                                  anybody",
    ]


def test_the_least_important_go_first_and_are_named():
    found = []
    for width in range(20, 100):
        text = printed(wide_table(), width)
        assert_fits(text, width)
        assert "2.1348" in text
        named = " ".join(text.split()).partition(f"Left out at {width} columns: ")[2].partition(". A wider")[0]
        if named not in found:
            found.append(named)
    in_order = ["usual one, why, a detail, usual two", "why, a detail, usual two", "why, a detail", "a detail", ""]
    assert found == in_order


def test_a_long_name_is_broken_and_never_cut():
    table = new_table("Runs", "run", Column("loss", ALWAYS), "tokens")
    table.add_row("/a/long/path/" + "x" * 100, "2.5", "3B")
    for width in (24, 40, 80):
        text = printed(table, width)
        assert_fits(text, width)
        assert text.count("x") == 100
        assert "2.5" in text


def test_cells_titles_and_notes_are_no_markup():
    table = new_table("[red]title", "[bold]name", Column("x", ALWAYS), caption="[a] note")
    table.add_row("[/x] :smile:", "[red]1")
    text = printed(Group(table, Prose("[b] sentence")), 80)
    for part in ("[red]title", "[bold]name", "[/x] :smile:", "[red]1", "[a] note", "[b] sentence"):
        assert part in text


cells = st.text(alphabet="ab .漢", max_size=12).map(str.strip)


@st.composite
def some_tables(draw):
    n = draw(st.integers(1, 8))
    names = draw(st.lists(st.text(alphabet="abc ", max_size=20).map(str.strip), min_size=n, max_size=n))
    columns = [Column(name, draw(st.integers(0, 3)), draw(st.booleans())) for name in names]
    table = new_table(draw(cells), *columns, caption=draw(st.none() | cells))
    for _ in range(draw(st.integers(0, 4))):
        table.add_row(*draw(st.lists(cells, min_size=n, max_size=n)), end_section=draw(st.booleans()))
    return table, columns


@given(some_tables(), st.integers(20, 160))
def test_any_table_fits(made, width):
    table, columns = made
    text = printed(table, width)
    assert_fits(text, width)
    names = new_table("", columns[0])
    for cell in table.columns[0].cells:
        names.add_row(cell)
    shown = without_spaces(printed(names, width))
    assert shown.endswith("".join(without_spaces(cell.plain) for cell in table.columns[0].cells))
    assert "Left out" not in printed(table, 1000)


# --- every table of the package ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_command(tmp_path_factory):
    """The tables that a command prints."""
    folder = tmp_path_factory.mktemp("tables")
    law = published("besiroglu2024").supervised
    runs, taught, profiles = folder / "runs.csv", folder / "taught.csv", folder / "profiles.csv"
    sizes = [(n, d) for n in (1e8, 3e8, 1e9, 3e9) for d in (2e9, 1e10, 5e10, 2e11)]
    runs.write_text("N,D,L\n" + "\n".join(f"{n},{d},{law.loss(n, d)}" for n, d in sizes))
    spent = [(n * f, c / (6 * n * f)) for c, n in ((1e19, 3e8), (1e20, 1e9)) for f in (0.25, 0.5, 1, 2, 4)]
    profiles.write_text("N,D,L\n" + "\n".join(f"{n},{d},{law.loss(n, d)}" for n, d in spent))
    peaked = published("busbridge2025-peaked").law
    distilled = [(n, r * n, t) for n in (1e8, 3e8, 1e9, 3e9) for r in (10, 40) for t in (1.9, 2.1, 2.4, 2.8)]
    taught.write_text(
        "N_S,D_S,L_T,L_S\n" + "\n".join(f"{n},{d},{t},{peaked.student_loss(n, d, t)}" for n, d, t in distilled)
    )
    candidates, teachers = folder / "next.csv", folder / "teachers.csv"
    candidates.write_text("N_S,D_S,L_T,N_T\n1e9,2e10,1.95,3e9\n1e9,2e10,2.2,1e9\n3e9,6e10,2.6,3e8\n")
    teachers.write_text("name,params,loss\nours with a long name of thirty-six letters,3B,2.05\n")
    files = {p.stem: p for p in (runs, taught, profiles, candidates, teachers)}

    def run(words):
        found = []
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            shown = FittedTable.__rich_console__
            patch.setattr(
                FittedTable, "__rich_console__", lambda self, *rest: (found.append(self), shown(self, *rest))[1]
            )
            assert main([word.format(**files).replace("~", " ") for word in words.split()]) == 0
        return found

    return run


def record(name):
    return {
        "name": name,
        "student_params": 1e6,
        "student_tokens": 1e8,
        "epochs": 1.0,
        "student_loss": 2.5,
        "teacher_loss": 2.3,
        "evaluation": {"kl": 0.1234},
        "compute": 1e15,
        "cpu_seconds": 12.5,
    }


def outlook():
    share = Share(
        protocol="fixed-m students of every teacher",
        runs=1200,
        shared=300,
        teachers=12,
        flops=1.25e20,
        least_params=1.43e8,
        most_params=1.26e10,
        least_tokens=2.87e9,
        most_tokens=5.12e11,
    )
    counts = {"runs": 1200, "teachers": 12, "distilled": 900, "jobs": 300, "left_out": 3, "workers": 8}
    amounts = {"flops": 1.25e20, "flops_shared": 1e20, "core_hours": 1234.5, "hours": 12.3}
    bill = Bill(gpu_hours=7021.68, energy_kwh=5898.2, dollars=17554.2)
    return study_tables.outlook_table(Outlook(protocols=(share,), **counts, **amounts), study="a study", bill=bill)


def status():
    active = Active(
        what="15 students of teacher " + "t" * 12,
        owner="a-long-machine-name.of.a.cluster:12345",
        step=1200,
        steps=99000,
        tokens_per_second=123456.0,
    )
    found = SimpleNamespace(
        done=3, runs=9, flops=1.0, flops_done=0.3, active=[active], waiting=1, seconds_left=7200.0, stopping=True,
        failed=[("run 1", "a sentence that says at length what went wrong and in which file it did so")],
    )  # fmt: skip
    assert {*vars(found)} <= {*Status.__dataclass_fields__, *dir(Status)}
    return study_tables.status_table(found, study="a study")


def choices():
    rounds = (
        Round(done=12, flops=1e15, prediction=None, deviation=None, chosen=4),
        Round(done=16, flops=2e15, prediction=2.5, deviation=0.01, chosen=0),
    )
    return study_tables.choices_table(Choices(rounds=rounds, reason="known", flops=2e15, all_flops=9e15))


def evaluation():
    names = ("cross_entropy", "accuracy", "teacher_cross_entropy", "cross_entropy_teacher", "teacher_entropy", "kl")
    names += ("agreement", "ece", "ece_teacher", "ece_dist")
    found = dict.fromkeys(names, 0.5) | {"run": "runs/" + "r" * 90, "params": 1e6, "tokens": 100, "teacher": "t" * 90}
    return tables.evaluation_table(found)


def coordinates():
    slopes = {"block 1 residual": np.linspace(0, 1, 12), "logits": np.linspace(0, -1, 12)}
    found = SimpleNamespace(slopes=slopes, parametrisation="mup", passed=True, limit=0.1, margin_slope=0.01)
    return tables.coordinate_check_table(found)


FITS = "--starts 4 --bootstrap 8"
COMMANDS = {
    "plan_table": "plan --student-params 1B --compute 1e22 --accelerator h100 --serving-tokens 1B",
    "teachers_table": "teachers {teachers} --student-params 1B --compute 1e21",
    "crossover_table": "crossover --student-params 1B --target-loss 2.3",
    "prediction_table": "predict --student-params 1B --student-tokens 200B --teacher-params 7B --teacher-tokens 1T",
    "flops_table": "flops --layers 14 --tokens 1B --accelerator h100",
    "laws_table": "laws",
    "law_table": "laws busbridge2025-consistent",
    "accuracy_table": "check {taught}",
    "fit_table": f"fit {{runs}} --kind supervised --holdout student_loss<=2.35 {FITS}",
    "isoflop_table": "isoflop {profiles}",
    "comparison_tables": f"compare {{runs}} --kind supervised --fix gamma=1 {FITS}",
    "suggest_table": "suggest {taught} --candidates {next} --form peaked-tokens --supervised-law besiroglu2024"
    " --starts 4 --target verdict --batch 2 --at student_params=3B~student_tokens=100B~teacher_loss=2.1",
}
BUILT = {
    "records_table": lambda: tables.records_table([record("a"), record("b" * 60)], run="runs/students"),
    "evaluation_table": evaluation,
    "coordinate_check_table": coordinates,
    "outlook_table": outlook,
    "status_table": status,
    "choices_table": choices,
}


def test_no_table_is_forgotten():
    made = {
        name
        for module in (tables, plan_tables, study_tables, fit_tables, evidence_tables)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and function.__annotations__["return"] in (Table, FittedTable, Group, list[Table], list[FittedTable])
    }
    assert made == {*COMMANDS, *BUILT, "evidence_tables"}  # the last in test_evidence_tables.py


def assert_reads(table, width):
    """What names a row and what answers the question is there, whole, and no line is too wide."""
    text = printed(table, width)
    assert_fits(text, width)
    for number, column in enumerate(table._described):
        if number == 0 or column.priority == ALWAYS:
            assert all(word in text for word in column.name.split())
            shown = without_spaces(text)
            for cell in table.columns[number].cells:
                assert cell_len(cell.plain) > width // 3 or without_spaces(cell.plain) in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_tables_of_commands_read_at_both_widths(name, of_command):
    found = of_command(COMMANDS[name])
    assert found
    for table in found:
        for width in WIDTHS:
            assert_reads(table, width)


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("width", WIDTHS)
def test_other_tables_read_at_both_widths(name, width):
    made = BUILT[name]()
    assert_fits(printed(made, width), width)
    for table in made.renderables if isinstance(made, Group) else [made]:
        if isinstance(table, FittedTable):
            assert_reads(table, width)
