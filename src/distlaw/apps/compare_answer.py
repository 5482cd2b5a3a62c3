"""The answer of a comparison of fits in one sentence: which law predicts best, and how far the answers differ."""

import numpy as np

from distlaw.fit.compare import Report, Variant
from distlaw.fit.described import percent
from distlaw.fit.form_scores import Comparison
from distlaw.runs import counted, format_quantity


def answer(report: Report) -> str:
    """What predicts runs kept out best, and what the fits say together to the first question asked of them."""
    parts = [_best_form(kind, rows) for kind, rows in report.forms.items() if rows]
    parts = parts or [_best_exponents(report.exponents)]
    return f"{counted(report.runs, f'{_word(report.kind)} run')}: {'; '.join([*parts, _spread(report)])}."


def _word(kind: str) -> str:
    return "supervised" if kind == "supervised" else "distilled"


def _best_form(kind: str, rows: tuple[Comparison, ...]) -> str:
    best, rest = rows[0], rows[1:]
    folds = len(best.folds)
    where = {"rolling": "dearer runs", "teacher": "runs of a teacher", "student": "runs of a student size"}[kind]
    error = f"{best.form} misses {where}, kept out in {counted(folds, 'fold')}, least, by {percent(best.mean_error)}"
    if folds < 2:
        return f"{error}, and one fold tells no form from another"
    level = [row.form for row in rest if row.behind is not None and not row.behind[0] > 0]
    return error + (f" (not told apart from it: {', '.join(level)})" if level else ", clearly less than the others")


def _best_exponents(variants: tuple[Variant, ...]) -> str:
    known = [one for one in variants if np.isfinite(one.held_out_error)]
    if not known:
        return "the runs are too few to keep any out"
    best = min(known, key=lambda one: one.held_out_error)
    name = "all exponents free" if best.name == "free" else best.name
    low, high = best.held_out_interval
    interval = (
        f" ({percent(low)} to {percent(high)})" if np.isfinite(low) else ", in one fold, which tells nothing of others"
    )
    return f"{name} misses dearer runs kept out least, by {percent(best.held_out_error)}{interval}"


def _spread(report: Report) -> str:
    """The range of the answers to the first question, over all losses and exponents that have a fit."""
    answers = np.array([one.answers[0] for one in (*report.losses, *report.exponents) if one.coefficients])
    answers = answers[np.isfinite(answers)]
    if not answers.size:
        return "no fit converged"
    low, high = float(answers.min()), float(answers.max())
    if report.computes:
        return f"at {report.computes[0]:.3g} FLOPs the fits say {low:.1f} to {high:.1f} tokens per parameter"
    N, D, L_T = report.points[0]
    where = f"{format_quantity(N)} parameters on {format_quantity(D)} tokens under a teacher of {L_T:.4g} nats"
    return f"for {where} the fits say a loss of {low:.4f} to {high:.4f}"
