"""Regime trader: ask a model what kind of market this is, and trade its answer within fixed limits."""

from framework import Strategy, market_brief


class RegimeTrader(Strategy):
    """Enter once in each regime with the model's stop and target, if it is confident; leave with the regime.

    The model sees the market brief and nothing else; what it says is one signal, checked before it comes
    here. Code decides: below `min_confidence` nothing is opened, and a position never takes more than
    `max_share`. With the offline stand-in `Rules` it gains a little on the sample before fees and slippage,
    and loses after them.
    """

    min_confidence: float = 0.6
    max_share: float = 0.25  # of equity in one position

    ask_every = "4h"

    def setup(self):
        self.regime = -1  # what the market was called last
        self.is_new = True  # no position was opened in it yet

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        if (
            signal.regime != self.regime or broker.position * signal.direction < 0.0
        ):  # another view of the market
            self.regime = signal.regime
            self.is_new = True
            if broker.position != 0.0:
                broker.close()
        if self.is_new and signal.direction != 0 and signal.confidence >= self.min_confidence:
            self.is_new = False
            share = min(signal.size, self.max_share)
            broker.order(signal.direction, share=share, stop=signal.stop, target=signal.target)
