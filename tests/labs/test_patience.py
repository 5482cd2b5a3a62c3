from dataclasses import replace

import pytest
from tests.labs.simulate import findings_of, noise

from distlaw.labs import patience
from distlaw.labs.narrow import Narrow
from distlaw.labs.patience import LAB, MULTIPLES, trend
from distlaw.labs.trials import scale

SEEDS = (0, 1, 2)
S = scale("quick")
FIRST = S.tokens / 8


def alone(length):
    return 3.0 + (FIRST / length) ** 0.5


def fresh(*, good=lambda length: alone(2 * length), strong=0.05):
    """Losses: of a student alone, under the good teacher, and by how much the other teachers are worse."""

    def loss(_study, run):
        scatter = 0.02 * noise(run.seed) + 0.001 * noise(run.id)
        if run.split == "teacher":
            return 2.5
        if run.teacher is None:
            return alone(run.tokens) + scatter
        other = {"good": 0.0, "strong": strong, "weak": 0.2}[S.name_of(run.teacher)]
        return good(run.tokens) + other + scatter

    return loss


def repeated(
    *, supervised=lambda epochs: 3.0 + epochs**-0.5 + 0.01 * epochs, distilled=lambda epochs: 3 + epochs**-0.5
):
    def course(loss, name):
        return {
            epochs: {seed: loss(epochs) + 0.001 * noise(name, epochs, seed) for seed in SEEDS} for epochs in MULTIPLES
        }

    return Narrow(
        tokens=16_000,
        teacher_loss=2.5,
        distilled=course(distilled, "distilled"),
        supervised=course(supervised, "supervised"),
    )


def verdicts(monkeypatch, tmp_path, loss, few):
    monkeypatch.setattr(patience, "narrow", lambda *_args, **_more: few)
    return [finding.verdict for finding in findings_of(LAB, tmp_path, loss).findings]


def test_all_hold_where_all_is_planted(monkeypatch, tmp_path):
    assert verdicts(monkeypatch, tmp_path, fresh(), repeated()) == ["holds"] * 6


@pytest.mark.parametrize(
    ("finding", "loss", "few"),
    [
        (0, fresh(good=lambda length: 3.1 + 0.02 * (length > 8 * FIRST)), repeated()),
        (1, fresh(good=lambda length: alone(length / 2)), repeated()),
        (2, fresh(strong=-0.02), repeated()),
        (3, fresh(), repeated(distilled=lambda epochs: 3.0 + epochs**-0.5 + 0.1 * (epochs == 32))),
        (4, fresh(), repeated(supervised=lambda epochs: 2.9 + epochs**-0.5)),
        (5, fresh(good=lambda length: alone(length) - 0.02 * length / FIRST), repeated()),
        (5, fresh(good=lambda length: alone(length) - 0.001 * length / FIRST), repeated()),  # both grow
    ],
)
def test_a_claim_fails_where_the_opposite_is_planted(finding, loss, few, monkeypatch, tmp_path):
    assert verdicts(monkeypatch, tmp_path, loss, few)[finding] == "does not hold"


def test_teachers_that_do_not_differ_are_undecided(monkeypatch, tmp_path):
    assert verdicts(monkeypatch, tmp_path, fresh(strong=0.0), repeated())[2] == "undecided"


def test_the_two_settings_differ_though_both_leads_shrink(monkeypatch, tmp_path):
    few = repeated(supervised=lambda epochs: 3.1 + epochs**-0.5 - 0.0005 * epochs)
    assert verdicts(monkeypatch, tmp_path, fresh(), few)[5] == "holds"


def test_trend_is_the_change_of_the_lead_over_the_last_two_doublings():
    supervised = {1: {0: 9.0}, 2: {0: 5.0}, 4: {0: 4.5}, 8: {0: 4.25}}
    distilled = {1: {0: 7.0}, 2: {0: 4.0}, 4: {0: 4.0}, 8: {0: 4.0}}
    assert trend(supervised, distilled) == {0: pytest.approx(0.25 - 1.0)}


def test_each_length_has_a_student_of_every_teacher_and_one_alone():
    runs = LAB.study("quick", 0).runs
    students = [run for run in runs if run.split == "student"]
    lengths = {run.tokens for run in students}
    assert sorted(lengths) == [round(FIRST) * times for times in MULTIPLES]
    for length in lengths:
        for seed in SEEDS:
            at = [
                run.teacher and S.name_of(run.teacher) for run in students if (run.tokens, run.seed) == (length, seed)
            ]
            assert sorted(at, key=str) == [None, "good", "strong", "weak"]


def test_tables_and_chart_hold_every_length(monkeypatch, tmp_path):
    few = replace(repeated(), tokens=10)
    monkeypatch.setattr(patience, "narrow", lambda *_args, **_more: few)
    found = findings_of(LAB, tmp_path, fresh())
    assert [len(table.rows) for table in found.tables] == [4 * len(MULTIPLES), len(MULTIPLES)]
    assert found.charts[0].panels[1].series[0].x.tolist() == [10.0 * epochs for epochs in MULTIPLES]
