"""Indicators of the last n values: standard deviation, Bollinger bands, z-score, rolling extremes."""

from __future__ import annotations

import math
from typing import Any

from framework.errors import StrategyError
from framework.indicators.base import (
    BOLLINGER,
    LEFT,
    MAX,
    MIN,
    NAN,
    ONE,
    STD,
    TAG,
    THREE,
    ZSCORE,
    N,
    State,
    blank,
    indicator,
    length,
)
from framework.jit import kernel

# next place in the ring; a value of the window, from which mean and values are measured; sum of the squared
# differences to the mean, its peak since the last recount; bollinger: sum of n - 1 values, width of the bands
POS, ANCHOR, MEAN, SPREAD, PEAK, TOTAL, DEVIATIONS, VALUES = 3, 4, 5, 6, 7, 8, 9, 10


def _std_state(n: int) -> State:
    """Return the state of a population standard deviation of the last `n` values."""
    n = length(n, "std n")
    return blank(STD, n, n, VALUES + n)


@kernel(inline=True, store=False)
def _recount(state: State) -> None:
    """Take mean and spread of a full ring anew; exactly zero when all values are equal."""
    n, anchor, total, spread = int(state[N]), state[VALUES], 0.0, 0.0
    for i in range(VALUES, VALUES + n):
        total += state[i] - anchor
    mean = total / n
    for i in range(VALUES, VALUES + n):
        spread += (state[i] - anchor - mean) * (state[i] - anchor - mean)
    state[ANCHOR], state[MEAN], state[SPREAD], state[PEAK] = anchor, mean, spread, spread


@kernel(inline=True, store=False)
def _deviation(state: State, x: float) -> float:
    """Feed one value, return the population deviation of the last n, NaN until there are n.

    Welford's update for a sliding window. Its rounding errors are those of the largest spread it went
    through: so a recount once every n values, and when the spread falls to a millionth of it; amortised O(1).
    """
    n, place = state[N], state[POS]
    oldest = state[VALUES + int(place)]
    state[VALUES + int(place)] = x
    state[POS] = place + 1.0 if place + 1.0 < n else 0.0
    if state[LEFT] > 0.0:
        state[LEFT] -= 1.0
        if state[LEFT] > 0.0:
            return NAN
    else:
        before, change, anchor = state[MEAN], x - oldest, state[ANCHOR]
        mean = before + change / n
        state[SPREAD] += change * ((x - anchor - mean) + (oldest - anchor - before))
        state[MEAN], state[PEAK] = mean, max(state[PEAK], state[SPREAD])
    if state[POS] == 0.0 or state[SPREAD] < 1e-6 * state[PEAK]:
        _recount(state)
    return math.sqrt(state[SPREAD] / n)


@indicator(ONE, _std_state)
def std(state: State, x: float) -> float:
    """Population standard deviation of the last n values (TA-Lib STDDEV)."""
    if state[TAG] != STD:
        raise StrategyError("std was given a state that std.state(n) did not make")
    if x != x:
        return NAN
    return _deviation(state, x)


def _bollinger_state(n: int = 20, deviations: float = 2.0) -> State:
    """Return the state of bands `deviations` population deviations around the mean of `n` values."""
    n, wide = length(n, "bollinger n"), _positive(deviations)
    state = blank(BOLLINGER, n, n, VALUES + n)
    state[DEVIATIONS] = wide
    return state


def _positive(value: Any) -> float:
    try:
        wide = float(value)
    except (TypeError, ValueError):
        wide = NAN
    if not 0.0 < wide < math.inf:
        raise StrategyError(f"bollinger deviations must be a number above 0, got {value!r}")
    return wide


@indicator(THREE, _bollinger_state)
def bollinger(state: State, x: float) -> tuple[float, float, float]:
    """(upper band, mean, lower band) (TA-Lib BBANDS with a simple average)."""
    if state[TAG] != BOLLINGER:
        raise StrategyError("bollinger was given a state that bollinger.state(n, deviations) did not make")
    if x != x:
        return NAN, NAN, NAN
    wide = _deviation(state, x) * state[DEVIATIONS]
    total = state[TOTAL] + x
    state[TOTAL] = total - state[VALUES + int(state[POS])]  # the next to leave; zero while the ring fills
    if wide != wide:
        return NAN, NAN, NAN
    mean = total / state[N]
    return mean + wide, mean, mean - wide


def _zscore_state(n: int) -> State:
    """Return the state of a z-score over the last `n` values."""
    n = length(n, "zscore n")
    return blank(ZSCORE, n, n, VALUES + n)


@indicator(ONE, _zscore_state)
def zscore(state: State, x: float) -> float:
    """(x - mean) / population deviation of the last n values, x included; NaN where they are all equal."""
    if state[TAG] != ZSCORE:
        raise StrategyError("zscore was given a state that zscore.state(n) did not make")
    if x != x:
        return NAN
    deviation = _deviation(state, x)
    return (x - state[ANCHOR] - state[MEAN]) / deviation if deviation > 0.0 else NAN


SEEN, HEAD, SIZE, QUEUE = 3, 4, 5, 6  # values seen; the queue's first place, length, values, times


@kernel(inline=True, store=False)
def _largest(state: State, x: float) -> float:
    """Feed one value, return the largest of the last n: a falling queue in a ring, amortised O(1).

    Only values that can still become the largest are kept: a new one drops all that are not above it.
    """
    n, head, size = int(state[N]), int(state[HEAD]), int(state[SIZE])
    now = state[SEEN]
    state[SEEN] = now + 1.0
    if size > 0 and state[QUEUE + n + head] <= now - n:  # the first has left the window
        head, size = (head + 1) % n, size - 1
    while size > 0 and state[QUEUE + (head + size - 1) % n] <= x:
        size -= 1
    last = QUEUE + (head + size) % n
    state[last], state[last + n] = x, now
    state[HEAD], state[SIZE] = head, size + 1
    if state[LEFT] > 0.0:
        state[LEFT] -= 1.0
    return state[QUEUE + head] if state[LEFT] == 0.0 else NAN


def _rolling_max_state(n: int) -> State:
    """Return the state of the largest of the last `n` values."""
    n = length(n, "rolling_max n")
    return blank(MAX, n, n, QUEUE + 2 * n)


@indicator(ONE, _rolling_max_state)
def rolling_max(state: State, x: float) -> float:
    """Return the largest of the last n values, x included (TA-Lib MAX)."""
    if state[TAG] != MAX:
        raise StrategyError("rolling_max was given a state that rolling_max.state(n) did not make")
    if x != x:
        return NAN
    return _largest(state, x)


def _rolling_min_state(n: int) -> State:
    """Return the state of the smallest of the last `n` values."""
    n = length(n, "rolling_min n")
    return blank(MIN, n, n, QUEUE + 2 * n)


@indicator(ONE, _rolling_min_state)
def rolling_min(state: State, x: float) -> float:
    """Return the smallest of the last n values, x included (TA-Lib MIN)."""
    if state[TAG] != MIN:
        raise StrategyError("rolling_min was given a state that rolling_min.state(n) did not make")
    if x != x:
        return NAN
    return -_largest(state, -x)
