"""backtrader: speed and fills. Its slippage never leaves the bar; a bracket sleeps on its entry bar."""

from __future__ import annotations

import sys

import backtrader as bt
import workload as w


class Noted(bt.Strategy):
    """Keeps every execution; trades are counted like the others do, when closed."""

    def __init__(self):
        self.fills, self.closed = [], 0

    def notify_order(self, order):
        if order.status == order.Completed:
            done, side = order.executed, "buy" if order.isbuy() else "sell"
            price, size, fee = float(done.price), abs(float(done.size)), float(done.comm)
            self.fills.append((len(self.data) - 1, side, price, size, fee))

    def notify_trade(self, trade):
        self.closed += trade.isclosed


class Sma(Noted):
    def __init__(self):
        super().__init__()
        self.fast, self.slow = bt.ind.SMA(period=w.FAST), bt.ind.SMA(period=w.SLOW)

    def next(self):
        up = self.fast[0] > self.slow[0]
        if len(self.data) <= w.SLOW:
            return
        if up and not self.position:
            self.buy(size=1)
        elif not up and self.position:
            self.close()


class Bracket(Noted):
    params = (("every", 24),)

    def next(self):
        close, bar = self.data.close[0], len(self.data) - 1
        if bar and bar % self.p.every == 0 and not self.position:
            stop, target = close * (1 - w.STOP), close * (1 + w.TARGET)
            self.buy_bracket(size=1, exectype=bt.Order.Market, stopprice=stop, limitprice=target)


def run(df, strategy, **parameters):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=df, timeframe=bt.TimeFrame.Minutes))
    cerebro.addstrategy(strategy, **parameters)
    cerebro.broker.setcash(w.CASH)
    cerebro.broker.setcommission(commission=w.FEE)
    cerebro.broker.set_slippage_perc(w.SLIPPAGE)
    return cerebro.run()[0], cerebro.broker.getvalue()


if __name__ == "__main__":
    if sys.argv[1] == "speed":
        df = w.frame(w.candles())

        def once() -> tuple[int, float]:
            strategy, equity = run(df, Sma)
            return strategy.closed, equity

        w.measure("backtrader", bt.__version__, once, 1)
    else:
        ts, bars = w.bars_of(sys.argv[3])
        df = w.frame(bars, ts)
        done, _ = run(df, Sma) if sys.argv[2] == "sma" else run(df, Bracket, every=w.every(ts))
        w.write(sys.argv[4], w.versions("backtrader", bt.__version__), ts, done.fills)
