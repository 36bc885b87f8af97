"""Trades, messages and mark rows on live orders; what arrives and what changes (X3, X4, X6, X9, X10).

Written from the rules and not from the kernels.
"""

from __future__ import annotations

import math
from typing import Any

from tests.naive.arrivals import Request
from tests.naive.model import Order
from tests.naive.tick_book import advance
from tests.naive.tick_look import TickLook, turn
from tests.naive.tick_model import ASK, BID, Message, TickCase, Trade


class TickEvents(TickLook):
    """What rows of the feeds do."""

    def __init__(self, case: TickCase) -> None:
        super().__init__(case)
        self.taken = 0  # lots own orders made of the trade at hand, at its price
        self.eaten = 0.0  # quantity own market orders took of the trade at hand
        self.by_arrival: dict[int, list[Request]] = {}
        for request in self.requests:
            self.by_arrival.setdefault(request.arrival, []).append(request)

    # ---- requests

    def due(self, t: int) -> list[Request]:
        """Everything that arrives at t."""
        return self.by_arrival.get(t, [])

    def arrivals(self, t: int, sent: int) -> None:
        """One batch, if anything arrives at all."""
        if t in self.by_arrival:
            super().arrivals(t, sent)

    def enter(self, order: Order, *, count_late: bool) -> None:
        """An accepted or changed order looks at the book, or waits for the first message or trade."""
        if not self.ticked[order.k]:
            super().enter(order, count_late=count_late)
            return
        if order not in self.working[order.k]:
            self.working[order.k].append(order)
        order.queue = None
        depth = self.depth[order.k]
        if depth is None:
            watches = self.watched[order.k] == "mark" and order.works_as_stop
            if watches and not self.triggers(order, self.last_row[order.k]):
                self.now_or_never(order)
        elif depth.begun:
            self.look_at_book(order)
            self.look_newborn()

    def amend(self, order: Order, row: dict[str, Any]) -> None:
        """More quantity goes behind the displayed size of now; less keeps the place (X6)."""
        before = order.qty
        super().amend(order, row)
        same_place = row.get("price") is None and row.get("trigger") is None
        if order.live and order.queue is not None and same_place and row.get("qty") is not None:
            assert order.qty is not None
            if before is not None and order.qty > before:
                self.rest(order)

    def turns(self, k: int) -> list[Order]:
        """Live orders of k by age, those that began before this event."""
        if self.working[k]:
            self.working[k] = sorted((o for o in self.working[k] if o.live), key=turn)
        return list(self.working[k])

    # ---- trades

    def trade(self, k: int, row: Trade) -> None:
        """One trade of k."""
        self.last_trade[k] = self.price(k, row.tick)
        self.taken, self.eaten = 0, 0.0
        for order in self.turns(k):
            if not order.live:
                continue
            if self.depth[k] is None:
                self.trade_alone(order, row)
            elif order.looked and order.works_as_limit:
                self.trade_on_limit(order, row)
            elif order.looked and self.watched[k] == "trade" and self.stopped(order):
                self.act(order)
        self.look_newborn()

    def stopped(self, order: Order) -> bool:
        """Is this a stop that its reference reaches now?"""
        return order.works_as_stop and self.triggers(order, self.reference(order))

    def trade_on_limit(self, order: Order, row: Trade) -> None:
        """X3: through fills whole, at our tick the queue goes first."""
        beyond = (self.tick_of(order) - row.tick) * order.side
        if row.side == order.side or order.queue is None or beyond < 0:
            return
        if beyond > 0:
            self.fill_resting(order, math.inf)
        elif row.side != 0:
            free = max(row.lots - self.taken, 0)
            excess = math.floor(free - order.queue.ahead + 1e-9)
            order.queue.ahead = max(order.queue.ahead - free, 0.0)
            order.queue.traded += row.lots
            if excess >= 1:
                self.taken += self.fill_resting(order, excess)

    def fill_resting(self, order: Order, lots: float) -> int:
        """A resting order fills as maker at its own price; the lots that did."""
        k, before = order.k, order.filled
        if self.options.partial and lots < math.inf:
            self.cap = self.quantity(k, int(lots))
        assert order.price is not None
        self.attempt(order, order.price, 0, maker=True, slipped=False)
        self.cap = math.inf
        return self.lots(k, order.filled - before)

    # ---- trades without a book

    def trade_alone(self, order: Order, row: Trade) -> None:
        """X9: the trade is the price; the first after the arrival is the first look."""
        price = self.price(order.k, row.tick)
        if order.works_as_stop and self.watched[order.k] == "mark":
            return
        first, order.looked = not order.looked, True
        if order.works_as_stop:
            if not self.triggers(order, price):
                if first:
                    self.now_or_never(order)
                return
            first = True
        if order.works_as_market:
            self.take_trade(order, row)
        elif first:
            self.look_alone(order, price)
        else:
            self.rest_alone(order, row)
        if first:
            self.now_or_never(order)

    def take_trade(self, order: Order, row: Trade) -> None:
        """A market order takes at the trade, at most volume_share of it."""
        k, share, before = order.k, self.options.volume_share, order.filled
        if share is not None:
            allowed = share * self.quantity(k, row.lots)
            left = allowed - self.eaten
            self.cap = self.instruments[k].floor_lot(left) if left > 1e-9 * allowed else 0.0
        self.attempt(order, self.price(k, row.tick), 0, maker=False, slipped=True)
        self.cap = math.inf
        self.eaten += order.filled - before

    def look_alone(self, order: Order, price: float) -> None:
        """First look of a limit at a trade."""
        if not order.through(price):
            return
        if order.post_only:
            self.reject(order, "post-only would take")
        else:
            self.attempt(order, price, 0, maker=False, slipped=False)

    def rest_alone(self, order: Order, row: Trade) -> None:
        """A limit that rested: strictly through fills whole, at its price only the front of the queue."""
        beyond = (self.tick_of(order) - row.tick) * order.side
        if beyond > 0:
            self.fill_resting(order, math.inf)
        elif beyond == 0 and self.options.queue == "front" and row.side == -order.side:
            left = row.lots - self.taken
            self.taken += self.fill_resting(order, left) if left >= 1 else 0

    # ---- messages

    def message(self, k: int, message: Message) -> None:
        """One message of k's book: places, fills of what the opposite side reaches, stops, first looks."""
        depth = self.depth[k]
        assert depth is not None
        first = not depth.begun
        depth.apply(message)
        orders = self.turns(k)
        resting = [order for order in orders if order.queue is not None]
        for side, tick, lots in message.rows if resting else ():
            for order in resting:
                if lots >= 0 and self.tick_of(order) == tick and (order.side > 0) == (side == BID):
                    advance(order.queue, lots, self.options.queue, self.instruments[k].lot)
        for order in resting:
            if order.live and self.reached(order, message):
                self.fill_resting(order, math.inf)
        if self.watched[k] == "quote":
            self.stops(orders)
        self.look_newborn()
        for order in orders if first else []:
            if order.live and not order.looked:
                self.look_at_book(order)
                self.look_newborn()

    def reached(self, order: Order, message: Message) -> bool:
        """Does a row of the other side lie at or through this limit?"""
        other, own = (ASK if order.side > 0 else BID), self.tick_of(order)
        shown = [tick for side, tick, lots in message.rows if side == other and lots > 0]
        return any((own - tick) * order.side >= 0 for tick in shown)

    def stops(self, orders: list[Order]) -> None:
        """Stops that watch quotes or marks, by age."""
        for order in orders:
            alone = self.depth[order.k] is None
            if not (order.live and (order.looked or alone) and self.stopped(order)):
                continue
            if alone:
                order.looked = False  # it waits for a trade to fill at
            else:
                self.act(order)

    # ---- marks, funding

    def mark_row(self, k: int, price: float) -> None:
        """Liquidation and bust, then stops that watch the mark."""
        self.last_row[k] = price
        self.refresh()
        self.test_margin(k, price)
        self.test_bust()
        if self.watched[k] == "mark" and self.ticked[k]:
            self.stops(self.turns(k))
            self.look_newborn()

    def funding_price(self, k: int) -> float:
        """Last mark row, else where the exchange stood before the rows of this stamp (X11)."""
        if not self.ticked[k]:
            return super().funding_price(k)
        rows = [price for ts, price in self.case.mark[k] if ts <= self.now]
        price = rows[-1] if rows else self.mark(k)
        return self.ledger.positions[k].entry if price is None else price

    def test_bust(self) -> None:
        """At the marks of now."""
        self.refresh()
        super().test_bust()
