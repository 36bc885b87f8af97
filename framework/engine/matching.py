"""Filling on candles at one price: everything that waits meets an open or a close."""

from __future__ import annotations

from framework.engine.look import look, stopped_in_bar
from framework.engine.order import finish, is_live, rank_of
from framework.engine.state import AT_CLOSE, AT_OPEN, Sim
from framework.jit import kernel
from framework.records import (
    EXPIRED,
    NEVER,
    NONE,
    PENDING,
    R_EXPIRED,
)


@kernel(store=False)
def sweep(sim: Sim):
    """Forget final orders in the list of live ones, keeping age order; exits not until they are known of."""
    c = sim.clock[0]
    kept = 0
    for j in range(c["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if is_live(order) or (order["parent"] != NONE and order["known"] == PENDING):
            sim.live[kept] = row
            kept += 1
    c["n_live"] = kept


@kernel(store=False)
def expire(sim: Sim, ts):
    """End the orders whose GTD time has come; after a close at that stamp, before an open at it."""
    c = sim.clock[0]
    c["expiry"] = NEVER
    for j in range(c["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if order["expire_ts"] <= ts and is_live(order):
            finish(sim, row, EXPIRED, R_EXPIRED, order["expire_ts"])
        else:
            c["expiry"] = min(c["expiry"], order["expire_ts"])
    sweep(sim)


@kernel(store=False)
def match_open(sim: Sim, k):
    """Everything that rests or waits meets the open of the current bar: exits first, then by age."""
    c = sim.clock[0]
    cur = sim.cursor[k]
    bar_row = cur["bar"]
    bar = sim.bars[bar_row]
    ts = bar["open_ts"]
    n = c["n_live"]
    for rank in range(2):
        for j in range(n):
            row = sim.live[j]
            order = sim.orders[row]
            if order["instrument"] != k or not is_live(order) or rank_of(order) != rank:
                continue
            if c["at_close"] == 1 and order["seen_bar"] == NONE:
                continue  # waits for a close
            if c["stop_first"] == 1 and stopped_in_bar(sim, order, bar):
                continue
            cur["fill_bar"] = bar_row
            look(sim, row, bar["open"], ts, bar, bar_row, AT_OPEN)
    sweep(sim)


@kernel(store=False)
def match_close(sim: Sim, k):
    """Fills(at="close"): orders that arrived too late for an earlier close are looked at now."""
    c = sim.clock[0]
    bar_row = sim.cursor[k]["bar"]
    bar = sim.bars[bar_row]
    sim.cursor[k]["fill_bar"] = bar_row
    ts = bar["close_ts"]
    n = c["n_live"]
    for rank in range(2):
        for j in range(n):
            row = sim.live[j]
            order = sim.orders[row]
            if order["instrument"] != k or not is_live(order) or rank_of(order) != rank:
                continue
            if order["seen_bar"] == NONE:
                look(sim, row, bar["close"], ts, bar, bar_row, AT_CLOSE)
    sweep(sim)
