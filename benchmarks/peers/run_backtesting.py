"""backtesting.py: speed and fills. It charges its `spread` on entries only."""

from __future__ import annotations

import sys
import warnings

import backtesting
import numpy as np
import pandas as pd
import workload as w
from backtesting import Backtest, Strategy

warnings.filterwarnings("ignore")
backtesting.backtesting._tqdm = lambda x, **_: x
NAMES = ("Open", "High", "Low", "Close", "Volume")


def mean(x, n: int) -> pd.Series:
    return pd.Series(x).rolling(n).mean()


class Sma(Strategy):
    """Its `next` first runs on the bar after the slow average exists: bar 50."""

    def init(self):
        self.fast = self.I(mean, self.data.Close, w.FAST)
        self.slow = self.I(mean, self.data.Close, w.SLOW)

    def next(self):
        up = self.fast[-1] > self.slow[-1]
        if up and not self.position:
            self.buy(size=1)
        elif not up and self.position:
            self.position.close()


class Bracket(Strategy):
    every = 24

    def init(self):
        pass

    def next(self):
        close = self.data.Close[-1]
        if (len(self.data) - 1) % self.every == 0 and not self.position:
            self.buy(size=1, sl=close * (1 - w.STOP), tp=close * (1 + w.TARGET))


def run(bars: pd.DataFrame, strategy: type, **parameters: int) -> pd.Series:
    return Backtest(bars, strategy, cash=w.CASH, commission=w.FEE, spread=w.SLIPPAGE).run(**parameters)


def fills(stats: pd.Series) -> list[tuple[int, str, float, float, float]]:
    broker = stats["_strategy"]._broker
    rows = []
    for trade in broker.closed_trades + broker.trades:
        rows.append((trade.entry_bar, 0, "buy", trade.entry_price))
        if trade.exit_bar is not None:
            rows.append((trade.exit_bar, 1, "sell", trade.exit_price))
    rows.sort()  # a bar that both closes and opens does not occur: entries need a flat close before them
    out = [(int(i), side, float(price), 1.0, float(price) * w.FEE) for i, _, side, price in rows]
    paid = sum(t._commissions for t in broker.closed_trades)
    paid += sum(t.entry_price * w.FEE for t in broker.trades)
    assert np.isclose(sum(f[4] for f in out), paid, rtol=1e-12)
    return out


if __name__ == "__main__":
    if sys.argv[1] == "speed":
        df = w.frame(w.candles(), names=NAMES)

        def once() -> tuple[int, float]:
            stats = run(df, Sma)
            return int(stats["# Trades"]), float(stats["Equity Final [$]"])

        w.measure("backtesting.py", backtesting.__version__, once, 1)
    else:
        ts, bars = w.bars_of(sys.argv[3])
        df = w.frame(bars, ts, NAMES)
        done = run(df, Sma) if sys.argv[2] == "sma" else run(df, Bracket, every=w.every(ts))
        w.write(sys.argv[4], w.versions("backtesting.py", backtesting.__version__), ts, fills(done))
