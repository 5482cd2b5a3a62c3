"""Charts of a fit: how well it predicts, runs that it has not seen among them, and what the runs leave open."""

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Panel, Series
from distlaw.fit import FitResult
from distlaw.runs import Runs


def error_chart(fit: FitResult, runs: Runs, *, held_out: NDArray[np.bool_] | None = None) -> Chart:
    """Relative error of predictions over what was measured, with the interval for one new run (after figure 5).

    Args:
        fit: A fit that converged.
        runs: The runs that it saw and those held out; those of the other kind are left out.
        held_out: Which of the runs were held out, shape (runs,); none by default.
    """
    distilled = fit.form.kind == "distillation"
    out = np.zeros(len(runs), dtype=bool) if held_out is None else held_out
    own = runs.distilled == distilled
    runs, out = runs.select(own), out[own]
    arguments = (runs.student_params, runs.student_tokens) + ((runs.teacher_loss,) if distilled else ())
    predicted, low, high = fit.predict(*arguments, noise=True)
    measured = runs.student_loss
    error, below, above = (100 * (values / measured - 1) for values in (predicted, low, high))
    series = []
    for held, kind, colour in ((False, "points", 0), (True, "hollow", 3)):
        chosen = out == held
        if not chosen.any():
            continue
        name = f"{'held out' if held else 'fitted'}: mean error {np.abs(error[chosen]).mean():.2f} %"
        ends = {}
        if len(fit.draws):
            inside = (below[chosen] <= 0) & (above[chosen] >= 0)
            name += f", {inside.mean():.0%} in their {fit.spec.level:.0%} interval"
            ends = {"low": below[chosen], "high": above[chosen]}
        series.append(
            Series(name=name, x=measured[chosen], y=error[chosen], **ends, kind=kind, colour=colour)  # pyright: ignore[reportArgumentType]
        )
    panel = Panel(
        x=Axis(label="measured loss, nats per token"),
        y=Axis(label="predicted / measured - 1, %"),
        series=tuple(series),
        guides=(Guide(axis="y", at=0.0),),
    )
    return Chart(name="fit-errors", title="Predictions against what was measured", panels=(panel,))


def profile_chart(fit: FitResult) -> Chart:
    """The objective along each coordinate that the runs do not determine, the others refitted: flat is undetermined.

    Args:
        fit: A fit with such coordinates.
    """
    series = tuple(
        Series(
            name=name,
            x=profile.values - profile.values[int(np.argmin(profile.costs))],
            y=profile.costs,
            kind="line-points",
            colour=i,
        )
        for i, (name, profile) in enumerate(fit.profiles.items())
    )
    panel = Panel(x=Axis(label="move from the best value"), y=Axis(label="objective above its least"), series=series)
    return Chart(name="fit-profiles", title="What the runs do not determine", panels=(panel,))
