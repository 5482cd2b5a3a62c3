"""`distlaw plan`: distill or train from scratch, from what teacher, on how many tokens."""

from pathlib import Path

from distlaw.apps.options import (
    Budget,
    FamilyOptions,
    Hardware,
    Limits,
    ModelSize,
    Quantity,
    ScenarioName,
    Sharing,
    make_problem,
    planning_law,
    students_vocabulary,
    vocabulary_warnings,
)
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.apps.plan_run import DEFAULT_SCENARIO, run_plan
from distlaw.laws import DEFAULT_LAW
from distlaw.plan import read_teachers, write_recipe


def plan(
    *,
    student_params: ModelSize,
    budget: Budget = Budget(),
    scenario: ScenarioName = DEFAULT_SCENARIO,
    teachers: Path | None = None,
    bytes_per_token: Quantity | None = None,
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
    """Plan a student: distill it or train it from scratch, in your situation first, then in the three others.

    best-case: a teacher of your choice is free. teacher-inference: it exists and its logits are paid for.
    teacher-pretraining: its training is paid for, its logits are not. teacher-pretraining-and-inference: both are.

    Args:
        student_params: Student size without embeddings, such as 1B, or a Hugging Face config.json.
        scenario: Your own situation, which the first line answers.
        teachers: Table of the teachers at hand, as `distlaw teachers` reads it: the answer is then about them, in
            teacher-inference or best-case.
        bytes_per_token: Mean bytes per token of the law's tokenizer on the law's data, for teachers with bits_per_byte.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        figure: Draw loss against compute into this file (.png, .svg or .pdf).
        write_config: Write the option of the first line down as a config (.toml) for `distlaw train` or `distlaw
            distill`; where it is too close to call, that of training from scratch.
        write_scenario: Write this option down instead.
        json: Print JSON.
    """
    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    found, distillation = planning_law(law)
    student = student_params.at_context(family.context)
    machine = hardware.machine()
    problem = make_problem(student, budget.as_goal(machine), limits, sharing, family)
    own = () if teachers is None else read_teachers(teachers, bytes_per_token=bytes_per_token, n_ctx=family.context)
    run = run_plan(
        found,
        problem,
        law=law,
        scenario=scenario,
        own=own,
        machine=machine,
        vocabulary=family.vocabulary,
        student_vocabulary=students_vocabulary(student, family),
        warnings=vocabulary_warnings(student, found, "student"),
    )
    if figure is not None:
        from distlaw.report.figures import loss_against_compute, save_figure

        save_figure(loss_against_compute(distillation, run.plan, law_name=law, intervals=run.spread), figure)
    if write_config is not None:
        write_recipe(run.recipe(write_scenario), write_config)
    if json:
        print_json(run.content())
        return
    from distlaw.report.plan_tables import plan_table, teachers_table

    print_sentences(run.headline)
    out = console()
    out.print(
        plan_table(
            run.plan,
            run.verdict,
            law=law,
            bills=run.bills,
            spread=run.spread,
            scenario=None if run.own else run.scenario,
        )
    )
    if run.own:
        out.print(teachers_table(run.own, law=law, scenario=scenario))
    print_sentences(*run.sentences, bullets=True)
    for what, path in (("Figure", figure), ("Config", write_config)):
        if path is not None:
            print(f"{what}: {path}")  # whole, however long
    print_warnings(run.warnings)
