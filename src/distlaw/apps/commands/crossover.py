"""`distlaw crossover`: from where on supervised training is as good."""

from pathlib import Path
from typing import Any

import numpy as np

from distlaw.apps.options import FamilyOptions, Limits, ModelSizes, Quantity, Sharing, planning_law, vocabulary_warnings
from distlaw.apps.output import console, print_json, print_warnings
from distlaw.costs import SCENARIOS, CostModel
from distlaw.laws import DEFAULT_LAW
from distlaw.plan import compute_crossovers, ratios_to_supervised, token_crossover


def crossover(
    *,
    student_params: ModelSizes,
    target_loss: Quantity | None = None,
    margin: float = 0.0,
    law: str = DEFAULT_LAW,
    sharing: Sharing = Sharing(),
    limits: Limits = Limits(),
    family: FamilyOptions = FamilyOptions(),
    figure: Path | None = None,
    json: bool = False,
) -> None:
    """Find the compute and the tokens from which supervised training is at least as good as distillation.

    Args:
        student_params: Student sizes without embeddings, with commas between, as 300M,1B,10B; or config.json files.
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
        scenario.shared(
            students=sharing.students,
            cached_fraction=sharing.cached_fraction,
            shared_logits=sharing.shared_logits,
        )
        for scenario in SCENARIOS.values()
    ]
    by_tokens = token_crossover(distillation, params, margin=margin, bounds=bounds, token_range=bounds.student_tokens)
    students, at_crossings = [], []
    for i, (size, cost) in enumerate(zip(sizes, costs, strict=True)):
        by_compute = compute_crossovers(distillation, size.params, scenarios, margin=margin, bounds=bounds, costs=cost)
        rows: dict[str, Any] = {}
        for scenario in scenarios:
            crossing = by_compute[scenario.name]
            at_crossings.append(crossing.student_tokens[0])
            rows[scenario.name] = {
                "status": crossing.status[0],
                "compute": crossing.at[0],
                "student_loss": crossing.student_loss[0],
                "student_tokens": crossing.student_tokens[0],
                "distilled_tokens": crossing.distilled_tokens[0],
            }
            if target_loss is not None:
                ratios = ratios_to_supervised(
                    distillation, size.params, target_loss, scenario, bounds=bounds, costs=cost
                )
                rows[scenario.name] |= {"data_ratio": ratios.data, "compute_ratio": ratios.compute}
        tokens = {
            "status": by_tokens.status[i],
            "student_tokens": by_tokens.at[i],
            "student_loss": by_tokens.student_loss[i],
        }
        students.append({"student_params": size.params, "equal_tokens": tokens, "scenarios": rows})
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
        print_json({"law": law, "target_loss": target_loss, "students": students, "warnings": warnings})
    else:
        from distlaw.report.tables import crossover_table

        console().print(crossover_table(students, law=law, target_loss=target_loss))
        if figure is not None:
            console().print(f"Figure: {figure}", markup=False, soft_wrap=True)
        print_warnings(warnings)
