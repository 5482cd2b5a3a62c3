"""Fitting against SciPy and the peers, in one run, CPU seconds on one thread.

Command: `make bench-fit`; PyPI `chinchilla` and `simple-scaling-laws` (Python 3.12) take part where they are installed.
docs/benchmarks.md keeps a printout. The table is synthetic: 240 runs shaped like the public Chinchilla runs, 1 % noise.
The published distilled runs are used where their file is named in DISTLAW_PUBLISHED_RUNS.
"""

import os
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from distlaw.apps.fit_run import run_fit
from distlaw.fit import FORMS, FitSpec, fit_law
from distlaw.fit.chart import make_chart
from distlaw.fit.objective import Objective
from distlaw.laws import SupervisedLaw, published
from distlaw.runs import Runs, read_runs

DELTA = 1e-3


def chinchilla_table(count: int = 240) -> Runs:
    """Runs on a spread of sizes and tokens, 1 % noise in the loss."""
    rng = np.random.default_rng(0)
    N = 10 ** rng.uniform(7.7, 10.2, count)
    D = N * 10 ** rng.uniform(0.3, 2.3, count)
    law = published("besiroglu2024").supervised
    loss = law.loss(N, D) * np.exp(0.01 * rng.normal(size=count))
    return Runs(student_params=N, student_tokens=D, student_loss=loss, teacher_loss=np.full(count, np.nan))


def distilled_table(count: int) -> Runs:
    """An eighth of the runs without a teacher, the others under one of seven, 0.3 % noise in the loss."""
    rng = np.random.default_rng(0)
    N = 10 ** rng.uniform(7.7, 10.2, count)
    D = N * 10 ** rng.uniform(0.8, 2.3, count)
    L_T = rng.choice([np.nan, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.7], count)
    law = published("busbridge2025-peaked").law
    assert not isinstance(law, SupervisedLaw)
    distilled = law.student_loss(N, D, np.nan_to_num(L_T, nan=2.0))
    loss = np.where(np.isnan(L_T), law.supervised.loss(N, D), distilled) * np.exp(0.003 * rng.normal(size=count))
    return Runs(student_params=N, student_tokens=D, student_loss=loss, teacher_loss=L_T)


def as_the_command(runs: Runs):  # noqa: ANN201
    """What `distlaw fit TABLE` does, without options: choice, optimum, intervals, far runs, open directions."""
    done = run_fit(runs, FitSpec(), resamples=None)
    spec = done.result.spec
    print(f"    {spec.form}, {spec.resamples} resamples, fixed {dict(spec.fixed)}, tied {dict(spec.tied)}")
    return done, done.result.objective


def timed(label: str, work):  # noqa: ANN001, ANN201
    """Run, print CPU seconds and the objective, and give the result."""
    started = time.process_time()
    result, objective = work()
    print(f"{label:62s} {time.process_time() - started:8.2f} s   objective {objective:.9g}", flush=True)
    return result


def chinchilla_package(runs: Runs, objective: Objective) -> None:
    """PyPI `chinchilla` with the grid of its README (3125 starts), judged by our objective."""
    try:
        from chinchilla import Chinchilla  # pyright: ignore[reportMissingImports]
        from chinchilla._metrics import log_huber  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("PyPI chinchilla is not installed: pip install chinchilla==0.2.0 to compare")
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = zip(runs.student_params, runs.student_tokens, runs.student_loss, strict=True)
        lines = [f"{6 * n * d!r},{n!r},{d!r},{loss!r}" for n, d, loss in (map(float, row) for row in rows)]
        (Path(folder) / "df.csv").write_text("C,N,D,loss\n" + "\n".join(lines) + "\n")
        grid = {
            "E": np.linspace(1, 2, 5),
            "a": np.linspace(1, 10, 5),
            "b": np.linspace(1, 10, 5),
            "alpha": np.linspace(0.1, 0.7, 5),
            "beta": np.linspace(0.1, 0.7, 5),
        }
        # Its default loss follows the floor of the runs; the same Huber loss is asked of it here.
        peer = Chinchilla(folder, param_grid=grid, loss_fn=partial(log_huber, delta=DELTA))
        before = os.times()
        peer.fit()
        after = os.times()
    seconds = sum(after[:4]) - sum(before[:4])  # with its worker processes
    p = peer.params
    phi = np.array([np.log(p["E"]), np.log(p["A"]), np.log(p["B"]), p["alpha"], p["beta"]])
    r = np.abs(objective(phi[None])[0][0])
    value = np.where(r <= DELTA, r * r / (2 * DELTA), r - DELTA / 2).sum()
    print(f"{'PyPI chinchilla 0.2.0, grid of its README':62s} {seconds:8.2f} s   objective {value:.9g}")


def simple_scaling_laws(runs: Runs) -> None:
    """PyPI `simple-scaling-laws`: squared error, so its objective is another one; its wild bootstrap."""
    try:
        import pandas as pd
        from simple_scaling_laws import fit  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("PyPI simple-scaling-laws is not installed: pip install simple-scaling-laws==0.2.0 on Python 3.12")
        return
    table = pd.DataFrame(
        {
            "training_run_id": [str(i) for i in range(len(runs))],
            "model_size__params": runs.student_params,
            "dataset_size__tokens": runs.student_tokens,
            "test_loss__cross_entropy": runs.student_loss,
        }
    )
    for draws in (2, 4000):
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit(table, law="separable-power", n_draws=draws, seed=0)
        label = f"PyPI simple-scaling-laws 0.2.0, squared error, {draws} draws"
        print(f"{label:62s} {time.process_time() - started:8.2f} s", flush=True)


def main() -> None:
    """Run the benchmark."""
    runs = chinchilla_table()
    fixed = {"gamma": 1.0}
    spec = FitSpec(form="supervised", fixed=fixed, delta=DELTA, resamples=0)
    print("E + A/N^alpha + B/D^beta on 240 synthetic runs, Huber 1e-3; seconds are CPU")

    def ours(resamples: int, starts: int):  # noqa: ANN202
        fit = fit_law(runs, FitSpec(form="supervised", fixed=fixed, delta=DELTA, resamples=resamples, starts=starts))
        return fit, fit.objective

    few = timed("distlaw, 32 starts, to the optimum and its diagnosis", lambda: ours(0, 32))
    timed("distlaw, 128 starts", lambda: ours(0, 128))
    timed("distlaw, 32 starts and 4000 resamples", lambda: ours(4000, 32))
    print(f"    starts that reached it: {few.starts_reached:.0%}")

    chart = make_chart(FORMS["supervised"], fixed, {})
    objective = Objective(FORMS["supervised"], chart, runs, None, loss="huber", delta=spec.delta)

    def scipy_from(start: np.ndarray):  # noqa: ANN202
        return least_squares(
            lambda phi: objective(phi[None])[0][0],
            np.clip(start, chart.low + 1e-9, chart.high - 1e-9),
            jac=lambda phi: objective(phi[None])[1][0],  # pyright: ignore[reportArgumentType]
            bounds=(chart.low, chart.high),
            loss="huber",
            f_scale=DELTA,
            x_scale="jac",
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
            max_nfev=500,
        )

    def scipy_many():  # noqa: ANN202
        rng = np.random.default_rng(0)
        found = [scipy_from(start) for start in rng.uniform(chart.start[0], chart.start[1], (32, len(chart.names)))]
        best = min(found, key=lambda f: f.cost)
        return best, best.cost / DELTA

    theirs = timed("SciPy least_squares (same Jacobian), 32 starts", scipy_many)
    print(f"    ours over theirs, relative: {few.objective / (theirs.cost / DELTA) - 1:+.1e}")

    def scipy_resamples(count: int):  # noqa: ANN202
        """A warm start for every resample, the runs weighted by how often each was drawn."""
        rng = np.random.default_rng(0)
        n = len(runs)
        for counts in rng.multinomial(n, np.full(n, 1 / n), size=count):
            drawn = np.repeat(np.arange(n), counts)
            least_squares(
                lambda phi, drawn=drawn: objective(phi[None])[0][0][drawn],
                theirs.x,
                jac=lambda phi, drawn=drawn: objective(phi[None])[1][0][drawn],  # pyright: ignore[reportArgumentType]
                bounds=(chart.low, chart.high),
                loss="huber",
                f_scale=DELTA,
                x_scale="jac",
            )
        return theirs, theirs.cost / DELTA

    timed("SciPy least_squares, 400 resamples (a tenth of ours)", lambda: scipy_resamples(400))
    chinchilla_package(runs, objective)
    simple_scaling_laws(runs)

    print("distlaw fit TABLE, all chosen by the runs")
    timed("2,800 runs without a teacher", lambda: as_the_command(chinchilla_table(2800)))
    timed("2,800 runs, 2,450 of them distilled", lambda: as_the_command(distilled_table(2800)))

    named = os.environ.get("DISTLAW_PUBLISHED_RUNS")
    if named and Path(named).exists():
        table = read_runs(Path(named))
        law = published("busbridge2025").supervised

        def nine(resamples: int):  # noqa: ANN202
            fit = fit_law(table, FitSpec(resamples=resamples, starts=32), supervised=law)
            return fit, fit.objective

        print(f"eq. 8, nine coefficients, {len(table)} published runs")
        timed("distlaw, 32 starts", lambda: nine(0))
        timed("distlaw, 32 starts and 4096 resamples", lambda: nine(4096))


if __name__ == "__main__":
    main()
