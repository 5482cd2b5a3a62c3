import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sweep.simulate import SMALL, small

from distlaw.sweep.protocols import Grid, Protocol, Run
from distlaw.sweep.study import read_study, study_of


def study(*protocols: str):
    head = SMALL.partition("[[protocols]]")[0]
    return study_of(head + "\n".join(f"[[protocols]]\n{protocol}" for protocol in protocols), "test")


def test_fixed_m_and_isoflop_are_ways_to_give_tokens():
    found = study("students = { params = [6e3], compute = [1e9] }")
    [run] = found.runs
    shape = found.shape(run)
    assert run.tokens == pytest.approx(1e9 / (3 * shape.forward_flops), abs=128)
    assert run.tokens % 256 == 0
    assert found.flops(run) == 3 * shape.forward_flops * run.tokens
    [run] = study("students = { params = [6e3], tokens_per_param = [20] }").runs
    assert run.tokens == pytest.approx(20 * shape.n_params, abs=128)


def test_sizes_are_real_members_and_two_that_round_to_one_are_one():
    found = study("students = { params = [6e3, 6.5e3, 5e3], tokens = [4096] }")
    assert [found.shape(run).n_params for run in found.runs] == [found.kind().shape(2).n_params]


def test_a_teacher_is_trained_once_and_stands_before_its_students():
    found = small()
    runs = list(found.runs)
    teachers = [run for run in runs if run.split == "teacher"]
    assert len(teachers) == len({run.id for run in teachers}) == 2
    for run in runs:
        if run.teacher is not None:
            assert runs.index(run.teacher) < runs.index(run)
            assert run.split == "student"
            assert run.teacher.split == "teacher"
    assert sum(run.teacher is not None for run in runs) == 4


def test_equal_runs_of_two_protocols_are_one():
    once = "students = { params = [1e3], tokens = [4096, 8192] }"
    assert len(study(once, once).runs) == 2
    [names] = set(study(f'name = "a"\n{once}', f'name = "b"\n{once}').runs.values())
    assert names == ("a", "b")


def test_baselines_at_equal_tokens_and_equal_compute():
    found = study(
        "teachers = { params = [20e3], tokens = [4096] }\nstudents = { params = [1e3], tokens = [4096] }\n"
        'baselines = ["tokens", "compute"]'
    )
    _, student, equal_tokens, equal_compute = found.runs
    assert equal_tokens.teacher is None
    assert (equal_tokens.layers, equal_tokens.tokens) == (student.layers, student.tokens)
    assert found.flops(equal_compute) == pytest.approx(found.flops(student), rel=256 / student.tokens)
    assert equal_tokens.split == equal_compute.split == "student"


def test_every_difference_makes_another_run():
    base = {"layers": 1, "tokens": 256, "seed": 0, "split": "student", "settings": "s"}
    teacher = Run(**{**base, "split": "teacher"})
    runs = [Run(**base), *(Run(**{**base, **c}) for c in ({"layers": 2}, {"tokens": 512}, {"seed": 1}))]
    runs += [teacher, Run(**{**base, "settings": "t"}), Run(**base, teacher=teacher)]
    runs += [Run(**base, teacher=Run(**{**base, "split": "teacher", "seed": 1}))]
    assert len({run.id for run in runs}) == len(runs)
    assert Run(**base).id == Run(**base).id


def test_ids_are_the_same_on_every_machine():
    assert Run(layers=1, tokens=256, seed=0, split="student", settings="s").id == "7794785334b60315"


def test_only_stronger_teachers():
    text = (
        "teachers = { params = [1e3, 20e3], tokens = [4096] }\nstudents = { params = [6e3], tokens = [4096] }\n"
        "only_stronger = true"
    )
    taught = [run for run in study(text).runs if run.teacher is not None]
    assert [run.teacher.layers > run.layers for run in taught] == [True]


@given(
    params=st.lists(st.floats(1e3, 1e6), min_size=1, max_size=4),
    ratios=st.lists(st.floats(1, 300), min_size=1, max_size=4),
    limits=st.tuples(st.floats(1, 20), st.floats(20, 300)),
)
def test_limits_on_tokens_per_parameter_hold(params, ratios, limits):
    kind = small().kind()
    grid = Grid(
        params=tuple(params),
        tokens_per_param=tuple(ratios),
        least_tokens_per_param=limits[0],
        most_tokens_per_param=limits[1],
    )
    for layers, tokens in grid.models(kind.nearest, kind.shape):
        assert limits[0] * (1 - 1e-9) <= tokens / kind.shape(layers).n_params <= limits[1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(params=()), "params is empty"),
        (lambda: Grid(params=(1.0,)), "given in one way: one of tokens_per_param, tokens and compute, got none"),
        (lambda: Grid(params=(1.0,), tokens=(1.0,), compute=(1.0,)), "got tokens and compute"),
        (lambda: Grid(params=(-1.0,), tokens=(1.0,)), "params must be positive, got -1"),
        (lambda: Grid(params=(1.0,), tokens=(float("nan"),)), "tokens must be positive, got nan"),
        (lambda: Protocol(students=Grid(params=(1.0,), tokens=(1.0,)), seeds=()), "seeds is empty"),
        (lambda: Protocol(students=Grid(params=(1.0,), tokens=(1.0,)), seeds=(1, 1)), "different whole numbers"),
        (lambda: Protocol(students=Grid(params=(1.0,), tokens=(1.0,)), baselines=("tokens",)), "has no teachers"),
    ],
)
def test_impossible_grids_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_protocol_that_asks_for_nothing_is_refused():
    found = study('name = "none"\nstudents = { params = [6e3], tokens = [256], least_tokens_per_param = 100 }')
    with pytest.raises(ValueError, match="protocol 'none' asks for no run"):
        _ = found.runs


def test_the_papers_grid_has_the_papers_protocols():
    found = read_study("paper")
    supervised = [run for run in found.runs if run.teacher is None and run.split == "student"]
    teachers = {run for run in found.runs if run.split == "teacher"}
    assert len(supervised) >= 11 + 6
    assert len({found.shape(run).n_params for run in teachers}) >= 6
    # Table 13's models, and M about 20 for the fixed-M teachers.
    assert any(found.shape(run).n_params == 545970432 for run in teachers)
