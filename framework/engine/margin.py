"""Maintenance margin, liquidation and bust.

Formulas: Binance USD-M futures, "Liquidation Protocols" and "How to Calculate Liquidation Price of USD-M
Futures Contracts" (maintenance = notional x rate - amount of the notional's tier; liquidated when margin
balance <= maintenance). Inverse contracts use the same condition with value = contracts x multiplier / price.
"""

from __future__ import annotations

import math

from framework.engine.fills import write_fill
from framework.engine.ledger import equity_of, notional, unrealised
from framework.engine.order import blank_order, finish, is_live
from framework.engine.state import FORCED, J_LIQUIDATION, Sim
from framework.jit import kernel
from framework.records import (
    BUY,
    CANCELLED,
    INVERSE,
    LIQUIDATION,
    NONE,
    OPEN,
    PENDING,
    R_BUST,
    R_LIQUIDATION,
    SELL,
)


@kernel(store=False)
def tier_of(sim: Sim, k, value):
    """Row of the maintenance tier for a position value; the last tier beyond the table."""
    rule = sim.rules[k]
    row = rule["tier_first"]
    while row < rule["tier_end"] - 1 and value > sim.tiers[row]["max_notional"]:
        row += 1
    return row


@kernel(store=False)
def maintenance(sim: Sim, k):
    """Maintenance margin of one instrument's position at its last price; 0 without tiers."""
    rule = sim.rules[k]
    q = sim.account[k]["position"]
    if q == 0.0 or rule["tier_first"] == rule["tier_end"]:
        return 0.0
    value = notional(rule["kind"], rule["multiplier"], abs(q), sim.account[k]["mark"])
    tier = sim.tiers[tier_of(sim, k, value)]
    return value * tier["rate"] - tier["amount"]


@kernel(store=False)
def maintenance_of_all(sim: Sim):
    """Maintenance margin of the whole account."""
    need = 0.0
    for k in range(sim.clock[0]["n"]):
        need += maintenance(sim, k)
    return need


@kernel(store=False)
def is_breached(sim: Sim, k):
    """True when the margin balance behind instrument k no longer covers its maintenance."""
    held = sim.account[k]
    if sim.clock[0]["isolated"] == 1:
        return held["isolated"] + unrealised(sim.rules[k], held) <= maintenance(sim, k)
    return equity_of(sim, 0) <= maintenance_of_all(sim)


@kernel(store=False)
def liquidation_price(sim: Sim, k):
    """Price of instrument k at which its margin balance equals its maintenance, all else unchanged."""
    rule = sim.rules[k]
    held = sim.account[k]
    q = held["position"]
    m = rule["multiplier"]
    if sim.clock[0]["isolated"] == 1:
        backing = held["isolated"]
        reference = held["entry"]
    else:
        backing = equity_of(sim, 0) - (maintenance_of_all(sim) - maintenance(sim, k))
        reference = held["mark"]
    nearest = 0.0
    for row in range(rule["tier_first"], rule["tier_end"]):
        level = root(rule["kind"], m, q, backing, reference, sim.tiers[row])
        if level <= 0.0 or tier_of(sim, k, notional(rule["kind"], m, abs(q), level)) != row:
            continue  # not a price of this tier
        if nearest == 0.0 or (level > nearest) == (q > 0.0):
            nearest = level
    if nearest > 0.0:
        return nearest
    row = tier_of(sim, k, notional(rule["kind"], m, abs(q), held["mark"]))
    return root(rule["kind"], m, q, backing, reference, sim.tiers[row])


@kernel(store=False)
def root(kind, multiplier, q, backing, reference, tier):
    """Price at which `backing` plus the gain since `reference` is the maintenance of one tier."""
    if kind == INVERSE:
        slope = multiplier * (abs(q) * tier["rate"] + q)
        inverse = (backing + q * multiplier / reference + tier["amount"]) / slope if slope != 0.0 else 0.0
        return 1.0 / inverse if inverse > 0.0 else math.inf
    slope = multiplier * (abs(q) * tier["rate"] - q)
    return (backing - q * multiplier * reference + tier["amount"]) / slope if slope != 0.0 else 0.0


@kernel(store=False)
def add_forced(sim: Sim, k, qty, ts, reason):
    """Append the order row of a forced close."""
    row = blank_order(sim, k, LIQUIDATION, SELL if sim.account[k]["position"] > 0.0 else BUY)
    order = sim.orders[row]
    order["reduce_only"] = 1
    order["status"] = OPEN
    order["known"] = PENDING
    order["reason"] = reason
    order["ts"] = ts
    order["arrival_ts"] = ts
    order["asked_qty"] = qty
    order["qty"] = qty
    return row


@kernel(store=False)
def give_back(sim: Sim, k, amount, ts):
    """Write down a shortfall the venue bears, as the strategy learns of it."""
    c = sim.clock[0]
    sim.total[1]["liquidation"] += amount
    sim.total[1]["cash"] += amount
    entry = sim.journal[c["n_journal"]]
    entry["ts"] = ts
    entry["instrument"] = k
    entry["kind"] = J_LIQUIDATION
    entry["amount"] = amount
    entry["price"] = sim.account[k]["mark"]
    entry["qty"] = 0.0
    entry["row"] = c["rows"]
    c["n_journal"] += 1


@kernel(store=False)
def force_close(sim: Sim, k, price, ts, reason, rate, bar):
    """Close the whole position of instrument k at `price`; its orders go first."""
    c = sim.clock[0]
    rule = sim.rules[k]
    held = sim.account[k]
    for j in range(c["n_live"]):
        order = sim.orders[sim.live[j]]
        if order["instrument"] == k and is_live(order):
            finish(sim, sim.live[j], CANCELLED, reason, ts)
    qty = abs(held["position"])
    held["mark"] = price
    fee = notional(rule["kind"], rule["multiplier"], qty, price) * rate
    backing = held["isolated"] + unrealised(rule, held) - fee
    row = add_forced(sim, k, qty, ts, reason)
    write_fill(sim, row, qty, price, price, fee, 0, ts, bar, FORCED)
    if c["isolated"] == 1 and reason == R_LIQUIDATION and backing < 0.0:
        sim.total[0]["liquidation"] -= backing
        sim.total[0]["cash"] -= backing
        sim.fills[c["n_fills"] - 1]["liquidation"] = -backing


@kernel(store=False)
def liquidation_level(sim: Sim, k, price, start, on_the_way):
    """Price at which instrument k is liquidated when it trades at an adverse `price`; 0 when it is not.

    `on_the_way` there from `start` it goes at its liquidation price, else at `price` itself.
    """
    rule = sim.rules[k]
    held = sim.account[k]
    q = held["position"]
    if q == 0.0 or rule["tier_first"] == rule["tier_end"]:
        return 0.0
    before = held["mark"]
    held["mark"] = price
    level = 0.0
    if is_breached(sim, k):
        level = price
        if on_the_way:
            level = liquidation_price(sim, k)
            level = min(start, level) if q > 0.0 else max(start, level)
    held["mark"] = before
    return level


@kernel(store=False)
def liquidate_at(sim: Sim, k, price, start, on_the_way, ts, bar):
    """Test instrument k at an adverse `price`; see `liquidation_level`."""
    level = liquidation_level(sim, k, price, start, on_the_way)
    if level > 0.0:
        force_close(sim, k, level, ts, R_LIQUIDATION, sim.rules[k]["taker"], bar)


@kernel(store=False)
def way_to_liquidation(sim: Sim, k, bar):
    """Price at which the bar under way liquidates the position it found; 0 when not, or marks decide."""
    cur = sim.cursor[k]
    q = sim.account[k]["position"]
    if cur["mark_bar"] == cur["bar"]:
        return 0.0
    return liquidation_level(sim, k, bar["low"] if q > 0.0 else bar["high"], bar["open"], True)


@kernel(store=False)
def liquidate_in(sim: Sim, k, bar):
    """Liquidate what the range of the bar under way does not leave standing, where no marks decide."""
    level = way_to_liquidation(sim, k, bar)
    if level > 0.0:
        force_close(sim, k, level, bar["close_ts"], R_LIQUIDATION, sim.rules[k]["taker"], bar)


@kernel(store=False)
def learn_all(sim: Sim, ts):
    """The strategy learns everything at once: the account is gone."""
    c = sim.clock[0]
    n = c["n"]
    for j in range(c["applied"], c["n_responses"]):
        answer = sim.responses[j]
        answer["seen_ts"] = min(answer["seen_ts"], ts)
        if answer["fill"] != NONE:
            sim.fills[answer["fill"]]["seen_ts"] = answer["seen_ts"]
            sim.fills[answer["fill"]]["row"] = c["rows"]
        order = sim.orders[answer["order"]]
        order["known"] = answer["status"]
        order["known_filled"] = order["filled"]
    c["applied"] = c["n_responses"]
    c["last_seen_ts"] = ts
    for k in range(n):
        sim.account[n + k] = sim.account[k]
    known = sim.total[1]["liquidation"]
    sim.total[1] = sim.total[0]
    sim.total[1]["liquidation"] = known
    sim.total[1]["cash"] -= sim.total[0]["liquidation"] - known


@kernel(store=False)
def last_opened(sim: Sim, k):
    """Row of the last bar of an instrument whose open has happened."""
    cur = sim.cursor[k]
    return max(cur["bar"] if cur["opened"] == 1 else cur["bar"] - 1, cur["bar_first"])


@kernel(store=False)
def bust(sim: Sim, ts):
    """Equity is gone: everything is closed at the last prices and the shortfall is booked."""
    c = sim.clock[0]
    for k in range(c["n"]):
        if sim.account[k]["position"] != 0.0:
            bar = sim.bars[last_opened(sim, k)]
            force_close(sim, k, sim.account[k]["mark"], ts, R_BUST, 0.0, bar)
    for j in range(c["n_live"]):
        if is_live(sim.orders[sim.live[j]]):
            finish(sim, sim.live[j], CANCELLED, R_BUST, ts)
    c["n_live"] = 0
    shortfall = -equity_of(sim, 0)
    sim.total[0]["liquidation"] += shortfall
    sim.total[0]["cash"] += shortfall
    c["bust"] = 1
    learn_all(sim, ts)
    give_back(sim, 0, sim.total[0]["liquidation"] - sim.total[1]["liquidation"], ts)
