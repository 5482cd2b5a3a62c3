"""What a study says: plain sentences and tables, for the terminal (rich) and as markdown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group

from distlaw.evidence import (
    AgainstSupervised,
    CannotSay,
    CapacityGap,
    Choices,
    Duel,
    Evidence,
    Extrapolation,
    ExtraTerm,
    FormScores,
    SeedNoise,
    TokenWorths,
)
from distlaw.report.layout import ALWAYS, Column, FittedTable, Prose, new_table
from distlaw.runs import counted, format_quantity

if TYPE_CHECKING:
    from distlaw.sweep.adaptive import Choices as RunChoices

_MOST_DISAGREEMENTS = 10
_TERMS = {"teacher_params": "size", "teacher_tokens": "tokens"}
_EFFECTS = {
    "student_params": "student size",
    "student_tokens": "student tokens",
    "lead": "teacher's lead q",
    "lead squared": "q squared",
}


@dataclass(frozen=True)
class Sheet:
    """A table that is not yet of any kind."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Answer:
    """A question, its answer in sentences, and the tables behind it."""

    question: str
    sentences: list[str]
    sheets: list[Sheet]


def evidence_tables(evidence: Evidence, choices: "RunChoices | None" = None) -> Group:
    """Every question with its answer and tables, for a terminal; `choices` are those of an adaptive study."""
    parts: list[Prose | FittedTable] = [Prose(evidence_head(evidence))]
    for section in evidence_answers(evidence, choices):
        parts += [Prose("", section.question, style="bold"), Prose(*section.sentences)]
        for sheet in section.sheets:
            first, *others = sheet.columns
            table = new_table(sheet.title, first, Column(others[0], ALWAYS), *others[1:])
            for row in sheet.rows:
                table.add_row(*row)
            parts += [Prose(""), table]
    return Group(*parts)


def evidence_markdown(
    evidence: Evidence, *, title: str = "What the study says", choices: "RunChoices | None" = None
) -> str:
    """The same as a markdown page: each question, the answer in sentences, and the tables behind it."""
    lines = [f"# {title}", "", evidence_head(evidence)]
    for section in evidence_answers(evidence, choices):
        lines += ["", f"## {section.question}", "", " ".join(section.sentences)]
        for sheet in section.sheets:
            lines += ["", f"*{sheet.title}*", ""]
            lines += [_line(sheet.columns), "|---" + "|---:" * (len(sheet.columns) - 1) + "|"]
            lines += [_line(row) for row in sheet.rows]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def evidence_head(e: Evidence) -> str:
    """How distilling fared against supervised training, what was examined, and how numbers are to be read."""
    distilled = e.cells.distilled
    alone, taught = (counted(int(kind.sum()), "cell") for kind in (~distilled, distilled))
    return (
        f"{_fared(e.against)} {counted(e.runs, 'run')}: {e.supervised_runs} supervised in {alone} of equal size and"
        f" tokens, {e.distilled_runs} distilled in {taught} of equal student and teacher; runs of a cell differ in"
        " their seed. Losses are in nats per token, intervals are 90 %, errors are relative."
    )


def _fared(found: AgainstSupervised | CannotSay) -> str:
    """One sentence: who was ahead, at equal tokens and with the teacher paid for."""
    if isinstance(found, CannotSay):
        return f"Whether distilling beats supervised training cannot be said: {found.because}."
    parts = [
        f"{x.distilled_ahead} of {counted(len(x.duels), 'cell')} with {basis} (behind in {x.supervised_ahead})"
        for basis, x in found.comparisons.items()
        if not isinstance(x, CannotSay)
    ]
    if not parts:
        return "Whether distilling beats supervised training cannot be said from these runs."
    return f"Distilled students were ahead of supervised training beyond noise in {', '.join(parts)}."


def evidence_answers(e: Evidence, choices: "RunChoices | None" = None) -> Iterator[Answer]:
    """Every question with its answer; `choices` are those of an adaptive study."""
    if choices is not None:
        yield _saved(choices)
    yield _noise(e.noise)
    yield _supervised(e)
    yield _extrapolation(e.extrapolation)
    yield _forms(e.forms)
    yield _through_loss(e.through_loss)
    yield _token_worth(e.token_worth)
    yield _capacity_gap(e.capacity_gap)
    yield _against(e.against)
    yield _choices(e.choices)


def _saved(found: "RunChoices") -> Answer:
    why = {"known": "the target was known well enough", "budget": "the budget was spent"}
    why |= {"nothing left": "nothing was left to run", "": "it was stopped; it is not done"}
    last = found.rounds[-1]
    known = (
        "" if last.deviation is None else f" The target is put at {last.prediction:.4f} ± {last.deviation:.4f} nats."
    )
    sentences = [
        f"{counted(last.done, 'run')} for {found.flops:.3g} FLOPs, {1 - found.flops / found.all_flops:.0%} less than"
        f" the full grid of {found.all_flops:.3g}; it ended since {why[found.reason]}.{known}"
    ]
    rows = [
        (
            str(number),
            str(step.done),
            f"{step.flops:.3g}",
            "-" if step.prediction is None else f"{step.prediction:.4f}",
            "-" if step.deviation is None else f"{step.deviation:.4f}",
            str(step.chosen),
        )
        for number, step in enumerate(found.rounds, start=1)
    ]
    columns = "batch", "runs done", "FLOPs", "target, nats", "deviation", "chosen next"
    return Answer("What did choosing runs save?", sentences, [Sheet("Batches", columns, rows)])


def _noise(found: SeedNoise | CannotSay) -> Answer:
    question = "How far do seeds scatter?"
    if isinstance(found, CannotSay):
        return _cannot(question, found)
    pooled = found.pooled
    sentences = [
        "Losses of runs that differ in their seed alone have a relative standard deviation of"
        f" {_percent(pooled.relative_std)} ({_between(pooled.interval, _percent)};"
        f" {counted(pooled.freedom, 'degree of freedom', 'degrees of freedom')} in {counted(pooled.cells, 'cell')})."
    ]
    if isinstance(found.exponent, CannotSay):
        sentences.append(f"How it changes with tokens cannot be said: {found.exponent.because}.")
    else:
        words = "It changes with tokens" if found.varies else "No change with tokens is seen beyond chance"
        where = f"{_percent(found.reference_std)} at {format_quantity(found.reference_tokens)} tokens"
        law = f"std ~ D^{found.exponent:.2f} ({_between(found.exponent_interval, '.2f')})"
        sentences.append(f"{words}: {law}, {where}.")
    rows = [
        (kind, _percent(s.relative_std), _between(s.interval, _percent), str(s.freedom), str(s.cells))
        for kind, s in found.kinds.items()
    ]
    columns = "runs", "relative std", "90 % interval", "degrees of freedom", "cells"
    return Answer(question, sentences, [Sheet("Seed noise by kind of run", columns, rows)])


def _supervised(e: Evidence) -> Answer:
    question = "What is the supervised law (eq. 1)?"
    if isinstance(e.supervised, CannotSay):
        return _cannot(question, e.supervised)
    rows = [(name, f"{value:.4g}", _between(ends, ".4g")) for name, (value, ends) in e.supervised.items()]
    sentences = ["L(N, D) = E + (A / N^alpha + B / D^beta)^gamma, fitted to all supervised runs."]
    return Answer(question, sentences, [Sheet("Coefficients", ("coefficient", "value", "90 % interval"), rows)])


def _extrapolation(found: Mapping[str, Extrapolation | CannotSay]) -> Answer:
    question = "Do laws of the weaker runs predict the stronger ones?"
    sentences, rows = [], []
    told = {form: x for form, x in found.items() if isinstance(x, Extrapolation)}
    if "supervised" in told:
        sentences.append(_reach("The supervised law", [told["supervised"]]))
    if taught := sorted((x for form, x in told.items() if form != "supervised"), key=lambda x: x.mean_error):
        sentences.append(_reach("Distillation laws", taught))
    sentences += [f"{form}: cannot say, because {x.because}." for form, x in found.items() if isinstance(x, CannotSay)]
    for form, x in told.items():
        rows.append(
            (
                form,
                str(x.fitted_runs),
                f"{x.held_out_cells} / {x.held_out_runs}",
                f"{_percent(x.mean_error)} ({_between(x.interval, _percent)})",
                _percent(x.max_error),
                f"{100 * x.bias:+.2f} %",
                f"{_percent(x.run_mean_error)} / {_percent(x.run_max_error)}",
                f"{x.coverage:.0%}",
                x.status,
            )
        )
    columns = "law", "fitted runs", "cells / runs out", "mean error", "largest", "bias", "by run", "in 90 %", "fit"
    title = "Laws on runs of several times the compute of any they saw"
    return Answer(question, sentences, [Sheet(title, columns, rows)] if rows else [])


def _reach(what: str, laws: list[Extrapolation]) -> str:
    """How far one law, or the best and the worst of several on the same split, were off."""
    x = laws[0]
    floor = "" if np.isnan(x.noise_error) else f"; seed noise alone would make {_percent(x.noise_error)}"
    text = (
        f"{what}, fitted up to {x.fitted_compute:.3g} FLOPs and asked for {counted(x.held_out_cells, 'cell')} of"
        f" {x.times:g} to {x.largest_times:.3g} times that: off by"
    )
    if len(laws) > 1:
        first, last = (f"{_percent(law.mean_error)} ({law.form})" for law in (x, laws[-1]))
        return f"{text} {first} to {last} on average{floor}."
    error = f"{_percent(x.mean_error)} on average ({_between(x.interval, _percent)})"
    return f"{text} {error}, {_percent(x.max_error)} at most{floor}."


def _forms(found: Mapping[str, FormScores | CannotSay]) -> Answer:
    question = "Which form of the distillation law predicts best out of sample?"
    sentences, sheets = [], []
    names = {"rolling": "the next tier of student compute kept out", "teacher": "one teacher kept out"}
    for kind, x in found.items():
        what = names[kind]
        if isinstance(x, CannotSay):
            sentences.append(f"With {what}: cannot say, because {x.because}.")
            continue
        best = x.scores[0]
        than = {
            "better": "better than",
            "worse": "worse than",
            "no difference": "not told apart from",
            "no verdict": "not judged against",
        }[best.verdict]
        if best.form == x.against:
            against = "what the others are measured against"
        else:
            gain = f"by {_points(best.gain)}, {_between(best.gain_interval, _points)}"
            gain = f"{counted(x.count, 'fold')} tells nothing of others" if best.verdict == "no verdict" else gain
            against = f"{than} {x.against} ({gain})"
        sentences.append(
            f"With {what} ({counted(x.count, 'fold')}, {counted(x.runs, 'run')}): {best.form},"
            f" {_percent(best.mean_error)} on average,"
            f" {against}."
        )
        rows = [
            (
                s.form,
                str(s.coefficients),
                _percent(s.mean_error),
                _percent(s.max_error),
                _points(s.gain),
                _between(s.gain_interval, _points),
                s.verdict,
                s.status,
            )
            for s in x.scores
        ]
        columns = "form", "free", "mean error", "largest", "gain", "90 % interval", "verdict", "fit"
        title = f"Held-out errors, {what}; gains on {x.against} in points of per cent"
        sheets.append(Sheet(title, columns, rows))
    return Answer(question, sentences, sheets)


def _through_loss(found: Mapping[str, ExtraTerm | CannotSay]) -> Answer:
    question = "Do a teacher's size and tokens act through its loss alone?"
    says = {
        "holds": "nothing beyond what its loss does",
        "does not hold": "something beyond what its loss does",
        "undecided": "undecided whether anything beyond what its loss does",
    }
    sentences, rows = [], []
    for term, x in found.items():
        word = _TERMS[term]
        if isinstance(x, CannotSay):
            sentences.append(f"Teacher's {word}: cannot say, because {x.because}.")
            continue
        doubled = [100 * (2**b - 1) for b in (x.exponent, *x.interval)]
        sentences.append(
            f"Teacher's {word}: {says[x.verdict]}. At equal teacher loss, twice the {word} changes the student's loss"
            f" by {doubled[0]:+.2f} % ({doubled[1]:+.2f} to {doubled[2]:+.2f} %), where one seed is worth"
            f" {_percent(x.noise)}; added to {x.form}, the term takes the error on teachers"
            f" kept out from {_percent(x.error_without)} to {_percent(x.error_with)}"
            f" (gain {_between(x.gain_interval, _points)} points)."
        )
        rows.append(
            (
                term,
                str(x.teachers),
                f"{np.expm1(x.spread):.0%}",
                f"{x.exponent:+.4f} ({_between(x.interval, '+.4f')})",
                f"{x.residual_slope:+.4f} ({_between(x.residual_interval, '+.4f')})",
                _points(x.gain),
                x.verdict,
            )
        )
    columns = (
        "term",
        "teachers",
        "spread",
        "exponent",
        "slope of residuals",
        "gain, points",
        "loss says it all",
    )
    title = "A factor x^b on the student's loss; spread: of x between teachers of equal loss"
    return Answer(question, sentences, [Sheet(title, columns, rows)] if rows else [])


def _token_worth(found: TokenWorths | CannotSay) -> Answer:
    question = "What is a distilled token worth, and is that one number?"
    if isinstance(found, CannotSay):
        return _cannot(question, found)
    sentences, sheets, x = [], [], found.constancy
    if isinstance(x, CannotSay):
        sentences.append(f"Whether kappa is one number cannot be said: {x.because}.")
    else:
        says = {
            "holds": "It is one number, as far as these runs tell",
            "does not hold": "It is not one number",
            "undecided": "Whether it is one number is undecided",
        }
        sentences = [
            f"A distilled token is worth {x.kappa:.2f} supervised ones ({_between(x.interval, '.2f')}), the mean of"
            f" {x.cells} cells whose teacher is well ahead of the student.",
            f"{says[x.verdict]} (p = {x.p_value:.2g} for no effect of size, tokens or teacher; cells scatter"
            f" {x.scatter:.2f} times as much about the regression as seed noise explains).",
        ]
        rows = [
            (_EFFECTS[name], f"{v.exponent:+.3f}", _between(v.interval, "+.3f"), f"{v.change:.2f}x")
            for name, v in x.effects.items()
        ]
        columns = "quantity", "exponent of kappa", "90 % interval", "over the cells"
        sheets.append(Sheet("What kappa changes with, in one regression of log kappa", columns, rows))
    rows = [
        (
            format_quantity(c.student_params),
            format_quantity(c.student_tokens),
            f"{c.teacher_loss:.3f}",
            f"{c.lead:.2f}",
            f"{c.kappa:.2f}" if np.isfinite(c.kappa) else "not reached",
            _between(c.interval, ".2f"),
            c.method,
            "yes" if c.held_back else "",
        )
        for c in found.cells
    ]
    columns = "student", "tokens", "teacher loss", "lead q", "kappa", "90 % interval", "curve", "held back"
    title = "Kappa, cell by cell; curve: how the supervised loss at kappa D tokens is known"
    return Answer(question, sentences, [*sheets, Sheet(title, columns, rows)])


def _capacity_gap(found: CapacityGap | CannotSay) -> Answer:
    question = "Does a stronger teacher make a worse student (the capacity gap)?"
    if isinstance(found, CannotSay):
        return _cannot(question, found)
    having = [s for s in found.students if s.verdict == "holds"]
    lacking = sum(s.verdict == "does not hold" for s in found.students)
    says = {"holds": "Yes", "does not hold": "No", "undecided": "Undecided"}[found.verdict]
    sentences = [
        f"{says}: beyond seed noise for {len(having)} of {len(found.students)} students, ruled out for {lacking},"
        f" undecided for {len(found.students) - len(having) - lacking}; the clearest has p = {found.adjusted:.2g} after"
        " correction for the number of students."
    ]
    if having:
        s = max(having, key=lambda s: s.interval[0])
        sentences.append(
            f"Clearest: {format_quantity(s.student_params)} on {format_quantity(s.student_tokens)} tokens is best under"
            f" the teacher of {s.best_teacher_loss:.3f} nats and {s.rise:.3f} nats"
            f" ({_between(s.interval, '.3f')}) worse under that of {s.strongest_teacher_loss:.3f}; one seed is worth"
            f" {s.noise:.3f} nats."
        )
    rows = [
        (
            format_quantity(s.student_params),
            format_quantity(s.student_tokens),
            f"{s.teachers} / {s.runs}",
            f"{s.best_teacher_loss:.3f}",
            f"{s.strongest_teacher_loss:.3f}",
            f"{s.rise:.4f}",
            _between(s.interval, "+.4f"),
            f"{s.p_value:.2g}",
            f"{s.noise:.4f}",
            s.verdict,
        )
        for s in found.students
    ]
    columns = ("student", "tokens", "teachers / runs", "best teacher", "strongest", "rise, nats", "90 % interval", "p")
    title = "Loss under the strongest teacher less that under the best one"
    return Answer(question, sentences, [Sheet(title, (*columns, "seed noise", "gap"), rows)])


def _against(found: AgainstSupervised | CannotSay) -> Answer:
    question = "When does distilling beat supervised training, and do the laws say so?"
    if isinstance(found, CannotSay):
        return _cannot(question, found)
    sentences, rows, sheets = [], [], []
    for basis, x in found.comparisons.items():
        if isinstance(x, CannotSay):
            sentences.append(f"At {basis}: cannot say, because {x.because}.")
            continue
        clear = x.distilled_ahead + x.supervised_ahead
        sentences.append(
            f"With {basis}, the distilled student was ahead beyond noise in {x.distilled_ahead} of {len(x.duels)}"
            f" cells, behind in {x.supervised_ahead}; the law ({found.form}, without the cell's teacher) agrees in"
            f" {x.agreed} of these {clear}."
        )
        rows.append((basis, str(x.distilled_ahead), str(x.supervised_ahead), str(x.unclear), f"{x.agreed} / {clear}"))
        if x.disagreed:
            shown = x.disagreed[:_MOST_DISAGREEMENTS]
            more = f", {len(shown)} of {len(x.disagreed)}" if len(shown) < len(x.disagreed) else ""
            sheets.append(_disagreements(f"Where runs and law disagree, {basis}{more}", shown))
    crossings = [c for c in found.crossings if c.status == "crosses"]
    if found.crossings:
        sentences.append(
            f"Of {len(found.crossings)} pairs of student and teacher with several numbers of tokens,"
            f" {len(crossings)} are overtaken by supervised training within the range that was run."
        )
    columns = "at", "distilled ahead", "supervised ahead", "within noise", "law agrees"
    summary = [Sheet("Distilled cells against supervised training of their student", columns, rows)] if rows else []
    if crossings:
        sheets.append(
            Sheet(
                "Student tokens at which supervised training overtakes",
                ("at", "student", "teacher loss", "measured", "90 % interval", "law"),
                [
                    (
                        c.basis,
                        format_quantity(c.student_params),
                        f"{c.teacher_loss:.3f}",
                        format_quantity(c.at),
                        _between(c.interval, format_quantity),
                        format_quantity(c.predicted) if 0 < c.predicted < np.inf else "none",
                    )
                    for c in crossings
                ],
            )
        )
    return Answer(question, sentences, summary + sheets)


def _choices(found: Choices | CannotSay) -> Answer:
    question = "Which teacher does the planner choose, and what does its choice cost?"
    if isinstance(found, CannotSay):
        return _cannot(question, found)
    right = sum(c.regret["planner"] == 0 for c in found.choices)
    costs = ", ".join(
        f"{policy} {found.mean_regret[policy]:.4f} ({_between(found.intervals[policy], '.4f')})"
        for policy in found.mean_regret
    )
    sentences = [
        f"Asked for a student of a size that its law ({found.form}) has not seen, with the study's teachers or none to"
        f" choose from at equal tokens, the planner takes the best one for {right} of {len(found.choices)} students.",
        f"Mean loss above that of the best choice, in nats, by rule: {costs}.",
    ]
    rows = [
        (
            format_quantity(c.student_params),
            format_quantity(c.student_tokens),
            str(c.teachers),
            _teacher(c.chosen),
            _teacher(c.best),
            f"{c.predicted:.4f}",
            f"{c.loss:.4f}",
            f"{c.best_loss:.4f}",
            _between(c.interval, "+.4f"),
        )
        for c in found.choices
    ]
    columns = ("student", "tokens", "teachers", "chosen", "best", "promised", "came", "best came", "regret, 90 %")
    return Answer(question, sentences, [Sheet("Teachers by their loss, students by theirs, nats", columns, rows)])


def _teacher(loss: float) -> str:
    return "none" if np.isnan(loss) else f"{loss:.3f}"


def _disagreements(title: str, duels: tuple[Duel, ...]) -> Sheet:
    columns = "student", "tokens", "teacher loss", "supervised tokens", "lead, nats", "90 % interval", "law says"
    rows = [
        (
            format_quantity(d.student_params),
            format_quantity(d.student_tokens),
            f"{d.teacher_loss:.3f}",
            f"{format_quantity(d.supervised_tokens)} ({d.method})",
            f"{d.lead:+.4f}",
            _between(d.interval, "+.4f"),
            f"{d.predicted_lead:+.4f}",
        )
        for d in duels
    ]
    return Sheet(title, columns, rows)


def _cannot(question: str, found: CannotSay) -> Answer:
    return Answer(question, [f"Cannot say, because {found.because}."], [])


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.2f} %"


def _points(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:+.2f}"


def _between(ends: tuple[float, float], shown: object) -> str:
    """An interval; `shown` is a format or a function."""
    if np.isnan(ends).any():
        return "-"
    low, high = (("inf" if np.isinf(v) else shown(v) if callable(shown) else f"{v:{shown}}") for v in ends)
    return f"{low} to {high}"
