"""`distlaw predict`: the loss of one student."""

import numpy as np
from numpy.typing import NDArray

from distlaw.apps.options import ModelSize, Quantity, Size, planning_law, vocabulary_warnings
from distlaw.apps.output import console, print_json, print_sentences, print_warnings
from distlaw.fit.lawfile import FittedLaw, find_law
from distlaw.laws import DEFAULT_LAW, PublishedLaw, SupervisedLaw, optimal_teacher_loss
from distlaw.plan import loss_from_bits_per_byte


def predict(
    *,
    student_params: ModelSize,
    student_tokens: Quantity,
    teacher_loss: Quantity | None = None,
    teacher_params: ModelSize | None = None,
    teacher_tokens: Quantity | None = None,
    teacher_bits_per_byte: Quantity | None = None,
    bytes_per_token: Quantity | None = None,
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
        law: Name of a published law (see `distlaw laws`), or a law file that `distlaw fit` wrote.
        json: Print JSON.
    """
    found = find_law(law)
    student = student_params
    warnings = [*found.cautions, *vocabulary_warnings(student, found, "student")]
    teacher_loss, assumption = _teacher_loss(
        found, teacher_loss, teacher_params, teacher_tokens, teacher_bits_per_byte, bytes_per_token
    )
    if teacher_params is not None:
        warnings += vocabulary_warnings(teacher_params, found, "teacher")

    supervised_loss = float(found.supervised.loss(student.params, student_tokens))
    student_loss, best_teacher = supervised_loss, None
    if teacher_loss is not None:
        _, distillation = planning_law(law)
        student_loss = float(distillation.student_loss(student.params, student_tokens, teacher_loss))
    if not isinstance(found.law, SupervisedLaw):
        lowest = float(found.supervised.E)
        best_teacher = float(optimal_teacher_loss(found.law, student.params, student_tokens, lowest=lowest))
    warnings += found.range_warnings(
        student_params=student.params,
        student_tokens=student_tokens,
        teacher_params=None if teacher_params is None else teacher_params.params,
        teacher_tokens=teacher_tokens,
        teacher_loss=teacher_loss,
    )
    result = {
        "law": law,
        "student_params": student.params,
        "student_tokens": student_tokens,
        "teacher_params": None if teacher_params is None else teacher_params.params,
        "teacher_tokens": teacher_tokens,
        "teacher_loss": teacher_loss,
        "teacher_loss_from": assumption,
        "student_loss": student_loss,
        "student_loss_interval_90": _interval(found, student.params, student_tokens, teacher_loss),
        "supervised_loss": supervised_loss,
        "gain": supervised_loss - student_loss,
        "optimal_teacher_loss": best_teacher,
        "warnings": warnings,
    }
    if json:
        print_json(result)
        return
    from distlaw.report.tables import prediction_table

    console().print(prediction_table(result))
    if student_loss > supervised_loss and not np.isclose(student_loss, supervised_loss):
        print_sentences("With this teacher the student ends worse than without one.")
    print_warnings(warnings)


def _teacher_loss(
    found: PublishedLaw,
    loss: float | None,
    params: Size | None,
    tokens: float | None,
    bits_per_byte: float | None,
    bytes_per_token: float | None,
) -> tuple[float | None, str | None]:
    """The teacher's loss, from the one way in which it was given, and how it was come by; None without a teacher."""
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
        estimate = float(found.supervised.loss(params.params, tokens))
        return estimate, "estimated from size and tokens by the law's supervised part"
    if bits_per_byte is not None and bytes_per_token is not None:
        return (
            loss_from_bits_per_byte(bits_per_byte, bytes_per_token),
            "from bits per byte: assumes the teacher does as well through the law's tokenizer as its own",
        )
    return loss, None if loss is None else f"as given: must be in nats per token on the law's data ({found.data})"


def _interval(
    found: PublishedLaw, student_params: float, student_tokens: float, teacher_loss: float | None
) -> NDArray[np.float64] | None:
    """90 % interval under the resamples of a law file; None where there are none."""
    if not isinstance(found, FittedLaw) or found.draws is None:
        return None
    if isinstance(found.draws, SupervisedLaw):
        many = found.draws.loss(student_params, student_tokens)
    elif teacher_loss is not None:
        many = found.draws.student_loss(student_params, student_tokens, teacher_loss)
    else:
        return None
    return np.percentile(many, [5, 95])
