"""What a stream knows now: books, the last trades, the last bars. The live side of the as-of helpers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from framework.data.message_kinds import (
    BookChange,
    BookSnapshot,
    Disconnect,
    Refused,
    Trade,
    TradeBar,
)
from framework.data.stream_book import LiveBook, cut_snapshot
from framework.data.stream_rows import frame_of, rows_of
from framework.errors import ConfigError, DataError, near
from framework.market_book import Snapshot
from framework.times import MILLISECOND

if TYPE_CHECKING:
    import polars as pl

Kept = TypeVar("Kept")
BAR_NAMES = (
    "open_ts", "close_ts", "open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades",
    "vwap",
)  # fmt: skip


class State:
    """Books, trades and bars of the instruments of one stream, as of the last event taken.

    Parameters
    ----------
    exchange : str
    keep : int
        So many trades, and so many bars of each name, are kept of each instrument.
    """

    def __init__(self, exchange: str, keep: int = 10_000) -> None:
        self.exchange, self.keep = exchange, keep
        self.books: dict[str, LiveBook] = {}
        self._tops: dict[str, dict[str, BookSnapshot]] = {}  # by symbol and name
        self._trades: dict[str, deque[Trade]] = {}
        self._bars: dict[str, dict[str, deque[TradeBar]]] = {}
        self.takers: dict[Any, Any] = {
            Trade: self._take_trade, BookChange: self._take_change, BookSnapshot: self._take_snapshot,
            TradeBar: self._take_bar, Disconnect: self._take_gap, Refused: self._take_refused,
        }  # fmt: skip

    def take(self, event: Any) -> None:
        """Bring the state up to an event."""
        if (taker := self.takers.get(type(event))) is not None:
            taker(event)

    def _take_trade(self, event: Trade) -> None:
        kept = self._trades.get(event.symbol)
        if kept is None:
            kept = self._trades[event.symbol] = deque(maxlen=self.keep)
        kept.append(event)

    def _take_change(self, event: BookChange) -> None:
        book = self.books.get(event.symbol)
        if book is None:
            book = self.books[event.symbol] = LiveBook(f"{self.exchange}:{event.symbol}")
        book.apply(event)

    def _take_snapshot(self, event: BookSnapshot) -> None:
        self._tops.setdefault(event.symbol, {})[event.name] = event

    def _take_bar(self, event: TradeBar) -> None:
        bars = self._bars.setdefault(event.symbol, {})
        bars.setdefault(event.name, deque(maxlen=self.keep)).append(event)

    def _take_gap(self, event: Disconnect) -> None:
        for symbol in event.symbols or (*self.books, *self._tops):
            name = symbol.upper()
            if name in self.books:
                self.books[name].lose(event.local_ts)
            self._tops.pop(name, None)

    def _take_refused(self, event: Refused) -> None:
        if event.is_of_books:
            self._take_gap(Disconnect(event.exchange, event.local_ts, (), "refused"))

    def book(self, symbol: str | None = None, levels: int = 20) -> Snapshot:
        """Return the book now: the best levels of each side with totals, imbalance and spread.

        Of a stream with book_change messages it is the whole book's top, else the last book_snapshot of the
        greatest depth.

        Raises
        ------
        DataError
            No book is known now: none came yet, or none since a gap.
        """
        name = self._symbol(symbol, {**self.books, **self._tops})
        if name in self.books:
            return self.books[name].snapshot(levels)
        if not (tops := self._tops.get(name)):
            raise DataError(f"{self.exchange}:{name}: the book is not known; wait for the next snapshot")
        return cut_snapshot(max(tops.values(), key=lambda top: top.depth), levels)

    def trades(self, n: int, symbol: str | None = None) -> pl.DataFrame:
        """Return the last `n` trades in order of arrival, as raw rows."""
        if not 1 <= n <= self.keep:
            raise ConfigError(f"trades: n is {n}; ask for 1 to {self.keep} (`keep=` of the stream)")
        kept = self._trades.get(self._symbol(symbol, self._trades), ())
        return frame_of("trades", (row for event in last(kept, n) for row in rows_of(event)[1]))  # type: ignore[index]

    def candles(self, interval: str, n: int, symbol: str | None = None) -> pl.DataFrame:
        """Return the last `n` bars that came as trade_bar messages: `"1m"` those of trade_bar_1m.

        open_ts and close_ts are the bar's interval (ns), volumes in the unit of the trades. tardis-machine
        makes no bar of a minute without trades, and puts a late trade into the open bar.
        """
        bars = self._bars.get(self._symbol(symbol, self._bars), {})
        wanted = interval if interval in bars else f"trade_bar_{interval}"
        if wanted not in bars:
            names = [name.removeprefix("trade_bar_") for name in bars]
            raise ConfigError(f"candles: no bars {interval!r} came; {near(interval, names)}")
        rows = [bar_row(bar) for bar in last(bars[wanted], n)]
        import polars as pl

        return pl.DataFrame(rows, schema=dict(zip(BAR_NAMES, bar_types(), strict=True)), orient="row")

    def _symbol(self, symbol: str | None, known: dict[str, Any]) -> str:
        """Return the symbol asked for; where none is named, the only one."""
        if symbol is not None:
            return symbol.upper()
        if len(known) != 1:
            what = f"name one of {', '.join(sorted(known))}" if known else "nothing came yet"
            raise ConfigError(f"symbol: {what}")
        return next(iter(known))


def last(kept: deque[Kept] | tuple[Kept, ...], n: int) -> Iterator[Kept]:
    """Yield the last `n`, in order."""
    return islice(kept, max(len(kept) - n, 0), None)


def bar_row(bar: TradeBar) -> tuple[Any, ...]:
    """Return a bar as a row of candles."""
    is_time = bar.kind == "time"
    opened = bar.ts - int(bar.interval) * MILLISECOND if is_time else bar.open_ts
    closed = bar.ts if is_time else bar.close_ts
    return (
        opened, closed, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.buy_volume, bar.sell_volume,
        bar.trades, bar.vwap,
    )  # fmt: skip


def bar_types() -> list[Any]:
    """Return the column types of candles."""
    import polars as pl

    return [pl.Int64, pl.Int64, *[pl.Float64] * 7, pl.Int64, pl.Float64]
