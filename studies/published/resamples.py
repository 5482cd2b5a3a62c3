"""Resamples of the built-in laws that are fitted to the 328 published students: `src/distlaw/laws/resampled`.

    python studies/published/resamples.py published-weak-students.csv src/distlaw/laws/resampled

Each row is one refit: the runs are drawn with replacement, all runs of a teacher together, and every loss of the
supervised law that the form rests on is multiplied by a log-normal factor of 0.5 %, as far as that law is known. Takes
20 CPU-seconds.
"""

import argparse
from pathlib import Path

import numpy as np

from distlaw.fit import FitSpec, fit_law
from distlaw.fit.bootstrap import refit, resample_weights
from distlaw.fit.fit import _objective
from distlaw.fit.forms import FORMS
from distlaw.laws import published
from distlaw.laws.published import SUPERVISED_ERROR
from distlaw.runs import read_runs, written_whole

LAWS = {
    "busbridge2025-refit": FitSpec(form="exponential", clusters="teacher"),
    "busbridge2025-consistent": FitSpec(form="exponential", clusters="teacher", consistency=1.0),
    "busbridge2025-peaked": FitSpec(form="peaked-tokens", clusters="teacher"),
    "busbridge2025-effective-tokens": FitSpec(form="effective-tokens", clusters="teacher"),
}
COUNT = 200


def main() -> None:
    """Refit and write a table for each law."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="the published students (CSV)")
    parser.add_argument("out", type=Path, help="folder of the tables")
    arguments = parser.parse_args()
    runs = read_runs(arguments.table)
    supervised = published("busbridge2025").supervised
    for name, spec in LAWS.items():
        rng = np.random.default_rng(0)
        best = fit_law(runs, spec, supervised=supervised, open_ends=False)
        counts = resample_weights(runs, spec.clusters, COUNT, rng)
        factors = np.exp(SUPERVISED_ERROR * rng.standard_normal(COUNT))
        rows = []
        for weights, factor in zip(counts, factors, strict=True):
            objective = _objective(FORMS[spec.form], spec, runs, supervised.scaled(factor))
            theta, _ = refit(objective, objective.chart.from_theta(best.theta[None])[0], weights[None, :])
            rows.append([factor, *FORMS[spec.form].values(theta[0]).values()])
        header = ",".join(["supervised_factor", *FORMS[spec.form].coefficients])
        with written_whole(arguments.out / f"{name}.csv", "resamples") as temporary:
            np.savetxt(temporary, np.array(rows), fmt="%.7g", delimiter=",", header=header, comments="")
        mean, largest = best.train.mean_abs_rel_error, best.train.max_abs_rel_error
        print(f"{name}: {best.status}, mean error {mean:.3%}, largest {largest:.2%}, {best.coefficients}")


if __name__ == "__main__":
    main()
