import json

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.fit import compare as module
from distlaw.fit.holdout import rolling_folds
from distlaw.laws import PeakedTokensLaw, published
from distlaw.runs import Runs, write_runs

CHINCHILLA = published("besiroglu2024").supervised
PRINTED = published("busbridge2025").law
PEAKED = PeakedTokensLaw(supervised=PRINTED.supervised, kappa=2.5, m=13, growth=0.5, lead=0.7)
QUICK = ("--starts", "4", "--bootstrap", "16")


def profiles(shifts=(0, 0, 0, 0), noise=0.002, **columns):
    """IsoFLOP profiles of seven sizes, each moved by its shift in log N."""
    budgets = np.geomspace(1e19, 1e22, len(shifts))
    span = np.linspace(-1.5, 1.5, 7)
    N = np.concatenate(
        [CHINCHILLA.compute_optimal(c)[0] * np.exp(span + s) for c, s in zip(budgets, shifts, strict=True)]
    )
    D = np.repeat(budgets, 7) / (6 * N)
    loss = CHINCHILLA.loss(N, D) * np.exp(noise * np.random.default_rng(0).normal(size=N.size))
    return Runs(student_params=N, student_tokens=D, student_loss=loss, **columns)


def distilled():
    N, ratio, L_T = (a.ravel() for a in np.meshgrid([1e8, 3e8, 1e9, 3e9], [10.0, 40.0], np.linspace(1.9, 3.2, 6)))
    loss = PEAKED.student_loss(N, ratio * N, L_T) * np.exp(0.002 * np.random.default_rng(0).normal(size=N.size))
    return Runs(student_params=N, student_tokens=ratio * N, student_loss=loss, teacher_loss=L_T)


@pytest.fixture
def table(tmp_path):
    def write(runs):
        path = tmp_path / "runs.csv"
        write_runs(runs, path)
        return str(path)

    return write


@pytest.fixture
def command(capsys):
    """Runs a command and gives its status, standard output and standard error."""

    def run(*words):
        status = main([str(word) for word in words])
        return (status, *capsys.readouterr())

    return run


# --- distlaw isoflop --------------------------------------------------------------------------------------------------


def test_isoflop_reads_the_best_size_at_each_compute(table, command):
    status, out, err = command("isoflop", table(profiles()), "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["kind"], found["runs"]) == ("supervised", 28)
    assert found["compute_from"] == "6 N D, as no run has a compute"
    assert found["reason"] is None
    assert found["warnings"] == []
    for row in found["profiles"]:
        assert (row["status"], row["runs"], row["reason"]) == ("ok", 7, "")
        low, high = row["best_params_interval_90"]
        assert low < row["best_params"] < high
        assert row["best_params"] == pytest.approx(CHINCHILLA.compute_optimal(row["compute"])[0], rel=0.15)
        assert row["best_tokens"] == pytest.approx(row["compute"] / (6 * row["best_params"]), rel=1e-6)
    allocation = found["allocation"]
    assert found["answer"].startswith(f"Best size N* ~ C^{allocation['a']:.3f} (")
    assert allocation["a_interval_90"][0] < allocation["a"] < allocation["a_interval_90"][1]
    assert allocation["a"] == pytest.approx(CHINCHILLA.compute_optimal_exponents[0], abs=0.02)
    best = np.exp(allocation["log_params_at_1_flop"] + allocation["a"] * np.log(1e20))
    assert best == pytest.approx(CHINCHILLA.compute_optimal(1e20)[0], rel=0.1)


def test_isoflop_warns_of_refused_profiles(table, command):
    path = table(profiles(shifts=(0, 0, 0, 3)))
    status, out, err = command("isoflop", path)
    assert status == 0
    assert "no interior minimum" in out
    assert out.startswith("Best size N* ~ C^0.5")
    assert "from 3 of 4 profiles." in out.splitlines()[0]
    [line] = err.splitlines()
    assert line.startswith("warning: profile at C = 1e+22: no interior minimum (the loss still falls at the smallest")
    found = json.loads(command("isoflop", path, "--json")[1])
    assert found["warnings"] == [line.removeprefix("warning: ")]
    assert found["profiles"][3]["best_params"] is None


def test_isoflop_exits_with_1_when_no_profile_has_a_minimum(table, command):
    path = table(profiles(shifts=(3, 3, 3, -3)))
    status, out, err = command("isoflop", path)
    assert status == 1
    assert err == ""
    assert (out + err).count("the loss still falls at the smallest") == 3
    assert "the loss still falls at the smallest" in out.splitlines()[0]
    expected = "No power law of the best size: 2 profiles with a minimum are needed, 0 of 4 have one"
    assert out.startswith(expected)
    status, out, _ = command("isoflop", path, "--json")
    assert status == 1
    found = json.loads(out)
    assert found["allocation"] is None
    assert found["reason"].startswith("2 profiles with a minimum are needed")
    assert len(found["warnings"]) == 4


def test_isoflop_uses_the_compute_column_and_the_tolerance(table, command):
    runs = profiles()
    jitter = np.exp(np.random.default_rng(0).uniform(-0.15, 0.15, len(runs)))
    cost = 6 * runs.student_params * runs.student_tokens * jitter
    path = table(Runs(**{**vars(runs), "compute": cost}))
    found = json.loads(command("isoflop", path, "--json", "--tolerance", "0.3")[1])
    assert found["compute_from"] == "the compute column"
    assert [row["runs"] for row in found["profiles"]] == [7, 7, 7, 7]
    pieces = json.loads(command("isoflop", path, "--json", "--tolerance", "0.02")[1])["profiles"]
    assert max(row["runs"] for row in pieces) < 7


def test_isoflop_finds_the_unit_of_compute(table, command):
    runs = profiles()
    cost = 6 * runs.student_params * runs.student_tokens
    written = json.loads(command("isoflop", table(Runs(**{**vars(runs), "compute": cost})), "--json")[1])
    found = json.loads(command("isoflop", table(Runs(**{**vars(runs), "compute": cost / 1e9})), "--json")[1])
    assert found["allocation"]["a"] == pytest.approx(written["allocation"]["a"], rel=1e-6)
    assert found["allocation"]["a_interval_90"] == pytest.approx(written["allocation"]["a_interval_90"], rel=1e-6)
    assert [row["compute"] for row in found["profiles"]] == pytest.approx(
        [row["compute"] for row in written["profiles"]]
    )
    assert any("GFLOPs" in warning for warning in found["warnings"])


def test_isoflop_of_distilled_runs_warns_where_teachers_are_mixed(table, command):
    runs = profiles()
    mixed = Runs(**{**vars(runs), "teacher_loss": np.where(np.arange(len(runs)) % 2, 2.0, 2.5)})
    found = json.loads(command("isoflop", table(mixed), "--json")[1])
    assert found["kind"] == "distillation"
    assert found["warnings"][0].startswith("runs of 2 teachers are mixed")
    one = Runs(**{**vars(runs), "teacher_loss": np.full(len(runs), 2.0)})
    assert json.loads(command("isoflop", table(one), "--json")[1])["warnings"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "distillation"), "runs.csv has no distillation runs: choose the other --kind"),
        (("--tolerance", "-1"), "tolerance must be 0 or more"),
        (("--tolerance", "0"), "spent the same compute to 0%: there are no IsoFLOP profiles"),
        (("--figure", "x.gif"), "must end in .png"),
    ],
)
def test_isoflop_refuses(table, command, words, message):
    noisy = profiles()
    spread = Runs(**{**vars(noisy), "student_tokens": noisy.student_tokens * np.geomspace(0.999, 1.001, len(noisy))})
    status, out, err = command("isoflop", table(spread), *words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


# --- distlaw compare --------------------------------------------------------------------------------------------------


def test_compare_of_supervised_fits(table, command, tmp_path):
    figure = tmp_path / "figure.svg"
    words = ("compare", table(profiles(shifts=(0, 0, 0, 3))), "--kind", "supervised", *QUICK, "--fix", "gamma=1")
    status, out, err = command(*words, "--compute", "1e23", "--json", "--figure", figure)
    assert (status, err) == (0, "")
    assert figure.read_bytes().startswith(b"<?xml")
    found = json.loads(out)
    assert found["form"] == found["kind"] == "supervised"
    assert found["computes"] == [1e23]
    assert found["points"] == []
    assert found["forms"] == {}
    assert [row["name"] for row in found["losses"]] == ["huber 1e-3", "huber 1e-4", "lad", "log-squared", "squared"]
    assert [row["name"] for row in found["exponents"]] == ["free", "alpha = beta"]
    N, D = CHINCHILLA.compute_optimal(1e23)
    for row in found["losses"]:
        [answer] = row["answers"]
        assert answer["value"] == pytest.approx(D / N, rel=0.4)
        assert answer["interval_90"][0] < answer["interval_90"][1]
        assert row["coefficients"]["gamma"] == 1
    assert [split["name"] for split in found["isoflop"]["splits"]] == ["IsoFLOP profiles", "the law"]
    assert [p["status"] for p in found["isoflop"]["profiles"]] == ["ok"] * 3 + ["no interior minimum"]
    assert any("profile at C = 1e+22: no interior minimum" in warning for warning in found["warnings"])
    status, out, err = command(*words)
    assert status == 0
    for text in ("Losses (runs.csv)", "Exponents, free and tied", "IsoFLOP profiles against the law", "5.76e+23"):
        assert text in out
    assert "warning: profile at C = 1e+22: no interior minimum" in err


def test_compare_of_distillation_forms(table, command, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_ALL_FORMS", ("effective-tokens", "peaked-tokens"))
    figure = tmp_path / "figure.png"
    words = ("compare", table(distilled()), "--form", "peaked-tokens", "--supervised-law", "busbridge2025", *QUICK)
    status, out, err = command(*words, "--folds", "student, rolling", "--json", "--figure", figure)
    assert (status, err) == (0, "")
    assert figure.stat().st_size > 5000
    found = json.loads(out)
    assert found["isoflop"] is None
    assert found["points"][0]["teacher_loss"] == 1.9
    assert list(found["forms"]) == ["student", "rolling"]
    for rows in found["forms"].values():
        assert [row["form"] for row in rows] == ["peaked-tokens", "effective-tokens"]
        assert rows[0]["behind_interval_90"] is None
        assert rows[1]["behind_interval_90"][0] > 0
        assert rows[1]["limits"] == {"endless_student": True, "random_teacher": True, "capacity_gap": False}
        for row in rows:
            assert len(row["folds"]) == 4
            assert row["worst_fold"]["mean_error"] == max(fold["mean_error"] for fold in row["folds"])
            assert all(0 <= fold["coverage_90"] <= 1 for fold in row["folds"])
    asked = ("--student-params", "1B", "--student-tokens", "40B", "--teacher-loss", "2.2", "--folds", "student")
    status, out, err = command(*words, *asked)
    assert (status, err) == (0, "")
    assert "loss of 1B on 40B, teacher 2.2" in " ".join(out.split())
    assert "Functional forms by held-out error, folds: student (4)" in out
    assert "no capacity gap" in out


def test_compare_exits_with_1_when_nothing_converges(table, command, monkeypatch):
    from distlaw.fit import objective

    real = objective.minimise_huber
    monkeypatch.setattr(objective, "minimise_huber", lambda *a, **k: real(*a, **(k | {"steps": 2})))
    words = ("compare", table(profiles()), "--kind", "supervised", "--starts", "4", "--bootstrap", "0")
    status, out, err = command(*words)
    assert status == 1
    assert "not converged" in out
    assert err.splitlines()[-1] == "distlaw: no fit converged: no start came to rest"
    status, out, _ = command(*words, "--json")
    assert status == 1
    found = json.loads(out)
    assert {row["status"] for row in found["losses"]} == {"not converged"}
    assert [row["answers"][0]["value"] for row in found["losses"]] == [None] * 5


def test_compare_takes_the_tolerance_of_profiles(table, command):
    status, _, err = command("compare", table(profiles()), "--kind", "supervised", *QUICK, "--tolerance", "-1")
    assert status == 2
    assert "tolerance must be 0 or more, got -1" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--folds", "seed"), "folds 'seed' are unknown; choose among rolling, teacher, student"),
        (("--form", "cubic"), "form 'cubic' is unknown"),
        (("--student-params", "1B"), "--student-params, --student-tokens and --teacher-loss go together"),
        (("--compute", "1e23"), "--compute asks a supervised law"),
        (("--kind", "supervised", "--form", "exponential"), "form 'exponential' is no supervised law"),
        (("--kind", "supervised"), "0 supervised runs are too few"),
        (("--fix", "gamma"), "--fix 'gamma' must name a coefficient and what it equals"),
        (("--supervised-law", "nobody2020"), "law 'nobody2020' is unknown"),
        (("--figure", "x.gif"), "must end in .png"),
    ],
)
def test_compare_refuses(table, command, words, message):
    status, out, err = command("compare", table(distilled()), *words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_supervised_law_fitted_to_the_table_first(table, command, monkeypatch):
    runs, alone = distilled(), profiles(noise=0.0)
    both = Runs(
        **{
            name: np.concatenate([getattr(runs, name), getattr(alone, name)])
            for name in ("student_params", "student_tokens", "student_loss", "teacher_loss")
        }
    )
    seen = []

    def stop(*_, supervised, **__):
        seen.append(supervised)
        raise ValueError("seen")

    monkeypatch.setattr(module, "compare", stop)
    assert command("compare", table(both), "--supervised-law", "first", *QUICK)[2] == "distlaw: error: seen\n"
    [law] = seen
    for n, d in ((1e8, 2e9), (1e9, 2e10)):
        assert law.loss(n, d) == pytest.approx(CHINCHILLA.loss(n, d), rel=1e-3)
    status, _, err = command("compare", table(runs), "--supervised-law", "first", *QUICK)
    assert status == 2
    assert "supervised" in err


def test_the_kind_is_what_the_table_has_and_the_first_line_answers(table, command):
    status, out, _ = command("compare", table(profiles()), *QUICK)
    assert status == 0
    first, second, *_ = out.splitlines()
    assert first.startswith("28 supervised runs: ")
    assert "misses dearer runs kept out least, by 0." in first
    assert "tokens per parameter." in first
    assert second == "kind: a supervised law, since no run of the table has a teacher_loss"


def test_forms_compared_over_one_fold_get_no_verdict(table, command, monkeypatch):
    monkeypatch.setattr(module, "_ALL_FORMS", ("effective-tokens", "peaked-tokens"))
    monkeypatch.setattr(module, "rolling_folds", lambda runs: rolling_folds(runs)[:1])
    words = ("compare", table(distilled()), "--supervised-law", "busbridge2025", "--form", "effective-tokens")
    status, out, _ = command(*words, "--folds", "rolling", *QUICK)
    assert status == 0
    first = out.splitlines()[0]
    assert "kept out in 1 fold, least, by" in first
    assert "one fold tells no form from another" in first
    assert "clearly" not in first
    assert "folds: rolling (1)" in out
    assert "no verdict of 1 fold" in " ".join(out.split())


def test_forms_not_told_apart_are_named(table, command, monkeypatch):
    monkeypatch.setattr(module, "_ALL_FORMS", ("effective-tokens", "peaked-tokens"))
    words = ("compare", table(distilled()), "--supervised-law", "busbridge2025", "--form", "effective-tokens")
    found = json.loads(command(*words, "--folds", "rolling", *QUICK, "--json")[1])
    assert found["answer"].startswith("48 distilled runs: peaked-tokens misses dearer runs, kept out in 4 folds, least")
    behind = found["forms"]["rolling"][1]["behind_interval_90"]
    assert ("not told apart from it: effective-tokens" in found["answer"]) == (behind[0] <= 0)
