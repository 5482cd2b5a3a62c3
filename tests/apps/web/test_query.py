import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlaw.apps.web.fit_question import FitQuestion
from distlaw.apps.web.law_question import LawQuestion
from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.apps.web.query import LONGEST, LONGEST_TEXT, MOST_ROWS
from distlaw.apps.web.study_question import StudyQuestion

QUESTIONS = (PlanQuestion, LawQuestion, FitQuestion, StudyQuestion)

texts = st.text(max_size=40).filter(str.isprintable)


@st.composite
def questions(draw):
    kind = draw(st.sampled_from(QUESTIONS))
    values = {}
    for name in draw(st.sets(st.sampled_from(kind.names()))):
        if name == "teacher" and kind is PlanQuestion:
            values[name] = tuple(draw(st.lists(st.tuples(texts, texts, texts, texts), max_size=3)))
        elif name in kind.CHOICES:
            values[name] = draw(st.sampled_from(kind.CHOICES[name]))
        else:
            values[name] = draw(texts)
    return kind(**values)


@given(questions())
def test_a_link_restores_every_input(question):
    assert type(question).from_query("?" + question.to_query()) == (question, [])


@given(st.sampled_from(QUESTIONS), st.one_of(st.text(max_size=300), st.binary(max_size=200)))
def test_no_link_whatever_breaks_the_page(kind, query):
    found, problems = kind.from_query(query if isinstance(query, str) else query.decode("latin-1"))
    again, _ = kind.from_query(found.to_query())
    assert again == found
    assert all(isinstance(problem, str) for problem in problems)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("student=2B&colour=red", "'colour' is not known here"),
        (
            "unit=parsecs",
            "unit 'parsecs' is unknown; it is one of flops, gpu-hours, dollars, tokens, loss; flops is",
        ),
        ("shared=no", "shared 'no' is unknown; it is one of nothing, yes; nothing is taken"),
        ("situation=magic", "situation 'magic' is unknown; it is one of best-case, teacher-inference"),
        ("student=1B&student=2B", "gives 'student' twice; the first is taken"),
        ("student=" + "1" * (LONGEST_TEXT + 1), "'student' is too long"),
        ("student=1%00B", "'student' is too long or not printable"),
        ("student=" + "1" * LONGEST, f"longer than {LONGEST} characters"),
        ("&".join(f"a{i}=1" for i in range(200)), "more than 100 parts"),
        ("&".join(["teacher=a"] * (MOST_ROWS + 1)), f"the first {MOST_ROWS} are taken"),
    ],
)
def test_what_a_link_says_wrong_is_named(query, says):
    _, problems = PlanQuestion.from_query(query)
    assert len(problems) == 1
    assert says in problems[0]


def test_what_can_be_read_of_a_bad_link_is():
    question, _ = PlanQuestion.from_query("student=2B&situation=magic&budget=1e20")
    assert question == PlanQuestion(student="2B", budget="1e20")


def test_an_emptied_input_is_not_the_default():
    assert PlanQuestion.from_query(PlanQuestion(student="").to_query())[0].student == ""


@pytest.mark.parametrize("kind", QUESTIONS)
def test_every_word_that_is_none_of_a_few_is_said_to_be_unknown(kind):
    for name in kind.CHOICES:
        question, problems = kind.from_query(f"{name.replace('_', '-')}=parsecs")
        assert question == kind()
        assert len(problems) == 1
        assert "'parsecs' is unknown; it is one of" in problems[0]


def test_words_are_known_in_any_case():
    assert PlanQuestion.from_query("unit=FLOPs&accelerator=H100")[1] == []
