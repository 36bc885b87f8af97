"""A made day of book and trades, 5,000,000 rows from one seed: as Tardis files, as the peer's events, as a Market.

Rows come in messages about 17 ms apart. A message changes a level once, and its trades stand before its levels,
so that an engine that works row by row and one that works message by message see the same market. The book is
never crossed. Times are whole microseconds, as in Tardis files.
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

ROWS, SEED, VERSION = 5_000_000, 7, 1
START_US = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z
TICK, LOT, MIDDLE, DEPTH = 0.1, 0.001, 300_000, 1000  # 1,000 levels a side to begin with
ROW = np.dtype([("ts", "i8"), ("local_ts", "i8"), ("lots", "i8"), ("tick", "i4"), ("message", "i4"),
                ("kind", "i1"), ("side", "i1"), ("snapshot", "?")])  # fmt: skip  # us; kind 0 level, 1 trade
TARDIS = "binance-futures_{kind}_2024-01-01_MADE.csv.gz"
EVENTS = "events.npy"
Rows = Any



# --- the walk ---------------------------------------------------------------------------------
@numba.njit
def walk(rows, n, stamps, local, steps, action, again, buys, distance, normal):
    """Fill `rows` with what happens to a book; return how many messages that took."""
    lots = np.zeros((2, 2 * MIDDLE), np.int64)  # bids, asks
    row_of = np.full((2, 2 * MIDDLE), -1, np.int64)  # where a level stands in the message at hand
    best = np.array([MIDDLE, MIDDLE + 1])
    m = at = i = 0
    while at < n:
        first = at
        for _ in range(2 * DEPTH if m == 0 else steps[m]):
            if at == n:
                break
            s = i % 2 if m == 0 else int(buys[i])
            way = 1 - 2 * s  # outwards is down for bids, up for asks
            if m == 0:
                tick, size = best[s] - way * (i // 2), 1 + int(np.exp(6.0 + 1.2 * normal[i]))
            elif action[i] < 0.15:  # a trade takes from this side
                tick = best[s]
                took = min(1 + int(np.exp(3.5 + 1.6 * normal[i])), lots[s, tick])
                write(rows, at, stamps[m], local[m], took, tick, m, 1, -way)
                size = lots[s, tick] - took
                at += 1
            elif action[i] < 0.28 and best[1] - best[0] > 1:  # a better price
                tick, size = best[s] + way, 1 + int(np.exp(5.0 + 1.2 * normal[i]))
            else:
                tick, size = best[s] - way * distance[i], 1 + int(np.exp(6.0 + 1.2 * normal[i]))
                if lots[s, tick] > 0 and again[i] < (0.08 if distance[i] == 0 else 0.35):
                    size = 0
            i += 1
            lots[s, tick] = size
            if row_of[s, tick] >= first:  # told already: told anew
                rows[row_of[s, tick]]["lots"] = size
            elif at < n:
                row_of[s, tick] = at
                write(rows, at, stamps[m], local[m], size, tick, m, 0, way)
                at += 1
            if m > 0:
                best[s] = tick if way * tick > way * best[s] else best[s]
                while lots[s, best[s]] == 0:
                    best[s] -= way
        m += 1
    return m


@numba.njit
def write(rows, at, ts, local_ts, lots, tick, message, kind, side):
    """Write one row."""
    row = rows[at]
    row["ts"], row["local_ts"], row["lots"], row["tick"] = ts, local_ts, lots, tick
    row["message"], row["kind"], row["side"], row["snapshot"] = message, kind, side, message == 0


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
    walk(rows, n, stamps, local, rng.geometric(0.105, messages), action, again, rng.random(steps) < 0.5, far, normal)
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
def market(symbol: str = "MADE", shift_ns: int = 0, copies: int = 1, n: int = ROWS) -> Market:
    """Return the feed as a Market, later by `shift_ns`, `copies` times end to end."""
    rows = rows_of(n)
    levels, trades = rows[rows["kind"] == 0], rows[rows["kind"] == 1]
    span = -(-(int(rows["local_ts"][-1]) - START_US) // 1_000_000) * 1_000_000_000  # whole seconds, ns
    shifts = [shift_ns + k * span for k in range(copies)]
    what = Instrument(f"binance-futures:{symbol}", "linear", TICK, LOT)
    return Market((what,), trades={0: trade_rows(trades, shifts)}, books={0: book(levels, shifts)}, name="made feed")


def trade_rows(trades: Rows, shifts: list[int]) -> Rows:
    """Return TRADE rows, one copy of the trades for each shift."""
    out = np.zeros(len(trades) * len(shifts), TRADE)
    for part, shift in zip(np.split(out, len(shifts)), shifts, strict=True):
        part["raw_ts"] = part["ts"] = trades["ts"] * 1000 + shift
        part["local_ts"] = trades["local_ts"] * 1000 + shift
        for name in ("lots", "tick", "side"):
            part[name] = trades[name]
    return out


def book(levels: Rows, shifts: list[int]) -> Book:
    """Return the levels as a Book; a later copy begins by emptying what its own first message does not name."""
    keys = (2 * levels["tick"] + (levels["side"] < 0)).astype(np.int32)
    first = np.flatnonzero(np.diff(levels["message"], prepend=-1))
    head = int(first[1])
    extra = left_over(keys, levels["lots"], keys[:head]) if len(shifts) > 1 else keys[:0]
    n, more = len(keys), len(extra)
    messages = np.zeros(len(first) * len(shifts) + 1, MESSAGE)
    all_keys = np.zeros(n * len(shifts) + more * (len(shifts) - 1), np.int32)
    all_lots = np.zeros(len(all_keys), np.int64)
    at = 0
    for k, (part, shift) in enumerate(zip(np.split(messages[:-1], len(shifts)), shifts, strict=True)):
        part["ts"], part["local_ts"] = levels["ts"][first] * 1000 + shift, levels["local_ts"][first] * 1000 + shift
        gone = more if k else 0
        part["first"] = first + at + gone
        part["first"][0] = at
        all_keys[at : at + gone] = extra[:gone]
        all_keys[at + gone : at + gone + n] = keys
        all_lots[at + gone : at + gone + n] = levels["lots"]
        at += gone + n
    messages[-1] = (NEVER, NEVER, at)
    return Book(messages, all_keys, all_lots)


def left_over(keys: Rows, lots: Rows, named: Rows) -> Rows:
    """Return the keys that hold lots at the end and are not named."""
    seen, last = np.unique(keys[::-1], return_index=True)
    alive = seen[lots[::-1][last] > 0]
    return np.setdiff1d(alive, named)
