"""`distlaw predict`: the loss of one student."""

from distlaw.apps.options import ModelSize, Quantity, Size, WholeNumber, planning_law, vocabulary_warnings
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.apps.plan_run import forms_content, rank_own
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW, PublishedLaw, SupervisedLaw, optimal_teacher_loss
from distlaw.plan import NO_TEACHER, Bounds, Problem, RankedTeacher, Teacher, loss_from_bits_per_byte
from distlaw.plan.ranking import supervised_row
from distlaw.plan.ranking_words import compared_in_words
from distlaw.plan.sanity import require_loss, require_student
from distlaw.plan.teachers import ESTIMATED, FROM_BITS
from distlaw.plan.verdict import loss_in_words
from distlaw.runs import format_quantity


def predict(
    *,
    student_params: ModelSize,
    student_tokens: Quantity,
    teacher_loss: Quantity | None = None,
    teacher_params: ModelSize | None = None,
    teacher_tokens: Quantity | None = None,
    teacher_bits_per_byte: Quantity | None = None,
    bytes_per_token: Quantity | None = None,
    vocabulary: WholeNumber = 32768,
    law: str = DEFAULT_LAW,
    json: bool = False,
) -> None:
    """Predict the loss of a student, distilled if a teacher is given, and of the same student trained without one.

    The teacher's loss must be on the law's data with the law's tokenizer: a loss measured with another tokenizer or on
    other text is not this law's L_T. Give --teacher-params and --teacher-tokens to estimate it, or
    --teacher-bits-per-byte with --bytes-per-token to convert it.

    Args:
        student_params: Student size without embeddings, such as 1B, or a Hugging Face config.json.
        student_tokens: Tokens that the student is trained on, such as 200B.
        teacher_loss: Teacher cross-entropy in nats per token, on the law's data and tokenizer.
        teacher_params: Teacher size without embeddings, or a config.json; with --teacher-tokens instead of a loss.
        teacher_tokens: Tokens that the teacher was trained on.
        teacher_bits_per_byte: Teacher bits per byte on the law's data, instead of a loss.
        bytes_per_token: Mean bytes per token of the law's tokenizer on the law's data.
        vocabulary: Entries of the law's vocabulary: a loss above that of a uniform guess over them is refused.
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        json: Print JSON.
    """
    found = find_law(law)
    student = student_params
    require_student(student.params)
    warnings = [*found.cautions, *vocabulary_warnings(student, found, "student")]
    teacher = _teacher(found, teacher_loss, teacher_params, teacher_tokens, teacher_bits_per_byte, bytes_per_token)
    if teacher_params is not None:
        warnings += vocabulary_warnings(teacher_params, found, "teacher")
    if teacher is not None:
        planning_law(law)  # refuses a law without a teacher in it
    none, row = _losses(found, student.params, student_tokens, teacher, vocabulary)
    shown = none if row is None else row
    require_loss(none.student_loss, student.params, student_tokens, vocabulary)
    require_loss(shown.student_loss, student.params, student_tokens, vocabulary)
    best_teacher = None
    if not isinstance(found.law, SupervisedLaw):
        lowest = float(found.supervised.E)
        best_teacher = float(optimal_teacher_loss(found.law, student.params, student_tokens, lowest=lowest))
    warnings += found.range_warnings(
        student_params=student.params,
        student_tokens=student_tokens,
        teacher_params=None if teacher_params is None else teacher_params.params,
        teacher_tokens=teacher_tokens,
        teacher_loss=shown.teacher_loss,
    )
    result = {
        "answer": _answer(none, row, student.params, student_tokens),
        "law": law,
        "student_params": student.params,
        "student_tokens": student_tokens,
        "teacher_params": None if teacher_params is None else teacher_params.params,
        "teacher_tokens": teacher_tokens,
        "teacher_loss": shown.teacher_loss,
        "teacher_loss_error": shown.teacher_loss_error,
        "teacher_loss_from": _assumption(found, shown.loss_from),
        "student_loss": shown.student_loss,
        "student_loss_interval_90": shown.student_loss_interval,
        "supervised_loss": none.student_loss,
        "supervised_loss_interval_90": none.student_loss_interval,
        "gain": none.student_loss - shown.student_loss,
        "gain_interval_90": shown.gain_interval,
        "decision": shown.decision,
        "probability": shown.probability,
        "by_form": forms_content(shown.by_form),
        "resolution": found.resolution,
        "optimal_teacher_loss": best_teacher,
        "warnings": warnings,
    }
    if json:
        print_json(result)
        return
    from distlaw.report.plan_tables import prediction_table

    print_sentences(result["answer"])
    console().print(prediction_table(result))
    print_warnings(warnings)


def _losses(
    found: PublishedLaw, N: float, D: float, teacher: Teacher | None, vocabulary: float
) -> tuple[RankedTeacher, RankedTeacher | None]:
    """The student without a teacher, and with one if there is one, each with its intervals."""
    if isinstance(found.law, SupervisedLaw):
        return supervised_row(found, N, D), None
    bounds = Bounds(student_tokens=(min(1.0, D), max(1e17, D)))
    problem = Problem(student_params=N, student_tokens=D, bounds=bounds)
    ranked = rank_own(found, problem, [teacher] if teacher else [], "best-case", vocabulary=vocabulary)
    if not ranked:
        return supervised_row(found, N, D), None
    none = next(row for row in ranked if row.name == NO_TEACHER)
    return none, next(row for row in ranked if row is not none)


def _answer(none: RankedTeacher, row: RankedTeacher | None, N: float, D: float) -> str:
    """The prediction in one sentence, with its interval."""
    student = f"A student of {format_quantity(N)} parameters on {format_quantity(D)} tokens"
    alone = loss_in_words(none.student_loss, none.student_loss_interval, none.resolution)
    if row is None:
        return f"{student} ends at {alone}, trained from scratch."
    ends = loss_in_words(row.student_loss, row.student_loss_interval, row.resolution)
    teacher = f"from a teacher of {row.teacher_loss:.3f} ± {row.teacher_loss_error:.3f} nats"
    return f"{student}, distilled {teacher}, ends at {ends}: {compared_in_words(row)}."


def _teacher(
    found: PublishedLaw,
    loss: float | None,
    params: Size | None,
    tokens: float | None,
    bits_per_byte: float | None,
    bytes_per_token: float | None,
) -> Teacher | None:
    """The teacher, from the one way in which it was given; None without one."""
    by_size = params is not None or tokens is not None
    if sum([loss is not None, by_size, bits_per_byte is not None]) > 1:
        raise ValueError(
            "the teacher is given twice: use one of --teacher-loss, --teacher-params with --teacher-tokens, and"
            " --teacher-bits-per-byte with --bytes-per-token"
        )
    if by_size and (params is None or tokens is None):
        missing = "--teacher-tokens" if tokens is None else "--teacher-params"
        raise ValueError(f"{missing} is missing: a teacher's loss is estimated from its size and its tokens together")
    if (bits_per_byte is None) != (bytes_per_token is None):
        raise ValueError("--teacher-bits-per-byte and --bytes-per-token go together")
    if params is not None and tokens is not None:
        return Teacher(name="the teacher", params=params.params, tokens=tokens)
    some = max(found.fitted_range.get("student_params", (1e9, 1e9)))  # its size does not matter where its loss is known
    if bits_per_byte is not None and bytes_per_token is not None:
        converted = loss_from_bits_per_byte(bits_per_byte, bytes_per_token)
        return Teacher(name="the teacher", params=some, loss=converted, loss_from=FROM_BITS)
    return None if loss is None else Teacher(name="the teacher", params=some, loss=loss)


def _assumption(found: PublishedLaw, loss_from: str | None) -> str | None:
    """How the teacher's loss was come by, for the report."""
    if loss_from == ESTIMATED:
        return "estimated from size and tokens by the law's supervised part"
    if loss_from == FROM_BITS:
        return "from bits per byte: assumes the teacher does as well through the law's tokenizer as its own"
    return loss_from and f"as given: must be in nats per token on the law's data ({found.data})"
