"""vectorbt: speed and fills. `from_signals` fills at the signal's own close, and stops without slippage."""

from __future__ import annotations

import sys

import numpy as np
import vectorbt as vbt
import workload as w

COST = {"size": 1.0, "init_cash": w.CASH, "fees": w.FEE, "slippage": w.SLIPPAGE}


def up(close):
    return vbt.MA.run(close, w.FAST).ma > vbt.MA.run(close, w.SLOW).ma


def at_next_open(df):
    """The speed workload: signals moved one bar and filled at the open."""
    above = up(df["close"])
    entries, exits = above.vbt.fshift(1, fill_value=False), (~above).vbt.fshift(1, fill_value=False)
    return vbt.Portfolio.from_signals(df["close"], entries, exits, price=df["open"], freq="1min", **COST)


def sma(df):
    ready = np.arange(len(df)) >= w.SLOW
    above = up(df["close"])
    return vbt.Portfolio.from_signals(df["close"], above & ready, ~above & ready, **COST)


def bracket(df, step):
    bar = np.arange(len(df))
    entries = (bar % step == 0) & (bar > 0)
    exits = {"sl_stop": w.STOP, "tp_stop": w.TARGET, "open": df["open"], "high": df["high"], "low": df["low"]}
    return vbt.Portfolio.from_signals(df["close"], entries, False, **exits, **COST)


def fills(portfolio):
    return [
        (int(r["idx"]), "sell" if r["side"] else "buy", float(r["price"]), float(r["size"]), float(r["fees"]))
        for r in portfolio.orders.values
    ]


if __name__ == "__main__":
    if sys.argv[1] == "speed":
        engine = sys.argv[2] if len(sys.argv) > 2 else "numba"
        vbt.settings["engine"] = "auto" if engine == "rust" else engine
        df = w.frame(w.candles())

        def once() -> tuple[int, float]:
            portfolio = at_next_open(df)
            return int(portfolio.trades.count()), float(portfolio.final_value())

        w.measure(f"vectorbt-{engine}", vbt.__version__, once, 5)
    else:
        ts, bars = w.bars_of(sys.argv[3])
        df = w.frame(bars, ts)
        done = sma(df) if sys.argv[2] == "sma" else bracket(df, w.every(ts))
        w.write(sys.argv[4], w.versions("vectorbt", vbt.__version__), ts, fills(done))
