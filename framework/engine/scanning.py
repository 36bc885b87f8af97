"""The scan: rows pass in bulk, and only one that can touch an own order is looked at."""

from __future__ import annotations

import numpy as np

from framework.engine.book import HIGHEST, apply_messages, catch_up
from framework.engine.matching import sweep
from framework.engine.meeting import meet_message, meet_price, meet_trade
from framework.engine.order import is_live, trigger_level
from framework.engine.resting import look_fresh, loosen, rests, sort_by_age, stops_by_quote
from framework.engine.state import Sim
from framework.engine.taking import tick_of
from framework.engine.ticks import EXCHANGE, NO_TICK, Ticks, ticks_at
from framework.jit import kernel
from framework.records import BUY, BY_TRADE, NEVER, NONE, TRAILING

BLOCK = 64  # rows tested at once
CHUNK = 32  # messages


@kernel(store=False)
def fence_in(sim: Sim, k, t: Ticks):
    """Set which rows can touch an own order; all others pass without a look."""
    c = sim.clock[0]
    p = t.place[0]
    bid_low, bid_high = NO_TICK, -NO_TICK
    ask_low, ask_high = NO_TICK, -NO_TICK
    up, down = NO_TICK, -NO_TICK
    resting = 0
    every = 0
    for j in range(c["n_live"]):
        order = sim.orders[sim.live[j]]
        if order["instrument"] != k or not is_live(order):
            continue
        resting += 1
        if order["seen_bar"] == NONE or (p["has_book"] == 0 and not rests(order)):
            every = 1
            up = -NO_TICK if p["has_book"] == 0 else up
        elif rests(order) and order["side"] == BUY:
            bid_low = min(bid_low, order["tick"])
            bid_high = max(bid_high, order["tick"])
            down = max(down, order["tick"])
        elif rests(order):
            ask_low = min(ask_low, order["tick"])
            ask_high = max(ask_high, order["tick"])
            up = min(up, order["tick"])
        elif stops_by_quote(sim, t):
            every = 1
        elif c["trigger"] == BY_TRADE:
            at = tick_of(p, trigger_level(sim, order))
            best = tick_of(p, order["extreme"]) if order["kind"] == TRAILING else -NO_TICK * order["side"]
            if order["kind"] == TRAILING and order["extreme"] == 0.0:
                up = -NO_TICK
            elif order["side"] == BUY:
                up = min(up, at)
                down = max(down, best - 1)
            else:
                down = max(down, at)
                up = min(up, best + 1)
    p["bid_low"], p["bid_high"] = bid_low, bid_high
    p["ask_low"], p["ask_high"] = ask_low, ask_high
    p["up"], p["down"] = up, down
    p["resting"] = resting
    p["every"] = every
    p["fenced"] = 1


@kernel(inline=True, store=False)
def touches(key, bid_low, bid_high, ask_low, ask_high):
    """True for a row of an own level, or one of the other side that reaches it."""
    is_bid = (key & np.int32(1)) == np.int32(0)
    bids = ((key >= bid_low) & (key <= bid_high)) | (key >= ask_low)
    asks = ((key >= ask_low) & (key <= ask_high)) | (key <= bid_high + np.int32(1))
    return (is_bid & bids) | ((not is_bid) & asks)


@kernel(inline=True, store=False)
def as_key(tick, is_ask):
    """Key of a tick of the fence, cut to what a key can be."""
    return np.int32(min(max(2 * tick + is_ask, -2), HIGHEST - 2))


@kernel(store=False)
def find_row(t: Ticks, first, end):
    """First row that touches the fence, `end` without one."""
    p = t.place[0]
    keys = t.keys
    bid_low, bid_high = as_key(p["bid_low"], 0), as_key(p["bid_high"], 0)
    ask_low, ask_high = as_key(p["ask_low"], 0), as_key(p["ask_high"], 1)
    i = first
    while i < end:
        stop = min(i + BLOCK, end)
        hit = False
        for r in range(i, stop):  # no way out: the compiler turns it into vector code
            hit |= touches(np.int32(keys[r]), bid_low, bid_high, ask_low, ask_high)
        if hit:
            while not touches(np.int32(keys[i]), bid_low, bid_high, ask_low, ask_high):
                i += 1
            return i
        i = stop
    return end


@kernel(store=False)
def find_message(t: Ticks, m, end):
    """First of messages `m` to `end` with a row that touches the fence, `end` without one."""
    p = t.place[0]
    if p["every"] == 1:
        p["row"] = t.messages[m]["first"]
        return m
    last = t.messages[end]["first"]
    row = find_row(t, t.messages[m]["first"], last)
    p["row"] = row
    if row == last:
        return end
    while t.messages[m + 1]["first"] <= row:
        m += 1
    return m


@kernel(store=False)
def find_trade(t: Ticks, until):
    """Move the trade cursor to the first trade that touches the fence, or beyond `until`; True when one does.
    """
    p = t.place[0]
    trades = t.trades
    n = p["n_trades"]
    up, down = p["up"], p["down"]
    x = p["trade"]
    found = False
    while x < n and trades[x]["ts"] <= until:
        tick = trades[x]["tick"]
        if tick >= up or tick <= down:
            found = True
            break
        x += 1
    p["trade"] = x
    return found


@kernel(store=False)
def scan(t: Ticks, stop):
    """Time of the first row up to `stop` that can touch an own order, NEVER without one; stands there then.

    Messages are taken a few at a time, so that what is looked at and then left by a fill is little.
    """
    p = t.place[0]
    messages = t.messages
    while True:
        m = p["message"]
        end = m
        last = min(m + CHUNK, p["n_messages"])
        while end < last and messages[end]["ts"] <= stop:
            end += 1
        until = messages[end - 1]["ts"] if end == last and end > m and messages[end]["ts"] <= stop else stop
        hit = find_message(t, m, end) if end > m else end
        if find_trade(t, messages[hit]["ts"] if hit < end else until):
            ts = t.trades[p["trade"]]["ts"]
            while m < hit and messages[m]["ts"] < ts:
                m += 1
            p["message"] = m
            p["hit"] = 0
            return ts
        p["message"] = hit
        if hit < end:
            p["hit"] = 1
            return messages[hit]["ts"]
        if until == stop:
            return NEVER


@kernel(store=False)
def act(sim: Sim, k, ts):
    """Let the row the scan stopped at meet own orders; True when an order filled or ended."""
    c = sim.clock[0]
    t = ticks_at(sim.cursor[k]["ticks"])
    p = t.place[0]
    before = c["n_responses"]
    live = c["n_live"]
    c["phase"] = p["hit"]
    if p["hit"] == 0:
        x = p["trade"]
        p["trade"] = x + 1
        if p["has_book"] == 1:
            meet_trade(sim, k, t, x)
        else:
            meet_price(sim, k, t, x)
    else:
        m = p["message"]
        p["message"] = m + 1
        meet_message(sim, k, t, m)
    changed = c["n_responses"] != before or c["n_live"] != live
    if changed or p["every"] == 1:
        if p["has_book"] == 1 and p["hit"] == 0:
            catch_up(t, EXCHANGE, ts - 1)
        elif p["has_book"] == 1:
            apply_messages(t, EXCHANGE, p["message"])
        look_fresh(sim, k, t, ts)
        sweep(sim)
        sort_by_age(sim)
        loosen(sim)
    elif p["hit"] == 0:
        sort_by_age(sim)  # a stop-limit may have come to rest
        p["fenced"] = 0  # a trailing extreme may have moved
    c["phase"] = 2
    return changed or c["n_responses"] != before
