"""Estimates: on numbers whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hvmpi.report.estimates import core, core_error, effective, interval, mean


def test_core_of_a_gaussian_with_tails() -> None:
    random = np.random.default_rng(1)
    values = random.normal(3.0, 0.5, 200_000)
    values[:2000] = 30.0
    mean, width = core(values)
    assert mean == pytest.approx(3.0, abs=0.005)
    assert width == pytest.approx(0.5, rel=0.01)
    # What counts twice is there twice.
    weights = np.where(np.arange(200_000) % 2, 2.0, 0.0)
    mean, width = core(values, weights)
    assert width == pytest.approx(0.5, rel=0.01)


def test_interval_is_that_of_clopper_and_pearson() -> None:
    from scipy.stats import binomtest

    for passed, total in ((0, 50), (3, 50), (50, 50)):
        exact = binomtest(passed, total).proportion_ci(0.9, method="exact")
        made = interval(passed, total, 0.9)
        assert made == pytest.approx((exact.low, exact.high))


def test_error_of_a_core_is_the_spread_of_cores() -> None:
    random = np.random.default_rng(3)
    samples = random.standard_t(6.0, (2000, 300))
    middles, widths = core(samples)
    errors = [core_error(*one) for one in zip(samples, middles, widths, strict=True)]
    assert np.mean(errors) == pytest.approx(np.std(widths), rel=0.1)


def test_error_of_the_core_of_too_few_is_not_known() -> None:
    assert math.isnan(core_error(np.ones(1), 1.0, 0.0))
    assert math.isnan(core_error(np.ones(5), 1.0, 0.0))


def test_weights_count_as_so_many_entries() -> None:
    assert effective(np.full(7, 3.0)) == pytest.approx(7.0)
    assert effective(np.zeros(0)) == 0.0
    values, weights = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0])
    middle, error = mean(values, weights)
    assert middle == pytest.approx(2.25)
    assert error == pytest.approx(math.sqrt(1.25**2 + 0.25**2 + 1.5**2) / 4.0)
