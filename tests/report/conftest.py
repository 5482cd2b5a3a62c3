import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from distlaw.evidence import study as module


@pytest.fixture(scope="session")
def simulated():
    """The simulator of the room whose answers are shown here."""
    path = Path(__file__).parents[1] / "evidence" / "simulate.py"
    spec = spec_from_file_location("simulated_study", path)
    found = sys.modules.setdefault(spec.name, module_from_spec(spec))
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def examined():
    """Evidence of simulated runs, by the forms that are quick to fit."""

    def examine(runs):
        with pytest.MonkeyPatch.context() as patch:
            extrapolate, score = module.extrapolate, module.score_forms
            patch.setattr(module, "_STARTS", 4)
            patch.setattr(module, "TERMS", ("teacher_params",))
            patch.setattr(
                module, "extrapolate", lambda *a, **k: extrapolate(*a, **k, forms=("supervised", "peaked-tokens"))
            )
            patch.setattr(
                module, "score_forms", lambda *a, **k: score(*a, **k, forms=("effective-tokens", "peaked-tokens"))
            )
            return module.examine(runs, resamples=100)

    return examine


@pytest.fixture(scope="session")
def evidence(simulated, examined):
    return examined(simulated.simulate(simulated.PEAKED))


@pytest.fixture(scope="session")
def bare(simulated, examined):
    """Evidence of supervised runs with one seed each: most questions stay open."""
    runs = simulated.simulate(simulated.PEAKED, seeds=1)
    return examined(runs.select(~runs.distilled))
