"""Moving averages: SMA, EMA and MACD."""

from __future__ import annotations

from framework.errors import StrategyError
from framework.indicators.base import (
    EMA,
    LEFT,
    MACD,
    NAN,
    ONE,
    SMA,
    TAG,
    THREE,
    N,
    State,
    blank,
    indicator,
    length,
)
from framework.jit import kernel

POS, TOTAL, RING = 3, 4, 5  # next place in the ring, sum of the last n - 1 values, the ring of n values


def _sma_state(n: int) -> State:
    """Return the state of a simple moving average of the last `n` values."""
    n = length(n, "sma n")
    return blank(SMA, n, n, RING + n)


@indicator(ONE, _sma_state)
def sma(state: State, x: float) -> float:
    """Mean of the last n values (TA-Lib SMA)."""
    if state[TAG] != SMA:
        raise StrategyError("sma was given a state that sma.state(n) did not make")
    if x != x:
        return NAN
    n = state[N]
    place = state[POS]
    total = state[TOTAL] + x
    state[RING + int(place)] = x
    place += 1.0
    if place == n:
        place = 0.0
    state[POS] = place
    state[TOTAL] = total - state[RING + int(place)]  # the oldest leaves; zero while the ring fills
    if state[LEFT] > 0.0:
        state[LEFT] -= 1.0
        if state[LEFT] > 0.0:
            return NAN
    return total / n


FACTOR, VALUE = 3, 4  # 2 / (n + 1); the sum while seeding, the average afterwards


def _ema_state(n: int) -> State:
    """Return the state of an exponential moving average with factor 2 / (n + 1)."""
    n = length(n, "ema n")
    state = blank(EMA, n, n, 5)
    state[FACTOR] = 2.0 / (n + 1)
    return state


@indicator(ONE, _ema_state)
def ema(state: State, x: float) -> float:
    """Exponential average seeded with the mean of the first n values (TA-Lib EMA)."""
    if state[TAG] != EMA:
        raise StrategyError("ema was given a state that ema.state(n) did not make")
    if x != x:
        return NAN
    if state[LEFT] == 0.0:
        value = (x - state[VALUE]) * state[FACTOR] + state[VALUE]
        state[VALUE] = value
        return value
    state[VALUE] += x
    state[LEFT] -= 1.0
    if state[LEFT] > 0.0:
        return NAN
    state[VALUE] /= state[N]
    return state[VALUE]


# values missing before the MACD line and the fast seed; lengths, factors and values of the three averages
LEFT_LINE, LEFT_FAST, FAST_N, SIGNAL_N, FAST_K, SLOW_K, SIGNAL_K, FAST, SLOW, SIGNAL = range(3, 13)


def _macd_state(fast: int = 12, slow: int = 26, signal: int = 9) -> State:
    """Return the state of a MACD; the shorter of the two lengths is the fast one, as in TA-Lib."""
    fast, slow, signal = length(fast, "macd fast"), length(slow, "macd slow"), length(signal, "macd signal")
    fast, slow = min(fast, slow), max(fast, slow)
    state = blank(MACD, slow, slow + signal - 1, 13)
    state[LEFT_LINE], state[LEFT_FAST] = slow, slow - fast
    state[FAST_N], state[SIGNAL_N] = fast, signal
    state[FAST_K], state[SLOW_K], state[SIGNAL_K] = 2.0 / (fast + 1), 2.0 / (slow + 1), 2.0 / (signal + 1)
    return state


@kernel(inline=True, store=False)
def _macd_seed(state: State, x: float) -> None:
    """Add a value to the seeds; the fast one starts late, so that both are ready on the same bar."""
    state[LEFT_LINE] -= 1.0
    state[SLOW] += x
    if state[LEFT_FAST] > 0.0:
        state[LEFT_FAST] -= 1.0
    else:
        state[FAST] += x
    if state[LEFT_LINE] == 0.0:
        state[SLOW] /= state[N]
        state[FAST] /= state[FAST_N]


@indicator(THREE, _macd_state)
def macd(state: State, x: float) -> tuple[float, float, float]:
    """(MACD line, signal line, histogram), all NaN until the signal line exists (TA-Lib MACD)."""
    if state[TAG] != MACD:
        raise StrategyError("macd was given a state that macd.state(fast, slow, signal) did not make")
    if x != x:
        return NAN, NAN, NAN
    if state[LEFT_LINE] > 0.0:
        _macd_seed(state, x)
    else:
        state[FAST] = (x - state[FAST]) * state[FAST_K] + state[FAST]
        state[SLOW] = (x - state[SLOW]) * state[SLOW_K] + state[SLOW]
    line = state[FAST] - state[SLOW]
    if state[LEFT] == 0.0:
        state[SIGNAL] = (line - state[SIGNAL]) * state[SIGNAL_K] + state[SIGNAL]
        return line, state[SIGNAL], line - state[SIGNAL]
    state[LEFT] -= 1.0
    if state[LEFT_LINE] > 0.0:
        return NAN, NAN, NAN
    state[SIGNAL] += line
    if state[LEFT] > 0.0:
        return NAN, NAN, NAN
    state[SIGNAL] /= state[SIGNAL_N]
    return line, state[SIGNAL], line - state[SIGNAL]
