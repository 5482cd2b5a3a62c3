import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from distlaw.evidence.alone import learn_alone, noisy_losses
from distlaw.evidence.cells import gather
from distlaw.evidence.noise import seed_noise
from distlaw.fit import FitSpec, fit_law


def load_simulate():
    spec = spec_from_file_location("simulated_study", Path(__file__).with_name("simulate.py"))
    module = sys.modules.setdefault(spec.name, module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def study():
    """The simulator: `study.simulate(study.PEAKED, noise=...)`."""
    return load_simulate()


@pytest.fixture(scope="session")
def read_up():
    """What most questions start from: cells, distilled ones, noise, the supervised fit, curves, losses with draws."""

    def read(runs, draws=200):
        cells, _ = gather(runs)
        noise = seed_noise(cells)
        fit = fit_law(runs.select(~runs.distilled), FitSpec(form="supervised", starts=12, resamples=draws))
        taught = cells.select(cells.distilled)
        alone = learn_alone(cells, fit, noise, draws=draws, seed=0)
        return cells, taught, noise, fit, alone, noisy_losses(taught, noise, draws=draws, seed=0)

    return read


@pytest.fixture(scope="session")
def peaked(study):
    return study.simulate(study.PEAKED)


@pytest.fixture(scope="session")
def constant(study):
    return study.simulate(study.CONSTANT)
