"""The plain driver of runs with tick streams: Python is woken at timers, own fills, signals, or every row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from framework.engine.calls import send_cancels, step
from framework.engine.events import Trade
from framework.engine.plain import Loop, PlainBroker
from framework.engine.sending import UNSET
from framework.engine.state import ACCOUNT, CLOCK, DONE, FAILED, GROW, WAKE_BOOK, WAKE_TIMER, WAKE_TRADE
from framework.engine.tick_calls import (
    AGE,
    DEPTH,
    KNOWN,
    PRESSURE,
    PRICE,
    SIZE,
    SIZE_TO,
    WORTH,
    advance_of,
    book_number,
    book_top,
    message_known,
    send_limit,
    trades_seen,
)
from framework.instruments import price_of
from framework.market_book import Snapshot, ratio
from framework.market_reel import LOOK_BACK
from framework.records import NEVER


def word(dtype: np.dtype[Any], name: str) -> int:
    """Return which 8-byte word of a record a field is."""
    fields: Any = dtype.fields
    return int(fields[name][1]) // 8


NOW, POSITION = word(CLOCK, "now"), word(ACCOUNT, "position")


def words(rows: Any, form: Any) -> Any:
    """Return the memory of records as Python numbers: read in 30 ns, where a numpy scalar takes 150."""
    return memoryview(rows.view(np.uint8)).cast(form)


class PlainBook:
    """The book of one instrument for hooks in plain Python; see `framework.strategy.Book`."""

    __slots__ = ("_at", "_first", "_loop", "instrument")

    def __init__(self, loop: TickLoop, k: int) -> None:
        self.instrument = k
        self._loop = loop
        self._first = 4 * k
        self._at = -1

    def _look(self) -> None:
        """Read the touch of this wake-up."""
        loop = self._loop
        book_top(loop.tables.address, self.instrument)
        self._at = loop.clock[NOW]

    def _ask(self, what: int, side: int = 0, x: float = 0.0) -> float:
        return float(book_number(self._loop.tables.address, self.instrument, what, int(side), float(x)))

    @property
    def now(self) -> int:
        return self._loop.now

    @property
    def bid(self) -> float:
        loop = self._loop
        if self._at != loop.clock[NOW]:
            self._look()
        return loop.top[self._first]

    @property
    def ask(self) -> float:
        loop = self._loop
        if self._at != loop.clock[NOW]:
            self._look()
        return loop.top[self._first + 1]

    @property
    def bid_size(self) -> float:
        loop = self._loop
        if self._at != loop.clock[NOW]:
            self._look()
        return loop.top[self._first + 2]

    @property
    def ask_size(self) -> float:
        loop = self._loop
        if self._at != loop.clock[NOW]:
            self._look()
        return loop.top[self._first + 3]

    @property
    def mid(self) -> float:
        return 0.5 * (self.bid + self.ask)

    @property
    def spread(self) -> float:
        return self.ask - self.bid

    @property
    def microprice(self) -> float:
        bid_size, ask_size = self.bid_size, self.ask_size
        total = bid_size + ask_size
        return (self.bid * ask_size + self.ask * bid_size) / total if total > 0.0 else math.nan

    @property
    def age(self) -> int:
        return int(self._ask(AGE))

    def imbalance(self, n: int = 1) -> float:
        bids, asks = self._ask(DEPTH, 1, n), self._ask(DEPTH, -1, n)
        total = bids + asks
        return (bids - asks) / total if total > 0.0 else 0.0

    def depth(self, side: int, n: int = 1) -> float:
        return self._ask(DEPTH, side, n)

    def size_to(self, side: int, price: float) -> float:
        return self._ask(SIZE_TO, side, price)

    def price(self, side: int, j: int) -> float:
        return self._ask(PRICE, side, j)

    def size(self, side: int, j: int) -> float:
        return self._ask(SIZE, side, j)

    def buy_pressure(self, n: int = 100) -> float:
        return self._ask(PRESSURE, 0, n)

    def snapshot(self, n: int = 20) -> Snapshot:
        """Return the best `n` levels of each side with totals, imbalance, spread and spread in percent."""
        bids, asks = (
            tuple((p, self.size(side, j)) for j in range(n) if (p := self.price(side, j)) == p)
            for side in (1, -1)
        )
        bid, ask = self._ask(DEPTH, 1, n), self._ask(DEPTH, -1, n)
        tables = self._loop.tables
        at = max(int(message_known(tables.address, self.instrument)) - 1, 0)
        last = tables.market.books[self.instrument].messages[at]
        return Snapshot(
            int(last["ts"]), int(last["local_ts"]), bids, asks, bid, ask, ratio(bid, ask),
            self.spread, 100.0 * self.spread / self.mid,
        )  # fmt: skip

    def trade(self, j: int) -> Trade:
        """Return the j-th last trade seen, 0 = latest; its `ts` is -1 and its price NaN where none is."""
        end = int(trades_seen(self._loop.tables.address, self.instrument))
        if not 0 <= j < min(end, LOOK_BACK):
            return Trade(self.instrument, -1, -1, math.nan, 0.0, 0)
        return self._loop.trade(self.instrument, end - 1 - j)

    def trades(self, n: int) -> list[Trade]:
        """Return the last `n` trades seen, oldest first."""
        end = int(trades_seen(self._loop.tables.address, self.instrument))
        first = max(end - min(n, LOOK_BACK), 0)
        return [self._loop.trade(self.instrument, x) for x in range(first, end)]


class TickPlainBroker(PlainBroker):
    """`PlainBroker` whose prices and equity are as of the rows seen so far."""

    _loop: TickLoop

    def __init__(self, loop: TickLoop, k: int) -> None:
        self._loop = loop
        self._k = k
        self._book = PlainBook(loop, k)
        self._word = (int(loop.tables.clock["n"]) + k) * (ACCOUNT.itemsize // 8) + POSITION

    @property
    def book(self) -> PlainBook:
        return self._book

    def _refresh(self) -> None:
        """Nothing is kept: everything is read when asked for."""

    def _caught_up(self) -> int:
        return self._loop.tables.address

    @property
    def position(self) -> float:  # type: ignore[override]
        return self._loop.account[self._word]

    @property
    def now(self) -> int:
        return self._loop.clock[NOW]

    @property
    def equity(self) -> float:
        return float(book_number(self._loop.tables.address, 0, WORTH, 0, 0.0))

    @property
    def price(self) -> float:
        return float(book_number(self._loop.tables.address, self._k, KNOWN, 0, 0.0))

    def cancel(self, order_id: int) -> None:
        send_cancels(self._loop.tables.address, self._k, int(order_id))

    def order(
        self, side: int, qty: float = UNSET, share: float = UNSET, price: float = UNSET,
        trigger: float = UNSET, stop: float = UNSET, target: float = UNSET, trail: float = UNSET,
        tif: int | str = 0, post_only: bool = False, reduce_only: bool = False, group: int = 0,
        expire_ts: int = NEVER,
    ) -> int:
        # a plain limit, which is what makers send, takes the short way; x - x is no 0.0 for NaN and infinity
        if (
            share is trigger is stop is target is trail is UNSET and tif == 0 and group == 0
            and expire_ts is NEVER and (side == 1 or side == -1)
            and type(qty) is float is type(price) and qty - qty == 0.0 == price - price
            and type(post_only) is bool is type(reduce_only)
        ):  # fmt: skip
            address = self._loop.tables.address
            return send_limit(address, self._k, int(side), qty, price, post_only, reduce_only)
        return super().order(
            side, qty, share, price, trigger, stop, target, trail, tif, post_only, reduce_only, group,
            expire_ts,
        )


class TickLoop(Loop):
    """One run of a strategy written in plain Python, over ticks."""

    broker_class = TickPlainBroker

    def __init__(self, tables: Any, strategy: Any, features: tuple[str, ...] = (), view: Any = None) -> None:
        self.clock = words(tables.sim.clock, "q")
        self.account = words(tables.sim.account, "d")
        self.top = words(tables.sim.top, "d")
        super().__init__(tables, strategy, features, view)

    @property
    def now(self) -> int:
        return self.clock[NOW]

    def run(self, progress: Callable[[int], None] | None = None) -> int:
        """Run to the end; return the last code of `advance`."""
        advance = advance_of(self.tables.sim)
        on_timer: Any = getattr(self.strategy, "on_timer", None)
        clock, first = self.clock, self.brokers[0]
        address = self.tables.address
        told = 0
        while True:
            code = step(advance, address)
            if code == WAKE_TIMER:
                on_timer(clock[NOW], first)
            elif code == GROW:
                self.tables.grow()
                address = self.tables.address
            elif code in (DONE, FAILED):
                return int(code)
            else:
                self.wake(code)
            told += 1
            if progress is not None and told & 1023 == 0:
                progress(clock[NOW])

    def trade(self, k: int, row: int) -> Trade:
        """Return one trade as an event of Python numbers."""
        x = self.tables.market.trades[k][row]
        what = self.tables.market.instruments[k]
        price, qty = price_of(int(x["tick"]), what.tick_size), price_of(int(x["lots"]), what.lot_size)
        return Trade(k, int(x["raw_ts"]), int(x["local_ts"]), float(price), float(qty), int(x["side"]))

    def wake(self, code: int) -> None:
        """Call the hook an event is for."""
        k = int(self.tables.clock["instrument"])
        if code == WAKE_TRADE:
            self.strategy.on_trade(self.trade(k, int(self.tables.clock["row"])), self.brokers[k])
        elif code == WAKE_BOOK:
            self.strategy.on_book(self.brokers[k].book, self.brokers[k])
        else:
            super().wake(code)


__all__ = ["PlainBook", "TickLoop", "TickPlainBroker"]
