"""The loop of runs with tick streams: rows pass in bulk until one of them, or a clock, concerns somebody."""

from __future__ import annotations

import math

from framework.engine.book import catch_up, touch
from framework.engine.exchange import (
    check_books,
    close_bar,
    open_bar,
    pay_funding,
    recorded_mark,
    settle_funding,
    take_mark,
)
from framework.engine.ledger import equity_of
from framework.engine.margin import bust, liquidate_at
from framework.engine.matching import expire, sweep
from framework.engine.meeting import meet_mark
from framework.engine.replay import is_full
from framework.engine.requests import next_arrival
from framework.engine.resting import arrive_all, come_to, look_fresh, loosen, pass_trades, sort_by_age
from framework.engine.scanning import act, fence_in, scan
from framework.engine.seeing import next_hook, next_row_time, see, see_trades, strategy_time
from framework.engine.state import DONE, FAILED, GROW, Sim, sim_at
from framework.engine.taking import blank_bar, value_at
from framework.engine.ticks import LOCAL, ticks_at
from framework.jit import kernel
from framework.records import BY_MARK, NEVER, NONE


@kernel(store=False)
def settle_time(sim: Sim):
    """Time of the next funding or mark row: they come before the rows of their stamp."""
    best = NEVER
    for k in range(sim.clock[0]["n"]):
        cur = sim.cursor[k]
        if cur["funding"] < cur["funding_end"]:
            best = min(best, sim.funding[cur["funding"]]["ts"])
        if cur["mark"] < cur["mark_end"]:
            best = min(best, sim.marks[cur["mark"]]["ts"])
    return best if best <= sim.clock[0]["end"] else NEVER


@kernel(store=False)
def other_time(sim: Sim):
    """Time of the next thing at the exchange that is no row of ticks: bars, arrivals, expiry, the margin
    test.
    """
    c = sim.clock[0]
    best = min(c["expiry"], c["row_at"])
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["bar"] < cur["bar_end"]:
            bar = sim.bars[cur["bar"]]
            best = min(best, bar["close_ts"] if cur["opened"] == 1 else bar["open_ts"])
    if c["n_requests"] > 0:
        best = min(best, sim.requests[next_arrival(sim)]["arrival_ts"])
    return best if best <= c["end"] else NEVER


@kernel(store=False)
def pass_rows(sim: Sim, stop):
    """Let the rows of tick streams up to `stop` happen, to the first that fills or ends an order; True then.
    """
    c = sim.clock[0]
    while True:
        first = NEVER
        kind = 0
        who = NONE
        for k in range(c["n"]):
            if sim.cursor[k]["ticks"] == 0:
                continue
            t = ticks_at(sim.cursor[k]["ticks"])
            p = t.place[0]
            if p["fenced"] == 0:
                fence_in(sim, k, t)
            if p["resting"] == 0:
                continue
            ts = scan(t, stop)
            # at one stamp trades of all instruments come before messages of any
            if ts < first or (ts == first and ts != NEVER and p["hit"] < kind):
                first = ts
                kind = p["hit"]
                who = k
        if who == NONE:
            return False
        if act(sim, who, first) or c["watch"] != 0:
            return True


@kernel(store=False)
def settle(sim: Sim, ts):
    """Funding and marks that are due, before any row of this stamp."""
    c = sim.clock[0]
    c["phase"] = 0
    for k in range(c["n"]):
        cur = sim.cursor[k]
        while cur["funding"] < cur["funding_end"] and sim.funding[cur["funding"]]["ts"] <= ts:
            if cur["ticks"] == 0:
                settle_funding(sim, k, ts)
                continue
            price = recorded_mark(sim, k, ts)
            if math.isnan(price):
                value_at(sim, k, ts - 1)
                price = sim.account[k]["mark"]
            pay_funding(sim, k, ts, price)
    for k in range(c["n"]):
        cur = sim.cursor[k]
        while cur["mark"] < cur["mark_end"] and sim.marks[cur["mark"]]["ts"] <= ts:
            if cur["ticks"] == 0:
                take_mark(sim, k, ts)
                continue
            cur["mark_price"] = sim.marks[cur["mark"]]["price"]
            cur["mark"] += 1
            value_held(sim, ts - 1)
            test_margin(sim, k, cur["mark_price"], ts)
            test_bust(sim, ts - 1, ts)
            if c["trigger"] == BY_MARK and c["n_live"] > 0:
                meet_mark(sim, k, ts)
                look_fresh(sim, k, ticks_at(cur["ticks"]), ts)
                sweep(sim)
                sort_by_age(sim)
                loosen(sim)
    c["phase"] = 2


@kernel(store=False)
def value_held(sim: Sim, bound):
    """Value every position in tick streams by the rows of stamps <= `bound`."""
    for k in range(sim.clock[0]["n"]):
        if sim.account[k]["position"] != 0.0 and sim.cursor[k]["ticks"] != 0:
            value_at(sim, k, bound)


@kernel(store=False)
def test_margin(sim: Sim, k, price, ts):
    """Liquidate an instrument of tick streams whose margin does not stand a price."""
    rule = sim.rules[k]
    if rule["tier_first"] != rule["tier_end"] and sim.account[k]["position"] != 0.0:
        liquidate_at(sim, k, price, price, False, ts, blank_bar(sim, k))
        loosen(sim)


@kernel(store=False)
def test_bust(sim: Sim, bound, ts):
    """Close everything when nothing is left of the account, valued as of `bound`."""
    c = sim.clock[0]
    value_held(sim, bound)
    if c["bust"] == 0 and equity_of(sim, 0) <= 0.0:
        bust(sim, ts)
        loosen(sim)


@kernel(store=False)
def value_account(sim: Sim, ts):
    """The moment of an equity row: value everything, test margins, then bust."""
    value_held(sim, ts)
    for k in range(sim.clock[0]["n"]):
        # where marks are known they decide, at their rows
        if sim.cursor[k]["ticks"] != 0 and math.isnan(sim.cursor[k]["mark_price"]):
            test_margin(sim, k, sim.account[k]["mark"], ts)
    test_bust(sim, ts, ts)


@kernel(store=False)
def happen(sim: Sim, ts):
    """Let everything at the exchange at `ts` happen that comes after the rows of ticks."""
    c = sim.clock[0]
    n = c["n"]
    c["closed"] = 0
    if c["mixed"] == 1:
        value_held(sim, ts)  # what a bar fills is sized by what everything is worth
    for k in range(n):
        cur = sim.cursor[k]
        if cur["opened"] == 1 and sim.bars[cur["bar"]]["close_ts"] <= ts:
            close_bar(sim, k)
    if c["row_at"] <= ts or c["closed"] == 1:
        value_account(sim, ts)
    if c["row_at"] <= ts:
        c["row_at"] = next_row_time(c, ts)
    if c["expiry"] <= ts:
        expire(sim, ts)
        loosen(sim)
    for k in range(n):
        cur = sim.cursor[k]
        if cur["opened"] == 0 and cur["bar"] < cur["bar_end"] and sim.bars[cur["bar"]]["open_ts"] <= ts:
            open_bar(sim, k)
    arrive_all(sim, ts)
    if c["strict"] == 1:
        check_books(sim)


@kernel(store=False)
def run_exchange(sim: Sim, wake):
    """Let the exchange go on to the strategy's next moment, or the first answer before it; GROW = not done.
    """
    c = sim.clock[0]
    while True:
        if is_full(sim):
            return GROW
        if c["applied"] < c["n_responses"]:
            wake = min(wake, max(sim.responses[c["applied"]]["seen_ts"], c["now"]))
        due = settle_time(sim)
        other = other_time(sim)
        until = min(min(due - 1, other), min(wake, c["end"]))
        if c["n_live"] > 0 and pass_rows(sim, until):
            if c["strict"] == 1:
                check_books(sim)
            continue
        if due < NEVER and due <= wake and due <= other:
            settle(sim, due)
        elif other < NEVER and other <= wake:
            happen(sim, other)
        else:
            return DONE


@kernel(store=False)
def advance(sim: Sim):
    """`replay.advance` for runs with tick streams."""
    c = sim.clock[0]
    while True:
        if c["error"] != 0:
            return FAILED
        if is_full(sim):
            return GROW
        if c["stage"] == 1:
            code = next_hook(sim)
            if code != DONE:
                return code
            c["stage"] = 0
        wake = strategy_time(sim)
        if run_exchange(sim, min(wake, c["horizon"])) == GROW:
            return GROW
        wake = strategy_time(sim)
        if wake > c["horizon"]:
            c["starved"] = 1
            return GROW
        if wake >= NEVER:
            return DONE
        c["now"] = wake
        see(sim)
        c["stage"] = 1


@kernel(store=False)
def read_out(sim: Sim):
    """Take every row up to the horizon into both books and past the cursors: it is about to go.

    Nothing is due before the horizon, so nobody can tell that the books did not wait until they were asked.
    """
    until = sim.clock[0]["horizon"]
    for k in range(sim.clock[0]["n"]):
        if sim.cursor[k]["ticks"] == 0:
            continue
        t = ticks_at(sim.cursor[k]["ticks"])
        if t.place[0]["has_book"] == 1:
            come_to(t, until)
            catch_up(t, LOCAL, until)
            touch(t, LOCAL)
        else:
            pass_trades(t, until)
        see_trades(t, until)


def advance_at(address):
    """`advance` behind an address, the form compiled drivers and Python call."""
    return advance(sim_at(address))
