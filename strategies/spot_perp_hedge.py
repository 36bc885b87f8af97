"""Cash and carry: sell the perpetual while it is dear, hold the spot against every fill."""

from framework import Strategy


class SpotPerpHedge(Strategy):
    """Quote the perpetual (instrument 0) and hedge each own fill with a market order on the spot (1).

    It sells while the perpetual stands far above the spot, collects funding, and buys back when they are
    close again. The quote is a maker's, the hedge pays the spot's fee and spread: the two thresholds must lie
    wider apart than that.
    """

    qty: float = 0.02  # base units of a quote
    limit: float = 0.1  # base units sold at most
    enter: float = 4.0  # bps the perpetual stands above the spot
    leave: float = 2.0

    sample = "ticks-hedge"
    timer = "250ms"

    def setup(self):
        self.id = -1  # of the working quote
        self.side, self.price, self.left = 0, 0.0, 0.0

    def on_timer(self, now, broker):
        perp, spot = broker.at(0), broker.at(1)
        basis = (perp.book.mid / spot.book.mid - 1.0) * 1e4  # NaN while a book has an empty side
        if basis > self.enter and perp.position - self.qty >= -self.limit:
            self.quote(perp, -1, perp.book.ask, self.qty)
        elif basis < self.leave and perp.position < 0.0:
            self.quote(perp, +1, perp.book.bid, min(self.qty, -perp.position))
        else:
            self.quote(perp, 0, 0.0, 0.0)

    def quote(self, perp, side, price, qty):
        if (side, price) == (self.side, self.price):
            return
        if self.side != 0:
            perp.cancel(self.id)
        if side != 0:
            self.id = perp.order(side, qty=qty, price=price, post_only=True)
        self.side, self.price, self.left = side, price, qty

    def on_fill(self, fill, broker):
        if fill.instrument == 0:
            broker.at(1).order(-fill.side, qty=fill.qty)
            self.left -= fill.qty if fill.order_id == self.id else 0.0
            if self.left < 1e-9:
                self.side = 0  # quote anew at the next timer

    def on_order(self, order, broker):
        if order.order_id == self.id:
            self.side = 0
