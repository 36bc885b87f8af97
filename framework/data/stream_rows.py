"""Normalized messages as raw rows: the columns and dtypes of the store, in the order of Tardis csv files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from framework.data.message_kinds import (
    BookChange,
    BookSnapshot,
    BookTicker,
    Level,
    Levels,
    Liquidation,
    Ticker,
    Trade,
)
from framework.data.schema import COLUMNS, HEAD
from framework.errors import ConfigError, near

if TYPE_CHECKING:
    import polars as pl

Row = tuple[Any, ...]
Rows = list[Row]

NAMES = {kind: columns[2:] for kind, columns in COLUMNS.items()}  # a path says exchange and symbol
TIMES = (*HEAD[2:], "funding_timestamp")
KIND_OF_TYPE = {
    "trade": "trades", "book_change": "incremental_book_L2", "derivative_ticker": "derivative_ticker",
    "liquidation": "liquidations", "book_ticker": "book_ticker",
}  # fmt: skip
SNAPSHOT = re.compile(r"book_snapshot_(25|5)_\d+(?:ms|s|m)")
QUOTE = re.compile(r"quote(?:_\d+(?:ms|s|m))?")
KINDS_OF_BOOKS = {5: "book_snapshot_5", 25: "book_snapshot_25"}
EMPTY = (None, None)


def kind_of_type(name: str) -> str | None:
    """Return the kind of file that keeps a data type of tardis-machine, None where there is none."""
    if match := SNAPSHOT.fullmatch(name):
        return KINDS_OF_BOOKS[int(match[1])]
    return "quotes" if QUOTE.fullmatch(name) else KIND_OF_TYPE.get(name)


def check_kept(types: Sequence[str]) -> dict[str, str]:
    """Return the kind of each data type; refuse types that no kind of file holds, and two of one kind."""
    kept: dict[str, str] = {}
    for name in types:
        kind = kind_of_type(name)
        if kind is None:
            known = (*KIND_OF_TYPE, "book_snapshot_25_100ms", "book_snapshot_5_100ms", "quote")
            why = "bars are made of trades later" if name.startswith("trade_bar") else near(name, known)
            raise ConfigError(f"types: {name} is not kept in the store; {why}")
        if kind in kept.values():
            other = next(n for n, k in kept.items() if k == kind)
            raise ConfigError(f"types: {other} and {name} are both kept as {kind}; record one of them")
        kept[name] = kind
    return kept


def rows_of(event: Any) -> tuple[str, Rows] | None:
    """Return the kind and the rows of a message, times in µs; None for one that is not kept."""
    make = MAKERS.get(type(event))
    return None if make is None else make(event)


def _deal(event: Trade | Liquidation) -> Row:
    id = event.id
    return (event.ts // 1000, event.local_ts // 1000, id, event.side, event.price, event.amount)


def _trade(event: Trade) -> tuple[str, Rows]:
    return "trades", [_deal(event)]


def _liquidation(event: Liquidation) -> tuple[str, Rows]:
    return "liquidations", [_deal(event)]


def _book_change(event: BookChange) -> tuple[str, Rows]:
    ts, local, flag = event.ts // 1000, event.local_ts // 1000, event.is_snapshot
    rows: Rows = [(ts, local, flag, "ask", *level) for level in event.asks]
    rows += [(ts, local, flag, "bid", *level) for level in event.bids]
    return "incremental_book_L2", rows


def _level(levels: Levels, i: int) -> Level | tuple[None, None]:
    return levels[i] if i < len(levels) else EMPTY


def _book_snapshot(event: BookSnapshot) -> tuple[str, Rows] | None:
    kind = kind_of_type(event.name)
    if kind is None:
        return None
    head = (event.ts // 1000, event.local_ts // 1000)
    if kind == "quotes":
        (bid, bid_amount), (ask, ask_amount) = _level(event.bids, 0), _level(event.asks, 0)
        return kind, [(*head, ask_amount, ask, bid, bid_amount)]
    sides = (event.asks, event.bids)
    return kind, [(*head, *(x for i in range(event.depth) for side in sides for x in _level(side, i)))]


def _book_ticker(event: BookTicker) -> tuple[str, Rows]:
    return "book_ticker", [(event.ts // 1000, event.local_ts // 1000, *event[4:])]


def _ticker(event: Ticker) -> tuple[str, Rows]:
    funding = None if event.funding_ts is None else event.funding_ts // 1000
    return "derivative_ticker", [(event.ts // 1000, event.local_ts // 1000, funding, *event[5:])]


MAKERS: dict[Any, Any] = {
    Trade: _trade, Liquidation: _liquidation, BookChange: _book_change, BookSnapshot: _book_snapshot,
    BookTicker: _book_ticker, Ticker: _ticker,
}  # fmt: skip


def frame_types(kind: str) -> dict[str, Any]:
    """Return the columns of a kind as the store has them (`rows.dtypes`, without the kernels it loads)."""
    import polars as pl

    sides = ("bid", "ask") if kind == "incremental_book_L2" else ("unknown", "buy", "sell")
    own: dict[str, Any] = {"id": pl.String, "is_snapshot": pl.Boolean, "side": pl.Enum(sides)}
    own |= dict.fromkeys(TIMES, pl.Datetime("us", "UTC"))
    return {name: own.get(name, pl.Float64) for name in NAMES[kind]}


def frame_of(kind: str, rows: Iterable[Row]) -> pl.DataFrame:
    """Return rows of one kind (times in µs) as a raw frame; NaN is no value."""
    import polars as pl

    types = frame_types(kind)
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    series = []
    for (name, type_), values in zip(types.items(), columns, strict=True):
        if name in TIMES:
            series.append(pl.Series(name, values, pl.Int64).cast(type_))
        elif type_ == pl.Float64:
            series.append(pl.Series(name, values, type_, strict=False).fill_nan(None))
        else:
            series.append(pl.Series(name, values, type_))
    return pl.DataFrame(series)


def frames(events: Iterable[Any]) -> dict[tuple[str, str, str], pl.DataFrame]:
    """Return messages as raw frames by (exchange, kind, symbol), each in the order the messages came."""
    found: dict[tuple[str, str, str], Rows] = {}
    for event in events:
        if (made := rows_of(event)) is not None:
            kind, rows = made
            found.setdefault((event.exchange, kind, event.symbol), []).extend(rows)
    return {key: frame_of(key[1], rows) for key, rows in found.items()}
