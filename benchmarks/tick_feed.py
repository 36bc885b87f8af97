"""A made feed of book and trades, 5,000,000 rows from a seed: Tardis files, the peer's events, a Market.

Rows come in messages about 17 ms apart. A message changes a level once, and its trades stand before its
levels, so that an engine that works row by row and one that works message by message see the same market. The
book is never crossed. Times are whole microseconds, as in Tardis files.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numba
import numpy as np

from framework import Instrument, Market
from framework.jit import cache_root
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER, TRADE

ROWS, SEED, VERSION = 5_000_000, 7, 2
SECOND = 1_000_000_000  # ns
START_US = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z
TICK, LOT, MIDDLE, DEPTH = 0.1, 0.001, 300_000, 1000  # 1,000 levels a side to begin with
ROW = np.dtype([("ts", "i8"), ("local_ts", "i8"), ("lots", "i8"), ("tick", "i4"), ("message", "i4"),
                ("kind", "i1"), ("side", "i1"), ("snapshot", "?")])  # fmt: skip  # us; kind 0 level, 1 trade
TARDIS = "binance-futures_{kind}_2024-01-01_MADE.csv.gz"
EVENTS = "events.npy"
Rows = Any


# --- the walk ---------------------------------------------------------------------------------
@numba.njit
def walk(rows, n, stamps, local, lengths, action, again, buys, distance, normal):
    """Fill `rows` with what happens to a book; return how many messages that took."""
    lots = np.zeros((2, 2 * MIDDLE), np.int64)  # bids, asks
    row_of = np.full((2, 2 * MIDDLE), -1, np.int64)  # where a level stands in the message at hand
    best = np.array([MIDDLE, MIDDLE + 1])
    m = at = i = 0
    while at < n:
        first = at
        for _ in range(2 * DEPTH if m == 0 else lengths[m]):
            s = i % 2 if m == 0 else int(buys[i])
            way = 1 - 2 * s  # outwards is down for bids, up for asks
            if m == 0:
                tick, size = best[s] - way * (i // 2), size_of(6.0, 1.2, normal[i])
            elif action[i] < 0.15:  # a trade takes from this side
                tick = best[s]
                took = min(size_of(3.5, 1.6, normal[i]), lots[s, tick])
                at = write(rows, at, stamps[m], local[m], took, tick, m, 1, -way)
                size = lots[s, tick] - took
            else:
                tick, size = change(lots, best, s, action[i], again[i], distance[i], normal[i])
            i += 1
            lots[s, tick] = size
            if row_of[s, tick] >= first:  # told already: told anew
                rows[row_of[s, tick]]["lots"] = size
            else:
                row_of[s, tick] = at
                at = write(rows, at, stamps[m], local[m], size, tick, m, 0, way)
            if m > 0:
                look(lots, best, s, tick)
            if at >= n:
                break
        m += 1
    return m


@numba.njit
def size_of(mean, spread, z):
    """Return a lognormal number of lots, at least 1."""
    return 1 + int(np.exp(mean + spread * z))


@numba.njit
def change(lots, best, s, action, again, distance, z):
    """Return tick and new size of a level that somebody changes: a better price, another size, or none."""
    way = 1 - 2 * s
    if action < 0.28 and best[1] - best[0] > 1:
        return best[s] + way, size_of(5.0, 1.2, z)
    tick = best[s] - way * distance
    if lots[s, tick] > 0 and again < (0.08 if distance == 0 else 0.35):
        return tick, 0
    return tick, size_of(6.0, 1.2, z)


@numba.njit
def look(lots, best, s, tick):
    """Find the best level of a side after `tick` changed."""
    way = 1 - 2 * s
    if way * (tick - best[s]) > 0:
        best[s] = tick
    while lots[s, best[s]] == 0:
        best[s] -= way


@numba.njit
def write(rows, at, ts, local_ts, lots, tick, message, kind, side):
    """Write one row, if there is room; return where the next one goes."""
    if at >= len(rows):
        return at
    row = rows[at]
    row["ts"], row["local_ts"], row["lots"], row["tick"] = ts, local_ts, lots, tick
    row["message"], row["kind"], row["side"], row["snapshot"] = message, kind, side, message == 0
    return at + 1


def made(n: int, seed: int) -> Rows:
    """Return ROW rows in the order of messages, trades first in each."""
    rng = np.random.default_rng(seed)
    messages, steps = n // 7, n + n // 2  # more than needed: a level told anew makes no row
    gaps = 1 + rng.exponential(16_770.0, messages).astype(np.int64)
    stamps = START_US + np.cumsum(gaps) - gaps[0]
    arrival = stamps + 2_000 + np.exp(rng.normal(7.5, 0.6, messages)).astype(np.int64)
    place = np.arange(messages)
    local = np.maximum.accumulate(arrival - place) + place  # later messages arrive later
    far = rng.geometric(0.06, steps) - 1 + (rng.random(steps) < 0.03) * rng.integers(0, 900, steps)
    action, again, normal = rng.random(steps), rng.random(steps), rng.standard_normal(steps)
    rows = np.zeros(n, ROW)
    lengths, buys = rng.geometric(0.105, messages), rng.random(steps) < 0.5
    walk(rows, n, stamps, local, lengths, action, again, buys, far, normal)
    return rows[np.lexsort((rows["kind"] == 0, rows["message"]))]


# --- files, written once ----------------------------------------------------------------------
def folder(n: int = ROWS, seed: int = SEED) -> Path:
    """Return the folder with this feed's files: rows.npy, the peer's events, two Tardis files."""
    place = cache_root() / "benchmarks" / f"feed-{n}-{seed}-v{VERSION}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=place.parent))
        rows = made(n, seed)
        np.save(new / "rows.npy", rows)
        np.save(new / EVENTS, events(rows))
        write_tardis(rows, new)
        for name, array in columns(rows).items():
            np.save(new / f"{name}.npy", array)
        try:
            os.replace(new, place)
        except OSError:  # another process was faster
            shutil.rmtree(new)
    return place


def rows_of(n: int = ROWS, seed: int = SEED) -> Rows:
    """Return the rows of a feed."""
    return np.load(folder(n, seed) / "rows.npy")


def events(rows: Rows) -> Rows:
    """Return rows as hftbacktest's events, each valid at the exchange and here."""
    kinds = [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"),
             ("order_id", "u8"), ("ival", "i8"), ("fval", "f8")]  # fmt: skip
    out = np.zeros(len(rows), np.dtype(kinds, align=True))
    exchange, local, buy, sell = 1 << 31, 1 << 30, 1 << 29, 1 << 28
    out["ev"] = np.where(rows["kind"] == 1, 2, np.where(rows["snapshot"], 4, 1)) | exchange | local
    out["ev"] |= np.where(rows["side"] > 0, buy, sell).astype(np.uint64)
    out["exch_ts"], out["local_ts"] = rows["ts"] * 1000, rows["local_ts"] * 1000
    out["px"], out["qty"] = rows["tick"] / 10, rows["lots"] / 1000
    return out


def write_tardis(rows: Rows, place: Path) -> None:
    """Write the two csv.gz files."""
    import polars as pl

    for kind, part in (("trades", rows[rows["kind"] == 1]), ("incremental_book_L2", rows[rows["kind"] == 0])):
        names = ("buy", "sell") if kind == "trades" else ("bid", "ask")
        frame = pl.DataFrame({
            "exchange": "binance-futures", "symbol": "MADE",
            "timestamp": part["ts"], "local_timestamp": part["local_ts"],
            "id": np.arange(len(part)), "is_snapshot": part["snapshot"],
            "side": np.where(part["side"] > 0, *names).astype(object),
            "price": part["tick"] / 10, "amount": part["lots"] / 1000,
        }).drop("is_snapshot" if kind == "trades" else "id")  # fmt: skip
        with gzip.GzipFile(place / TARDIS.format(kind=kind), "wb", compresslevel=6, mtime=0) as out:
            for start in range(0, len(part), 500_000):
                frame.slice(start, 500_000).write_csv(out, include_header=start == 0)


# --- as a market ------------------------------------------------------------------------------
def columns(rows: Rows) -> dict[str, Rows]:
    """Return the rows as what a Market holds: messages, keys, lots and trades."""
    levels, taken = rows[rows["kind"] == 0], rows[rows["kind"] == 1]
    first = np.flatnonzero(np.diff(levels["message"], prepend=-1))
    messages = np.zeros(len(first) + 1, MESSAGE)
    for name in ("ts", "local_ts"):
        messages[name][:-1] = levels[name][first] * 1000
    messages["first"][:-1] = first
    messages[-1] = (NEVER, NEVER, len(levels))
    trades = np.zeros(len(taken), TRADE)
    trades["raw_ts"] = trades["ts"] = taken["ts"] * 1000
    trades["local_ts"] = taken["local_ts"] * 1000
    for name in ("lots", "tick", "side"):
        trades[name] = taken[name]
    keys = (2 * levels["tick"] + (levels["side"] < 0)).astype(np.int32)
    return {"messages": messages, "keys": keys, "lots": levels["lots"].copy(), "trades": trades}


def market(symbol: str = "MADE", shift_ns: int = 0, copies: int = 1, n: int = ROWS) -> Market:
    """Return the feed as a Market, later by `shift_ns`, `copies` times end to end."""
    place, names = folder(n), ("messages", "keys", "lots", "trades")
    messages, keys, lots, trades = (np.load(place / f"{name}.npy") for name in names)
    last = max(int(messages["local_ts"][-2]), int(trades["local_ts"][-1]))
    span = -(-(last - int(messages["ts"][0])) // SECOND) * SECOND
    shifts = [shift_ns + k * span for k in range(copies)]
    what = Instrument(f"binance-futures:{symbol}", "linear", TICK, LOT)
    book = Book(*repeated(messages, keys, lots, shifts))
    return Market((what,), trades={0: later(trades, shifts)}, books={0: book}, name="made feed")


def later(rows: Rows, shifts: list[int]) -> Rows:
    """Return a copy of rows for each shift, one after the other."""
    out = np.empty(len(rows) * len(shifts), rows.dtype)
    for part, shift in zip(np.split(out, len(shifts)), shifts, strict=True):
        part[:] = rows
        for name in ("ts", "local_ts", "raw_ts"):
            if name in part.dtype.names:
                part[name] += shift
    return out


def repeated(messages: Rows, keys: Rows, lots: Rows, shifts: list[int]) -> tuple[Rows, Rows, Rows]:
    """Return a book's arrays a few times; a later copy first empties what its first message does not name."""
    extra = left_over(keys, lots, keys[: messages["first"][1]]) if len(shifts) > 1 else keys[:0]
    n, more, times = len(keys), len(extra), len(shifts)
    heads = later(messages[:-1], shifts)
    all_keys, all_lots = np.empty(times * (n + more), np.int32), np.zeros(times * (n + more), np.int64)
    for k, part in enumerate(np.split(heads, times)):  # in the first copy those zeros say nothing
        at = k * (n + more)
        all_keys[at : at + more], all_keys[at + more : at + more + n] = extra, keys
        all_lots[at + more : at + more + n] = lots
        part["first"] += at + more
        part["first"][0] = at
    end = np.array([(NEVER, NEVER, len(all_keys))], MESSAGE)
    return np.concatenate((heads, end)), all_keys, all_lots


def left_over(keys: Rows, lots: Rows, named: Rows) -> Rows:
    """Return the keys that hold lots at the end and are not named."""
    seen, last = np.unique(keys[::-1], return_index=True)
    return np.setdiff1d(seen[lots[::-1][last] > 0], named)
