"""`distlaw teachers`: which of the teachers at hand, if any."""

from collections import Counter
from pathlib import Path
from typing import Literal

from distlaw.apps.options import (
    Budget,
    FamilyOptions,
    Hardware,
    Limits,
    ModelSize,
    Quantity,
    Sharing,
    make_problem,
    planning_law,
    students_vocabulary,
    vocabulary_warnings,
)
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.apps.plan_run import rank_own, ranked_content, tokenizer_warnings
from distlaw.laws import DEFAULT_LAW
from distlaw.plan import read_teachers
from distlaw.plan.ranking_words import ranking_headline, ranking_sentences
from distlaw.plan.sanity import require_student
from distlaw.plan.teachers import FROM_BITS


def teachers(
    table: Path,
    *,
    student_params: ModelSize,
    budget: Budget = Budget(),
    scenario: Literal["best-case", "teacher-inference"] = "teacher-inference",
    bytes_per_token: Quantity | None = None,
    law: str = DEFAULT_LAW,
    sharing: Sharing = Sharing(),
    limits: Limits = Limits(),
    family: FamilyOptions = FamilyOptions(),
    hardware: Hardware = Hardware(),
    json: bool = False,
) -> None:
    """Rank existing teachers for a student under a budget, with training without a teacher among them.

    A teacher's loss must be on the law's data with the law's tokenizer; one measured with another tokenizer or on other
    text is not this law's L_T. A row may give bits_per_byte (with --bytes-per-token) or tokens instead. A loss is taken
    to be known to 0.5 %, to 1 % if it comes from bits per byte, to 2 % if it is estimated, or as loss_error says.

    Args:
        table: CSV, Parquet or JSONL with the columns name, params (a size or a Hugging Face config.json) and one of
            loss (nats per token), bits_per_byte and tokens; flops_per_token, loss_error (standard deviation in nats)
            and vocabulary are optional.
        student_params: Student size without embeddings, such as 1B, or a Hugging Face config.json.
        scenario: Whether the teacher's logits are paid for (teacher-inference) or free (best-case).
        bytes_per_token: Mean bytes per token of the law's tokenizer on the law's data, for bits_per_byte.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        json: Print JSON.
    """
    found, _ = planning_law(law)
    student = student_params.at_context(family.context)
    require_student(student.params)
    goal = budget.as_goal(hardware.machine())
    problem = make_problem(student, goal, limits, sharing, family)
    at_hand = read_teachers(table, bytes_per_token=bytes_per_token, n_ctx=family.context)
    vocabulary = students_vocabulary(student, family)
    if not at_hand:
        raise ValueError("no teachers given: the table needs at least one row")
    ranked = rank_own(found, problem, at_hand, scenario, vocabulary=family.vocabulary, student_vocabulary=vocabulary)
    with_teacher = [row for row in ranked if row.teacher_loss is not None]
    warnings = [
        *tokenizer_warnings(ranked, vocabulary),
        *found.cautions,
        *vocabulary_warnings(student, found, "student"),
        *found.range_warnings(
            student_params=student.params,
            student_tokens=[row.student_tokens for row in ranked],
            teacher_params=[row.teacher_params for row in with_teacher if row.teacher_params is not None],
            teacher_loss=[row.teacher_loss for row in with_teacher if row.teacher_loss is not None],
        ),
    ]
    if any(row.loss_from == FROM_BITS for row in ranked):
        warnings.append(
            "losses from bits per byte assume that a teacher does as well through the law's tokenizer as its own"
        )
    left_out = Counter(teacher.name for teacher in at_hand) - Counter(row.name for row in ranked)
    if left_out:
        warnings.append(f"too dear for this budget and left out: {', '.join(sorted(left_out.elements()))}")
    charged = next(one for one in problem.scenarios if one.name == scenario)
    answer, sentences = ranking_headline(ranked, problem, charged), ranking_sentences(ranked)
    if json:
        print_json(
            {
                "answer": answer,
                "law": law,
                "student_params": student.params,
                **goal,
                "scenario": scenario,
                "best": ranked[0].name,
                "teachers": [ranked_content(row) for row in ranked],
                "verdict": sentences,
                "warnings": warnings,
            }
        )
        return
    from distlaw.report.plan_tables import teachers_table

    print_sentences(answer)
    console().print(teachers_table(ranked, law=law, scenario=scenario))
    print_sentences(*sentences, bullets=True)
    print_warnings(warnings)
