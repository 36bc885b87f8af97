"""What an order is at the exchange: working or final, which price moves it, and how it ends."""

from __future__ import annotations

import math

from framework.engine.latency import respond
from framework.engine.ledger import nearest
from framework.engine.state import Sim
from framework.jit import kernel
from framework.records import BUY, CLOSE, FILLED, NEVER, NONE, OPEN, STOP, STOP_LIMIT, TRAILING


@kernel(store=False)
def finish(sim: Sim, row, status, reason, ts):
    """Make an order final and tell the strategy; a fill tells it by itself."""
    order = sim.orders[row]
    order["status"] = status
    order["reason"] = reason
    order["end_ts"] = ts
    if status != FILLED:
        respond(sim, row, NONE, ts, ts)


@kernel(store=False)
def blank_order(sim: Sim, k, kind, side):
    """Append an order row with every field at its neutral value; return its row."""
    c = sim.clock[0]
    row = c["n_orders"]
    order = sim.orders[row]
    order["id"] = c["next_id"]
    order["instrument"] = k
    order["kind"] = kind
    order["side"] = side
    order["end_ts"] = NEVER
    order["expire_ts"] = NEVER
    order["last_fill_ts"] = NEVER
    order["asked_qty"] = math.nan
    order["asked_price"] = math.nan
    order["asked_trigger"] = math.nan
    order["qty"] = math.nan
    order["share"] = math.nan
    order["price"] = math.nan
    order["trigger"] = math.nan
    order["stop"] = math.nan
    order["target"] = math.nan
    order["trail"] = math.nan
    order["parent"] = NONE
    order["seen_bar"] = NONE
    order["works_in"] = NONE
    c["n_orders"] += 1
    c["next_id"] += 1
    return row


@kernel(store=False)
def remaining(order):
    """Quantity still to fill, free of float residue."""
    rest = order["qty"] - order["filled"]
    return rest if rest > 1e-9 * order["qty"] else 0.0


@kernel(store=False)
def is_live(order):
    """True while the exchange still works the order."""
    return order["status"] == OPEN


@kernel(store=False)
def rank_of(order):
    """0 for exits, which go first at one stamp; 1 for everything else."""
    return 0 if order["kind"] == CLOSE or order["reduce_only"] == 1 else 1


@kernel(store=False)
def is_stop_type(order):
    """True for orders that wait for the price to move against them."""
    kind = order["kind"]
    return kind in (STOP, TRAILING) or (kind == STOP_LIMIT and order["triggered"] == 0)


@kernel(store=False)
def trigger_level(sim: Sim, order):
    """Level of a stop-type order: its trigger, or its distance from the best price so far."""
    if order["kind"] == TRAILING:
        rule = sim.rules[order["instrument"]]
        level = order["extreme"] + order["side"] * order["trail"]
        return nearest(level, rule["tick"], rule["tick_inv"])
    return order["trigger"]


@kernel(store=False)
def level_of(sim: Sim, order):
    """Price at which an order that rests acts."""
    return trigger_level(sim, order) if is_stop_type(order) else order["price"]


@kernel(store=False)
def reached(side, level, price):
    """True when a stop of this side triggers at `price`."""
    return price >= level if side == BUY else price <= level


@kernel(store=False)
def marketable(side, limit, price):
    """True when a limit of this side can trade at `price`."""
    return price <= limit if side == BUY else price >= limit
