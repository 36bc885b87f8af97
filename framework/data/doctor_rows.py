"""Kernels of the doctor that look at every row of any kind: clocks, silences, rows in time, decimals."""

from __future__ import annotations

from math import log2
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.jit import entry, kernel

MINUTES, SLOTS = 1_440, 8_640  # of a day; a slot has 10 s
FINE, TOP = 8, 400  # bins of a doubling; bins of each sign: up to 2^50 us
BINS = 2 * TOP + 1
MOST_GAPS = 1_000  # are kept one by one
PLACES = 13  # decimals 0 to 12

STATE = np.dtype(
    [(name, "i8") for name in (
        "count", "row",  # rows of the chunk, and before it
        "day", "limit",  # us: midnight, and the longest silence that is none
        "local", "top", "ts",  # of the row before; top = running max of the exchange time
        "first", "rows",  # local time of the first row; rows with an exchange time of their own or not
        "backs", "back_row", "back_at",  # local time that falls
        "behind", "behind_row", "behind_at", "deepest",  # exchange time that falls
        "ahead", "ahead_row", "ahead_at",  # exchange time after arrival
        "equal", "clocked",  # rows with both times the same, of so many that are no snapshot
        "outside", "outside_row", "outside_at",  # local time in another day
        "least", "most",  # latency
        "gaps", "gap_sum",  # silences
        "bin", "minute",
    )]
)  # fmt: skip
GAP = np.dtype([("start", "i8"), ("end", "i8"), ("row", "i8")])  # us; the row after the silence
FAR = 2**62


class Moments(NamedTuple):
    """The times of a chunk and what was counted of them."""

    state: NDArray[Any]
    ts: NDArray[Any]  # us, exchange
    local: NDArray[Any]
    snapshot: NDArray[Any]  # 1 = the row shows a state and no event: its exchange time says nothing
    slots: NDArray[Any]  # rows
    histogram: NDArray[Any]  # minutes x BINS
    least: NDArray[Any]  # latency of each minute
    gaps: NDArray[Any]


WHOLE, SMALL, BYTE, REAL = np.dtype("i8"), np.dtype("i4"), np.dtype("u1"), np.dtype("f8")
moments_at = arena(Moments, (STATE, WHOLE, WHOLE, BYTE, WHOLE, SMALL, WHOLE, GAP))


@kernel(store=False)
def bin_of(us):
    """Return the bin of a latency: the middle one is 0, then FINE bins for each doubling, per sign."""
    size = min(int(log2(1.0 + abs(us)) * FINE) + (1 if us != 0 else 0), TOP)
    return TOP + size if us >= 0 else TOP - size


@kernel(store=False)
def note_local(t, c, local, row):
    """Count silences, arrivals out of order and in another day."""
    if c["rows"] > 0:
        gap = local - c["local"]
        if gap < 0:
            if c["backs"] == 0:
                c["back_row"] = row
                c["back_at"] = local
            c["backs"] += 1
        if gap > c["limit"]:
            if c["gaps"] < MOST_GAPS:
                t.gaps[c["gaps"]]["start"] = c["local"]
                t.gaps[c["gaps"]]["end"] = local
                t.gaps[c["gaps"]]["row"] = row
            c["gaps"] += 1
            c["gap_sum"] += gap
    else:
        c["first"] = local
    if local < c["day"] or local >= c["day"] + 86_400_000_000:
        if c["outside"] == 0:
            c["outside_row"] = row
            c["outside_at"] = local
        c["outside"] += 1


@kernel(store=False)
def note_clock(t, c, ts, local, row):
    """Count what the exchange's clock does against itself and against ours."""
    c["clocked"] += 1
    if ts < c["top"]:
        if c["behind"] == 0:
            c["behind_row"] = row
            c["behind_at"] = local
        c["behind"] += 1
        c["deepest"] = max(c["deepest"], c["top"] - ts)
    c["top"] = max(c["top"], ts)
    late = local - ts
    if late == 0:
        c["equal"] += 1
    if late < 0:
        if c["ahead"] == 0:
            c["ahead_row"] = row
            c["ahead_at"] = local
        c["ahead"] += 1
    c["least"] = min(c["least"], late)
    c["most"] = max(c["most"], late)
    c["bin"] = bin_of(late)
    c["minute"] = min(max((local - c["day"]) // 60_000_000, 0), MINUTES - 1)
    t.least[c["minute"]] = min(t.least[c["minute"]], late)
    t.histogram[c["minute"] * BINS + c["bin"]] = t.histogram[c["minute"] * BINS + c["bin"]] + 1


@kernel(store=False)
def repeat_clock(t, c):
    """Count a row with the times of the row before: what holds for that holds for it."""
    c["clocked"] += 1
    late = c["local"] - c["ts"]
    if c["ts"] < c["top"]:
        c["behind"] += 1
    if late == 0:
        c["equal"] += 1
    if late < 0:
        c["ahead"] += 1
    t.histogram[c["minute"] * BINS + c["bin"]] = t.histogram[c["minute"] * BINS + c["bin"]] + 1


@entry("int64(int64)")
def watch_moments(address):
    """Look at the times of a chunk."""
    t = moments_at(address)
    c = t.state[0]
    clocked = False
    for i in range(c["count"]):
        ts = t.ts[i]
        local = t.local[i]
        same = c["rows"] > 0 and ts == c["ts"] and local == c["local"]
        if not same or c["outside"] > 0:
            note_local(t, c, local, c["row"] + i + 1)
        c["rows"] += 1
        slot = min(max((local - c["day"]) // 10_000_000, 0), SLOTS - 1)
        t.slots[slot] = t.slots[slot] + 1
        if t.snapshot[i] != 0:
            clocked = False
        elif same and clocked:
            repeat_clock(t, c)
        else:
            note_clock(t, c, ts, local, c["row"] + i + 1)
            clocked = True
        c["ts"] = ts
        c["local"] = local
    c["row"] += c["count"]
    return c["rows"]


DECIMALS = np.dtype([("count", "i8"), ("row", "i8"), ("zeros", "i8"), ("zero_row", "i8"),
                     ("negative", "i8"), ("negative_row", "i8"), ("odd", "i8"), ("step", "f8"),
                     ("off", "i8"), ("off_row", "i8")])  # fmt: skip
PLACE = np.dtype([("count", "i8"), ("row", "i8"), ("fives", "i8"), ("other_row", "i8")])


class Numbers(NamedTuple):
    """Prices or amounts of a chunk, and how many need how many decimals."""

    state: NDArray[Any]
    values: NDArray[Any]
    places: NDArray[Any]


numbers_at = arena(Numbers, (DECIMALS, REAL, PLACE))


@kernel(store=False)
def places_of(value):
    """Return how many decimals a value needs (at most PLACES - 1), and its last digit at that place."""
    scaled = value
    for d in range(PLACES):
        whole = np.floor(scaled + 0.5)
        if abs(scaled - whole) <= max(1e-7, scaled * 1e-15):
            return d, int(whole % 10.0) if whole < 1e15 else 0
        scaled = scaled * 10.0
    return PLACES - 1, 1


@kernel(store=False)
def note_step(c, value, row):
    """Count a value between two steps of a known grid."""
    steps = value / c["step"]
    if abs(steps - np.floor(steps + 0.5)) > max(1e-6, steps * 1e-15):
        if c["off"] == 0:
            c["off_row"] = row
        c["off"] += 1


@kernel(store=False)
def note_odd(c, value, row):
    """Count zeros, negative values and NaN."""
    if value == 0.0:
        if c["zeros"] == 0:
            c["zero_row"] = row
        c["zeros"] += 1
    elif value < 0.0:
        if c["negative"] == 0:
            c["negative_row"] = row
        c["negative"] += 1
    else:
        c["odd"] += 1


@entry("int64(int64)")
def watch_numbers(address):
    """Count the decimals of a chunk's values; zeros, negative ones and NaN apart."""
    t = numbers_at(address)
    c = t.state[0]
    before = 0.0
    d = 0
    digit = 0
    for i in range(c["count"]):
        value = t.values[i]
        row = c["row"] + i + 1
        if not value > 0.0:
            note_odd(c, value, row)
            continue
        if value != before:
            d, digit = places_of(value)
            before = value
        place = t.places[d]
        if place["count"] == 0:
            place["row"] = row
        place["count"] += 1
        if digit == 5:
            place["fives"] += 1
        elif place["other_row"] == 0:
            place["other_row"] = row
        if c["step"] > 0.0:
            note_step(c, value, row)
    c["row"] += c["count"]
    return c["row"]
