"""A run on ticks that no engine made: random orders and fills over a random feed, for tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from framework import metrics
from framework.engine.state import RULES
from framework.execution import execution
from framework.market import Market
from framework.outcome import Outcome
from framework.records import CANCELLED, FILL, FILLED, LIMIT, NEVER, OPEN, ORDER, PENDING, R_CANCEL, R_IOC
from framework.result import SCHEMAS, Result
from tests.made_result import make
from tests.tick_frames import T0, book_of, coin, random_feed, trade_rows

SECOND = 10**9
TICK, LOT = 0.1, 0.001


def slowed(rows: list[Any], by: int) -> list[Any]:
    """The rows of a feed, `by` times slower."""
    return [(T0 + by * (ts - T0), T0 + by * (ts - T0) + seen - ts, *rest) for ts, seen, *rest in rows]


def made_market(rng: np.random.Generator, count: int = 4_000) -> Market:
    """Market of about `count` events in 90 seconds for each 4,000."""
    messages, trades = random_feed(rng, count, mid=300_000)
    what = coin(tick_size=TICK, lot_size=LOT)
    books, rows = {0: book_of(slowed(messages, 30))}, {0: trade_rows(slowed(trades, 30))}
    return Market((what,), books=books, trades=rows, name="made")


def orders_and_fills(rng: np.random.Generator, market: Market) -> tuple[Any, Any]:
    """ORDER and FILL rows of someone who quotes both sides half a second each, now and then filled."""
    n = int((int(market.books[0].messages["ts"][-2]) - T0) // (SECOND // 2)) - 2
    orders, fills = np.zeros(2 * n + 2, ORDER), []
    for i in range(2 * n):
        o = orders[i]
        side = 1 - 2 * (i % 2)
        o["arrival_ts"] = T0 + SECOND + i // 2 * SECOND // 2
        o["end_ts"] = o["arrival_ts"] + SECOND // 2
        o["side"], o["price"], o["qty"] = side, 30_000.0 - side * rng.integers(1, 12) * TICK, 10 * LOT
        o["status"], o["reason"] = CANCELLED, R_CANCEL
        if rng.random() < 0.3:
            o["filled"] = rng.integers(1, 11) * LOT
            ts = o["arrival_ts"] + int(rng.exponential(SECOND / 8)) % (SECOND // 2)
            fills.append((ts, i, side, o["price"], o["filled"], int(rng.random() < 0.8)))
            o["n_fills"] = 1
            if o["filled"] > 9.5 * LOT:
                o["status"], o["end_ts"], o["reason"] = FILLED, ts, 0
    orders["id"] = np.arange(1, len(orders) + 1)
    orders["kind"] = LIMIT
    for name in ("asked_qty", "asked_trigger", "trigger"):
        orders[name] = np.nan
    orders["ts"] = orders["arrival_ts"] - SECOND // 50
    last = orders[-2:]
    last["side"], last["price"], last["qty"] = [1, -1], [29_900.0, 30_100.0], LOT
    last["arrival_ts"] = orders["arrival_ts"][-3] + SECOND
    last["end_ts"], last["status"] = NEVER, [OPEN, PENDING]
    orders["asked_price"] = orders["price"]
    return orders, fill_rows(sorted(fills))


def fill_rows(rows: list[Any]) -> Any:
    """FILL rows of (ts, order row, side, price, qty, maker)."""
    fills = np.zeros(len(rows), FILL)
    for f, (ts, row, side, price, qty, maker) in zip(fills, rows, strict=True):
        f["ts"], f["seen_ts"], f["order"], f["order_id"] = ts, ts + SECOND // 50, row, row + 1
        f["side"], f["price"], f["qty"], f["maker"] = side, price, qty, maker
        f["fee"] = price * qty * (-1e-5 if maker else 4e-4)
    return fills


def outcome_of(market: Market, orders: Any, fills: Any) -> Outcome:
    """The outcome of a run with these rows."""
    rules = np.zeros(len(market.instruments), RULES)
    rules["multiplier"], rules["kind"] = 1.0, 1
    clock = {"n_orders": len(orders), "n_fills": len(fills), "late": 0}
    sim = SimpleNamespace(orders=orders, fills=fills, rules=rules)
    tables: Any = SimpleNamespace(clock=clock, sim=sim, market=market)
    return Outcome(tables)


def account(outcome: Outcome, start: float = 10_000.0) -> pl.DataFrame:
    """Equity rows every second, marked at the mid of the exchange."""
    f, price = outcome.fill_rows, outcome.price()
    ts = np.arange(T0 + SECOND, int(price["ts"][-1]), SECOND)
    row = np.searchsorted(f["ts"], ts, side="right")
    position = np.concatenate(([0.0], np.cumsum(f["side"] * f["qty"])))[row]
    paid = np.concatenate(([0.0], np.cumsum(f["side"] * f["qty"] * f["price"] + f["fee"])))[row]
    mid = price["close"].to_numpy()[np.searchsorted(price["ts"].to_numpy(), ts)]
    none, fees = np.zeros(len(ts)), np.concatenate(([0.0], np.cumsum(f["fee"])))[row]
    equity = start - paid + position * mid
    columns = (ts, equity, start - paid, position, equity - start, none, fees, none, none)
    return pl.DataFrame(dict(zip(SCHEMAS["equity"], columns, strict=True)))


def made_run(seed: int = 5, count: int = 8_000, **more: Any) -> tuple[Result, Outcome]:
    """A result of random orders over a random feed, and the outcome behind it."""
    rng = np.random.default_rng(seed)
    market = made_market(rng, count)
    outcome = outcome_of(market, *orders_and_fills(rng, market))
    equity = account(outcome)
    found = metrics.summary(equity["ts"].to_numpy(), equity["equity"].to_numpy(), start=10_000.0, start_ts=T0)
    name = market.instruments[0].id
    about = {**make(rows=30).manifest, "strategy": "MadeMaker", "instruments": {name: {"kind": "linear"}}}
    result = make(
        rows=30, orders=outcome.orders, fills=outcome.fills, trades=None, equity=equity, price=outcome.price,
        metrics=found | execution(outcome), manifest={**about, "data": {"name": "made"}, "settle": "USD"},
        bounds=None, notes=[], **more,
    )  # fmt: skip
    return result, outcome


__all__ = ["R_IOC", "made_run", "outcome_of"]
