"""What a fill sets off: exits for an entry, the rest of a group, exits that lost their position."""

from __future__ import annotations

import math

from framework.engine.ledger import ceil_to, floor_to
from framework.engine.order import blank_order, finish, is_live, remaining
from framework.engine.state import AT_OPEN, Sim
from framework.jit import kernel
from framework.records import (
    BUY,
    CANCELLED,
    FILLED,
    LIMIT,
    NONE,
    OPEN,
    PENDING,
    R_CLOSED,
    R_GROUP,
    R_NONE,
    R_STOP,
    R_TARGET,
    R_TRAIL,
    STOP,
    TRAILING,
)


@kernel(store=False)
def add_child(sim: Sim, parent, kind, role, qty, price, trigger, trail, fill_price, ts, place):
    """Append one reduce-only exit order that is already at the exchange."""
    c = sim.clock[0]
    entry = sim.orders[parent]
    row = blank_order(sim, entry["instrument"], kind, -entry["side"])
    child = sim.orders[row]
    child["reduce_only"] = 1
    child["status"] = OPEN
    child["known"] = PENDING
    child["ts"] = ts
    child["arrival_ts"] = ts
    child["qty"] = qty
    child["price"] = price
    child["asked_price"] = price
    child["trigger"] = trigger
    child["asked_trigger"] = trigger
    child["trail"] = trail
    child["extreme"] = fill_price
    child["parent"] = parent
    child["role"] = role
    child["seen_bar"] = sim.cursor[entry["instrument"]]["fill_bar"]
    child["since"] = ts
    child["works_in"] = child["seen_bar"] if place == AT_OPEN and c["next_bar_exits"] == 0 else NONE
    sim.live[c["n_live"]] = row
    c["n_live"] += 1


@kernel(store=False)
def protect(sim: Sim, row, qty, price, ts, place):
    """Create (or enlarge) the exits of an entry for the quantity that opened."""
    entry = sim.orders[row]
    if math.isnan(entry["stop"]) and math.isnan(entry["target"]) and math.isnan(entry["trail"]):
        return
    grown = False
    for j in range(sim.clock[0]["n_live"]):
        child = sim.orders[sim.live[j]]
        if child["parent"] == row and is_live(child):
            child["qty"] += qty
            grown = True
    if grown:
        return
    rule = sim.rules[entry["instrument"]]
    if not math.isnan(entry["stop"]):
        add_child(sim, row, STOP, R_STOP, qty, math.nan, entry["stop"], math.nan, price, ts, place)
    if not math.isnan(entry["trail"]) and entry["kind"] != TRAILING:
        add_child(sim, row, TRAILING, R_TRAIL, qty, math.nan, math.nan, entry["trail"], price, ts, place)
    if not math.isnan(entry["target"]):
        level = entry["target"]
        if entry["side"] == BUY:
            level = ceil_to(level, rule["tick"], rule["tick_inv"])
        else:
            level = floor_to(level, rule["tick"], rule["tick_inv"])
        add_child(sim, row, LIMIT, R_TARGET, qty, level, math.nan, math.nan, price, ts, place)


@kernel(store=False)
def shrink_siblings(sim: Sim, row, qty, ts):
    """A bracket's exits share one quantity: what one fills the others lose."""
    parent = sim.orders[row]["parent"]
    whole = sim.orders[row]["status"] == FILLED
    for j in range(sim.clock[0]["n_live"]):
        other = sim.live[j]
        order = sim.orders[other]
        if other == row or order["parent"] != parent or not is_live(order):
            continue
        if not whole:
            order["qty"] -= qty
        if whole or remaining(order) == 0.0:
            finish(sim, other, CANCELLED, R_GROUP, ts)
    if is_live(sim.orders[parent]):
        finish(sim, parent, CANCELLED, R_GROUP, ts)  # the trade is over: its entry must not go on filling


@kernel(store=False)
def drop_group(sim: Sim, row, ts):
    """One cancels the other: the first fill ends the rest of a group."""
    group = sim.orders[row]["group"]
    for j in range(sim.clock[0]["n_live"]):
        other = sim.live[j]
        order = sim.orders[other]
        if other != row and order["group"] == group and order["role"] == R_NONE and is_live(order):
            finish(sim, other, CANCELLED, R_GROUP, ts)
    for j in range(sim.clock[0]["n_requests"]):
        request = sim.requests[j]
        if request["kind"] == 0 and request["row"] != row:
            order = sim.orders[request["row"]]
            if order["group"] == group and order["status"] == PENDING:
                order["dropped"] = 1


@kernel(store=False)
def drop_children(sim: Sim, k, ts):
    """Cancel every live bracket child of an instrument: a `close` takes its exits along."""
    for j in range(sim.clock[0]["n_live"]):
        child = sim.orders[sim.live[j]]
        if child["role"] != R_NONE and child["instrument"] == k and is_live(child):
            finish(sim, sim.live[j], CANCELLED, R_CLOSED, ts)


@kernel(store=False)
def after_fill(sim: Sim, row, qty, before, price, ts, place):
    """What a fill sets off: bracket children, the rest of its group, exits that lost their position."""
    c = sim.clock[0]
    order = sim.orders[row]
    k = order["instrument"]
    if order["role"] != R_NONE:
        shrink_siblings(sim, row, qty, ts)
    else:
        opened = qty
        if before != 0.0 and (before > 0.0) != (order["side"] == BUY):
            opened = qty - abs(before)  # what closed is no entry
        if opened > 1e-9 * qty:
            protect(sim, row, opened, price, ts, place)
        if order["group"] != 0 and order["n_fills"] == 1:
            drop_group(sim, row, ts)
    after = sim.account[k]["position"]
    if before != 0.0 and (after == 0.0 or (after > 0.0) != (before > 0.0)):
        for j in range(c["n_live"]):
            child = sim.orders[sim.live[j]]
            if child["role"] == R_NONE or child["instrument"] != k or not is_live(child):
                continue
            if after == 0.0 or (after > 0.0) == (child["side"] == BUY):
                finish(sim, sim.live[j], CANCELLED, R_CLOSED, ts)
