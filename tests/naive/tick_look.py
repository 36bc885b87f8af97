"""An order and the book: first looks, walks, resting, and the triggers of stops (X1, X2, X5-X8).

Written from the rules and not from the kernels.
"""

from __future__ import annotations

import math

from tests.naive.candles import Replay
from tests.naive.model import Order, Queue, on_grid
from tests.naive.tick_book import Depth
from tests.naive.tick_model import ASK, BID, Feed, TickCase, TickOptions, Trade


def turn(order: Order) -> tuple[int, int, int]:
    """Age: when it joined its queue, else its arrival (birth of an exit); then arrival, then row."""
    return (order.arrival if order.joined is None else order.joined, order.arrival, order.age)


class TickLook(Replay):
    """The book side of a run."""

    options: TickOptions

    def __init__(self, case: TickCase) -> None:
        super().__init__(case)
        streams = list(zip(case.books, case.trades, strict=True))
        self.ticked = [book is not None or bool(rows) for book, rows in streams]
        self.depth: list[Depth | None] = [None if book is None else Depth() for book in case.books]
        self.last_trade: list[float | None] = [None for _ in case.books]
        self.last_row: list[float | None] = [None for _ in case.books]  # of the mark stream
        self.working: list[list[Order]] = [[] for _ in case.books]
        self.watched = [self.watches(*both) for both in streams]
        self.newborn: list[Order] = []
        self.cap = math.inf  # what one meeting may fill

    def watches(self, book: Feed | None, trades: list[Trade]) -> str:
        """What stops of an instrument watch: quotes or trades where it has only these."""
        if self.options.trigger == "mark":
            return "mark"
        return "trade" if book is None else "quote" if not trades else self.options.trigger

    # ---- prices and lots

    def price(self, k: int, tick: int) -> float:
        """Price of a tick."""
        return on_grid(tick, self.instruments[k].tick)

    def tick_of(self, order: Order) -> int:
        """Tick of a limit."""
        assert order.price is not None
        return round(order.price / order.tick)

    def quantity(self, k: int, lots: int) -> float:
        """Quantity of whole lots."""
        return on_grid(lots, self.instruments[k].lot)

    def lots(self, k: int, qty: float) -> int:
        """Whole lots of a quantity on the grid."""
        return round(qty / self.instruments[k].lot)

    def mark(self, k: int) -> float | None:
        """Where the exchange values k (X8)."""
        depth = self.depth[k]
        return self.last_trade[k] if depth is None else self.middle(k, depth, self.last_trade[k])

    def middle(self, k: int, depth: Depth, last_trade: float | None) -> float | None:
        """Mid of a book, the last trade where it is empty."""
        prices = [self.price(k, tick) for tick in depth.middle()]
        return sum(prices) / len(prices) if prices else last_trade

    def refresh(self, but: int = -1) -> None:
        """Value every instrument with ticks at its mark, but the one that fills."""
        for k, ticked in enumerate(self.ticked):
            if ticked and k != but:
                price = self.mark(k)
                held = self.ledger.positions[k]
                self.last[k] = held.entry if price is None and held.qty != 0.0 else price

    # ---- seams of the candle twin

    def volume_left(self, k: int, i: int) -> float:
        """Of a trade or a level; bars as ever."""
        return self.cap if self.ticked[k] else super().volume_left(k, i)

    def paid(self, order: Order, raw: float, qty: float, i: int, *, slipped: bool, opening: bool) -> float:
        """Slippage and entry spread where nothing but trades is known, nothing on books."""
        if not self.ticked[order.k]:
            return super().paid(order, raw, qty, i, slipped=slipped, opening=opening)
        if not slipped:
            return raw
        price = raw * (1.0 + order.side * self.options.slippage)
        return price * (1.0 + order.side * self.options.entry_spread) if opening else price

    def attempt(self, order: Order, raw: float, i: int, *, maker: bool, slipped: bool) -> None:
        """A meeting at one price; the other instruments count at their marks."""
        self.refresh(but=order.k)
        super().attempt(order, raw, i, maker=maker, slipped=slipped)

    def seen(self, order: Order, k: int, i: int) -> int:
        """A fill is known a response later."""
        return self.now + self.response_latency(self.now) if self.ticked[k] else super().seen(order, k, i)

    def bar_stamp(self, k: int, i: int) -> int:
        """A fill on ticks belongs to no bar."""
        return self.now if self.ticked[k] else super().bar_stamp(k, i)

    def bear(self, entry: Order, price: float, qty: float, i: int) -> None:
        """Exits of a fill on ticks look when its event is over."""
        first = self.next_age
        super().bear(entry, price, qty, i)
        if self.ticked[entry.k]:
            born = [child for child in self.children(entry) if child.age >= first]
            self.working[entry.k] += born
            self.newborn += born

    def look_newborn(self) -> None:
        """X5: targets look at the book, or wait for the next trade; stops and trails wait."""
        born, self.newborn = self.newborn, []
        for child in sorted(born, key=turn):
            if not child.live or child.role != "target":
                continue
            if self.depth[child.k] is None:
                child.looked = False
            else:
                self.look_at_book(child)

    # ---- the first look

    def look_at_book(self, order: Order) -> None:
        """X1: as at an arrival."""
        order.looked, order.queue = True, None
        if order.works_as_stop and not self.triggers(order, self.reference(order)):
            self.now_or_never(order)
        else:
            self.act(order)

    def act(self, order: Order) -> None:
        """A limit or a market order meets the book now."""
        if order.works_as_limit:
            self.look_limit(order)
        else:
            self.look_market(order)

    def now_or_never(self, order: Order) -> None:
        """IOC and FOK do not wait."""
        if order.live and order.tif == "IOC":
            self.cancel(order, "IOC remainder")
        elif order.live and order.tif == "FOK":
            self.cancel(order, "FOK not fillable")

    def look_market(self, order: Order) -> None:
        """Market, close, triggered stop: take what is there."""
        if order.kind == "close" and not self.reduced(order):
            return
        levels = self.opposite(order)
        if levels:
            self.walk(order, levels)
        self.now_or_never(order)
        if order.live:
            self.cancel(order, "book exhausted")

    def look_limit(self, order: Order) -> None:
        """Take up to the limit; what is left rests, unless it must not."""
        tick = self.tick_of(order)
        levels = [x for x in self.opposite(order) if (x[0] - tick) * order.side <= 0]
        if levels and order.post_only:
            self.reject(order, "post-only would take")
        elif levels:
            self.walk(order, levels)
        self.now_or_never(order)
        if order.live:
            self.rest(order)

    def opposite(self, order: Order) -> list[tuple[int, int]]:
        """Levels an order takes from, best first."""
        depth = self.depth[order.k]
        assert depth is not None
        return depth.levels(ASK if order.side > 0 else BID)

    def rest(self, order: Order) -> None:
        """Join the queue behind what the level shows."""
        depth = self.depth[order.k]
        assert depth is not None
        shown = depth.sides[BID if order.side > 0 else ASK].get(self.tick_of(order), 0)
        order.queue = Queue(0 if self.options.queue == "front" else shown, shown)
        order.joined = self.now

    # ---- walks

    def walk(self, order: Order, levels: list[tuple[int, int]]) -> None:
        """Take level by level, each a fill; with partial=False all at the best price, remembering nothing."""
        k = order.k
        self.value_at(k, levels[0][0])
        if not (self.sized_on(order, levels) and self.reduced(order)):
            return
        assert order.qty is not None
        wanted = self.lots(k, order.qty - order.filled)
        if not self.options.partial:
            levels = [(levels[0][0], wanted)]
        elif order.tif == "FOK" and sum(lots for _, lots in levels) < wanted:
            self.cancel(order, "FOK not fillable")
        for tick, lots in levels:
            if order.live and wanted > 0:
                wanted -= self.take(order, tick, min(lots, wanted))

    def value_at(self, k: int, tick: int) -> None:
        """While an order fills, its instrument is valued at the price of the fill."""
        self.refresh(but=k)
        self.last[k] = self.price(k, tick)

    def take(self, order: Order, tick: int, lots: int) -> int:
        """One level; the lots that filled."""
        k, before, depth = order.k, order.filled, self.depth[order.k]
        assert depth is not None
        self.value_at(k, tick)
        order.raw = self.last[k]
        self.execute(order, self.price(k, tick), self.quantity(k, lots), 0, maker=False, slipped=False)
        done = self.lots(k, order.filled - before)
        if done and self.options.partial:
            depth.take(ASK if order.side > 0 else BID, tick, done)
        return done

    def sized_on(self, order: Order, levels: list[tuple[int, int]]) -> bool:
        """X7: a share spends its budget level by level."""
        if order.qty is not None:
            return True
        available = self.available()
        order.qty = self.quantity(order.k, self.share_lots(order, levels, self.budget(order, available)))
        if order.qty <= 0.0:
            self.reject(order, "below lot" if available > 0.0 else "insufficient margin")
        return order.live

    def share_lots(self, order: Order, levels: list[tuple[int, int]], money: float) -> int:
        """Lots the money buys; what the levels do not hold counts at the limit."""
        k, total = order.k, 0
        instrument = self.instruments[k]
        if not self.options.partial:
            return self.lots(k, self.bought(k, money, self.price(k, levels[0][0])))
        for tick, lots in levels:
            price = self.price(k, tick)
            part = min(lots, self.lots(k, self.bought(k, money, price)))
            total += part
            money -= instrument.notional(self.quantity(k, part), price)
            if part < lots:
                return total
        if not order.works_as_limit:
            return total
        assert order.price is not None
        return total + self.lots(k, self.bought(k, money, order.price))

    # ---- triggers

    def reference(self, order: Order) -> float | None:
        """The price a stop watches: last trade, last mark row, or the opposite best."""
        k, depth = order.k, self.depth[order.k]
        if self.watched[k] == "mark":
            return self.last_row[k]
        if self.watched[k] == "trade" or depth is None:
            return self.last_trade[k]
        best = depth.best(ASK if order.side > 0 else BID)
        return None if best is None else self.price(k, best)

    def triggers(self, order: Order, price: float | None) -> bool:
        """Is a stop reached? A trail is tested with the extreme known before, then it moves (X3)."""
        if price is None:
            return False
        if order.kind == "trailing" and order.extreme is None:
            order.extreme = price
        if order.through(price):
            order.triggered = True
        elif order.kind == "trailing":
            assert order.extreme is not None
            order.extreme = max(order.extreme, price) if order.side < 0 else min(order.extreme, price)
        return order.triggered
