"""The answer of a fit in one sentence, for command and page: how well the law holds, and what it says."""

from collections.abc import Mapping
from typing import Any

from distlaw.fit.described import fits_as_well, percent
from distlaw.fit.trials import FEWEST_FOLDS
from distlaw.runs import counted

_SAID = {"supervised": ("E", "alpha", "beta", "gamma")}


def answer(content: Mapping[str, Any]) -> str:
    """How well a law describes its runs and predicts others, and its main coefficients with their intervals.

    Args:
        content: A fit, as `distlaw fit --json` prints it.
    """
    supervised = content["form"] == "supervised"
    fitted = content["rows"]["fitted"]
    if content["train"] is None:
        return f"No law of {counted(fitted, 'run')}: the fit did not converge."
    kind = "Supervised law" if supervised else f"Distillation law (form {content['form']})"
    parts = [f"misses {'them' if fitted > 1 else 'it'} by {percent(content['train']['mean_abs_rel_error'])} on average"]
    parts += _held(content)
    sentence = f"{kind} of {counted(fitted, 'run')}: {', '.join(parts)}"
    found = [
        sentence,
        ", ".join(text for name in _SAID.get(content["form"], ()) if (text := _coefficient(content, name))),
    ]
    if "kappa" in content["coefficients"] and (worth := _coefficient(content, "kappa", "")) is not None:
        found.append(f"a distilled token is worth {worth.strip()} supervised ones")
    if far := content["far_runs"]:
        others = f", and {counted(len(far) - 1, 'run')} more" if len(far) > 1 else ""
        found.append(f"row {far[0]['row']} is {percent(far[0]['off'])} off{others}")
    return "; ".join(filter(None, found)) + "."


def _held(content: Mapping[str, Any]) -> list[str]:
    """Errors on runs that the fit has not seen."""
    found = []
    for key, kind in (("holdout", "held out"), ("holdout_supervised", "held out without a teacher")):
        if (held := content[key]) is not None:
            found.append(f"the {counted(held['runs'], 'run')} {kind} by {percent(held['mean_abs_rel_error'])}")
    return found or _folds(content["choice"])


def _folds(choice: Mapping[str, Any]) -> list[str]:
    """Error on the dearer runs, where forms were compared on them."""
    for one in choice["tried"]:
        errors = [error for error in one["fold_errors"] if error == error]
        if one["taken"] and one["kind"] == choice["kind"] and len(errors) >= FEWEST_FOLDS:
            ends = f"{percent(min(errors))} to {percent(max(errors))} over {len(errors)} folds"
            without = f", without {counted(one['far_runs_left_out'], 'far run')}" if one["far_runs_left_out"] else ""
            return [f"dearer runs kept out of it by {percent(one['held_out_error'])} ({ends}{without})"]
    return []


def _coefficient(content: Mapping[str, Any], name: str, shown: str | None = None) -> str | None:
    """A coefficient with its interval; None where the form lacks it, or it is held or tied to another."""
    value = content["coefficients"].get(name)
    if value is None or name in content["fixed"] or name in content["tied"]:
        return None
    same = [one for one, other in content["tied"].items() if other == name]
    shown = " = ".join([name, *same]) if shown is None else shown
    if name in content["open_ranges"]:
        return f"{shown} not determined ({fits_as_well(content['open_ranges'][name])})"
    interval = (content["intervals"] or {}).get(name)
    return f"{shown} {_digits(value)}" + ("" if interval is None else f" ({' to '.join(map(_digits, interval))})")


def _digits(value: float) -> str:
    """Three digits, zeros at the end too: 1.80."""
    return f"{value:#.3g}".removesuffix(".")
