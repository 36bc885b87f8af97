"""Regime trader: ask a model what kind of market this is, and trade its answer within fixed limits."""

from framework import AsOf, Strategy, market_brief

SPAN = 168  # bars
INSTRUCTIONS = """You advise a trader who holds for hours to days. Name the regime first, then a direction
only where the regime supports one; "neutral" is a good answer. Put the stop where the regime is over."""


class RegimeTrader(Strategy):
    """Enter once in each regime with the model's stop and target, if it is confident; leave with the regime.

    The model sees the market brief, the range of the last 168 bars and fixed instructions; what it says is
    one signal, checked before it comes here. Code decides: below `min_confidence` nothing is opened, and a
    position never takes more than `max_share`. `ask` reads no parameter, so that a sweep asks each question
    once. With the offline stand-in `Rules` it gains a little on the sample before fees and slippage, and
    loses after them.
    """

    min_confidence: float = 0.6
    max_share: float = 0.25  # of equity in one position

    ask_every = "4h"

    def setup(self):
        self.regime = -1  # what the market was called last
        self.is_new = True  # no position was opened in it yet

    def ask(self, view):
        bars = view.bars(SPAN)
        known = int(bars[-1]["close_ts"])  # a value travels with the time it was known at
        facts = {
            f"High of {SPAN} bars": AsOf(float(bars["high"].max()), known, "price"),
            f"Low of {SPAN} bars": AsOf(float(bars["low"].min()), known, "price"),
        }
        return market_brief(view, facts=facts, instructions=INSTRUCTIONS, version="regime-1")

    def on_signal(self, signal, broker):
        if signal.regime != self.regime or broker.position * signal.direction < 0.0:  # another view of it
            self.regime = signal.regime
            self.is_new = True
            if broker.position != 0.0:
                broker.close()
        if self.is_new and signal.direction != 0 and signal.confidence >= self.min_confidence:
            self.is_new = False
            share = min(signal.size, self.max_share)
            broker.order(signal.direction, share=share, stop=signal.stop, target=signal.target)
