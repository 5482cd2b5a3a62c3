"""The report of a law: coefficients, where it was fitted, predictions, and the paper's figures drawn from it."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distlaw.fit.lawfile import FittedLaw
from distlaw.laws import PublishedLaw, StudentLaw, SupervisedLaw, optimal_teacher_loss
from distlaw.report.page import Page, Section, Table, table_of
from distlaw.report.paper import FIGURES, Scope, paper_figure
from distlaw.report.tables import accuracy_table, law_table, loss_text, size_text
from distlaw.runs import Runs, accuracy, accuracy_by_student, predict_runs

_TOKENS_PER_PARAM = (20.0, 200.0)
_QUANTITIES = {
    "student_params": "student parameters",
    "student_tokens": "student tokens",
    "teacher_params": "teacher parameters",
    "teacher_tokens": "teacher tokens",
    "teacher_loss": "teacher loss, nats per token",
}


def law_page(
    law: PublishedLaw,
    scope: Scope,
    *,
    name: str,
    runs: Runs | None = None,
    command: str = "",
    options: Sequence[str] = (),
) -> Page:
    """The report of a law.

    Args:
        law: The law.
        scope: Sizes, tokens and budgets of its figures.
        name: As the command finds it.
        runs: Runs to hold it against.
        command: What writes the report.
        options: Words that make the same scope and runs, for the commands of the figures.
    """
    sections = [
        Section(title="Coefficients", tables=(replace(table_of(law_table(law)), notes=()),)),
        Section(title="Where it was fitted", tables=(_range(law),)),
        *((Section(title="Before you trust it", points=law.cautions),) if law.cautions else ()),
        Section(
            title="Predictions",
            text=("The best teacher is the one that leaves the student the lowest loss, whatever it costs.",)
            if law.kind == "distillation"
            else (),
            tables=(_predictions(law, scope),),
        ),
    ]
    if runs is not None:
        sections.append(_held_against(law, runs))
    student_law = law.law
    if not isinstance(student_law, SupervisedLaw):
        sections += _figures(student_law, scope, name=name, runs=runs, options=options)
    return Page(
        title=f"Scaling law {law.name}",
        lead=(f"A {law.kind} law; {law.source}. Losses are in nats per token on its data ({law.data}).",),
        sections=tuple(sections),
        command=command,
    )


def _range(law: PublishedLaw) -> Table:
    rows = []
    for name, (low, high) in law.fitted_range.items():
        text = loss_text if name == "teacher_loss" else size_text
        rows.append((_QUANTITIES.get(name, name), text(low), text(high)))
    return Table(
        title="Fitted runs",
        columns=("quantity", "lowest", "highest"),
        rows=tuple(rows),
        notes=(f"N counts {law.size_convention}. Runs: {law.runs}. Beyond these ranges the law extrapolates.",),
    )


def _predictions(law: PublishedLaw, scope: Scope) -> Table:
    """Loss of each student alone and under its best teacher, with intervals where the law has resamples."""
    students = [(N, M * N) for N in scope.students for M in _TOKENS_PER_PARAM]
    N, D = (np.array(values) for values in zip(*students, strict=True))
    draws = law.draws if isinstance(law, FittedLaw) else None
    alone, teacher = law.supervised.loss(N, D), None
    columns = {
        "student": [size_text(n) for n in N],
        "tokens": [size_text(d) for d in D],
        "alone, nats": [loss_text(x) for x in alone],
    }
    if isinstance(law.law, SupervisedLaw):
        if isinstance(draws, SupervisedLaw):
            columns["90 % interval"] = _intervals(draws.loss(N[:, None], D[:, None]))
    else:
        teacher = optimal_teacher_loss(law.law, N, D, lowest=float(law.supervised.E))
        taught = law.law.student_loss(N, D, teacher)
        columns |= {
            "best teacher, nats": [loss_text(x) for x in teacher],
            "distilled, nats": [loss_text(x) for x in taught],
        }
        if draws is not None and not isinstance(draws, SupervisedLaw):
            columns["90 % interval"] = _intervals(draws.student_loss(N[:, None], D[:, None], teacher[:, None]))
        columns["gain, nats"] = [f"{x:+.4f}" for x in alone - taught]
    inside = scope.fitted(student_params=N, student_tokens=D)
    if teacher is not None:
        inside &= scope.fitted(teacher_loss=teacher)
    columns[""] = ["" if known else "extrapolated" for known in inside]
    return Table(
        title=f"Students of {' and '.join(f'{M:g}' for M in _TOKENS_PER_PARAM)} tokens per parameter",
        columns=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
    )


def _intervals(losses: NDArray[np.float64]) -> list[str]:
    """90 % intervals of losses of shape (students, resamples)."""
    return [f"{loss_text(low)} to {loss_text(high)}" for low, high in np.percentile(losses, [5, 95], axis=1).T]


def _held_against(law: PublishedLaw, runs: Runs) -> Section:
    if isinstance(law.law, SupervisedLaw):
        runs = runs.select(~runs.distilled)
    if not len(runs):
        return Section(
            title="Against runs", text=("The table has no supervised runs, and the law predicts no others.",)
        )
    predicted = predict_runs(law.law, runs)
    overall = accuracy(predicted, runs.student_loss)
    groups = accuracy_by_student(predicted, runs)
    return Section(title="Against runs", tables=(table_of(accuracy_table(overall, groups, law=law.name)),))


def _figures(
    law: StudentLaw, scope: Scope, *, name: str, runs: Runs | None, options: Sequence[str]
) -> Iterator[Section]:
    """The paper's figures, a section each; one that the runs do not suffice for says so."""
    for number, figure in FIGURES.items():
        if figure.runs == "always" and runs is None:
            continue
        command = ["distlaw", "report", "figure", str(number), "--law", name, *options]
        title = f"Figure {number}: {figure.title}"
        try:
            chart = paper_figure(
                number, law, scope, runs=runs, command=shlex.join([*command, "--out", f"figure-{number}.svg"])
            )
        except ValueError as error:
            yield Section(title=title, text=(f"Not drawn: {error}.",))
            continue
        yield Section(title=title, text=figure.about, charts=(chart,))
