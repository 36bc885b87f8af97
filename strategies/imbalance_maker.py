"""Imbalance maker: quote both sides of the book, away from its thin side and from the own position."""

import numpy as np

from framework import Strategy, compiled


@compiled
class ImbalanceMaker(Strategy):
    """Keep one post-only order a side at the first level that is worth it; it moves only when another is.

    The fair price is the mid, moved to the thicker side of the book and against the position. On its sample
    the spread earns about what the venue's small maker fee takes.
    """

    qty: float = 0.02  # base units of a quote
    limit: float = 0.1  # base units: no quote that could bring the position beyond it
    levels: int = 3  # of the book, whose imbalance counts
    lean: float = 0.6  # spreads the fair price moves when all size is on one side
    skew: float = 0.5  # spreads it moves when the position is at its limit
    edge: float = 0.5  # spreads a quote must be better than the fair price

    sample = "ticks"
    timer = "100ms"

    def setup(self):
        self.ids = np.zeros(2, dtype=np.int64)  # of the bid and the ask
        self.prices = np.zeros(2)  # 0 = no quote
        self.left = np.zeros(2)  # of its quantity

    def on_timer(self, now, broker):
        book = broker.book
        if book.spread > 0.0:  # NaN while a side is empty
            lean = self.lean * book.imbalance(self.levels) - self.skew * broker.position / self.limit
            for k, side in enumerate((1, -1)):
                self.quote(broker, book, k, side, book.mid + lean * book.spread)

    def quote(self, broker, book, k, side, fair):
        price = 0.0
        if side * broker.position + self.qty <= self.limit:
            level = 0
            while level < 3 and side * (fair - book.price(side, level)) < self.edge * book.spread:
                level += 1
            price = book.price(side, level)
        if price != self.prices[k]:
            if self.prices[k] > 0.0:
                broker.cancel(self.ids[k])
            if price > 0.0:
                self.ids[k] = broker.order(side, qty=self.qty, price=price, post_only=True)
            self.prices[k], self.left[k] = price, self.qty

    def on_fill(self, fill, broker):
        k = 0 if fill.side > 0 else 1
        self.left[k] -= fill.qty if self.ids[k] == fill.order_id else 0.0
        if self.left[k] < 1e-9:
            self.prices[k] = 0.0  # quoted anew at the next timer

    def on_order(self, order, broker):
        self.prices[self.ids == order.order_id] = 0.0
