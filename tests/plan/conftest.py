from dataclasses import dataclass

import numpy as np
import pytest

from distlaw.laws import DistillationLaw, SupervisedLaw, published


@dataclass(frozen=True)
class EffectiveTokens:
    """A law of another form, `((L_T - E)^m + (L(N_S, kappa D_S) - E)^m)^(1/m) + E`: it shares no code with eq. 8."""

    supervised: SupervisedLaw
    kappa: float = 2.2
    m: float = 13.0

    def student_loss(self, N_S, D_S, L_T):
        E = self.supervised.E
        own = np.log(self.supervised.loss(N_S, self.kappa * np.asarray(D_S)) - E)
        teacher = np.log(np.maximum(np.asarray(L_T) - E, 1e-300))
        return E + np.exp(np.logaddexp(self.m * own, self.m * teacher) / self.m)


@pytest.fixture
def law() -> DistillationLaw:
    found = published("busbridge2025").law
    assert isinstance(found, DistillationLaw)
    return found


@pytest.fixture
def other_law(law) -> EffectiveTokens:
    return EffectiveTokens(supervised=law.supervised)
