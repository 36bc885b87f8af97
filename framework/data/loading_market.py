"""Stored days as the streams of a Market: arrays filled by two threads, or tapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.data.loading_days import Bit, Deals, book_bits, scale_of
from framework.data.loading_notes import pack_lines, time_lines
from framework.data.loading_stock import Asked, Stock
from framework.data.pack import Pack
from framework.data.rebuild import Feed, raw_rows
from framework.data.streams import Quotes
from framework.data.ticker import Ticker
from framework.errors import ConfigError
from framework.market import Market
from framework.market_parts import FIRST, LAST
from framework.market_source import Changes
from framework.market_streams import frozen
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER, TRADE
from framework.times import DAY

Rows = NDArray[Any]
THREADS = 2
DEALS = ("trades", "liquidations")


class Side:
    """The streams of one instrument of the market to be.

    Attributes
    ----------
    bits : dict of stream to list of bits
        Of trades, liquidations and books.
    """

    def __init__(self, stock: Stock) -> None:
        self.stock, self.what = stock, stock.what
        self.remarks: list[str] = []
        self.bits: dict[str, list[Any]] = {}
        self.packs: list[Pack] = []
        grids = self.what.tick_size, self.what.lot_size
        for kind in (kind for kind in stock.kinds if kind in (*DEALS, stock.book)):
            packs = stock.packs(kind)
            self.packs += packs
            label = f"{stock.id} {kind}"
            if kind in DEALS:
                deals = Deals(packs, *grids)
                self.bits[kind] = list(deals.bits)
                self.remarks += pack_lines(label, packs, deals.counts)
            else:
                self.bits["books"] = list(book_bits(packs, *grids))
                self.remarks += pack_lines(label, packs)

    @property
    def rows(self) -> int:
        """Rows of books and trades."""
        return sum(bit.chunk.rows for stream in ("books", "trades") for bit in self.bits.get(stream, ()))

    def streams(self) -> list[str]:
        """Return the tick streams that have a row on some day."""
        quotes = ["quotes"] if self.stock.parts.get(self.stock.quote) else []
        return [stream for stream, bits in self.bits.items() if bits] + quotes

    @property
    def levels(self) -> Rows:
        """Every key of the book, ascending."""
        found = [
            scale_of(pack, self.what.tick_size, self.what.lot_size).keys(pack.read("levels"))
            for pack in self.packs
            if "levels" in pack.sections
        ]
        keys = np.sort(np.concatenate(found), kind="stable")  # runs that ascend: faster than np.unique
        return keys[np.diff(keys, prepend=-1) > 0]

    def base(self) -> Market:
        """Return the market of what is always in memory."""
        parts = self.sides()
        bars: dict[tuple[int, int], Rows] = {}
        for interval in self.stock.bars:
            bars.update(self.candles(interval))
        name = f"{self.what.id} ticks" if self.streams() else self.what.id
        return Market((self.what,), bars, **parts, name=name, remarks=(*self.stock.remarks, *self.remarks))

    def sides(self) -> dict[str, Any]:
        """Return mark prices, funding and features of derivative_ticker."""
        days = self.stock.parts.get("derivative_ticker")
        if days is None:
            return {}
        feed = Feed("derivative_ticker", 0.0, 0.0, "")
        ticker = Ticker(feed.moments, feed.reals)
        for count in raw_rows(self.stock.store, days, feed):
            ticker.take(count)
        label = f"{self.what.id} derivative_ticker"
        self.remarks += time_lines(label, [feed.stamps.counts()])
        wanted = self.stock.asked.streams
        whole = wanted is None or "derivative_ticker" in wanted
        found: dict[str, Any] = {}
        marks, funding = ticker.marks(), ticker.funding()
        if len(funding) and (whole or "funding" in (wanted or ())):
            if self.what.kind == "spot":
                raise ConfigError(
                    f"{label}: {self.what.id} is taken for spot and pays no funding; give an Instrument with "
                    'kind="linear" or "inverse"'
                )
            found["funding"] = {0: funding}
        if len(marks) and (whole or "mark" in (wanted or ())):
            found["mark"] = {0: marks}
        return {**found, "features": ticker.features(self.what.id)} if whole else found

    def candles(self, interval: str) -> dict[tuple[int, int], Rows]:
        """Return bars built of the stored trades."""
        from framework.data.bars_range import day_bars

        asked = self.stock.asked
        made = day_bars(
            self.stock.venue, self.stock.symbol, asked.start, asked.stop, interval, store=self.stock.store
        )
        if not len(made):
            return {}
        market = made.market(self.what)
        self.remarks += market.remarks
        return market.bars

    def quotes(self) -> Iterator[Rows]:
        """Yield the rows of the quotes, block by block."""
        days = self.stock.parts.get(self.stock.quote, [])
        feed = Feed(self.stock.quote, self.what.tick_size, self.what.lot_size, "")
        for count in raw_rows(self.stock.store, days, feed):
            taker = Quotes(feed.moments, feed.cells, self.what.tick_size, self.what.lot_size)
            taker.take(count)
            yield taker.rows.done()


def in_memory(base: Market, sides: Sequence[Side], asked: Asked) -> Market:
    """Return the market with every row in memory."""
    jobs: list[Callable[[], None]] = []
    parts: dict[str, Any] = {"trades": {}, "liquidations": {}, "books": {}, "quotes": {}}
    for k, side in enumerate(sides):
        for stream, bits in side.bits.items():
            if bits:
                parts[stream][k] = (book_to_be if stream == "books" else rows_to_be)(bits, jobs)
        if side.stock.quote and (rows := list(side.quotes())):
            parts["quotes"][k] = np.concatenate(rows)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
    for pack in (pack for side in sides for pack in side.packs):
        pack.check()
    for stream in ("trades", "liquidations", "quotes"):
        parts[stream] = {k: frozen(rows) for k, rows in parts[stream].items()}
    parts["books"] = {
        k: as_book(arrays, sides[k].stock.book, sides[k].levels) for k, arrays in parts["books"].items()
    }
    market = replace(base, **parts)
    low, high = edges(asked)
    return market if (low, high) == (FIRST, LAST) else market.slice(
        None if low == FIRST else low, None if high == LAST else high
    )


def edges(asked: Asked) -> tuple[int, int]:
    """Return where rows of the days must be cut: nowhere at a midnight, where files begin and end."""
    low = asked.start if asked.start % DAY else FIRST
    return low, asked.stop if asked.stop % DAY else LAST


def book_to_be(bits: Sequence[Bit], jobs: list[Callable[[], None]]) -> Changes:
    """Return the arrays of a book, with its sentinel; jobs fill them."""
    messages, rows = (sum(getattr(bit.chunk, name) for bit in bits) for name in ("messages", "rows"))
    whole = Changes(np.empty(messages + 1, MESSAGE), np.empty(rows, np.int32), np.empty(rows, np.int64))
    whole.messages[-1] = (NEVER, NEVER, rows)
    head = row = 0
    for bit in bits:
        end, last = head + bit.chunk.messages, row + bit.chunk.rows
        part = Changes(whole.messages[head:end], whole.keys[row:last], whole.lots[row:last])
        jobs.append(lambda bit=bit, part=part, row=row: bit.fill(part, row))  # type: ignore[misc]
        head, row = end, last
    return whole


def rows_to_be(bits: Sequence[Bit], jobs: list[Callable[[], None]]) -> Rows:
    """Return the array of trades or liquidations; jobs fill it."""
    whole = np.empty(sum(bit.chunk.rows for bit in bits), TRADE)
    at = 0
    for bit in bits:
        part = whole[at : at + bit.chunk.rows]
        jobs.append(lambda bit=bit, part=part: bit.fill(part))  # type: ignore[misc]
        at += bit.chunk.rows
    return whole


def as_book(arrays: Changes, source: str, levels: Rows) -> Book:
    """Return filled arrays as a book that knows its levels."""
    messages, keys, lots = map(frozen, arrays)
    book = Book(messages, keys, lots, source)
    book.__dict__["levels"] = frozen(levels)  # else it would look for them in all rows
    return book
