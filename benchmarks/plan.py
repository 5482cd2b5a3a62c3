"""Planner against the paper's method, multi-start SLSQP, in one run on one thread.

Command: `make bench` (fifteen seconds). It prints, for the four scenarios of table 2, seconds per optimum and
the losses reached, then the times that a user waits for. docs/benchmarks.md keeps a printout.
"""

import resource
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from distlaw.costs import PAPER_FAMILY, SCENARIOS, Scenario
from distlaw.laws import DistillationLaw, PeakedTokensLaw, map_coefficients, published
from distlaw.plan import Problem, distilled_optimum, plan_uncertainty, solve

F = PAPER_FAMILY.forward_flops
STARTS = 16
CASES = 12


def slsqp(law: DistillationLaw, N_S: float, compute: float, scenario: Scenario, starts: int, seed: int) -> float:
    """The paper's way: minimise L_S over log D_S, log N_T, log D_T subject to FLOPs = C, from random starts."""
    low, high = np.log(1e6), np.log(1e17)
    F_S = float(F(N_S))

    def loss(v: np.ndarray) -> float:
        D_S, N_T, D_T = np.exp(v)
        return float(law.student_loss(N_S, D_S, law.supervised.loss(N_T, D_T)))

    def overspent(v: np.ndarray) -> float:
        D_S, N_T, D_T = np.exp(v)
        F_T = float(F(N_T))
        spent = 3 * F_S * D_S + F_T * (scenario.teacher_logits * D_S + 3 * scenario.teacher_pretraining * D_T)
        return float(np.log(spent / compute))

    best = np.inf
    for start in np.random.default_rng(seed).uniform(low, high, (starts, 3)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SLSQP steps outside the bounds on its way
            found = minimize(
                loss,
                start,
                method="SLSQP",
                bounds=[(low, high)] * 3,
                constraints={"type": "eq", "fun": overspent},
                options={"maxiter": 300, "ftol": 1e-10},
            )
        if found.success and abs(overspent(found.x)) < 1e-6:
            best = min(best, found.fun)
    return best


def against_slsqp(law: DistillationLaw) -> None:
    """Seconds per optimum and losses, ours alone and in a batch, against SLSQP."""
    rng = np.random.default_rng(0)
    N_S = 10 ** rng.uniform(8.5, 10, CASES)
    compute = 10 ** rng.uniform(20, 26, CASES)
    print(f"per optimum, {CASES} random cases (N_S 3e8 to 1e10, C 1e20 to 1e26), SLSQP from {STARTS} starts")
    print("scenario                           SLSQP s   ours s (alone)   ratio   ours s (map)    ratio   worst excess")
    for scenario in SCENARIOS.values():
        optimum = partial(
            distilled_optimum,
            law,
            teacher_logits=scenario.teacher_logits,
            teacher_pretraining=scenario.teacher_pretraining,
        )
        started = time.perf_counter()
        theirs = np.array(
            [slsqp(law, n, c, scenario, STARTS, seed) for seed, (n, c) in enumerate(zip(N_S, compute, strict=True))]
        )
        slsqp_s = (time.perf_counter() - started) / CASES
        optimum(1e9, compute=1e22)  # warm
        started = time.perf_counter()
        ours = np.array([optimum(n, compute=c).student_loss for n, c in zip(N_S, compute, strict=True)])
        alone_s = (time.perf_counter() - started) / CASES
        size_map, compute_map = np.meshgrid(np.geomspace(3e8, 1e10, 64), np.geomspace(1e20, 1e26, 64))
        started = time.perf_counter()
        optimum(size_map, compute=compute_map)
        map_s = (time.perf_counter() - started) / size_map.size
        excess = (ours - theirs).max()
        print(
            f"{scenario.name:34s} {slsqp_s:7.3f}   {alone_s:14.5f}   {slsqp_s / alone_s:5.0f}   {map_s:12.6f}"
            f"   {slsqp_s / map_s:6.0f}   {excess:+.1e} nats"
        )


def waits(law: DistillationLaw) -> None:
    """Times that a user notices."""
    problem = Problem(student_params=1e9, compute=1e22)
    solve(law, problem)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        solve(law, problem)
        times.append(time.perf_counter() - started)
    print(f"five options for one case, warm: {1e3 * np.median(times):.1f} ms")
    size_map, compute_map = np.meshgrid(np.geomspace(1e8, 1e11, 64), np.geomspace(1e19, 1e26, 64))
    started = time.perf_counter()
    distilled_optimum(law, size_map, teacher_logits=1, teacher_pretraining=1, compute=compute_map)
    print(f"64 x 64 map of teacher-pretraining-and-inference: {time.perf_counter() - started:.2f} s")
    under_resamples(problem)
    command = [
        str(Path(sys.executable).with_name("distlaw")),
        *("plan", "--student-params", "1B", "--compute", "1e22", "--law", "busbridge2025"),
    ]
    for flags in ([], ["--json"]):
        seconds = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*command, *flags], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        print(f"`distlaw plan{' --json' if flags else ''}`, cold: {np.median(seconds):.2f} s of CPU")


def under_resamples(problem: Problem) -> None:
    """A plan under 200 resamples of a fit, at once against one after another."""
    law = published("busbridge2025-peaked").law
    assert isinstance(law, PeakedTokensLaw)
    near = np.random.default_rng(0).lognormal(0, 0.05, 200)
    draws = replace(law, kappa=law.kappa * near, supervised=replace(law.supervised, B=law.supervised.B * near[::-1]))
    one_by_one = [map_coefficients(draws, lambda values, i=i: float(values[i])) for i in range(200)]
    started = time.process_time()
    plan_uncertainty(draws, problem)
    together = time.process_time() - started
    started = time.process_time()
    for one in one_by_one:
        solve(one, problem)
    apart = time.process_time() - started
    said = f"{together:.2f} s of CPU at once, {apart:.2f} s one after another ({apart / together:.1f})"
    print(f"five options under 200 resamples: {said}")


def main() -> None:
    """Run the benchmark."""
    law = published("busbridge2025").law
    assert isinstance(law, DistillationLaw)
    against_slsqp(law)
    waits(law)


if __name__ == "__main__":
    main()
