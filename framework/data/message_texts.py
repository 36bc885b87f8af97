"""Normalized messages as text, as tardis-machine writes them: the other way round of `messages`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from framework.data.message_kinds import (
    BookChange,
    BookSnapshot,
    BookTicker,
    Disconnect,
    Level,
    Liquidation,
    Ticker,
    Trade,
    TradeBar,
    Trouble,
)
from framework.data.messages import BAR_FIELDS, TICKER_FIELDS
from framework.times import MILLISECOND, SECOND

TYPE_NAMES: dict[type, str] = {
    Trade: "trade", Liquidation: "liquidation", BookChange: "book_change", BookSnapshot: "book_snapshot",
    BookTicker: "book_ticker", Ticker: "derivative_ticker", TradeBar: "trade_bar",
    Disconnect: "disconnect", Trouble: "error",
}  # fmt: skip


def write(event: Any) -> str:
    """Return the text of a message; whole milliseconds have 3 digits, other times 6."""
    fields = {"type": TYPE_NAMES[type(event)]}
    fields |= {name: value for name, value in fields_of(event).items() if value is not None}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def fields_of(event: Any) -> dict[str, Any]:
    """Return the fields of a message but its type, None for those that are absent."""
    if isinstance(event, Disconnect | Trouble):
        return plain_fields(event)
    head = {"symbol": event.symbol, "exchange": event.exchange}
    tail = {"timestamp": iso(event.ts), "localTimestamp": iso(event.local_ts)}
    return {**head, **body(event), **tail}


def plain_fields(event: Disconnect | Trouble) -> dict[str, Any]:
    """Return the fields of a message without symbol."""
    fields: dict[str, Any] = {"exchange": event.exchange, "localTimestamp": iso(event.local_ts)}
    if isinstance(event, Trouble):
        return {**fields, "details": event.details, "subSequentErrorsCount": event.in_a_row}
    reason = None if event.reason == "exchange" else event.reason
    return {**fields, "symbols": list(event.symbols) or None, "reason": reason}


def body(event: Any) -> dict[str, Any]:
    """Return what stands between symbol and times."""
    if isinstance(event, Trade | Liquidation):
        return {
            "id": event.id, "price": number(event.price), "amount": number(event.amount), "side": event.side
        }  # fmt: skip
    if isinstance(event, BookChange):
        return {"isSnapshot": event.is_snapshot, "bids": levels(event.bids), "asks": levels(event.asks)}
    if isinstance(event, BookSnapshot):
        bids, asks = ([*levels(s), *[{}] * (event.depth - len(s))] for s in (event.bids, event.asks))
        name, interval = event.name, event.interval // MILLISECOND
        grouping = number(event.grouping)
        return {
            "name": name, "depth": event.depth, "interval": interval, "grouping": grouping, "bids": bids,
            "asks": asks,
        }  # fmt: skip
    if isinstance(event, BookTicker):
        return named(("askAmount", "askPrice", "bidPrice", "bidAmount"), event[4:])
    if isinstance(event, Ticker):
        funding = None if event.funding_ts is None else iso(event.funding_ts)
        return {**named(TICKER_FIELDS, event[5:]), "fundingTimestamp": funding}
    bar: TradeBar = event
    return {
        "name": bar.name, "kind": bar.kind, **named(BAR_FIELDS, bar[6:14]), "trades": bar.trades,
        "vwap": number(bar.vwap), "openTimestamp": iso(bar.open_ts), "closeTimestamp": iso(bar.close_ts),
    }  # fmt: skip


def named(names: Sequence[str], values: Sequence[float]) -> dict[str, Any]:
    """Return numbers by name."""
    return {name: number(value) for name, value in zip(names, values, strict=True)}


def levels(side: Sequence[Level]) -> list[dict[str, Any]]:
    """Return levels as objects."""
    return [{"price": number(price), "amount": number(amount)} for price, amount in side]


def number(value: float) -> float | int | None:
    """Return a number as JavaScript prints it: whole ones without a point; NaN is absent."""
    if value != value:
        return None
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def iso(ts: int) -> str:
    """Return a time with 3 digits, or 6 where it needs them."""
    whole, rest = divmod(ts, SECOND)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // MILLISECOND:03d}Z" if rest % MILLISECOND == 0 else f"{text}.{rest // 1000:06d}Z"
