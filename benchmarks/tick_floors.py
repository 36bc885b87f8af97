"""How fast bare loops get through the feed: what any engine is measured against."""

from __future__ import annotations

import math

import numba
import numpy as np

from . import tick_feed as feed

LOW, SIZE, STEP = 290_000, 20_000, 100_000_000  # ticks of the books' window; ns
NONE = -1


@numba.njit
def put(book, best, s, tick, lots):
    """Set a level; look for the next best where the best went away. s: 0 bids, 1 asks."""
    way = 1 - 2 * s
    book[s, tick] = lots
    if lots > 0:
        if way * (tick - best[s]) > 0:
            best[s] = tick
    elif tick == best[s]:
        while 0 < tick < SIZE - 1 and book[s, tick] == 0:
            tick -= way
        best[s] = tick


def empty():
    """Return a book without levels and its best places; made here, for loops that allocate nothing."""
    return np.zeros((2, SIZE), np.int64), np.array([0, SIZE - 1])


@numba.njit
def one_book(kind, s, ts, tick, lots, book, best):
    """Keep one book and read its middle every 100 ms."""
    due, wakes, total = ts[0] + STEP, 0, 0
    for i in range(len(ts)):
        if ts[i] >= due:  # counted in one step: LLVM makes a loop of it a 128-bit division that numba lacks
            passed = (ts[i] - due) // STEP + 1
            due += passed * STEP
            wakes += passed
            total += passed * (best[0] + best[1])
        if kind[i] == 0:
            put(book, best, s[i], tick[i] - LOW, lots[i])
    return wakes, total


@numba.njit
def two_books(events, book, best, mine, my_best):
    """Keep the exchange's book and ours from rows of 64 bytes, merged as they go."""
    due, wakes, total, j = events[0]["local_ts"] + STEP, 0, 0, 0
    for i in range(len(events)):
        while j < len(events) and events[j]["local_ts"] <= events[i]["exch_ts"]:
            if events[j]["local_ts"] >= due:
                passed = (events[j]["local_ts"] - due) // STEP + 1
                due += passed * STEP
                wakes += passed
                total += passed * (my_best[0] + my_best[1])
            put_event(mine, my_best, events[j])
            j += 1
        put_event(book, best, events[i])
    return wakes, total


@numba.njit
def put_event(book, best, event):
    """Set a level from an event; a trade sets none."""
    if event["ev"] & 0xFF != 2:
        s = 0 if event["ev"] & (1 << 29) else 1
        put(book, best, s, round(event["px"] * 10.0) - LOW, event["qty"])


@numba.njit
def to_next(kind, s, ts, tick, lots, book, best, own, state, until):
    """Go on to a wake-up; an own quote fills when a trade goes through it: no queue, no latency."""
    i = state[0]
    while i < len(ts) and ts[i] < until:
        t = tick[i] - LOW
        if kind[i] == 0:
            put(book, best, s[i], t, lots[i])
        else:
            side = 1 - s[i]  # a taker who buys reaches our ask
            if own[side] != NONE and (t - own[side]) * (2 * side - 1) > 0:
                state[1] += 1 - 2 * side
                state[2] += 1
                own[side] = NONE
        i += 1
    state[0] = i
    return i < len(ts)


def columns():
    """Return kind, side (0 bid or buyer, 1 ask or seller), time, tick and lots of the feed."""
    rows = feed.rows_of()
    side = (rows["side"] < 0).astype(np.int8)
    return rows["kind"].copy(), side, rows["ts"] * 1000, rows["tick"].astype(np.int64), rows["lots"].copy()


class Quotes:
    """The maker's prices in plain Python."""

    def __init__(self, half):
        self.half = half

    def on_timer(self, bid, ask, position):
        middle = 0.5 * (bid + ask)
        return (math.floor(middle - self.half) if position < 100 else NONE,
                math.ceil(middle + self.half) if position > -100 else NONE)  # fmt: skip


def python_quotes(given):
    """Wake plain Python every 100 ms over the bare loop; return wake-ups and fills."""
    book, best = empty()
    own, state, maker = np.full(2, NONE), np.zeros(3, np.int64), Quotes(5)
    due, wakes = int(given[2][0]) + STEP, 0
    while to_next(*given, book, best, own, state, due):
        own[0], own[1] = maker.on_timer(int(best[0]), int(best[1]), int(state[1]))
        due += STEP
        wakes += 1
    return wakes, int(state[2])
