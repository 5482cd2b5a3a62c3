"""From a plan to the file that `distlaw train` or `distlaw distill` reads."""

from dataclasses import replace
from pathlib import Path

from distlaw.costs import PAPER_FAMILY
from distlaw.plan.options import SUPERVISED, Option, Plan
from distlaw.plan.ranking import RankedTeacher
from distlaw.runs import format_quantity, one_line, written_whole


def recipe(plan: Plan, *, law: str, scenario: str | None = None, own: RankedTeacher | None = None) -> str:
    """A run's config in TOML: the student nearest in the paper's family (table 13), its tokens, its teacher to find.

    Args:
        plan: The plan.
        law: Name of its law, for the comment.
        scenario: Option to write down; the best one by default.
        own: The user's own teacher that the student is distilled from, instead of one of the planner's choice.

    Raises:
        ValueError: The plan has no such option, or it is not feasible.
    """
    option = plan.best if scenario is None else _option(plan, scenario)
    if own is not None:
        option = replace(
            option,
            student_loss=own.student_loss,
            student_tokens=own.student_tokens,
            teacher_params=own.teacher_params,
            teacher_tokens=None,
            teacher_loss=own.teacher_loss,
        )
    shape = PAPER_FAMILY.nearest(plan.problem.student_params)
    distills = option.scenario != SUPERVISED
    command = "distill student.toml --teacher DIR" if distills else "train student.toml"
    lines = [
        f"# {option.scenario}, as planned by law {law} for {format_quantity(plan.problem.student_params)} parameters:"
        f" expect {option.student_loss:.4f} nats per token on that law's data.",
        f"#   distlaw {command} --out DIR",
    ]
    if distills and option.teacher_params is not None and option.teacher_tokens is not None:
        lines.append(
            f"# Teacher: {format_quantity(option.teacher_params)} parameters on"
            f" {format_quantity(option.teacher_tokens)} tokens, or another of {option.teacher_loss:.4f} nats per token."
        )
    if own is not None:
        lines.append(
            f"# Teacher: {one_line(own.name, 60)}, of {own.teacher_loss:.4f} nats per token ({own.loss_from})."
        )
    steps = max(round(option.student_tokens / _batch(option.student_tokens)), 1)
    lines += [
        "",
        "[data]",
        'source = "datasets"  # or text, jsonl, parquet with paths of files',
        'paths = ["allenai/c4", "en"]',
        f"vocab_size = {shape.n_vocab}",
        f"context = {shape.n_ctx}",
        "",
        "[model]",
        f"layers = {shape.n_layers}",
        f"aspect_ratio = {PAPER_FAMILY.aspect_ratio}",
        f"head_size = {shape.d_head}",
        f"ffn_multiple = {PAPER_FAMILY.ffn_multiple}",
        "",
        "[training]",
        f"tokens = {steps * _batch(option.student_tokens)}",
        f"batch_tokens = {_batch(option.student_tokens)}",
        "rate = 0.01",
        f"warmup = {min(2000 / steps, 0.1):.3g}",
        'precision = "bf16"',
        f"base_width = {shape.d_head * 2}",
    ]
    if distills:
        lines += ["", "[teacher]", 'path = "runs/teacher"  # replaced by --teacher']
    return "\n".join(lines) + "\n"


def write_recipe(text: str, path: Path) -> None:
    """Write a config.

    Raises:
        ValueError: The path does not end in .toml, or cannot be written.
    """
    if path.suffix != ".toml":
        raise ValueError(f"config '{path}' must end in .toml")
    with written_whole(path, "config") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _option(plan: Plan, scenario: str) -> Option:
    names = [option.scenario for option in plan.options]
    if scenario not in names:
        raise ValueError(f"scenario '{scenario}' is unknown; choose one of {', '.join(names)}")
    if not plan[scenario].feasible:
        raise ValueError(f"scenario '{scenario}' is not feasible in this plan: there is nothing to write down")
    return plan[scenario]


def _batch(tokens: float) -> int:
    """Tokens of a step: about 20,000 steps, between 2^19 and 2^22 in powers of two, as runs of these sizes use."""
    batch = 2**19
    while batch < 2**22 and tokens / batch > 40_000:
        batch *= 2
    return batch
