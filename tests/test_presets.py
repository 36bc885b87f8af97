"""`Fills.like(tool)` against the tools themselves, fill by fill, on real bars and on made ones full of gaps.

`golden_peers/` was written by the peers (benchmarks/peers; versions and command in each file's first line),
so they need not be installed. Every workload runs twice: as a table of orders, and as a strategy of its own.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.peers.workload import COLUMNS, gappy
from framework import Costs, Fills, Instrument, Latency, Market, Strategy, backtest, replay_orders
from framework.indicators import sma

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "framework" / "samples"
FEE, SLIPPAGE, STOP, TARGET, CASH = 0.001, 0.0005, 0.02, 0.03, 10_000_000.0
FILES = {"1h": "coinbase_BTCUSD_1h_2017-07_2019-10.csv.gz", "1d": "bitstamp_BTCUSD_1d_2014-2020.csv.gz"}
COSTS = {
    "backtesting.py": Costs(maker=FEE, taker=FEE, slippage=0.0, entry_spread=SLIPPAGE),  # its `spread`
    "vectorbt": Costs(maker=FEE, taker=FEE, slippage=SLIPPAGE),
    "backtrader": Costs(maker=FEE, taker=FEE, slippage=SLIPPAGE),
}
NOW = Latency(order="0ms")  # so that an order of the last close still fills at that close, as in vectorbt
EACH = [(tool, work, bars) for tool in COSTS for work in ("sma", "bracket") for bars in ("1h", "1d", "made")]


class Cross(Strategy):
    """Hold one unit while the faster average is above, from bar 50 on."""

    def setup(self):
        self.fast, self.slow, self.bar = sma.state(10), sma.state(50), 0

    def on_bar(self, bar, broker):
        up = sma(self.fast, bar.close) > sma(self.slow, bar.close)
        if self.bar >= 50:
            if up and broker.position == 0.0:
                broker.buy(qty=1.0)
            elif not up and broker.position > 0.0:
                broker.close()
        self.bar += 1


class Bracket(Strategy):
    """Buy one unit at every `every`-th bar when flat; with `rest` not on a bar that closed a trade."""

    every: int = 24
    rest: int = 0

    def setup(self):
        self.bar, self.held = 0, False

    def on_bar(self, bar, broker):
        flat = broker.position == 0.0
        closed = self.held and flat
        self.held = not flat
        if self.bar > 0 and self.bar % self.every == 0 and flat and not (closed and self.rest == 1):
            broker.buy(qty=1.0, stop=bar.close * (1 - STOP), target=bar.close * (1 + TARGET))
            self.held = True
        self.bar += 1


def candles(bars: str) -> Market:
    if bars == "made":
        ts, columns = gappy()
        made = {name: columns[:, i] for i, name in enumerate(COLUMNS)} | {"ts": ts}
        coin = Instrument("synthetic:GAPS")
        return Market.from_candles(made, coin, "1d", stamp="open", time="ts", unit="ns")
    frame = pl.read_csv(SAMPLES / FILES[bars])
    coin = Instrument("coinbase:BTC-USD" if bars == "1h" else "bitstamp:BTCUSD")
    return Market.from_candles(frame, coin, bars, stamp="open", time="open_time_ms", unit="ms")


def golden(tool: str, work: str, bars: str) -> pl.DataFrame:
    """Fills of the tool itself: bar_open_ts, side, price, qty, fee."""
    path = HERE / "golden_peers" / f"{tool.removesuffix('.py')}.{work}-{bars}.csv.gz"
    with gzip.open(path) as f:
        return pl.read_csv(f.read(), comment_prefix="#", schema_overrides={"qty": pl.Float64})


def scripted(theirs: pl.DataFrame, market: Market, work: str, at: str) -> pl.DataFrame:
    """The orders behind the tool's fills; a bracket's exits are left to us."""
    bars = market.match_bars(0)
    row = np.searchsorted(bars["open_ts"], theirs["bar_open_ts"].to_numpy()) - (at == "open")
    decided = pl.DataFrame({
        "ts": bars["close_ts"][row], "side": theirs["side"], "type": "market", "qty": theirs["qty"],
        "stop": bars["close"][row] * (1 - STOP), "target": bars["close"][row] * (1 + TARGET),
    })  # fmt: skip
    return decided.filter(side="buy") if work == "bracket" else decided.drop("stop", "target")


def check(ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    ours = ours.select("bar_open_ts", "side", "price", "qty", "fee")
    for i, (a, b) in enumerate(zip(ours.rows(), theirs.rows(), strict=False)):
        assert a[:2] == b[:2], f"fill {i + 1}: ours {a}, theirs {b}"
        assert a[2:] == pytest.approx(b[2:], rel=1e-12), f"fill {i + 1}: ours {a}, theirs {b}"
    assert len(ours) == len(theirs)


@pytest.mark.parametrize(("tool", "work", "bars"), EACH)
def test_orders_fill_as_there(tool, work, bars):
    market, theirs, fills = candles(bars), golden(tool, work, bars), Fills.like(tool)
    orders = scripted(theirs, market, work, fills.at)
    result = replay_orders(orders, market, cash=CASH, costs=COSTS[tool], fills=fills, latency=NOW)
    check(result.fills, theirs)


@pytest.mark.parametrize(("tool", "work", "bars"), EACH)
def test_a_strategy_trades_as_there(tool, work, bars):
    every, rest = 24 if bars == "1h" else 1, int(tool == "vectorbt")
    strategy = Cross() if work == "sma" else Bracket(every=every, rest=rest)
    options = {"cash": CASH, "costs": COSTS[tool], "fills": Fills.like(tool), "latency": NOW}
    result = backtest(strategy, candles(bars), **options)
    check(result.fills, golden(tool, work, bars))
