"""Rows of the feed meet own orders: trades, messages of a book, marks; and the scan that finds such rows."""

from __future__ import annotations

import math

from framework.engine.book import apply_messages, catch_up, touch
from framework.engine.fills import complete, wanted
from framework.engine.look import look
from framework.engine.matching import sweep
from framework.engine.order import is_live, is_stop_type, reached, trigger_level
from framework.engine.queue import after_change, excess
from framework.engine.resting import look_fresh, loosen, reference, rests, trigger
from framework.engine.state import AT_OPEN, Sim
from framework.engine.taking import blank_bar, lots_of, price_at, qty_of, tick_of, value_others, within
from framework.engine.ticks import EXCHANGE, NO_TICK, Ticks, ticks_at
from framework.jit import kernel
from framework.records import BUY, BY_MARK, BY_QUOTE, BY_TRADE, FRONT, NEVER, NONE, SELL, TRAILING


@kernel(store=False)
def fill_resting(sim: Sim, k, t: Ticks, row, lots, ts):
    """Fill up to `lots` of a resting limit as maker at its price; return the lots filled."""
    order = sim.orders[row]
    p = t.place[0]
    price = order["price"]
    value_others(sim, k, ts)
    sim.account[k]["mark"] = price
    bar = blank_bar(sim, k)
    qty = wanted(sim, row, price, bar, ts)
    if qty <= 0.0:
        return 0.0
    if lots < lots_of(p, qty):
        qty = qty_of(p, lots)
    return float(lots_of(p, complete(sim, row, qty, price, price, ts, bar, True, False, AT_OPEN)))


@kernel(store=False)
def meet_limit(sim: Sim, k, t: Ticks, row, trade, used, ts):
    """A trade meets a resting limit; return the lots of it that filled at the trade's own price."""
    order = sim.orders[row]
    c = sim.clock[0]
    side = order["side"]
    if trade["side"] == side:
        return 0.0
    beyond = (order["tick"] - trade["tick"]) * side
    if beyond > 0:
        fill_resting(sim, k, t, row, NO_TICK, ts)
        return 0.0
    if beyond < 0 or trade["side"] == 0:
        return 0.0
    lots = trade["lots"] - used
    over = excess(lots, order["ahead"])
    order["ahead"] = max(order["ahead"] - lots, 0.0)
    order["traded"] += trade["lots"]
    if over < 1.0:
        return 0.0
    return fill_resting(sim, k, t, row, NO_TICK if c["whole"] == 1 else over, ts)


@kernel(store=False)
def is_stopped(sim: Sim, order, price):
    """Test a stop at a price with the extreme known before, then let the extreme follow."""
    if order["kind"] == TRAILING and order["extreme"] == 0.0:
        order["extreme"] = price
        return False
    if reached(order["side"], trigger_level(sim, order), price):
        return True
    if order["kind"] == TRAILING:
        known = order["extreme"]
        order["extreme"] = min(known, price) if order["side"] == BUY else max(known, price)
    return False


@kernel(store=False)
def meet_trade(sim: Sim, k, t: Ticks, x):
    """A trade meets the own orders of an instrument with a book, by age."""
    c = sim.clock[0]
    trade = t.trades[x]
    ts = trade["ts"]
    price = price_at(t.place[0], trade["tick"])
    used = 0.0
    for j in range(c["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if order["instrument"] != k or not is_live(order) or order["seen_bar"] == NONE:
            continue
        if rests(order):
            used += meet_limit(sim, k, t, row, trade, used, ts)
        elif is_stop_type(order) and c["trigger"] == BY_TRADE and is_stopped(sim, order, price):
            catch_up(t, EXCHANGE, ts - 1)
            touch(t, EXCHANGE)
            trigger(sim, k, t, row, ts)


@kernel(store=False)
def meet_price(sim: Sim, k, t: Ticks, x):
    """A trade meets the own orders of an instrument without a book: its price is all there is."""
    c = sim.clock[0]
    trade = t.trades[x]
    ts = trade["ts"]
    price = price_at(t.place[0], trade["tick"])
    bar = blank_bar(sim, k)
    bar["open"] = bar["high"] = bar["low"] = bar["close"] = price
    bar["volume"] = qty_of(t.place[0], trade["lots"])
    sim.cursor[k]["used"] = 0.0
    used = 0.0
    value_others(sim, k, ts)
    for j in range(c["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if order["instrument"] != k or not is_live(order):
            continue
        if not rests(order) or order["seen_bar"] == NONE:
            if order["kind"] == TRAILING and order["seen_bar"] != NONE and order["triggered"] == 0:
                if is_stopped(sim, order, price):
                    look(sim, row, price, ts, bar, 0, AT_OPEN)
            elif not is_stop_type(order) or order["triggered"] == 1 or c["trigger"] != BY_MARK:
                look(sim, row, price, ts, bar, 0, AT_OPEN)
                order["tick"] = tick_of(t.place[0], order["price"]) if rests(order) else 0
        elif (order["tick"] - trade["tick"]) * order["side"] > 0:
            fill_resting(sim, k, t, row, NO_TICK, ts)
        elif order["tick"] == trade["tick"] and c["queue"] == FRONT and trade["side"] == -order["side"]:
            used += fill_resting(sim, k, t, row, NO_TICK if c["whole"] == 1 else trade["lots"] - used, ts)


@kernel(store=False)
def move_queues(sim: Sim, k, t: Ticks, key, new):
    """A level shows a new size: own orders that rest there move in its queue."""
    c = sim.clock[0]
    side = BUY if key & 1 == 0 else SELL
    for j in range(c["n_live"]):
        order = sim.orders[sim.live[j]]
        if order["instrument"] != k or order["side"] != side or order["tick"] != key >> 1:
            continue
        if rests(order) and is_live(order) and order["seen_bar"] != NONE:
            order["ahead"] = after_change(
                c["queue"], c["power"], order["ahead"], order["level"], order["traded"], float(new),
                t.place[0]["lot"],
            )
            order["level"] = float(new)
            order["traded"] = 0.0


@kernel(store=False)
def meet_message(sim: Sim, k, t: Ticks, m):
    """A message meets own orders: their queues move, then those the other side's quotes reach fill."""
    c = sim.clock[0]
    p = t.place[0]
    ts = t.messages[m]["ts"]
    bid = -NO_TICK
    ask = NO_TICK
    for i in range(t.messages[m]["first"], t.messages[m + 1]["first"]):
        key = int(t.keys[i])
        tick = key >> 1
        is_ask = key & 1
        new = t.lots[i]
        low = p["ask_low"] if is_ask == 1 else p["bid_low"]
        high = p["ask_high"] if is_ask == 1 else p["bid_high"]
        if new >= 0 and low <= tick <= high:
            move_queues(sim, k, t, key, new)
        if new > 0 and is_ask == 1:
            ask = min(ask, tick)
        elif new > 0:
            bid = max(bid, tick)
    n = c["n_live"]
    if ask <= p["bid_high"] or bid >= p["ask_low"]:
        for j in range(n):
            order = sim.orders[sim.live[j]]
            if order["instrument"] != k or not is_live(order) or order["seen_bar"] == NONE:
                continue
            reaches = ask if order["side"] == BUY else bid
            if rests(order) and within(order["side"], order["tick"], reaches):
                fill_resting(sim, k, t, sim.live[j], NO_TICK, ts)
    if p["every"] == 1:
        apply_messages(t, EXCHANGE, m + 1)
        touch(t, EXCHANGE)
        meet_quotes(sim, k, t, n, ts)


@kernel(store=False)
def meet_quotes(sim: Sim, k, t: Ticks, n, ts):
    """The quotes meet stops that are triggered by them."""
    for j in range(n):
        row = sim.live[j]
        order = sim.orders[row]
        if order["instrument"] != k or not is_live(order) or order["seen_bar"] == NONE:
            continue
        if is_stop_type(order) and stops_by_quote(sim, t):
            price = reference(sim, k, t, order["side"], ts)
            if not math.isnan(price) and is_stopped(sim, order, price):
                trigger(sim, k, t, row, ts)


@kernel(store=False)
def stops_by_quote(sim: Sim, t: Ticks):
    """True when quotes trigger stops here: asked for, or nothing ever trades."""
    c = sim.clock[0]
    return c["trigger"] == BY_QUOTE or (c["trigger"] == BY_TRADE and t.place[0]["n_trades"] == 0)


@kernel(store=False)
def meet_mark(sim: Sim, k, ts):
    """A mark price meets stops that are triggered by it, before the rows of its stamp."""
    price = sim.cursor[k]["mark_price"]
    t = ticks_at(sim.cursor[k]["ticks"])
    for j in range(sim.clock[0]["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if order["instrument"] != k or not is_live(order) or order["seen_bar"] == NONE:
            continue
        if is_stop_type(order) and is_stopped(sim, order, price):
            if t.place[0]["has_book"] == 1:
                catch_up(t, EXCHANGE, ts - 1)
                touch(t, EXCHANGE)
                trigger(sim, k, t, row, ts)
            else:
                order["triggered"] = 1  # takes at the next trade


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
        loosen(sim)
    elif p["hit"] == 0:
        p["fenced"] = 0  # a trailing extreme may have moved
    c["phase"] = 2
    return changed or c["n_responses"] != before
