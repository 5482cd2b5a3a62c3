from pathlib import Path

import numpy as np
import pytest

from distlaw.fit import FitSpec, fit_law
from distlaw.laws import DEFAULT_LAW, SupervisedLaw, published, published_names
from distlaw.runs import accuracy, predict_runs, read_runs

TABLE_6 = {
    "A": (3355, 3346, 3360),
    "B": (18186, 18157, 18236),
    "E": (1.220, 1.190, 1.247),
    "alpha": (0.408, 0.405, 0.411),
    "beta": (0.431, 0.428, 0.433),
    "gamma": (0.452, 0.442, 0.461),
    "A'": (2243, 2227, 2255),
    "B'": (24181, 24084, 24266),
    "alpha'": (0.321, 0.319, 0.324),
    "beta'": (0.637, 0.634, 0.640),
    "gamma'": (0.764, 0.732, 0.788),
    "c0": (2.549, 2.425, 2.615),
    "c1": (522.6, 522.6, 522.6),
    "f1": (0.090, 0.088, 0.093),
    "d1": (1.315, 1.302, 1.327),
}


def test_table_6_as_printed():
    law = published("busbridge2025")
    assert set(law.coefficients) == set(law.intervals) == set(TABLE_6)
    for name, (value, low, high) in TABLE_6.items():
        assert law.coefficients[name] == value
        assert law.intervals[name] == (low, high)
    assert law.interval_level == 0.9


def test_chinchilla_sets():
    hoffmann, besiroglu = published("hoffmann2022"), published("besiroglu2024")
    assert hoffmann.coefficients == {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28, "gamma": 1.0}
    # The published consequence: about 20 tokens per parameter at the Chinchilla budget, where Hoffmann's own
    # coefficients imply far more.
    N, D = besiroglu.supervised.compute_optimal(5.76e23)
    assert 15 < D / N < 30
    N, D = hoffmann.supervised.compute_optimal(5.76e23)
    assert D / N > 60


def test_every_set_says_where_it_comes_from_and_how_far_it_reaches():
    assert DEFAULT_LAW in published_names()
    for name in published_names():
        law = published(name)
        assert law.name == name
        assert "arXiv" in law.source
        assert law.data
        assert law.size_convention
        assert {"student_params", "student_tokens"} <= set(law.fitted_range)
        assert all(low < high for low, high in law.fitted_range.values())
        assert all(low <= law.coefficients[c] <= high for c, (low, high) in law.intervals.items())
        assert (law.kind == "distillation") == (not isinstance(law.law, SupervisedLaw))


def test_warnings_name_the_range():
    law = published("busbridge2025")
    assert law.range_warnings(student_params=1e9, student_tokens=1e11, teacher_loss=2.1, teacher_params=None) == []
    [warning] = law.range_warnings(student_tokens=[1e11, 4e12, 1e13], other=3.0)
    assert warning.startswith("student_tokens 1e+13 is outside 2.7e+09 to 5.12e+11")
    assert "busbridge2025" in warning
    assert len(law.range_warnings(student_params=1e7, teacher_loss=3.5, teacher_tokens=1e6)) == 3


def test_unknown_law_lists_the_known():
    with pytest.raises(ValueError, match="law 'kaplan2020' is unknown; choose one of hoffmann2022, besiroglu2024"):
        published("kaplan2020")


DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "published-weak-students.csv"


@pytest.mark.skipif(not DATA.exists(), reason="the published losses are not at hand")
@pytest.mark.parametrize(
    ("name", "error", "inconsistency"),
    [
        ("busbridge2025-refit", 0.00230, 0.0349),
        ("busbridge2025-consistent", 0.00240, 0.0082),
        ("busbridge2025-peaked", 0.00188, 0.0),
    ],
)
def test_refits_are_what_the_published_runs_give(name, error, inconsistency):
    """The rounded coefficients have the errors that the set states, and the fit gives them again."""
    runs, found = read_runs(DATA), published(name)
    now = accuracy(predict_runs(found.law, runs), runs.student_loss)
    assert now.mean_abs_rel_error == pytest.approx(error, abs=1e-5)
    assert now.max_abs_rel_error < 0.0092
    form = "peaked-tokens" if name.endswith("peaked") else "exponential"
    spec = FitSpec(form=form, consistency=float(name.endswith("consistent")), resamples=0)
    fit = fit_law(runs, spec, supervised=found.supervised)
    assert fit.consistency_error == pytest.approx(inconsistency, abs=2e-4)
    np.testing.assert_allclose(
        fit.law.student_loss(1e9, [1e11, 1e13], [1.9, 2.3]),
        found.law.student_loss(1e9, [1e11, 1e13], [1.9, 2.3]),
        rtol=1e-5,
    )
    assert {n: (float(f"{a:.3g}"), float(f"{b:.3g}")) for n, (a, b) in found.fitted_range.items()} == {
        n: (float(f"{a:.3g}"), float(f"{b:.3g}")) for n, (a, b) in fit.fitted_range.items()
    }
