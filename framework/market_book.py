"""The order book as the strategy knows it at one moment, in plain Python over numpy."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.instruments import Instrument, price_of
from framework.market_source import need_memory
from framework.market_ticks import Book, Levels, Lots
from framework.records import NEVER
from framework.times import parse_time

if TYPE_CHECKING:
    from framework.market import Market

Floats = NDArray[np.float64]
NAN = float("nan")
MANY = 1 << 40  # more levels than a book has


class Side(NamedTuple):
    """Levels of one side, best first."""

    price: Floats
    size: Floats


class Depth(NamedTuple):
    """The best levels of both sides."""

    bids: Side
    asks: Side


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The top of a book with its totals, as plain Python."""

    ts: int  # ns; effective exchange time of the last message
    local_ts: int  # ns; its arrival
    bids: tuple[tuple[float, float], ...]  # (price, size), best first
    asks: tuple[tuple[float, float], ...]
    bid_total: float  # size of these levels, base units (contracts for inverse)
    ask_total: float
    imbalance: float  # (bid_total - ask_total) / (bid_total + ask_total); NaN for an empty book
    spread: float  # price units; NaN when a side is empty
    spread_pct: float  # percent of the mid


class BookView:
    """One book as known at `now`: a copy, that stays as it is when time goes on.

    Prices are in quote units, sizes in base units (contracts for inverse). An empty side has NaN as its best
    price and 0.0 as its size.

    Attributes
    ----------
    now : int
        ns; the moment that was asked for.
    ts, local_ts : int
        ns; effective exchange time and arrival of the last message, -1 before the first.
    """

    def __init__(self, what: Instrument, now: int, stamps: tuple[int, int], levels: Shown) -> None:
        self.now = now
        self.ts, self.local_ts = stamps
        self._what = what
        self._levels = levels

    def __repr__(self) -> str:
        return (
            f"<BookView {self._what.id}: {self.bid_size:g} @ {self.bid:.10g} | "
            f"{self.ask_size:g} @ {self.ask:.10g}>"
        )

    @property
    def age(self) -> int:
        """ns since the last message arrived; -1 before the first."""
        return self.now - self.local_ts if self.local_ts >= 0 else -1

    @cached_property
    def _top(self) -> tuple[float, float, float, float]:
        (bid, bid_size), (ask, ask_size) = (
            (float(side.price[0]), float(side.size[0])) if len(side.price) else (NAN, 0.0)
            for side in self.depth(1)
        )
        return bid, bid_size, ask, ask_size

    @property
    def bid(self) -> float:
        """Best bid."""
        return self._top[0]

    @property
    def bid_size(self) -> float:
        """Size at the best bid."""
        return self._top[1]

    @property
    def ask(self) -> float:
        """Best ask."""
        return self._top[2]

    @property
    def ask_size(self) -> float:
        """Size at the best ask."""
        return self._top[3]

    @property
    def mid(self) -> float:
        """Half way between the best prices; NaN when a side is empty."""
        return (self.bid + self.ask) / 2.0

    @property
    def spread(self) -> float:
        """Best ask less best bid; NaN when a side is empty."""
        return self.ask - self.bid

    @property
    def microprice(self) -> float:
        """Best prices weighted by the size of the other side; NaN when a side is empty."""
        bid, bid_size, ask, ask_size = self._top
        return (bid * ask_size + ask * bid_size) / (bid_size + ask_size) if bid_size + ask_size else NAN

    def depth(self, n: int) -> Depth:
        """Return price and size arrays of the best `n` levels of each side, best first."""
        check_levels(n)
        return Depth(self._side(*self._levels.bids(n)), self._side(*self._levels.asks(n)))

    def _side(self, ticks: Levels, lots: Lots) -> Side:
        return Side(price_of(ticks, self._what.tick_size), price_of(lots, self._what.lot_size))

    def _totals(self, n: int) -> tuple[float, float]:
        check_levels(n)
        bid, ask = (int(lots.sum()) for _, lots in (self._levels.bids(n), self._levels.asks(n)))
        return price_of(bid, self._what.lot_size), price_of(ask, self._what.lot_size)

    def imbalance(self, n: int = 1) -> float:
        """Return (bid - ask) / (bid + ask) of the size of `n` levels a side, -1..1; NaN for an empty book."""
        return ratio(*self._totals(n))

    def size_to(self, price: float) -> float:
        """Return the size a taker meets up to a price, itself included: asks at or below it from the best
        ask on, bids at or above it from the best bid on; 0.0 between the two.
        """
        buys = price >= self.ask
        ticks, lots = self._levels.asks(MANY) if buys else self._levels.bids(MANY)
        prices = price_of(ticks, self._what.tick_size)
        met = lots[prices <= price if buys else prices >= price]
        return float(price_of(int(met.sum()), self._what.lot_size))

    def snapshot(self, n: int = 20) -> Snapshot:
        """Return the best `n` levels of each side with totals, imbalance, spread and spread in percent."""
        (bid, ask), depth = self._totals(n), self.depth(n)
        bids, asks = (tuple(zip(s.price.tolist(), s.size.tolist(), strict=True)) for s in depth)
        return Snapshot(
            self.ts, self.local_ts, bids, asks, bid, ask, ratio(bid, ask), self.spread,
            100.0 * self.spread / self.mid,
        )  # fmt: skip


def check_levels(n: int) -> None:
    """Refuse less than one level."""
    if n < 1:
        raise ConfigError(f"book: n is {n}; ask for at least one level")


def ratio(bid: float, ask: float) -> float:
    """Return (bid - ask) / (bid + ask), NaN when both are 0."""
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else NAN


class Shown:
    """The levels of a book at one moment: read from the cursor while it stands there, kept when it moves."""

    __slots__ = ("__weakref__", "_cursor", "_kept")

    def __init__(self, cursor: BookCursor) -> None:
        self._cursor: BookCursor | None = cursor
        self._kept: tuple[tuple[Levels, Lots], tuple[Levels, Lots]] | None = None

    def bids(self, n: int) -> tuple[Levels, Lots]:
        """Return ticks and lots of the best `n` bids, best first."""
        return self._best(0, n)

    def asks(self, n: int) -> tuple[Levels, Lots]:
        """Return ticks and lots of the best `n` asks, best first."""
        return self._best(1, n)

    def _best(self, ask: int, n: int) -> tuple[Levels, Lots]:
        if self._kept is not None:
            ticks, lots = self._kept[ask]
            return ticks[:n], lots[:n]
        assert self._cursor is not None
        return self._cursor.best(ask, n)

    def settle(self) -> None:
        """Keep all levels: the cursor moves on."""
        assert self._cursor is not None
        self._kept = (self._cursor.best(0, MANY), self._cursor.best(1, MANY))
        self._cursor = None


class BookCursor:
    """A book followed through time: forward costs the rows that are new, back begins again.

    The levels lie in one array by price, so that all bids shown come before all asks shown; `edges` bounds
    them (end of the bids, begin of the asks), and the best are looked for from there.
    """

    __slots__ = (
        "__weakref__", "book", "count", "edges", "is_ask", "loaded", "rows", "shown", "size", "state",
        "times", "until", "what",
    )  # fmt: skip

    def __init__(self, book: Book, what: Instrument, loaded: Callable[[], int] | None = None) -> None:
        self.book, self.what = book, what
        self.loaded = loaded  # of a reel's book: how many messages are there by now
        self.size = len(book) if loaded is None else loaded()
        self.times = book.messages["local_ts"]
        self.is_ask = (book.levels & 1).astype(bool)
        self.state = np.zeros(len(book.levels), dtype=np.int64)
        self.shown: weakref.ref[Shown] | None = None  # what is read from here
        self.begin()

    def begin(self) -> None:
        """Stand before the first message."""
        self.state[:] = 0
        self.edges = [0, len(self.state)]
        self.count = 0  # messages applied
        self.rows = int(self.book.messages["first"][0])
        self.until = int(self.times[0])  # arrival of the next one

    def view(self, now: int) -> BookView:
        """Return the book of the messages with local_ts <= now."""
        if self.loaded is not None:
            self.look(self.loaded(), now)
        if now >= self.until or (self.count and now < self.times[self.count - 1]):
            self.move(int(np.searchsorted(self.times[: self.size], now, side="right")))
        last = self.book.messages[self.count - 1]
        stamps = (int(last["ts"]), int(last["local_ts"])) if self.count else (-1, -1)
        levels = self.shown() if self.shown is not None else None
        if levels is None:
            levels = Shown(self)
            self.shown = weakref.ref(levels)
        return BookView(self.what, now, stamps, levels)

    def look(self, size: int, now: int) -> None:
        """Note how many messages are there; those that have passed may not be, so there is no way back."""
        if self.count and now < self.times[self.count - 1]:
            raise ConfigError("book: a streamed market cannot be seen as of an earlier time again")
        if size != self.size:
            self.size, self.until = size, int(self.times[self.count])

    def keep_up(self, until: int) -> None:
        """Apply every message that has arrived until then: it is about to go."""
        self.look(self.loaded() if self.loaded is not None else len(self.book), until)
        self.move(self.count + int(np.searchsorted(self.times[self.count : self.size], until, side="right")))

    def learn(self, messages: int, keys: Levels, lots: Lots) -> None:
        """Apply messages that are not in the arrays any more, from the first on."""
        self.state[np.searchsorted(self.book.levels, keys)] = lots
        self.edges = [len(self.state), 0]  # anywhere
        self.count, self.rows = self.count + messages, self.rows + len(keys)
        self.until = int(self.times[self.count])

    def move(self, count: int) -> None:
        """Apply or take back messages until `count` are applied."""
        read = self.shown() if self.shown is not None else None
        if read is not None:
            read.settle()
        self.shown = None
        if count < self.count:
            self.begin()
        end = int(self.book.messages["first"][count])
        places = self.book.apply(self.state, self.rows, end)
        is_ask = self.is_ask[places]
        self.edges[0] = max(self.edges[0], int(places[~is_ask].max(initial=-1)) + 1)
        self.edges[1] = min(self.edges[1], int(places[is_ask].min(initial=len(self.state))))
        self.count, self.rows, self.until = count, end, int(self.times[count])

    def best(self, ask: int, n: int) -> tuple[Levels, Lots]:
        """Return ticks and lots of the best `n` levels of a side, best first."""
        edge, width = self.edges[ask], max(64, 4 * min(n, MANY))
        while True:
            first, end = (edge, edge + width) if ask else (max(edge - width, 0), edge)
            part = self.state[first:end]
            places = np.flatnonzero((part > 0) & (self.is_ask[first:end] == bool(ask)))
            if len(places) >= n or (end >= len(self.state) if ask else first == 0):
                break
            width *= 8
        places = (places if ask else places[::-1])[:n] + first
        if len(places):
            self.edges[ask] = int(places[0]) + (1 - ask)
        return self.book.levels[places] >> 1, self.state[places]


def open_book(market: Market, k: int) -> BookCursor:
    """Return a cursor before the first message of an instrument's book; refuse where there is none."""
    if k not in market.books:
        raise ConfigError(
            f"book: {market.instruments[k].id} has no book in this market; load incremental_book_L2, "
            "book_snapshot_25, book_snapshot_5, quotes or book_ticker"
        )
    reel = market.reel
    if reel is None or ("books", k) not in reel.strands:
        return BookCursor(market.books[k], market.instruments[k])
    cursor = BookCursor(market.books[k], market.instruments[k], lambda: reel.loaded("books", k))
    reel.follow_book(k, cursor)
    return cursor


def book_at(market: Market, instrument: int | str | None, local_ts: Any) -> BookView:
    """Return the strategy's side of a book at any time: all messages that had arrived by `local_ts`.

    Parameters
    ----------
    market : Market
    instrument : int or str
        Number, id or symbol; None where there is only one.
    local_ts : int, str or datetime
        ns UTC, or an ISO time.

    Raises
    ------
    ConfigError
        The instrument has no book, or names none of the market's.
    """
    now = parse_time(local_ts)
    need_memory(market, "book_at")
    return open_book(market, market.number(instrument)).view(min(now, NEVER - 1))


__all__ = ["BookCursor", "BookView", "Depth", "Side", "Snapshot", "book_at", "open_book"]
