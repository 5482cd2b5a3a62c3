from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlaw.costs import PAPER_FAMILY
from distlaw.fit import FitSpec, fit_law
from distlaw.fit.result import evaluate
from distlaw.fit.suggest import (
    Candidates,
    Points,
    choose,
    covariance,
    learn,
    read_candidates,
    scatter,
    sensitivity,
    space_filling,
    suggest,
    wrong_verdict,
)
from distlaw.laws import PeakedTokensLaw, published
from distlaw.runs import Runs

SUPERVISED = published("busbridge2025").supervised
TRUTH = PeakedTokensLaw(supervised=SUPERVISED, kappa=2.5, m=13, growth=0.5, lead=0.7)
NOISE = 0.003


def study(n=30, seed=0, alone=0):
    """Distilled runs of the truth, then `alone` supervised ones, shuffled."""
    rng = np.random.default_rng(seed)
    N = 10 ** rng.uniform(8, 9.5, n + alone)
    D = N * 10 ** rng.uniform(0.8, 2.2, n + alone)
    L_T = np.where(np.arange(n + alone) < n, rng.uniform(1.95, 2.8, n + alone), np.nan)
    loss = np.where(np.isnan(L_T), SUPERVISED.loss(N, D), TRUTH.student_loss(N, D, np.nan_to_num(L_T, nan=2.0)))
    runs = Runs(
        student_params=N,
        student_tokens=D,
        teacher_loss=L_T,
        student_loss=loss * np.exp(NOISE * rng.normal(size=n + alone)),
    )
    return runs.select(rng.permutation(n + alone))


def fitted(runs, form="peaked-tokens", *, joint=False, starts=8):
    spec = FitSpec(form=form, joint=joint, starts=starts, resamples=0)
    return fit_law(runs, spec, supervised=None if joint or form == "supervised" else SUPERVISED)


def points(*rows):
    N, D, L_T = np.array(rows, dtype=float).T
    return Points(student_params=N, student_tokens=D, teacher_loss=L_T)


def candidates(*rows, flops=None):
    at = points(*rows)
    cost = 6 * at.student_params * at.student_tokens if flops is None else np.asarray(flops, dtype=float)
    return Candidates(**vars(at), flops=cost)


TARGET = points((3e9, 1e11, 2.1), (7e9, 3e11, 1.95))
GRID = [(n, r * n, t) for n in (1e8, 5e8, 2e9) for r in (10, 60) for t in (1.95, 2.2, 2.6)]


# --- covariance and choice ----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_learning_a_run_is_having_had_it(seed):
    rng = np.random.default_rng(seed)
    J = rng.normal(size=(7, 4)) * 10.0 ** rng.uniform(-3, 2, size=(7, 1))
    weights = rng.uniform(0.5, 2.0, size=7)
    weights[-1] = 1.0
    stepwise = learn(covariance(J[:-1], weights[:-1], 0.01), J[-1], 0.01)
    np.testing.assert_allclose(stepwise, covariance(J, weights, 0.01), rtol=1e-6, atol=1e-9)


def test_without_runs_the_prior_is_left():
    np.testing.assert_array_equal(covariance(np.empty((0, 3)), np.empty(0), 0.01), np.eye(3))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_each_choice_takes_most_variance_off_the_targets_per_flop(seed):
    rng = np.random.default_rng(seed)
    done, J, T = rng.normal(size=(5, 4)), rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    flops, weights, noise = 10.0 ** rng.uniform(18, 20, size=9), rng.uniform(0.1, 1.0, size=3), 0.5
    C = covariance(done, np.ones(5), noise)
    chosen = choose(C, J, flops, T, weights, noise, batch=3)
    assert len(set(chosen)) == 3
    for k, pick in enumerate(chosen):
        so_far = np.concatenate([done, J[chosen[:k]]])

        def left(i, so_far=so_far):
            rows = so_far if i is None else np.concatenate([so_far, J[i : i + 1]])
            C = covariance(rows, np.ones(len(rows)), noise)
            return weights @ np.diag(T @ C @ T.T)

        gains = [(left(None) - left(i)) / flops[i] if i not in chosen[:k] else -1 for i in range(9)]
        assert gains[pick] == pytest.approx(max(gains), rel=1e-6)


def test_a_second_choice_knows_of_the_first():
    J = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.9]])
    assert choose(np.eye(2), J, np.ones(3), np.eye(2), np.ones(2), 0.01, batch=3) == [0, 2, 1]


def test_what_costs_twice_as_much_must_tell_twice_as_much():
    J = np.array([[1.0, 0.0], [0.0, 1.0]])
    T, weights = np.eye(2), np.array([1.9, 1.0])
    assert choose(np.eye(2), J, np.array([1.0, 1.0]), T, weights, 0.1, batch=1) == [0]
    assert choose(np.eye(2), J, np.array([2.0, 1.0]), T, weights, 0.1, batch=1) == [1]


def test_a_budget_is_kept_and_used():
    J = np.array([[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    arguments = (np.eye(2), J, np.array([5.0, 4.0, 1.0]), np.eye(2), np.ones(2), 1.0)
    assert choose(*arguments, batch=3) == [2, 0, 1]
    assert choose(*arguments, batch=3, budget=5.0) == [2, 1]
    assert choose(*arguments, batch=3, budget=0.5) == []


# --- what a fit says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "joint"),
    [("peaked-tokens", False), ("distillation", False), ("effective-tokens", True), ("supervised", False)],
)
def test_sensitivities_are_derivatives_of_the_log_loss(form, joint):
    runs = study(30, alone=20)
    fit = fitted(runs, form, joint=joint, starts=4)
    middle = np.array([np.mean(coordinate.start) for coordinate in fit.form.coordinates])
    fit = replace(fit, theta=middle)  # off the bounds
    asked = runs.select(runs.distilled == (form != "supervised"))
    if joint:
        asked = runs  # of both kinds, shuffled
    r, J = sensitivity(fit, asked)
    loss = np.array([_loss(fit, asked, i) for i in range(len(asked))])
    np.testing.assert_allclose(r, np.log(loss / asked.student_loss), atol=1e-9)
    for k, coordinate in enumerate(fit.form.coordinates):
        step = 1e-5
        up, down = (replace(fit, theta=fit.theta + s * step * (np.arange(fit.theta.size) == k)) for s in (1, -1))
        slope = [np.log(_loss(up, asked, i) / _loss(down, asked, i)) / (2 * step) for i in range(len(asked))]
        width = coordinate.start[1] - coordinate.start[0]
        np.testing.assert_allclose(J[:, k], np.array(slope) * width, rtol=1e-4, atol=1e-5)


def _loss(fit, runs, i):
    place = (runs.student_params[i], runs.student_tokens[i])
    if fit.form.kind == "supervised":
        return evaluate(fit.law, place)
    return fit.law.student_loss(*place, runs.teacher_loss[i]) if runs.distilled[i] else fit.law.supervised.loss(*place)


def test_a_fit_beyond_the_bounds_of_other_coordinates_is_taken_as_it_is():
    runs = study()
    fit = fitted(runs, "exponential", starts=4)
    # The straightened coordinates of a fit let log A and log B run past their own bounds of 60.
    theta = fit.theta.copy()
    theta[[fit.form.names.index(name) for name in ("log A", "log B", "alpha", "beta", "gamma")]] = 128, 120, 6, 5, 0.05
    far = replace(fit, theta=theta)
    expected = np.log(far.law.student_loss(runs.student_params, runs.student_tokens, runs.teacher_loss))
    np.testing.assert_allclose(sensitivity(far, runs)[0], expected - np.log(runs.student_loss), atol=1e-9)


def test_a_fixed_coefficient_is_no_direction():
    runs = study()
    fit = fit_law(runs, FitSpec(form="peaked-tokens", fixed={"m": 13.0}, starts=4, resamples=0), supervised=SUPERVISED)
    assert sensitivity(fit, runs)[1].shape == (30, 3)


def test_suggestions_tell_what_to_expect():
    runs = study()
    fit = fitted(runs)
    possible = candidates(*GRID)
    found = suggest(fit, runs, possible, TARGET, batch=5)
    noise = scatter(fit.residuals, 4) * np.sqrt(np.pi / 2)
    done, (_, T) = sensitivity(fit, runs)[1], sensitivity(fit, TARGET.as_runs())
    J = sensitivity(fit, possible.as_runs())[1]

    def deviation(rows):
        C = covariance(np.concatenate([done, J[list(rows)]]), np.ones(len(done) + len(rows)), noise)
        return np.sqrt(np.mean(np.diag(T @ C @ T.T)))

    assert found[0].before.deviation == pytest.approx(deviation([]), rel=1e-6)
    cheap = np.argsort(possible.flops, kind="stable")
    for k, one in enumerate(found, start=1):
        rows = [other.position for other in found[:k]]
        assert one.flops == possible.flops[one.position]
        assert one.total_flops == pytest.approx(possible.flops[rows].sum())
        assert one.after.deviation == pytest.approx(deviation(rows), rel=1e-6)
        assert np.isnan(one.after.wrong_verdict)
        paid = np.cumsum(possible.flops[cheap])
        instead = cheap[paid <= one.total_flops * (1 + 1e-9)]
        assert one.cheapest.deviation == pytest.approx(deviation(instead), rel=1e-6)
    assert [one.before.deviation for one in found[1:]] == [one.after.deviation for one in found[:-1]]
    gained, instead = (found[0].before.deviation - d.deviation for d in (found[-1].after, found[-1].cheapest))
    assert gained > 1.5 * instead > 0


def test_a_deviation_is_how_far_predictions_are_off():
    off = []
    for seed in range(40):
        runs = study(40, seed)
        fit = fitted(runs, starts=2)
        error = np.log(evaluate(fit.law, tuple(vars(TARGET).values())) / TRUTH.student_loss(*vars(TARGET).values()))
        expected = suggest(fit, runs, candidates(*GRID), TARGET)[0].before.deviation
        off.append(np.sqrt(np.mean(error**2)) / expected)
    assert 0.7 < np.sqrt(np.mean(np.square(off))) < 1.4


def test_weights_of_runs_count():
    runs = study()
    fit = fitted(runs)
    heavy = replace(runs, weight=np.full(len(runs), 4.0))
    light, sure = (suggest(fit, r, candidates(*GRID), TARGET)[0].before.deviation for r in (runs, heavy))
    assert sure == pytest.approx(light / 2, rel=0.05)


def test_scatter_is_the_deviation_of_residuals_and_a_guess_when_there_are_few():
    r = NOISE * 3 * np.random.default_rng(0).normal(size=4000)
    assert scatter(r, 4) == pytest.approx(3 * NOISE, rel=0.05)
    assert scatter(r[:4], 4) == pytest.approx(0.003)
    assert scatter(np.zeros(9), 3) == pytest.approx(0.003 * np.sqrt(3 / 9))
    # A robust fit passes through some runs: these say nothing.
    through = np.concatenate([r[:100], np.zeros(60)])
    assert scatter(through, 60) == pytest.approx(scatter(r[:100], 0))
    # Outliers do not move it.
    assert scatter(np.where(np.arange(4000) % 10 == 0, 1.0, r), 4) == pytest.approx(3 * NOISE, rel=0.2)


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_wrong_verdict_is_its_simulation():
    rng = np.random.default_rng(0)
    for margin, before, after in ((0.0, 1.0, 0.5), (0.7, 1.0, 0.3), (-1.5, 2.0, 1.0), (0.5, 1.0, 1.0)):
        estimate = margin + np.sqrt(before**2 - after**2) * rng.normal(size=400_000)
        truth = estimate + after * rng.normal(size=400_000)
        simulated = np.mean(np.sign(truth) != np.sign(estimate))
        found = wrong_verdict(np.array([margin]), np.array([before]), np.array([after]))[0]
        assert found == pytest.approx(simulated, abs=0.003)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(0.01, 0.99))
def test_a_verdict_is_never_expected_to_get_worse(margin, share):
    m, one = np.array([margin]), np.ones(1)
    now, then = wrong_verdict(m, one, one)[0], wrong_verdict(m, one, share * one)[0]
    assert then <= now * (1 + 1e-3)
    assert wrong_verdict(0 * m, one, share * one)[0] == pytest.approx(
        np.arccos(np.sqrt(1 - share**2)) / np.pi, rel=0.02
    )


def test_a_verdict_that_is_decided_is_worth_no_run():
    runs = study(60)
    fit = fitted(runs)
    # A small student under a strong teacher, and one whose teacher is just where distilling stops paying.
    N, D = 2e9, 1e11
    clear = points((2e8, 1e10, 1.95))
    teachers = np.linspace(1.9, 4.0, 4001)
    gap = np.abs(np.log(fit.law.student_loss(N, D, teachers) / SUPERVISED.loss(N, D)))
    edge = float(teachers[np.argmin(gap)])
    both = points((2e8, 1e10, 1.95), (N, D, edge))
    [now] = suggest(fit, runs, candidates(*GRID), clear, target="verdict")
    assert now.before.wrong_verdict < 1e-6
    found = suggest(fit, runs, candidates(*GRID), both, target="verdict", batch=4)
    only = suggest(fit, runs, candidates(*GRID), points((N, D, edge)), target="verdict", batch=4)
    assert [one.position for one in found] == [one.position for one in only]
    assert 0.2 < only[0].before.wrong_verdict <= 0.5
    assert only[-1].after.wrong_verdict < only[0].before.wrong_verdict


def test_a_verdict_weighs_shares_of_variance_by_doubt():
    runs = study(20, seed=4)
    fit = fitted(runs)
    teachers = np.linspace(1.9, 4.0, 4001)
    edges = []  # teacher losses at which distilling ends a little better or worse
    for N, D, gap in ((5e7, 5e8, 0.002), (2e9, 1e11, 0.0), (8e9, 1e12, -0.001)):
        margin = np.log(fit.law.student_loss(N, D, teachers) / SUPERVISED.loss(N, D))
        edges.append((N, D, float(teachers[np.argmin(np.abs(margin - gap))])))
    asked, possible = points(*edges), candidates(*GRID)
    r, T = sensitivity(fit, asked.as_runs())
    margin = r - np.log(SUPERVISED.loss(asked.student_params, asked.student_tokens))
    noise = scatter(fit.residuals, 4) * np.sqrt(np.pi / 2)
    C = covariance(sensitivity(fit, runs)[1], runs.weight, noise)
    now = np.sqrt(np.diag(T @ C @ T.T))
    weights = wrong_verdict(margin, now, now) / now**2
    J = sensitivity(fit, possible.as_runs())[1]
    expected = choose(C, J, possible.flops, T, weights, noise, batch=8)
    assert expected != choose(C, J, possible.flops, T, weights * now, noise, batch=8)
    found = suggest(fit, runs, possible, asked, target="verdict", batch=8)
    assert [one.position for one in found] == expected
    assert found[0].before.wrong_verdict == pytest.approx(wrong_verdict(margin, now, now).mean())


def test_a_joint_fit_lets_supervised_runs_decide_a_verdict():
    runs = study(24, alone=24)
    fit = fitted(runs, "effective-tokens", joint=True, starts=4)
    possible = candidates((2e9, 6e10, np.nan), (2e9, 6e10, 2.3), flops=[1e21, 1e21])
    asked = points((4e9, 2e11, 2.3))
    verdict = suggest(fit, runs, possible, asked, target="verdict", batch=2)
    _, T = sensitivity(fit, asked.as_runs())
    _, alone = sensitivity(fit, replace(asked, teacher_loss=np.array([np.nan])).as_runs())
    noise = scatter(fit.residuals, fit.theta.size) * np.sqrt(np.pi / 2)
    order = np.argsort(~runs.distilled, kind="stable")
    C = covariance(sensitivity(fit, runs.select(order))[1], np.ones(48), noise)
    expected = np.sqrt(((T - alone) @ C @ (T - alone).T).item())
    assert verdict[0].before.deviation == pytest.approx(expected, rel=1e-6)
    assert verdict[1].after.deviation < verdict[0].after.deviation < verdict[0].before.deviation


# --- a start without a fit ----------------------------------------------------------------------------------------


def test_a_start_fills_the_space():
    possible = candidates(*GRID)
    nothing = study().select([])
    chosen = space_filling(possible, 8, done=nothing)
    assert chosen[0] == np.argmin(possible.flops)
    assert len(set(chosen)) == 8
    places = np.array(GRID)[chosen]
    assert set(places[:, 0]) == {1e8, 5e8, 2e9}
    assert {tuple(corner) for corner in np.array(GRID)[[0, -1]]} <= {tuple(place) for place in places}
    assert len(space_filling(possible, 99, done=nothing)) == 18


def test_a_start_keeps_away_from_what_is_done_and_within_the_budget():
    possible = candidates((1e8, 2e9, 2.0), (3e8, 6e9, 2.0), (1e9, 2e10, 2.0))
    done = Runs(
        student_params=np.array([1.1e8]),
        student_tokens=np.array([2e9]),
        teacher_loss=np.array([2.0]),
        student_loss=np.array([3.0]),
    )
    assert space_filling(possible, 2, done=done) == [2, 1]
    assert space_filling(possible, 2, done=done, budget=6 * 3e8 * 6e9) == [1]
    assert space_filling(possible, 2, done=done, budget=1.0) == []


# --- tables -------------------------------------------------------------------------------------------------------


def write(tmp_path, *lines):
    path = tmp_path / "next.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_candidates_cost_what_they_say_or_what_eq_9_says(tmp_path):
    path = write(
        tmp_path, "N_S,D_S,L_T,N_T,compute", "1B,20B,2.1,3B,5e21", "1B,20B,2.1,3B,", "1B,20B,2.1,,", "1B,20B,,,"
    )
    found = read_candidates(path)
    F_S, F_T = PAPER_FAMILY.forward_flops(1e9), PAPER_FAMILY.forward_flops(3e9)
    np.testing.assert_allclose(found.flops, [5e21, 3 * F_S * 2e10 + F_T * 2e10, 3 * F_S * 2e10, 3 * F_S * 2e10])
    np.testing.assert_array_equal(found.teacher_loss, [2.1, 2.1, 2.1, np.nan])
    [warning] = found.warnings
    assert warning.kind == "logits-not-counted"
    assert str(warning).startswith("1 candidates, row 3 the first")
    assert read_candidates(write(tmp_path, "N,D,L", "1B,20B,")).warnings == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("N,D,L", "1B,20B,", "1B,20B,2.5"), "next.csv: row 2 has a student_loss: it is done, and no candidate"),
        (("N,D,L_T", "-1,20B,2.1"), "row 1, column student_params: '-1' is not a finite number above 0"),
        (("N,L_T", "1B,2.1"), "missing column student_tokens"),
        (("N,D,C", "1B,20B,0"), "row 1, column compute: '0' is not a finite number above 0"),
    ],
)
def test_a_bad_table_of_candidates_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        read_candidates(write(tmp_path, *lines))


# --- refusals -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_answered_is_refused():
    runs = study()
    fit = fitted(runs)
    possible = candidates(*GRID)

    def refused(message, *, fit=fit, runs=runs, possible=possible, at=TARGET, **options):
        with pytest.raises(ValueError, match=message):
            suggest(fit, runs, possible, at, **options)

    refused("the fit did not converge", fit=replace(fit, status="not converged"))
    refused("target 'loss' is unknown; choose prediction or verdict", target="loss")
    refused("batch must be 1 or more, got 0", batch=0)
    refused(r"no candidate is affordable: the cheapest costs 6e\+17 FLOPs, the budget is 1e\+15", budget=1e15)
    refused("the runs are not those of the fit", runs=study(seed=1))
    refused("candidate 2 has no teacher_loss", possible=candidates((1e9, 2e10, 2.1), (1e9, 2e10, np.nan)))
    refused("point 1 has no teacher_loss", at=points((1e9, 2e10, np.nan)))
    alone = study(0, alone=30)
    alone_fit = fitted(alone, "supervised")
    refused("point 1 has a teacher_loss: form 'supervised'", fit=alone_fit, runs=alone)
    at, possible = points((1e9, 2e10, np.nan)), candidates((2e9, 4e10, np.nan))
    refused("a verdict weighs", fit=alone_fit, runs=alone, at=at, possible=possible, target="verdict")
    assert suggest(alone_fit, alone, possible, at)[0].after.deviation > 0


def test_candidates_outside_the_domain_are_refused():
    with pytest.raises(ValueError, match="row 1, column student_params: -1 must lie between"):
        points((-1, 2e10, 2.1))
    with pytest.raises(ValueError, match="row 2: flops must be finite and above 0, got 0"):
        candidates((1e9, 2e10, 2.1), (1e9, 2e10, 2.1), flops=[1.0, 0.0])
    with pytest.raises(ValueError, match=r"flops has the shape \(1,\), student_params has 2 candidates"):
        candidates((1e9, 2e10, 2.1), (1e9, 2e10, 2.1), flops=[1.0])
