"""Taking liquidity from a book: how much there is, how much a share buys, and the walk itself."""

from __future__ import annotations

import math

from framework.engine.book import best_against, catch_up, is_none, level, next_level, set_level, touch
from framework.engine.fills import closing_qty, complete, free_equity, reducing_qty
from framework.engine.ledger import floor_to, grid_value, notional
from framework.engine.order import finish, is_live, remaining
from framework.engine.state import AT_OPEN, Sim
from framework.engine.ticks import EXCHANGE, NO_TICK, Ticks, ticks_at
from framework.jit import kernel
from framework.records import (
    BUY,
    CANCELLED,
    CLOSE,
    FOK,
    INVERSE,
    IOC,
    R_DEPTH,
    R_FOK,
    R_IOC,
    R_LOT,
    R_MARGIN,
    REJECTED,
)


@kernel(store=False)
def tick_of(p, price):
    """Tick of a price on the grid."""
    return math.floor((price * p["tick_inv"] if p["tick_inv"] > 0.0 else price / p["tick"]) + 0.5)


@kernel(store=False)
def lots_of(p, qty):
    """Whole lots of a quantity on the grid."""
    return math.floor((qty * p["lot_inv"] if p["lot_inv"] > 0.0 else qty / p["lot"]) + 0.5)


@kernel(store=False)
def price_at(p, tick):
    """Price of a tick."""
    return grid_value(float(tick), p["tick"], p["tick_inv"])


@kernel(store=False)
def qty_of(p, lots):
    """Quantity of a number of lots."""
    return grid_value(float(lots), p["lot"], p["lot_inv"])


@kernel(store=False)
def blank_bar(sim: Sim, k):
    """The row that stands for a bar in fills of instrument k."""
    return sim.bars[sim.cursor[k]["bar_first"]]


@kernel(store=False)
def middle(t: Ticks, s, x, entry):
    """Mid price of book `s` as of its last rows, one side's price where the other is empty; an empty book is
    worth the last of the `x` trades so far, before any the entry price.
    """
    touch(t, s)
    b = t.books[s]
    p = t.place[0]
    if is_none(b["bid"]) and is_none(b["ask"]):
        return price_at(p, t.trades[x - 1]["tick"]) if x > 0 else entry
    if is_none(b["bid"]):
        return price_at(p, b["ask"])
    if is_none(b["ask"]):
        return price_at(p, b["bid"])
    return 0.5 * (price_at(p, b["bid"]) + price_at(p, b["ask"]))


@kernel(store=False)
def trades_until(t: Ticks, bound):
    """Count the trades of stamps <= `bound`."""
    p = t.place[0]
    x = p["trade"]
    while x < p["n_trades"] and t.trades[x]["ts"] <= bound:
        x += 1
    while x > 0 and t.trades[x - 1]["ts"] > bound:
        x -= 1
    if p["fenced"] == 1 and p["resting"] == 0:
        p["trade"] = x  # no own order waits for the trades before
    return x


@kernel(store=False)
def value_at(sim: Sim, j, bound):
    """Value instrument j of tick streams by its rows of stamps <= `bound`, on the exchange side."""
    value_by(sim, j, bound, bound)


@kernel(store=False)
def value_by(sim: Sim, j, messages, trades):
    """Value instrument j by its messages and its trades up to a stamp each."""
    t = ticks_at(sim.cursor[j]["ticks"])
    held = sim.account[j]
    x = trades_until(t, trades)
    if t.place[0]["has_book"] == 1:
        catch_up(t, EXCHANGE, messages)
        held["mark"] = middle(t, EXCHANGE, x, held["entry"])
    elif x > 0:
        held["mark"] = price_at(t.place[0], t.trades[x - 1]["tick"])


@kernel(store=False)
def value_others(sim: Sim, k, ts):
    """Value every other instrument of tick streams by the rows that have happened, before k fills."""
    c = sim.clock[0]
    for j in range(c["n"]):
        if j == k or sim.cursor[j]["ticks"] == 0 or sim.account[j]["position"] == 0.0:
            continue
        # at one stamp all trades come before all messages, and both by Market order
        trades = ts if c["phase"] > 0 or j < k else ts - 1
        messages = ts if c["phase"] == 2 or (c["phase"] == 1 and j < k) else ts - 1
        value_by(sim, j, messages, trades)


@kernel(store=False)
def within(side, limit, tick):
    """True when a level at `tick` is no worse than `limit` for an order of this side."""
    return tick <= limit if side == BUY else tick >= limit


@kernel(store=False)
def holds(t: Ticks, side, limit, lots):
    """True when the levels up to `limit` hold `lots`."""
    is_ask = 1 if side == BUY else 0
    tick = best_against(t, EXCHANGE, side)
    found = 0
    while not is_none(tick) and within(side, limit, tick):
        found += level(t, EXCHANGE, 2 * tick + is_ask)
        if found >= lots:
            return True
        tick = next_level(t, EXCHANGE, is_ask, tick + side)
    return False


@kernel(store=False)
def bought_for(rule, budget, price):
    """Quantity a budget buys at one price, on the lot grid."""
    if rule["kind"] == INVERSE:
        return floor_to(budget * price / rule["multiplier"], rule["lot"], rule["lot_inv"])
    return floor_to(budget / (price * rule["multiplier"]), rule["lot"], rule["lot_inv"])


@kernel(store=False)
def share_of_book(sim: Sim, k, t: Ticks, row, limit):
    """Set the quantity of a share: its budget spent level by level, what is left at the limit itself."""
    order = sim.orders[row]
    rule = sim.rules[k]
    p = t.place[0]
    side = order["side"]
    is_ask = 1 if side == BUY else 0
    leverage = sim.clock[0]["leverage"]
    free = free_equity(sim)
    budget = order["share"] * free * leverage / (1.0 + rule["taker"])
    if order["share"] <= 1.0:
        budget = min(budget, free * leverage / (1.0 + leverage * rule["taker"]))
    tick = best_against(t, EXCHANGE, side)
    lots = 0
    rest = budget
    while not is_none(tick) and within(side, limit, tick):
        price = price_at(p, tick)
        have = level(t, EXCHANGE, 2 * tick + is_ask)
        could = lots_of(p, bought_for(rule, rest, price))
        took = could if sim.clock[0]["whole"] == 1 else min(have, could)
        lots += took
        rest -= notional(rule["kind"], rule["multiplier"], qty_of(p, took), price)
        if took == could and (could < have or sim.clock[0]["whole"] == 1):
            break
        tick = next_level(t, EXCHANGE, is_ask, tick + side)
        if (is_none(tick) or not within(side, limit, tick)) and abs(limit) < NO_TICK:
            lots += lots_of(p, bought_for(rule, rest, price_at(p, limit)))  # it will rest there
    order["qty"] = qty_of(p, lots)
    return free


@kernel(store=False)
def sized(sim: Sim, k, t: Ticks, row, limit, ts):
    """Quantity a taker wants now, 0 when it ended here instead."""
    order = sim.orders[row]
    if order["kind"] == CLOSE:
        return closing_qty(sim, row, ts)
    if math.isnan(order["qty"]):
        free = share_of_book(sim, k, t, row, limit)
        if order["qty"] <= 0.0:
            finish(sim, row, REJECTED, R_LOT if free > 0.0 else R_MARGIN, ts)
            return 0.0
    return reducing_qty(sim, row, ts)


@kernel(store=False)
def walk(sim: Sim, k, t: Ticks, row, limit, ts):
    """Take level by level up to `limit`; what is taken is gone until the feed changes the level."""
    order = sim.orders[row]
    p = t.place[0]
    side = order["side"]
    is_ask = 1 if side == BUY else 0
    bar = blank_bar(sim, k)
    tick = best_against(t, EXCHANGE, side)
    first = price_at(p, tick)
    whole = sim.clock[0]["whole"] == 1
    while is_live(order) and not is_none(tick) and within(side, limit, tick):
        rest = remaining(order)
        have = level(t, EXCHANGE, 2 * tick + is_ask)
        want = lots_of(p, rest)
        qty = rest if whole or have >= want else qty_of(p, have)
        price = price_at(p, tick)
        sim.account[k]["mark"] = price
        done = complete(sim, row, qty, first, price, ts, bar, False, False, AT_OPEN)
        if not whole:
            set_level(t, EXCHANGE, 2 * tick + is_ask, have - lots_of(p, done))
        if is_live(order):
            tick = next_level(t, EXCHANGE, is_ask, tick + side)
    touch(t, EXCHANGE)


@kernel(store=False)
def take_book(sim: Sim, k, t: Ticks, row, limit, at_any_price, ts):
    """Take what the time in force allows, up to tick `limit` or at any price."""
    order = sim.orders[row]
    if order["kind"] == CLOSE and closing_qty(sim, row, ts) <= 0.0:  # names its side
        return
    side = order["side"]
    if at_any_price:
        limit = side * NO_TICK
    value_others(sim, k, ts)
    best = best_against(t, EXCHANGE, side)
    if is_none(best):
        finish(sim, row, CANCELLED, gone_reason(order["tif"]), ts)
        return
    sim.account[k]["mark"] = price_at(t.place[0], best)
    qty = sized(sim, k, t, row, limit, ts)
    if qty <= 0.0:
        return
    kills = order["tif"] == FOK and sim.clock[0]["whole"] == 0
    if kills and not holds(t, side, limit, lots_of(t.place[0], qty)):
        finish(sim, row, CANCELLED, R_FOK, ts)
        return
    walk(sim, k, t, row, limit, ts)


@kernel(store=False)
def gone_reason(tif):
    """Why the rest of a taker ends when nothing is left to take."""
    if tif == IOC:
        return R_IOC
    return R_FOK if tif == FOK else R_DEPTH


@kernel(store=False)
def take_market(sim: Sim, k, t: Ticks, row, ts):
    """Let a market order (or a triggered stop) take; what the book does not hold is cancelled."""
    order = sim.orders[row]
    take_book(sim, k, t, row, 0, True, ts)
    if is_live(order):
        finish(sim, row, CANCELLED, gone_reason(order["tif"]), ts)
