"""One fill, from the wanted quantity to the booked position."""

from __future__ import annotations

import math

from framework.engine.brackets import after_fill, drop_children
from framework.engine.latency import response_latency
from framework.engine.ledger import book_fill, equity_of, floor_to, gain, margin_in_use, notional
from framework.engine.order import finish, remaining
from framework.engine.state import AT_CLOSE, FORCED, INSIDE, Sim
from framework.jit import kernel
from framework.records import (
    BUY,
    CANCELLED,
    CLOSE,
    FILLED,
    FOK,
    INVERSE,
    LIMIT,
    LIQUIDATION,
    NEVER,
    R_FLAT,
    R_LOT,
    R_MARGIN,
    R_NONE,
    R_NOTIONAL,
    R_PRICE,
    R_REDUCE_ONLY,
    R_RISK,
    REJECTED,
    SELL,
    STOP_LIMIT,
)


@kernel(store=False)
def slipped(sim: Sim, side, raw, qty, bar, opens):
    """Price paid by a taker of `qty`: slippage, square-root impact, and spread on entries."""
    c = sim.clock[0]
    rate = c["slippage"]
    if c["impact"] > 0.0 and qty > 0.0:
        # square-root law of market impact: cost grows with the root of the share of the bar's volume
        ratio = qty / bar["volume"] if bar["volume"] > 0.0 else 1.0
        rate += c["impact"] * math.sqrt(ratio)
    price = raw * (1.0 + side * rate)
    if opens:
        price *= 1.0 + side * c["entry_spread"]
    if c["slip_in_range"] == 1:
        price = min(max(price, bar["low"]), bar["high"])
    return price


@kernel(store=False)
def free_equity(sim: Sim):
    """Equity no margin is used of; what rounding leaves of a fully used account is nothing."""
    worth = equity_of(sim, 0)
    free = worth - margin_in_use(sim)
    return free if free > 1e-9 * worth else 0.0


@kernel(store=False)
def share_qty(sim: Sim, k, share, free, price):
    """Quantity for a share of the free equity at this price.

    A share of 1 or less is never more than the buying power: with leverage the fee, which is on the whole
    value, would not fit beside a margin that takes everything.
    """
    rule = sim.rules[k]
    leverage = sim.clock[0]["leverage"]
    budget = share * free * leverage / (1.0 + rule["taker"])
    if share <= 1.0:
        budget = min(budget, free * leverage / (1.0 + leverage * rule["taker"]))
    if rule["kind"] == INVERSE:
        return floor_to(budget * price / rule["multiplier"], rule["lot"], rule["lot_inv"])
    return floor_to(budget / (price * rule["multiplier"]), rule["lot"], rule["lot_inv"])


@kernel(store=False)
def closing_qty(sim: Sim, row, ts):
    """Quantity a close would fill now, cut to the position; 0 when it ended here instead."""
    order = sim.orders[row]
    q = sim.account[order["instrument"]]["position"]
    if q == 0.0:
        finish(sim, row, CANCELLED, R_FLAT, ts)
        return 0.0
    if order["side"] == 0:
        order["side"] = SELL if q > 0.0 else BUY
        order["qty"] = abs(q)
    if (q > 0.0) == (order["side"] == BUY):
        finish(sim, row, CANCELLED, R_FLAT, ts)
        return 0.0
    order["qty"] = min(order["qty"], order["filled"] + abs(q))
    return remaining(order)


@kernel(store=False)
def reducing_qty(sim: Sim, row, ts):
    """Rest of a sized order, a reduce-only one cut to the position; 0 when it ended here instead."""
    order = sim.orders[row]
    q = sim.account[order["instrument"]]["position"]
    if order["reduce_only"] == 1:
        if q == 0.0 or (q > 0.0) == (order["side"] == BUY):
            finish(sim, row, CANCELLED, R_REDUCE_ONLY, ts)
            return 0.0
        order["qty"] = min(order["qty"], order["filled"] + abs(q))
    return remaining(order)


@kernel(store=False)
def wanted(sim: Sim, row, raw, bar, ts):
    """Quantity the order would fill now; 0 when it ended here instead. Sizes closes and shares."""
    order = sim.orders[row]
    k = order["instrument"]
    q = sim.account[k]["position"]
    if order["kind"] == CLOSE:
        return closing_qty(sim, row, ts)
    if math.isnan(order["qty"]):
        opens = q == 0.0 or (q > 0.0) == (order["side"] == BUY)
        taker = order["kind"] != LIMIT and order["kind"] != STOP_LIMIT
        price = slipped(sim, order["side"], raw, 0.0, bar, opens) if taker else raw
        free = free_equity(sim)
        order["qty"] = share_qty(sim, k, order["share"], free, price)
        if taker and sim.clock[0]["impact"] > 0.0:  # at the price this much would pay, less pays no more
            price = slipped(sim, order["side"], raw, order["qty"], bar, opens)
            order["qty"] = share_qty(sim, k, order["share"], free, price)
        if order["qty"] <= 0.0:
            finish(sim, row, REJECTED, R_LOT if free > 0.0 else R_MARGIN, ts)
            return 0.0
    return reducing_qty(sim, row, ts)


@kernel(store=False)
def is_earlier(cur):
    """True when the fill under way belongs to the bar before the one that is open (a fill at its close)."""
    return cur["opened"] == 1 and cur["fill_bar"] != cur["bar"]


@kernel(store=False)
def volume_left(sim: Sim, k, qty, bar):
    """Quantity the participation cap still allows in this bar."""
    share = sim.clock[0]["volume_share"]
    if share <= 0.0:
        return qty
    rule = sim.rules[k]
    cur = sim.cursor[k]
    left = share * bar["volume"] - (cur["used_before"] if is_earlier(cur) else cur["used"])
    if left <= 1e-9 * share * bar["volume"]:
        return 0.0
    return min(qty, floor_to(left, rule["lot"], rule["lot_inv"]))


@kernel(store=False)
def closing_part(q, side, qty):
    """Part of a fill that takes the position `q` towards zero."""
    if q == 0.0 or (q > 0.0) == (side == BUY):
        return 0.0
    return min(abs(q), qty)


@kernel(store=False)
def affordable(sim: Sim, k, side, qty, price, fee_rate):
    """Part of `qty` the account may fill: all of it, or only what closes."""
    rule = sim.rules[k]
    held = sim.account[k]
    q = held["position"]
    leverage = sim.clock[0]["leverage"]
    kind = rule["kind"]
    mult = rule["multiplier"]
    closing = closing_part(q, side, qty)
    opening = qty - closing
    if opening <= 1e-9 * qty:
        return qty
    worth = equity_of(sim, 0)
    used = margin_in_use(sim)
    if closing > 0.0:
        signed = closing if q > 0.0 else -closing
        worth += gain(kind, mult, signed, held["mark"], price)
        used -= notional(kind, mult, closing, held["mark"]) / leverage
    fee = notional(kind, mult, qty, price) * fee_rate
    need = notional(kind, mult, opening, price) / leverage + fee
    free = worth - used
    if need <= free + abs(free) * 1e-9 + 1e-9:
        return qty
    return closing


@kernel(store=False)
def allowed_by_risk(sim: Sim, k, side, qty, price):
    """Check the run's limits on order value and position value; what only reduces is always allowed."""
    c = sim.clock[0]
    q = sim.account[k]["position"]
    after = q + side * qty
    if qty - closing_part(q, side, qty) <= 1e-9 * qty:
        return True
    rule = sim.rules[k]
    if (
        c["max_order_notional"] > 0.0
        and notional(rule["kind"], rule["multiplier"], qty, price) > c["max_order_notional"]
    ):
        return False
    limit = c["max_position_notional"]
    return limit <= 0.0 or notional(rule["kind"], rule["multiplier"], abs(after), price) <= limit


@kernel(store=False)
def below_notional(sim: Sim, k, order, qty, price):
    """True when the order's value is under the venue's minimum; exits are exempt, limits were tested at
    arrival.
    """
    rule = sim.rules[k]
    if order["reduce_only"] == 1 or order["kind"] == CLOSE or order["filled"] > 0.0:
        return False
    if (order["kind"] == LIMIT or order["kind"] == STOP_LIMIT) and math.isnan(order["share"]):
        return False
    return notional(rule["kind"], rule["multiplier"], qty, price) < rule["min_notional"] * (1.0 - 1e-12)


@kernel(store=False)
def write_fill(sim: Sim, row, qty, raw, price, fee, maker, ts, bar, place):
    """Append the fill, book it on the exchange side, and queue the answer to the strategy."""
    c = sim.clock[0]
    order = sim.orders[row]
    k = order["instrument"]
    rule = sim.rules[k]
    side = order["side"]
    index = c["n_fills"]
    fill = sim.fills[index]
    book_fill(rule, sim.account[k], sim.total[0], side * qty, price, fee, c["leverage"])
    order["filled"] += qty
    order["value"] += price * qty
    order["n_fills"] += 1
    order["last_fill_ts"] = ts
    if remaining(order) == 0.0:
        order["status"] = FILLED
        order["end_ts"] = ts
        order["reason"] = order["role"] if order["kind"] != LIQUIDATION else order["reason"]
    earliest = ts
    if place == INSIDE:
        # it happened before the close: known there, unless the answer takes longer than the bar itself
        first = max(bar["open_ts"], order["arrival_ts"])
        earliest = max(ts, first + response_latency(sim, k, ts))
    fill["seen_ts"] = respond_fill(sim, row, index, ts, earliest, place)
    fill["order"] = row
    fill["order_id"] = order["id"]
    fill["ts"] = ts
    fill["bar_open_ts"] = bar["open_ts"]
    fill["instrument"] = k
    fill["side"] = side
    fill["price"] = price
    fill["qty"] = qty
    fill["fee"] = fee
    fill["maker"] = maker
    fill["slippage"] = abs(gain(rule["kind"], rule["multiplier"], qty, raw, price))
    fill["equity"] = equity_of(sim, 0)
    fill["row"] = NEVER
    fill["liquidation"] = 0.0
    c["n_fills"] += 1


@kernel(store=False)
def respond_fill(sim: Sim, row, index, ts, earliest, place):
    """Queue the answer for a fill; inside a bar its time is `earliest`, else ts + response latency."""
    c = sim.clock[0]
    k = sim.orders[row]["instrument"]
    if place in (INSIDE, FORCED):
        seen = earliest
    else:
        seen = ts + response_latency(sim, k, ts)
    if place == AT_CLOSE:
        seen = max(seen, ts + 1)  # the equity row of that close does not know of it
    seen = max(seen, c["last_seen_ts"])
    c["last_seen_ts"] = seen
    answer = sim.responses[c["n_responses"]]
    answer["seen_ts"] = seen
    answer["order"] = row
    answer["fill"] = index
    answer["status"] = sim.orders[row]["status"]
    c["n_responses"] += 1
    return seen


@kernel(store=False)
def objection(sim: Sim, k, order, price):
    """Reason the venue has against any fill at this price, R_NONE if there is none."""
    if price <= 0.0:
        return R_PRICE
    return R_NOTIONAL if below_notional(sim, k, order, order["qty"], price) else R_NONE


@kernel(store=False)
def execute(sim: Sim, row, raw, ts, bar, maker, slips, place):
    """Fill what can be filled of order `row` at raw price `raw`; return the filled quantity.

    Checks in this order: what is wanted, volume, minimum value, buying power, risk.
    """
    order = sim.orders[row]
    k = order["instrument"]
    sim.account[k]["mark"] = raw
    qty = wanted(sim, row, raw, bar, ts)
    if qty <= 0.0:
        return 0.0
    qty = volume_left(sim, k, qty, bar)
    if qty <= 0.0:
        return 0.0
    q = sim.account[k]["position"]
    opens = q == 0.0 or (q > 0.0) == (order["side"] == BUY) or qty > abs(q) * (1.0 + 1e-9)
    price = slipped(sim, order["side"], raw, qty, bar, opens) if slips else raw
    return complete(sim, row, qty, raw, price, ts, bar, maker, slips, place)


@kernel(store=False)
def complete(sim: Sim, row, qty, raw, price, ts, bar, maker, slips, place):
    """Fill `qty` at `price` as far as the venue and the account allow; return the filled quantity."""
    order = sim.orders[row]
    k = order["instrument"]
    rule = sim.rules[k]
    side = order["side"]
    q = sim.account[k]["position"]
    reason = objection(sim, k, order, price)
    if reason != R_NONE:
        finish(sim, row, REJECTED, reason, ts)
        return 0.0
    rate = rule["maker"] if maker else rule["taker"]
    reason = R_MARGIN
    possible = affordable(sim, k, side, qty, price, rate)
    if not allowed_by_risk(sim, k, side, possible, price):
        reason = R_RISK
        possible = closing_part(q, side, qty)
    if possible <= 0.0 or (possible < qty and order["tif"] == FOK):
        finish(sim, row, REJECTED, reason, ts)
        return 0.0
    if possible < qty and slips:
        price = slipped(sim, side, raw, possible, bar, False)  # only what closes fills
    if order["kind"] == CLOSE:
        drop_children(sim, k, ts)
    fee = notional(rule["kind"], rule["multiplier"], possible, price) * rate
    if is_earlier(sim.cursor[k]):
        sim.cursor[k]["used_before"] += possible
    else:
        sim.cursor[k]["used"] += possible
    write_fill(sim, row, possible, raw, price, fee, 1 if maker else 0, ts, bar, place)
    if possible < qty:
        finish(sim, row, REJECTED, reason, ts)
    after_fill(sim, row, possible, q, price, ts, place)
    return possible
