"""From a hook's call to a request on its way: checked, put on the venue's grid, sent."""

from __future__ import annotations

import math

from framework.engine.latency import order_latency
from framework.engine.ledger import ceil_to, floor_to, nearest
from framework.engine.order import blank_order
from framework.engine.requests import send
from framework.engine.state import E_ARGUMENT, E_NUMBER, E_TOO_MANY, Sim
from framework.jit import kernel
from framework.records import (
    AMEND,
    BUY,
    CANCEL,
    CANCEL_ALL,
    CLOSE,
    GTC,
    GTD,
    LIMIT,
    MARKET,
    NEVER,
    NONE,
    OPEN,
    PENDING,
    SELL,
    STOP,
    STOP_LIMIT,
    TRAILING,
)

NAN = math.nan
UNSET = -math.inf  # what a hook left out; a NaN it passed is a mistake


@kernel(store=False)
def has_room(sim: Sim):
    """Check that a hook has not sent more orders than the tables hold."""
    c = sim.clock[0]
    if c["n_orders"] + 8 > c["room_orders"] or max(c["n_requests"], c["n_mine"]) + 8 > c["room_lists"]:
        c["error"] = E_TOO_MANY
        return False
    return True


@kernel(store=False)
def arrival_of(sim: Sim, k):
    """Time at which something sent now reaches the exchange."""
    ts = sim.clock[0]["now"]
    return ts + order_latency(sim, k, ts)


@kernel(store=False)
def given(c, value, argument):
    """A number a hook passed, NaN where it left it out; passing NaN or infinity itself ends the run."""
    if value == UNSET:
        return NAN
    if math.isnan(value) or math.isinf(value):
        c["error"] = E_NUMBER + argument
    return value


@kernel(store=False)
def kind_of(price, trigger, trail, reduce_only):
    """Order kind from what was given. A trail on a reduce-only order is the order itself, else an exit of its
    entry.
    """
    if not math.isnan(price):
        return LIMIT if math.isnan(trigger) else STOP_LIMIT
    if not math.isnan(trigger):
        return STOP
    return TRAILING if reduce_only and not math.isnan(trail) else MARKET


@kernel(store=False)
def passive(rule, side, price):
    """Limit price on the grid, rounded away from the market."""
    if side == BUY:
        return floor_to(price, rule["tick"], rule["tick_inv"])
    return ceil_to(price, rule["tick"], rule["tick_inv"])


@kernel(store=False)
def new_row(sim: Sim, k, kind, side, qty, share, price):
    """Append the row of an order that is about to travel, and list it as the strategy's."""
    c = sim.clock[0]
    row = blank_order(sim, k, kind, side)
    o = sim.orders[row]
    o["status"] = PENDING
    o["known"] = OPEN
    o["ts"] = c["now"]
    o["arrival_ts"] = arrival_of(sim, k)
    o["asked_qty"] = qty
    o["asked_price"] = price
    o["qty"] = qty
    o["share"] = share
    o["price"] = price
    sim.mine[c["n_mine"]] = row
    c["n_mine"] += 1
    return row


@kernel(store=False)
def place(
    sim: Sim, k, side, qty, share, price, trigger, stop, target, trail, tif, post_only, reduce_only, group,
    expire_ts,
):
    """Quantise by the venue's rules and send a new order; returns its id, 0 if the call is wrong."""
    c = sim.clock[0]
    if not has_room(sim):
        return 0
    qty = given(c, qty, 0)
    share = given(c, share, 1)
    price = given(c, price, 2)
    trigger = given(c, trigger, 3)
    stop = given(c, stop, 4)
    target = given(c, target, 5)
    trail = given(c, trail, 6)
    if trail <= 0.0:
        c["error"] = E_NUMBER + 6
    is_sized = math.isnan(qty) != math.isnan(share)
    is_known = GTC <= tif <= GTD and (tif != GTD or expire_ts < NEVER)
    if (side != BUY and side != SELL) or not is_sized or not is_known:
        c["error"] = E_ARGUMENT if c["error"] == 0 else c["error"]
        return 0
    rule = sim.rules[k]
    kind = kind_of(price, trigger, trail, reduce_only)
    row = new_row(sim, k, kind, side, qty, share, price)
    o = sim.orders[row]
    if not math.isnan(qty):
        o["qty"] = max(floor_to(qty, rule["lot"], rule["lot_inv"]), 0.0)
    if not math.isnan(price):
        o["price"] = passive(rule, side, price)
    if not math.isnan(trigger):
        o["asked_trigger"] = trigger
        o["trigger"] = nearest(trigger, rule["tick"], rule["tick_inv"])
    if not math.isnan(stop):
        o["stop"] = nearest(stop, rule["tick"], rule["tick_inv"])
    if not math.isnan(target):
        o["target"] = target
    if not math.isnan(trail):
        o["trail"] = max(nearest(trail, rule["tick"], rule["tick_inv"]), rule["tick"])
    o["tif"] = GTD if expire_ts < NEVER and tif == GTC else tif
    o["post_only"] = 1 if post_only else 0
    o["reduce_only"] = 1 if reduce_only else 0
    o["group"] = group
    o["expire_ts"] = expire_ts
    send(sim, 0, row, k, 0 if reduce_only else 1, o["arrival_ts"], NAN, NAN, NAN, NAN, NAN)
    return o["id"]


@kernel(store=False)
def place_close(sim: Sim, k):
    """Send a close of the whole position at the exchange when it arrives."""
    if not has_room(sim):
        return 0
    row = new_row(sim, k, CLOSE, 0, NAN, NAN, NAN)
    o = sim.orders[row]
    o["reduce_only"] = 1
    send(sim, 0, row, k, 0, o["arrival_ts"], NAN, NAN, NAN, NAN, NAN)
    return o["id"]


@kernel(store=False)
def row_of(sim: Sim, order_id):
    """Row of an order id, NONE when there is none. Ids are handed out in row order, mostly without a gap."""
    low = 0
    high = sim.clock[0]["n_orders"]
    if high > 0:
        row = order_id - sim.orders[0]["id"]
        if 0 <= row < high and sim.orders[row]["id"] == order_id:
            return row
    while low < high:
        middle = (low + high) // 2
        if sim.orders[middle]["id"] < order_id:
            low = middle + 1
        else:
            high = middle
    if low < sim.clock[0]["n_orders"] and sim.orders[low]["id"] == order_id:
        return low
    return NONE


@kernel(store=False)
def send_cancel(sim: Sim, order_id):
    """Send a cancel; nothing when the order is known to be final."""
    row = row_of(sim, order_id)
    if row == NONE or sim.orders[row]["known"] > OPEN or not has_room(sim):
        return
    k = sim.orders[row]["instrument"]
    send(sim, CANCEL, row, k, -1, arrival_of(sim, k), NAN, NAN, NAN, NAN, NAN)


@kernel(store=False)
def send_cancel_all(sim: Sim, k):
    """Send a cancel of everything but bracket exits."""
    if has_room(sim):
        send(sim, CANCEL_ALL, NONE, k, -1, arrival_of(sim, k), NAN, NAN, NAN, NAN, NAN)


@kernel(store=False)
def send_amend(sim: Sim, order_id, qty, price, trigger, stop, target):
    """Send new values for an order; nothing when it is known to be final."""
    row = row_of(sim, order_id)
    if row == NONE or sim.orders[row]["known"] > OPEN or not has_room(sim):
        return
    o = sim.orders[row]
    k = o["instrument"]
    rule = sim.rules[k]
    c = sim.clock[0]
    qty = given(c, qty, 0)
    price = given(c, price, 2)
    trigger = given(c, trigger, 3)
    stop = given(c, stop, 4)
    target = given(c, target, 5)
    if not math.isnan(qty):
        qty = floor_to(qty, rule["lot"], rule["lot_inv"])
    if not math.isnan(price):
        price = passive(rule, o["side"], price)
    if not math.isnan(trigger):
        trigger = nearest(trigger, rule["tick"], rule["tick_inv"])
    if not math.isnan(stop):
        stop = nearest(stop, rule["tick"], rule["tick_inv"])
    send(sim, AMEND, row, k, -1, arrival_of(sim, k), qty, price, trigger, stop, target)
