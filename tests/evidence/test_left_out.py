import numpy as np

from distlaw.evidence import left_out as module
from distlaw.evidence.answer import CannotSay
from distlaw.evidence.left_out import mean_by, predict_left_out, resampled_mean, with_form
from distlaw.fit import FitSpec

QUICK = FitSpec(starts=6, resamples=0)


def test_every_run_is_predicted_without_its_teacher(peaked, study, monkeypatch):
    runs, seen = peaked.select(peaked.distilled), []
    real = module.fit_law

    def spy(fitted, spec, **rest):
        seen.append(set(fitted.teacher_loss))
        return real(fitted, spec, **rest)

    monkeypatch.setattr(module, "fit_law", spy)
    found = predict_left_out(runs, study.ALONE, form="peaked-tokens", spec=QUICK)
    assert len(seen) == 8
    for i, teachers in enumerate(seen):
        assert not teachers & set(runs.teacher_loss[found.fold == i])
    truth = study.PEAKED.student_loss(runs.student_params, runs.student_tokens, runs.teacher_loss)
    np.testing.assert_allclose(found.predicted, truth, rtol=0.02)


def test_three_teachers_are_too_few(peaked, study):
    runs = peaked.select(peaked.distilled & (peaked.teacher_params >= 201e3))
    found = predict_left_out(runs, study.ALONE, form="peaked-tokens", spec=QUICK)
    assert isinstance(found, CannotSay)
    assert "3 teachers" in found.because


def test_forms_held_to_consistency():
    spec = with_form(QUICK, "distillation + consistency", resamples=7)
    assert (spec.form, spec.consistency, spec.resamples) == ("distillation", 1.0, 7)
    assert with_form(spec, "exponential").consistency == 0


def test_means_by_label():
    np.testing.assert_array_equal(mean_by(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1])), [2.0, 5.0])


def test_resampled_means_draw_whole_clusters():
    values, cluster = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), np.array([4, 4, 4, 9, 9, 9])
    drawn = resampled_mean(values, cluster, draws=4000, seed=(0,))
    assert set(np.unique(drawn)) == {0.0, 0.5, 1.0}
    assert np.mean(drawn == 0.5) > 0.45
