"""Agreement: probabilities are uniform without a difference, and small with one."""

from __future__ import annotations

import numpy as np
import pytest

from hvmpi.report.agreement import of_counts, of_histograms, of_points, with_distribution

random = np.random.default_rng(5)


def mean_of(probabilities: list[float]) -> float:
    return float(np.mean(probabilities))


def test_kolmogorov_is_fair_and_sees_a_wrong_mean() -> None:
    fair, wrong = [], []
    for _ in range(400):
        drawn = random.exponential(1.0, 60)
        for mean, found in ((1.0, fair), (2.0, wrong)):
            test = with_distribution(-np.expm1(-drawn / mean), np.ones(60))
            assert test is not None
            found.append(test.probability)
    assert mean_of(fair) == pytest.approx(0.5, abs=0.07)
    assert mean_of(wrong) < 0.01


def test_histograms_of_few_entries_are_fair() -> None:
    shape = np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    found = []
    for _ in range(500):
        counts = random.multinomial(60, shape).astype(float)
        test = of_histograms(counts, 60.0 * shape, 60.0 * shape, np.zeros(6))
        assert test is not None
        # 2.4 and 0.6 are too few by themselves.
        assert "/3" in test.statistic
        found.append(test.probability)
    assert mean_of(found) == pytest.approx(0.5, abs=0.06)
    shifted = of_histograms(60.0 * shape[::-1], 60.0 * shape, 60.0 * shape, np.zeros(6))
    assert shifted is not None
    assert shifted.probability < 1e-6


def test_of_rare_counts_only_the_sum_is_compared() -> None:
    none = np.zeros(3)
    expected = np.full(3, 0.2)
    few = of_counts(np.array([0.0, 1.0, 0.0]), expected, expected, none)
    many = of_counts(np.array([4.0, 3.0, 2.0]), expected, expected, none)
    assert few is not None
    assert many is not None
    assert str(few) == "1 where 0.6 are expected, p = 0.90"
    assert many.probability < 1e-6


def test_points_without_a_value_or_an_error_do_not_count() -> None:
    difference, error = np.array([1.0, np.nan, 3.0]), np.array([1.0, 1.0, 0.0])
    test = of_points(difference, error)
    assert test is not None
    assert str(test) == "chi2/ndf = 1.0/1, p = 0.32"
    assert of_points(difference[1:], error[1:]) is None


def test_too_few_entries_make_no_test() -> None:
    assert with_distribution(np.full(4, 0.5), np.ones(4)) is None
    assert of_histograms(np.ones(2), np.ones(2), np.ones(2), np.zeros(2)) is None
