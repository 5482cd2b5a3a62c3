"""`distlaw plan`: distill or train from scratch, from what teacher, on how many tokens."""

from pathlib import Path

from distlaw.apps.options import (
    Budget,
    FamilyOptions,
    Hardware,
    Limits,
    ModelSize,
    Sharing,
    make_problem,
    planning_law,
    student_draws,
    vocabulary_warnings,
)
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.apps.plan_content import extrapolations, plan_content
from distlaw.laws import DEFAULT_LAW
from distlaw.plan import confidence_sentences, judge, plan_uncertainty, recipe, solve, write_recipe


def plan(
    *,
    student_params: ModelSize,
    budget: Budget = Budget(),
    law: str = DEFAULT_LAW,
    sharing: Sharing = Sharing(),
    limits: Limits = Limits(),
    family: FamilyOptions = FamilyOptions(),
    hardware: Hardware = Hardware(),
    figure: Path | None = None,
    write_config: Path | None = None,
    write_scenario: str | None = None,
    json: bool = False,
) -> None:
    """Plan a student: compare supervised training with distillation in four scenarios, each at its optimum.

    best-case: a teacher of your choice is free. teacher-inference: it exists and its logits are paid for.
    teacher-pretraining: its training is paid for, its logits are not. teacher-pretraining-and-inference: both are.

    Args:
        student_params: Student size without embeddings, such as 1B, or a Hugging Face config.json.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        figure: Draw loss against compute into this file (.png, .svg or .pdf).
        write_config: Write the best option down as a config (.toml) for `distlaw train` or `distlaw distill`.
        write_scenario: Write this option down instead of the best one.
        json: Print JSON.
    """
    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    found, distillation = planning_law(law)
    student = student_params.at_context(family.context)
    machine = hardware.machine()
    problem = make_problem(student, budget.as_goal(machine), limits, sharing, family)
    answer = solve(distillation, problem)
    verdict = judge(distillation, answer)
    draws = student_draws(found)
    spread = plan_uncertainty(draws, problem) if draws is not None else {}
    warnings = [
        *found.cautions,
        *vocabulary_warnings(student, found, "student"),
        *extrapolations(found, answer),
    ]
    if figure is not None:
        from distlaw.report.figures import loss_against_compute, save_figure

        save_figure(loss_against_compute(distillation, answer, law_name=law, intervals=spread), figure)
    if write_config is not None:
        write_recipe(recipe(answer, law=law, scenario=write_scenario), write_config)
    if json:
        print_json(plan_content(answer, verdict, law=law, machine=machine, spread=spread, warnings=warnings))
    else:
        from distlaw.report.tables import plan_table

        bills = [None if machine is None else machine.bill(option.flops.total) for option in answer.options]
        out = console()
        out.print(plan_table(answer, verdict, law=law, bills=bills, spread=spread))
        sentences = [*verdict.sentences, *confidence_sentences(spread)]
        print_sentences(*(f"{sentence[0].upper()}{sentence[1:]}" for sentence in sentences), bullets=True)
        for what, path in (("Figure", figure), ("Config", write_config)):
            if path is not None:
                out.print(f"{what}: {path}", markup=False, soft_wrap=True)
        print_warnings(warnings)
