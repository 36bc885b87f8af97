"""Channel breakout: trade the close that leaves the last weeks' range, with a stop and a target in ATRs."""

import math

from framework import Strategy, compiled
from framework.indicators import atr, rolling_max, rolling_min


@compiled
class Breakout(Strategy):
    """Buy a close above the highest high of the last `channel` bars, sell one below the lowest low.

    The channel ends one bar before the one that breaks it (Donchian). Every entry carries its exits, so that
    there is nothing to do until the position is flat again.
    """

    channel: int = 240  # bars
    atr_bars: int = 48
    stop: float = 4.0  # ATRs against the entry bar's close
    target: float = 12.0  # ATRs with it
    risk: float = 0.02  # of equity, lost when the stop is hit at its level
    max_share: float = 0.95  # of equity in the position

    def setup(self):
        self.highs = rolling_max.state(self.channel)
        self.lows = rolling_min.state(self.channel)
        self.range = atr.state(self.atr_bars)
        self.upper = math.nan  # NaN until the channel is full: no comparison with it is true
        self.lower = math.nan

    def on_bar(self, bar, broker):
        width = atr(self.range, bar.high, bar.low, bar.close)
        if broker.position == 0.0 and broker.orders == 0 and width > 0.0:
            if bar.close > self.upper:
                self.enter(bar, broker, +1, width)
            elif bar.close < self.lower:
                self.enter(bar, broker, -1, width)
        self.upper = rolling_max(
            self.highs, bar.high
        )  # after the decision: this bar belongs to the next channel
        self.lower = rolling_min(self.lows, bar.low)

    def enter(self, bar, broker, side, width):
        share = min(self.risk * bar.close / (self.stop * width), self.max_share)
        stop = bar.close - side * self.stop * width
        target = bar.close + side * self.target * width
        if stop > 0.0 and target > 0.0:
            broker.order(side, share=share, stop=stop, target=target)
