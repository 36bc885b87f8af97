"""What the strategy sent and when it reaches the exchange: new orders, cancels, amends."""

from __future__ import annotations

import math

from framework.engine.ledger import notional
from framework.engine.look import first_look
from framework.engine.matching import sweep
from framework.engine.order import finish, is_live
from framework.engine.state import Sim
from framework.jit import kernel
from framework.records import (
    AMEND,
    CANCEL,
    CANCELLED,
    EXPIRED,
    LIMIT,
    MARKET,
    NEVER,
    NONE,
    OPEN,
    PENDING,
    R_BUST_ACCOUNT,
    R_CANCEL,
    R_EXPIRED,
    R_GROUP,
    R_LOT,
    R_NONE,
    R_NOTIONAL,
    R_POST_ONLY,
    R_PRICE,
    REJECTED,
    STOP_LIMIT,
)


@kernel(store=False)
def next_arrival(sim: Sim):
    """Index of the request that reaches the exchange first, NONE without any."""
    best = NONE
    for j in range(sim.clock[0]["n_requests"]):
        if best == NONE or comes_first(sim.requests[j], sim.requests[best]):
            best = j
    return best


@kernel(store=False)
def send_script(sim: Sim):
    """Send the scripted requests decided by now; like a strategy's, they leave after the rows of their time.
    """
    c = sim.clock[0]
    while c["script"] < c["script_end"] and sim.script[c["script"]]["ts"] <= c["now"]:
        sim.requests[c["n_requests"]] = sim.script[c["script"]]
        c["n_requests"] += 1
        c["script"] += 1


@kernel(store=False)
def comes_first(one, two):
    """Order of requests: arrival, then as sent, but exits before entries where no cancel lies between."""
    if one["arrival_ts"] != two["arrival_ts"]:
        return one["arrival_ts"] < two["arrival_ts"]
    if one["segment"] != two["segment"]:
        return one["segment"] < two["segment"]
    if one["rank"] != two["rank"]:
        return one["rank"] < two["rank"]
    return one["sequence"] < two["sequence"]


@kernel(store=False)
def arrive(sim: Sim, ts):
    """Let every request that is due at `ts` act."""
    c = sim.clock[0]
    before = c["n_requests"]
    while c["n_requests"] > 0:
        j = next_arrival(sim)
        request = sim.requests[j]
        if request["arrival_ts"] > ts:
            break
        if request["kind"] == 0:
            accept(sim, request["row"], request["arrival_ts"])
        elif request["kind"] == CANCEL:
            cancel(sim, request["row"], ts)
        elif request["kind"] == AMEND:
            amend(sim, j, ts)
        else:
            cancel_all(sim, request["instrument"], ts)
        c["n_requests"] -= 1
        sim.requests[j] = sim.requests[c["n_requests"]]
    if c["n_requests"] < before:
        sweep(sim)


@kernel(store=False)
def refusal(sim: Sim, order):
    """Reason to reject an order at its arrival, R_NONE if there is none."""
    if sim.clock[0]["bust"] == 1:
        return R_BUST_ACCOUNT
    if not math.isnan(order["qty"]) and order["qty"] <= 0.0 and order["kind"] <= 4:
        return R_LOT
    if (order["price"] <= 0.0) or (order["trigger"] <= 0.0):
        return R_PRICE
    limits = order["kind"] == LIMIT or order["kind"] == STOP_LIMIT
    if order["post_only"] == 1 and not limits:
        return R_POST_ONLY
    if limits and not math.isnan(order["qty"]) and order["reduce_only"] == 0:
        rule = sim.rules[order["instrument"]]
        value = notional(rule["kind"], rule["multiplier"], order["qty"], order["price"])
        if value < rule["min_notional"] * (1.0 - 1e-12):
            return R_NOTIONAL
    return R_NONE


@kernel(store=False)
def is_younger(one, row, two, other):
    """True when order `row` reached the exchange after order `other`; as sent where they came together."""
    if one["arrival_ts"] != two["arrival_ts"]:
        return one["arrival_ts"] > two["arrival_ts"]
    return row > other


@kernel(store=False)
def admit(sim: Sim, row, ts):
    """Let a new order reach the exchange: True when it works there from now on."""
    c = sim.clock[0]
    order = sim.orders[row]
    if order["status"] != PENDING:
        return False
    if c["bust"] == 0 and order["dropped"] == 1:
        finish(sim, row, CANCELLED, R_GROUP, ts)
        return False
    if c["bust"] == 0 and order["expire_ts"] <= ts:
        finish(sim, row, EXPIRED, R_EXPIRED, ts)
        return False
    reason = refusal(sim, order)
    if reason != R_NONE:
        finish(sim, row, REJECTED, reason, ts)
        return False
    order["status"] = OPEN
    j = c["n_live"]
    while j > 0 and is_younger(sim.orders[sim.live[j - 1]], sim.live[j - 1], order, row):
        sim.live[j] = sim.live[j - 1]
        j -= 1
    sim.live[j] = row
    c["n_live"] += 1
    c["expiry"] = min(c["expiry"], order["expire_ts"])
    return True


@kernel(store=False)
def accept(sim: Sim, row, ts):
    """A new order reaches the exchange."""
    if admit(sim, row, ts):
        first_look(sim, row, ts, True)


@kernel(store=False)
def cancel(sim: Sim, row, ts):
    """Cancel one order; nothing when it is already final. One still in flight is cancelled before it acts."""
    order = sim.orders[row]
    if is_live(order) or order["status"] == PENDING:
        finish(sim, row, CANCELLED, R_CANCEL, ts)


@kernel(store=False)
def cancel_all(sim: Sim, k, ts):
    """Cancel every working order of an instrument but its bracket exits."""
    for j in range(sim.clock[0]["n_live"]):
        order = sim.orders[sim.live[j]]
        if order["instrument"] == k and order["role"] == R_NONE and is_live(order):
            finish(sim, sim.live[j], CANCELLED, R_CANCEL, ts)


@kernel(store=False)
def change(sim: Sim, j, ts):
    """Give an order new values; True when its price or trigger is new and it works: it looks again.

    A quantity at or below what is filled cancels.
    """
    request = sim.requests[j]
    order = sim.orders[request["row"]]
    if not is_live(order) and order["status"] != PENDING:
        return False
    if not math.isnan(request["stop"]):
        order["stop"] = request["stop"]
    if not math.isnan(request["target"]):
        order["target"] = request["target"]
    if not math.isnan(request["qty"]):
        if request["qty"] <= order["filled"] * (1.0 + 1e-9):
            finish(sim, request["row"], CANCELLED, R_CANCEL, ts)
            return False
        order["qty"] = request["qty"]
    if math.isnan(request["price"]) and math.isnan(request["trigger"]):
        return False
    if not math.isnan(request["price"]) and order["kind"] != MARKET:
        order["price"] = request["price"]
    if not math.isnan(request["trigger"]):
        order["trigger"] = request["trigger"]
    return is_live(order)


@kernel(store=False)
def amend(sim: Sim, j, ts):
    """Replace quantity, price, trigger or bracket levels of an order."""
    if change(sim, j, ts):
        # a new price is a new order at the venue: it looks at the market again and may take
        row = sim.requests[j]["row"]
        sim.orders[row]["seen_bar"] = NONE
        sim.orders[row]["works_in"] = NONE
        first_look(sim, row, ts, False)


@kernel(store=False)
def send(sim: Sim, kind, row, k, rank, arrival, qty, price, trigger, stop, target):
    """Put a request on its way to the exchange."""
    c = sim.clock[0]
    request = sim.requests[c["n_requests"]]
    request["ts"] = c["now"]
    request["arrival_ts"] = min(arrival, NEVER)
    if kind != 0:
        c["segment"] += 1
    request["segment"] = c["segment"]
    request["rank"] = rank
    request["sequence"] = c["sequence"]
    request["kind"] = kind
    request["row"] = row
    request["instrument"] = k
    request["qty"] = qty
    request["price"] = price
    request["trigger"] = trigger
    request["stop"] = stop
    request["target"] = target
    c["sequence"] += 1
    c["n_requests"] += 1
