"""Tables of fits, alone and side by side (rich)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from distlaw.fit.described import fits_as_well
from distlaw.report.layout import ALWAYS, DETAIL, Column, new_table
from distlaw.report.tables import loss_text, size_text
from distlaw.runs import counted

Row = Mapping[str, Any]


def fit_table(content: Row, *, runs: str) -> Table:
    """A fit, as `distlaw fit` gives it."""
    train = content["train"]
    notes = [
        f"status {content['status']}; {content['starts_reached']:.0%} of {content['starts']} starting points led to"
        f" this fit; loss {content['loss']}, delta {content['delta']:g}, objective {content['objective']:.6g}"
    ]
    if train is not None:
        rows = content["rows"]
        unused = f"; {counted(rows['not_used'], 'run')} of the other kind not used" if rows["not_used"] else ""
        notes.append(f"fitted on {counted(train['runs'], 'run')} of {rows['table']}: {_accuracy(train)}{unused}")
    for kind, held in (("", content["holdout"]), (" without a teacher", content["holdout_supervised"])):
        if held is not None:
            inside = "" if _missing(held["coverage_90"]) else f", {held['coverage_90']:.0%} inside their 90 % interval"
            notes.append(f"held out{kind}: {counted(held['runs'], 'run')}, {_accuracy(held)}{inside}")
    if content["not_tested"]:
        notes.append(content["not_tested"])
    if content["consistency_error"] == content["consistency_error"]:
        notes.append(f"infinite-data consistency violated by at most {content['consistency_error']:.2%}")
    notes += [f"not determined: {name} {why}" for name, why in content["not_identified"].items()]
    table = new_table(
        f"{content['form']} fitted to {runs}",
        "coefficient",
        Column("value", ALWAYS),
        f"{content['interval_level']:.0%} interval",
        caption="\n".join(notes),
    )
    for name, value in (content["coefficients"] or {}).items():
        if (open_range := content["open_ranges"].get(name)) is not None:
            table.add_row(name, "not determined", fits_as_well(open_range))
            continue
        interval = (content["intervals"] or {}).get(name)
        table.add_row(name, f"{value:.5g}", "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}")
    return table


def _accuracy(accuracy: Mapping[str, Any]) -> str:
    mean, largest = accuracy["mean_abs_rel_error"], accuracy["max_abs_rel_error"]
    return f"mean error {mean:.2%}, largest {largest:.2%}"


def isoflop_table(content: Row, *, runs: str) -> Table:
    """IsoFLOP profiles and the power laws through their minima, as `distlaw isoflop` gives them."""
    notes = [f"{content['runs']} {content['kind']} runs; compute is {content['compute_from']}"]
    table = new_table(
        f"IsoFLOP profiles of {runs}",
        "compute",
        Column("status", ALWAYS, words=True),
        Column("runs", DETAIL),
        Column("best params", ALWAYS),
        "90% interval",
        "best tokens",
        "loss there",
        Column("depth", DETAIL),
        Column("scatter", DETAIL),
        caption="\n".join(notes),
    )
    for row in content["profiles"]:
        ok = row["status"] == "ok"
        table.add_row(
            f"{row['compute']:.3g}",
            row["status"],
            str(row["runs"]),
            size_text(row["best_params"]) if ok else "",
            " to ".join(size_text(end) for end in row["best_params_interval_90"]) if ok else "",
            size_text(row["best_tokens"]) if ok else "",
            loss_text(row["best_loss"]) if ok else "",
            loss_text(row["depth"]),
            loss_text(row["noise"]),
        )
    return table


def comparison_tables(content: Row, *, runs: str) -> list[Table]:
    """Fits side by side, as `distlaw compare` gives them."""
    tables = [
        _variants("Losses", content["losses"], content, runs, "objectives of different losses do not compare"),
        _variants("Exponents, free and tied", content["exponents"], content, runs, ""),
    ]
    if (isoflop := content["isoflop"]) is not None:
        tables.append(_splits(isoflop, content["computes"]))
    tables += [_forms(kind, rows) for kind, rows in content["forms"].items()]
    return tables


def _variants(title: str, rows: Sequence[Row], content: Row, runs: str, note: str) -> Table:
    names = [name for name in ("E", "alpha", "beta", "gamma") if any(name in row["coefficients"] for row in rows)]
    asked = [f"D/N at {compute:.3g} FLOPs" for compute in content["computes"]]
    asked += [
        f"loss of {size_text(p['student_params'])} on {size_text(p['student_tokens'])}, teacher {p['teacher_loss']:.4g}"
        for p in content["points"]
    ]
    notes = [
        f"{content['form']} on {content['runs']} runs; errors are relative; held out: rolling by student compute",
        note,
    ]
    table = new_table(
        f"{title} ({runs})",
        "fit",
        *names,
        Column("free", DETAIL),
        Column("objective", DETAIL + 1),
        Column("train error", DETAIL),
        Column("held-out error", ALWAYS),
        *asked,
        Column("status", DETAIL),
        caption="\n".join(filter(None, notes)),
    )
    digits = ".1f" if content["computes"] else ".4f"
    for row in rows:
        table.add_row(
            row["name"],
            *(f"{row['coefficients'][name]:.4g}" if name in row["coefficients"] else "" for name in names),
            str(row["free_coefficients"]),
            f"{row['objective']:.5g}",
            _share(row["train_error"]),
            _errors(row["held_out_error"], row["held_out_interval_90"]),
            *(_with_interval(answer["value"], answer["interval_90"], digits) for answer in row["answers"]),
            row["status"],
        )
    return table


def _splits(isoflop: Row, computes: Sequence[float]) -> Table:
    refused = sum(profile["status"] != "ok" for profile in isoflop["profiles"])
    notes = [f"{refused} of {len(isoflop['profiles'])} profiles refused; compute is {isoflop['compute_from']}"]
    if isoflop["reason"]:
        notes.append(f"no power law through the profiles: {isoflop['reason']}")
    table = new_table(
        "IsoFLOP profiles against the law: N* ~ C^a, D* ~ C^b",
        "method",
        Column("a", ALWAYS),
        "b",
        *(f"N* at {compute:.3g} FLOPs" for compute in computes),
        *(f"D/N at {compute:.3g} FLOPs" for compute in computes),
        caption="\n".join(notes),
    )
    for row in isoflop["splits"]:
        table.add_row(
            row["name"],
            *(_with_interval(row[name], row[f"{name}_interval_90"], ".3f") for name in ("a", "b")),
            *(_with_interval(at["params"], at["params_interval_90"], None) for at in row["at"]),
            *(_with_interval(at["tokens_per_param"], at["tokens_per_param_interval_90"], ".1f") for at in row["at"]),
        )
    return table


def _forms(kind: str, rows: Sequence[Row]) -> Table:
    table = new_table(
        f"Functional forms by held-out error, folds: {kind} ({len(rows[0]['folds']) if rows else 0})",
        "form",
        "free",
        Column("mean error", ALWAYS),
        Column("behind the best", ALWAYS),
        "largest",
        "coverage",
        Column("worst fold", DETAIL),
        Column("inconsistency", DETAIL),
        Column("limits", DETAIL, words=True),
        Column("status", DETAIL),
        caption="the same runs and folds for all; intervals are 90 %, by resampling folds; coverage of 90 % prediction"
        " intervals",
    )
    for row in rows:
        low, high = row["behind_interval_90"] or (None, None)
        worst = row["worst_fold"]
        lacking = [name.replace("_", " ") for name, holds in row["limits"].items() if not holds]
        table.add_row(
            row["form"],
            str(row["free_coefficients"]),
            _errors(row["mean_error"], row["interval_90"]),
            "" if row["behind_interval_90"] is None else _behind(low, high),
            _share(row["max_error"]),
            "-" if _missing(row["coverage_90"]) else f"{row['coverage_90']:.0%}",
            f"{worst['name']}: {_share(worst['mean_error'])}",
            _share(row["consistency_error"]),
            "all" if not lacking else "no " + ", no ".join(lacking),
            row["status"],
        )
    return table


def _behind(low: float | None, high: float | None) -> str:
    """How far a form is behind the best; one fold tells nothing of others."""
    return "no verdict of 1 fold" if _missing(low) else f"{_share(low)} to {_share(high)}"


def _missing(value: float | None) -> bool:
    return value is None or value != value


def _share(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2%}"


def _errors(value: float, interval: Sequence[float]) -> str:
    return _share(value) + ("" if _missing(interval[0]) else f" ({_share(interval[0])} to {_share(interval[1])})")


def _with_interval(value: float, interval: Sequence[float] | None, digits: str | None) -> str:
    """A number with its interval; a size as people write it where there are no digits."""

    def shown(number: float) -> str:
        return size_text(number) if digits is None else f"{number:{digits}}"

    if interval is None or _missing(interval[0]):
        return shown(value) if not _missing(value) else "-"
    return f"{shown(value)} ({shown(interval[0])} to {shown(interval[1])})"
