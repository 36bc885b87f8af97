"""Pairs: when the price ratio of two coins is far from its mean, sell the dear one and buy the cheap one."""

import math

from framework import Strategy, compiled
from framework.indicators import zscore


@compiled
class Pairs(Strategy):
    """Trade the z-score of log(price 0 / price 1) of the first two instruments, both legs of equal value.

    It loses on its sample: twice, in 2018 and 2019, ETH fell against BTC for months and did not come back in
    time.
    """

    window: int = 60  # bars
    enter: float = 2.0  # standard deviations
    leave: float = 0.5
    share: float = 0.4  # of equity in each leg; without leverage both fit below 0.5

    sample = "majors-1d"

    def setup(self):
        self.spread = zscore.state(self.window)
        self.first_ts = 0  # close of the first leg's last bar
        self.side = 0  # of the first leg: what the two legs are meant to hold

    def on_bar(self, bar, broker):
        if bar.instrument == 0:
            self.first_ts = bar.close_ts
        elif (
            bar.instrument == 1 and bar.close_ts == self.first_ts
        ):  # both legs of this close are seen: once a day
            z = zscore(self.spread, math.log(broker.at(0).price / bar.close))
            if self.side == 0 and z > self.enter:
                self.hold(broker, -1)
            elif self.side == 0 and z < -self.enter:
                self.hold(broker, +1)
            elif self.side != 0 and -self.side * z < self.leave:
                self.side = 0
                broker.at(0).close()
                broker.at(1).close()

    def hold(self, broker, side):
        self.side = side
        value = self.share * broker.equity
        broker.at(0).order(side, qty=value / broker.at(0).price)
        broker.at(1).order(-side, qty=value / broker.at(1).price)
