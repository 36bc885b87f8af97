"""An order meets one price: an open, or the close it was decided at."""

from __future__ import annotations

from framework.engine.fills import execute, volume_left, wanted
from framework.engine.order import finish, is_live, is_stop_type, marketable, reached, trigger_level
from framework.engine.state import AT_CLOSE, AT_OPEN, Sim
from framework.jit import kernel
from framework.records import (
    BUY,
    CANCELLED,
    CLOSE,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    NONE,
    R_FOK,
    R_IOC,
    R_POST_ONLY,
    R_STOP,
    R_TARGET,
    REJECTED,
    STOP_LIMIT,
    TRAILING,
)


@kernel(store=False)
def touched(sim: Sim, order, bar):
    """True when the bar's range reaches the order's level."""
    buys = order["side"] == BUY
    if is_stop_type(order):
        return reached(order["side"], trigger_level(sim, order), bar["high"] if buys else bar["low"])
    return marketable(order["side"], order["price"], bar["low"] if buys else bar["high"])


@kernel(store=False)
def stopped_in_bar(sim: Sim, order, bar):
    """True for a target whose bracket's stop this bar touches."""
    if order["role"] != R_TARGET:
        return False
    for j in range(sim.clock[0]["n_live"]):
        other = sim.orders[sim.live[j]]
        if other["parent"] == order["parent"] and other["role"] == R_STOP and is_live(other):
            return touched(sim, other, bar)
    return False


@kernel(store=False)
def fill_whole_or_kill(sim: Sim, row, price, ts, bar, slips, place):
    """Fill-or-kill: fill the whole rest now, or cancel it."""
    order = sim.orders[row]
    sim.account[order["instrument"]]["mark"] = price
    qty = wanted(sim, row, price, bar, ts)
    if qty <= 0.0:
        return
    if volume_left(sim, order["instrument"], qty, bar) < qty:
        finish(sim, row, CANCELLED, R_FOK, ts)
        return
    execute(sim, row, price, ts, bar, False, slips, place)
    if is_live(order):
        finish(sim, row, CANCELLED, R_FOK, ts)


@kernel(store=False)
def take(sim: Sim, row, price, ts, bar, slips, place):
    """Take liquidity at `price` under the order's time in force."""
    order = sim.orders[row]
    if order["tif"] == FOK:
        fill_whole_or_kill(sim, row, price, ts, bar, slips, place)
        return
    execute(sim, row, price, ts, bar, False, slips, place)
    if order["tif"] == IOC and is_live(order):
        finish(sim, row, CANCELLED, R_IOC, ts)


@kernel(store=False)
def look_limit(sim: Sim, row, price, ts, bar, first, place):
    """Test a limit against one price: the open, or the close it was decided at."""
    order = sim.orders[row]
    if marketable(order["side"], order["price"], price):
        if first and order["post_only"] == 1:
            finish(sim, row, REJECTED, R_POST_ONLY, ts)
        elif first:
            take(sim, row, price, ts, bar, False, place)
        elif sim.clock[0]["limit_slips"] == 1 and price != order["price"]:
            paid = price * (1.0 + order["side"] * sim.clock[0]["slippage"])
            paid = min(paid, order["price"]) if order["side"] == BUY else max(paid, order["price"])
            execute(sim, row, paid, ts, bar, False, False, place)
        else:
            execute(sim, row, price, ts, bar, price == order["price"], False, place)
    elif first and order["tif"] == IOC:
        finish(sim, row, CANCELLED, R_IOC, ts)
    elif first and order["tif"] == FOK:
        finish(sim, row, CANCELLED, R_FOK, ts)


@kernel(store=False)
def look(sim: Sim, row, price, ts, bar, bar_row, place):
    """Test any order against one price; its first look also decides IOC, FOK, post-only."""
    order = sim.orders[row]
    first = order["seen_bar"] == NONE
    order["seen_bar"] = bar_row if first else order["seen_bar"]
    if place == AT_OPEN:
        order["works_in"] = bar_row
    kind = order["kind"]
    if kind in (MARKET, CLOSE) or (order["triggered"] == 1 and kind != STOP_LIMIT):
        take(sim, row, price, ts, bar, True, place)
        return
    if kind == LIMIT or (kind == STOP_LIMIT and order["triggered"] == 1):
        look_limit(sim, row, price, ts, bar, first, place)
        return
    if kind == TRAILING and first and order["extreme"] == 0.0:
        order["extreme"] = price
    if reached(order["side"], trigger_level(sim, order), price):
        order["triggered"] = 1
        if kind == STOP_LIMIT:
            look_limit(sim, row, price, ts, bar, True, place)
        else:
            take(sim, row, price, ts, bar, sim.clock[0]["stop_at_level"] == 0, place)
    elif first and order["tif"] != GTC and order["tif"] != GTD:
        finish(sim, row, CANCELLED, R_IOC if order["tif"] == IOC else R_FOK, ts)


@kernel(store=False)
def is_recent(sim: Sim, bar, stamp, ts):
    """True while a price of `stamp` may still be had: within the grace share of the bar's length."""
    return ts - stamp <= sim.clock[0]["grace"] * (bar["close_ts"] - bar["open_ts"])


@kernel(store=False)
def join(sim: Sim, row, ts):
    """Let an order meet the open of the bar under way, if that is recent; True when it did."""
    order = sim.orders[row]
    cur = sim.cursor[order["instrument"]]
    if cur["opened"] == 0 or not is_live(order):
        return False
    bar = sim.bars[cur["bar"]]
    if not is_recent(sim, bar, bar["open_ts"], ts):
        return False
    if sim.clock[0]["stop_first"] == 1 and stopped_in_bar(sim, order, bar):
        return True
    cur["fill_bar"] = cur["bar"]
    look(sim, row, bar["open"], ts, bar, cur["bar"], AT_OPEN)
    return True


@kernel(store=False)
def join_close(sim: Sim, row, ts):
    """Fills(at="close"): let an order meet the last close, if that is recent, and then the open that followed
    it.
    """
    c = sim.clock[0]
    cur = sim.cursor[sim.orders[row]["instrument"]]
    last = cur["bar"] - 1
    if last < cur["bar_first"]:
        return False
    bar = sim.bars[last]
    if not is_recent(sim, bar, bar["close_ts"], ts):
        return False
    cur["fill_bar"] = last
    look(sim, row, bar["close"], ts, bar, last, AT_CLOSE)
    n = c["n_live"]
    join(sim, row, ts)
    for j in range(n):
        child = sim.live[j]
        if sim.orders[child]["parent"] == row and sim.orders[child]["works_in"] != cur["bar"]:
            join(sim, child, ts)
    return True


@kernel(store=False)
def first_look(sim: Sim, row, ts, counts):
    """An order has just arrived: look at once where the grace allows, else wait."""
    c = sim.clock[0]
    met = join_close(sim, row, ts) if c["at_close"] == 1 else join(sim, row, ts)
    order = sim.orders[row]
    takes = order["kind"] in (MARKET, CLOSE)
    if not met and counts and takes and sim.cursor[order["instrument"]]["opened"] == 1:
        c["late"] += 1
