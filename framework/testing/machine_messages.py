"""Texts of normalized messages as tardis-machine writes them: of events, csv files, raw frames or NDJSON."""

from __future__ import annotations

import gzip
import heapq
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.message_kinds import (
    BookChange,
    BookSnapshot,
    BookTicker,
    Disconnect,
    Event,
    Level,
    Liquidation,
    Message,
    Ticker,
    Trade,
)
from framework.data.message_texts import TYPE_NAMES, iso, write
from framework.data.messages import parse
from framework.data.schema import COLUMNS, described
from framework.errors import ConfigError, DataError
from framework.times import parse_time

if TYPE_CHECKING:
    import polars as pl

LOCAL = re.compile(r'"localTimestamp"\s*:\s*"([^"]*)"')


def texts_of(sources: Any) -> list[str]:
    """Return the messages of sources in order of local time, each source in its own order.

    Parameters
    ----------
    sources : path, or list of paths, events and texts
        Paths are NDJSON files of normalized messages (.gz too), or Tardis csv files whose names tell
        exchange, kind and symbol. A list of texts and events is one source.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    loose = [s if isinstance(s, str) else write(s) for s in several if not is_path(s)]
    streams = [list(read(Path(path))) for path in several if is_path(path)]
    return list(heapq.merge(*streams, loose, key=local_of))


def is_path(source: Any) -> bool:
    """True for what names a file."""
    return isinstance(source, Path) or (isinstance(source, str) and not source.lstrip().startswith("{"))


def local_of(text: str) -> int:
    """Return the local time of a message."""
    return parse(text).local_ts


def read(path: Path) -> Iterator[str]:
    """Yield the messages of one file."""
    if path.name.endswith((".csv", ".csv.gz")):
        import polars as pl

        file = described(path)
        if file.instrument is None:
            raise ConfigError(f"{path}: the name does not tell exchange and symbol")
        frame = pl.read_csv(path, infer_schema=False)
        if "exchange" not in frame.columns:
            raise DataError(f"{path}: has no column exchange; give a Tardis csv file")
        yield from (write(event) for event in events_of(file.kind, frame.drop("exchange"), *file.instrument))
        return
    with gzip.open(path, "rt") if path.name.endswith(".gz") else path.open(encoding="utf-8") as lines:
        yield from (line.strip() for line in lines if line.strip())


def events_of(kind: str, frame: pl.DataFrame, exchange: str, symbol: str) -> Iterator[Event]:
    """Yield rows of one kind as messages. Columns may be text, and times µs or Datetime."""
    import polars as pl

    names = [name for name in COLUMNS[kind][2:] if name in frame.columns]
    times = [name for name in names if name.endswith("timestamp")]
    rows = frame.select(names).with_columns(pl.col(times).cast(pl.Int64) * 1000).iter_rows(named=True)
    if kind == "incremental_book_L2":
        yield from book_changes(rows, exchange, symbol)
        return
    for row in rows:
        head = (exchange, symbol, row["timestamp"], row["local_timestamp"])
        yield one(kind, head, row)


def one(kind: str, head: tuple[str, str, int, int], row: Mapping[str, Any]) -> Event:
    """Return the message of one row."""
    if kind in ("trades", "liquidations"):
        make = Trade if kind == "trades" else Liquidation
        return make(*head, row["id"] or None, row["side"], float(row["price"]), float(row["amount"]))
    numbers = [float("nan") if value in (None, "") else float(value) for value in list(row.values())[2:]]
    if kind == "book_ticker":
        return BookTicker(*head, *numbers)
    if kind == "derivative_ticker":
        funding = row["funding_timestamp"]
        return Ticker(*head, None if funding is None else int(funding), *numbers[1:])
    if kind == "quotes":
        ask_amount, ask, bid, bid_amount = numbers
        sides = [((p, a),) if p == p else () for p, a in ((bid, bid_amount), (ask, ask_amount))]
        return BookSnapshot(*head, "quote", 1, 0, float("nan"), *sides)
    depth = len(numbers) // 4
    asks, bids = (pairs(numbers[i::4], numbers[i + 1 :: 4]) for i in (0, 2))
    return BookSnapshot(*head, f"book_snapshot_{depth}_0ms", depth, 0, float("nan"), bids, asks)


def pairs(prices: Iterable[float], amounts: Iterable[float]) -> tuple[Level, ...]:
    """Return the levels that are there."""
    return tuple((p, a) for p, a in zip(prices, amounts, strict=True) if p == p)


def book_changes(rows: Iterator[dict[str, Any]], exchange: str, symbol: str) -> Iterator[Event]:
    """Yield rows of one local time (and kind) as one message."""
    stamped = groupby(rows, lambda r: (r["local_timestamp"], r["timestamp"], r["is_snapshot"]))
    for (local, ts, flag), group in stamped:
        sides: dict[str, list[Level]] = {"bid": [], "ask": []}
        for row in group:
            sides[row["side"]].append((float(row["price"]), float(row["amount"])))
        is_snapshot = flag in (True, "true")
        yield BookChange(exchange, symbol, ts, local, is_snapshot, tuple(sides["bid"]), tuple(sides["ask"]))


def stamped(text: str) -> str:
    """Return a message whose local time is now."""
    match = LOCAL.search(text)
    if match is None:
        return text
    return text[: match.start(1)] + iso(time.time_ns() // 1000 * 1000) + text[match.end(1) :]


def is_wanted(event: Message, options: Mapping[str, Any], is_live: bool) -> bool:
    """True for a message that a client's options choose."""
    if event.exchange != options["exchange"] or not is_in_range(event.local_ts, options, is_live):
        return False
    if isinstance(event, Disconnect):
        return is_live or bool(options.get("withDisconnectMessages"))
    kind = TYPE_NAMES[type(event)]
    if kind == "error":
        return bool(options.get("withErrorMessages"))
    symbols = [str(s).upper() for s in options.get("symbols") or ()]
    name = getattr(event, "name", kind)
    return name in options["dataTypes"] and (not symbols or getattr(event, "symbol", "") in symbols)


def is_in_range(ts: int, options: Mapping[str, Any], is_live: bool) -> bool:
    """True for a time a replay asks for."""
    return is_live or parse_time(options["from"]) <= ts < parse_time(options["to"])
