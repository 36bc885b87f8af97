"""The events hooks get, as plain tuples."""

from __future__ import annotations

from typing import NamedTuple

from framework.engine.state import Sim
from framework.engine.taking import price_at, qty_of
from framework.engine.ticks import ticks_at
from framework.jit import kernel


class Bar(NamedTuple):
    """A closed bar as `on_bar` gets it. Times in ns UTC; `ts` is when it could be seen here."""

    instrument: int
    interval: int
    ts: int
    open_ts: int
    close_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Signal(NamedTuple):
    """A decision as `on_signal` gets it: asked at `ts`, here at `arrival_ts`."""

    instrument: int
    ts: int
    arrival_ts: int
    regime: int
    direction: int
    confidence: float
    entry: float
    stop: float
    target: float
    size: float
    risk_reward: float
    id: int


class FillEvent(NamedTuple):
    """One own fill as `on_fill` gets it."""

    instrument: int
    order_id: int
    ts: int
    side: int
    price: float
    qty: float
    fee: float
    maker: int


class OrderEvent(NamedTuple):
    """A change of one own order that is no fill: cancelled, expired or rejected (codes of records.py)."""

    instrument: int
    order_id: int
    ts: int
    side: int
    status: int
    reason: int
    filled: float


class Trade(NamedTuple):
    """A trade of the feed as `on_trade` gets it: `ts` at the exchange, `local_ts` here, `side` of the taker.
    """

    instrument: int
    ts: int
    local_ts: int
    price: float
    qty: float
    side: int


@kernel(store=False)
def trade_event(sim: Sim, k, row):
    """Build the event of one trade."""
    t = ticks_at(sim.cursor[k]["ticks"])
    x = t.trades[row]
    p = t.place[0]
    return Trade(k, x["raw_ts"], x["local_ts"], price_at(p, x["tick"]), qty_of(p, x["lots"]), int(x["side"]))


@kernel(store=False)
def fill_event(sim: Sim, row):
    """Build the event of one own fill."""
    f = sim.fills[row]
    return FillEvent(
        f["instrument"], f["order_id"], f["ts"], f["side"], f["price"], f["qty"], f["fee"], f["maker"]
    )


@kernel(store=False)
def order_event(sim: Sim, row):
    """Build the event of one own order's change."""
    answer = sim.responses[row]
    o = sim.orders[answer["order"]]
    return OrderEvent(
        o["instrument"], o["id"], answer["seen_ts"], o["side"], answer["status"], o["reason"], o["filled"]
    )


@kernel(store=False)
def signal_event(sim: Sim, row):
    """Build the event of one decision."""
    s = sim.signals[row]
    return Signal(
        s["instrument"],
        s["ts"],
        s["arrival_ts"],
        s["regime"],
        s["direction"],
        s["confidence"],
        s["entry"],
        s["stop"],
        s["target"],
        s["size"],
        s["risk_reward"],
        s["id"],
    )


@kernel(inline=True, store=False)
def bar_event(bar, k, ts):
    """Build the event of one closed bar."""
    return Bar(
        k,
        bar["close_ts"] - bar["open_ts"],
        ts,
        bar["open_ts"],
        bar["close_ts"],
        bar["open"],
        bar["high"],
        bar["low"],
        bar["close"],
        bar["volume"],
    )
