"""A result of random numbers with every table filled, for the tests of results and reports."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from framework import metrics
from framework.result import SCHEMAS, Result

HOUR = 3_600 * 10**9
T0 = 1_700_000_400 * 10**9 // HOUR * HOUR
ID = "binance-futures:BTCUSDT"


def trades_of(ts: Any, close: Any, entries: Any, pnl: Any, k: Any) -> pl.DataFrame:
    """Rows of the trades table."""
    return pl.DataFrame(
        {
            "instrument": [ID] * k,
            "side": np.where(entries % 2 == 0, "buy", "sell"),
            "qty": np.full(k, 0.1),
            "entry_ts": ts[entries],
            "exit_ts": ts[entries + 3],
            "entry_bar": entries,
            "exit_bar": entries + 3,
            "entry_price": close[entries],
            "exit_price": close[entries + 3],
            "gross": pnl + 1.0,
            "fees": np.ones(k),
            "funding": np.zeros(k),
            "pnl": pnl,
            "reason": ["stop"] * k,
        },
        schema=SCHEMAS["trades"],
    )


def orders_of(ts: Any, close: Any, entries: Any, status: Any, k: Any) -> pl.DataFrame:
    """Rows of the orders table."""
    return pl.DataFrame(
        {
            "id": np.arange(1, k + 1),
            "ts": ts[entries],
            "arrival_ts": ts[entries],
            "end_ts": [*ts[entries][:-1], None],
            "instrument": [ID] * k,
            "side": ["buy"] * k,
            "type": ["market"] * k,
            "tif": ["GTC"] * k,
            "qty": np.full(k, 0.1),
            "price": np.full(k, math.nan),
            "status": status,
            "filled_qty": np.full(k, 0.1),
            "avg_price": close[entries],
            "last_fill_ts": ts[entries],
            "maker": [False] * k,
            "n_fills": [1] * k,
            "reason": [""] * (k - 3) + ["insufficient margin", "position closed", ""],
        },
        schema=SCHEMAS["orders"],
    )


def fills_of(ts: Any, close: Any, entries: Any, k: Any) -> pl.DataFrame:
    """Rows of the fills table."""
    return pl.DataFrame(
        {
            "order_id": np.arange(1, k + 1),
            "ts": ts[entries],
            "seen_ts": ts[entries] + 1,
            "bar_open_ts": ts[entries],
            "instrument": [ID] * k,
            "side": ["buy"] * k,
            "price": close[entries],
            "qty": np.full(k, 0.1),
            "fee": np.ones(k),
            "maker": [False] * k,
        },
        schema=SCHEMAS["fills"],
    )


def account_of(ts: Any, equity: Any, close: Any, zeros: Any) -> pl.DataFrame:
    """Rows of the account table."""
    return pl.DataFrame(
        {
            "ts": ts,
            "equity": equity,
            "cash": equity,
            "position": close * 0 + 0.1,
            "realised": equity - 1e4,
            "unrealised": -zeros,
            "fees": zeros,
            "funding": zeros,
            "tokens": zeros,
        },
        schema=SCHEMAS["equity"],
    )


def decisions_of(ts: Any, close: Any, reasoning: list[str], n: int) -> pl.DataFrame:
    """Rows of the decisions table."""
    return pl.DataFrame(
        {
            "ts": ts[:n],
            "instrument": [ID] * n,
            "status": ["ok"] * n,
            "regime": ["ranging"] * n,
            "direction": ["long"] * n,
            "confidence": [0.7] * n,
            "entry": close[:n],
            "stop": close[:n] * 0.97,
            "target": close[:n] * 1.05,
            "size": [0.2] * n,
            "latency_ns": [10**9] * n,
            "cost": [0.0] * n,
            "in_sample": [False] * n,
            "model": ["rules-1"] * n,
            "reasoning": reasoning,
            "key": ["k"] * n,
            "arrival_ts": ts[:n] + 10**9,
            "delivered": ["yes"] * n,
            "repairs": [""] * n,
            "sample": [0] * n,
        },
        schema=SCHEMAS["decisions"],
    )


def make(rows: int = 500, reasoning: list[str] | None = None, seed: int = 3, **more: Any) -> Result:
    """Build a result of random numbers with every table filled."""
    rng = np.random.default_rng(seed)
    ts = T0 + HOUR * (1 + np.arange(rows))
    close = 30_000 * np.cumprod(1 + rng.normal(0, 0.006, rows))
    equity = 10_000 * np.cumprod(1 + rng.normal(0.0002, 0.004, rows))
    entries = np.arange(0, rows - 3, 7)
    k = len(entries)
    pnl = rng.normal(2, 30, k)
    trades = trades_of(ts, close, entries, pnl, k)
    status = ["filled"] * (k - 3) + ["rejected", "cancelled", "open"]
    orders = orders_of(ts, close, entries, status, k)
    fills = fills_of(ts, close, entries, k)
    zeros = np.zeros(rows)
    account = account_of(ts, equity, close, zeros)
    decisions = None
    if reasoning is not None:
        n = len(reasoning)
        decisions = decisions_of(ts, close, reasoning, n)
    found = metrics.summary(
        ts, equity, start=1e4, start_ts=T0, pnl=pnl, notional=0.1 * close[entries], ambiguous=4
    )
    chosen = {name: found[name] for name in ("total_return", "sharpe", "max_drawdown")}
    settings: dict[str, Any] = {
        "orders": orders,
        "fills": fills,
        "trades": trades,
        "equity": lambda: account,
        "decisions": decisions,
        "metrics": found,
        "params": {"fast": 12, "slow": 48, "share": 0.1 + 0.2},
        "fingerprint": "ab" * 32,
        "manifest": {
            "strategy": "EmaCross",
            "code": "cd" * 32,
            "costs": {"maker": 2e-4, "taker": 5e-4, "impact": None},
            "data": {"name": "demo", "start": int(ts[0]), "stop": int(ts[-1]), "notes": ["3 gaps"]},
            "instruments": {ID: {"kind": "linear", "multiplier": 1.0}},
            "cash": 10_000.0,
            "latency": {"order": "20ms"},
            "fills": {"at": "open", "intrabar": "worst"},
            "seed": 0,
        },
        "price": pl.DataFrame({"ts": ts, "close": close, "instrument": [ID] * rows}),
        "bounds": {"worst": chosen, "chosen": chosen, "best": chosen},
        "notes": ["short positions on a spot instrument"],
        "cassette": b'{"key":"k"}\n' if reasoning else b"",
    }
    return Result(**{**settings, **more})
