"""What was known of an instrument at one moment: candles, book and last trades, in a backtest and live.

Three questions with one answer in both worlds: `History` asks files or the store as of a time, the `state` of
a live stream knows the same of now. Nothing here looks at a row that arrived after the moment.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from framework.data.ask_files import book_of, last_trades
from framework.data.bars import TIMES, on_grid, parse_size
from framework.data.bars_days import source_of
from framework.data.bars_kernel import FINEST
from framework.data.bars_range import candles_of
from framework.data.rows import TAKER_SIDES
from framework.errors import ConfigError
from framework.market_book import Snapshot, ratio
from framework.times import add_interval, floor_time, format_time, parse_time

if TYPE_CHECKING:
    import polars as pl

MOST = 1_000_000  # trades, candles, levels


class Feed(Protocol):
    """What answers the three questions; `symbol` is only needed where there are several."""

    def book(self, symbol: str | None = None, levels: int = 20) -> Snapshot:
        """Return the best levels of each side with totals, imbalance and spread."""

    def trades(self, n: int, symbol: str | None = None) -> pl.DataFrame:
        """Return the last `n` trades, the newest last: timestamp, local_timestamp, side, price, amount."""

    def candles(self, interval: str, n: int, symbol: str | None = None) -> pl.DataFrame:
        """Return the last `n` candles that are over."""


@dataclass(frozen=True)
class RecentTrades:
    """The last trades and their sums.

    Attributes
    ----------
    rows : polars.DataFrame
        timestamp, local_timestamp, side, price, amount; the newest last.
    volume, buy_volume, sell_volume : float
        In the unit of the files; unknown sides count in volume only.
    imbalance : float
        (buy - sell) / (buy + sell), -1..1; NaN without a known side.
    vwap, last : float
        NaN without a trade.
    """

    rows: pl.DataFrame
    volume: float
    buy_volume: float
    sell_volume: float
    imbalance: float
    vwap: float
    last: float

    @staticmethod
    def of(frame: pl.DataFrame) -> RecentTrades:
        """Return trades with their sums."""
        import polars as pl

        side = pl.col("side").cast(pl.Enum(TAKER_SIDES))
        rows = frame.select("timestamp", "local_timestamp", side, "price", "amount")
        amount, price = rows["amount"].to_numpy(), rows["price"].to_numpy()
        scale = scale_of(amount)
        buy, sell = (
            decimal_sum(amount[(rows["side"] == side).to_numpy()], scale) for side in ("buy", "sell")
        )
        volume = decimal_sum(amount, scale)
        vwap = fsum((amount * price).tolist()) / volume if volume else float("nan")
        last = float(price[-1]) if len(price) else float("nan")
        return RecentTrades(rows, volume, buy, sell, ratio(buy, sell), vwap, last)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class MarketData:
    """What a signal is asked with: candles, book and last trades of one moment.

    Attributes
    ----------
    symbol : str
        Instrument id, or of a live stream the symbol asked for.
    at : int
        ns; of a live stream the arrival of the newest row known.
    """

    symbol: str
    at: int
    candles: pl.DataFrame
    book: Snapshot
    trades: RecentTrades


class History:
    """An instrument as it was known at a moment; a `Feed`.

    Parameters
    ----------
    venue, symbol : str
        As for `candles`.
    at : time
        Rows with local_timestamp <= at are known.
    store, files
        As for `candles`; files also of the book kinds.
    """

    def __init__(self, venue: str, symbol: str, at: Any, *, store: Any = None, files: Any = None) -> None:
        self.at = parse_time(at)
        self.days = source_of(venue, symbol, store, files)
        self.id = self.days.id

    def __repr__(self) -> str:
        return f"<History {self.id} at {format_time(self.at)}>"

    def check(self, symbol: str | None) -> None:
        """Refuse the name of another instrument."""
        if symbol is not None and symbol.upper() not in (self.id.upper(), self.id.partition(":")[2].upper()):
            raise ConfigError(f"symbol: {symbol!r} is not {self.id}, whose history this is; leave it out")

    def book(self, symbol: str | None = None, levels: int = 20) -> Snapshot:
        """Return the best levels of each side with totals, imbalance and spread."""
        self.check(symbol)
        return book_of(self.days, self.at, check_count("levels", levels))

    def trades(self, n: int, symbol: str | None = None) -> pl.DataFrame:
        """Return the last `n` trades, the newest last: timestamp, local_timestamp, side, price, amount."""
        self.check(symbol)
        return last_trades(self.days, self.at, check_count("n", n))

    def candles(self, interval: str | int, n: int, symbol: str | None = None) -> pl.DataFrame:
        """Return the last `n` candles that were over, made of the trades that had arrived; see `candles`.

        A candle without a trade is flat with volume 0, where the files cover it.
        """
        self.check(symbol)
        size = parse_size(interval)
        if not size.interval:
            raise ConfigError(f"interval: {interval!r} is no time; write it like 5m")
        stop = floor_time(np.array([self.at]), size.interval)
        start = add_interval(stop, size.interval, -check_count("n", n))
        return candles_of(self.days, size, int(start[0]), int(stop[0]), self.at, "fill").frame()


def order_book(
    venue: str, symbol: str, at: Any, levels: int = 20, *, store: Any = None, files: Any = None
) -> Snapshot:
    """Return the order book as it was known at a moment: all messages that had arrived by `at`.

    Parameters
    ----------
    venue, symbol, store, files
        As for `candles`. The best kind there is: incremental_book_L2, book_snapshot_25, book_snapshot_5,
        quotes, book_ticker.
    at : time
        ns, ISO text or datetime.
    levels : int
        Most levels of each side.

    Returns
    -------
    Snapshot
        ts and local_ts of its last message, bids and asks as (price, size) with the best first, their totals,
        imbalance, spread and spread in percent of the mid.

    Raises
    ------
    DataError
        No file of that day, or no book was known yet.

    Examples
    --------
    >>> order_book("binance", "BTC-USDT", "2024-08-09T00:01Z", files="data/").imbalance  # doctest: +SKIP
    """
    return History(venue, symbol, at, store=store, files=files).book(None, levels)


def recent_trades(
    venue: str, symbol: str, at: Any, n: int = 100, *, store: Any = None, files: Any = None
) -> RecentTrades:
    """Return the last `n` trades that had arrived by `at`, with their sums; arguments as of `order_book`.

    A repeated id counts once; where the day has fewer, those of the days before that are there.
    """
    return RecentTrades.of(History(venue, symbol, at, store=store, files=files).trades(n))


def market_data(
    venue: str | None = None,
    symbol: str | None = None,
    at: Any = None,
    *,
    interval: str = "1m",
    candles: int = 100,
    levels: int = 20,
    trades: int = 100,
    store: Any = None,
    files: Any = None,
    state: Feed | None = None,
) -> MarketData:
    """Return candles, book and last trades of one moment, gathered side by side on threads.

    Parameters
    ----------
    venue, symbol, at, store, files
        Of a moment of recorded data; see `order_book`.
    interval, candles : str, int
        The last so many candles that were over.
    levels, trades : int
    state : Feed, optional
        The state of a live stream, in place of venue, at, store and files; `symbol` where it has several.

    Examples
    --------
    >>> market_data("binance", "BTC-USDT", "2024-08-09T00:01Z", files="data/")  # doctest: +SKIP
    >>> market_data(symbol="BTCUSDT", state=stream.state)  # doctest: +SKIP
    """
    if state is not None:
        if venue is not None or at is not None or files is not None or store is not None:
            raise ConfigError("state: a live state knows now only; leave out venue, at, store and files")
        return gather(state, symbol, None, interval, candles, levels, trades)
    if venue is None or symbol is None or at is None:
        raise ConfigError("market_data: say venue, symbol and at, or state= of a live stream")
    history = History(venue, symbol, at, store=store, files=files)
    return gather(history, None, history, interval, candles, levels, trades)


def gather(
    feed: Feed,
    symbol: str | None,
    past: History | None,
    interval: str,
    candles: int,
    levels: int,
    trades: int,
) -> MarketData:
    """Ask a feed the three questions side by side; a live state is asked in turn, for it is one moment."""
    questions: list[Any] = [
        lambda: plain_times(feed.candles(interval, candles, symbol)),
        lambda: feed.book(symbol, levels),
        lambda: RecentTrades.of(feed.trades(trades, symbol)),
    ]
    if past is None:
        bars, book, last = (question() for question in questions)
    else:
        with ThreadPoolExecutor(len(questions)) as pool:
            bars, book, last = (answer.result() for answer in [pool.submit(q) for q in questions])
    newest = last.rows["local_timestamp"].dt.epoch("ns").max()
    at = past.at if past is not None else max(book.local_ts, int(newest or 0))
    return MarketData(past.id if past is not None else symbol or "", at, bars, book, last)


def plain_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Return candles with their times as Datetime (ns, UTC), also where a feed has whole ns."""
    import polars as pl

    whole = [name for name in TIMES if name in frame.columns and frame[name].dtype == pl.Int64]
    return frame.with_columns(pl.col(whole).cast(pl.Datetime("ns", "UTC"))) if whole else frame


def check_count(name: str, count: int) -> int:
    """Return a number of rows that can be asked for."""
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or not 1 <= count <= MOST:
        raise ConfigError(f"{name}: {count!r} is no number of rows; give 1 to {MOST}")
    return int(count)


def decimal_sum(values: Any, scale: float) -> float:
    """Return a sum as the decimal one adds up by hand, where the values are whole steps of 1 / scale."""
    return float(on_grid(np.array([fsum(values.tolist())]), scale)[0])


def scale_of(amounts: Any) -> float:
    """Return 10^decimals of amounts, 0.0 where they have more than 12."""
    scale = 1.0
    while scale <= FINEST:
        if (np.floor(amounts * scale + 0.5) / scale == amounts).all():
            return scale
        scale *= 10.0
    return 0.0
