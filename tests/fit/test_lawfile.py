import base64
import json
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distlaw.apps.cli import main
from distlaw.fit import FitSpec, find_law, fit_law, read_law, write_law
from distlaw.laws import EffectiveTokensLaw, published
from distlaw.runs import Runs, write_runs
from distlaw.runs.checksum import sealed_text

SUPERVISED = published("busbridge2025").supervised
LAW = EffectiveTokensLaw(supervised=SUPERVISED, kappa=2.2, m=13)


def runs():
    N, ratio, L_T = (a.ravel() for a in np.meshgrid([1e8, 3e8, 1e9], [10.0, 40.0], np.linspace(1.9, 3.2, 8)))
    loss = LAW.student_loss(N, ratio * N, L_T) * np.exp(0.003 * np.random.default_rng(0).normal(size=N.size))
    return Runs(student_params=N, student_tokens=ratio * N, student_loss=loss, teacher_loss=L_T)


@pytest.fixture
def fit():
    return fit_law(runs(), FitSpec(form="effective-tokens", resamples=64), supervised=SUPERVISED)


@pytest.fixture
def file(fit, tmp_path):
    path = tmp_path / "law.json"
    write_law(fit, path, name="ours", source="a test", data="no text")
    return path


def test_round_trip(fit, file):
    law = read_law(file)
    assert law.law == fit.law
    assert law.kind == "distillation"
    assert law.count == 64
    assert law.intervals == fit.intervals
    assert law.fitted_range["teacher_loss"] == (1.9, 3.2)
    values = fit.form.values(fit.draws)["kappa"]
    assert law.thinned(64).kappa.tolist() == values.tolist()
    assert law.thinned(10).kappa.tolist() == values[[0, 7, 14, 21, 28, 35, 42, 49, 56, 63]].tolist()
    assert find_law(str(file)).name == "ours"
    assert find_law("busbridge2025").name == "busbridge2025"


def test_goes_wherever_a_name_goes(file, capsys):
    assert main(["plan", "--student-params", "1B", "--compute", "1e21", "--law", str(file), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    for option in plan["options"]:
        low, high = option["uncertainty"]["student_loss"]
        assert low <= option["student_loss"] <= high
    assert plan["options"][1]["uncertainty"]["probability"] == 1.0  # kappa = 2.2 from a free teacher
    assert "best-case 100%" in plan["verdict"][-2]
    low, high = plan["options"][1]["uncertainty"]["token_worth"]
    assert low < plan["options"][1]["token_worth"] < high
    assert f"best-case {low:.2f} to {high:.2f}" in plan["verdict"][-1]
    words = ["predict", "--student-params", "1B", "--student-tokens", "20B", "--teacher-loss", "2.1"]
    assert main([*words, "--law", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["student_loss_interval_90"]
    assert low < found["student_loss"] < high
    for command in (["laws", str(file)], ["crossover", "--student-params", "1B", "--law", str(file)]):
        assert main(command) == 0


def test_command_fits_writes_and_reports(tmp_path, capsys):
    table, out = tmp_path / "runs.csv", tmp_path / "law.json"
    write_runs(runs(), table)
    words = ["fit", str(table), "--form", "effective-tokens", "--bootstrap", "64", "--out", str(out)]
    assert main([*words, "--holdout", "student_params >= 1B", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["coefficients"]["kappa"] == pytest.approx(2.2, rel=0.05)
    assert found["holdout"]["runs"] == 16
    assert found["holdout"]["mean_abs_rel_error"] < 0.006
    assert read_law(out).law.kappa == found["coefficients"]["kappa"]
    assert json.loads(out.read_text())["holdout"]["expression"] == "student_params >= 1B"
    assert main(words) == 0
    assert "kappa" in capsys.readouterr().out


def test_a_failed_fit_exits_with_1_and_writes_nothing(tmp_path, capsys, monkeypatch):
    from distlaw.fit import objective as module

    table, out = tmp_path / "runs.csv", tmp_path / "law.json"
    write_runs(runs(), table)
    real = module.minimise_huber
    monkeypatch.setattr(module, "minimise_huber", lambda *a, **k: real(*a, **(k | {"steps": 1})))
    assert main(["fit", str(table), "--form", "effective-tokens", "--out", str(out), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "not converged"
    assert found["coefficients"] is None
    assert not out.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--fix", "gamma"],
        ["--fix", "gamma=x"],
        ["--tie", "nothing"],
        ["--out", "law.txt"],
        ["--out", "nowhere/law.json"],
        ["--supervised-law", "nobody"],
        ["--holdout", "nonsense"],
        ["--holdout", "student_params > 1e20"],
        ["--clusters", "seed", "--bootstrap", "64"],
        ["--bootstrap", "1"],
        ["--delta", "0"],
        ["--kind", "supervised"],
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words):
    table = tmp_path / "runs.csv"
    write_runs(runs(), table)
    assert main(["fit", str(table), "--form", "effective-tokens", "--bootstrap", "0", *words]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("distlaw: error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(form="cubic"), "form 'cubic' is unknown"),
        (lambda c: c["coefficients"].update(kappa=-1), "kappa must be finite and positive"),
        (lambda c: c["coefficients"].pop("m"), "'m' is missing"),
        (lambda c: c["coefficients"].update(m="13"), "m must be a number, got 13"),
        (lambda c: c["draws"].update(float64="!!"), "damaged"),
        (lambda c: c["draws"].update(shape=[63, 2]), "damaged"),
        (lambda c: c.update(fitted_range=3), "damaged"),
        (lambda c: c["fitted_range"].update(student_params=[1e9, 1e8]), "student_params must be least and most"),
        (lambda c: c["fitted_range"].update(teacher_loss=[2.0, 7e20]), "teacher_loss must lie between 0 and 100"),
        (lambda c: c["intervals"].update(kappa=[3, 2]), "intervals.kappa must be least and most, got 3 and 2"),
        (lambda c: c.update(residual_std=-3), "residual_std must lie between 0 and 100, got -3"),
        (lambda c: c.update(interval_level=40), "interval_level must lie between 0 and 1, got 40"),
        (lambda c: c.update(interval_level=True), "interval_level must be a number"),
        (lambda c: c["supervised"].update(E=7e20), "the loss of the smallest fitted student must lie between 0 and"),
    ],
)
def test_what_no_law_can_hold_is_refused(file, change, message):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(sealed_text(content, content["format"]))
    with pytest.raises(ValueError, match=message):
        read_law(file)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(file, data):
    """Of any byte before the resamples, where the numbers are, and of a few of theirs."""
    whole = file.read_bytes()
    place = data.draw(st.integers(0, whole.index(b'"float64"') + 200))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    before = read_law(file)
    other = file.with_name("flipped.json")
    other.write_bytes(flipped)
    try:
        after = read_law(other)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert json.loads(flipped) == json.loads(whole)
    assert after.law == before.law


def test_an_edit_is_refused_until_it_is_accepted(file, capsys):
    content = json.loads(file.read_text())
    content["source"] = "somebody else"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"damaged or edited; to accept an edit of your own, run `distlaw checksum"):
        read_law(file)
    assert main(["checksum", str(file)]) == 1
    assert main(["checksum", str(file), "--accept"]) == 0
    assert main(["checksum", str(file), "--json"]) == 0
    assert read_law(file).source == "somebody else"
    capsys.readouterr()


@pytest.mark.parametrize("key", ["format", "sha256"])
def test_a_file_without_its_format_or_checksum_is_refused(file, key):
    content = json.loads(file.read_text())
    del content[key]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"is not a law file to rely on: it .*{key}"):
        read_law(file)


def test_files_of_the_older_format_are_read_and_can_be_given_a_checksum(file, capsys):
    content = json.loads(file.read_text())
    del content["sha256"]
    file.write_text(json.dumps(content | {"format": "distlaw-law-1"}))
    law = read_law(file).law
    assert main(["checksum", str(file)]) == 1
    assert "has no checksum: an older version" in capsys.readouterr().out
    assert main(["checksum", str(file), "--accept"]) == 0
    assert json.loads(file.read_text())["format"] == "distlaw-law-2"
    assert read_law(file).law == law


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_law(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        read_law(tmp_path / "x.json")
    with pytest.raises(ValueError, match=r"law 'nobody' is unknown; choose one of .* or a law file"):
        find_law("nobody")


def test_a_failed_write_leaves_what_was_there(fit, file, monkeypatch):
    before = file.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(ValueError, match="cannot be written"):
        write_law(fit, file, name="x", source="x", data="x")
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_joint_fit_comes_back_with_both_laws_in_every_draw(tmp_path):
    N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(3e9, 3e11, 5)))
    loss = SUPERVISED.loss(N, D) * np.exp(0.003 * np.random.default_rng(1).normal(size=N.size))
    distilled = runs()
    both = Runs(
        student_params=np.concatenate([N, distilled.student_params]),
        student_tokens=np.concatenate([D, distilled.student_tokens]),
        student_loss=np.concatenate([loss, distilled.student_loss]),
        teacher_loss=np.concatenate([np.full(N.size, np.nan), distilled.teacher_loss]),
    )
    fit = fit_law(both, FitSpec(form="effective-tokens", joint=True, resamples=20, starts=16))
    write_law(fit, tmp_path / "joint.json", name="both", source="a test", data="no text")
    law = read_law(tmp_path / "joint.json")
    assert law.law == fit.law
    assert law.supervised == fit.supervised
    draws = law.thinned(20)
    values = fit.form.values(fit.draws)
    assert draws.supervised.E.tolist() == values["supervised E"].tolist()
    assert draws.kappa.tolist() == values["kappa"].tolist()
    assert len(set(draws.supervised.E)) == 20
    assert 0 < law.resolution < 0.005 * float(SUPERVISED.loss(1e9, 2e10))  # the resamples hold that error


@pytest.mark.parametrize(
    ("change", "share"),
    [
        ({"joint": True}, 0.005),
        ({"joint": False}, 0.005),
        ({"joint": True, "status": "at bound"}, 0.01),
        ({"joint": True, "train": {"mean_abs_rel_error": 0.02}, "status": "at bound"}, 0.04),
        ({"holdout": {"accuracy": {"mean_abs_rel_error": 0.03}}}, 0.03),
    ],
)
def test_without_resamples_a_law_tells_no_less_than_its_supervised_law_is_known_to(file, change, share):
    content = json.loads(file.read_text())
    content["draws"] = {"shape": [0, 0], "float64": base64.b64encode(zlib.compress(b"")).decode()}
    content |= {"status": "converged", "train": {"mean_abs_rel_error": 0.001}} | change
    file.write_text(sealed_text(content, content["format"]))
    law = read_law(file)
    (low, high), (few, many) = (law.fitted_range[name] for name in ("student_params", "student_tokens"))
    exact = share * float(SUPERVISED.loss((low * high) ** 0.5, (few * many) ** 0.5))
    assert law.resolution == float(f"{exact:.2g}") != exact
