"""The strategies of the tick benchmark, written as a user would; `plain(cls)` is the same in plain Python."""

from __future__ import annotations

import math

import numpy as np

from framework import Strategy, compiled

STEP = 10  # ticks in a price unit


@compiled
class Maker(Strategy):
    """One bid and one ask, `half` ticks from the middle; what stands at its price is left alone."""

    timer = "100ms"
    half: int = 5
    size: float = 0.01
    most: float = 1.0

    def setup(self):
        self.bid = 0
        self.ask = 0
        self.bid_id = 0
        self.ask_id = 0

    def on_timer(self, now, broker):
        self.quote(broker)

    def on_fill(self, fill, broker):
        if fill.order_id == self.bid_id:
            self.bid_id = 0
        elif fill.order_id == self.ask_id:
            self.ask_id = 0

    def quote(self, broker):
        book = broker.book
        if not book.ask > book.bid:  # nothing known yet
            return
        twice = round(STEP * book.bid) + round(STEP * book.ask)
        bid = twice // 2 - self.half
        ask = -(-twice // 2) + self.half
        if self.bid_id != 0 and self.bid != bid:
            broker.cancel(self.bid_id)
            self.bid_id = 0
        if self.ask_id != 0 and self.ask != ask:
            broker.cancel(self.ask_id)
            self.ask_id = 0
        if self.bid_id == 0 and broker.position < self.most:
            self.bid = bid
            self.bid_id = broker.order(1, qty=self.size, price=bid / STEP, post_only=True)
        if self.ask_id == 0 and broker.position > -self.most:
            self.ask = ask
            self.ask_id = broker.order(-1, qty=self.size, price=ask / STEP, post_only=True)


@compiled
class Makers(Strategy):
    """`Maker` on every one of `count` instruments."""

    timer = "100ms"
    count: int = 2
    half: int = 5
    size: float = 0.01
    most: float = 1.0

    def setup(self):
        self.ticks = np.zeros((self.count, 2), np.int64)
        self.ids = np.zeros((self.count, 2), np.int64)

    def on_fill(self, fill, broker):
        j = 0 if fill.side == 1 else 1
        if fill.order_id == self.ids[fill.instrument, j]:
            self.ids[fill.instrument, j] = 0

    def on_timer(self, now, broker):
        for k in range(self.count):
            self.quote(k, broker.at(k))

    def quote(self, k, broker):
        book = broker.book
        if not book.ask > book.bid:
            return
        twice = round(STEP * book.bid) + round(STEP * book.ask)
        for j in range(2):
            side = 1 - 2 * j
            tick = twice // 2 - self.half if j == 0 else -(-twice // 2) + self.half
            if self.ids[k, j] != 0 and self.ticks[k, j] != tick:
                broker.cancel(self.ids[k, j])
                self.ids[k, j] = 0
            if self.ids[k, j] == 0 and side * broker.position < self.most:
                self.ticks[k, j] = tick
                self.ids[k, j] = broker.order(side, qty=self.size, price=tick / STEP, post_only=True)


@compiled
class Idle(Strategy):
    """Wakes up and reads the middle."""

    timer = "100ms"

    def setup(self):
        self.total = 0.0

    def on_timer(self, now, broker):
        mid = broker.book.mid
        if not math.isnan(mid):
            self.total += mid


@compiled
class MakerWithTape(Maker):
    """The maker, and every trade seen."""

    def setup(self):
        self.bid = 0
        self.ask = 0
        self.bid_id = 0
        self.ask_id = 0
        self.bought = 0.0

    def on_trade(self, trade, broker):
        self.bought += trade.side * trade.qty


@compiled
class MakerWithDepth(Maker):
    """The maker, and ten levels of every message."""

    def setup(self):
        self.bid = 0
        self.ask = 0
        self.bid_id = 0
        self.ask_id = 0
        self.tilt = 0.0

    def on_book(self, book, broker):
        self.tilt = book.imbalance(10)


@compiled
class EveryMessage(Strategy):
    """The maker's quotes, looked at with every message of the book."""

    half: int = 5
    size: float = 0.01
    most: float = 1.0

    setup, on_fill, quote = Maker.setup, Maker.on_fill, Maker.quote

    def on_book(self, book, broker):
        self.quote(broker)


@compiled
class Grid(Strategy):
    """Thirty bids and thirty asks; a filled one comes back on the other side, `gap` ticks away."""

    timer = "100ms"
    count: int = 30
    gap: int = 10
    size: float = 0.01

    def setup(self):
        self.placed = 0

    def on_timer(self, now, broker):
        book = broker.book
        if self.placed != 0 or not book.ask > book.bid:
            return
        middle = (round(STEP * book.bid) + round(STEP * book.ask)) // 2
        for i in range(1, self.count + 1):
            broker.order(1, qty=self.size, price=(middle - i * self.gap) / STEP)
            broker.order(-1, qty=self.size, price=(middle + i * self.gap) / STEP)
        self.placed = 1

    def on_fill(self, fill, broker):
        price = round(STEP * fill.price) + fill.side * self.gap
        broker.order(-fill.side, qty=fill.qty, price=price / STEP)


@compiled
class Taker(Strategy):
    """Takes the best price, now one side, now the other."""

    timer = "100ms"
    size: float = 0.01

    def setup(self):
        self.side = 1

    def on_timer(self, now, broker):
        book = broker.book
        if book.ask > book.bid:
            price = book.ask if self.side > 0 else book.bid
            broker.order(self.side, qty=self.size, price=price, tif="IOC")
            self.side = -self.side


def plain(cls: type[Strategy]) -> type[Strategy]:
    """Return the class as ordinary Python."""
    return type("Plain" + cls.__name__, (cls,), {"compiled": False, "__doc__": cls.__doc__})
