"""EMA cross: hold the side of the faster average, with a stop."""

from framework import Strategy, compiled
from framework.indicators import ema


@compiled
class EmaCross(Strategy):
    """Hold the side of the faster average."""

    fast: int = 12  # bars
    slow: int = 48  # bars
    share: float = 0.95  # of free equity
    stop: float = 0.02  # fraction of the price

    def setup(self):
        self.fast_ema = ema.state(self.fast)
        self.slow_ema = ema.state(self.slow)

    def on_bar(self, bar, broker):
        fast = ema(self.fast_ema, bar.close)
        slow = ema(self.slow_ema, bar.close)
        if fast > slow and broker.position <= 0.0:
            self.turn(bar, broker, +1)
        elif fast < slow and broker.position >= 0.0:
            self.turn(bar, broker, -1)

    def turn(self, bar, broker, side):
        broker.close()
        broker.order(side, share=self.share, stop=bar.close * (1.0 - side * self.stop))
