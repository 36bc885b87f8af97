"""Candle frames and markets for the market's tests."""

from __future__ import annotations

import numpy as np
import polars as pl

from framework.market import Market
from framework.times import HOUR, MINUTE, parse_time

T0 = parse_time("2024-01-01")
ID, PERP = "binance:BTCUSDT", "binance-futures:BTCUSDT"


def candles(count, step=MINUTE, start=T0, seed=1, keep=None):
    """Polars frame of a random walk with integer stamps in ms; `keep` chooses rows."""
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, count))), 2)
    first = np.concatenate(([100.0], close[:-1]))
    frame = pl.DataFrame(
        {
            "open_time_ms": (start + np.arange(count) * step) // 1_000_000,
            "open": first,
            "high": np.maximum(first, close) + 0.05,
            "low": np.minimum(first, close) - 0.05,
            "close": close,
            "volume": np.round(rng.uniform(0.0, 9.0, count), 3),
        }
    )
    return frame if keep is None else frame[keep]


def market(count=60, interval="1m", step=MINUTE, id=ID, **options):
    return Market.from_candles(candles(count, step, **options), id, interval, "open")


def features(count):
    stamps = T0 + np.arange(count) * MINUTE
    return pl.DataFrame(
        {"ts": stamps, "slow": np.arange(count) * 1.0, "fast": np.where(np.arange(count) < 5, np.nan, 2.0)}
    )


def funding(count):
    return pl.DataFrame({"ts": T0 + np.arange(count) * HOUR + 8_000_000, "rate": np.full(count, 1e-4)})
