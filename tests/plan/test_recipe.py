import pytest

from distlaw.costs import PAPER_FAMILY
from distlaw.laws import DEFAULT_LAW, published
from distlaw.plan import Problem, recipe, solve, write_recipe

LAW = published(DEFAULT_LAW).law


def read(tmp_path, text, *, distill):
    pytest.importorskip("pydantic")
    pytest.importorskip("torch")
    from distlaw.train.config import read_config

    write_recipe(text, tmp_path / "run.toml")
    return read_config(tmp_path / "run.toml", distill=distill)


@pytest.mark.parametrize(("size", "compute"), [(1e9, 1e22), (3e8, 1e20), (7e9, 1e24)])
def test_the_config_trains_what_was_planned(tmp_path, size, compute):
    plan = solve(LAW, Problem(student_params=size, compute=compute))
    for option in plan.options:
        distill = option.scenario != "supervised"
        config = read(tmp_path, recipe(plan, law=DEFAULT_LAW, scenario=option.scenario), distill=distill)
        [student] = config.students
        shape = student.model.architecture(vocab_size=config.data.vocab_size, context=config.data.context)
        assert shape.n_params == PAPER_FAMILY.nearest(size).n_params
        tokens = config.training.steps * config.training.batch_tokens
        assert tokens == pytest.approx(option.student_tokens, rel=0.02)
        assert (config.teacher is not None) == distill == student.has_teacher


def test_the_best_option_is_written_by_default():
    plan = solve(LAW, Problem(student_params=1e9, compute=1e22))
    assert recipe(plan, law=DEFAULT_LAW) == recipe(plan, law=DEFAULT_LAW, scenario=plan.best.scenario)
    assert "of 1.9670 nats per token" in recipe(plan, law=DEFAULT_LAW)


def test_what_cannot_be_written_down(tmp_path):
    plan = solve(LAW, Problem(student_params=1e9, compute=1e22))
    with pytest.raises(ValueError, match=r"scenario 'free' is unknown; choose one of supervised, best-case"):
        recipe(plan, law=DEFAULT_LAW, scenario="free")
    with pytest.raises(ValueError, match=r"must end in .toml"):
        write_recipe("", tmp_path / "run.yaml")
