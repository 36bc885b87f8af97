"""Own orders meet a book: on arrival, when one begins to rest, when one is amended."""

from __future__ import annotations

import math

from framework.engine.book import best_against, catch_up, is_none, level, touch
from framework.engine.look import first_look
from framework.engine.matching import sweep
from framework.engine.order import finish, is_live, is_stop_type, reached, trigger_level
from framework.engine.requests import admit, amend, cancel, cancel_all, change, next_arrival
from framework.engine.state import T_JOINED, Sim
from framework.engine.taking import price_at, take_book, take_market, tick_of, value_others, within
from framework.engine.ticks import EXCHANGE, Ticks, ticks_at
from framework.jit import kernel
from framework.records import (
    AMEND,
    BUY,
    BY_MARK,
    BY_QUOTE,
    BY_TRADE,
    CANCEL,
    CANCELLED,
    CLOSE,
    FOK,
    FRONT,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    NONE,
    R_FOK,
    R_IOC,
    R_POST_ONLY,
    REJECTED,
    STOP_LIMIT,
    TRAILING,
)


@kernel(store=False)
def rests(order):
    """True for a limit that lies in the book: by itself, or once its stop triggered."""
    kind = order["kind"]
    return kind == LIMIT or (kind == STOP_LIMIT and order["triggered"] == 1)


@kernel(store=False)
def loosen(sim: Sim):
    """Own orders changed: every fence is to be set again."""
    for k in range(sim.clock[0]["n"]):
        if sim.cursor[k]["ticks"] != 0:
            ticks_at(sim.cursor[k]["ticks"]).place[0]["fenced"] = 0


@kernel(store=False)
def join_queue(sim: Sim, t: Ticks, row, ts):
    """Put an order behind what its level shows now."""
    order = sim.orders[row]
    shown = float(level(t, EXCHANGE, 2 * order["tick"] + (0 if order["side"] == BUY else 1)))
    order["ahead"] = 0.0 if sim.clock[0]["queue"] == FRONT else shown
    order["level"] = shown
    order["traded"] = 0.0
    order["since"] = ts
    write_trail(sim, order, T_JOINED, ts)


@kernel(store=False)
def write_trail(sim: Sim, order, why, ts):
    """Write down where the watched order stands in its queue."""
    c = sim.clock[0]
    if c["watch"] == 0 or c["watch"] != order["id"]:
        return
    entry = sim.trail[c["n_trail"]]
    entry["ts"] = ts
    entry["ahead"] = order["ahead"]
    entry["traded"] = order["traded"]
    entry["level"] = order["level"]
    entry["why"] = why
    c["n_trail"] += 1


@kernel(store=False)
def sort_by_age(sim: Sim):
    """Put live orders in the order in which they took their places."""
    for i in range(1, sim.clock[0]["n_live"]):
        row = sim.live[i]
        j = i
        while j > 0 and takes_precedence(sim, row, sim.live[j - 1]):
            sim.live[j] = sim.live[j - 1]
            j -= 1
        sim.live[j] = row


@kernel(store=False)
def takes_precedence(sim: Sim, row, other):
    """True when an order took its place before another."""
    one = sim.orders[row]
    two = sim.orders[other]
    if one["since"] != two["since"]:
        return one["since"] < two["since"]
    if one["arrival_ts"] != two["arrival_ts"]:
        return one["arrival_ts"] < two["arrival_ts"]
    return row < other


@kernel(store=False)
def look_limit(sim: Sim, k, t: Ticks, row, ts):
    """A limit meets the book: it takes up to its price, and what is left rests there."""
    order = sim.orders[row]
    order["tick"] = tick_of(t.place[0], order["price"])
    best = best_against(t, EXCHANGE, order["side"])
    if not is_none(best) and within(order["side"], order["tick"], best):
        if order["post_only"] == 1:
            finish(sim, row, REJECTED, R_POST_ONLY, ts)
            return
        take_book(sim, k, t, row, order["tick"], False, ts)
    elif order["tif"] == FOK:
        finish(sim, row, CANCELLED, R_FOK, ts)
    if not is_live(order):
        return
    if order["tif"] == IOC:
        finish(sim, row, CANCELLED, R_IOC, ts)
        return
    join_queue(sim, t, row, ts)


@kernel(store=False)
def trigger(sim: Sim, k, t: Ticks, row, ts):
    """A stop has been reached: it takes at any price, or becomes a limit that meets the book; without a book
    both wait for the next trade.
    """
    order = sim.orders[row]
    order["triggered"] = 1
    if t.place[0]["has_book"] == 0:
        order["seen_bar"] = NONE
        return
    if order["kind"] == STOP_LIMIT:
        look_limit(sim, k, t, row, ts)
    else:
        take_market(sim, k, t, row, ts)


@kernel(store=False)
def stops_by_quote(sim: Sim, t: Ticks):
    """True when quotes trigger stops here: asked for, or a book where nothing ever trades."""
    c = sim.clock[0]
    p = t.place[0]
    return p["has_book"] == 1 and (
        c["trigger"] == BY_QUOTE or (c["trigger"] == BY_TRADE and p["n_trades"] == 0)
    )


@kernel(store=False)
def reference(sim: Sim, k, t: Ticks, side):
    """Price that triggers a stop of this side as of now: last trade, mark, or the quote; NaN without one."""
    c = sim.clock[0]
    p = t.place[0]
    if stops_by_quote(sim, t):
        best = best_against(t, EXCHANGE, side)
        return math.nan if is_none(best) else price_at(p, best)
    if c["trigger"] != BY_MARK:
        x = p["trade"]
        return price_at(p, t.trades[x - 1]["tick"]) if x > 0 else math.nan
    return sim.cursor[k]["mark_price"]


@kernel(store=False)
def look_stop(sim: Sim, k, t: Ticks, row, ts):
    """A stop arrives: reached already, it triggers at once."""
    order = sim.orders[row]
    price = reference(sim, k, t, order["side"])
    if not math.isnan(price):
        if order["kind"] == TRAILING and order["extreme"] == 0.0:
            order["extreme"] = price
        if reached(order["side"], trigger_level(sim, order), price):
            trigger(sim, k, t, row, ts)
            return
    if order["tif"] != GTC and order["tif"] != GTD:
        finish(sim, row, CANCELLED, R_IOC if order["tif"] == IOC else R_FOK, ts)


@kernel(store=False)
def look_book(sim: Sim, k, t: Ticks, row, ts):
    """The first look of an order at a book that is known."""
    order = sim.orders[row]
    order["seen_bar"] = 0
    if order["kind"] in (MARKET, CLOSE):
        take_market(sim, k, t, row, ts)
    elif is_stop_type(order):
        if order["parent"] == NONE:
            look_stop(sim, k, t, row, ts)
        # an exit waits for the prices after its entry's fill
    else:
        look_limit(sim, k, t, row, ts)


@kernel(store=False)
def watch_mark(sim: Sim, k, t: Ticks, ts):
    """Without a book, stops that watch the mark look at it when they arrive; all else waits for a trade."""
    if sim.clock[0]["trigger"] != BY_MARK:
        return
    for j in range(sim.clock[0]["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if order["instrument"] == k and order["seen_bar"] == NONE and is_live(order) and is_stop_type(order):
            order["seen_bar"] = 0
            if order["parent"] == NONE and order["triggered"] == 0:
                look_stop(sim, k, t, row, ts)


@kernel(store=False)
def look_fresh(sim: Sim, k, t: Ticks, ts):
    """Orders that came to be at the exchange, or waited for the book, look at it, by age."""
    if t.place[0]["has_book"] == 0:
        watch_mark(sim, k, t, ts)
        return
    if t.books[EXCHANGE]["message"] == 0:
        return
    c = sim.clock[0]
    n = c["n_live"]
    born = n
    for j in range(n):
        look_if_fresh(sim, k, t, sim.live[j], ts)
        while born < c["n_live"]:  # the exits it bears come before the next order
            look_if_fresh(sim, k, t, sim.live[born], ts)
            born += 1


@kernel(store=False)
def look_if_fresh(sim: Sim, k, t: Ticks, row, ts):
    """Let an order that has not looked at the book yet do so."""
    order = sim.orders[row]
    if order["instrument"] == k and order["seen_bar"] == NONE and is_live(order):
        touch(t, EXCHANGE)
        look_book(sim, k, t, row, ts)


@kernel(store=False)
def come_to(t: Ticks, ts):
    """Bring book and cursors to `ts`: the scan has passed these rows, or nothing rested."""
    p = t.place[0]
    catch_up(t, EXCHANGE, ts)
    touch(t, EXCHANGE)
    if p["fenced"] == 0 or p["resting"] == 0:
        p["message"] = max(p["message"], t.books[EXCHANGE]["message"])
    pass_trades(t, ts)


@kernel(store=False)
def pass_trades(t: Ticks, ts):
    """Bring the cursor of trades to `ts`, where nothing rests that waits for them."""
    p = t.place[0]
    if p["fenced"] == 1 and p["resting"] > 0:
        return
    x = p["trade"]
    while x < p["n_trades"] and t.trades[x]["ts"] <= ts:
        x += 1
    p["trade"] = x


@kernel(store=False)
def arrive_at_ticks(sim: Sim, row, ts):
    """A new order reaches an exchange that is seen by ticks."""
    if not admit(sim, row, ts):
        return
    sim.orders[row]["since"] = ts
    k = sim.orders[row]["instrument"]
    if sim.cursor[k]["ticks"] == 0:
        value_others(sim, k, ts)
        first_look(sim, row, ts, True)
        return
    t = ticks_at(sim.cursor[k]["ticks"])
    come_to(t, ts)
    look_fresh(sim, k, t, ts)


@kernel(store=False)
def amend_at_ticks(sim: Sim, j, ts):
    """New values for an order: a new price looks at the book anew, a larger quantity goes to the back."""
    row = sim.requests[j]["row"]
    order = sim.orders[row]
    k = order["instrument"]
    if sim.cursor[k]["ticks"] == 0:
        value_others(sim, k, ts)
        amend(sim, j, ts)
        return
    before = order["qty"]
    if change(sim, j, ts):
        order["seen_bar"] = NONE
        t = ticks_at(sim.cursor[k]["ticks"])
        come_to(t, ts)
        look_fresh(sim, k, t, ts)
    elif is_live(order) and order["qty"] > before and rests(order) and order["seen_bar"] != NONE:
        t = ticks_at(sim.cursor[k]["ticks"])
        if t.place[0]["has_book"] == 1:
            come_to(t, ts)
            join_queue(sim, t, row, ts)


@kernel(store=False)
def arrive_all(sim: Sim, ts):
    """`requests.arrive` for runs with tick streams."""
    c = sim.clock[0]
    before = c["n_requests"]
    while c["n_requests"] > 0:
        j = next_arrival(sim)
        request = sim.requests[j]
        if request["arrival_ts"] > ts:
            break
        if request["kind"] == 0:
            arrive_at_ticks(sim, request["row"], request["arrival_ts"])
        elif request["kind"] == CANCEL:
            cancel(sim, request["row"], ts)
        elif request["kind"] == AMEND:
            amend_at_ticks(sim, j, ts)
        else:
            cancel_all(sim, request["instrument"], ts)
        c["n_requests"] -= 1
        sim.requests[j] = sim.requests[c["n_requests"]]
    if c["n_requests"] < before:
        sweep(sim)
        sort_by_age(sim)
        loosen(sim)
