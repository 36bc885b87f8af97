"""Wilder's indicators: RSI and ATR."""

from __future__ import annotations

from framework.errors import StrategyError
from framework.indicators.base import (
    ATR,
    BAR_IN,
    LEFT,
    NAN,
    ONE,
    RSI,
    TAG,
    N,
    State,
    blank,
    indicator,
    length,
)

LAST, GAIN, LOSS = 3, 4, 5  # previous value; average gain and loss, their sums while seeding


def _rsi_state(n: int = 14) -> State:
    """Return the state of a relative strength index over `n` changes."""
    n = length(n, "rsi n")
    state = blank(RSI, n, n + 1, 6)
    state[LAST] = NAN
    return state


@indicator(ONE, _rsi_state)
def rsi(state: State, x: float) -> float:
    """Relative strength index 0..100 with Wilder's smoothing (TA-Lib RSI); 0 when nothing moved, as there."""
    if state[TAG] != RSI:
        raise StrategyError("rsi was given a state that rsi.state(n) did not make")
    if x != x:
        return NAN
    n, left, change = state[N], state[LEFT], x - state[LAST]
    state[LAST] = x
    if left == 0.0:
        state[GAIN] *= n - 1.0
        state[LOSS] *= n - 1.0
    if change < 0.0:
        state[LOSS] -= change
    elif change >= 0.0:  # false for the very first value, whose change is NaN
        state[GAIN] += change
    if left > 0.0:
        state[LEFT] = left - 1.0
        if left > 1.0:
            return NAN
    state[GAIN] /= n
    state[LOSS] /= n
    moved = state[GAIN] + state[LOSS]
    return 100.0 * (state[GAIN] / moved) if moved > 0.0 else 0.0


PREVIOUS, RANGE = 3, 4  # previous close; the average true range, its sum while seeding


def _atr_state(n: int = 14) -> State:
    """Return the state of an average true range over `n` bars."""
    n = length(n, "atr n")
    state = blank(ATR, n, n + 1, 5)
    state[PREVIOUS] = NAN
    return state


@indicator(BAR_IN, _atr_state)
def atr(state: State, high: float, low: float, close: float) -> float:
    """Average true range with Wilder's smoothing (TA-Lib ATR), in price units."""
    if state[TAG] != ATR:
        raise StrategyError("atr was given a state that atr.state(n) did not make")
    if high != high or low != low or close != close:
        return NAN
    n, left, previous = state[N], state[LEFT], state[PREVIOUS]
    state[PREVIOUS] = close
    if left > n:  # the first bar has no previous close
        state[LEFT] = left - 1.0
        return NAN
    widest = max(high - low, abs(previous - high), abs(previous - low))
    if left == 0.0:
        state[RANGE] = (state[RANGE] * (n - 1.0) + widest) / n
        return state[RANGE]
    state[RANGE] += widest
    state[LEFT] = left - 1.0
    if left > 1.0:
        return NAN
    state[RANGE] /= n
    return state[RANGE]
