"""The order book as the strategy knows it at one moment, in plain Python over numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.instruments import Instrument, price_of
from framework.market_ticks import Book, Levels, Lots
from framework.records import NEVER
from framework.times import parse_time

if TYPE_CHECKING:
    from framework.market import Market

Floats = NDArray[np.float64]
NAN = float("nan")


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

    def __init__(self, what: Instrument, now: int, stamps: tuple[int, int], bids: Any, asks: Any) -> None:
        self.now = now
        self.ts, self.local_ts = stamps
        self._what = what
        self._bids, self._asks = bids, asks  # (ticks, lots) of each side, ascending

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
        tick, lot = self._what.tick_size, self._what.lot_size
        (bids, bid_lots), (asks, ask_lots) = self._bids, self._asks
        bid = (price_of(int(bids[-1]), tick), price_of(int(bid_lots[-1]), lot)) if len(bids) else (NAN, 0.0)
        ask = (price_of(int(asks[0]), tick), price_of(int(ask_lots[0]), lot)) if len(asks) else (NAN, 0.0)
        return (*bid, *ask)

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
        (bids, bid_lots), (asks, ask_lots) = self._bids, self._asks
        return Depth(
            self._side(bids[: -n - 1 : -1], bid_lots[: -n - 1 : -1]), self._side(asks[:n], ask_lots[:n])
        )

    def _side(self, ticks: Levels, lots: Lots) -> Side:
        return Side(price_of(ticks, self._what.tick_size), price_of(lots, self._what.lot_size))

    def _totals(self, n: int) -> tuple[float, float]:
        check_levels(n)
        bid, ask = int(self._bids[1][-n:].sum()), int(self._asks[1][:n].sum())
        return price_of(bid, self._what.lot_size), price_of(ask, self._what.lot_size)

    def imbalance(self, n: int = 1) -> float:
        """Return (bid - ask) / (bid + ask) of the size of `n` levels a side, -1..1; NaN for an empty book."""
        return ratio(*self._totals(n))

    def size_to(self, price: float) -> float:
        """Return the size a taker meets up to a price, itself included: asks at or below it from the best
        ask on, bids at or above it from the best bid on; 0.0 between the two.
        """
        prices = self._side(*self._asks)
        if len(prices.price) and price >= prices.price[0]:
            lots = self._asks[1][: np.searchsorted(prices.price, price, side="right")]
        else:
            lots = self._bids[1][np.searchsorted(self._side(*self._bids).price, price) :]
        return float(price_of(int(lots.sum()), self._what.lot_size))

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


class BookCursor:
    """A book followed through time: forward costs the rows that are new, back begins again."""

    __slots__ = ("asks", "bids", "book", "count", "rows", "state", "times", "until", "what")

    def __init__(self, book: Book, what: Instrument) -> None:
        self.book, self.what = book, what
        self.times = book.messages["local_ts"]
        odd = book.levels & 1
        self.bids, self.asks = ((side, book.levels[side] >> 1) for side in (odd == 0, odd == 1))
        self.state = np.zeros(len(book.levels), dtype=np.int64)
        self.rows = int(book.messages["first"][0])
        self.count = 0  # messages applied
        self.until = int(self.times[0])  # arrival of the next one

    def view(self, now: int) -> BookView:
        """Return the book of the messages with local_ts <= now."""
        if now >= self.until or (self.count and now < self.times[self.count - 1]):
            self.move(int(np.searchsorted(self.times[:-1], now, side="right")))
        last = self.book.messages[self.count - 1]
        stamps = (int(last["ts"]), int(last["local_ts"])) if self.count else (-1, -1)
        return BookView(self.what, now, stamps, self._levels(self.bids), self._levels(self.asks))

    def move(self, count: int) -> None:
        """Apply or take back messages until `count` are applied."""
        end = int(self.book.messages["first"][count])
        if count < self.count:
            self.rows = int(self.book.messages["first"][0])
            self.state[:] = 0
        self.book.apply(self.state, self.rows, end)
        self.count, self.rows, self.until = count, end, int(self.times[count])

    def _levels(self, side: tuple[NDArray[np.bool_], Levels]) -> tuple[Levels, Lots]:
        lots = self.state[side[0]]
        shown = lots > 0
        return side[1][shown], lots[shown]


def open_book(market: Market, k: int) -> BookCursor:
    """Return a cursor before the first message of an instrument's book; refuse where there is none."""
    if k not in market.books:
        raise ConfigError(
            f"book: {market.instruments[k].id} has no book in this market; load incremental_book_L2, "
            "book_snapshot_25, book_snapshot_5, quotes or book_ticker"
        )
    return BookCursor(market.books[k], market.instruments[k])


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
    return open_book(market, market.number(instrument)).view(min(now, NEVER - 1))


__all__ = ["BookCursor", "BookView", "Depth", "Side", "Snapshot", "book_at", "open_book"]
