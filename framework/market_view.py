"""View: what is known of a market at one moment. Nothing later can be asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, near
from framework.instruments import price_of
from framework.market_book import BookCursor, BookView, open_book
from framework.market_reel import LOOK_BACK, Reel
from framework.records import NEVER
from framework.times import Times, parse_interval

if TYPE_CHECKING:
    from framework.instruments import Instrument
    from framework.market import Market

Rows = NDArray[Any]

TICK_BARS = "1m"  # what `bars` returns of an instrument with ticks and no loaded bars
SEEN_TRADE = np.dtype(
    [
        ("ts", "i8"),  # ns; effective exchange time
        ("local_ts", "i8"),  # ns; arrival here
        ("side", "i8"),  # of the taker: +1 bought, -1 sold, 0 unknown
        ("price", "f8"),
        ("qty", "f8"),  # base units (contracts for inverse)
    ]
)
NO_TICKS = "load trades or a book, or ask for its bars"


class Cursor:
    """How many rows of one stream are known, and while since <= now < until stay so."""

    __slots__ = ("count", "delay", "rows", "since", "size", "times", "until")

    def __init__(self, rows: Rows, times: Times, delay: int) -> None:
        self.rows = rows
        # a memoryview hands out Python ints, faster than numpy scalars, without a copy
        buffer: Any = times if len(rows) else b""
        self.times = memoryview(buffer)
        self.size = len(rows)
        self.delay = delay
        self.count = 0
        self.since, self.until = -NEVER, self.time_of(0)

    def time_of(self, row: int) -> int:
        """Return when a row becomes known; NEVER after the last."""
        return self.times[row] + self.delay if row < self.size else NEVER

    def move(self, now: int) -> int:
        """Return the number of rows known at `now`; one row forward is one look, else a search."""
        if now >= self.until:
            count = self.count + 1
            following = self.times[count] + self.delay if count < self.size else NEVER
            if following > now:
                self.count, self.since, self.until = count, self.until, following
                return count
        elif now >= self.since:
            return self.count
        count = (
            int(np.searchsorted(np.asarray(self.times), now - self.delay, side="right")) if self.size else 0
        )
        self.count, self.until = count, self.time_of(count)
        self.since = self.time_of(count - 1) if count else -NEVER
        return count


class ReelCursor(Cursor):
    """A cursor of trades that are there piece by piece."""

    __slots__ = ("loaded",)

    def __init__(self, rows: Rows, times: Times, loaded: Callable[[], int]) -> None:
        self.loaded = loaded
        super().__init__(rows, times, 0)
        self.size = loaded()

    def move(self, now: int) -> int:
        """Return the number of rows known at `now`; rows given back are zeros, so times still ascend."""
        size = self.loaded()
        if size != self.size:
            self.size = size
            self.until = self.time_of(self.count)
        if self.since <= now < self.until:
            return self.count
        self.count = int(np.searchsorted(np.asarray(self.times[:size]), now, side="right"))
        self.until = self.time_of(self.count)
        self.since = self.time_of(self.count - 1) if self.count else -NEVER
        return self.count


class View:
    """The market as known at `now`.

    Parameters
    ----------
    market : Market
    now : int
        ns UTC. A bar is known from close_ts + feed_ns on, a feature or signal from its own time on, a tick
        from its arrival on, and bars of an instrument with ticks as `Market.shown_bars` says.
    feed_ns : int
        Delay of the feed of bars, funding and marks in ns; ticks bring their own.
    interval : int or str, optional
        What `bars` returns when no interval is asked for; default the finest of the instrument.
    """

    __slots__ = ("_books", "_cursors", "_feed", "_follows", "_interval", "_market", "_now")

    def __init__(self, market: Market, now: int, feed_ns: int = 0, interval: int | str | None = None) -> None:
        self._follows = None  # the reel that comes along, where no engine moves it
        if market.tapes and market.reel is None:
            self._follows = Reel(market)
            market = self._follows.market
        self._market = market
        self._now = int(now)
        self._feed = int(feed_ns)
        self._interval = None if interval is None else parse_interval(interval)
        self._cursors: dict[Any, Cursor] = {}
        self._books: dict[int, BookCursor] = {}

    @property
    def now(self) -> int:
        """The moment of this view, ns UTC."""
        return self._now

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The market's instruments; their place is the `instrument` number of every method."""
        return self._market.instruments

    def at(self, now: int) -> View:
        """Move to another moment and return self; the driver of a run calls it, forward steps are cheap."""
        self._now = now
        if self._follows is not None and now > self._follows.horizon:
            self._follows.follow(now)
        return self

    def bars(self, n: int, interval: int | str | None = None, instrument: int = 0) -> Rows:
        """Return the last `n` closed bars, oldest first: a read-only BAR slice, fewer at the beginning.

        An `interval` that was not loaded is built from the finest bars; each bar is seen at its close only.
        Without bars they are built from the trades, and seen when the first trade of a later bar arrives.
        """
        cursor = self._cursors.get((instrument, interval))
        if cursor is None:
            cursor = self._open_bars(instrument, interval)
        now = self._now
        count = cursor.count if cursor.since <= now < cursor.until else cursor.move(now)
        if n <= 0:
            raise ConfigError(f"bars: n is {n}; ask for at least one bar")
        return cursor.rows[count - n if count > n else 0 : count]

    def price(self, instrument: int = 0) -> float:
        """Return the last known price; NaN before the first.

        With ticks the mid of the book, else the last trade; without, the last close of the finest bars.
        """
        cursor = self._cursors.get(("price", instrument))
        if cursor is None:
            self._check(instrument)
            if self._market.has_ticks(instrument):
                return self._tick_price(instrument)
            rows = self._market.match_bars(instrument)
            cursor = self._keep(("price", instrument), rows, rows["close_ts"], self._feed)
        count = cursor.move(self._now)
        return float(cursor.rows["close"][count - 1]) if count else float("nan")

    def _tick_price(self, instrument: int) -> float:
        mid = self.book(instrument).mid if instrument in self._market.books else float("nan")
        if mid == mid or instrument not in self._market.trades:
            return mid
        last = self._trades(1, instrument)
        return float(price_of(int(last["tick"][0]), self._rules(instrument)[0])) if len(last) else mid

    def has_book(self, instrument: int = 0) -> bool:
        """True when `book` can be asked for."""
        return instrument in self._market.books

    def has_trades(self, instrument: int = 0) -> bool:
        """True when `trades` and `buy_pressure` can be asked for."""
        return instrument in self._market.trades

    def book(self, instrument: int = 0) -> BookView:
        """Return the order book of all messages that have arrived; it stays as it is when time goes on."""
        cursor = self._books.get(instrument)
        if cursor is None:
            self._check(instrument)
            cursor = self._books[instrument] = open_book(self._market, instrument)
        return cursor.view(self._now)

    def trades(self, n: int, instrument: int = 0) -> Rows:
        """Return the last `n` trades that have arrived, oldest first: ts, local_ts, side, price, qty."""
        rows = self._trades(n, instrument)
        found = np.empty(len(rows), dtype=SEEN_TRADE)
        tick, lot = self._rules(instrument)
        found["ts"], found["local_ts"], found["side"] = rows["ts"], rows["local_ts"], rows["side"]
        found["price"], found["qty"] = price_of(rows["tick"], tick), price_of(rows["lots"], lot)
        return found

    def buy_pressure(self, n: int, instrument: int = 0) -> float:
        """Return the share of buyers in the size of the last `n` trades, 0..1; NaN without a known side."""
        rows = self._trades(n, instrument)
        bought, sold = (int(rows["lots"][rows["side"] == side].sum()) for side in (1, -1))
        return bought / (bought + sold) if bought + sold else float("nan")

    def _trades(self, n: int, instrument: int) -> Rows:
        cursor = self._cursors.get(("trades", instrument))
        if cursor is None:
            self._check(instrument)
            rows = self._market.trades.get(instrument)
            if rows is None:
                raise ConfigError(f"trades: {self.instruments[instrument].id} has none here; {NO_TICKS}")
            cursor = self._trade_cursor(instrument, rows)
        if not 0 < n <= LOOK_BACK:
            raise ConfigError(f"trades: n is {n}; ask for one trade at least and {LOOK_BACK:,} at most")
        count = cursor.move(self._now)
        return cursor.rows[max(count - n, 0) : count]

    def _trade_cursor(self, instrument: int, rows: Rows) -> Cursor:
        """Begin to follow the trades of an instrument."""
        reel = self._market.reel
        if reel is None or ("trades", instrument) not in reel.strands:
            return self._keep(("trades", instrument), rows, rows["local_ts"], 0)
        cursor = ReelCursor(rows, rows["local_ts"], lambda: reel.loaded("trades", instrument))
        self._cursors["trades", instrument] = cursor
        return cursor

    def _rules(self, instrument: int) -> tuple[float, float]:
        one = self.instruments[instrument]
        return one.tick_size, one.lot_size

    def feature(self, name: str) -> float:
        """Return the last value of a feature stream that could be known; NaN before the first."""
        cursor = self._cursors.get(("feature", name))
        if cursor is None:
            if name not in self._market.features:
                raise ConfigError(
                    f"feature: there is no {name!r} in this market; {near(name, self._market.features)}"
                )
            rows = self._market.features[name][1]
            cursor = self._keep(("feature", name), rows, rows["ts"], 0)
        count = cursor.move(self._now)
        return float(cursor.rows["value"][count - 1]) if count else float("nan")

    def funding(self, n: int, instrument: int = 0) -> Rows:
        """Return the last `n` known FUNDING rows, oldest first."""
        return self._last(n, "funding", instrument)

    def mark(self, instrument: int = 0) -> float:
        """Return the last known mark price; NaN before the first or without a mark stream.

        With ticks the feature `mark_price:<id>` where there is one: it has its own arrival.
        """
        if self._market.has_ticks(instrument):
            name = f"mark_price:{self.instruments[instrument].id}"
            if name in self._market.features:
                return self.feature(name)
        rows = self._last(1, "mark", instrument)
        return float(rows["price"][0]) if len(rows) else float("nan")

    def signals(self, n: int) -> Rows:
        """Return the last `n` SIGNAL rows that have arrived, oldest first."""
        cursor = self._cursors.get("signals")
        if cursor is None:
            rows = self._market.signals
            cursor = self._keep("signals", rows, rows["arrival_ts"], 0)
        count = cursor.move(self._now)
        return cursor.rows[max(count - n, 0) : count]

    def _last(self, n: int, stream: str, instrument: int) -> Rows:
        cursor = self._cursors.get((stream, instrument))
        if cursor is None:
            self._check(instrument)
            rows = getattr(self._market, stream).get(instrument)
            if rows is None:
                rows = self._market.empty(stream)
            cursor = self._keep((stream, instrument), rows, rows["ts"], self._feed)
        count = cursor.move(self._now)
        return cursor.rows[max(count - n, 0) : count]

    def _open_bars(self, instrument: int, interval: int | str | None) -> Cursor:
        self._check(instrument)
        choices = self._market.intervals(instrument)
        wanted = self._interval if interval is None else parse_interval(interval)
        if wanted is None:
            wanted = choices[0] if choices else parse_interval(TICK_BARS)
        # as the engine does for on_bar: what was not loaded is built from the finest bars, else from trades
        bars, times = self._market.shown_bars(instrument, wanted)
        delay = 0 if self._market.has_ticks(instrument) else self._feed
        return self._keep((instrument, interval), bars, times, delay)

    def _keep(self, key: Any, rows: Rows, times: Times, delay: int) -> Cursor:
        cursor = self._cursors[key] = Cursor(rows, times, delay)
        cursor.move(self._now)
        return cursor

    def _check(self, instrument: int) -> None:
        count = len(self.instruments)
        if isinstance(instrument, bool) or not 0 <= instrument < count:
            ids = ", ".join(f"{k} = {i.id}" for k, i in enumerate(self.instruments))
            raise ConfigError(f"instrument: {instrument} is none of this market's; choose {ids}")
