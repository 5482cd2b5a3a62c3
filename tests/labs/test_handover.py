from dataclasses import replace
from math import ceil, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.labs.simulate import bench_of, findings_of, noise

from distlaw.labs import handover
from distlaw.labs.handover import LAB, SHARES, effective_tokens, tokens_at
from distlaw.labs.trials import scale, trials_of

S = scale("quick")


def share_of(study, run):
    mixing = study.setup(run).loss.mixing
    return 0.0 if run.teacher is None else mixing if isinstance(mixing, float) else mixing[0][0]


def by_worth(kappa, *, between=0.0, scatter=0.0005):
    """Losses of one kappa: of a student alone on so many effective tokens, and a bonus of a switch between the ends."""

    def loss(study, run):
        if run.split == "teacher":
            return 2.5
        share = share_of(study, run)
        effective = run.tokens * (1 + share * (kappa - 1))
        return 4.0 - 0.2 * log(effective / S.tokens) - between * (0 < share < 1) + scatter * noise(run.id)

    return loss


def courses_of(tmp_path, loss):
    bench = bench_of(LAB, tmp_path, loss)
    assert bench.study is not None
    return handover._courses(S, bench.study, trials_of(bench.study, bench.records))


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.2, 20), st.floats(0.01, 0.99))
def test_with_one_kappa_no_switch_between_the_ends_is_best(F_S, F_T, kappa, share):
    ends = [effective_tokens(end, kappa, 1e6, F_S, F_T) for end in (0.0, 1.0)]
    assert min(ends) * (1 - 1e-9) <= effective_tokens(share, kappa, 1e6, F_S, F_T) <= max(ends) * (1 + 1e-9)
    assert (ends[1] > ends[0]) == (kappa > 1 + F_T / (3 * F_S)) or ends[0] == pytest.approx(ends[1])


@given(st.floats(0, 1))
def test_compute_pays_for_training_and_the_teachers_share(share):
    D = tokens_at(share, 1e9, 2.0, 5.0)
    assert 3 * 2.0 * D + share * D * 5.0 == pytest.approx(1e9)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (by_worth(4.0), ["does not hold", "does not hold", "holds", "holds"]),
        (by_worth(1.1), ["does not hold", "does not hold", "holds", "holds"]),
        (by_worth(4.0, between=0.3), ["holds", "holds", "does not hold", "does not hold"]),
        (by_worth(2.3, scatter=0.1), ["undecided", "undecided"]),
    ],
)
def test_verdicts_are_those_of_what_is_planted(loss, expected, tmp_path):
    found = [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize("kappa", [1.2, 2.3, 5.0])
def test_the_law_finds_the_planted_worth_and_its_end(kappa, tmp_path):
    for course in courses_of(tmp_path, by_worth(kappa, scatter=0.0)):
        assert course.worth().value == pytest.approx(kappa)
        assert course.law() == (1.0 if kappa > course.price else 0.0)
        assert [course.predicted(share) for share in SHARES] == pytest.approx(
            [next(iter(course.losses[share].values())) for share in SHARES], abs=2e-3
        )  # tokens are whole steps


def test_every_share_is_charged_the_same_within_a_step(tmp_path):
    courses = courses_of(tmp_path, by_worth(2.0))
    assert [course.teacher for course in courses] == ["good", "strong"]
    step = S.base.training.batch_tokens
    for course in courses:
        C = course.tokens * (3 * course.F_S + course.F_T)
        assert tuple(course.losses) == SHARES
        assert course.charge(1.0) == C
        for share in SHARES:
            assert abs(course.charge(share) - C) <= step * (3 * course.F_S + course.F_T)
        assert course.charge(0.0) == 3 * course.F_S * course.trials[0.0].run.tokens


@pytest.mark.slow
def test_the_loop_asks_the_teacher_in_the_steps_that_are_charged_and_no_others(tmp_path, monkeypatch):
    from distlaw.train import students
    from distlaw.train.config import RunConfig, StudentConfig, TeacherConfig
    from distlaw.train.loop import run
    from distlaw.train.losses import LossConfig

    data = replace(S.base.data, synthetic_tokens=100_000)
    training = replace(S.base.training, tokens=11 * 1024, validation_tokens=1024)
    student = StudentConfig(name="student", model=replace(S.base.family, layers=1), loss=LossConfig(mixing=0.0))
    alone = RunConfig(data=data, training=training, students=(student,))
    run(alone, tmp_path / "teacher", cache=tmp_path / "cache")
    asked = []
    ask = students.Students._targets
    monkeypatch.setattr(students.Students, "_targets", lambda *args: asked.append(1) or ask(*args))
    for share in (0.25, 1.0):
        asked.clear()
        loss = LossConfig(mixing=((share, 1.0), (share, 0.0)) if share < 1 else 1.0)
        teacher = TeacherConfig(path=str(tmp_path / "teacher"))
        config = replace(alone, students=(replace(student, loss=loss),), teacher=teacher, split="student")
        run(config, tmp_path / f"at-{share}", cache=tmp_path / "cache")
        assert len(asked) == ceil(share * 11)
