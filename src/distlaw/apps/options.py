"""Options that several commands share, as frozen dataclasses whose docstrings are the help."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from distlaw.apps.output import print_notes
from distlaw.costs import PAPER_FAMILY, Architecture, CostModel, Family, Machine, accelerator, read_architecture
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW, PublishedLaw, StudentLaw, SupervisedLaw
from distlaw.plan import Bounds, Problem
from distlaw.plan.problem import MOST_TEACHER_TOKENS
from distlaw.runs import Runs, columns_said, in_counts, one_line, parse_quantity, read_runs

# The help lists the options that commands share in this order, after a command's own.
_GROUPS = {
    title.partition(" (")[0]: cyclopts.Group(title, sort_key=place)
    for place, title in enumerate(
        (
            "Table of runs",
            "Budget (exactly one, except that hours and dollars name an accelerator)",
            "Sharing and serving",
            "Bounds",
            "Model family",
            "Hardware",
        )
    )
}


@dataclass(frozen=True)
class Size:
    """A model's size, with its shape where a `config.json` was given."""

    params: float
    shape: Architecture | None = None

    def at_context(self, n_ctx: int) -> "Size":
        """The same model at another context length."""
        return self if self.shape is None else Size(params=self.params, shape=replace(self.shape, n_ctx=n_ctx))


def read_size(text: str) -> Size:
    """Read `1.5B`, or the path of a Hugging Face `config.json` or of a directory that holds one."""
    if text.endswith(".json") or "/" in text or _is_folder(text):
        shape = read_architecture(Path(text))
        return Size(params=float(shape.n_params), shape=shape)
    try:
        return Size(params=parse_quantity(text))
    except ValueError as error:
        if text[:1].isalpha() or text[:1] == ".":  # a name rather than a number
            raise ValueError(f"{error}, and there is no folder of that name") from None
        raise


def _is_folder(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_dir()
    except OSError:  # too long for a name
        return False


def _whole_number(_type: Any, tokens: Sequence[cyclopts.Token]) -> int:  # noqa: ANN401
    text = tokens[0].value
    if not (text.isascii() and text.isdigit() and int(text[:10]) >= 1 and len(text) <= 9):
        raise ValueError(f"'{one_line(text, 40)}' is not a whole number from 1 to 999999999")
    return int(text)


def _model_size(_type: Any, tokens: Sequence[cyclopts.Token]) -> Size:  # noqa: ANN401
    return read_size(tokens[0].value)


def _quantity(_type: Any, tokens: Sequence[cyclopts.Token]) -> float:  # noqa: ANN401
    return parse_quantity(tokens[0].value)


def _zero_or_quantity(_type: Any, tokens: Sequence[cyclopts.Token]) -> float:  # noqa: ANN401
    text = tokens[0].value
    return 0.0 if text.strip() == "0" else parse_quantity(text)


def _model_sizes(_type: Any, tokens: Sequence[cyclopts.Token]) -> tuple[Size, ...]:  # noqa: ANN401
    return tuple(read_size(part) for token in tokens for part in token.value.split(","))


WholeNumber = Annotated[int, Parameter(converter=_whole_number, n_tokens=1, accepts_keys=False)]
Quantity = Annotated[float, Parameter(converter=_quantity, n_tokens=1, accepts_keys=False)]
ZeroOrQuantity = Annotated[float, Parameter(converter=_zero_or_quantity, n_tokens=1, accepts_keys=False)]
ModelSize = Annotated[Size, Parameter(converter=_model_size, n_tokens=1, accepts_keys=False)]
ModelSizes = Annotated[tuple[Size, ...], Parameter(converter=_model_sizes, n_tokens=1, accepts_keys=False)]


@Parameter(name="*", group=_GROUPS["Table of runs"])
@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table of runs is read.

    Attributes:
        columns: What the table calls a column, as loss=val_loss,params=N_total, or `-` where it shall not have one; the
            others go by their usual names.
        units: In what a column is, as tokens=B,compute=G,loss=bits, where that is not found from the values or found
            wrongly: 1 (as written), K, M, B, T, P, E or PF-days; of losses nats, bits or perplexity; or a number to
            multiply with.
    """

    columns: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    units: Annotated[tuple[str, ...], Parameter(negative=())] = ()

    def read(self, table: Path) -> Runs:
        """The runs of a table.

        Raises:
            ValueError: An option cannot be read, or see `read_runs`.
        """
        units = columns_said(said_of_columns(self.units, "--units", "tokens=B,loss=bits"))
        try:
            runs = in_counts(read_runs(table, self.said, units), units)
        except ValueError as error:
            shown = one_line(table)
            raise ValueError(str(error) if str(error).startswith(shown) else f"{shown}: {error}") from None
        print_notes([note.text for note in runs.notes])
        return runs

    @property
    def said(self) -> dict[str, str]:
        """What the table calls columns, by the names of `RUN_COLUMNS`."""
        return columns_said(said_of_columns(self.columns, "--columns", "loss=val_loss,params=N_total"))


def said_of_columns(words: Sequence[str], option: str, example: str) -> dict[str, str]:
    """What is said of columns, as `loss=val_loss,params=N`; a comma in a name is none between two."""
    found: dict[str, str] = {}
    for part in (part for word in words for part in re.split(",(?=[^,=]*=)", word)):
        name, sign, value = (text.strip() for text in part.partition("="))
        if not (name and sign and value):
            raise ValueError(f"{option} '{one_line(part, 80)}' must say what is what, as {example}")
        if name in found:
            raise ValueError(f"{option} says {name} twice: {one_line(found[name], 60)} and {one_line(value, 60)}")
        found[name] = value
    return found


@Parameter(name="*", group=_GROUPS["Budget"])
@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be spent, or what is to be reached.

    Attributes:
        compute: Total FLOPs for the student and what the scenario charges for, such as 1e22.
        gpu_hours: The same budget in hours of one accelerator.
        dollars: The same budget in dollars.
        student_tokens: Budget in student tokens, compute being free, such as 200B.
        target_loss: Student loss to reach with the least compute, nats per token.
    """

    compute: Quantity | None = None
    gpu_hours: Quantity | None = None
    dollars: Quantity | None = None
    student_tokens: Quantity | None = None
    target_loss: Quantity | None = None

    def as_goal(self, machine: Machine | None) -> dict[str, float]:
        """The one goal given, hours and dollars turned into FLOPs.

        Raises:
            ValueError: None or several are given, or hours or dollars without an accelerator.
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        names = ["--" + name.replace("_", "-") for name in given]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of --compute, --gpu-hours, --dollars, --student-tokens and --target-loss; got "
                + (" and ".join(names) if names else "none of them")
            )
        [(name, value)] = given.items()
        if name in ("gpu_hours", "dollars"):
            if machine is None:
                raise ValueError(f"{names[0]} needs --accelerator, such as h100")
            return {
                "compute": value * machine.flops_per_hour if name == "gpu_hours" else machine.flops_for_dollars(value)
            }
        return {name: value}


@Parameter(name="*", group=_GROUPS["Hardware"])
@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the FLOPs run on, for hours, energy and money.

    Attributes:
        accelerator: One of a100, h100, h200, b200, mi300x, l40s, tpu-v5p, in any case; prices and powers are rough and
            can be overridden.
        utilisation: Share of the peak that useful arithmetic reaches (MFU), 0 to 1.
        price_per_hour: Dollars for an hour of one accelerator.
        peak_flops: Peak of one accelerator, FLOP/s.
        watts: Board power of one accelerator.
    """

    accelerator: str | None = None
    utilisation: float = 0.4
    price_per_hour: Quantity | None = None
    peak_flops: Quantity | None = None
    watts: Quantity | None = None

    def machine(self) -> Machine | None:
        """The machine, or None where no accelerator is named.

        Raises:
            ValueError: The accelerator is unknown or a number is out of range.
        """
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"--utilisation must be above 0 and at most 1, got {self.utilisation}")
        if self.accelerator is None:
            if self.price_per_hour or self.peak_flops or self.watts:
                raise ValueError("--price-per-hour, --peak-flops and --watts override an --accelerator: name one")
            return None
        chip = accelerator(
            self.accelerator,
            peak_flops=self.peak_flops,
            watts=self.watts,
            dollars_per_hour=self.price_per_hour,
        )
        return Machine(accelerator=chip, utilisation=self.utilisation)


@Parameter(name="*", group=_GROUPS["Bounds"])
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Least and most of what the planner may choose.

    Attributes:
        max_student_tokens: Most student tokens.
        min_teacher_params: Smallest teacher.
        max_teacher_params: Largest teacher.
        max_teacher_tokens: Most teacher tokens; no open teacher is known to have seen more than 20T.
        unique_tokens: How much unique text there is: caps student and teacher tokens (each may use all of it).
    """

    max_student_tokens: Quantity = 1e17
    min_teacher_params: Quantity = 1e6
    max_teacher_params: Quantity = 1e17
    max_teacher_tokens: Quantity = MOST_TEACHER_TOKENS
    unique_tokens: Quantity | None = None

    def bounds(self) -> Bounds:
        """Bounds for the planner.

        Raises:
            ValueError: A least is above its most.
        """
        unique = self.unique_tokens or 1e17
        student, teacher = min(self.max_student_tokens, unique), min(self.max_teacher_tokens, unique)
        return Bounds(
            student_tokens=(min(1e6, student), student),
            teacher_params=(self.min_teacher_params, self.max_teacher_params),
            teacher_tokens=(min(1e6, teacher), teacher),
        )


@Parameter(name="*", group=_GROUPS["Sharing and serving"])
@dataclass(frozen=True, kw_only=True)
class Sharing:
    """What the student shares with others, and what it serves.

    Attributes:
        students: Students that share the teacher's pretraining; each pays its part.
        shared_logits: The students also learn side by side from one teacher pass.
        cached_fraction: Share of the student's targets that are read from a cache, 0 to 1.
        serving_tokens: Tokens that the student will serve in its life; the budget pays for them too.
    """

    students: float = 1.0
    shared_logits: bool = False
    cached_fraction: float = 0.0
    serving_tokens: ZeroOrQuantity = 0.0


ScenarioName = Literal["best-case", "teacher-inference", "teacher-pretraining", "teacher-pretraining-and-inference"]


@Parameter(name="*", group=_GROUPS["Model family"])
@dataclass(frozen=True, kw_only=True)
class FamilyOptions:
    """The family that FLOPs are counted for (eq. 69).

    Attributes:
        context: Context length in tokens.
        vocabulary: Entries of the vocabulary.
    """

    context: WholeNumber = PAPER_FAMILY.n_ctx
    vocabulary: WholeNumber = PAPER_FAMILY.n_vocab

    def family(self) -> Family:
        """The family."""
        return Family(n_ctx=self.context, n_vocab=self.vocabulary)


def planning_law(name: str) -> tuple[PublishedLaw, StudentLaw]:
    """A published set or a law file that can be planned with.

    Raises:
        ValueError: The name is unknown, the file is bad, or there is no distillation law in it.
    """
    found = find_law(name)
    if isinstance(found.law, SupervisedLaw):
        raise ValueError(
            f"law '{name}' is supervised only and cannot weigh distillation; choose one with a distillation law, as"
            f" {DEFAULT_LAW}"
        )
    return found, found.law


def make_problem(
    student: Size, goal: dict[str, float], limits: Limits, sharing: Sharing, family: FamilyOptions
) -> Problem:
    """The planner's problem from the options of a command."""
    costs = CostModel(
        forward_flops=family.family().forward_flops,
        student_forward_flops=None if student.shape is None else student.shape.forward_flops,
        serving_tokens=sharing.serving_tokens,
    )
    return Problem(
        student_params=student.params,
        bounds=limits.bounds(),
        costs=costs,
        students=sharing.students,
        cached_fraction=sharing.cached_fraction,
        shared_logits=sharing.shared_logits,
        **goal,
    )


def students_vocabulary(student: Size, family: FamilyOptions) -> float | None:
    """Entries of the student's own vocabulary: of its config, or as --vocabulary says; None where nobody said."""
    if student.shape is not None:
        return float(student.shape.n_vocab)
    return None if family.vocabulary == FamilyOptions().vocabulary else float(family.vocabulary)


def vocabulary_warnings(size: Size, law: PublishedLaw, what: str) -> list[str]:
    """Losses compare only under one tokenizer: say so where a shape brings its own vocabulary."""
    if size.shape is None:
        return []
    return [
        f"the {what}'s config has a vocabulary of {size.shape.n_vocab}; losses here are those of the law's tokenizer"
        f" and data ({law.data}), not of the {what}'s own"
    ]


def name_value_pairs(words: tuple[str, ...], option: str, example: str) -> list[tuple[str, str]]:
    """Words such as `gamma=1` as pairs of a name and what it equals."""
    pairs = []
    for word in words:
        left, sign, right = (part.strip() for part in word.partition("="))
        if not (left and sign and right):
            raise ValueError(f"{option} '{word}' must name a coefficient and what it equals, as {example}")
        pairs.append((left, right))
    return pairs


def number_of(text: str, name: str) -> float:
    """What a coefficient is fixed at."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--fix {name}: '{text}' is not a number") from None
