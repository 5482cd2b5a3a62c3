"""`distlaw isoflop`: the best size at each compute, read off runs that spent the same."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from distlaw.apps.options import TableOptions
from distlaw.apps.output import console, print_json, print_warnings


def isoflop(
    table: Path,
    *,
    rows: TableOptions = TableOptions(),
    kind: Literal["supervised", "distillation"] | None = None,
    tolerance: float = 0.1,
    seed: int = 0,
    figure: Path | None = None,
    json: bool = False,
) -> int:
    """Read the best size and tokens off IsoFLOP profiles: minima of curves in log N through runs of equal compute.

    The curve has the shape that eq. 1 has along a profile, one shape for all. A profile is refused, with the reason and
    what to add, where it has no interior minimum, where it is flat within its scatter, where that scatter could move
    the minimum out of the sizes tried, where nearly all sizes lie on one side of it, or where its runs do not
    follow the curve. With no profile left the status is 1.

    Args:
        table: CSV, Parquet or JSONL of runs (see `distlaw check`). Compute is its column `compute` where every run has
            one, else 6 N D.
        kind: Which runs to use: those without a teacher (where there are any, the default) or those with one.
        tolerance: A profile ends at a gap in log compute wider than this.
        seed: Of the resamples behind the intervals.
        figure: Draw the profiles and the power law into this file (.png, .svg or .pdf).
        json: Print JSON.
    """
    from distlaw.fit.allocation import fit_allocation
    from distlaw.fit.isoflop import OK, compute_of_each, fit_profiles, refusals

    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    runs = rows.read(table)
    kind = kind or ("distillation" if runs.distilled.all() else "supervised")
    runs = runs.select(runs.distilled == (kind == "distillation"))
    if not len(runs):
        raise ValueError(f"{table.name} has no {kind} runs: choose the other --kind")
    compute, compute_from = compute_of_each(runs)
    profiles = fit_profiles(
        runs.student_params,
        runs.student_tokens,
        runs.student_loss,
        compute,
        weights=runs.weight,
        tolerance=tolerance,
        seed=seed,
    )
    if not profiles:
        raise ValueError(
            f"no three of the {len(runs)} {kind} runs spent the same compute to {tolerance:.0%}: there are no IsoFLOP"
            " profiles; fit a law with `distlaw fit`, or raise --tolerance"
        )
    warnings = [*runs.warnings()]
    if kind == "distillation" and (teachers := np.unique(runs.teacher_of_each()).size) > 1:
        warnings.append(
            f"runs of {teachers} teachers are mixed: the best size depends on the teacher; keep the runs of one teacher"
        )
    refused = refusals(profiles)
    allocation, reason = None, None
    try:
        allocation = fit_allocation(profiles)
    except ValueError as error:
        reason = str(error)  # with each refusal
    content: dict[str, Any] = {
        "answer": allocation_sentence(allocation, profiles, reason),
        "kind": kind,
        "runs": len(runs),
        "compute_from": compute_from,
        "profiles": [profile_content(profile) for profile in profiles],
        "allocation": allocation
        and {
            "a": allocation.a,
            "a_interval_90": allocation.a_interval,
            "b": allocation.b,
            "b_interval_90": allocation.b_interval,
            "log_params_at_1_flop": allocation.intercepts[0],
            "log_tokens_at_1_flop": allocation.intercepts[1],
            "scatter": allocation.scatter,
        },
        "reason": reason,
        "warnings": [*warnings, *refused],
    }
    if figure is not None:
        from distlaw.report.figures import save_figure
        from distlaw.report.fit_figures import isoflop_figure

        save_figure(isoflop_figure(profiles, allocation), figure)
    found = any(profile.status == OK for profile in profiles)
    if json:
        print_json(content)
    else:
        from distlaw.report.fit_tables import isoflop_table

        console().print(content["answer"], markup=False, highlight=False, soft_wrap=True)
        console().print(isoflop_table(content, runs=table.name))
        if figure is not None:
            console().print(f"Figure: {figure}", markup=False, soft_wrap=True)
        print_warnings(warnings if reason else [*warnings, *refused])
    return 0 if found else 1


def allocation_sentence(allocation: Any, profiles: Any, reason: str | None) -> str:  # noqa: ANN401
    """The answer in one sentence: both exponents with their intervals, or why there are none."""
    if allocation is None:
        return f"No power law of the best size: {reason}"
    good = sum(profile.status == "ok" for profile in profiles)
    a, b = (
        _with_interval(value, ends)
        for value, ends in ((allocation.a, allocation.a_interval), (allocation.b, allocation.b_interval))
    )
    of = f"{good} of {len(profiles)} profiles"
    more = (
        "; their minima scatter more than their own intervals allow, which the intervals hold"
        if allocation.scatter
        else ""
    )
    return f"Best size N* ~ C^{a}, best tokens D* ~ C^{b}, from {of}{more}."


def _with_interval(value: float, ends: tuple[float, float] | None) -> str:
    """An exponent and its interval, to two digits of the interval's width and three at least."""
    if ends is None:
        return f"{value:.3f} (no interval from two profiles)"
    digits = min(max(3, 1 - int(np.floor(np.log10(max(ends[1] - ends[0], 1e-9))))), 6)
    return f"{value:.{digits}f} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def profile_content(profile: Any) -> dict[str, Any]:  # noqa: ANN401
    """A `Profile` as JSON shows it."""
    interval = None if profile.interval is None else [float(np.exp(end)) for end in profile.interval]
    return {
        "compute": profile.compute,
        "runs": profile.params.size,
        "runs_near": int(profile.near.sum()),
        "status": profile.status,
        "reason": profile.reason,
        "best_params": profile.best_params,
        "best_params_interval_90": interval,
        "best_tokens": profile.best_tokens,
        "best_loss": profile.best_loss,
        "curvature": profile.curvature,
        "depth": profile.depth,
        "noise": profile.noise,
    }
