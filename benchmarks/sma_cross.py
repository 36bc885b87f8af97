"""One strategy three times: compiled class, ordinary Python class, and the bare loop that is the floor."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from framework import Costs, Fills, Instrument, Market, Strategy, compiled
from framework.indicators import sma

from .peers import workload as w

COSTS = Costs(maker=w.FEE, taker=w.FEE, slippage=w.SLIPPAGE)


@compiled
class CompiledCross(Strategy):
    """Hold one unit while SMA 10 is above SMA 50."""

    fast: int = w.FAST
    slow: int = w.SLOW

    def setup(self):
        self.fast_mean = sma.state(self.fast)
        self.slow_mean = sma.state(self.slow)

    def on_bar(self, bar, broker):
        up = sma(self.fast_mean, bar.close) > sma(self.slow_mean, bar.close)
        if up and broker.position == 0.0:
            broker.buy(qty=1.0)
        elif not up and broker.position > 0.0:
            broker.close()


class PlainCross(CompiledCross):
    """The same, as an ordinary class."""

    compiled = False


@compiled
class Brackets(Strategy):
    """Always in a trade, on the side of the cross, between a stop and a target 1 % away."""

    fast: int = w.FAST
    slow: int = w.SLOW

    def setup(self):
        self.fast_mean = sma.state(self.fast)
        self.slow_mean = sma.state(self.slow)

    def on_bar(self, bar, broker):
        fast = sma(self.fast_mean, bar.close)
        slow = sma(self.slow_mean, bar.close)
        if broker.position == 0.0 and broker.orders == 0 and slow == slow:
            side = 1 if fast > slow else -1
            step = side * 0.01 * bar.close
            broker.order(side, qty=1.0, stop=bar.close - step, target=bar.close + step)


class PlainBrackets(Brackets):
    """The same, as an ordinary class."""

    compiled = False


def market(symbol: str = "WALK") -> Market:
    """Return the year of made one-minute bars."""
    bars = w.candles()
    columns: dict[str, Any] = {name: np.ascontiguousarray(bars[:, i]) for i, name in enumerate(w.COLUMNS)}
    columns["ts"] = (w.START_S + np.arange(len(bars), dtype=np.int64) * 60) * 1_000_000_000
    made = Instrument(f"synthetic:{symbol}")
    return Market.from_candles(columns, made, "1m", stamp="open", time="ts", unit="ns", name="made walk")


def peer_rules() -> dict[str, dict[str, Any]]:
    """Options under which this strategy must end with the same equity as each peer's run of it."""
    return {
        "vectorbt": {"costs": COSTS},
        "backtesting": {"costs": Costs(maker=w.FEE, taker=w.FEE, slippage=0.0, entry_spread=w.SLIPPAGE)},
        "backtrader": {"costs": COSTS, "fills": Fills.like("backtrader")},
    }


@numba.njit
def floor(opens, closes, fast, slow, cash, fee, slippage, equity):
    """Fill at the next open and mark at the close: nothing but the arithmetic."""
    fast_sum = slow_sum = position = 0.0
    wanted, trades = False, 0
    for i in range(len(closes)):
        if wanted and position == 0.0:
            cash -= opens[i] * (1 + slippage) * (1 + fee)
            position = 1.0
        elif not wanted and position > 0.0:
            cash += opens[i] * (1 - slippage) * (1 - fee)
            position = 0.0
            trades += 1
        fast_sum += closes[i]
        slow_sum += closes[i]
        if i >= fast:
            fast_sum -= closes[i - fast]
        if i >= slow:
            slow_sum -= closes[i - slow]
        wanted = i >= slow - 1 and fast_sum / fast > slow_sum / slow
        equity[i] = cash + position * closes[i]
    return trades, equity[-1]
