import pytest

pytest.importorskip("torch")

from distlaw.labs.findings import Effect
from distlaw.labs.trials import by_seed, difference, scale, seeds_from, trials_of
from distlaw.sweep.protocols import Grid, Protocol


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_teachers_and_students_are_who_their_names_say(preset):
    s = scale(preset)
    shape, kind = s.base.kind().shape, s.base.kind()
    models = {name: kind.models(grid)[0] for name, grid in s.teachers.items()}
    N = {name: shape(layers).n_params for name, (layers, _) in models.items()}
    small, large = (shape(kind.nearest(params)).n_params for params in s.students)
    assert N["weak"] <= small < large < N["good"] < N["strong"]
    assert models["weak"][1] <= models["good"][1] < models["strong"][1]
    study = s.study(
        [Protocol(teachers=grid, students=Grid(params=s.students, tokens=(s.tokens,))) for grid in s.teachers.values()]
    )
    names = [s.name_of(run) for run in study.runs if run.split == "teacher"]
    assert names == ["weak", "good", "strong"]


def test_two_labs_ask_for_the_same_runs_where_they_want_the_same():
    s = scale("quick")
    students = Grid(params=s.students, tokens=(s.tokens,))
    plain = s.study([Protocol(teachers=s.teachers["good"], students=students)])
    same = s.study([Protocol(teachers=s.teachers["good"], students=students, loss={"temperature": 1.0, "mixing": 1.0})])
    other = s.study([Protocol(teachers=s.teachers["good"], students=students, loss={"temperature": 2.0})])
    ids = [{run.id for run in study.runs if run.teacher} for study in (plain, same, other)]
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]


def test_trials_are_runs_beside_their_records():
    s = scale("quick")
    study = s.study([Protocol(students=Grid(params=s.students[:1], tokens=(s.tokens,)), seeds=seeds_from(3, 2))])
    runs = list(study.runs)
    records = {runs[0].id: {"student_loss": 3.0, "teacher_loss": None, "evaluation": {"ece": 0.1}}}
    [trial] = trials_of(study, records)
    assert (trial.run, trial.loss, trial.teacher_loss, trial.evaluation["ece"]) == (runs[0], 3.0, None, 0.1)
    assert trial.flops == study.flops(runs[0])
    assert by_seed([trial]) == {3: 3.0}
    assert by_seed([trial], lambda one: one.evaluation["ece"]) == {3: 0.1}
    with pytest.raises(ValueError, match="two trials have seed 3"):
        by_seed([trial, trial])


def test_differences_are_paired_by_seed():
    found = difference({0: 3.0, 1: 3.5, 2: 9.0}, {1: 3.4, 0: 2.9})
    assert isinstance(found, Effect)
    assert found.value == pytest.approx(0.1)
    assert found.interval == pytest.approx((0.1, 0.1))
