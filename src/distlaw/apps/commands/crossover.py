"""`distlaw crossover`: where distilling is ahead of training from scratch, and where it stops being so."""

from pathlib import Path
from typing import Any

import numpy as np

from distlaw.apps.options import (
    FamilyOptions,
    Limits,
    ModelSizes,
    Quantity,
    ScenarioName,
    Sharing,
    planning_law,
    vocabulary_warnings,
)
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.apps.plan_run import DEFAULT_SCENARIO, forms_of, lead_content
from distlaw.costs import SCENARIOS, CostModel
from distlaw.laws import DEFAULT_LAW, PublishedLaw
from distlaw.plan import SITUATIONS, Lead, compute_crossovers, ratios_to_supervised, token_crossover
from distlaw.plan.sanity import require_student
from distlaw.plan.verdict import outside_fitted
from distlaw.runs import format_quantity


def crossover(
    *,
    student_params: ModelSizes,
    scenario: ScenarioName = DEFAULT_SCENARIO,
    target_loss: Quantity | None = None,
    margin: float = 0.0,
    law: str = DEFAULT_LAW,
    sharing: Sharing = Sharing(),
    limits: Limits = Limits(),
    family: FamilyOptions = FamilyOptions(),
    figure: Path | None = None,
    json: bool = False,
) -> None:
    """Find at which compute and tokens distilling is ahead of training from scratch, and every crossing between.

    Args:
        student_params: Student sizes without embeddings, with commas between, as 300M,1B,10B; or config.json files.
        scenario: Your own situation, which the first lines answer.
        target_loss: Also give the data and compute to reach this loss by distilling, over supervised training's.
        margin: Nats by which distillation must be ahead to count as ahead.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        figure: Draw the lead of distillation against compute into this file (.png, .svg or .pdf).
        json: Print JSON.
    """
    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    if not 0 <= margin < float("inf"):
        raise ValueError(f"--margin must be 0 or more nats, got {margin}")
    found, distillation = planning_law(law)
    bounds = limits.bounds()
    sizes = [size.at_context(family.context) for size in student_params]
    params = [size.params for size in sizes]
    for size in params:
        require_student(size)
    # A student given by its config has FLOPs of its own; the others share the family's.
    costs = [
        CostModel(
            forward_flops=family.family().forward_flops,
            student_forward_flops=None if size.shape is None else size.shape.forward_flops,
            serving_tokens=sharing.serving_tokens,
        )
        for size in sizes
    ]
    scenarios = [
        one.shared(
            students=sharing.students,
            cached_fraction=sharing.cached_fraction,
            shared_logits=sharing.shared_logits,
        )
        for one in SCENARIOS.values()
    ]
    by_tokens = token_crossover(
        distillation,
        params,
        margin=margin,
        resolution=found.resolution,
        bounds=bounds,
        token_range=bounds.student_tokens,
    )
    forms, _ = forms_of(found)
    students, at_crossings = [], []
    for i, (size, cost) in enumerate(zip(sizes, costs, strict=True)):
        by_compute = compute_crossovers(
            distillation,
            size.params,
            scenarios,
            margin=margin,
            resolution=found.resolution,
            forms=forms,
            bounds=bounds,
            costs=cost,
        )
        rows: dict[str, Any] = {}
        for one in scenarios:
            crossing = by_compute[one.name]
            lead = crossing.leads[0]
            at_crossings += [crossed.student_tokens for crossed in lead.crossings]
            rows[one.name] = {
                "status": crossing.status[0],
                "compute": crossing.at[0],
                "student_loss": crossing.student_loss[0],
                "student_tokens": crossing.student_tokens[0],
                "distilled_tokens": crossing.distilled_tokens[0],
                "lead": lead,
                "outside": outside_fitted(lead.crossings, found.fitted_range),
            }
            if target_loss is not None:
                ratios = ratios_to_supervised(distillation, size.params, target_loss, one, bounds=bounds, costs=cost)
                rows[one.name] |= {"data_ratio": ratios.data, "compute_ratio": ratios.compute}
        tokens = {
            "status": by_tokens.status[i],
            "student_tokens": by_tokens.at[i],
            "student_loss": by_tokens.student_loss[i],
            "lead": by_tokens.leads[i],
        }
        students.append({"student_params": size.params, "equal_tokens": tokens, "scenarios": rows})
    answers = [_answer(student, scenario) for student in students]
    warnings = [
        *found.cautions,
        *(warning for size in sizes for warning in vocabulary_warnings(size, found, "student")),
        *found.range_warnings(student_params=params, student_tokens=[d for d in at_crossings if np.isfinite(d)]),
    ]
    if figure is not None:
        from distlaw.report.figures import lead_against_compute, save_figure

        drawing = lead_against_compute(
            distillation, params, law_name=law, scenarios=scenarios, bounds=bounds, costs=costs
        )
        save_figure(drawing, figure)
    if json:
        shown = [_shown(student, found) for student in students]
        print_json(
            {
                "answer": " ".join(answers),
                "law": law,
                "scenario": scenario,
                "resolution": found.resolution,
                "target_loss": target_loss,
                "students": shown,
                "warnings": warnings,
            }
        )
        return
    from distlaw.report.plan_tables import crossover_table

    print_sentences(*answers)
    console().print(crossover_table(students, law=law, target_loss=target_loss))
    if figure is not None:
        print(f"Figure: {figure}")  # whole, however long
    print_warnings(warnings)


def _answer(student: dict[str, Any], scenario: str) -> str:
    """Where distilling one student is ahead in the user's own situation, in one sentence."""
    row = student["scenarios"][scenario]
    lead: Lead = row["lead"]
    size, outside = format_quantity(student["student_params"]), row["outside"]
    beyond = f"; {outside}" if outside else ""
    return f"A student of {size} parameters, distilled, is {lead.words()}, {SITUATIONS[scenario]}{beyond}."


def _shown(student: dict[str, Any], found: PublishedLaw) -> dict[str, Any]:
    """One student as JSON has it."""

    def plain(row: dict[str, Any], unit: str) -> dict[str, Any]:
        lead: Lead = row["lead"]
        kept = {name: value for name, value in row.items() if name not in ("lead", "outside")}
        return kept | lead_content(lead, found) | {"words": lead.words(unit)}

    return {
        "student_params": student["student_params"],
        "equal_tokens": plain(student["equal_tokens"], "tokens"),
        "scenarios": {name: plain(row, "FLOPs") for name, row in student["scenarios"].items()},
    }
