"""The question of the Plan tab, and the same question to the command line and to Python."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

from distlaw.apps.options import Budget, FamilyOptions, Hardware, Limits, Sharing, Size, make_problem
from distlaw.apps.plan_run import DEFAULT_SCENARIO
from distlaw.apps.web.query import Question, Row
from distlaw.costs import ACCELERATORS, PAPER_FAMILY, SCENARIOS, Machine
from distlaw.laws import DEFAULT_LAW
from distlaw.plan import Problem, Teacher
from distlaw.runs import one_line, parse_quantity

T = TypeVar("T")

UNITS = {
    "flops": "FLOPs",
    "gpu-hours": "GPU-hours",
    "dollars": "US dollars",
    "tokens": "student tokens, compute free",
    "loss": "loss to reach, nats per token",
}
"""What a budget may be in."""

_GOALS = dict(zip(UNITS, ("compute", "gpu_hours", "dollars", "student_tokens", "target_loss"), strict=True))
TEACHER_CELLS = ("name", "parameters", "loss, nats", "tokens")


@dataclass(frozen=True, kw_only=True)
class PlanQuestion(Question):
    """A student, what may be spent on it, and what is shared; numbers as people write them, empty where there is none.

    Attributes:
        student: Parameters of the student.
        budget: How much.
        unit: Of what, a key of `UNITS`.
        situation: The scenario that is the user's own.
        students: Students that share the teacher's pretraining.
        shared: Whether they also share its passes.
        cached: Share of the targets that are read from a cache.
        serving: Tokens that the student will serve.
        unique_tokens: How much unique text there is; empty: enough.
        largest_teacher: Parameters of the largest teacher to consider; empty: any.
        law: Key of a law, see `distlaw.apps.web.laws`.
        accelerator: What GPU-hours and dollars are those of.
        utilisation: Share of its peak that is reached.
        price: Dollars for an hour; empty: as the table of accelerators has it.
        context: Context length of the family that FLOPs are counted for.
        vocabulary: Its vocabulary.
        teacher: Own teachers, each a row of `TEACHER_CELLS`.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "unit": tuple(UNITS),
        "situation": tuple(SCENARIOS),
        "shared": ("", "yes"),
        "accelerator": tuple(ACCELERATORS),
    }

    student: str = "1B"
    budget: str = "1e21"
    unit: str = "flops"
    situation: str = "teacher-inference"
    students: str = "1"
    shared: str = ""
    cached: str = "0"
    serving: str = "0"
    unique_tokens: str = ""
    largest_teacher: str = ""
    law: str = DEFAULT_LAW
    accelerator: str = "h100"
    utilisation: str = "0.4"
    price: str = ""
    context: str = "4096"
    vocabulary: str = str(PAPER_FAMILY.n_vocab)
    teacher: tuple[Row, ...] = ()

    @property
    def machine(self) -> Machine:
        """What FLOPs run on.

        Raises:
            ValueError: A number is wrong; names its field.
        """
        price = self._optional("price", parse_quantity)
        utilisation = self._read("utilisation", _share)
        machine = Hardware(accelerator=self.accelerator, utilisation=utilisation, price_per_hour=price).machine()
        assert machine is not None
        return machine

    @property
    def problem(self) -> Problem:
        """The planner's problem.

        Raises:
            ValueError: A number is wrong; names its field.
        """
        student = Size(params=self._read("student", parse_quantity))
        goal = Budget(**{_GOALS[self.unit]: self._read("budget", parse_quantity)}).as_goal(self.machine)
        most, unique = (self._optional(name, parse_quantity) for name in ("largest_teacher", "unique_tokens"))
        limits = Limits(unique_tokens=unique) if most is None else Limits(max_teacher_params=most, unique_tokens=unique)
        sharing = Sharing(
            students=self._read("students", parse_quantity),
            shared_logits=self.shared == "yes",
            cached_fraction=self._read("cached", _share),
            serving_tokens=self._read("serving", _zero_or_quantity),
        )
        family = FamilyOptions(context=self._read("context", _whole), vocabulary=self._read("vocabulary", _whole))
        return make_problem(student, goal, limits, sharing, family)

    @property
    def entries(self) -> int:
        """Entries of the vocabulary.

        Raises:
            ValueError: It is no whole number; names its field.
        """
        return self._read("vocabulary", _whole)

    @property
    def scenario(self) -> str:
        """The situation that is answered: own teachers exist, so that their training is not paid for."""
        if not any(any(cell.strip() for cell in row) for row in self.teacher):
            return self.situation
        return "best-case" if self.situation in ("best-case", "teacher-pretraining") else "teacher-inference"

    @property
    def teachers(self) -> list[Teacher]:
        """The user's own teachers.

        Raises:
            ValueError: A row is wrong; names it.
        """
        found = []
        for number, row in enumerate(self.teacher, start=1):
            cells = [*(cell.strip() for cell in row), "", "", "", ""][:4]
            if not any(cells):
                continue
            try:
                params = parse_quantity(cells[1])
                loss, tokens = (parse_quantity(cell) if cell else None for cell in cells[2:])
                name = one_line(cells[0], 60) or f"teacher {number}"
                found.append(Teacher(name=name, params=params, loss=loss, tokens=tokens))
            except ValueError as error:
                raise ValueError(f"own teachers, row {number}: {error}") from None
        return found

    def command(self, law: str) -> str:
        """The command line that gives the same plan.

        Args:
            law: The law as a command names it.
        """
        words = ["distlaw", "plan", "--student-params", self.student.strip()]
        words += ["--" + _GOALS[self.unit].replace("_", "-"), self.budget.strip(), "--law", law]
        words += ["--accelerator", self.accelerator]
        for name, option in _OPTIONS.items():
            value = getattr(self, name).strip()
            if value != _DEFAULTS[name]:
                words += [option] if name == "shared" else [option, value]
        if self.scenario != DEFAULT_SCENARIO:
            words += ["--scenario", self.scenario]
        own = self.teachers
        if not own:
            return shlex.join(words)
        rows = [",".join(_TEACHER_COLUMNS), *(_teacher_row(teacher) for teacher in own)]
        file = shlex.join(["printf", "%s\\n", *rows]) + " > teachers.csv"
        return f"{file}\n{shlex.join([*words, '--teachers', 'teachers.csv'])}"

    def python(self, law: str) -> str:
        """Python that gives the same plan."""
        problem = self.problem
        goal = next(name for name in ("compute", "student_tokens", "target_loss") if getattr(problem, name) is not None)
        context, vocabulary = self._read("context", _whole), self._read("vocabulary", _whole)
        bounds = ", ".join(f"{name}={value!r}" for name, value in vars(problem.bounds).items())
        own = [
            f"    Teacher(name={one.name!r}, params={one.params!r}, loss={one.loss!r}, tokens={one.tokens!r}),\n"
            for one in self.teachers
        ]
        teachers = f"[\n{''.join(own)}]" if own else "[]"
        return f"""\
from distlaw.apps.plan_run import run_plan
from distlaw.costs import CostModel, Family
from distlaw.fit import find_law
from distlaw.plan import Bounds, Problem, Teacher

problem = Problem(
    student_params={problem.student_params!r},
    {goal}={getattr(problem, goal)!r},
    students={problem.students!r},
    shared_logits={problem.shared_logits!r},
    cached_fraction={problem.cached_fraction!r},
    bounds=Bounds({bounds}),
    costs=CostModel(
        forward_flops=Family(n_ctx={context}, n_vocab={vocabulary}).forward_flops,
        serving_tokens={problem.costs.serving_tokens!r},
    ),
)
teachers = {teachers}
law = {law!r}
run = run_plan(find_law(law), problem, law=law, scenario={self.scenario!r}, own=teachers, vocabulary={vocabulary})
print(run.headline)
for option in run.plan.options:
    print(option.scenario, option.student_loss, option.student_tokens, option.teacher_params, option.teacher_tokens)
print(*run.sentences, sep="\\n")
"""

    def _read(self, name: str, read: Callable[[str], T]) -> T:
        try:
            return read(getattr(self, name))
        except ValueError as error:
            raise ValueError(f"{LABELS[name]}: {error}") from None

    def _optional(self, name: str, read: Callable[[str], T]) -> T | None:
        return self._read(name, read) if getattr(self, name).strip() else None


LABELS = {
    "student": "Student parameters",
    "budget": "Budget",
    "unit": "Budget is in",
    "situation": "Your situation",
    "students": "Students that share the teacher",
    "shared": "They share its passes, too",
    "cached": "Share of targets from a cache",
    "serving": "Tokens the student will serve",
    "unique_tokens": "Unique text there is, tokens",
    "largest_teacher": "Largest teacher, parameters",
    "law": "Law",
    "accelerator": "Accelerator",
    "utilisation": "Utilisation (MFU)",
    "price": "Dollars an hour",
    "context": "Context, tokens",
    "vocabulary": "Vocabulary, entries",
    "teacher": "Own teachers",
}
"""What the inputs are called on the page, and in messages."""

_OPTIONS = {
    "students": "--students",
    "shared": "--shared-logits",
    "cached": "--cached-fraction",
    "serving": "--serving-tokens",
    "unique_tokens": "--unique-tokens",
    "largest_teacher": "--max-teacher-params",
    "utilisation": "--utilisation",
    "price": "--price-per-hour",
    "context": "--context",
    "vocabulary": "--vocabulary",
}
_DEFAULTS = {field.name: field.default for field in fields(PlanQuestion)}


_TEACHER_COLUMNS = ("name", "params", "loss", "tokens")


def _teacher_row(teacher: Teacher) -> str:
    """A row of a table of teachers."""
    name = '"' + teacher.name.replace('"', '""') + '"'
    numbers = (teacher.params, teacher.loss, teacher.tokens)
    return ",".join([name, *("" if number is None else f"{number:.12g}" for number in numbers)])


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"'{one_line(text, 40)}' is not a share from 0 to 1")
    return value


def _whole(text: str) -> int:
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit() and len(stripped) <= 9 and int(stripped) >= 1):
        raise ValueError(f"'{one_line(text, 40)}' is not a whole number from 1 to 999999999")
    return int(stripped)


def _zero_or_quantity(text: str) -> float:
    return 0.0 if text.strip() in ("0", "") else parse_quantity(text)
