"""Bars of trades, slowly: a dict of lists, decimals, sorting. Written from the words of `trade_bars`."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

WINDOW = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Trade(NamedTuple):
    """A row of a trades file; amount and price as texts."""

    ts: int  # us
    local: int
    id: str
    side: str
    price: str
    amount: str


def kept(trades: list[Trade]) -> list[Trade]:
    """Leave out what repeats the id of one of the 500 rows with an id before, and amounts of zero."""
    ids: list[str] = []
    result = []
    for trade in trades:
        repeated = trade.id != "" and trade.id in ids[-WINDOW:]
        if trade.id:
            ids.append(trade.id)
        if not repeated and Decimal(trade.amount) != 0:
            result.append(trade)
    return result


def bucket(ts: int, size: str) -> tuple[int, int]:
    """Return the interval (us) a time lies in, by the calendar."""
    moment = EPOCH + timedelta(microseconds=ts)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if size.endswith("mo"):
        months = moment.year * 12 + moment.month - 1 - 1970 * 12
        first = months // int(size[:-2]) * int(size[:-2])
        ends = [datetime(1970 + m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in (first, first + int(size[:-2]))]
    elif size == "1w":
        ends = [midnight - timedelta(days=moment.weekday())]
        ends.append(ends[0] + timedelta(days=7))
    else:
        step = int(size[:-1]) * UNITS[size[-1]] * 1_000_000
        return ts // step * step, ts // step * step + step
    low, high = ((end - EPOCH) // timedelta(microseconds=1) for end in ends)
    return low, high


def grouped(trades: list[Trade], size: str) -> list[tuple[tuple[int, int] | None, list[Trade]]]:
    """Return trades by bar: of time by exchange time, else in order of arrival until one is full."""
    if size.endswith(("ticks", "vol", "dollars")):
        bars: list[list[Trade]] = [[]]
        number = Decimal(size.rstrip("abcdefghijklmnopqrstuvwxyz"))
        for trade in trades:
            bars[-1].append(trade)
            if measure(bars[-1], size) >= number:
                bars.append([])
        return [(None, bar) for bar in bars if bar]
    groups = defaultdict(list)
    for trade in trades:
        groups[bucket(trade.ts, size)].append(trade)
    return sorted(groups.items())


def measure(bar: list[Trade], size: str) -> Decimal:
    """Return the trades, the volume or the money of a bar."""
    if size.endswith("ticks"):
        return Decimal(len(bar))
    money = size.endswith("dollars")
    return sum((Decimal(t.amount) * (Decimal(t.price) if money else 1) for t in bar), Decimal(0))


def bars(trades: list[Trade], size: str) -> list[dict[str, Any]]:
    """Return the bars; times in us, numbers as floats of exact decimals."""
    return [bar(span, group) for span, group in grouped(kept(trades), size)]


def bar(span: tuple[int, int] | None, trades: list[Trade]) -> dict[str, Any]:
    """Return one bar."""
    by_time = sorted(trades, key=lambda t: t.ts)  # stable: equal ones in file order
    prices = [Decimal(t.price) for t in trades]
    volume = {
        side: sum((Decimal(t.amount) for t in trades if side in ("", t.side)), Decimal(0))
        for side in ("", "buy", "sell")
    }
    value = sum((Decimal(t.amount) * Decimal(t.price) for t in trades), Decimal(0))
    low, high = span or (by_time[0].ts, by_time[-1].ts)
    return {
        "open_ts": low, "close_ts": high, "first_ts": by_time[0].ts, "last_ts": by_time[-1].ts,
        "open": float(by_time[0].price), "close": float(by_time[-1].price),
        "high": float(max(prices)), "low": float(min(prices)), "trades": len(trades),
        "volume": float(volume[""]), "buy_volume": float(volume["buy"]), "sell_volume": float(volume["sell"]),
        "vwap": float(value / volume[""]),
    }  # fmt: skip


def filled(rows: list[dict[str, Any]], size: str) -> list[dict[str, Any]]:
    """Return bars of time with flat ones between them."""
    result: list[dict[str, Any]] = []
    for row in rows:
        while result and result[-1]["close_ts"] < row["open_ts"]:
            low, high = bucket(result[-1]["close_ts"], size)
            price = result[-1]["close"]
            result.append(
                {"open_ts": low, "close_ts": high, "open": price, "high": price, "low": price, "close": price,
                 "volume": 0.0, "buy_volume": 0.0, "sell_volume": 0.0, "trades": 0}
            )  # fmt: skip
        result.append(row)
    return result
