"""Small made markets for tests whose numbers are worked out by hand: one-minute bars, nothing random.

Rows are written "open high low close [volume]" as in `tests.golden`; t(1) is the close of bar 0. `replay` and
`play` cost nothing and take no time unless said otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from framework import Costs, Instrument, Latency, Market, Result, Strategy, backtest, replay_orders
from framework.records import BAR
from tests.golden import bars

FREE: dict[str, Any] = {
    "costs": Costs(maker=0.0, taker=0.0, slippage=0.0), "latency": Latency(order=0, response=0)
}  # fmt: skip
FLAT = "100 100 100 100"


def coin(id: str = "made:AAA", kind: str = "linear", **more: Any) -> Instrument:
    """Instrument with tick 1 and lot 1 that settles in USD."""
    return Instrument(id, kind=kind, **{"tick_size": 1.0, "lot_size": 1.0, "settle": "USD", **more})


def made(*rows: str, step: int = 1, first: int = 0, what: Instrument | None = None, **more: Any) -> Market:
    """Market of one instrument with these bars of `step` minutes."""
    table = np.array(bars(*rows, first=first, step=step), dtype=BAR)
    return Market.from_candles(table, what or coin(**more))


def signals(*rows: dict[str, Any]) -> pl.DataFrame:
    """Signals frame; what is not given is a costless "ok"."""
    plain = {"direction": "long", "confidence": 0.9, "size": 0.1, "cost": 0.0, "status": "ok"}
    return pl.DataFrame([{**plain, **row} for row in rows])


def replay(market: Market, *orders: dict[str, Any], **options: Any) -> Result:
    """Replay orders; a row may leave any column out."""
    columns = list(dict.fromkeys(name for row in orders for name in row))
    frame = {name: [row.get(name) for row in orders] for name in columns}
    return replay_orders(pl.DataFrame(frame, strict=False), market, **{**FREE, **options})


def play(strategy: Strategy | type[Strategy], market: Market, **options: Any) -> Result:
    """Backtest a strategy."""
    return backtest(strategy, market, **{**FREE, **options})


def buy(at: int, qty: float = 1.0, kind: str = "market", **more: Any) -> dict[str, Any]:
    """One row that buys."""
    return {"ts": at, "side": "buy", "type": kind, "qty": qty, **more}


def sell(at: int, qty: float = 1.0, kind: str = "market", **more: Any) -> dict[str, Any]:
    """One row that sells."""
    return {**buy(at, qty, kind, **more), "side": "sell"}


def column(result: Result, table: str, name: str) -> list[Any]:
    """One column of a result's table."""
    return getattr(result, table)[name].to_list()
