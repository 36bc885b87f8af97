"""The order flow behind the SYNTHETIC tick samples: a book that adds, cancels and market orders move.

A zero-intelligence book (Smith, Farmer, Gillemot, Krishnamurthy 2003) with self-exciting market orders
(Hawkes 1971) that lean to the thicker side of the book and to a slow fair price. All kernels are in this
file, because numba's cache sees edits in a caller's own file only. Random numbers are drawn before the run;
the kernels add, multiply, divide and take roots, which every machine rounds alike.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.jit import entry, kernel
from framework.records import MESSAGE, TRADE

WIDTH = 1 << 15  # ticks a side of the book can hold; the fair price stays in the middle half
GRID = 100_000  # us between two looks at the fair price, and between two quiet depth messages
DEEP = 200  # levels a side at the start
KEPT = 40  # levels from the best that never stay empty for longer than a second
REACH = 4.0  # levels from the best: mean distance of an add or cancel
SWEPT = 8  # levels one market order may empty
BID, ASK = 0, 1
DEPTH, TRADES = 0, 1  # channels

RULE = np.dtype(
    [
        ("start", "i8"),  # ns
        ("length", "i8"),  # us
        ("middle", "i8"),  # tick of the first fair price
        ("room", "i8"),  # numbers drawn, and rows of room in `keys`, `trades` and `messages`
        ("rows", "i8"),
        ("takes", "f8"),  # market orders a second without any excitement, and for each unit of it
        ("echo", "f8"),
        ("news", "f8"),  # the same for each tick between the mid and the fair price above 3
        ("moves", "f8"),  # adds and cancels a second, and for each unit of excitement
        ("stir", "f8"),
        ("sweeps", "f8"),  # share of market orders that take exactly the best level
        ("taken", "f8"),  # lots: mean size of a market order, of an add or cancel, of the best level
        ("placed", "f8"),
        ("queue", "f8"),
        ("weigh", "f8"),  # how much the imbalance of the best levels turns takers to the thicker side
        ("pull", "f8"),  # how much each tick from the fair price does
        ("drift", "f8"),  # how much that tick moves adds to one side and cancels to the other
        ("heal", "f8"),  # how much the takers before make others fill up the side they took from
        ("wander", "f8"),  # ticks: deviation of the fair price in one step of the grid
        ("home", "f8"),  # share of its distance from `offset` it goes back in one step
        ("offset", "f8"),  # ticks from the leader
        ("jump", "f8"),  # chance of a jump of the fair price in one step
    ]
)
NOW = np.dtype(
    [(n, "i8") for n in ("used", "ts", "bid", "ask", "told_bid", "told_ask", "changed", "rows", "messages")]
    + [("trades", "i8"), ("heat", "f8"), ("lean", "f8"), ("fair", "f8"), ("own", "f8")]
)
CHANNEL = np.dtype([("last", "i8"), ("spike", "f8")])  # us: arrival of the last packet, delay of a jam
LONG, REAL, KEY = np.dtype("i8"), np.dtype("f8"), np.dtype("i4")


class Flow(NamedTuple):
    """What the kernels read and write."""

    rule: NDArray[Any]
    now: NDArray[Any]
    channels: NDArray[Any]
    numbers: NDArray[Any]  # uniform numbers, used one after the other
    waits: NDArray[Any]  # exponential waiting times of mean 1,000,000, by 4,096 parts of probability
    leader: NDArray[Any]  # ticks, per step of the grid
    lots: NDArray[Any]  # the book: bids, then asks
    told: NDArray[Any]  # the book as the messages have it
    marked: NDArray[Any]  # 1 = stands in `changed`
    changed: NDArray[Any]
    trades: NDArray[Any]
    messages: NDArray[Any]
    keys: NDArray[Any]
    sizes: NDArray[Any]
    mids: NDArray[Any]  # bid + ask, ticks, per step of the grid


flow_at = arena(
    Flow,
    (RULE, NOW, CHANNEL, REAL, LONG, REAL, LONG, LONG, LONG, LONG, TRADE, MESSAGE, KEY, LONG, LONG),
)


@kernel(store=False)
def draw(t):
    """Return the next number in [0, 1)."""
    c = t.now[0]
    u = t.numbers[c["used"]]
    c["used"] += 1
    return u


@kernel(store=False)
def wait(t, mean):
    """Return an exponential waiting time, us."""
    return int(t.waits[int(draw(t) * 4096.0)] * mean / 1e6)


@kernel(store=False)
def tail(t, mean, most):
    """Return a whole number >= 0 whose tail falls with the square: many small ones, few large ones."""
    return min(int(mean * (1.0 / math.sqrt(1.0 - draw(t)) - 1.0)), most)


@kernel(store=False)
def change(t, side, k, lots):
    """Add lots to a level (or take them), and move the best price where it comes or goes."""
    c = t.now[0]
    i = side * WIDTH + k
    t.lots[i] = t.lots[i] + lots
    if t.marked[i] == 0:
        t.marked[i] = 1
        t.changed[c["changed"]] = i
        c["changed"] += 1
    if side == BID:
        best = max(c["bid"], k)
        while t.lots[best] == 0:
            best -= 1
        c["bid"] = best
    else:
        best = min(c["ask"], k)
        while t.lots[WIDTH + best] == 0:
            best += 1
        c["ask"] = best


@kernel(store=False)
def arrival(t, channel, ts):
    """Return when a packet sent at `ts` is here, us: a few ms, now and then a jam that dissolves."""
    line = t.channels[channel]
    line["spike"] = line["spike"] * 0.8
    if draw(t) < 0.0006:
        line["spike"] = 20_000.0 + tail(t, 12_000.0, 120_000)
    local = ts + 2_500 + wait(t, 1_500.0) + int(line["spike"])
    local = max(local, line["last"] + 1)  # one connection keeps its order
    line["last"] = local
    return local


@kernel(store=False)
def tell(t, ts):
    """Send one depth message with every level that differs from what was told before."""
    c = t.now[0]
    rule = t.rule[0]
    first = c["rows"]
    n = first
    for j in range(c["changed"]):
        i = t.changed[j]
        t.marked[i] = 0
        if t.lots[i] != t.told[i]:
            t.told[i] = t.lots[i]
            side = i // WIDTH
            t.keys[n] = 2 * (rule["middle"] - WIDTH // 2 + i - side * WIDTH) + side
            t.sizes[n] = t.lots[i]
            n += 1
    c["changed"] = 0
    c["rows"] = n
    c["told_bid"] = c["bid"]
    c["told_ask"] = c["ask"]
    if n > first:
        message = t.messages[c["messages"]]
        message["ts"] = rule["start"] + ts * 1_000
        message["local_ts"] = rule["start"] + arrival(t, DEPTH, ts) * 1_000
        message["first"] = first
        c["messages"] += 1


@kernel(store=False)
def gap(t):
    """Return how many ticks the fair price lies above the mid."""
    c = t.now[0]
    return c["fair"] - 0.5 * (c["bid"] + c["ask"])


@kernel(store=False)
def within(x, most):
    """Return x within -most .. most."""
    return max(-most, min(most, x))


@kernel(store=False)
def take(t, ts):
    """Let a market order walk the book; one trade for each resting order it meets."""
    c = t.now[0]
    rule = t.rule[0]
    bids = t.lots[c["bid"]]
    asks = t.lots[WIDTH + c["ask"]]
    weight = rule["weigh"] * (bids - asks) / (bids + asks)
    turn = within(weight + rule["pull"] * gap(t), 0.45)
    buys = draw(t) < 0.5 + turn
    side = ASK if buys else BID
    rest = 1 + tail(t, rule["taken"], 20_000)
    if draw(t) < rule["sweeps"]:  # some take exactly what is shown
        rest = asks if buys else bids
    local = arrival(t, TRADES, ts)
    last = (c["ask"] + SWEPT - 1) if buys else (c["bid"] - SWEPT + 1)
    while rest > 0 and (c["ask"] <= last if buys else c["bid"] >= last):
        k = c["ask"] if buys else c["bid"]
        lots = min(min(rest, t.lots[side * WIDTH + k]), 1 + tail(t, 2.0 * rule["placed"], 20_000))
        trade = t.trades[c["trades"]]
        trade["ts"] = rule["start"] + ts * 1_000
        trade["raw_ts"] = trade["ts"]
        trade["local_ts"] = rule["start"] + local * 1_000
        trade["lots"] = lots
        trade["tick"] = rule["middle"] - WIDTH // 2 + k
        trade["side"] = 1 if buys else -1
        c["trades"] += 1
        change(t, side, k, -lots)
        rest -= lots
    c["heat"] += 1.0
    c["lean"] = 0.7 * c["lean"] + (0.3 if buys else -0.3)


@kernel(store=False)
def add(t):
    """Let a limit order join a level near the best, or step into a wide spread."""
    c = t.now[0]
    rule = t.rule[0]
    bids = draw(t) < 0.5 + within(rule["drift"] * gap(t) - rule["heal"] * c["lean"], 0.4)
    side = BID if bids else ASK
    room = c["ask"] - c["bid"] - 1
    if room > 0 and draw(t) < 0.6:
        u = draw(t)
        deep = -1 - int(u * u * room)
        size = 1 + tail(t, rule["placed"] * 0.6, 20_000)
    else:
        deep = tail(t, REACH, KEPT)
        size = 1 + tail(t, rule["placed"], 20_000)
    change(t, side, c["bid"] - deep if bids else c["ask"] + deep, size)


@kernel(store=False)
def cancel(t):
    """Let a part of a level go; thick levels lose more often than thin ones."""
    c = t.now[0]
    rule = t.rule[0]
    bids = draw(t) < 0.5 - within(rule["drift"] * gap(t) - rule["heal"] * c["lean"], 0.4)
    side = BID if bids else ASK
    deep = tail(t, REACH, KEPT)
    k = c["bid"] - deep if bids else c["ask"] + deep
    level = t.lots[side * WIDTH + k]
    if draw(t) * 1.6 * rule["queue"] * (1.0 + 0.2 * min(deep, 10)) < level:
        change(t, side, k, -min(level, 1 + tail(t, max(rule["placed"], 0.1 * level), 20_000)))


@kernel(store=False)
def refill(t, levels):
    """Put orders on the empty ones of the first levels of both sides."""
    c = t.now[0]
    size = t.rule[0]["queue"] * 0.5
    for deep in range(levels):
        if t.lots[c["bid"] - deep] == 0:
            change(t, BID, c["bid"] - deep, 1 + tail(t, size, 20_000))
        if t.lots[WIDTH + c["ask"] + deep] == 0:
            change(t, ASK, c["ask"] + deep, 1 + tail(t, size, 20_000))


@kernel(store=False)
def step_fair(t, step):
    """Move the fair price by one step of the grid: the leader's move, its own walk, at times a jump."""
    c = t.now[0]
    rule = t.rule[0]
    z = draw(t) + draw(t) + draw(t) + draw(t) - 2.0
    c["own"] += rule["home"] * (rule["offset"] - c["own"]) + 1.7 * rule["wander"] * z
    if draw(t) < rule["jump"]:
        c["own"] += (2.0 + tail(t, 2.5, 20)) * (1.0 if draw(t) < 0.5 else -1.0)
    fair = t.leader[step] + c["own"] - rule["middle"]
    c["fair"] = WIDTH // 2 + within(fair, WIDTH / 4.0)
    t.mids[step] = c["bid"] + c["ask"] + 2 * (rule["middle"] - WIDTH // 2)
    if step % 10 == 0:
        refill(t, KEPT)


@kernel(store=False)
def next_event(t):
    """Let time pass and return a number: below 0 a market order, below 0.45 an add, else a cancel."""
    c = t.now[0]
    rule = t.rule[0]
    far = abs(gap(t))
    takes = rule["takes"] + rule["echo"] * c["heat"] + rule["news"] * max(far - 3.0, 0.0)
    moves = rule["moves"] + rule["stir"] * c["heat"]
    passed = max(1, wait(t, 1e6 / (takes + moves)))
    c["ts"] += passed
    c["heat"] = c["heat"] / (1.0 + passed / 400_000.0)
    c["lean"] = c["lean"] / (1.0 + passed / 1_000_000.0)
    return (draw(t) * (takes + moves) - takes) / moves


@entry("int64(int64)")
def run_flow(address):
    """Fill the tables; return 0, or 1 where they are too short."""
    t = flow_at(address)
    c = t.now[0]
    rule = t.rule[0]
    c["bid"] = WIDTH // 2
    c["ask"] = c["bid"] + 1
    change(t, BID, c["bid"], 1 + tail(t, rule["queue"], 20_000))
    change(t, ASK, c["ask"], 1 + tail(t, rule["queue"], 20_000))
    refill(t, DEEP)
    step_fair(t, 0)
    tell(t, 0)
    step = 1
    while True:
        if c["used"] + 2_000 > rule["room"] or max(c["rows"], c["trades"]) + 2_000 > rule["rows"]:
            return 1
        what = next_event(t)
        while step * GRID < c["ts"]:
            if step * GRID >= rule["length"]:
                tell(t, rule["length"])
                return 0
            step_fair(t, step)
            tell(t, step * GRID)
            step += 1
        if what < 0.0:
            take(t, c["ts"])
        elif what < 0.45:
            add(t)
        else:
            cancel(t)
        if c["bid"] != c["told_bid"] or c["ask"] != c["told_ask"]:
            tell(t, c["ts"])
