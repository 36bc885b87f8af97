"""Streaming indicators against TA-Lib, against plain numpy, and against themselves in the other worlds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import talib

from framework import indicators
from framework.errors import StrategyError
from framework.indicators import atr, bollinger, ema, macd, rolling_max, rolling_min, rsi, sma, std, zscore

TALIB = tuple(map(int, talib.__ta_version__.split()[0].split(b".")[:2]))
SEED = 20261123
ROOT = Path(__file__).parents[1]
ONE_VALUE = ("sma", "ema", "rsi", "std", "zscore", "rolling_max", "rolling_min")


def walk(rows: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """High, low, close of a random walk with cents; some values repeat."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    close = np.round(30_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, rows))), 2)
    close[rows // 2 : rows // 2 + 5] = close[rows // 2]
    high = np.round(close * (1 + np.abs(rng.normal(0, 1e-3, rows))), 2)
    low = np.round(close * (1 - np.abs(rng.normal(0, 1e-3, rows))), 2)
    return high, low, close


HIGH, LOW, CLOSE = walk(3000)
SERIES = {
    "prices": CLOSE,
    "returns": np.diff(np.log(CLOSE)),
    "satoshi": CLOSE * 1e-12,
    "constant": np.full(200, 30_000.1),
    "steps": np.repeat([3.0, 1.0, 2.0, 2.0, 5.0], 40),
    "short": CLOSE[:7],
}


def stream(indicator, state, *columns):
    """Every answer of an indicator, one row each."""
    return np.array([indicator(state, *row) for row in zip(*(c.tolist() for c in columns), strict=True)])


def same(ours, theirs):
    np.testing.assert_array_equal(ours, theirs)


def close(ours, theirs):
    scale = np.nanmax(np.abs(theirs), initial=0.0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13 * scale)


@pytest.mark.parametrize("n", [2, 3, 10, 50, 200])
@pytest.mark.parametrize("name", SERIES)
def test_equal_to_talib(name, n):
    """TA-Lib's own releases differ in the last digits of its averages (division or not, fused or not)."""
    x = SERIES[name]
    same(stream(sma, sma.state(n), x), talib.SMA(x, n))
    close(stream(ema, ema.state(n), x), talib.EMA(x, n))
    close(stream(rsi, rsi.state(n), x), talib.RSI(x, n))
    same(stream(rolling_max, rolling_max.state(n), x), talib.MAX(x, n))
    same(stream(rolling_min, rolling_min.state(n), x), talib.MIN(x, n))


@pytest.mark.parametrize("n", [2, 3, 20, 100])
@pytest.mark.parametrize("name", SERIES)
def test_deviation_equals_two_passes_over_the_window(name, n):
    x = SERIES[name]
    ours = stream(std, std.state(n), x)
    assert np.isnan(ours[: n - 1]).all()
    if len(x) >= n:
        windows = np.lib.stride_tricks.sliding_window_view(x, n)
        flat = windows.min(axis=1) == windows.max(axis=1)
        same(ours[n - 1 :][flat], np.zeros(flat.sum()))
        np.testing.assert_allclose(ours[n - 1 :][~flat], windows.std(axis=1)[~flat], rtol=1e-10)


@pytest.mark.skipif(TALIB < (0, 7), reason="TA-Lib's STDDEV lost digits before 0.7")
@pytest.mark.parametrize("n", [2, 3, 20, 100])
@pytest.mark.parametrize("name", ["prices", "returns", "steps", "short"])
def test_deviation_equals_talib(name, n):
    x = SERIES[name]
    np.testing.assert_allclose(stream(std, std.state(n), x), talib.STDDEV(x, n, 1.0), rtol=2e-9, atol=1e-11)


@pytest.mark.parametrize("deviations", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("name", SERIES)
def test_bollinger_equals_talib(name, deviations):
    x = SERIES[name]
    for n in (2, 20, 100):
        theirs = talib.BBANDS(x, n, deviations, deviations, talib.MA_Type.SMA)
        ours = stream(bollinger, bollinger.state(n, deviations), x)
        same(ours[:, 1], theirs[1])
        np.testing.assert_allclose(ours, np.column_stack(theirs), rtol=1e-10, atol=1e-10 * np.abs(x).max())


@pytest.mark.parametrize("lengths", [(12, 26, 9), (26, 12, 9), (5, 34, 1), (2, 3, 4), (7, 7, 7)])
@pytest.mark.parametrize("name", SERIES)
def test_macd_equals_talib(name, lengths):
    x = SERIES[name]
    theirs = np.column_stack(talib.MACD(x, *lengths))
    np.testing.assert_allclose(stream(macd, macd.state(*lengths), x), theirs, atol=1e-13 * np.abs(x).max())


@pytest.mark.parametrize("n", [1, 2, 14, 100])
def test_atr_equals_talib(n):
    close(stream(atr, atr.state(n), HIGH, LOW, CLOSE), talib.ATR(HIGH, LOW, CLOSE, n))


@pytest.mark.parametrize("n", [2, 3, 20, 100])
@pytest.mark.parametrize("name", ["prices", "returns", "steps", "short"])
def test_zscore_equals_two_passes_over_the_window(name, n):
    x, expected = SERIES[name], np.full(len(SERIES[name]), np.nan)
    for i in range(n - 1, len(x)):
        window = x[i - n + 1 : i + 1]
        if window.std() > 0 and not (window == window[0]).all():
            expected[i] = (x[i] - window.mean()) / window.std()
    np.testing.assert_allclose(stream(zscore, zscore.state(n), x), expected, rtol=1e-9, atol=1e-9)


def test_one_value():
    x = SERIES["prices"]
    same(stream(sma, sma.state(1), x), x)
    np.testing.assert_allclose(stream(ema, ema.state(1), x), x, rtol=1e-15)
    same(stream(rolling_max, rolling_max.state(1), x), x)
    same(stream(rolling_min, rolling_min.state(1), x), x)
    change = np.diff(x)
    same(stream(rsi, rsi.state(1), x)[1:], np.where(change > 0, 100.0, 0.0))
    assert np.isnan(stream(zscore, zscore.state(1), x)).all()


def test_constant_series():
    x = SERIES["constant"]
    assert np.isnan(stream(zscore, zscore.state(20), x)).all()
    same(stream(rsi, rsi.state(5), x)[5:], np.zeros(len(x) - 5))
    mixed = np.concatenate([SERIES["prices"][:37], np.full(30, 7.1), SERIES["prices"][:37]])
    flat = stream(zscore, zscore.state(10), mixed)[46:67]  # windows that hold nothing but 7.1
    assert np.isnan(flat).all()


def test_nan_is_a_missing_value():
    x = SERIES["prices"][:300]
    holes = x.copy()
    missing = np.random.default_rng(SEED).random(300) < 0.2
    holes[missing] = np.nan
    for name in ONE_VALUE:
        indicator = getattr(indicators, name)
        answers = stream(indicator, indicator.state(7), holes)
        assert np.isnan(answers[missing]).all()
        same(answers[~missing], stream(indicator, indicator.state(7), x[~missing]))
    for indicator in (macd, bollinger):
        answers = stream(indicator, indicator.state(), holes)
        same(answers[~missing], stream(indicator, indicator.state(), x[~missing]))
    state = atr.state(3)
    before = state.copy()
    for bar in [(np.nan, 1.0, 1.0), (1.0, np.nan, 1.0), (1.0, 1.0, np.nan)]:
        assert np.isnan(atr(state, *bar))
    same(state, before)


def test_a_chain_starts_where_its_input_does():
    strength, smooth = rsi.state(14), ema.state(9)
    ours = np.array([ema(smooth, rsi(strength, x)) for x in CLOSE.tolist()])
    close(ours, talib.EMA(talib.RSI(CLOSE, 14), 9))


@pytest.mark.parametrize("name", indicators.__all__)
@pytest.mark.parametrize("n", [0, -3, 2.0, 2.5, "5", None, True, float("nan")])
def test_a_length_is_a_whole_number_of_at_least_one(name, n):
    with pytest.raises(StrategyError, match=name):
        getattr(indicators, name).state(n)


@pytest.mark.parametrize("deviations", [0, -1.0, float("nan"), float("inf"), "wide", None])
def test_deviations_are_a_positive_number(deviations):
    with pytest.raises(StrategyError, match="deviations"):
        bollinger.state(20, deviations)


def test_state_is_a_plain_array():
    for name in indicators.__all__:
        state = getattr(indicators, name).state(np.int64(5))
        assert state.dtype == np.float64
        assert state.flags.c_contiguous
        assert state.ndim == 1


@pytest.mark.parametrize("name", indicators.__all__)
def test_the_state_of_another_is_refused(name):
    indicator = getattr(indicators, name)
    values = (1.0, 1.0, 1.0) if name == "atr" else (1.0,)
    for wrong in [getattr(indicators, o).state(3) for o in indicators.__all__ if o != name] + [CLOSE.copy()]:
        with pytest.raises(StrategyError, match=name):
            indicator(wrong, *values)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT")
def test_equal_inside_compiled_code():
    @numba.njit("void(float64[::1], float64[::1], float64[::1], float64[::1], float64[:, ::1])")
    def run(fast, bands, lines, x, out):
        for i in range(len(x)):
            out[i, 0] = ema(fast, x[i])
            out[i, 1], out[i, 2], out[i, 3] = bollinger(bands, x[i])
            out[i, 4], out[i, 5], out[i, 6] = macd(lines, x[i])

    out = np.empty((len(CLOSE), 7))
    run(ema.state(12), bollinger.state(20), macd.state(), CLOSE, out)
    same(out[:, 0], stream(ema, ema.state(12), CLOSE))
    same(out[:, 1:4], stream(bollinger, bollinger.state(20), CLOSE))
    same(out[:, 4:], stream(macd, macd.state(), CLOSE))
    with pytest.raises(StrategyError, match="ema"):
        run(sma.state(12), bollinger.state(20), macd.state(), CLOSE, out)


DIGEST = """
import hashlib, sys
import numpy as np
from framework import indicators
from tests.test_indicators import CLOSE, HIGH, LOW, stream
h = hashlib.sha256()
for name in indicators.__all__:
    columns = (HIGH, LOW, CLOSE) if name == "atr" else (CLOSE,)
    h.update(stream(getattr(indicators, name), getattr(indicators, name).state(9), *columns).tobytes())
print(h.hexdigest())
"""


def test_equal_without_the_compiler():
    answers = []
    for flag in ("0", "1"):
        env = {**os.environ, "NUMBA_DISABLE_JIT": flag, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-B", "-W", "error::RuntimeWarning", "-c", DIGEST],
            cwd=ROOT, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout.splitlines()[-1])
    assert answers[0] == answers[1]
