"""Bars of trades: as a strategy can know them while ticks arrive, and as whole candles in place of ticks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.instruments import Instrument, price_of
from framework.market_source import tape_of
from framework.market_streams import frozen
from framework.market_ticks import tick_range
from framework.records import BAR, NEVER
from framework.times import (
    Times,
    add_interval,
    floor_time,
    format_interval,
    format_time,
    month_index,
    months_in,
)

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
GROUP = np.dtype(
    [("bucket", "i8"), ("local_ts", "i8"), ("lots", "i8"),  # open of the bar; arrival of its first trade
     ("open", "i4"), ("high", "i4"), ("low", "i4"), ("close", "i4")]
)  # fmt: skip  # prices in ticks
EDGE = 100  # a bucket whose first or last hundredth the ticks miss is whole: a day's first row comes late


class Shown(NamedTuple):
    """Bars and when each can be seen."""

    bars: Rows
    shown_ts: Times


def shown_bars(market: Market, k: int, interval: int) -> Shown:
    """Return the bars of an instrument a strategy can see; see `Market.shown_bars`."""
    if is_loaded(market, k, interval):
        has = interval in market.intervals(k)
        rows = (market if has else market.resample(interval, k)).bars[k, interval]
        return Shown(rows, rows["close_ts"])
    tape = tape_of(market, "trades", k)
    pieces = [trades_of(market, k, "bars")] if tape is None else tape.read()
    return seen_bars(pieces, market.instruments[k], interval, range_of(market, k)[0])


def is_loaded(market: Market, k: int, interval: int) -> bool:
    """True when bars of an interval are loaded ones or made of them, False when they are made of trades."""
    loaded = market.loaded_intervals(k)
    if not loaded and not market.has_ticks(k):
        raise ConfigError(f"bars: {market.instruments[k].id} has no bars in this market")
    return bool(loaded) and (not market.has_ticks(k) or interval >= loaded[0])


def trades_of(market: Market, k: int, asked: str) -> Rows:
    """Return the trades of an instrument; refuse where it has none."""
    if k not in market.trades:
        what = market.instruments[k].id
        raise ConfigError(f"{asked}: {what} has a book and no trades to build from; load its trades or bars")
    return market.trades[k]


def range_of(market: Market, k: int) -> tuple[int, int]:
    """Return the first arrival of an instrument's ticks and the ns after the last; (0, 0) without a row."""
    return tick_range(market, k) or (0, 0)


def seen_bars(pieces: Iterable[Any], what: Instrument, interval: int, start: int) -> Shown:
    """Return bars built while trades arrive, and the arrival that ended each.

    A trade of an earlier bucket than the newest seen comes too late: its bar was shown without it. Buckets
    that ended before `start`, the first arrival of all, hold nothing but such late trades and are left out.
    """
    newest = -NEVER
    parts = [np.zeros(0, GROUP)]
    for trades in pieces:
        bucket = floor_time(trades["raw_ts"], interval)
        top = np.maximum.accumulate(np.append(newest, bucket))[1:]
        kept = (bucket == top) & (add_interval(bucket, interval) > start)
        newest = int(top[-1]) if len(top) else newest
        rows, bucket = trades[kept], bucket[kept]
        if len(rows):
            first = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
            parts.append(groups(rows, first, bucket))
    made = one_each(np.concatenate(parts))
    if len(made) < 2:
        return Shown(frozen(np.zeros(0, BAR)), frozen(np.zeros(0, np.int64)))
    bars = bars_of(made[:-1], what, interval)
    return Shown(*filled(bars, made["bucket"][1:], interval, made["local_ts"][1:]))


def groups(rows: Rows, first: Rows, bucket: Times) -> Rows:
    """Return one GROUP for each group of trades that begins at `first`."""
    made = np.zeros(len(first), GROUP)
    tick = rows["tick"]
    made["bucket"], made["local_ts"] = bucket[first], rows["local_ts"][first]
    made["open"], made["close"] = tick[first], tick[np.append(first[1:], len(rows)) - 1]
    made["high"], made["low"] = np.maximum.reduceat(tick, first), np.minimum.reduceat(tick, first)
    made["lots"] = np.add.reduceat(rows["lots"], first)
    return made


def one_each(parts: Rows) -> Rows:
    """Return groups in which neighbours of one bucket, from two pieces, have become one."""
    if not len(parts):
        return parts
    first = np.flatnonzero(np.append(True, parts["bucket"][1:] != parts["bucket"][:-1]))
    made = parts[first]
    made["close"] = parts["close"][np.append(first[1:], len(parts)) - 1]
    made["high"] = np.maximum.reduceat(parts["high"], first)
    made["low"] = np.minimum.reduceat(parts["low"], first)
    made["lots"] = np.add.reduceat(parts["lots"], first)
    return made


def bars_of(made: Rows, what: Instrument, interval: int) -> Rows:
    """Return groups of trades as bars."""
    bars = np.zeros(len(made), dtype=BAR)
    bars["open_ts"] = made["bucket"]
    bars["close_ts"] = add_interval(bars["open_ts"], interval)
    for name in ("open", "high", "low", "close"):
        bars[name] = price_of(made[name], what.tick_size)
    bars["volume"] = price_of(made["lots"], what.lot_size)
    return bars


def filled(bars: Rows, until: Times, interval: int, ended: Times) -> tuple[Rows, Times]:
    """Return the bars with flat ones up to the open each `until` says, and `ended` for each of them all."""
    count = buckets_between(bars["open_ts"], until, interval)
    rows, times = np.repeat(bars, count), np.repeat(ended, count)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    flat = np.flatnonzero(place)
    if len(flat):
        rows["open_ts"][flat] = add_interval(rows["open_ts"][flat], interval, place[flat])
        rows["close_ts"][flat] = add_interval(rows["open_ts"][flat], interval)
        for name in ("open", "high", "low"):
            rows[name][flat] = rows["close"][flat]
        rows["volume"][flat] = 0.0
    return frozen(rows), frozen(times)


def buckets_between(first: Times, end: Times, interval: int) -> Rows:
    """Return how many buckets begin in [first, end)."""
    if months := months_in(interval):
        return (month_index(end) - month_index(first)) // months
    return (end - first) // interval


def candle_fields(market: Market, interval: int) -> dict[str, Any]:
    """Return the fields of a market that change when its ticks become bars; see `Market.as_candles`."""
    ticking = {k for k in range(len(market.instruments)) if market.has_ticks(k)}
    bars = {key: rows for key, rows in market.bars.items() if key[0] not in ticking}
    remarks = list(market.remarks)
    for k in sorted(ticking):
        bars[k, interval], partial = whole_bars(market, k, interval)
        if market.loaded_intervals(k):
            remarks.append(
                f"{market.instruments[k].id}: bars of its trades take the place of the loaded bars"
            )
        if partial:
            words = " and ".join(format_time(ts) for ts in partial)
            many = "bars" if len(partial) > 1 else "bar"
            remarks.append(
                f"{market.instruments[k].id}: the ticks cover only a part of the {format_interval(interval)} "
                f"{many} of {words}, left out"
            )
    return {
        "bars": bars, "trades": {}, "books": {}, "quotes": {}, "liquidations": {},
        "remarks": tuple(dict.fromkeys(remarks)),
        "derived": frozenset(key for key in market.derived if key[0] not in ticking),
    }  # fmt: skip


def whole_bars(market: Market, k: int, interval: int) -> tuple[Rows, list[int]]:
    """Return bars of all trades for the buckets the ticks cover, and the opens of those covered in part."""
    trades, what = trades_of(market, k, "as_candles"), market.instruments[k]
    start, stop = range_of(market, k)
    bucket = floor_time(trades["raw_ts"], interval)
    order = np.argsort(bucket, kind="stable")
    order = order[np.searchsorted(add_interval(bucket[order], interval), start, side="right") :]
    rows, bucket = trades[order], bucket[order]
    first = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1])) if len(rows) else np.zeros(0, np.int64)
    if not len(first):
        return frozen(np.zeros(0, BAR)), []
    bars = bars_of(groups(rows, first, bucket), what, interval)
    slack = interval // EDGE
    end = floor_time(np.array([stop - 1 + slack]), interval)  # open of the bucket that is not over
    until = np.append(bars["open_ts"][1:], np.maximum(bars["close_ts"][-1:], end))
    bars, _ = filled(bars, until, interval, bars["close_ts"])
    whole = (bars["open_ts"] + slack >= start) & (bars["close_ts"] - slack < stop)
    return frozen(bars[whole]), bars["open_ts"][~whole].tolist()


def trade_fields(market: Market) -> dict[str, Any]:
    """Return the fields of a market that change when its books are left out; see `Market.as_trades`."""
    for k in sorted(market.books):
        trades_of(market, k, "as_trades")
    return {"books": {}, "quotes": {}}


__all__ = ["Shown", "candle_fields", "seen_bars", "shown_bars", "trade_fields", "whole_bars"]
