"""The scan: rows pass in bulk, and only one that can touch an own order is looked at."""

from __future__ import annotations

from framework.engine.book import apply_messages, catch_up
from framework.engine.matching import sweep
from framework.engine.meeting import meet_message, meet_price, meet_trade
from framework.engine.order import is_live, trigger_level
from framework.engine.resting import look_fresh, loosen, rests, sort_by_age, stops_by_quote
from framework.engine.state import Sim
from framework.engine.taking import tick_of
from framework.engine.ticks import EXCHANGE, NO_TICK, Ticks, ticks_at
from framework.jit import kernel
from framework.records import BUY, BY_TRADE, NEVER, NONE, TRAILING


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


@kernel(store=False)
def scan(t: Ticks, stop):
    """Time of the first row up to `stop` that can touch an own order, NEVER without one; stands there then.
    """
    p = t.place[0]
    messages = t.messages
    keys = t.keys
    trades = t.trades
    m = p["message"]
    x = p["trade"]
    n = p["n_trades"]
    bid_low, bid_high = 2 * p["bid_low"], 2 * p["bid_high"]
    ask_low, ask_high = 2 * p["ask_low"], 2 * p["ask_high"] + 1
    up, down = p["up"], p["down"]
    every = p["every"] == 1
    mt = messages[m]["ts"]
    tt = trades[x]["ts"] if x < n else NEVER
    found = NEVER
    while min(mt, tt) <= stop:
        if tt <= mt:
            tick = trades[x]["tick"]
            if tick >= up or tick <= down:
                found = tt
                p["hit"] = 0
                break
            x += 1
            tt = trades[x]["ts"] if x < n else NEVER
            continue
        ours = every
        for i in range(messages[m]["first"], messages[m + 1]["first"]):
            key = keys[i]
            is_bid = (key & 1) == 0
            # a row of our own levels, or one of the other side that reaches them
            bids = ((key >= bid_low) & (key <= bid_high)) | (key >= ask_low)
            asks = ((key >= ask_low) & (key <= ask_high)) | (key <= bid_high + 1)
            ours |= (is_bid & bids) | ((not is_bid) & asks)
        if ours:
            found = mt
            p["hit"] = 1
            break
        m += 1
        mt = messages[m]["ts"]
    p["message"] = m
    p["trade"] = x
    return found


@kernel(store=False)
def act(sim: Sim, k, ts):
    """Let the row the scan stopped at meet own orders; True when an order filled or ended."""
    c = sim.clock[0]
    t = ticks_at(sim.cursor[k]["ticks"])
    p = t.place[0]
    before = c["n_responses"]
    live = c["n_live"]
    c["phase"] = p["hit"]
    c["acting"] = k
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
