"""What a strategy holds: the same methods in compiled hooks and in plain Python.

Every method acts for instrument `i` of the tuple; `at(k)` is the broker of another one. Orders travel: a
method returns an id at once and never a fill.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from framework.arena import facade, twin
from framework.engine.latency import latency_row
from framework.engine.ledger import ceil_to, equity_of, floor_to, nearest
from framework.engine.requests import send
from framework.engine.state import E_ARGUMENT, E_TOO_MANY, Sim
from framework.jit import kernel
from framework.records import (
    AMEND,
    BUY,
    CANCEL,
    CANCEL_ALL,
    CLOSE,
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


class Broker(NamedTuple):
    """All arrays of the run, and the instrument this broker acts for."""

    sim: Sim
    i: int


broker_of = facade(Broker)


def position(broker: Broker):
    """Signed position of this instrument as the strategy knows it (lots x lot size)."""
    return broker.sim.account[broker.sim.clock[0]["n"] + broker.i]["position"]


def entry_price(broker: Broker):
    """Average entry price of the known position; 0 when flat."""
    return broker.sim.account[broker.sim.clock[0]["n"] + broker.i]["entry"]


def now(broker: Broker):
    """Local time of the event being handled, ns UTC."""
    return broker.sim.clock[0]["now"]


def equity(broker: Broker):
    """Account equity as the strategy knows it, marked at the last closes seen."""
    return equity_of(broker.sim, 1)


def cash(broker: Broker):
    """Wallet balance as the strategy knows it."""
    return broker.sim.total[1]["cash"]


def price(broker: Broker):
    """Last close of this instrument the strategy has seen; 0 before the first."""
    return broker.sim.account[broker.sim.clock[0]["n"] + broker.i]["mark"]


@kernel(store=False)
def open_orders(sim: Sim, k):
    """Number of orders of this instrument believed to be working."""
    count = 0
    for j in range(sim.clock[0]["n_mine"]):
        if sim.orders[sim.mine[j]]["instrument"] == k:
            count += 1
    return count


def orders(broker: Broker):
    """Number of this instrument's orders that are not known to be final."""
    return open_orders(broker.sim, broker.i)


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
    return ts + sim.latency[latency_row(sim, k, ts)]["order"]


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
    """Append an order row with every field at its neutral value."""
    c = sim.clock[0]
    row = c["n_orders"]
    o = sim.orders[row]
    o["id"] = c["next_id"]
    o["instrument"] = k
    o["kind"] = kind
    o["side"] = side
    o["status"] = PENDING
    o["known"] = OPEN
    o["ts"] = c["now"]
    o["arrival_ts"] = arrival_of(sim, k)
    o["end_ts"] = NEVER
    o["expire_ts"] = NEVER
    o["last_fill_ts"] = NEVER
    o["asked_qty"] = qty
    o["asked_price"] = price
    o["qty"] = qty
    o["share"] = share
    o["price"] = price
    o["trigger"] = NAN
    o["stop"] = NAN
    o["target"] = NAN
    o["trail"] = NAN
    o["parent"] = NONE
    o["seen_bar"] = NONE
    o["works_in"] = NONE
    c["n_orders"] += 1
    c["next_id"] += 1
    sim.mine[c["n_mine"]] = row
    c["n_mine"] += 1
    return row


@kernel(store=False)
def place(
    sim: Sim, k, side, qty, share, price, trigger, stop, target, trail, tif, post_only, reduce_only, group,
    expire_ts,
):
    """Quantise by the venue's rules (rules.md 6.2) and send a new order; returns its id, 0 if the call is
    wrong.
    """
    c = sim.clock[0]
    if not has_room(sim):
        return 0
    one_size = math.isnan(qty) != math.isnan(share) and not math.isinf(qty) and not math.isinf(share)
    if (side != BUY and side != SELL) or not one_size:
        c["error"] = E_ARGUMENT
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
        o["trigger"] = nearest(trigger, rule["tick"], rule["tick_inv"])
    if not math.isnan(stop):
        o["stop"] = nearest(stop, rule["tick"], rule["tick_inv"])
    if not math.isnan(target):
        o["target"] = target
    if not math.isnan(trail):
        o["trail"] = max(nearest(trail, rule["tick"], rule["tick_inv"]), rule["tick"])
    o["tif"] = GTD if expire_ts < NEVER else tif
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
    """Row of an order id, NONE when there is none. Ids are handed out in row order."""
    low = 0
    high = sim.clock[0]["n_orders"]
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
    send(sim, CANCEL, row, k, 0, arrival_of(sim, k), NAN, NAN, NAN, NAN, NAN)


@kernel(store=False)
def send_cancel_all(sim: Sim, k):
    """Send a cancel of everything but bracket exits."""
    if has_room(sim):
        send(sim, CANCEL_ALL, NONE, k, 0, arrival_of(sim, k), NAN, NAN, NAN, NAN, NAN)


@kernel(store=False)
def send_amend(sim: Sim, order_id, qty, price, trigger, stop, target):
    """Send new values for an order; nothing when it is known to be final."""
    row = row_of(sim, order_id)
    if row == NONE or sim.orders[row]["known"] > OPEN or not has_room(sim):
        return
    o = sim.orders[row]
    k = o["instrument"]
    rule = sim.rules[k]
    if not math.isnan(qty):
        qty = floor_to(qty, rule["lot"], rule["lot_inv"])
    if not math.isnan(price):
        price = passive(rule, o["side"], price)
    if not math.isnan(trigger):
        trigger = nearest(trigger, rule["tick"], rule["tick_inv"])
    if not math.isnan(stop):
        stop = nearest(stop, rule["tick"], rule["tick_inv"])
    send(sim, AMEND, row, k, 1, arrival_of(sim, k), qty, price, trigger, stop, target)


@kernel(store=False)
def feature_value(sim: Sim, index):
    """Value of a feature stream known now; NaN before its first row."""
    now = sim.clock[0]["now"]
    span = sim.spans[index]
    while span["at"] < span["end"] and sim.features[span["at"]]["ts"] <= now:
        span["at"] += 1
    return sim.features[span["at"] - 1]["value"] if span["at"] > span["first"] else NAN


def order(
    broker: Broker, side, qty=NAN, share=NAN, price=NAN, trigger=NAN, stop=NAN, target=NAN, trail=NAN, tif=0,
    post_only=False, reduce_only=False, group=0, expire_ts=NEVER,
):
    """Send an order for `qty` or a `share` of free equity; see `framework.strategy.Broker.order`."""
    return place(
        broker.sim, broker.i, side, qty, share, price, trigger, stop, target, trail, tif, post_only,
        reduce_only, group, expire_ts,
    )


def buy(
    broker: Broker, qty=NAN, share=NAN, price=NAN, trigger=NAN, stop=NAN, target=NAN, trail=NAN, tif=0,
    post_only=False, reduce_only=False, group=0, expire_ts=NEVER,
):
    """`order` with side +1."""
    return place(
        broker.sim, broker.i, 1, qty, share, price, trigger, stop, target, trail, tif, post_only, reduce_only,
        group, expire_ts,
    )


def sell(
    broker: Broker, qty=NAN, share=NAN, price=NAN, trigger=NAN, stop=NAN, target=NAN, trail=NAN, tif=0,
    post_only=False, reduce_only=False, group=0, expire_ts=NEVER,
):
    """`order` with side -1."""
    return place(
        broker.sim, broker.i, -1, qty, share, price, trigger, stop, target, trail, tif, post_only,
        reduce_only, group, expire_ts,
    )


def close(broker: Broker):
    """Close the position, whatever it is when the order arrives, and cancel its bracket exits."""
    return place_close(broker.sim, broker.i)


def cancel(broker: Broker, order_id):
    """Cancel one order by id."""
    send_cancel(broker.sim, order_id)


def cancel_all(broker: Broker):
    """Cancel every working order of this instrument; bracket exits stay."""
    send_cancel_all(broker.sim, broker.i)


def amend(broker: Broker, order_id, qty=NAN, price=NAN, trigger=NAN, stop=NAN, target=NAN):
    """Replace quantity, price, trigger or bracket levels of a working order."""
    send_amend(broker.sim, order_id, qty, price, trigger, stop, target)


def feature(broker: Broker, index):
    """Value of the strategy's `features[index]` known now; NaN before the first."""
    return feature_value(broker.sim, index)


def at(broker: Broker, instrument):
    """Return the broker of another instrument (its index in `Market.instruments`)."""
    return broker_of(broker.sim, instrument)


for _function in (order, buy, sell, close, cancel, cancel_all, amend, at, feature):
    twin(Broker, _function.__name__, _function)
for _function in (position, entry_price, now, equity, cash, price, orders):
    twin(Broker, _function.__name__, _function, is_property=True)
