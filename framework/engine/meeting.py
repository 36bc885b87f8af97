"""Rows of the feed meet own orders: trades, messages of a book, marks."""

from __future__ import annotations

import math

from framework.engine.book import apply_messages, catch_up, touch
from framework.engine.fills import complete, wanted
from framework.engine.look import look
from framework.engine.order import is_live, is_stop_type, reached, trigger_level
from framework.engine.queue import after_change, excess
from framework.engine.resting import reference, rests, stops_by_quote, trigger, write_trail
from framework.engine.state import AT_OPEN, T_LEVEL, T_TRADE, Sim
from framework.engine.taking import blank_bar, lots_of, price_at, qty_of, tick_of, value_others, within
from framework.engine.ticks import EXCHANGE, NO_TICK, Ticks, ticks_at
from framework.jit import kernel
from framework.records import (
    BUY,
    BY_MARK,
    BY_TRADE,
    FRONT,
    LIMIT,
    NONE,
    SELL,
    STOP_LIMIT,
    TRAILING,
)


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
    used = sim.cursor[k]["used"]
    done = complete(sim, row, qty, price, price, ts, bar, True, False, AT_OPEN)
    sim.cursor[k]["used"] = used  # a volume cap is one of takers
    return float(lots_of(p, done))


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
    lots = max(trade["lots"] - used, 0.0)
    over = excess(lots, order["ahead"])
    order["ahead"] = max(order["ahead"] - lots, 0.0)
    order["traded"] += trade["lots"]
    write_trail(sim, order, T_TRADE, ts)
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
def looks_at_price(sim: Sim, order, price):
    """True for an order that does not rest yet and may act at a trade's price."""
    if not is_stop_type(order) or order["triggered"] == 1:
        return True
    if sim.clock[0]["trigger"] == BY_MARK:
        return False
    return order["kind"] != TRAILING or order["extreme"] == 0.0 or is_stopped(sim, order, price)


@kernel(store=False)
def first_price(sim: Sim, k, t: Ticks, row, price, ts):
    """An order that takes, or looks for the first time, meets a trade's price as it would an open."""
    c = sim.clock[0]
    order = sim.orders[row]
    share = c["volume_share"]
    used = sim.cursor[k]["used"]
    limits = order["kind"] in (LIMIT, STOP_LIMIT)
    if limits:
        c["volume_share"] = 0.0  # the cap is one of market orders
    look(sim, row, price, ts, blank_bar(sim, k), 0, AT_OPEN)
    if limits:
        c["volume_share"] = share
        sim.cursor[k]["used"] = used
    if rests(order):
        order["tick"] = tick_of(t.place[0], order["price"])


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
            if looks_at_price(sim, order, price):
                first_price(sim, k, t, row, price, ts)
        elif (order["tick"] - trade["tick"]) * order["side"] > 0:
            fill_resting(sim, k, t, row, NO_TICK, ts)
        elif order["tick"] == trade["tick"] and c["queue"] == FRONT and trade["side"] == -order["side"]:
            left = max(trade["lots"] - used, 0.0)
            if left > 0.0:
                used += fill_resting(sim, k, t, row, NO_TICK if c["whole"] == 1 else left, ts)


@kernel(store=False)
def move_queues(sim: Sim, k, t: Ticks, key, new, ts):
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
            write_trail(sim, order, T_LEVEL, ts)


@kernel(store=False)
def move_all_queues(sim: Sim, k, t: Ticks, m):
    """Move the queues a message changes; the best bid and ask of its rows that reach an own order."""
    p = t.place[0]
    ts = t.messages[m]["ts"]
    bid_low, bid_high = 2 * p["bid_low"], 2 * p["bid_high"]
    ask_low, ask_high = 2 * p["ask_low"] + 1, 2 * p["ask_high"] + 1
    bid = -NO_TICK
    ask = NO_TICK
    for i in range(p["row"], t.messages[m + 1]["first"]):
        key = int(t.keys[i])
        if key & 1 == 0:
            if bid_low <= key <= bid_high and t.lots[i] >= 0:
                move_queues(sim, k, t, key, t.lots[i], ts)
            if key >= ask_low - 1 and t.lots[i] > 0:
                bid = max(bid, key >> 1)
        else:
            if ask_low <= key <= ask_high and t.lots[i] >= 0:
                move_queues(sim, k, t, key, t.lots[i], ts)
            if key <= bid_high + 1 and t.lots[i] > 0:
                ask = min(ask, key >> 1)
    return bid, ask


@kernel(store=False)
def meet_message(sim: Sim, k, t: Ticks, m):
    """A message meets own orders: their queues move, then those the other side's quotes reach fill."""
    c = sim.clock[0]
    p = t.place[0]
    ts = t.messages[m]["ts"]
    bid, ask = move_all_queues(sim, k, t, m)
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
        if stops_by_quote(sim, t):
            meet_quotes(sim, k, t, n, ts)


@kernel(store=False)
def meet_quotes(sim: Sim, k, t: Ticks, n, ts):
    """The quotes meet stops that are triggered by them."""
    for j in range(n):
        row = sim.live[j]
        order = sim.orders[row]
        if order["instrument"] != k or not is_live(order) or order["seen_bar"] == NONE:
            continue
        if is_stop_type(order):
            price = reference(sim, k, t, order["side"])
            if not math.isnan(price) and is_stopped(sim, order, price):
                trigger(sim, k, t, row, ts)


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
        if is_stop_type(order) and order["triggered"] == 0 and is_stopped(sim, order, price):
            if t.place[0]["has_book"] == 1:
                catch_up(t, EXCHANGE, ts - 1)
                touch(t, EXCHANGE)
            trigger(sim, k, t, row, ts)
