"""The numbers of a market brief: the last value of each indicator, equal to TA-Lib's to 1e-9.

Moving averages are linear in their input, so the last value is a weighted sum with weights that depend on
the number of rows only. The sum is numpy's own pairwise one, never BLAS, whose order depends on the
processor: the same bars give the same bits everywhere, and so the same prompt and the same key.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW = 512  # bars looked at: enough that the seed of every average below is forgotten to 1e-8
MACD_ROWS, RSI_ROWS, BOLLINGER_ROWS, TREND_ROWS, SLOPE_ROWS, SLOPE_LAG = 34, 15, 20, 50, 25, 5
FAST, SLOW, SIGNAL = 12, 26, 9


def _powers(decay: float, count: int) -> Floats:
    """Return decay**0 .. decay**(count-1) by repeated multiplication."""
    factors = np.full(max(count, 1), decay)
    factors[0] = 1.0
    return np.multiply.accumulate(factors)[:count]


def _smoothing(rows: int, period: int, start: int, alpha: float) -> Floats:
    """Weights of the last value of an average seeded by the plain mean of rows [start, start+period)."""
    steps = rows - start - period
    powers = _powers(1.0 - alpha, steps + 1)
    weights = np.zeros(rows)
    weights[start : start + period] = powers[steps] / period
    if steps:
        weights[rows - steps :] = alpha * powers[steps - 1 :: -1]
    return weights


def ema_weights(rows: int, period: int, start: int = 0) -> Floats:
    """Weights of the last SMA-seeded EMA value over `rows` values."""
    return _smoothing(rows, period, start, 2.0 / (period + 1.0))


def _line_weights(rows: int) -> Floats:
    return ema_weights(rows, FAST, SLOW - FAST) - ema_weights(rows, SLOW)


@lru_cache(maxsize=1)
def _signal_weights() -> dict[int, Floats]:
    """Weights of the last MACD signal by number of rows: the EMA recursion, run on weights."""
    first, alpha = SLOW + SIGNAL - 1, 2.0 / (SIGNAL + 1.0)
    seed = np.zeros(first)
    for rows in range(SLOW, first + 1):
        seed[:rows] += _line_weights(rows) / SIGNAL
    table = {first: seed}
    for rows in range(first + 1, WINDOW + 1):
        weights = alpha * _line_weights(rows)
        weights[:-1] += (1.0 - alpha) * table[rows - 1]
        table[rows] = weights
    return table


@lru_cache(maxsize=64)
def _close_weights(rows: int) -> Floats:
    """Rows: MACD line, its signal, EMA 20, EMA 20 five rows ago, EMA 50; NaN where history is short."""
    table = np.full((5, rows), np.nan)
    if rows >= MACD_ROWS:
        table[0] = _line_weights(rows)
        table[1] = _signal_weights()[rows]
    if rows >= SLOPE_ROWS:
        table[2] = ema_weights(rows, 20)
        table[3] = 0.0
        table[3, : rows - SLOPE_LAG] = ema_weights(rows - SLOPE_LAG, 20)
    if rows >= TREND_ROWS:
        table[4] = ema_weights(rows, 50)
    return table


@lru_cache(maxsize=64)
def _wilder_weights(rows: int) -> Floats:
    return _smoothing(rows, 14, 0, 1.0 / 14.0)


def averages(close: Floats) -> list[float]:
    """Return [MACD(12,26), its EMA(9) signal, EMA 20, EMA 20 five bars ago, EMA 50]; NaN while warming up.

    At most `WINDOW` closes. MACD as TA-Lib's: both averages start at row 25, the fast one
    seeded by rows 14..25.
    """
    result: list[float] = (close * _close_weights(len(close))).sum(axis=1).tolist()
    return result


def wilder(high: Floats, low: Floats, close: Floats) -> tuple[float, float]:
    """Return (RSI(14), ATR(14)), Wilder's smoothing seeded by the mean of the first 14 rows; NaN when short.

    RSI is NaN where no price moved at all (TA-Lib writes 0 there, which reads as "oversold").
    """
    if len(close) < RSI_ROWS:
        return math.nan, math.nan
    before = close[:-1]
    change = close[1:] - before
    table = np.empty((3, len(change)))
    np.maximum(change, 0.0, out=table[0])
    np.subtract(table[0], change, out=table[1])
    np.subtract(np.maximum(high[1:], before), np.minimum(low[1:], before), out=table[2])
    gain, loss, atr = (table * _wilder_weights(len(change))).sum(axis=1).tolist()
    moved = gain + loss
    return (100.0 * gain / moved if moved > 0.0 else math.nan), atr


def bollinger(close: Floats) -> tuple[float, float, float]:
    """Return (lower, middle, upper) of Bollinger(20, 2), population deviation; NaN when short."""
    if len(close) < BOLLINGER_ROWS:
        return math.nan, math.nan, math.nan
    last = close[-BOLLINGER_ROWS:]
    middle = float(last.sum()) / BOLLINGER_ROWS
    apart = last - middle
    width = 2.0 * math.sqrt(float((apart * apart).sum()) / BOLLINGER_ROWS)
    return middle - width, middle, middle + width


def volatility(close: Floats, bars: int) -> float:
    """Return the sample deviation (ddof 1) of the last `bars` simple returns; NaN when short.

    Simple returns, because the last bit of a vectorised logarithm depends on the processor.
    """
    if len(close) <= bars:
        return math.nan
    last = close[-bars - 1 :]
    returns = last[1:] / last[:-1] - 1.0
    apart = returns - float(returns.sum()) / bars
    return math.sqrt(float((apart * apart).sum()) / (bars - 1))


def column(bars: NDArray[Any], name: str) -> Floats:
    """Return one field of a BAR array as a contiguous float64 array."""
    return np.ascontiguousarray(bars[name], dtype=np.float64)
