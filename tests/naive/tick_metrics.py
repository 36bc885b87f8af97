"""Slow twins of the execution metrics: the book rebuilt level by level, time added up piece by piece."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def touch_rows(messages: Sequence[Any]) -> list[tuple[int, int, int | None, int | None]]:
    """(ts, local_ts, best bid, best ask) after each message of `tests.tick_frames` form."""
    book: dict[tuple[str, int], int] = {}
    found = []
    for ts, seen, rows in messages:
        for side, tick, lots in rows:
            book[side, tick] = lots
        bids = [tick for (side, tick), lots in book.items() if side == "bid" and lots > 0]
        asks = [tick for (side, tick), lots in book.items() if side == "ask" and lots > 0]
        found.append((ts, seen, max(bids, default=None), min(asks, default=None)))
    return found


def own_touch_at(orders: Sequence[tuple[int, int, int, float]], ts: int) -> tuple[float, float]:
    """Best own bid and ask at a time, of orders (begin, end, side, price)."""
    bids = [price for begin, end, side, price in orders if begin <= ts < end and side > 0]
    asks = [price for begin, end, side, price in orders if begin <= ts < end and side < 0]
    return max(bids, default=math.nan), min(asks, default=math.nan)


def weighted_mean(rows: Sequence[tuple[int, float]], start: int, stop: int) -> float:
    """Time-weighted mean of a step function, one ns after another."""
    values = []
    for now in range(start, stop):
        known = [value for ts, value in rows if ts <= now]
        if known and not math.isnan(known[-1]):
            values.append(known[-1])
    return sum(values) / len(values) if values else math.nan
