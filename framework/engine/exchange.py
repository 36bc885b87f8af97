"""The exchange side of one instant: funding, marks, closes, opens, arrivals, in the order of the tie table.
"""

from __future__ import annotations

import math

from framework.engine.inside import match_inside
from framework.engine.ledger import TOLERANCE, equity_of, identity_break, notional
from framework.engine.margin import bust, last_opened, liquidate_at, liquidate_in
from framework.engine.matching import expire, match_close, match_open
from framework.engine.requests import arrive, next_arrival
from framework.engine.state import E_IDENTITY, J_FUNDING, Sim
from framework.jit import kernel
from framework.records import NEVER


@kernel(store=False)
def exchange_time(sim: Sim):
    """Time of the next thing that happens at the exchange; NEVER when nothing is left."""
    c = sim.clock[0]
    best = NEVER
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["bar"] < cur["bar_end"]:
            bar = sim.bars[cur["bar"]]
            best = min(best, bar["close_ts"] if cur["opened"] == 1 else bar["open_ts"])
        if cur["funding"] < cur["funding_end"]:
            best = min(best, sim.funding[cur["funding"]]["ts"])
        if cur["mark"] < cur["mark_end"]:
            best = min(best, sim.marks[cur["mark"]]["ts"])
    if c["n_requests"] > 0:
        best = min(best, sim.requests[next_arrival(sim)]["arrival_ts"])
    best = min(best, c["expiry"])
    return max(best, c["now"]) if best <= c["end"] else NEVER  # nothing happens after the last close


@kernel(store=False)
def recorded_mark(sim: Sim, k, ts):
    """Last mark price of stamps <= `ts`; NaN before the first."""
    cur = sim.cursor[k]
    j = cur["mark"]
    if j < cur["mark_end"] and sim.marks[j]["ts"] <= ts:
        while j + 1 < cur["mark_end"] and sim.marks[j + 1]["ts"] <= ts:
            j += 1
        return sim.marks[j]["price"]
    return cur["mark_price"]


@kernel(store=False)
def funding_price(sim: Sim, k, ts):
    """Mark price at a funding time; without marks the open of the bar there, else the last close."""
    cur = sim.cursor[k]
    recorded = recorded_mark(sim, k, ts)
    if not math.isnan(recorded):
        return recorded
    row = cur["bar"]
    if cur["opened"] == 1 and sim.bars[row]["close_ts"] <= ts:
        row += 1
    if row < cur["bar_end"] and sim.bars[row]["open_ts"] <= ts:
        return sim.bars[row]["open"]
    row -= 1
    return sim.bars[row]["close"] if row >= cur["bar_first"] else 0.0


@kernel(store=False)
def settle_funding(sim: Sim, k, ts):
    """Settle the funding row that is due."""
    pay_funding(sim, k, ts, funding_price(sim, k, ts))


@kernel(store=False)
def pay_funding(sim: Sim, k, ts, price):
    """Pay or receive funding on the position held at the boundary (received is positive)."""
    c = sim.clock[0]
    cur = sim.cursor[k]
    rate = sim.funding[cur["funding"]]["rate"]
    cur["funding"] += 1
    q = sim.account[k]["position"]
    if q == 0.0 or rate == 0.0 or price <= 0.0:
        return
    rule = sim.rules[k]
    amount = -notional(rule["kind"], rule["multiplier"], q, price) * rate
    for side in range(2):
        sim.account[side * c["n"] + k]["funding"] += amount
        sim.total[side]["funding"] += amount
        sim.total[side]["cash"] += amount
    entry = sim.journal[c["n_journal"]]
    entry["ts"] = ts
    entry["instrument"] = k
    entry["kind"] = J_FUNDING
    entry["amount"] = amount
    entry["price"] = price
    entry["qty"] = q
    entry["row"] = c["rows"]
    c["n_journal"] += 1


@kernel(store=False)
def close_bar(sim: Sim, k):
    """The current bar ends: match its range, test liquidation at its adverse extreme, take its close."""
    cur = sim.cursor[k]
    bar = sim.bars[cur["bar"]]
    if sim.clock[0]["n_live"] > 0:
        match_inside(sim, k)
    liquidate_in(sim, k, bar)
    sim.account[k]["mark"] = bar["close"]
    if sim.clock[0]["at_close"] == 1 and sim.clock[0]["n_live"] > 0:
        match_close(sim, k)
        sim.account[k]["mark"] = bar["close"]
    cur["opened"] = 0
    cur["bar"] += 1
    sim.clock[0]["closed"] = 1


@kernel(store=False)
def open_bar(sim: Sim, k):
    """The current bar begins: what rests or waits meets its open."""
    cur = sim.cursor[k]
    bar = sim.bars[cur["bar"]]
    cur["opened"] = 1
    cur["used_before"] = cur["used"]
    cur["used"] = 0.0
    sim.account[k]["mark"] = bar["open"]
    liquidate_at(sim, k, bar["open"], bar["open"], False, bar["open_ts"], bar)
    if sim.clock[0]["n_live"] > 0:
        match_open(sim, k)


@kernel(store=False)
def take_mark(sim: Sim, k, ts):
    """A mark price row: liquidation is tested at it."""
    cur = sim.cursor[k]
    price = sim.marks[cur["mark"]]["price"]
    cur["mark"] += 1
    cur["mark_price"] = price
    if cur["opened"] == 1:
        cur["mark_bar"] = cur["bar"]
    liquidate_at(sim, k, price, price, False, ts, sim.bars[last_opened(sim, k)])


@kernel(store=False)
def check_books(sim: Sim):
    """Strict mode: after every event both sides' cash, booked entry by entry, equals the formula."""
    c = sim.clock[0]
    for side in range(2):
        wrong = identity_break(sim, side)
        c["checks"] += 1
        c["worst_identity"] = max(c["worst_identity"], wrong)
        if wrong > TOLERANCE:
            c["error"] = E_IDENTITY


@kernel(store=False)
def settle(sim: Sim, ts):
    """Funding and marks that are due: before any fill of this stamp."""
    n = sim.clock[0]["n"]
    for k in range(n):
        cur = sim.cursor[k]
        while cur["funding"] < cur["funding_end"] and sim.funding[cur["funding"]]["ts"] <= ts:
            settle_funding(sim, k, ts)
    for k in range(n):
        cur = sim.cursor[k]
        while cur["mark"] < cur["mark_end"] and sim.marks[cur["mark"]]["ts"] <= ts:
            take_mark(sim, k, ts)


@kernel(store=False)
def exchange(sim: Sim, ts):
    """Let everything that happens at the exchange at `ts` happen."""
    c = sim.clock[0]
    n = c["n"]
    settle(sim, ts)
    c["closed"] = 0
    for k in range(n):
        cur = sim.cursor[k]
        if cur["opened"] == 1 and sim.bars[cur["bar"]]["close_ts"] <= ts:
            close_bar(sim, k)
    if c["closed"] == 1 and c["bust"] == 0 and equity_of(sim, 0) <= 0.0:
        bust(sim, ts)
    if c["expiry"] <= ts:
        expire(sim, ts)
    for k in range(n):
        cur = sim.cursor[k]
        if cur["opened"] == 0 and cur["bar"] < cur["bar_end"] and sim.bars[cur["bar"]]["open_ts"] <= ts:
            open_bar(sim, k)
    arrive(sim, ts)
    if c["strict"] == 1:
        check_books(sim)
