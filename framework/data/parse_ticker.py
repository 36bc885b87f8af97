"""Kernel: rows of derivative_ticker to float64, correctly rounded."""

from __future__ import annotations

import numpy as np

from framework.data.parse import DIGITS, DONE, FULL, ODD, feed_at, head, leave, line_end, stamp
from framework.jit import entry, kernel

EXACT = 2**53  # whole numbers below it, and powers of ten up to 22, are exact: so is their rounded quotient
FUNDING_TS, RATE, PREDICTED, MARK_PRICE = 0, 1, 2, 6  # own columns


@kernel(store=False)
def quotient(f, i):
    """Return a decimal that begins with the digit at i as a float, NaN when it is odd, and where it ends."""
    value = 0
    power = 1.0
    n = 0
    dot = False
    byte = int(f.text[i])
    while n <= DIGITS and (48 <= byte <= 57 or (byte == 46 and not dot and n > 0)):
        if byte == 46:
            dot = True
        else:
            value = value * 10 + byte - 48
            n += 1
            if dot:
                power *= 10.0
        i += 1
        byte = int(f.text[i])
    if n == 0 or n > DIGITS or value >= EXACT or f.text[i - 1] == 46:
        return np.nan, i
    return value / power, i


@kernel(store=False)
def tick_cell(f, i, j):
    """Read own cell j at i; return its value (NaN = empty) and where it ends, -1 when it is odd."""
    byte = f.text[i]
    if byte == 44 or byte == 10 or byte == 13:
        return np.nan, i
    if j == FUNDING_TS:
        value = stamp(f, i)
        return float(value), (i + 16 if value > 0 else -1)
    is_rate = RATE <= j <= PREDICTED
    sign = 1.0
    if byte == 45 and is_rate:
        sign = -1.0
        i += 1
    number, i = quotient(f, i)
    if np.isnan(number) or (is_rate and number >= 1.0) or (j == MARK_PRICE and number == 0.0):
        return np.nan, -1
    return sign * number + 0.0, i


@kernel(store=False)
def ticks(f, c, i, n):
    """Read one row; return where the next begins, -1 when it is odd."""
    i = head(f, c, i)
    if i < 0:
        return -1
    width = c["width"]
    for j in range(width):
        value, i = tick_cell(f, i, j)
        if i < 0:
            return -1
        f.reals[n * width + j] = value
        if j < width - 1:
            if f.text[i] != 44:
                return -1
            i += 1
    f.moments[n]["ts"] = c["effective"] * 1000
    f.moments[n]["local_ts"] = c["local"] * 1000
    f.moments[n]["raw_ts"] = c["ts"] * 1000
    return line_end(f, i)


@entry("int64(int64)", nogil=True)
def read_ticks(address):
    """Read rows of derivative_ticker."""
    f = feed_at(address)
    c = f.state[0]
    i = c["pos"]
    n = c["count"]
    while i < c["end"]:
        if n == c["room"]:
            return leave(c, i, n, FULL)
        following = ticks(f, c, i, n)
        if following < 0:
            return leave(c, i, n, ODD)
        i = following
        n += 1
    return leave(c, i, n, DONE)
