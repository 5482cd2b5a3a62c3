from dataclasses import replace

import numpy as np

from distlaw.evidence.answer import CannotSay
from distlaw.evidence.prices import read_prices


def test_prices_are_those_of_the_runs(peaked, study):
    prices = read_prices(peaked)
    np.testing.assert_allclose(prices.forward_flops(study.SIZES), study.forward_flops(np.array(study.SIZES)))
    between = np.array([2e4, 7e4, 5e5, 1.2e6])
    np.testing.assert_allclose(prices.forward_flops(between), study.forward_flops(between), rtol=0.02)
    assert prices.covers([14e3, 1.2e6]).all()
    assert not prices.covers([5e3, 2e6, np.nan]).any()


def test_without_computes_there_is_no_price(peaked):
    assert isinstance(read_prices(replace(peaked, compute=np.full(len(peaked), np.nan))), CannotSay)
    assert isinstance(read_prices(peaked.select(peaked.student_params == 14e3)), CannotSay)
