"""Calibration and the bootstrap against figures worked out by hand and by theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from framework.calibration import judged, wilson
from framework.memory import DRAWS, block_length, draws_of, intervals, means, resample


def test_figures_worked_out_by_hand() -> None:
    found = judged([0.7, 0.7, 0.9, 0.6], [True, False, True, False])
    assert found["brier"] == pytest.approx((0.09 + 0.49 + 0.01 + 0.36) / 4)
    assert (found["constant"], found["skill"]) == (0.25, pytest.approx(1 - 0.2375 / 0.25))
    assert found["gap"] == pytest.approx((2 * 0.2 + 0.1 + 0.6) / 4)
    assert [row[:4] for row in found["bins"]] == [[0.6, 0.7, 1, 0.6], [0.7, 0.8, 2, 0.7], [0.9, 1.0, 1, 0.9]]
    assert judged([1.0], [True])["bins"][0][:2] == [0.9, 1.0]
    # Wilson's interval of 8 of 10, as in Newcombe (1998) and every table
    assert wilson(0.8, 10) == (pytest.approx(0.4902, abs=5e-5), pytest.approx(0.9433, abs=5e-5))
    assert math.isnan(judged([], [])["brier"])


def test_the_bootstrap_has_the_variance_that_theory_gives_it(seed: int) -> None:
    """Politis and Romano (1994): the variance of the mean, given the data, is a sum of autocovariances."""
    rng, n = np.random.default_rng(seed), 400
    noise = rng.normal(size=n)
    series = np.empty(n)
    series[0] = noise[0]
    for i in range(1, n):
        series[i] = 0.6 * series[i - 1] + noise[i]
    p = 1.0 / block_length(n)
    centred, lags = series - series.mean(), np.arange(1, n)
    around = [float(np.mean(centred * np.roll(centred, -i))) for i in range(n)]
    weights = (1 - lags / n) * (1 - p) ** lags
    theory = (around[0] + 2.0 * float(np.dot(weights, around[1:]))) / n
    drawn = draws_of(series, [means])[0]
    assert drawn.shape == (DRAWS,)
    assert drawn.var() == pytest.approx(theory, rel=0.2)  # its error is 4.5 % (√(2 / 1,000))
    low, high = intervals(series, [means])[0]
    assert low < series.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(theory), rel=0.2)
    assert theory > 1.5 * around[0] / n  # dependence widens it: draws of single values would not see it
    rows = resample(50, 5.0, 400, rng)
    follows = (np.diff(rows, axis=1) % 50) == 1
    assert follows.mean() == pytest.approx(0.8 + 0.2 / 50, abs=0.01)  # a block goes on with 1 - 1 / length
    assert np.unique(rows).tolist() == list(range(50))
    assert intervals(series[:9], [means]) == [(pytest.approx(math.nan, nan_ok=True),) * 2]
