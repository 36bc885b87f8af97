"""What the normalized messages of tardis-machine say, one class for each, and the names of data types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from framework.errors import ConfigError, near

Level = tuple[float, float]
Levels = tuple[Level, ...]


class Trade(NamedTuple):
    """One trade. ts, local_ts: ns of the exchange and of arrival; side is the taker's."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    id: str | None
    side: str  # buy, sell, unknown
    price: float
    amount: float


class Liquidation(NamedTuple):
    """A forced trade; `buy` closed a short."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    id: str | None
    side: str
    price: float
    amount: float


class BookChange(NamedTuple):
    """New sizes of levels, (price, amount); amount 0 takes a level away. A snapshot is the whole book."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    is_snapshot: bool
    bids: Levels
    asks: Levels


class BookSnapshot(NamedTuple):
    """The best levels, best first. Fewer than `depth` where the book is thin. `quote` is one of depth 1."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    name: str
    depth: int
    interval: int  # ns, 0 = at every change
    grouping: float  # price step of the levels, NaN = none
    bids: Levels
    asks: Levels


class BookTicker(NamedTuple):
    """The best bid and ask as the exchange sends them; NaN for a side that is empty."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    ask_amount: float
    ask_price: float
    bid_price: float
    bid_amount: float


class Ticker(NamedTuple):
    """derivative_ticker: what is known of a contract; NaN and None where it is not."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    funding_ts: int | None
    funding_rate: float
    predicted_funding_rate: float
    open_interest: float
    last_price: float
    index_price: float
    mark_price: float


class TradeBar(NamedTuple):
    """A bar as tardis-machine makes it. ts: its end; open_ts, close_ts: first and last trade in it."""

    exchange: str
    symbol: str
    ts: int
    local_ts: int
    name: str
    kind: str  # time, volume, tick
    interval: float  # ms, trades or volume
    open: float
    high: float
    low: float
    close: float
    volume: float
    buy_volume: float
    sell_volume: float
    trades: int
    vwap: float
    open_ts: int
    close_ts: int


class Disconnect(NamedTuple):
    """Something may be missing from here on. Books are unknown until the next snapshot.

    symbols : those concerned, () = all of the exchange. reason : who lost whom, `exchange` when the message
    came from tardis-machine.
    """

    exchange: str
    local_ts: int
    symbols: tuple[str, ...]
    reason: str


class Refused(NamedTuple):
    """A message that could not be read. local_ts: this machine's clock. why: what was wrong, and its text.

    is_of_books : it may have changed a book, so books are unknown until the next snapshot.
    """

    exchange: str
    local_ts: int
    why: str
    is_of_books: bool = True


class Slow(NamedTuple):
    """The program reads slower than messages come: from here on they wait, and so does the server."""

    exchange: str
    local_ts: int  # this machine's clock


class Trouble(NamedTuple):
    """An error message: tardis-machine could not reach the exchange, so many times in a row."""

    exchange: str
    local_ts: int
    details: str
    in_a_row: int


Message = (
    Trade | Liquidation | BookChange | BookSnapshot | BookTicker | Ticker | TradeBar | Disconnect | Trouble
)
Event = Message | Refused | Slow
"""What a stream gives: the messages, and what it noticed itself."""
TYPES = ("trade", "book_change", "derivative_ticker", "liquidation", "book_ticker", "quote")
TYPE = re.compile(
    r"trade|book_change|derivative_ticker|liquidation|book_ticker"
    r"|trade_bar_[1-9]\d*(?:ms|s|m|ticks|vol)|book_snapshot_[1-9]\d*(?:_grouped\d+(?:\.\d+)?)?_\d+(?:ms|s|m)"
    r"|quote(?:_\d+(?:ms|s|m))?"
)


def check_types(types: str | Iterable[str]) -> tuple[str, ...]:
    """Return data types as tardis-machine knows them; refuse others with near names."""
    several: Sequence[str] = types.split(",") if isinstance(types, str) else list(types)
    for name in several:
        if not isinstance(name, str) or TYPE.fullmatch(name) is None:
            shown = (*TYPES, "trade_bar_1m", "book_snapshot_20_100ms")
            hint = near(str(name), shown)
            if re.fullmatch(r"trade_bar_\d+[hd]", str(name)):
                hint = "there are no hours and days: 1h is trade_bar_60m, 1d is trade_bar_1440m"
            raise ConfigError(f"types: unknown data type {name!r}; {hint}")
    if not several or len(set(several)) < len(several):
        raise ConfigError(f"types: {several!r} must name each type once; choose from {', '.join(TYPES)}")
    return tuple(several)
