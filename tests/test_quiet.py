"""Quiet stretches change nothing: every run with them equals the run that does its events one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest

import framework.plan
from framework import (
    Costs,
    Fills,
    Instrument,
    Market,
    Result,
    Strategy,
    backtest,
    compiled,
    replay_orders,
    samples,
)
from framework.engine import plain
from framework.engine.calls import step
from framework.indicators import sma
from framework.options import engine_options
from tests.naive.cases import random_case
from tests.naive.compare import frames
from tests.test_engine_modes import written


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let runs do every event by itself."""
    with patch.object(framework.plan, "engine_options", lambda *a: {**engine_options(*a), "tight": 0}):
        yield


def assert_same(one: Result, other: Result) -> None:
    """Compare all that a run leaves behind."""
    assert one.fingerprint == other.fingerprint
    for name in ("orders", "fills", "trades", "equity"):
        assert getattr(one, name).equals(getattr(other, name)), name


@compiled
class Restless(Strategy):
    """Enter with a bracket every few bars."""

    width: float = 0.01
    every: int = 7

    def setup(self):
        self.seen = 0
        self.fast = sma.state(4)

    def on_bar(self, bar, broker):
        mean = sma(self.fast, bar.close)
        self.seen += 1
        step = self.width * bar.close
        side = 1 if bar.close > mean else -1
        if self.seen % self.every == 0 and mean == mean:
            self.act(bar, broker, side, step)

    def act(self, bar, broker, side, step):
        broker.order(side, qty=0.5, stop=bar.close - side * step, target=bar.close + 2.0 * side * step)


@compiled
class Ladder(Restless):
    """Limits above and below, some of them good for a while only."""

    def act(self, bar, broker, side, step):
        for j in range(1, 4):
            broker.buy(qty=0.1, price=bar.close - j * step, expire_ts=bar.ts + j * 5_000_000_000_000)
            broker.sell(qty=0.1, price=bar.close + j * step)
        if broker.orders > 12:
            broker.cancel_all()


@compiled
class Trails(Restless):
    """Entries with trailing stops."""

    def act(self, bar, broker, side, step):
        if broker.position == 0.0:
            broker.order(side, qty=0.5, trail=2.0 * step)


@compiled
class StopsIn(Restless):
    """Stop and stop-limit entries in a group, with a trailing exit of their own."""

    def act(self, bar, broker, side, step):
        broker.buy(qty=0.3, trigger=bar.close + step, group=self.seen)
        broker.sell(qty=0.3, trigger=bar.close - step, price=bar.close - 1.5 * step, group=self.seen)
        if broker.position > 0.0:
            broker.sell(qty=broker.position, trail=3.0 * step, reduce_only=True)


@compiled
class AtTimes(Restless):
    """Wakes by the clock too, after a warm-up."""

    warmup = 20
    timer = "5h"

    def on_timer(self, now, broker):
        if broker.position != 0.0:
            broker.close()


@compiled
class FourHours(Restless):
    """Is shown a higher timeframe."""

    bars = "4h"
    every: int = 3


STRATEGIES = (Restless, Ladder, Trails, StopsIn, AtTimes, FourHours)
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "strict": {"strict": True},
    "close": {"fills": Fills(at="close", intrabar="best")},
    "capped": {"fills": Fills(volume_share=1e-4), "costs": Costs(slippage=0.0)},
    "capped at close": {"fills": Fills(at="close", volume_share=1e-4)},
    "isolated": {"leverage": 5.0, "margin": "isolated"},
    "poor": {"cash": 900.0, "leverage": 20.0},
}


def gappy(k: int, seed: int, bars: int = 900) -> Market:
    """Return a made hourly walk with gaps, each instrument its own."""
    rng = np.random.default_rng(seed)
    close = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006, bars)))
    opens = np.append(1_000.0, close[:-1]) * np.exp(rng.normal(0.0, 0.001, bars))
    wide = np.exp(np.abs(rng.normal(0.0, 0.003, bars)))
    kept = np.sort(rng.choice(bars, bars - 60, replace=False))
    frame = pl.DataFrame(
        {
            "ts_s": 1_599_998_400 + 3_600 * np.arange(bars, dtype=np.int64), "open": opens, "close": close,
            "high": np.maximum(opens, close) * wide, "low": np.minimum(opens, close) / wide,
            "volume": rng.uniform(10.0, 5_000.0, bars),
        }
    )  # fmt: skip
    coin = Instrument(f"made:COIN{k}", kind="linear", tick_size=0.01, lot_size=0.001)
    return Market.from_candles(frame[kept], coin, "1h", stamp="open")


def funded(market: Market, k: int) -> Market:
    """Add funding every eight hours."""
    first, last = market.start // 10**9 // 28_800 + 1, market.stop // 10**9 // 28_800
    ts = 28_800 * np.arange(first, last, dtype=np.int64)
    return market.with_funding(pl.DataFrame({"ts_s": ts, "rate": np.full(len(ts), 1e-4)}), k)


MARKETS = {
    "real": lambda: samples.load("btcusd-1h").slice(None, "2017-09-10"),
    "gaps": lambda: gappy(0, 5),
    "two": lambda: gappy(0, 5) + gappy(1, 6),
    "two, other times": lambda: gappy(0, 5) + gappy(1, 6).slice("2020-09-20", "2020-10-05"),
    "three, funding": lambda: funded(gappy(0, 5) + gappy(1, 6) + gappy(2, 7), 1),
}


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_strategies(cls: type[Strategy], market: str) -> None:
    data = MARKETS[market]()
    for options in OPTIONS.values():
        quick = backtest(cls, data, **options)
        with one_by_one():
            slow = backtest(cls, data, **options)
        assert_same(quick, slow)
    assert len(quick.fills) > 10


@pytest.mark.parametrize("cls", STRATEGIES, ids=lambda cls: cls.__name__)
def test_as_written(cls: type[Strategy]) -> None:
    for market in (gappy(0, 8), gappy(0, 8, 300) + gappy(1, 9, 300)):
        assert_same(backtest(cls, market), backtest(written(cls), market))


@pytest.mark.parametrize("seed", range(2_000_000, 2_000_150))
def test_scripts(seed: int) -> None:
    orders, market, options = frames(random_case(seed))
    quick = replay_orders(orders, market, **options)
    with one_by_one():
        assert_same(quick, replay_orders(orders, market, **options))


def test_stretches_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proofs above would also pass if no stretch were ever quiet."""
    calls: list[int] = []

    def counted(advance: Any, address: int) -> Any:
        calls.append(1)
        return step(advance, address)

    monkeypatch.setattr(plain, "step", counted)
    backtest(written(Ladder)(every=200), gappy(0, 5))
    quick = len(calls)
    with one_by_one():
        backtest(written(Ladder)(every=200), gappy(0, 5))
    assert quick < 0.3 * (len(calls) - quick)
