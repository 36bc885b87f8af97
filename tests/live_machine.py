"""Shared by the tests of streams and recorders: messages, a clock, and hooks of live rows."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

from framework import Strategy
from framework.data.message_kinds import BookChange, Trade
from framework.data.messages import parse
from framework.data.stream import Stream
from framework.data.stream_link import Clock

SIDES = {"buy": 1, "sell": -1, "unknown": 0}
EVERYTHING = (
    "trade,book_change,trade_bar_1m,trade_bar_10ticks,trade_bar_2vol,book_snapshot_20_100ms,"
    "book_snapshot_5_grouped1_1s,quote,quote_10s"
)
DAY = {"start": "2024-03-01", "stop": "2024-03-02"}


def machine_texts(data_dir: Path) -> list[str]:
    """Return the 806 messages the real tardis-machine answered."""
    path = data_dir / "tardis-messages/synthetic/machine_18.2.0_expected_2024-03-01.ndjson.gz"
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def basic(data_dir: Path) -> list[str]:
    """Return its trades and book changes."""
    return [text for text in machine_texts(data_dir) if isinstance(parse(text), Trade | BookChange)]


class Instant(Clock):
    """A clock whose waits are over at once, written down."""

    def __init__(self, chance: float = 0.0) -> None:
        self.waits: list[float] = []
        self.chance = chance

    def now(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def jitter(self) -> float:
        return self.chance


LOG: list[Any] = []  # of the last run of Told


class Told(Strategy):
    """Writes down what its hooks are told."""

    def on_trade(self, trade: Any, broker: Any) -> None:
        LOG.append(("trade", broker.now, trade.ts, trade.price, trade.qty, trade.side))

    def on_book(self, book: Any, broker: Any) -> None:
        LOG.append(("book", broker.now, book.snapshot(20)))


def replayed(market: Any) -> list[Any]:
    """Return what the hooks are told in a backtest."""
    from framework import backtest

    LOG.clear()
    backtest(Told, market)
    return list(LOG)


def live_hooks(stream: Stream) -> list[Any]:
    """Return what hooks over a live stream are told: all of one moment applied, trades, then the book."""
    log: list[Any] = []
    newest = -1
    for now, events in stream.moments():
        changed = False
        for event in events:
            if isinstance(event, Trade):
                newest = max(newest, event.ts)
                log.append(("trade", now, min(newest, now), event.price, event.amount, SIDES[event.side]))
            changed |= isinstance(event, BookChange) and bool(event.asks or event.bids)
        if changed:
            log.append(("book", now, stream.state.book(levels=20)))
    return log
