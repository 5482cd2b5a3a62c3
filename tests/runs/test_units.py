import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.laws import published
from distlaw.runs import Runs, in_counts, read_runs

LAWS = [published(name).supervised for name in ("hoffmann2022", "besiroglu2024", "busbridge2025")]
FLOPS = {"FLOPs": 1.0, "GFLOPs": 1e9, "TFLOPs": 1e12, "PFLOPs": 1e15, "EFLOPs": 1e18, "PFLOP/s-days": 8.64e19}


def grid(law=LAWS[2], **columns: Any):
    """Twelve runs of models of 60M to 2B parameters, in counts and nats."""
    N, ratio = (part.ravel() for part in np.meshgrid([6e7, 2.5e8, 5e8, 2e9], [8.0, 20.0, 200.0]))
    return Runs(student_params=N, student_tokens=N * ratio, student_loss=law.loss(N, N * ratio), **columns)


def scaled(runs, **factors):
    """The same runs with columns divided, as they would be written in other units."""
    columns: dict[str, Any] = {name: getattr(runs, name) / factor for name, factor in factors.items()}
    return Runs(**(runs.columns() | columns))


def kinds(runs):
    return [caution.kind for caution in runs.cautions()]


@pytest.mark.parametrize(
    ("params", "tokens"),
    [(1, 1e9), (1e6, 1), (1e9, 1), (1, 1e6), (1e6, 1e9), (1e9, 1e9), (1e9, 1e12)],
)
@pytest.mark.parametrize("law", LAWS)
def test_millions_and_billions_are_found_and_said(law, params, tokens):
    runs = grid(law)
    found = in_counts(scaled(runs, student_params=params, student_tokens=tokens))
    np.testing.assert_allclose(found.student_params, runs.student_params)
    np.testing.assert_allclose(found.student_tokens, runs.student_tokens)
    words = {1e6: "millions", 1e9: "billions", 1e12: "trillions"}
    said = [f"student_{name} is in {words[f]}" for name, f in (("params", params), ("tokens", tokens)) if f > 1]
    notes = [str(caution) for caution in found.notes if caution.kind == "unit"]
    assert len(notes) == len(said)
    assert all(note.startswith(begins) for note, begins in zip(notes, said, strict=True))
    assert kinds(found) == ["unit"] * len(said)  # and nothing else is doubted


@pytest.mark.parametrize(("name", "factor"), FLOPS.items())
def test_compute_is_held_against_six_n_d(name, factor):
    runs = grid()
    compute = 6.3 * runs.student_params * runs.student_tokens
    found = in_counts(grid(compute=compute / factor))
    np.testing.assert_allclose(found.compute, compute)
    assert [f"compute is in {name} " in str(note) for note in found.notes] == [True] * (factor > 1)


def test_compute_that_is_of_something_else_is_doubted_and_kept():
    runs = in_counts(grid(compute=np.full(12, 3e10)))
    assert runs.compute.tolist() == [3e10] * 12
    assert "times 6 x params x tokens" in runs.warnings()[0]


def test_tokens_taken_from_compute_follow_its_unit_and_that_of_the_parameters(tmp_path):
    runs = grid()
    for params, compute in ((1, 1e9), (1e6, 1), (1e6, 1e18), (1, 1)):
        path = tmp_path / "t.csv"
        C = 6 * runs.student_params * runs.student_tokens / compute
        rows = zip(runs.student_params / params, C, runs.student_loss, strict=True)
        path.write_text("N,C,L\n" + "".join(f"{float(n)!r},{float(c)!r},{float(loss)!r}\n" for n, c, loss in rows))
        found = in_counts(read_runs(path))
        np.testing.assert_allclose(found.student_tokens, runs.student_tokens)
        np.testing.assert_allclose(found.compute, C * compute)
        assert "tokens are missing in 12 of 12 runs: taken as compute / (6 x params)" in found.warnings()


def test_a_teacher_s_sizes_have_units_of_their_own():
    runs = grid(teacher_loss=np.full(12, 2.2), teacher_params=np.full(12, 7.0), teacher_tokens=np.full(12, 1.4))
    found = in_counts(runs)
    assert found.teacher_params.tolist() == [7e9] * 12
    assert found.teacher_tokens.tolist() == [1.4e12] * 12
    lone = in_counts(grid(teacher_loss=np.full(12, 2.2), teacher_params=np.full(12, 7.0)))
    assert lone.teacher_params.tolist() == [7e9] * 12


def test_what_may_be_in_two_units_is_refused_and_can_be_said():
    N, D = np.array([4e7, 5e7, 6e7, 5e7]), np.array([900.0, 1000.0, 1100.0, 1200.0])
    runs = Runs(student_params=N, student_tokens=D, student_loss=LAWS[2].loss(N, D * 1e9))
    with pytest.raises(
        ValueError,
        match=r"cannot both be counts: they may be .*; say which, as --units student_params=1,student_tokens=M",
    ):
        in_counts(runs)
    assert in_counts(runs, {"student_tokens": "B"}).student_tokens.tolist() == (D * 1e9).tolist()
    assert in_counts(runs, {"student_tokens": "1"}).student_tokens.tolist() == D.tolist()


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        ("student_tokens", "B", 1e9),
        ("student_tokens", "billions", 1e9),
        ("student_params", "m", 1e6),
        ("compute", "PF-days", 8.64e19),
        ("student_tokens", "1024", 1024.0),
        ("student_loss", "nats", 1.0),
        ("student_loss", "bits", np.log(2)),
        ("student_loss", "2.9", 2.9),
    ],
)
def test_units_can_be_said(name, unit, factor):
    runs = grid(compute=np.full(12, 5.0))
    found = in_counts(runs, {name: unit})
    np.testing.assert_allclose(getattr(found, name), getattr(runs, name) * factor)
    assert str(found.notes[0]) == f"{name} is read in {unit}, as said"


def test_perplexities_become_losses():
    runs = grid()
    found = in_counts(scaled(runs, student_loss=runs.student_loss / np.exp(runs.student_loss)), {"student_loss": "ppl"})
    np.testing.assert_allclose(found.student_loss, runs.student_loss)
    with pytest.raises(ValueError, match=r"row 1, column student_loss: 0.9 is no perplexity"):
        in_counts(scaled(runs, student_loss=runs.student_loss / 0.9), {"student_loss": "perplexity"})


@pytest.mark.parametrize("law", LAWS)
def test_millions_that_could_be_counts_of_toys_are_asked_about(law):
    for tokens, units in ((1e6, "params=M,tokens=M"),):
        runs = scaled(grid(law), student_params=1e6, student_tokens=tokens)
        found = in_counts(runs)
        assert found.units or f"--units {units}" in found.warnings()[0]


def test_runs_of_toys_are_left_alone():
    tiny = read_runs(Path(__file__).parents[2] / "studies" / "tiny" / "runs.csv")
    assert kinds(in_counts(tiny)) == ["runs"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"student_tokens": "bits"}, "'bits' is no unit of student_tokens: give 1, K, M, B, T"),
        ({"student_loss": "B2"}, "'B2' is no unit of student_loss: give nats, bits or perplexity"),
        ({"student_loss": "-1"}, "'-1' is no unit"),
        ({"student_loss": "inf"}, "'inf' is no unit"),
        ({"seed": "2"}, "seed has no unit"),
    ],
)
def test_units_that_are_none_are_refused(said, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        in_counts(grid(), said)


@pytest.mark.parametrize(
    ("kind", "of_nats", "says"),
    [
        ("bits", lambda loss: loss / np.log(2), "are they in bits? Then --units loss=bits"),
        ("perplexity", np.exp, "as perplexities: are they? Then --units loss=perplexity"),
        ("per-byte", lambda loss: loss / 4.2, "are they per byte or character"),
        ("per-byte", lambda loss: loss / np.log(2) / 4.2, "are they per byte or character"),
    ],
)
@pytest.mark.parametrize("law", LAWS)
def test_losses_in_another_unit_are_asked_about_and_not_converted(law, kind, of_nats, says):
    runs = grid(law)
    odd = Runs(**(runs.columns() | {"student_loss": of_nats(runs.student_loss)}))
    found = in_counts(odd)
    assert found.student_loss.tolist() == odd.student_loss.tolist()
    assert kinds(found) == [kind]
    assert says in found.warnings()[0]


def test_what_is_in_counts_and_nats_is_left_alone():
    for law in LAWS:
        for factor in (0.9, 1.0, 1.15):
            runs = grid(law)
            columns: dict[str, Any] = runs.columns() | {"student_loss": runs.student_loss * factor}
            runs = Runs(**columns)
            assert in_counts(runs).warnings() == []


def test_repeated_data_is_warned_about_and_its_unit_found():
    runs = grid(unique_tokens=np.full(12, 1e10))
    (text,) = in_counts(runs).warnings()
    assert text.startswith("6 of 12 runs read their data more than once, row 12 40 times (tokens above unique_tokens)")
    in_billions = in_counts(scaled(runs, unique_tokens=1e9, student_tokens=1e9))
    np.testing.assert_allclose(in_billions.unique_tokens, runs.unique_tokens)
    lone = in_counts(scaled(runs, unique_tokens=1e9))
    np.testing.assert_allclose(lone.unique_tokens, runs.unique_tokens)
    assert in_counts(grid(unique_tokens=np.full(12, 1e12))).warnings() == []


@st.composite
def tables(draw):
    """Runs as people have them, and what their columns are divided by."""
    law, scale = draw(st.sampled_from(LAWS)), draw(st.floats(0.85, 1.25))
    n = draw(st.integers(6, 20))
    smallest, ratio = draw(st.floats(7, 9)), draw(st.floats(0.5, 2.5))
    N = 10 ** np.array(draw(st.lists(st.floats(smallest, smallest + 1.5), min_size=n, max_size=n)))
    D = N * 10 ** np.array(draw(st.lists(st.floats(ratio, ratio + 1), min_size=n, max_size=n)))
    runs = Runs(student_params=N, student_tokens=D, student_loss=scale * law.loss(N, D))
    params, tokens = draw(st.sampled_from([(1, 1), (1, 1e6), (1, 1e9), (1e6, 1), (1e9, 1), (1e6, 1e9), (1e9, 1e9)]))
    return runs, params, tokens


@settings(derandomize=True, deadline=None, max_examples=300)
@given(tables())
def test_a_unit_is_found_or_asked_for_and_never_mistaken(table):
    runs, params, tokens = table
    try:
        found = in_counts(scaled(runs, student_params=params, student_tokens=tokens))
    except ValueError as error:
        assert "--units" in str(error)  # noqa: PT017
        return
    if found.units:
        np.testing.assert_allclose(found.student_params, runs.student_params)
        np.testing.assert_allclose(found.student_tokens, runs.student_tokens)
    elif (params, tokens) != (1, 1):
        assert "unit" in kinds(found)


@pytest.mark.parametrize(("params", "tokens"), [(1e3, 1e9), (1e3, 1e12), (1e9, 1e3), (1e6, 1e3), (1e3, 1e6)])
@pytest.mark.parametrize("law", LAWS)
def test_one_column_in_thousands_is_found_or_refused_or_asked_about_and_never_mistaken(law, params, tokens):
    runs = grid(law)
    odd = scaled(runs, student_params=params, student_tokens=tokens)
    try:
        found = in_counts(odd)
    except ValueError as error:
        assert re.search(r"say which, as --units student_\w+=\w", str(error))  # noqa: PT017
    else:
        if found.units:
            np.testing.assert_allclose(found.student_params, runs.student_params)
            np.testing.assert_allclose(found.student_tokens, runs.student_tokens)
        else:
            assert (params, tokens) in ((1e3, 1e6), (1e6, 1e3))  # as written they can be counts
    letters = {1e3: "K", 1e6: "M", 1e9: "B", 1e12: "T"}
    said = in_counts(odd, {"student_params": letters[params], "student_tokens": letters[tokens]})
    np.testing.assert_allclose(said.student_params, runs.student_params)
    np.testing.assert_allclose(said.student_tokens, runs.student_tokens)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("params", "tokens", "units"),
    [
        (1e3, 1e3, "params=K,tokens=K"),
        (1e3, 1, "params=K"),
        (1, 1e3, "tokens=K"),
        (1e3, 1e6, "params=K,tokens=M"),
    ],
)
def test_thousands_that_could_be_counts_are_asked_about(law, params, tokens, units):
    found = in_counts(scaled(grid(law), student_params=params, student_tokens=tokens))
    assert any(str(note).endswith(f"Then --units {units}") for note in found.cautions())


def test_rows_in_another_unit_than_the_others_are_named():
    runs = grid()
    for name, rows, says in (
        ("student_params", [1, 4], "rows 2, 5: student_params below 1,000, where half of the rows have 3.75e+08 or"),
        ("student_tokens", [7], "row 8: fewer student_tokens than a hundredth of student_params: are they written in"),
    ):
        factor = np.ones(12)
        factor[rows] = 1e9
        found = in_counts(scaled(runs, **{name: factor}))
        assert [text.startswith(says) for text in found.warnings()] == [True]
    factor = np.ones(12)
    factor[3] = 1e9
    teacher = np.full(12, 7e9) / factor
    found = in_counts(grid(teacher_loss=np.full(12, 2.2), teacher_params=teacher, teacher_tokens=np.full(12, 2e11)))
    assert any(text.startswith("row 4: teacher_params below 1,000") for text in found.warnings())


def test_the_largest_models_of_an_isoflop_profile_are_no_rows_in_another_unit():
    N = np.geomspace(1e7, 3e10, 20)
    D = 1e19 / (6 * N)
    assert (N / 100 > D).sum() == 3
    assert in_counts(Runs(student_params=N, student_tokens=D, student_loss=LAWS[2].loss(N, D))).warnings() == []


def test_compute_in_any_unit_stands_in_for_tokens_and_is_what_an_error_names(tmp_path):
    runs = grid()
    path = tmp_path / "t.csv"

    def read(unit, said=None):
        C = 6 * runs.student_params * runs.student_tokens / unit
        rows = zip(runs.student_params, C, runs.student_loss, strict=True)
        path.write_text("N,C,L\n" + "".join(f"{float(n)!r},{float(c)!r},{float(loss)!r}\n" for n, c, loss in rows))
        return in_counts(read_runs(path), said)

    for unit, said in ((1e18, None), (1e21, None), (1e18, {"compute": "E"}), (8.64e19, {"compute": "PF-days"})):
        np.testing.assert_allclose(read(unit, said).student_tokens, runs.student_tokens)
    with pytest.raises(ValueError, match=r"PFLOP/s-days.*ZFLOPs; say which, as --units compute="):
        read(8.64e19)
    for unit, said in ((1e24, None), (1e21, {"compute": "1"})):
        with pytest.raises(ValueError, match=r"row 1, column compute: .* FLOPs are too few for 6e\+07 parameters; say"):
            read(unit, said)
