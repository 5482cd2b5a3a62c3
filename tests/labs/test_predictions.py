import json

import pytest

pytest.importorskip("torch")

from tests.sweep.simulate import SMALL

from distlaw.labs import calibration, truncation
from distlaw.labs.lab import Bench
from distlaw.labs.predictions import predictions
from distlaw.sweep.jobs import config_of, jobs_of
from distlaw.sweep.study import study_of
from distlaw.train.loop import run
from distlaw.train.process import one_thread_on_cpu
from distlaw.train.target_records import CacheKey, encode
from distlaw.train.targets import Offer, sampled, uniforms

pytestmark = pytest.mark.slow  # two models are trained

STUDY = """
[[protocols]]
teachers = { params = [6e3], tokens = [8192] }
students = { params = [1e3], tokens = [8192] }
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A bench of one student and its teacher, which were trained."""
    one_thread_on_cpu()
    out = tmp_path_factory.mktemp("lab")
    study = study_of(SMALL.partition("[[protocols]]")[0] + STUDY, "small")
    models, records = {}, {}
    for job in jobs_of(study, study.runs):
        [made] = job.runs
        models[made.id] = out / made.id
        teacher = None if job.teacher is None else models[job.teacher.id]
        assert run(config_of(study, job, teacher), models[made.id], cache=out / "cache").finished
        records[made.id] = json.loads((models[made.id] / "record.json").read_text())
    return Bench(preset="quick", out=out, cache=out / "cache", study=study, models=models, records=records)


@pytest.fixture
def student(bench):
    return next(run for run in bench.study.runs if run.teacher is not None)


def test_predictions_are_those_of_the_record(bench, student):
    tokens = own = theirs = right = 0.0
    for labels, (student_says, teacher_says) in predictions(bench, [student, student.teacher]):
        tokens += len(labels)
        own -= float(student_says.gather(1, labels[:, None]).sum())
        theirs -= float(teacher_says.gather(1, labels[:, None]).sum())
        right += float((student_says.argmax(-1) == labels).sum())
    evaluation = bench.records[student.id]["evaluation"]
    assert tokens == evaluation["tokens"]
    assert own / tokens == pytest.approx(evaluation["cross_entropy"], rel=1e-5)
    assert theirs / tokens == pytest.approx(evaluation["teacher_cross_entropy"], rel=1e-5)
    assert right / tokens == evaluation["accuracy"]


def test_calibration_is_measured_as_in_the_record_and_once(bench, student, monkeypatch):
    found = calibration.measured(bench, student)
    evaluation = bench.records[student.id]["evaluation"]
    assert found.data.ece == pytest.approx(evaluation["ece"], rel=1e-4)
    assert found.teacher.ece == pytest.approx(evaluation["ece_teacher"], rel=1e-4)
    assert found.distribution.ece == pytest.approx(evaluation["ece_dist"], rel=1e-4)
    count, teachers_confidence, students_confidence = found.reverse.sums.sum(axis=1)
    assert (count, students_confidence) == pytest.approx(found.distribution.sums.sum(axis=1)[:2])
    assert teachers_confidence == pytest.approx(found.distribution.sums.sum(axis=1)[2])
    monkeypatch.setattr(calibration, "predictions", None)
    assert calibration.measured(bench, student).reverse.ece == found.reverse.ece


def test_offers_are_measured_on_the_teacher_and_once(bench, student, monkeypatch):
    offers = [Offer(), Offer(targets="top-k", top_k=8), Offer(targets="top-k", top_k=64)]
    found = truncation.measured_worth(bench, offers, student.teacher)
    assert [found[offer].kept for offer in offers] == [64, 8, 64]
    kept = [teacher.exp().topk(8).values.sum(-1) for _, [teacher] in predictions(bench, [student.teacher])]
    positions = sum(map(len, kept))
    assert found[offers[1]].lost_mass == pytest.approx(1 - sum(float(one.sum()) for one in kept) / positions, rel=1e-4)
    assert found[offers[2]].lost_mass == pytest.approx(0.0, abs=1e-6)
    monkeypatch.setattr(truncation, "predictions", None)
    assert truncation.measured_worth(bench, offers, student.teacher) == found
    with pytest.raises(TypeError, match="not callable"):
        truncation.measured_worth(bench, offers[:2], student.teacher)


def test_samples_take_the_bytes_that_they_are_stored_in(bench, student):
    [(_, [log_probs]), *_] = list(predictions(bench, [student.teacher]))
    offer = Offer(targets="sampled", samples=4)
    key = CacheKey(
        tokenizer="",
        data="",
        split="",
        teacher="",
        context=len(log_probs),
        vocabulary=64,
        kind="sampled",
        samples=4,
        seed=0,
    )
    found = truncation.worth([offer], [log_probs])[offer]
    stored = encode(key, [sampled(log_probs, 4, uniforms(0, [0], len(log_probs)))])
    assert found.bytes_a_token(offer, 64) * len(log_probs) == pytest.approx(len(stored))
