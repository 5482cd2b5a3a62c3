from dataclasses import dataclass

import numpy as np

from distlaw.laws import EffectiveTokensLaw, SupervisedLaw, laws_in, map_coefficients

ALONE = SupervisedLaw(E=np.array([1.7, 1.8, 1.9]), A=400.0, B=2000.0, alpha=0.34, beta=0.36)
MANY = EffectiveTokensLaw(supervised=ALONE, m=13.0, kappa=np.array([2.0, 2.1, 2.2]))


def test_every_array_is_changed_also_under_the_student_s_law_and_numbers_stay():
    last = map_coefficients(MANY, lambda values: values[2])
    assert (last.kappa, last.supervised.E, last.m, last.supervised.A) == (2.2, 1.9, 13.0, 400.0)
    together, one = MANY.student_loss(1e9, 1e10, 2.2), last.student_loss(1e9, 1e10, 2.2)
    assert together[2] == one


def test_how_many():
    assert laws_in(MANY) == laws_in(ALONE) == (3,)
    assert laws_in(map_coefficients(MANY, lambda values: values[:, None])) == (3, 1)
    assert laws_in(map_coefficients(MANY, lambda values: values[0])) == ()


def test_somebody_s_own_law_is_one_law_and_left_alone():
    class Own:
        supervised = ALONE

    own = Own()
    assert laws_in(own) == ()
    assert map_coefficients(own, np.negative) is own

    @dataclass(frozen=True)
    class Wrapped:
        supervised: SupervisedLaw
        name: str = "a word is no coefficient"

    assert laws_in(Wrapped(ALONE)) == (3,)
