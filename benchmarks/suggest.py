"""Which run next: suggestions against random, cheapest-first and D-optimal choice, on the published distilled runs.

Command: `make bench-suggest` with DISTLAW_PUBLISHED_RUNS naming the runs (some minutes); docs/benchmarks.md keeps a
printout. Students that ended at 2.45 nats or below are held out. The rest is the pool: a study begins with 16 random
runs of its cheapest half and adds four at a time, refitting after each batch, until the pool is used up. Printed is the
share of the pool's FLOPs (6 N D) that a study had spent

- when its mean held-out error was first within 1.1 times that of a fit to the whole pool, and when it was for good;
- when its held-out predictions were on average within 0.1 % of those of the fit to the whole pool, for good;

each as median and 80 % interval over studies; then the median of both quantities after some shares of the FLOPs.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distlaw.fit import FitResult, FitSpec, fit_law
from distlaw.fit.chart import make_chart, straightened
from distlaw.fit.fit import fingerprint, latin_hypercube
from distlaw.fit.objective import Objective
from distlaw.fit.result import evaluate
from distlaw.fit.suggest import Candidates, Points, covariance, learn, scatter, sensitivity, suggest
from distlaw.laws import published
from distlaw.runs import Runs, read_runs

Array = NDArray[np.float64]
Positions = NDArray[np.intp]

FORMS = {"peaked-tokens": 20, "effective-tokens-best-teacher": 20, "distillation": 10}  # to the number of studies
CHOICES = ("suggested", "random", "cheapest first", "D-optimal per FLOP")
FIRST, BATCH, CLOSE, NEAR = 16, 4, 1.1, 0.001
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
LAW = published("busbridge2025").supervised
_PLACE = ("student_params", "student_tokens", "teacher_loss")


class Pool:
    """The runs that a study may do, and those that judge it."""

    def __init__(self, runs: Runs) -> None:
        held = runs.student_loss <= 2.45
        self.runs, self.held = runs.select(~held), runs.select(held)
        self.flops = 6 * self.runs.student_params * self.runs.student_tokens
        self.points = Points(**{name: getattr(self.held, name) for name in _PLACE})

    def predict(self, fit: FitResult) -> Array:
        """Predictions for the runs held out."""
        return evaluate(fit.law, (self.held.student_params, self.held.student_tokens, self.held.teacher_loss))

    def candidates(self, left: Positions) -> Candidates:
        """Runs at these positions, as not yet done."""
        runs = self.runs.select(left)
        return Candidates(**{name: getattr(runs, name) for name in _PLACE}, flops=self.flops[left])


def refit(fit: FitResult, runs: Runs, rng: np.random.Generator) -> FitResult:
    """The fit of more runs, from its last optimum and four new starts."""
    chart = straightened(make_chart(fit.form, {}, {}), runs)
    objective = Objective(fit.form, chart, runs, LAW, loss="huber", delta=fit.spec.delta)
    new = chart.from_linear(latin_hypercube(rng, 4, chart.start))
    starts = np.concatenate([chart.from_theta(fit.theta[None]), new])
    found = objective.solve(starts, objective.weights, tolerance=1e-6)
    phi = found.theta[[np.argmin(found.objective)]]
    phi = objective.solve(phi, objective.weights, tolerance=1e-8, damping=0.1).theta
    theta, residuals = chart.theta(phi)[0], objective(phi)[0][0]
    return replace(fit, theta=theta, residuals=residuals, fingerprint=fingerprint(runs))


def choose(
    how: str, pool: Pool, fit: FitResult, done: Positions, left: Positions, rng: np.random.Generator
) -> Positions:
    """Positions among those left of the next batch."""
    if how == "random":
        return rng.permutation(left.size)[:BATCH]
    if how == "cheapest first":
        return np.lexsort((rng.random(left.size), pool.flops[left]))[:BATCH]
    runs, candidates = pool.runs.select(done), pool.candidates(left)
    if how == "suggested":
        return np.array([s.position for s in suggest(fit, runs, candidates, pool.points, batch=BATCH)])
    # log det of the information grows by log(1 + J C J / noise^2): the most of that per FLOP.
    noise = 1.2533 * scatter(fit.residuals, fit.theta.size)
    C = covariance(sensitivity(fit, runs)[1], runs.weight, noise)
    _, J = sensitivity(fit, candidates.as_runs())
    chosen = []
    while len(chosen) < min(BATCH, left.size):
        gain = np.log1p(np.einsum("ij,jk,ik->i", J, C, J) / noise**2) / candidates.flops
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        C = learn(C, J[chosen[-1]], noise)
    return np.array(chosen)


def study(how: str, form: str, pool: Pool, seed: int, whole: Array) -> Array:
    """Rows after each batch: share of the FLOPs spent, held-out error, distance from the whole pool's predictions."""
    rng = np.random.default_rng(seed)
    cheap = np.argsort(pool.flops, kind="stable")[: len(pool.runs) // 2]
    done = rng.choice(cheap, FIRST, replace=False)
    fit = fit_law(pool.runs.select(done), FitSpec(form=form, starts=32, resamples=0), supervised=LAW)
    rows = []
    while True:
        spent, predicted = pool.flops[done].sum() / pool.flops.sum(), pool.predict(fit)
        rows.append((spent, mean_error(predicted, pool.held.student_loss), mean_error(predicted, whole)))
        left = np.setdiff1d(np.arange(len(pool.runs)), done)
        if not left.size:
            return np.array(rows)
        done = np.concatenate([done, left[choose(how, pool, fit, done, left, rng)]])
        fit = refit(fit, pool.runs.select(done), rng)


def mean_error(predicted: Array, measured: Array) -> float:
    """Mean absolute relative error."""
    return float(np.mean(np.abs(predicted / measured - 1)))


def reached(shares: Array, errors: Array, goal: float) -> tuple[float, float]:
    """Share spent when the error was first at most the goal, and when it was for good; 1 where that took the pool."""
    bad = np.flatnonzero(errors > goal)
    first = shares[np.argmax(errors <= goal)] if bad.size < errors.size else 1.0
    return float(first), float(shares[min(bad[-1] + 1, shares.size - 1)] if bad.size else shares[0])


def interval(values: Array) -> str:
    """Median and 80 % interval, in per cent."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return f"{middle:6.1%} ({low:5.1%} to {high:5.1%})"


def main() -> None:
    """Run the benchmark."""
    named = os.environ.get("DISTLAW_PUBLISHED_RUNS")
    if not named:
        raise SystemExit("DISTLAW_PUBLISHED_RUNS must name the published runs")
    pool = Pool(read_runs(Path(named)))
    print(f"pool of {len(pool.runs)} runs, {pool.flops.sum():.3g} FLOPs; {len(pool.held)} runs held out")
    started = time.process_time()
    for form, studies in FORMS.items():
        whole = pool.predict(fit_law(pool.runs, FitSpec(form=form, starts=32, resamples=0), supervised=LAW))
        goal = CLOSE * mean_error(whole, pool.held.student_loss)
        print(f"\n{form}: held-out error of the whole pool {goal / CLOSE:.3%}, goal {goal:.3%}; {studies} studies")
        titles = (f"{title:>25s}" for title in ("first at the goal", "at the goal for good", "within 0.1 % for good"))
        after = ", ".join(f"{share:.0%}" for share in SHARES)
        print(f"{'':18s}{''.join(titles)}   error, and distance, after {after} of the FLOPs")
        for how in CHOICES:
            traces = [study(how, form, pool, seed, whole) for seed in range(studies)]
            first, good = np.array([reached(trace[:, 0], trace[:, 1], goal) for trace in traces]).T
            near = np.array([reached(trace[:, 0], trace[:, 2], NEAR)[1] for trace in traces])
            at = [[trace[np.searchsorted(trace[:, 0], s, side="right") - 1, 1:] for trace in traces] for s in SHARES]
            error, distance = (", ".join(f"{100 * x:.2f}" for x in column) for column in np.median(at, axis=1).T)
            shares = "".join(f"{interval(values):>25s}" for values in (first, good, near))
            print(f"{how:18s}{shares}   {error} %; {distance} %", flush=True)
    print(f"\n{time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
