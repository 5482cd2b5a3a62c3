import json

import numpy as np
import pytest

from distlaw.apps.cli import main
from distlaw.fit import FitSpec, fit_law
from distlaw.fit import suggest as module
from distlaw.laws import PeakedTokensLaw, published
from distlaw.runs import Runs, read_runs, write_runs

SUPERVISED = published("busbridge2025").supervised
TRUTH = PeakedTokensLaw(supervised=SUPERVISED, kappa=2.5, m=13, growth=0.5, lead=0.7)
AT = "student_params=3B student_tokens=100B teacher_loss=2.1"
QUICK = ("--form", "peaked-tokens", "--supervised-law", "busbridge2025", "--starts", "4")
ROWS = [(n, 20 * n, t, f) for n in (1e8, 3e8, 1e9) for t, f in ((1.95, 3e9), (2.2, 1e9), (2.6, 3e8))]


def study(n=24, alone=0):
    rng = np.random.default_rng(0)
    N = 10 ** rng.uniform(8, 9.3, n + alone)
    D = N * 10 ** rng.uniform(0.8, 2, n + alone)
    L_T = np.where(np.arange(n + alone) < n, rng.uniform(1.95, 2.8, n + alone), np.nan)
    loss = np.where(np.isnan(L_T), SUPERVISED.loss(N, D), TRUTH.student_loss(N, D, np.nan_to_num(L_T, nan=2.0)))
    noise = np.exp(0.003 * rng.normal(size=n + alone))
    return Runs(student_params=N, student_tokens=D, teacher_loss=L_T, student_loss=loss * noise)


@pytest.fixture
def tables(tmp_path):
    """Writes runs and candidates, and gives the words that name them."""

    def write(runs, rows=ROWS):
        done, possible = tmp_path / "runs.csv", tmp_path / "next.csv"
        write_runs(runs, done)
        lines = [",".join("" if value != value else f"{value:.17g}" for value in row) for row in rows]
        possible.write_text("\n".join(["N_S,D_S,L_T,N_T", *lines]) + "\n")
        return (str(done), "--candidates", str(possible))

    return write


@pytest.fixture
def command(capsys):
    def run(*words):
        status = main(["suggest", *words])
        return (status, *capsys.readouterr())

    return run


def test_a_prediction(tables, command):
    words = tables(study())
    status, out, err = command(*words, *QUICK, "--at", AT, "--batch", "3", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert list(found) == [
        "answer", "choice",
        "table", "candidates", "runs", "form", "joint", "target", "at", "before", "suggestions", "warnings",
    ]  # fmt: skip
    assert (found["table"], found["candidates"], found["runs"]) == ("runs.csv", "next.csv", 24)
    assert (found["form"], found["joint"], found["target"]) == ("peaked-tokens", False, "prediction")
    assert found["at"] == [{"student_params": 3e9, "student_tokens": 1e11, "teacher_loss": 2.1}]
    assert found["warnings"] == []
    runs = read_runs(module.Path(words[0]))
    fit = fit_law(runs, FitSpec(form="peaked-tokens", starts=4, resamples=0), supervised=SUPERVISED)
    point = module.Points(student_params=np.array([3e9]), student_tokens=np.array([1e11]), teacher_loss=np.array([2.1]))
    expected = module.suggest(fit, runs, module.read_candidates(module.Path(words[2])), point, batch=3)
    assert found["before"] == {"deviation": pytest.approx(expected[0].before.deviation), "wrong_verdict": None}
    for row, one in zip(found["suggestions"], expected, strict=True):
        assert row["row"] == one.position + 1
        N, D, L_T, _ = ROWS[one.position]
        assert (row["student_params"], row["student_tokens"], row["teacher_loss"]) == pytest.approx((N, D, L_T))
        assert (row["flops"], row["total_flops"]) == pytest.approx((one.flops, one.total_flops))
        assert row["after"]["deviation"] == pytest.approx(one.after.deviation)
        assert row["cheapest_first"]["deviation"] == pytest.approx(one.cheapest.deviation)
    [first] = json.loads(command(*words, *QUICK, "--at", AT, "--json")[1])["suggestions"]
    assert first == found["suggestions"][0]


def test_a_table_for_the_terminal(tables, command):
    status, out, err = command(*tables(study()), *QUICK, "--at", AT, "--batch", "2")
    assert (status, err) == (0, "")
    shown = " ".join(out.split())
    assert "Next runs for the prediction at 3B on 100B tokens under 2.1 nats (peaked-tokens fitted to 24 runs)" in shown
    [now, first, second] = [line for line in out.splitlines() if line.strip().startswith(("now", "row "))]
    deviations = [float(line.split("%")[0].split()[-1]) for line in (now, first, second)]
    assert deviations[0] > deviations[1] > deviations[2] > 0
    assert "wrong verdict" not in out


def test_a_verdict_at_two_points(tables, command):
    words = (*tables(study()), *QUICK, "--target", "verdict", "--at", AT)
    words = (*words, "--at", "teacher_loss=2.6 student_params=1,000,000,000 student_tokens=2e10")
    status, out, err = command(*words, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["at"][1] == {"student_params": 1e9, "student_tokens": 2e10, "teacher_loss": 2.6}
    [row] = found["suggestions"]
    assert 0 <= row["after"]["wrong_verdict"] <= found["before"]["wrong_verdict"] <= 0.5
    assert [warning["kind"] for warning in found["warnings"]] == ["law-taken-as-exact"]
    status, out, err = command(*words)
    assert "wrong verdict" in " ".join(out.split())
    assert err.startswith("warning: the verdict takes the supervised law as exact")


def test_a_joint_fit_takes_supervised_candidates(tables, command):
    rows = [(1e9, 2e10, np.nan, np.nan), (1e9, 2e10, 2.2, 1e9)]
    words = (*tables(study(20, alone=20), rows), "--form", "effective-tokens", "--starts", "4", "--at", AT, "--json")
    status, out, _ = command(*words, "--supervised-law", "joint", "--target", "verdict", "--batch", "2")
    assert status == 0
    found = json.loads(out)
    assert (found["joint"], found["runs"]) == (True, 40)
    assert {row["row"] for row in found["suggestions"]} == {1, 2}
    assert None in [row["teacher_loss"] for row in found["suggestions"]]
    status, out, err = command(*words, "--supervised-law", "busbridge2025")
    assert (status, out) == (2, "")
    assert "candidate 1 has no teacher_loss: form 'effective-tokens' learns from distilled runs alone" in err


def test_a_supervised_law(tables, command):
    words = tables(study(0, alone=24), [(2e9, 4e10, np.nan, np.nan), (4e9, 8e10, np.nan, np.nan)])
    at = ("--at", "student_params=7B student_tokens=1T")
    status, out, _ = command(*words, "--form", "supervised", "--starts", "16", *at, "--budget", "1e21", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["at"][0]["teacher_loss"] is None
    assert [row["row"] for row in found["suggestions"]] == [1]


def test_costs_without_a_teachers_logits_are_warned_of(tables, command):
    unknown = [(n, d, t, np.nan) for n, d, t, _ in ROWS]
    status, _, err = command(*tables(study(), unknown), *QUICK, "--at", AT)
    assert status == 0
    assert err == (
        "warning: 9 candidates, row 1 the first, have neither compute nor teacher_params: their cost leaves the"
        " teacher's logits out\n"
    )


def test_a_fit_on_a_bound_is_warned_of(tables, command):
    status, out, _ = command(*tables(study()), "--form", "distillation", "--starts", "8", "--at", AT, "--json")
    assert status == 0
    [warning] = json.loads(out)["warnings"]
    assert warning["kind"] == "at-bound"
    assert warning["text"].startswith("on a bound of the search: ")


def test_runs_that_are_too_few_come_with_a_start(tables, command):
    rows = [(1e8, 1e9, np.nan, np.nan), *ROWS]  # the first is no run of a distilled student
    words = (*tables(study(3), rows), *QUICK, "--at", AT)
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "3 distilled runs are too few for 4 free coefficients: at least 7 are needed; begin with candidates" in err
    rows = [int(row) for row in err.partition(": rows ")[2].rpartition(", ")[0].split(", ")]
    assert len(set(rows)) == 4
    assert set(rows) <= set(range(2, 11))
    err = command(*words, "--budget", "1e9")[2]
    assert "at least 7 are needed; and no candidate is of its kind and affordable" in err
    err = command(*tables(study(3), [(1e9, 2e10, np.nan, np.nan)]), *QUICK, "--at", AT)[2]
    assert "no candidate is of its kind" in err


def test_a_fit_that_does_not_converge_exits_with_1(tables, command, monkeypatch):
    from distlaw.fit import objective

    real = objective.minimise_huber
    monkeypatch.setattr(objective, "minimise_huber", lambda *a, **k: real(*a, **(k | {"steps": 2})))
    status, out, err = command(*tables(study()), *QUICK, "--at", AT)
    assert (status, out) == (1, "")
    assert err == "distlaw: the fit did not converge: no start came to rest, and nothing can be suggested\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--at", "student_params=3B"), "--at 'student_params=3B' does not say where, as 'student_params=1B"),
        (("--at", "3B 100B 2.1"), "does not say where"),
        (("--at", f"{AT} seed=1"), "does not say where"),
        (("--at", AT.replace("3B", "-3B")), "'-3B' is not a finite number above 0"),
        (("--at", "student_params=3B student_tokens=1B"), "point 1 has no teacher_loss: form 'peaked-tokens'"),
        (("--at", AT, "--budget", "1e9"), "no candidate is affordable: the cheapest costs"),
        (("--at", AT, "--batch", "0"), "'0' is not a whole number from 1"),
        (("--at", AT, "--seed=-1"), "seed must be 0 or more, got -1"),
        (("--at", AT, "--form", "cubic"), "form 'cubic' is unknown"),
        (("--at", AT, "--target", "truth"), "truth"),
        (("--at", AT, "--supervised-law", "nobody2020"), "law 'nobody2020' is unknown"),
        ((), "--at"),
    ],
)
def test_refusals(tables, command, words, message):
    quick = () if {"--form", "--supervised-law"} & set(words) else QUICK
    status, out, err = command(*tables(study()), *quick, *words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_run_that_is_done_is_no_candidate(tables, command):
    done, _, _ = tables(study())
    status, _, err = command(done, "--candidates", done, *QUICK, "--at", AT)
    assert status == 2
    assert "row 1 has a student_loss: it is done, and no candidate" in err
