"""What the Fit tab shows: what columns mean, bad rows, runs, progress, and the fit."""

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from dash import dcc, html

from distlaw.apps.web.controls import Select
from distlaw.apps.web.elements import Content, aria, code, details, fact, facts, message, table
from distlaw.apps.web.fit_question import NONE, FitQuestion, mapped
from distlaw.apps.web.fit_work import Checked, Fitted
from distlaw.apps.web.frame import below
from distlaw.apps.web.laws import OWN
from distlaw.apps.web.shelf import Upload
from distlaw.apps.web.workers import Job
from distlaw.fit.described import fits_as_well
from distlaw.runs import RUN_COLUMNS, counted, format_quantity
from distlaw.runs.columns import match_columns


def columns_shown(upload: Upload, said: dict[str, str]) -> list[Content]:
    """What the columns mean, and the first rows."""
    try:
        mapped(upload.columns, said)
        problem = None
    except ValueError as error:
        problem = message(str(error))
        said = {name: text for name, text in said.items() if text in (*upload.columns, NONE)}
    automatic = {}
    for column in RUN_COLUMNS:
        with suppress(ValueError):  # two that may be meant: the user says which
            automatic |= match_columns(upload.columns, [column], {})
    choices = []
    for column in RUN_COLUMNS:
        found = automatic.get(column.name)
        options = {"": f"by its name: {found}" if found else "by its name: not there"}
        options |= {name: name for name in upload.columns}
        if not column.required:
            options[NONE] = "leave it out"
        label = column.name.replace("_", " ") + (" (needed)" if column.required else "")
        choices.append(Select(f"fit-column-{column.name}", label, said.get(column.name, ""), options))
    rows = [[str(number), *row] for number, row in enumerate(upload.preview, start=1)]
    missing = any(column.required and column.name not in automatic for column in RUN_COLUMNS)
    return [
        html.H2(f"{upload.name}: {upload.rows:,} rows"),
        *([problem] if problem else []),
        details("What the columns mean", html.Div(choices, className="grid"), open=missing or bool(said)),
        table(f"The first {len(rows)} rows", ["Row", *upload.columns], rows),
    ]


_ROW = re.compile(r": (?=row \d+(?:, column |: ))|; (?=row \d+(?:, column |: )|and \d+ more$)")


def problems_shown(text: str) -> list[Content]:
    """Why runs cannot be read or fitted, a line for each bad row."""
    file, *rows = _ROW.split(text)
    if len(rows) < 2:
        return [message(text)]
    listed = html.Ul([html.Li(row) for row in rows])
    return [
        html.Div([html.P(f"{file} has rows that cannot be used:"), listed], className="message error", role="alert")
    ]


def checked_shown(found: Checked) -> list[Content]:
    """What runs there are."""
    shown = [fact("Runs", f"{found.runs:,}", f"{found.distilled:,} distilled, {found.runs - found.distilled:,} alone")]
    for name, (low, high) in found.ranges.items():
        loss = name.endswith("loss")
        ends = [f"{end:.4g}" if loss else format_quantity(end) for end in (low, high)]
        shown.append(fact(name.replace("_", " ").capitalize(), " to ".join(ends), "nats per token" if loss else ""))
    parts: list[Content] = [facts(*shown)]
    if found.warnings:
        parts.append(message(*found.warnings, kind="warning"))
    return parts


def progress_shown(job: Job) -> Content:
    """How far a fit is."""
    if job.standing == "failed":
        return message(job.error)
    if job.standing == "cancelled":
        return message("cancelled", kind="note")
    if job.standing == "done":
        return html.P(f"Done in {job.seconds:.1f} s.", className="help")
    if job.standing == "waiting":
        return html.P("Other fits go first; this one waits for its turn.", className="help")
    words = f"{job.done:,} of {job.parts:,} fits" if job.parts else "looking for the optimum from many starts"
    share = {"value": str(job.done), "max": str(job.parts)} if job.parts else {}
    return [
        html.Progress(**share, **aria(label="Progress of the fit")),
        html.P(f"{words}, {job.seconds:.0f} s", className="help"),
    ]


def fit_shown(found: Fitted) -> list[Content]:
    """Coefficients, errors, and what the runs leave open."""
    content = found.content
    level = f"{content['interval_level']:.0%} interval"
    if content["coefficients"] is None:
        return [message("the fit did not converge: no start came to rest, and there is no law")]
    train, held = content["train"], content["holdout"]
    shown = [
        fact(
            "Status",
            content["status"],
            f"{content['starts_reached']:.0%} of {content['starts']} starting points led to this fit",
        ),
        fact(
            "Error on fitted runs",
            f"{train['mean_abs_rel_error']:.2%}",
            f"largest {train['max_abs_rel_error']:.2%}, {counted(train['runs'], 'run')}",
        ),
    ]
    for words, each in (("held-out runs", held), ("held-out runs without a teacher", content["holdout_supervised"])):
        if each is not None:
            coverage = each["coverage_90"]
            inside = "" if coverage is None else f", {coverage:.0%} in their interval"
            count = counted(each["runs"], "run")
            shown.append(fact(f"Error on {words}", f"{each['mean_abs_rel_error']:.2%}", f"{count}{inside}"))
    if content["consistency_error"] is not None:
        shown.append(fact("Infinite-data consistency", f"{content['consistency_error']:.2%}", "largest violation"))
    rows = []
    for name, value in content["coefficients"].items():
        if (ends := content["open_ranges"].get(name)) is not None:
            rows.append([name, "not determined", fits_as_well(ends)])
            continue
        interval = (content["intervals"] or {}).get(name)
        rows.append([name, f"{value:.5g}", "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"])
    parts: list[Content] = [html.P(content["answer"], className="verdict"), facts(*shown)]
    parts.append(html.Ul([html.Li(sentence) for sentence in content["choice"]["because"]]))
    if content["not_tested"]:
        parts.append(message(content["not_tested"], kind="note"))
    if content["warnings"]:
        parts.append(message(*(caution["text"] for caution in content["warnings"]), kind="warning"))
    parts.append(table(f"Coefficients, form {content['form']}", ["Coefficient", "Value", level], rows))
    if content["not_identified"]:
        listed = html.Ul([html.Li(f"{name} {why}") for name, why in content["not_identified"].items()])
        parts += [html.H3("What the runs do not determine"), listed]
    return parts


def onward_shown(found: Fitted, question: FitQuestion, upload: Upload) -> list[Content]:
    """Where the law can be used, and the command that gives the same."""
    links: list[Content] = []
    if found.law is not None:
        query = urlencode({"law": f"{OWN}{Path(upload.name).stem}.json"})
        links.append(dcc.Link("Look at this law", href=below(f"/law?{query}")))
        if found.content["choice"]["kind"] == "distillation":
            links.append(dcc.Link("Plan with this law", href=below(f"/plan?{query}")))
    return [
        html.P(links, className="links"),
        html.H3("The same on the command line"),
        code("fit-command", question.command(upload.name), "Command line"),
    ]
